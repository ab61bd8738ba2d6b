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
        name, _, value = part.partition("=")
        # The padding of a key in base64 looks like a header without a value.
        is_named = value.strip("= \t") and len(name) <= _LONGEST_NAME
        names.append(name.strip() if is_named else NAMELESS)
    return ", ".join(names)


def what_is_wrong(text: str) -> list[str]:
    """Return what is wrong with a list, in words that hold nothing of it."""
    read = read_header_list(text)
    wrong = [
        f"{_place(place, read.parts)} cannot be read and is not sent; expected name=value, with"
        " %2C for a comma, %3B for a semicolon"
        for place in read.unread
    ]
    wrong += [
        f"{_place(place, read.parts)} has a value that cannot be sent, such as a line's end;"
        " nothing is sent until it is right"
        for place in read.unsendable
    ]
    return wrong


def _place(place: int, parts: int) -> str:
    return f"part {place} of {parts}" if parts > 1 else "it"
