"""What the messages of spans say beyond their columns, read where it is asked for.

Two questions are cheap: nodes that depend on others, and uses of models, are found by looking for
their attributes' names in the bytes of a block, and of most blocks that is all. The third, which
spans have the same metadata, has every message read. No OpenTelemetry in here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from phasetrace.analysis.usage import usage_of
from phasetrace.names import (
    COST,
    DEPENDS_ON,
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    is_metadata,
    tells_apart,
)
from phasetrace.protobuf.reading import MalformedMessage, Message, read_fields, read_text
from phasetrace.protobuf.writing import DELIMITED, EIGHT_BYTES, VARINT
from phasetrace.spans import Usage

_ATTRIBUTE: Final = 9 << 3 | DELIMITED
_KEY: Final = 1 << 3 | DELIMITED
_VALUE: Final = 2 << 3 | DELIMITED
_STRING: Final = 1 << 3 | DELIMITED
_INT: Final = 3 << 3 | VARINT
_DOUBLE: Final = 4 << 3 | EIGHT_BYTES
_ARRAY: Final = 5 << 3 | DELIMITED

_WANTED: Final = frozenset((DEPENDS_ON, *INPUT_TOKENS, *OUTPUT_TOKENS, *MODEL, *COST))
_MARKS: Final = (DEPENDS_ON.encode(), b"gen_ai.usage.")
_TEXT: Final = bytes((_STRING,))
_MAX_KEPT: Final = 4_096
_double = struct.Struct("<d").unpack


class Details(NamedTuple):
    """What a span says of itself, as in `phasetrace.spans.SpanRecord`."""

    depends_on: tuple[str, ...] = ()
    usage: Usage | None = None
    metadata: int | None = None


NOTHING: Final = Details()


class _Attribute(NamedTuple):
    """``tells`` whether this makes the metadata of a span worth comparing."""

    name: str
    value: Any
    hash: int
    is_metadata: bool
    tells: bool


class DetailsReader:
    """Reads the details of spans, block by block; attributes recur, and are read once.

    `with_metadata` has the hash of each span's metadata worked out.
    """

    def __init__(self, with_metadata: bool) -> None:
        self._with_metadata = with_metadata
        self._known: dict[bytes, _Attribute] = {}

    def has_any(self, payload: bytes) -> bool:
        """Tell whether the messages of a block can have details at all."""
        return self._with_metadata or any(mark in payload for mark in _MARKS)

    def read(self, message: bytes) -> Details:
        """Return the details of a span; nothing of a message that is damaged."""
        if not self.has_any(message):
            return NOTHING
        try:
            found = [
                self._attribute(data) for tag, data in read_fields(message) if tag == _ATTRIBUTE
            ]
        except MalformedMessage:
            return NOTHING
        values = {one.name: one.value for one in found if one.value is not None}
        metadata = None
        if any(one.tells for one in found):
            metadata = hash(tuple(sorted(one.hash for one in found if one.is_metadata)))
        return Details(_names(values.get(DEPENDS_ON)), usage_of(values), metadata)

    def _attribute(self, pair: bytes) -> _Attribute:
        known = self._known.get(pair)
        if known is None:
            name, value = "", b""
            for tag, data in read_fields(pair):
                if tag == _KEY:
                    name = read_text(data)
                elif tag == _VALUE:
                    value = data
            known = _Attribute(
                name,
                _value(value) if name in _WANTED else None,
                hash(pair),
                is_metadata(name),
                self._with_metadata and value[:1] == _TEXT and tells_apart(name),
            )
            if len(self._known) < _MAX_KEPT:
                self._known[pair] = known
        return known


def _value(message: bytes) -> Any:
    """Return a string, a number or a sequence of strings; None for what is something else."""
    for tag, data in read_fields(message):
        if tag == _STRING:
            return read_text(data)
        if tag == _INT:
            return data - 2**64 if data >= 2**63 else data
        if tag == _DOUBLE:
            return _double(data.to_bytes(8, "little"))[0]
        if tag == _ARRAY:
            return tuple(_value(item) for item in Message(data).messages(1))
    return None


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    items: Iterable[Any] = value if isinstance(value, tuple) else ()
    return tuple(item for item in items if isinstance(item, str))
