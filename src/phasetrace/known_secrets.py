"""What is known to be a secret: by the name of an attribute, and by its shape in any text.

Obvious secrets only. A name counts by its whole words, so that ``max_tokens``, ``tokenizer`` and
``password_attempts`` are none. A shape counts where it can hardly be anything else; of one that
begins with what tells its kind (``ghp_``, ``Bearer``), that is no part of the secret.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
"""A word of a name. Digits belong to none: ``password2`` is a password."""

_PHRASES: Final = frozenset(
    tuple(phrase.split())
    for phrase in (
        "password",
        "passwords",
        "pass word",
        "passwd",
        "pwd",
        "passphrase",
        "pass phrase",
        "passcode",
        "secret",
        "secrets",
        "apikey",
        "apikeys",
        "api key",
        "api keys",
        "apitoken",
        "accesstoken",
        "authtoken",
        "bearertoken",
        "idtoken",
        "refreshtoken",
        "sessiontoken",
        "clientsecret",
        "accesskey",
        "privatekey",
        "secretkey",
        "access key",
        "account key",
        "encryption key",
        "function key",
        "functions key",
        "hmac key",
        "master key",
        "private key",
        "signing key",
        "ssh key",
        "subscription key",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "jwt",
    )
)
"""Words in a row that name a secret, wherever they stand in a name."""
_MOST_WORDS: Final = max(map(len, _PHRASES))

_ABOUT: Final = frozenset(
    _WORD.findall(
        "age algorithm arn at attempts banner bits bytes changed consent count created domain"
        " enabled endpoint expired expires expiry fingerprint found id ids kind len length location"
        " manager method mode ms name names ns number path policy provider required reset retries"
        " rotated rotation seconds size source status store strength timeout ttl type types updated"
        " uri url used valid version"
    )
)
"""Last words of what says something about a secret and is none."""
_WHETHER: Final = frozenset(
    _WORD.findall("can has have is needs no requires should use uses without")
)
"""First words of the same."""
_OF_LANGUAGE: Final = frozenset(
    _WORD.findall(
        "bos cached cls completion continuation cursor eos eot fim first image input last mask max"
        " min model new next output pad page pagination per prefix prompt reasoning sep special"
        " stop suffix sync total unk unknown vocab"
    )
)
"""What models read and write are tokens, too, and places in a list that goes on; the word before
says which are meant."""
_OF_ACCESS: Final = frozenset(_WORD.findall("access api auth bearer csrf refresh session"))
"""The words before ``tokens`` that are no such."""
_ENDS: Final = ("password", "passwd", "passphrase")
"""Ends of words that are as good as the word: ``PGPASSWORD``."""
_DIRECTORIES: Final = ("pwd", "oldpwd")
"""Names, as a whole, of what a shell has the directory in."""


def is_secret(name: str) -> bool:
    """Tell whether a text of this name is a secret."""
    words = _words_of(name)
    if not words or words[0] in _WHETHER or (len(words) == 1 and words[0] in _DIRECTORIES):
        return False
    if words[-1] == "tokens" and len(words) > 1 and words[-2] in _OF_ACCESS:
        return True
    if words[-1] == "token":
        return len(words) == 1 or words[-2] not in _OF_LANGUAGE
    return words[-1] not in _ABOUT and any(
        tuple(words[start : start + length]) in _PHRASES
        for length in range(1, _MOST_WORDS + 1)
        for start in range(len(words) - length + 1)
    )


def is_secret_number(name: str) -> bool:
    """Tell whether even a number of this name is one, as a PIN may be: not what is only counted."""
    words = _words_of(name)
    ends = [tuple(words[-length:]) for length in range(1, _MOST_WORDS + 1)]
    return is_secret(name) and not _PHRASES.isdisjoint(ends)


def _words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: between dots, dashes and humps (``authToken``)."""
    words = [word.lower() for word in _WORD.findall(name)]
    return [next((end for end in _ENDS if word.endswith(end)), word) for word in words]


SHORTEST: Final = 20
"""No shape is shorter in a text that has no ``=``, no colon and no space."""

_ASSIGNED: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secret_key",
    "secretkey",
    "secret_access_key",
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "accesskey",
    "accesskeyid",
    "accountkey",
    "private_key",
    "access_token",
    "accesstoken",
    "auth_token",
    "api_token",
    "bearer_token",
    "refresh_token",
    "session_token",
    "id_token",
)
"""What a text has the value of behind it: ``password=…``, ``"password": "…"``."""
_IN_JSON: Final = (*_ASSIGNED, "pwd", "authorization", "cookie", "credentials")
"""The same where the value is in quotes; elsewhere these have more behind them than a word."""
_IN_ADDRESSES: Final = (
    "token",
    "sig",
    "signature",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-signature",
)
"""The same in the query of an address."""

