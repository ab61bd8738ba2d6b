"""Headers in a variable: ``OTEL_EXPORTER_OTLP_HEADERS``, a list like ``name=value,other=value``.

Read as OpenTelemetry for Python reads it (``opentelemetry.util.re.parse_env_headers``, liberally),
which leaves out each part that it cannot read, and logs it as it stands: with the key that it may
hold. So it is read here first, and what is wrong is told by the place of the part in the list.

Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/, "Specifying headers via
environment variables".
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

NAMELESS: Final = "one without a name"

_BETWEEN: Final = re.compile(r"[ \t]*,[ \t]*")
_NAME: Final = r"[\x21\x23-\x27\x2a\x2b\x2d\x2e\x30-\x39\x41-\x5a\x5e-\x7a\x7c\x7e]+"
_ENCODED: Final = re.compile(rf"{_NAME}[ \t]*=[ \t]*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_PLAIN: Final = re.compile(rf"{_NAME}[ \t]*=[ \t]*[\x20\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_SENDABLE: Final = re.compile(r"[\t -~\x80-\xff]*")
"""RFC 9110, 5.5."""
_LONGEST_NAME: Final = 64
_WORD: Final = "(?:[a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,14})"
_NAME_OF_WORDS: Final = re.compile(rf"{_WORD}(?:[-_]{_WORD})*")
"""What is a header's name and no part of a key, which has digits and any case in it."""
_COLON: Final = re.compile(rf"{_NAME_OF_WORDS.pattern}[ \t]*:")
_QUOTES: Final = "\"'"
_SCHEMES: Final = frozenset({"bearer", "basic", "token", "apikey", "api-key", "api-token"})
"""What stands in front of a key in a header's value; alone it says nothing."""
_VARIABLE: Final = "[A-Za-z_][A-Za-z0-9_]{0,63}"
_UNEXPANDED: Final = re.compile(
    rf"(?:[A-Za-z-]+[ \t]+)?(\${_VARIABLE}|\$\{{{_VARIABLE}\}}|%{_VARIABLE}%)"
)
"""A variable's name in place of its value, as in a shell, in a file for one, or on Windows."""
_SURELY_A_NAME: Final = re.compile(r"\$[A-Z0-9_]+|\$\{.*\}|%[A-Z0-9_]+%")
"""What of it may be shown: a password may begin with a dollar, too."""
_EXPECTED: Final = "expected name=value, with %2C for a comma, %3B for a semicolon"


class HeaderList(NamedTuple):
    """What a list of headers says. All but the places is secret."""

    headers: dict[str, str]
    """By their names, in small letters."""
    unread: tuple[int, ...] = ()
    """The places, from 1, of the parts that cannot be read, and are not sent."""
    unsendable: tuple[int, ...] = ()
    """The places of those with a value that no header can have: while they are there, nothing is
    sent."""
    texts: tuple[str, ...] = ()
    """The parts that cannot be read."""
    parts: int = 0
    """How many there are."""


def read_header_list(text: str) -> HeaderList:
    """Return the headers in a list, and the places of what are none. Never raises."""
    from urllib.parse import unquote  # dear to import, and not needed where there are no headers

    headers: dict[str, str] = {}
    unread, unsendable, texts = [], [], []
    parts = [part.strip() for part in _BETWEEN.split(text) if part]
    for place, part in enumerate(parts, 1):
        name, _, value = part.partition("=")
        if _ENCODED.fullmatch(part):
            name, value = unquote(name), unquote(value)
        elif not _PLAIN.fullmatch(part):
            unread.append(place)
            texts.append(part)
            continue
        headers[name.strip().lower()] = value = value.strip()
        if not _SENDABLE.fullmatch(value):
            unsendable.append(place)
    return HeaderList(headers, tuple(unread), tuple(unsendable), tuple(texts), len(parts))


def shown_names(text: str) -> str:
    """Return the names in a list, with commas between; what has none may be a secret."""
    names = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = part.partition("=")
        name = name.strip()
        # The padding of a key in base64 looks like a header without a value.
        is_named = value.strip("= \t") or (sign and _NAME_OF_WORDS.fullmatch(name))
        names.append(name if is_named and len(name) <= _LONGEST_NAME else NAMELESS)
    return ", ".join(names)


def what_is_wrong(text: str) -> list[str]:
    """Return what is wrong with a list, in words that hold nothing of it."""
    if _is_quoted(text):
        return ["there are quotes around the whole, which do not belong to it; take them away"]
    read = read_header_list(text)
    wrong = [
        f"{_place(place, read.parts)} cannot be read and is not sent; {_why(part)}"
        for place, part in zip(read.unread, read.texts, strict=True)
    ]
    wrong += [
        f"{_place(place, read.parts)} holds what cannot be sent, such as a line's end; nothing is"
        " sent until it is right"
        for place in read.unsendable
    ]
    return wrong


def missing_values(text: str) -> str:
    """Return which headers are sent without what they are for; empty if there are none.

    The specification allows them, so they are sent; but nobody wants them: most likely they were
    written with a shell variable that is not set, or with one that nobody has put its value for.
    """
    empty, bare, unexpanded = [], [], []
    for place, part in enumerate(filter(None, _BETWEEN.split(text.strip())), 1):
        name, sign, value = part.partition("=")
        name, value = shown_names(part), value.replace("%20", " ").strip()
        if not sign:
            continue
        if name == NAMELESS:  # a key, perhaps, with its padding
            name = f"part {place}"
        if not value:
            empty.append(name)
        elif value.lower() in _SCHEMES:
            bare.append(f"{name} has nothing behind {value}")
        elif found := _UNEXPANDED.fullmatch(value):
            unexpanded.append(found[1] if _SURELY_A_NAME.fullmatch(found[1]) else "$…")
    return "; ".join(filter(None, (_unset(empty, bare), _as_they_are(unexpanded))))


def _unset(empty: list[str], bare: list[str]) -> str:
    if empty:
        bare.insert(0, f"{' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} no value")
    if not bare:
        return ""
    is_one = len(empty) + len(bare) - bool(empty) == 1
    asks = "is the variable in it set?" if is_one else "are the variables in them set?"
    return f"{', '.join(bare)}: {asks}"


def _as_they_are(unexpanded: list[str]) -> str:
    names = list(dict.fromkeys(unexpanded))
    if not names:
        return ""
    stands, was = ("stands in it as it is", "was it")
    if len(names) > 1:
        stands, was = ("stand in it as they are", "were they")
    where = "in single quotes, or in a file that nobody expands?"
    return f"{' and '.join(names)} {stands}: {was} {where}"


def _is_quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]


def _why(part: str) -> str:
    """Return what is wrong with a part that cannot be read, and what helps."""
    if "\n" in part or "\r" in part:
        return "there is a line break in it, as base64 makes them in what is long; take it out"
    if _COLON.match(part):
        return "there is a colon behind its name; expected name=value"
    if _is_quoted(part.partition("=")[2]):
        return "there are quotes behind its =; take them away"
    return _EXPECTED


def _place(place: int, parts: int) -> str:
    return f"part {place} of {parts}" if parts > 1 else "its value"
