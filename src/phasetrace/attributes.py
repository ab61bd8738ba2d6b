"""Metadata of any type, turned into the nearest value that a span can carry.

A span attribute is None, bool, int (64 bits), float, str, bytes, or a sequence or mapping of those
(OpenTelemetry specification, "Attribute", AnyValue). Whatever else is given is kept in its most
faithful form: nothing raises, nothing is consumed, nothing is dropped but what is over a limit.
"""

from __future__ import annotations

import json
import logging
import numbers
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import Any, Final, cast

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.util.types import AttributeValue

MAX_VALUE_LENGTH: Final = 64 * 1024
"""Characters (or bytes) of one value, and of all strings in it together.

A standard variable can set another limit for each string.
"""
MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 1_000
"""Elements of one value, counted over all its levels."""
CUT: Final = "…"
"""Stands where a limit cut elements off."""

_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1


def _carries_nested_values() -> bool:
    # Mappings and mixed sequences became legal values in SDK 1.45; earlier ones drop the attribute.
    logger = logging.getLogger("opentelemetry.attributes")
    before, logger.disabled = logger.disabled, True
    probe: Any = {"probe": {"nested": 1}}
    try:
        return bool(BoundedAttributes(attributes=probe))
    finally:
        logger.disabled = before


NESTED_VALUES: Final = _carries_nested_values()


def text(value: object) -> str:
    r"""Return `value` as a string that UTF-8 can carry; lone surrogates become ``\udxxx``."""
    try:
        result = value if type(value) is str else _as_str(value)
    except Exception:  # a hostile __str__ must not reach the measured program
        result = f"<unprintable {object.__repr__(value)[1:]}"
    if result.isascii():
        return result
    return result.encode("utf-8", "backslashreplace").decode("utf-8")


def key(name: object) -> str:
    """Return the key of an attribute: `text`, but never empty, which OpenTelemetry would drop."""
    return text(name) or "''"


def faithful(value: object, max_length: int = MAX_VALUE_LENGTH) -> AttributeValue:
    """Return the span attribute that says `value` best; never raises."""
    # PERF: on the path of every phase with metadata; the four usual types take 0.1 to 0.2 µs.
    kind = type(value)
    if kind is str:
        plain = cast("str", value)
        if len(plain) <= max_length and plain.isascii():
            return plain
        return _cut(plain, max_length)
    if kind is int:
        if _MIN_INT <= cast("int", value) <= _MAX_INT:
            return cast("int", value)
    elif kind is float or kind is bool:
        return cast("float", value)
    result = _Conversion(max_length).of(value, MAX_DEPTH)
    return cast("AttributeValue", result if NESTED_VALUES else _flat(result, max_length))


class _Conversion:
    """The conversion of one value, with what is left of its limits.

    What something is, its type says; ``isinstance`` would also ask ``__class__``, about which mocks
    and proxies lie.
    """

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._length_left = max(max_length, MAX_VALUE_LENGTH)
        self._items_left = MAX_ITEMS
        self._mark = CUT[:max_length]

    def of(self, value: Any, depth: int) -> Any:
        try:
            return self._of(value, depth)
        except Exception:  # it is not what its type promised
            return self._text(value)

    def _of(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            return self._text(value)
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        if issubclass(kind, numbers.Integral):
            return self._integer(int.__int__(value) if issubclass(kind, int) else int(value))
        if issubclass(kind, numbers.Real) and not issubclass(kind, numbers.Rational):
            return float(value)
        if issubclass(kind, Mapping):
            return self._mapping(value, depth)
        if issubclass(kind, (Sequence, Set)):
            return self._sequence(value, depth)
        plain = _from_numpy(value)
        if plain is not None:
            return self.of(plain, depth)
        if issubclass(kind, BaseException):
            return self._text(repr(value))  # str(KeyError(1)) is "1", str(TimeoutError()) is ""
        return self._text(value)

    def _text(self, value: object) -> str:
        limit = min(self._max_length, self._length_left)
        result = _cut(value, limit) if limit else self._mark
        self._length_left = max(0, self._length_left - len(result))
        return result

    def _bytes(self, value: Any) -> bytes:
        limit = min(self._max_length, self._length_left)
        result = bytes(value[:limit])[:limit]
        self._length_left -= len(result)
        return result

    def _integer(self, value: int) -> int | str:
        if _MIN_INT <= value <= _MAX_INT:
            return value
        try:
            digits = str(value)
        except ValueError:  # past sys.get_int_max_str_digits()
            digits = hex(value)
        return self._text(digits)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any] | str:
        if depth == 0:
            return self._mark
        result: dict[str, Any] = {}
        taken, cut = self._take(value.items())
        for name, item in taken:
            name_text = self._text(name) or "''"
            if name_text in result:  # as 1 and "1" are
                name_text = f"{name_text} ({type(name).__name__} {len(result)})"
            result[name_text] = self.of(item, depth - 1)
        if cut:
            result[CUT] = self._mark
        return result

    def _sequence(self, value: Iterable[Any], depth: int) -> list[Any] | str:
        if depth == 0:
            return self._mark
        taken, cut = self._take(value)
        result = [self.of(item, depth - 1) for item in taken]
        if cut:
            result.append(self._mark)
        return result

    def _take(self, items: Iterable[Any]) -> tuple[list[Any], bool]:
        # Taken in one go, which for the built-in types no other thread can disturb.
        taken = list(islice(iter(items), self._items_left + 1))
        cut = len(taken) > self._items_left
        del taken[self._items_left :]
        self._items_left -= len(taken)
        return taken, cut


def _as_str(value: object) -> str:
    if issubclass(type(value), str):
        return str.__str__(value)  # its characters, whatever a subclass's __str__ makes of them
    return str.__str__(str(value))  # a __str__ may return a subclass


def _cut(value: object, max_length: int) -> str:
    if issubclass(type(value), str):
        # Cut first: what is cut off need not be encoded.
        value = str.__getitem__(cast("str", value), slice(max_length))
    return text(value)[:max_length]


def _from_numpy(value: object) -> Any:
    """Return NumPy's values as Python's; None for what is none, or is too large to write out."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.bool_):
        return bool(value)
    if isinstance(value, numpy.ndarray) and value.size <= MAX_ITEMS:
        return value.tolist()
    return None


def _flat(value: Any, max_length: int) -> AttributeValue:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")[:max_length]
    one_type = isinstance(value, list) and len({type(item) for item in value}) <= 1
    if one_type and (not value or isinstance(value[0], (str, bool, int, float))):
        return value  # type: ignore[no-any-return]
    if value is None or isinstance(value, (dict, list)):
        return json.dumps(value, default=_json_default, ensure_ascii=False)[:max_length]
    return value  # type: ignore[no-any-return]


def _json_default(value: Any) -> str:
    return bytes(value).decode("utf-8", "backslashreplace")  # nothing else is left to convert