_SCHEMES: Final = r"(?i:bearer|basic|token|apikey|digest|negotiate|aws4-hmac-sha256) +"
_CREDENTIAL: Final = r"[A-Za-z0-9._~+/-]"
_BEARER: Final = (
    rf" +((?:(?=[A-Za-z._~+/-]*[0-9]){_CREDENTIAL}{{8,}}|{_CREDENTIAL}{{24,}})[={_CREDENTIAL[1:]}*)"
)
# In base64 a colon is one of three combinations, by where in its group of three bytes it is; what
# has none is no user and password, but a word.
_BASE64: Final = r"[A-Za-z0-9+/=]"
_BASIC: Final = (
    rf" +((?=(?:[A-Za-z0-9+/]{{4}}){{0,200}}?(?:O[g-v]{_BASE64}{{2}}|{_BASE64}[DTjz][o-r]{_BASE64}"
    rf"|{_BASE64}{{2}}[AEIMQUYcgkosw048]6)){_CREDENTIAL}+=*)"
)
_QUOTED: Final = (
    r"\"(?!\")([^\"\\]*(?:\\(?s:.)[^\"\\]*){0,200})",
    r"'(?!')([^'\\]*(?:\\(?s:.)[^'\\]*){0,200})",
    r"\\\"(?!\\)([^\"\\]*)",  # JSON in a string of JSON
)
_PLAIN: Final = r"[^\s&;,\"'<>()\[\]{}\\]"
_UNQUOTED: Final = (
    # Not what stands for nothing, nor for a variable.
    rf"(?!=|(?:None|[Nn]ull|[Tt]rue|[Ff]alse|nil|undefined|\$[A-Z_][A-Z0-9_]{{0,60}})(?!{_PLAIN})"
    rf"|\$[{{(])({_PLAIN}+)"
)
_NO_PATH: Final = r"(?![\"']?(?:[/~.]|[A-Za-z]:[/\\]))"
_OPAQUE: Final = rf"((?=[^\s0-9]{{0,64}}[0-9])(?=[^\sA-Za-z]{{0,64}}[A-Za-z]){_PLAIN}{{4,}})"
"""No word: it has letters and digits."""
_HEADERS: Final = (
    "api-key",
    "apikey",
    "auth-token",
    "access-token",
    "private-token",
    "security-token",
    "functions-key",
    "subscription-key",
)
_IN_YAML: Final = ("password", "passwd", "passphrase", "secret", "secret_key", "api_key", "pwd")
_OPTIONS: Final = (
    r"(?i:(?:[a-z0-9]{1,20}-){0,3}(?:password|passwd|passphrase|secret|token|(?:api|access|secret"
    r"|private)-key|apikey))"
)


def _behind(names: tuple[str, ...], *between: str, before: str = "") -> str:
    """Return a pattern for a place that is behind a name and what may come after that.

    PERF: the last letter is looked at first, which is seldom that of any name.
    """
    places = []
    for after in between:
        for last in sorted({name[-1] for name in names}):
            alike = [re.escape(name) for name in names if name[-1] == last]
            looks = "|".join(rf"(?<={before}(?i:{name}){after})" for name in alike)
            places.append(rf"(?<=[{last}{last.upper()}]{after})(?:{looks})")
    return "(?:" + "|".join(places) + ")"


