"""Texts from spans on their way into a page: escaped where they are harmful, cut where too long."""

from __future__ import annotations

from typing import Any, Final

from phasetrace.rendering import safe

LONGEST: Final = 400
"""Longer texts lose their middle, or names of many kilobytes would make up most of a page."""
NAMELESS: Final = "(no name)"
"""What is shown of an empty text, which would not be seen."""
MOST_LINES: Final = 30
"""Of a text of more lines, such as a stack trace, those in the middle are left out."""
_LAST_LINES: Final = 22
_TAIL: Final = 100
_MOST_EXACT: Final = 2**53 - 1


def shown(text: str) -> str:
    r"""Return a text as it is shown: ``\x1b`` and ``\u202e`` spelt out, at most `LONGEST` long."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - _TAIL - 1]}…{text[-_TAIL:]}"
    text = safe(text) or NAMELESS
    if len(text) > LONGEST:  # of control characters alone
        text = f"{text[: LONGEST - _TAIL - 1]}…{text[-_TAIL:]}"
    return text


def shown_lines(text: str) -> list[str]:
    """Return the lines of a text as they are shown; of many, some of the first and of the last.

    In a stack trace the last lines say what failed, and the first ones where it was called from.
    """
    lines = text.strip("\r\n").split("\n") if text.strip() else []
    if len(lines) > MOST_LINES:
        left_out = len(lines) - MOST_LINES + 1
        head = MOST_LINES - _LAST_LINES - 1
        lines = [*lines[:head], f"… {left_out:,} more lines …", *lines[-_LAST_LINES:]]
    return [shown(line.rstrip("\r").expandtabs(4)) if line.strip() else "" for line in lines]


def for_page(value: Any) -> Any:
    """Return plain values with texts as they are shown, and integers that keep all their digits.

    A browser's numbers are exact up to 2^53 - 1; what is beyond comes as a text of digits.
    """
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, int) and not -_MOST_EXACT <= value <= _MOST_EXACT:
        return str(value)
    if isinstance(value, dict):
        return {key: for_page(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [for_page(item) for item in value]
    return value
