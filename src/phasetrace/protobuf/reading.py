"""Reading protobuf: the fields of a message, whatever bytes are taken for one.

See `phasetrace.protobuf.writing` for the format.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from phasetrace.errors import PhasetraceError
from phasetrace.protobuf.writing import DELIMITED, EIGHT_BYTES, FOUR_BYTES, VARINT

_MAX_UINT64: Final = 2**64 - 1
_MAX_FIELD: Final = 2**29 - 1


class MalformedMessage(PhasetraceError, ValueError):
    """Bytes are not the message that they were taken for: cut off, damaged, or something else."""


def read_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Give the fields of a message in their order: the tag, and an int, or bytes if `DELIMITED`.

    To compare whole tags is to know the type of the value, and to pass over a field that is unknown
    or is written in another way, as the format asks.

    Raises:
        MalformedMessage: when it comes to bytes that are no field.
    """
    at, end = 0, len(data)
    while at < end:
        # PERF: nearly all tags and lengths are one byte; a call for each takes half as long again.
        tag = data[at]
        at += 1
        if tag > 0x7F:
            tag, at = _read_varint(data, at - 1)
        field, kind = tag >> 3, tag & 7
        if not 0 < field <= _MAX_FIELD:
            raise MalformedMessage(f"before byte {at}: no field has the number {field}")
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield tag, value
            continue
        start = at
        if kind == DELIMITED:
            length = data[at] if at < end else 0x80
            start = at + 1
            if length > 0x7F:
                length, start = _read_varint(data, at)
            at = start + length
        elif kind == EIGHT_BYTES:
            at += 8
        elif kind == FOUR_BYTES:
            at += 4
        else:
            raise MalformedMessage(f"before byte {at}: no field is written in the way {kind}")
        if at > end:
            raise MalformedMessage(f"field {field} ends at byte {at}, and the message at {end}")
        value_bytes = data[start:at]
        yield tag, value_bytes if kind == DELIMITED else int.from_bytes(value_bytes, "little")


def read_text(data: bytes) -> str:
    """Return the string that some bytes are.

    Raises:
        MalformedMessage: when they are not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"a string is not UTF-8: {error}") from None


class Message:
    """A message's fields by their number; what is absent is 0, empty, or an empty list.

    A field that is there twice, though it should be once, has its last value.

    Raises:
        MalformedMessage: when the bytes are no message.
    """

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[Any]] = {}
        for tag, value in read_fields(data):
            self._fields.setdefault(tag, []).append(value)

    def number(self, field: int) -> int:
        """Return a varint."""
        return int(self._last(field, VARINT, 0))

    def fixed64(self, field: int) -> int:
        """Return a number of eight bytes."""
        return int(self._last(field, EIGHT_BYTES, 0))

    def fixed32(self, field: int) -> int:
        """Return a number of four bytes."""
        return int(self._last(field, FOUR_BYTES, 0))

    def data(self, field: int) -> bytes:
        """Return bytes, or a message within this one."""
        return bytes(self._last(field, DELIMITED, b""))

    def text(self, field: int) -> str:
        """Return a string."""
        return read_text(self.data(field))

    def messages(self, field: int) -> list[bytes]:
        """Return the messages of a repeated field."""
        return self._fields.get(field << 3 | DELIMITED, [])

    def _last(self, field: int, kind: int, absent: Any) -> Any:
        return self._fields.get(field << 3 | kind, (absent,))[-1]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise MalformedMessage(f"the message ends at byte {at}, within a number")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & _MAX_UINT64, at  # more bits are cut off, as protobuf's parsers do
    raise MalformedMessage(f"before byte {at}: no number is longer than 10 bytes")
