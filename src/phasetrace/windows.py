"""Looking for expressions in long texts, a piece at a time.

`re` holds the interpreter's lock for the whole of one search, and of ``[a-z]+@`` one takes the
square of the text's length: 7 s for 65,536 letters. So no search is over more than a window, and
between two the interpreter may switch threads. Whatever takes up to `REACH` characters, with what
it looks at ahead, is found as `re` finds it in the whole text; longer matches are, where they can
be told from the end of a window. What needs more to be told (``BEGIN.*END``) is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

WINDOW: Final = 2_048
"""Characters; no longer text is looked through in pieces."""
REACH: Final = 1_024
"""Characters from where a match begins that are always in the window."""
_AHEAD: Final = 256
"""Where a match ends that close to the end of its window, that may be the only reason for it."""
_MOST_IN_VAIN: Final = 16_000_000
"""Characters of a text that are looked at again without finding anything; some 0.1 s."""


def without(pattern: re.Pattern[str], text: str, mark: str) -> str:
    """Return a text with a mark in the place of each match that is not empty."""
    if len(text) <= WINDOW:
        return pattern.sub(lambda found: mark if found[0] else "", text)
    parts: list[str] = []
    shown_to = 0
    for start, end in spans(pattern, text):
        parts += (text[shown_to:start], mark)
        shown_to = end
    return "".join(parts) + text[shown_to:] if parts else text


def spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Give where matches are that are not empty, in order; none overlaps another."""
    at, in_vain = 0, 0
    while at + WINDOW < len(text):
        first, stop, last = at, at + WINDOW, at + WINDOW - REACH
        at = last
        # What is before the window is seen by ``^``, ``\\b`` and whatever looks behind; what comes
        # after it is not, and so ``$``, ``\\b`` and ``(?!x)`` are true at its end.
        for found in pattern.finditer(text, first, stop):
            start, end = found.span()
            if start >= last:
                break
            if start == end:
                continue
            if end > stop - _AHEAD and in_vain < _MOST_IN_VAIN:
                whole = pattern.match(text, start)
                if whole is None:
                    in_vain += len(text) - start
                    at = start + 1
                    break
                end = whole.end() if whole.end() > start else end
                yield start, end
                at = end
                break
            yield start, end
            at = max(last, end)
    yield from (found.span() for found in pattern.finditer(text, at) if found[0])