# Every pattern takes time that is linear in the text, whatever that is: what it runs over before it
# fails is bounded, or cannot be run over by another attempt. And each begins with a character that
# most texts seldom have, and looks back from there at what comes before: the machine of regular
# expressions passes over all other characters at 5 ns each, as long as every alternative begins
# with a literal. Told by their front, half of English would be worth a look.
_SHAPES: Final = (
    # A private key in PEM, to its end, or to that of the text where it was cut.
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    # scheme://user:password@host
    r"://[^\s/?#@:\"'<>]*:([^\s/?#\"'<>]+)@",
    # The same with what should have been escaped, and cut off before the host: what is no port.
    r"://(?!\[)[^\s/?#@:\"'<>]*:(?!\d{1,5}[/?#])([^\s@\"'<>]{1,200})@",
    r"://(?!\[)[^\s/?#@:\"'<>]*:(?!(?:\d{1,5}|(?i:port))[^A-Za-z0-9]{0,3}\Z|[{$%])"
    r"([^\s/?#@\"'<>]+)\Z",
    # Authorization: its value, and "Bearer …" or "Basic …" anywhere.
    r":(?<=[Nn\"']:)"
    + _behind(("authorization",), ":", "[\"']:")
    + rf" *[\"']?{_SCHEMES}([^\r\n\"']+)",
    r"B(?i:earer)" + _BEARER,
    r"b(?i:earer)" + _BEARER,
    r"B(?i:asic)" + _BASIC,
    r"b(?i:asic)" + _BASIC,
    # A JSON Web Token: what it says, and its signature. Its header is no secret, and may have been
    # taken for another one.
    r"\.(?<=[A-Za-z0-9_\]-]\.)(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
    # What programs write out: name=value, and JSON.
    r"=(?<=[A-Za-z ]=)"
    + _behind(_ASSIGNED, "=", " =")
    + rf" {{0,3}}(?:{'|'.join((_UNQUOTED, *_QUOTED))})",
    r":(?<=[\"' ]:)"
    + _behind(_IN_JSON, "[\"']:", r"\\\":", "[\"'] :")
    + rf" {{0,3}}(?:{'|'.join(_QUOTED)})",
    r"=(?<=[Dd ]=)(?:(?<=(?i:pwd)=)|(?<=(?i:pwd) =))"
    rf" {{0,3}}{_NO_PATH}(?:{'|'.join((_UNQUOTED, *_QUOTED))})",
    r"=(?<=_TOKEN=)(?<!PAGE_TOKEN=)(?<!NEXT_TOKEN=)(?<!CONTINUATION_TOKEN=)"
    rf"[\"']?(?=[^\s0-9]{{0,64}}[0-9])({_PLAIN}{{8,}})",
    # Headers, YAML, and what has nothing but the name "token".
    r":(?<=[Ee]:)(?<=(?i:cookie):) {0,3}([^\s=;,\"']{1,100}=[^\r\n\"']+)",
    r":(?<=[A-Za-z]:)" + _behind(_HEADERS, ":") + rf" {{0,3}}{_OPAQUE}",
    r":(?<=[A-Za-z]:)" + _behind(_IN_YAML, ":") + rf" {{1,3}}{_NO_PATH}{_OPAQUE}",
    r":(?<=[\"']:)(?:(?<=\"(?i:token)\":)|(?<='(?i:token)':))"
    r" {0,3}[\"']((?=[^\s\"'0-9]{0,200}[0-9])[A-Za-z0-9._~+/=-]{16,})",
    # --password …
    rf"-(?<=--){_OPTIONS} +(?!-)(?:{_OPAQUE}|({_PLAIN}+)(?= +-|\s*\Z)|{_QUOTED[0]}|{_QUOTED[1]})",
    r"=(?<=[A-Za-z]=)" + _behind(_IN_ADDRESSES, "=", before="[?&]") + _UNQUOTED,
    # GitHub and Stripe.
    r"_(?:(?<=gh[pousr]_)([A-Za-z0-9]{20,})|(?<=github_pat_)([A-Za-z0-9_]{20,})"
    r"|(?:(?<=[sr]k_live_)|(?<=[sr]k_test_))([A-Za-z0-9]{12,})|(?<=whsec_)([A-Za-z0-9+/=]{24,})"
    # Hugging Face, npm, Groq.
    r"|(?:(?<=^hf_)|(?<=[^A-Za-z0-9]hf_))([A-Za-z0-9]{30,})"
    r"|(?:(?<=npm_)|(?<=gsk_))([A-Za-z0-9]{30,}))",
    # GitLab, Slack, Google's clients; OpenAI and Anthropic.
    r"-(?<=[A-Za-z]-)(?:(?:(?<=glpat-)|(?<=gldt-)|(?<=glrt-)|(?<=glptt-))([A-Za-z0-9_.-]{20,})"
    r"|(?:(?<=xox[abeoprs]-)|(?<=xapp-))([A-Za-z0-9-]{15,})|(?<=GOCSPX-)([A-Za-z0-9_-]{20,})"
    r"|(?<=xai-)([A-Za-z0-9]{32,})|(?<=pypi-)(AgEI[A-Za-z0-9_-]{16,})"
    r"|(?:(?<=^sk-)|(?<=[^A-Za-z0-9]sk-))"
    r"((?:proj|svcacct|admin|or-v1|ant-[a-z0-9]{2,10})-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,}))",
    r"/(?<=hooks\.slack\.com/)services/([A-Za-z0-9/_-]{15,})",
    r"\.(?<=SG\.)([A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,})",
    # Google, AWS.
    r"z(?<=AIz)a([A-Za-z0-9_-]{35})",
    r"9(?<=ya29)\.([A-Za-z0-9_-]{20,})",
    r"K(?<=AK)IA([A-Z0-9]{16})",
    r"S(?<=AS)IA([A-Z0-9]{16})",
)
"""The secret is the one group that takes part, or else all of it. In the order in which they are to
be replaced: what may have another one in it comes first."""


@lru_cache(1)
def any_shape() -> re.Pattern[str]:
    """Return the pattern to search a text with for whether anything of it is a secret."""
    return re.compile("|".join(_SHAPES))


@lru_cache(1)
def shapes() -> tuple[re.Pattern[str], ...]:
    """Return the pattern of each shape."""
    return tuple(map(re.compile, _SHAPES))
