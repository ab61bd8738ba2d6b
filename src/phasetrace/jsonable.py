"""Typed values as the plain dicts and lists that JSON has."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any


def jsonable(value: Any) -> Any:
    """Return dataclasses and named tuples as dicts by field, sequences as lists, the rest as is."""
    if is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: jsonable(getattr(value, name)) for name in value._fields}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value
