"""What is known to be a secret by its shape in any text.

A shape counts where it can hardly be anything else: of what stands behind a name (``password=``)
nearly everything, of what stands behind ``token`` only what has letters and digits, for models read
and write tokens as well. What tells the kind of a secret (``ghp_``, ``Bearer``) is no part of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from phasetrace.known_secrets import is_secret
from phasetrace.vendor_keys import UNMARKED, patterns

SHORTEST: Final = 17
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
_IN_YAML: Final = (*_ASSIGNED, "pwd")
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
_HEADERS: Final = (
    "api-key",
    "apikey",
    "auth-token",
    "access-token",
    "private-token",
    "security-token",
    "functions-key",
    "subscription-key",
    "ingestion-key",
    "honeycomb-team",
)
_OPTIONS: Final = (
    r"(?P<name>(?i:(?:[a-z0-9]{1,20}-){0,3}(?:password|passwd|passphrase|secret|token"
    r"|(?:api|access|secret|private)-key|apikey)))"
)

_SCHEMES: Final = r"(?i:bearer|basic|token|apikey|digest|negotiate|aws4-hmac-sha256)[ \t]+"
_GAP: Final = r"(?:[ \t]+|%20)"
"""As in the variables that say with which headers something is sent."""
_CREDENTIAL: Final = r"[A-Za-z0-9._~+/-]"
_BEARER: Final = (
    rf"{_GAP}((?:(?=[A-Za-z._~+/-]*[0-9]){_CREDENTIAL}{{8,}}|{_CREDENTIAL}{{24,}})"
    rf"[={_CREDENTIAL[1:]}*)"
)
# In base64 a colon is one of three combinations, by where in its group of three bytes it is; what
# has none is no user and password, but a word.
_BASE64: Final = r"[A-Za-z0-9+/=]"
_BASIC: Final = (
    rf"{_GAP}((?=(?:[A-Za-z0-9+/]{{4}}){{0,200}}?(?:O[g-v]{_BASE64}{{2}}"
    rf"|{_BASE64}[DTjz][o-r]{_BASE64}|{_BASE64}{{2}}[AEIMQUYcgkosw048]6)){_CREDENTIAL}+=*)"
)
_ESCAPES: Final = "{0,32768}"
"""As many as the longest text may have: all of it is the secret, and nothing behind it can fail."""
_QUOTED: Final = (
    rf"\"(?!\")([^\"\\]*(?:\\(?s:.)[^\"\\]*){_ESCAPES})",
    rf"'(?!')([^'\\]*(?:\\(?s:.)[^'\\]*){_ESCAPES})",
    r"\\\"(?!\\)([^\"\\]*)",  # JSON in a string of JSON
)
_QUOTED_WORD: Final = (
    # On one line, and no sentence without a digit, which rather says something about a password.
    r"\"(?!\"|[^\"\s0-9]{0,200}\s[^\"\r\n0-9]{0,200}[\"\r\n])"
    rf"([^\"\\\r\n]*(?:\\.[^\"\\\r\n]*){_ESCAPES})",
    r"'(?!['),\]]|[^'\s0-9]{0,200}\s[^'\r\n0-9]{0,200}['\r\n])"
    rf"([^'\r\n]+(?:''[^'\r\n]*){_ESCAPES})",
)
_PLAIN: Final = r"[^\s&;,\"'<>()\[\]{}\\]"
_PLACEHOLDER: Final = (
    r"(?:\?|%s|%\(\w{1,60}\)s|\$\d{1,3}|[:@](?:p?\d{1,3}|[a-z_]{0,20}"
    r"(?:pass|password|passwd|pwd|pw|secret|key|token|hash)))"
)
"""As in SQL."""
_CALL: Final = r"[A-Za-z_][\w.]{0,80}(?:\([^()\r\n]{0,200}\)|\[[^\[\]\r\n]{0,200}\])"
_UNQUOTED: Final = (
    # Not what stands for nothing, nor for a variable, nor for what a function returns.
    rf"(?!=|(?:None|[Nn]ull|[Tt]rue|[Ff]alse|nil|undefined|\$[A-Z_][A-Z0-9_]{{0,60}})(?!{_PLAIN})"
    rf"|\$[{{(]|{_PLACEHOLDER}(?!{_PLAIN})|{_CALL})({_PLAIN}+)"
)
_NO_PATH: Final = r"(?![\"']?(?:[/~.]|[A-Za-z]:[/\\]))"
_NO_WORD: Final = r"(?=[^\s0-9]{0,64}[0-9])(?=[^\sA-Za-z]{0,64}[A-Za-z])"
"""It has letters and digits."""
_OPAQUE: Final = rf"({_NO_WORD}{_PLAIN}{{4,}})"
_NO_COLON: Final = rf"({_NO_WORD}(?:(?!:){_PLAIN}){{8,}})"
"""Behind a colon there may be another header."""
_TOKEN: Final = rf"(?P<token>{_NO_WORD}{_PLAIN}{{8,}})"
"""Whether it is one depends on the whole name before it."""


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


def _behind_token(*between: str) -> str:
    """Return a pattern for a place behind a name that ends with ``token``: not the next page's."""
    return "(?:" + "|".join(
        rf"(?<=[Nn]{after})(?<=(?i:token){after})(?<!(?i:page|next).(?i:token){after})"
        for after in between
    ) + ")"  # fmt: skip


