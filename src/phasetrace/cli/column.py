"""How far the cursor is in its row, as far as what a program has printed tells.

A terminal that has just filled a row leaves the cursor on the last character and only notes that
the next one goes into the next row ("pending wrap", DEC VT510, DECAWM). Whatever is drawn then, be
it below, forgets the note or erases the character. So one has to know when the cursor is there.
"""

from __future__ import annotations

import re
from typing import Final

_COLOUR: Final = re.compile(rb"\x1b\[[\d;:]*m")
_ASCII: Final = re.compile(rb"[ -~]*")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TAB: Final = 8


class Column:
    """The column of a cursor, from what is printed; begins in the first one. Not thread-safe."""

    def __init__(self) -> None:
        self._most = 0
        self._is_exact = True
        self._is_lost = False

    def start_row(self) -> None:
        """Note that the cursor is at the start of a row."""
        self._most, self._is_exact, self._is_lost = 0, True, False

    def add(self, data: bytes) -> None:
        """Note what was printed, in any encoding whose lines end with a newline as in ASCII.

        Characters that are not ASCII take at most as many columns as bytes, a tab at most eight.
        Of a row with anything else, but colours, nothing is known until the next newline.
        """
        end = data.rfind(b"\n")
        if end >= 0:
            self.start_row()
        row = _COLOUR.sub(b"", data[end + 1 :])
        if _ASCII.fullmatch(row):
            self._most += len(row)
            return
        self._is_exact = False
        self._is_lost = self._is_lost or _CONTROL.search(row) is not None
        self._most += len(row) + (_TAB - 1) * row.count(b"\t")

    def may_be_at_edge(self, columns: int) -> bool:
        """Tell whether the cursor may stand at the end of a row that is full."""
        if self._is_lost or columns <= 0:
            return True
        if self._is_exact:
            return self._most > 0 and self._most % columns == 0
        return self._most >= columns
