"""Taking measurements from a program as they come: nothing in them may raise."""

from __future__ import annotations

from typing import Any, Final

_NS_PER_MS: Final = 1_000_000


def written(value: object) -> str:
    """Return an id as text."""
    try:
        return "" if value is None else str(value)
    except Exception:  # a hostile __str__ must not reach the measured program
        return f"<unprintable {type(value).__name__}>"


def nanoseconds(dur_ms: Any) -> int:
    """Return a duration in milliseconds as nanoseconds; 0 for what is no length of time."""
    try:
        duration_ns: int = round(dur_ms * _NS_PER_MS)
        return max(0, duration_ns)
    except Exception:  # infinities, NaN, and what is no number at all
        return 0
