"""Attributes as JSON has them, and as text in one cell."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from math import isfinite, isnan
from typing import Any, Final

_EXACT: Final = 2**53
"""Beyond these JavaScript's numbers are not integers any more."""


def plain(value: Any) -> Any:
    """Return a value that JSON has, and that JavaScript reads as what it is.

    Bytes are base64; what is no number, or one beyond 2⁵³, is a string.
    """
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if type(value) is int and not -_EXACT <= value <= _EXACT:
        return str(value)
    return value


def compact(value: Any) -> str:
    """Return a value as JSON in ASCII, on one line."""
    return json.dumps(plain(value), separators=(",", ":"))
