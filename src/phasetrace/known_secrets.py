"""What is known to be a secret by its name: of an attribute, of an option, of a key in a text.

Obvious secrets only. A name counts by its whole words, so that ``max_tokens``, ``tokenizer`` and
``password_attempts`` are none. Where in doubt, it is one: a thing that is called ``bearer`` or
``secret`` may be anything.
"""

from __future__ import annotations

import re
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
        "csrftoken",
        "oauthtoken",
        "xsrftoken",
        "auth header",
        "creds",
        "dbpass",
        "userpass",
        "shared access signature",
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
        "age agent alg algorithm arn at attempts aud audience ballot banner bits bytes changed"
        " consent count created dir directory domain enabled endpoint exp expired expires expiry"
        " file filename files fingerprint found iat id ids iss issuer kid kind len length location"
        " manager method mode ms name names ns number path policy provider required reset retries"
        " rotated rotation santa sauce seconds size source status store strength sub subject"
        " timeout ttl type types uid updated uri url used valid version"
    )
)
"""Last words of what says something about a secret and is none."""
_WHETHER: Final = frozenset(
    _WORD.findall("can has have is needs no requires should use uses without")
)
"""First words of the same."""
_COUNTING: Final = frozenset(_WORD.findall("count n num number total"))
"""First words of how many there are."""
_OF_PLACES: Final = frozenset(_WORD.findall("address endpoint href link uri url"))
"""Words of what may have a secret in it, and be none as a whole: ``url_apikey``."""
_OF_LANGUAGE: Final = frozenset(
    _WORD.findall(
        "bos cached cancel cancellation cls completion continuation cursor eos eot erc fencing fim"
        " first image input last lock mask max min model new next nft output pad page pagination"
        " per prefix prompt reasoning sep special stop suffix sync total unk unknown vocab"
    )
)
"""What models read and write are tokens, too, and places in a list that goes on, and what says who
may go on or has to stop; the word before says which are meant."""
_OF_ACCESS: Final = frozenset(
    _WORD.findall("access api apns auth bearer csrf device fcm push refresh registration session")
)
"""The words before ``tokens`` that are no such."""
_ENDS: Final = ("password", "passwd", "passphrase")
"""Ends of words that are as good as the word: ``PGPASSWORD``."""
_OF_PASS: Final = frozenset(
    _WORD.findall(
        "admin amqp auth basic client database db email ftp http imap keystore ldap login mail"
        " mongo mqtt my mysql pg postgres proxy redis root server smtp sql ssh user"
    )
)
"""The words before ``pass`` that make it a password: compilers have passes, too."""
_DIRECTORIES: Final = ("pwd", "oldpwd")
"""Names, as a whole, of what a shell has the directory in."""
_OF_DIRECTORIES: Final = frozenset(_WORD.findall("env environ environment process shell"))
"""Words before the same."""
_PLURALS: Final = frozenset(_WORD.findall("apikeys cookies keys passwords secrets"))


def is_secret(name: str) -> bool:
    """Tell whether a text of this name is a secret."""
    words = _words_of(name)
    if not words or words[0] in _WHETHER or _is_directory(words):
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "auth" or (last == "pass" and before in _OF_PASS):
        return True
    if last == "value" and before == "token":
        words, last, before = words[:-1], before, words[-3] if len(words) > 2 else ""
    if last == "tokens" and before in _OF_ACCESS:
        return True
    if last == "token":
        return before not in _OF_LANGUAGE
    return last not in _ABOUT and any(
        tuple(words[start : start + length]) in _PHRASES
        for length in range(1, _MOST_WORDS + 1)
        for start in range(len(words) - length + 1)
    )


def is_secret_number(name: str) -> bool:
    """Tell whether even a number of this name is one, as a PIN may be: not what is only counted."""
    words = _words_of(name)
    if words and (
        words[0] in _COUNTING or (words[-1] in _PLURALS and tuple(words) not in _PHRASES)
    ):
        return False
    ends = [tuple(words[-length:]) for length in range(1, _MOST_WORDS + 1)]
    return is_secret(name) and not _PHRASES.isdisjoint(ends)


def _is_directory(words: list[str]) -> bool:
    return words[-1] in _DIRECTORIES and (len(words) == 1 or words[-2] in _OF_DIRECTORIES)


def may_be_address(name: str) -> bool:
    """Tell of a secret's name whether it may be that of an address which has the secret in it."""
    return not _OF_PLACES.isdisjoint(_words_of(name))


def _words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: between dots, dashes and humps (``authToken``)."""
    words = [word.lower() for word in _WORD.findall(name)]
    return [next((end for end in _ENDS if word.endswith(end)), word) for word in words]
