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
        "age agent algorithm arn at attempts ballot banner bits bytes changed consent count"
        " created domain enabled endpoint expired expires expiry fingerprint found id ids kind len"
        " length location manager method mode ms name names ns number path policy provider"
        " required reset retries rotated rotation santa sauce seconds size source status store"
        " strength timeout ttl type types updated uri url used valid version"
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
    if words and words[0] in _COUNTING:
        return False
    ends = [tuple(words[-length:]) for length in range(1, _MOST_WORDS + 1)]
    return is_secret(name) and not _PHRASES.isdisjoint(ends)


def may_be_address(name: str) -> bool:
    """Tell of a secret's name whether it may be that of an address which has the secret in it."""
    return not _OF_PLACES.isdisjoint(_words_of(name))


def _words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: between dots, dashes and humps (``authToken``)."""
    words = [word.lower() for word in _WORD.findall(name)]
    return [next((end for end in _ENDS if word.endswith(end)), word) for word in words]