_MORE_HOSTS: Final = r"(?:,[A-Za-z0-9_.-]{1,100}:\d{1,5}){0,20}"
_PORTS: Final = rf"(?:\d{{1,5}}{_MORE_HOSTS}|(?i:port))"
_CUT: Final = (
    rf"://(?!\[)[^\s/?#@:\"'<>]*:(?!{_PORTS}[^A-Za-z0-9]{{0,3}}\Z|[{{$%])"
    r"([^\s/?#@\"'<>]+)\Z"
)
"""The password in an address that was cut off before the host."""

IN_SQL: Final = "'"
_OF_SQL: Final = (
    r"'(?<=[DdYy] ')(?:(?<=(?i:identified by) ')|(?<=(?i:with password) ')|(?<= PASSWORD '))"
    + _QUOTED_WORD[1][1:]
)
"""``IDENTIFIED BY '…'``. Looked for by itself: English has apostrophes."""

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
    rf"://(?!\[)[^\s/?#@:\"'<>]*:(?!\d{{1,5}}{_MORE_HOSTS}[/?#])([^\s@\"'<>]{{1,200}})@",
    _CUT,
    # https://token@host
    r":(?<=[PpSs]:)(?:(?<=(?i:https):)|(?<=(?i:http):))//(?=[A-Za-z_.~%+=-]{0,64}[0-9])"
    r"(?=[0-9_.~%+=-]{0,64}[A-Za-z])([A-Za-z0-9_.~%+=-]{16,})@",
    # Authorization: its value, and "Bearer …" or "Basic …" anywhere.
    r":(?<=[Nn\"']:)"
    + _behind(("authorization",), ":", "[\"']:")
    + rf" *[\"']?(?:{_SCHEMES}([^\r\n\"']+)|(?:[A-Za-z][A-Za-z0-9-]{{0,30}} +)?{_NO_COLON})",
    rf"=(?<=[Nn]=)(?<=(?i:authorization)=){_NO_COLON}",
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
    + rf" {{0,3}}(?:b?(?:{'|'.join(_QUOTED)})|([0-9]{{4,}}(?:\.[0-9]{{1,20}})?)(?![\w.]))",
    # [["x-api-key", "…"], …], as attributes become text where a release takes none that are nested.
    r"\[(?:(?<=\[\[)|(?<=\], \[)|(?<=\],\[))[\"'](?P<name>[A-Za-z][A-Za-z0-9_.-]{0,63})[\"'], {0,3}"
    rf"(?:{_QUOTED[0]}|{_QUOTED[1]})(?=[\"']\]|\Z)",
    r"=(?<=[Dd ]=)(?:(?<=(?i:pwd)=)|(?<=(?i:pwd) =))"
    rf" {{0,3}}{_NO_PATH}(?:{'|'.join((_UNQUOTED, *_QUOTED))})",
    # Whatever is called a token, also in front of that.
    r"=(?<=[Nn ]=)" + _behind_token("=", " =") + rf" {{0,3}}[\"']?{_TOKEN}",
    r":(?<=[Nn\"']:)" + _behind_token(":", "[\"']:", r"\\\":") + rf" {{0,3}}(?:\\?[\"'])?{_TOKEN}",
    # Headers, and YAML.
    r":(?<=[Ee]:)(?<=(?i:cookie):) {0,3}([^\s=;,\"']{1,100}=[^\r\n\"']+)",
    r":(?<=[A-Za-z]:)" + _behind(_HEADERS, ":") + rf" {{0,3}}{_OPAQUE}",
    r"=(?<=[MmYy]=)" + _behind(("honeycomb-team", "ingestion-key"), "=") + _OPAQUE,
    r":(?<=[A-Za-z]:)"
    + _behind(_IN_YAML, ":")
    + rf"(?: {{1,3}}{_NO_PATH}{_OPAQUE}| {{0,3}}(?:{'|'.join(_QUOTED_WORD)}))",
    _OF_SQL,
    # <password>…</password>
    r">(?<=[A-Za-z]>)"
    + _behind(_IN_YAML, ">", before=r"[<A-Za-z0-9_:.-]")
    + r"(?=[^\s<>])([^<>]+)(?=</)",
    r">(?<=[Nn]>)(?<=[<A-Za-z0-9_:.-](?i:token)>)" + _TOKEN + "(?=</)",
    # --password …, and as a list has it.
    rf"-(?<=--){_OPTIONS}(?: +(?!-|(?:type=[a-z]+,)?id=)"
    rf"(?:{_OPAQUE}|({_PLAIN}+)(?= +-|\s*\Z)|{_QUOTED[0]}|{_QUOTED[1]})"
    rf"|=(?:{_OPAQUE}|{_QUOTED[0]}|{_QUOTED[1]})|[\"'], {{0,3}}(?:{_QUOTED[0]}|{_QUOTED[1]}))",
    # curl -u user:password
    r"-(?:(?<![A-Za-z0-9_-]-)[A-Za-z]{0,4}u|(?<=--)user)(?: +|=)[\"']?[^\s:\"'/]{1,64}:"
    rf"{_NO_PATH}({_NO_WORD}{_PLAIN}{{6,}})",
    r"=(?<=[A-Za-z]=)" + _behind(_IN_ADDRESSES, "=", before="[?&]") + _UNQUOTED,
    *patterns(),
)
"""The secret is the last group that takes part, or else all of it. In a pattern with a group
``name``, and in front of a group ``token``, there is a name that must be a secret's."""

