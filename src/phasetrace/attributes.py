"""Metadata of any type, turned into the nearest value that a span can carry.

A span attribute is None, bool, int (64 bits), float, str, bytes, or a sequence or mapping of those
(OpenTelemetry specification, "Attribute", AnyValue). Whatever else is given is kept in its most
faithful form: nothing raises, nothing is dropped but what is over a limit.
"""

from __future__ import annotations

import json
import logging
import numbers
from collections.abc import Mapping, Sequence, Set
from typing import Any, cast

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.util.types import AttributeValue

MAX_VALUE_LENGTH = 64 * 1024
"""Characters (or bytes) of one value, where no standard variable sets another limit."""
MAX_DEPTH = 8
MAX_ITEMS = 1_000
"""Elements of one value, counted over all its levels."""

_INT64 = range(-(2**63), 2**63)


def _carries_nested_values() -> bool:
    # Mappings and mixed sequences became legal values in SDK 1.45; earlier ones drop the attribute.
    logger = logging.getLogger("opentelemetry.attributes")
    before, logger.disabled = logger.disabled, True
    probe: Any = {"probe": {"nested": 1}}
    try:
        return bool(BoundedAttributes(attributes=probe))
    finally:
        logger.disabled = before


NESTED_VALUES = _carries_nested_values()


def text(value: object) -> str:
    r"""Return `value` as a string that UTF-8 can carry; lone surrogates become ``\udxxx``."""
    try:
        result = value if type(value) is str else str(value)
        if result.isascii():
            return result
        return result.encode("utf-8", "backslashreplace").decode("utf-8")
    except Exception:  # a hostile __str__ must not reach the measured program
        return f"<unprintable {type(value).__name__}>"


def faithful(value: object, max_length: int = MAX_VALUE_LENGTH) -> AttributeValue:
    """Return the span attribute that says `value` best; never raises."""
    kind = type(value)
    if kind is str:
        return text(value)[:max_length]
    if kind is bool or kind is float or (kind is int and value in _INT64):
        return cast("AttributeValue", value)
    try:
        result = _convert(value, max_length, MAX_DEPTH, [MAX_ITEMS])
    except Exception:
        return text(value)[:max_length]
    return cast("AttributeValue", result if NESTED_VALUES else _flat(result, max_length))


def _convert(value: Any, max_length: int, depth: int, items_left: list[int]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return text(value)[:max_length]
    if isinstance(value, numbers.Integral):
        return _integer(int(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)[:max_length]
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        return float(value)
    if depth == 0 or items_left[0] <= 0:
        return "…"
    if isinstance(value, Mapping):
        return {
            text(key)[:max_length] or "''": _convert(item, max_length, depth - 1, items_left)
            for key, item in _within(value.items(), items_left)
        }
    if isinstance(value, (Sequence, Set)):
        return [
            _convert(item, max_length, depth - 1, items_left) for item in _within(value, items_left)
        ]
    return text(value)[:max_length]


def _within(items: Any, items_left: list[int]) -> Any:
    for item in items:
        if items_left[0] <= 0:
            return
        items_left[0] -= 1
        yield item


def _integer(value: int) -> int | str:
    if value in _INT64:
        return value
    try:
        return str(value)
    except ValueError:  # past sys.get_int_max_str_digits()
        return hex(value)


def _flat(value: Any, max_length: int) -> AttributeValue:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    one_type = isinstance(value, list) and len({type(item) for item in value}) <= 1
    if one_type and (not value or isinstance(value[0], (str, bool, int, float))):
        return value  # type: ignore[no-any-return]
    if value is None or isinstance(value, (dict, list)):
        return json.dumps(value, default=str, ensure_ascii=False)[:max_length]
    return value  # type: ignore[no-any-return]
