"""Writing protobuf: a message is a run of fields, each a tag and a value.

A tag is a field's number and the way its value is written: as a varint, as eight or four bytes, or
as a length and so many bytes. Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from typing import Final

VARINT: Final = 0
EIGHT_BYTES: Final = 1
DELIMITED: Final = 2
FOUR_BYTES: Final = 5

ONE_BYTE: Final = tuple(bytes((number,)) for number in range(0x80))
"""The varints of one byte."""


def varint(number: int) -> bytes:
    """Return a number from 0 to 2⁶⁴ - 1 as a varint: seven bits a byte, the lowest first."""
    if number < 0x80:
        return ONE_BYTE[number]
    # PERF: the usual lengths and counts, in half of the time that the loop takes.
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 0x20_0000:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def tag(field: int, kind: int) -> bytes:
    """Return the tag of a field that is written in one of the ways above."""
    return varint(field << 3 | kind)


def delimited(field: int, value: bytes) -> bytes:
    """Return the field of a string, of bytes, or of a message."""
    return b"".join((tag(field, DELIMITED), varint(len(value)), value))