_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_NAME: Final = 64


def without(text: str, mark: str) -> str:
    """Return a text with a mark in the place of each secret in it: itself, if there is none."""
    # PERF: for most short texts this is a tenth of the time. A beginning that has no rare character
    # is looked for by itself: among the others, its own first letter would cost 2 ns a character.
    if (len(text) >= SHORTEST or "=" in text or ":" in text or " " in text) and (
        any_shape().search(text) is not None
        or UNMARKED in text
        or (IN_SQL in text and _of_sql().search(text) is not None)
    ):
        spans = _spans(text, mark)
        return _without(text, spans, mark) if spans else text
    return text


@lru_cache(1)
def any_shape() -> re.Pattern[str]:
    """Return the pattern to search a text with for whether anything of it may be a secret."""
    # PERF: those that begin with the same character are one alternative. Of 60, most are asked at
    # every such character, at 2 ns each; of 15, they are not.
    rests: dict[str, list[str]] = {}
    for shape in _SHAPES:
        if shape.startswith(UNMARKED) or shape == _OF_SQL:
            continue
        first = shape[:2] if shape[0] == "\\" else shape[0]
        rest = re.sub(r"\(\?P<\w+>", "(", shape[len(first) :])
        rests.setdefault(first, []).append(rest)
    return re.compile("|".join(f"{first}(?:{'|'.join(all_)})" for first, all_ in rests.items()))


@lru_cache(1)
def shapes() -> tuple[re.Pattern[str], ...]:
    """Return the pattern of each shape."""
    return tuple(map(re.compile, _SHAPES))


@lru_cache(1)
def _of_sql() -> re.Pattern[str]:
    return re.compile(_OF_SQL)


def _spans(text: str, mark: str) -> list[tuple[int, int]]:
    """Return where secrets are, in order; they may overlap.

    Each shape is looked for in the text as it was: what is before a secret may be in another one.
    """
    found = (_span(one, mark) for shape in shapes() for one in shape.finditer(text))
    return sorted(span for span in found if span is not None)


def _span(found: re.Match[str], mark: str) -> tuple[int, int] | None:
    if found.re.pattern == _CUT and mark in found[1] and len(mark) > 1:
        # What told that it does not end there was redacted before. A mark that is one character may
        # as well be that of whoever has cut the text.
        return None
    named = found.groupdict()
    name = named.get("name")
    if named.get("token") is not None:
        name = _name_before(found.string, found.start())
    return None if name is not None and not is_secret(name) else found.span(found.lastindex or 0)


def _without(text: str, spans: list[tuple[int, int]], mark: str) -> str:
    parts: list[str] = []
    shown_to = 0
    for start, end in spans:
        if start > shown_to or not parts:
            parts += (text[shown_to:start], mark)
        shown_to = max(shown_to, end)
    return "".join(parts) + text[shown_to:]


def _name_before(text: str, place: int) -> str:
    return _NAME.split(text[max(0, place - _LONGEST_NAME) : place].rstrip(" \"'\\"))[-1]
