"""The values of OTLP as JSON has them, as Python's values.

Source: OTLP specification, "JSON Protobuf Encoding"
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), and ProtoJSON
(https://protobuf.dev/programming-guides/json/). What is read is more than what is written today:
keys in lowerCamelCase or as in the .proto files, ids in hex or (as protobuf's own printer writes
them) in base64, 64-bit integers as strings or as numbers, enums as numbers or by name.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

_MOST_SHOWN: Final = 60
_ERROR_CODE: Final = 2
_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1
_MAX_UINT64: Final = 2**64 - 1
_ALPHABETS: Final = bytes.maketrans(b"-_", b"+/")


class MalformedJson(ValueError):
    """Something is not what OTLP has in its place; says what it is and what was expected."""


def field(message: Mapping[str, Any], name: str, in_proto: str) -> Any:
    """Return a field of a message by either of its names; None if it is absent."""
    value = message.get(name)
    return value if value is not None else message.get(in_proto)


def messages(message: Mapping[str, Any], name: str, in_proto: str) -> list[dict[str, Any]]:
    """Return the messages of a repeated field.

    Raises:
        MalformedJson: if it is no list of objects.
    """
    value = field(message, name, in_proto)
    if value is None:
        return []
    if type(value) is not list or not all(type(item) is dict for item in value):
        raise MalformedJson(f"{name} is {shown(value)} and no list of objects")
    return value


def message_in(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the message in a field, empty if it is absent.

    Raises:
        MalformedJson: if it is no object.
    """
    value = message.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise MalformedJson(f"{name} is {shown(value)} and no object")
    return value


def text_of(value: Any) -> str:
    r"""Return a value as a string in the form in which spans have it.

    Lone surrogates become ``\udxxx``, as `phasetrace.attributes.text` has them.
    """
    result = value if type(value) is str else str(value)
    if result.isascii():
        return result
    return result.encode("utf-8", "backslashreplace").decode("utf-8")


def id_of(value: Any, size: int, name: str) -> int:
    """Return an id of `size` bytes as a number; 0 for an absent, an empty or an invalid one.

    Raises:
        MalformedJson: if it is written in no way that an id is.
    """
    if value is None or value == "":
        return 0
    if type(value) is str:
        try:
            data = bytes.fromhex(value) if len(value) == 2 * size else _from_base64(value)
            if len(data) == size:
                return int.from_bytes(data, "big")
        except ValueError:  # as binascii.Error is
            pass
    raise MalformedJson(f"{name} is {shown(value)} and no id: {2 * size} hex digits are expected")


def integer(value: Any, name: str, least: int = _MIN_INT64, most: int = _MAX_UINT64) -> int:
    """Return a 64-bit integer, with a sign or without; 0 for an absent one.

    Raises:
        MalformedJson: if it is none, or not one from `least` to `most`.
    """
    kind = type(value)
    number = None
    if kind is str and value.isascii():
        with suppress(ValueError):
            number = int(value) if value else 0
    elif kind is int:
        number = value
    elif value is None:
        number = 0
    elif kind is float and value.is_integer():
        number = int(value)
    if number is None:
        raise MalformedJson(f"{name} is {shown(value)} and no integer")
    if not least <= number <= most:
        raise MalformedJson(f"{name} is {shown(value)}; expected {least} to {most}")
    return int(number)


def moment(value: Any, name: str) -> int:
    """Return a time in Unix nanoseconds, which OTLP has in 64 bits without a sign.

    Raises:
        MalformedJson: if it is none.
    """
    return integer(value, name, least=0)


def is_error(code: Any) -> bool:
    """Tell whether the code of a status is that of an error, as a number or by name."""
    if type(code) is str:
        return code.upper() in ("STATUS_CODE_ERROR", "ERROR", str(_ERROR_CODE))
    return bool(code == _ERROR_CODE)


def attributes_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a message; sequences are tuples, and mappings dicts.

    Raises:
        MalformedJson: if something in it is none.
    """
    return _mapping(messages(message, "attributes", "attributes"))


def hashable(value: Any) -> Any:
    """Return what is equal for equal values of equal types, and for no others."""
    kind = type(value)
    if kind is tuple:
        return (kind, tuple(map(hashable, value)))
    if kind is dict:
        return (kind, frozenset((key, hashable(item)) for key, item in value.items()))
    if kind is float:
        return (kind, repr(value))  # no NaN is equal to another
    return (kind, value)


def shown(value: Any) -> str:
    """Return a value as a message about it has it."""
    result = repr(value)
    return result if len(result) <= _MOST_SHOWN else f"{result[: _MOST_SHOWN - 1]}…"


def _mapping(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        value = pair.get("value")
        found[text_of(pair.get("key") or "")] = None if value is None else _any_value(value)
    return found


def _any_value(value: Any) -> Any:
    """Return the value of an ``AnyValue``; None for an empty one and for one of another kind."""
    if type(value) is not dict:
        raise MalformedJson(f"an attribute's value is {shown(value)} and no object")
    for kind, content in value.items():
        read = _KINDS.get(kind)
        if read is not None and content is not None:
            return read(content)
    return None


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise MalformedJson(f"boolValue is {shown(value)} and no boolean")
    return value


def _double(value: Any) -> float:
    try:
        if type(value) is not bool:
            return float(value)  # "NaN" and "Infinity" are strings
    except (TypeError, ValueError, OverflowError):
        pass
    raise MalformedJson(f"doubleValue is {shown(value)} and no number")


def _integer(value: Any) -> int:
    return integer(value, "intValue", most=_MAX_INT64)


def _bytes(value: Any) -> bytes:
    try:
        return _from_base64(value)
    except (AttributeError, ValueError):
        raise MalformedJson(f"bytesValue is {shown(value)} and no base64") from None


def _sequence(value: Any) -> tuple[Any, ...]:
    if type(value) is not dict:
        raise MalformedJson(f"arrayValue is {shown(value)} and no object")
    return tuple(map(_any_value, messages(value, "values", "values")))


def _pairs(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise MalformedJson(f"kvlistValue is {shown(value)} and no object")
    return _mapping(messages(value, "values", "values"))


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "string": text_of,
    "bool": _boolean,
    "int": _integer,
    "double": _double,
    "array": _sequence,
    "kvlist": _pairs,
    "bytes": _bytes,
}
_KINDS: Final = {
    key: read for kind, read in _READERS.items() for key in (f"{kind}Value", f"{kind}_value")
}


def _from_base64(value: str) -> bytes:
    """Return the bytes of base64 in either alphabet, with or without its padding.

    Raises:
        ValueError: if it is none.
    """
    data = value.encode("ascii").translate(_ALPHABETS).rstrip(b"=")
    return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
