"""Columns under titles, as plain text: what every terminal and every file can hold.

In a terminal the columns that may shrink are shortened until lines are no wider than it; elsewhere
nothing is cut. Texts are to be safe already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from phasetrace.rendering import cells, shortened

_GAP: Final = "  "
_LEAST: Final = 10
_BOLD: Final = "\x1b[1m"
_FAINT: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class Column(NamedTuple):
    """A column: its title, whether it is aligned to the right, whether it may be shortened."""

    title: str
    is_number: bool = True
    shrinks: bool = False


def grid_lines(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    width: int = 0,
    colour: bool = False,
    indent: str = "  ",
    keep_empty: bool = False,
) -> list[str]:
    """Return the lines of a table; columns without a text in any row are left out, or kept.

    `width` is that of the terminal, 0 for none. Colour only makes the titles bold.
    """
    shown = [at for at in range(len(columns)) if keep_empty or any(row[at] for row in rows)]
    widths = {at: max(cells(columns[at].title), *(cells(row[at]) for row in rows)) for at in shown}
    if width:
        _shrink(columns, widths, width - len(indent) - len(_GAP) * (len(shown) - 1))
    titles = [column.title for column in columns]
    lines = [_line(columns, titles, widths, indent)]
    if colour:
        lines[0] = f"{_BOLD}{lines[0]}{_RESET}"
    return lines + [_line(columns, row, widths, indent) for row in rows]


def heading(text: str, colour: bool) -> str:
    """Return a line that stands over a table."""
    return f"{_BOLD}{text}{_RESET}" if colour else text


def remark(text: str, colour: bool) -> str:
    """Return a line that explains."""
    return f"{_FAINT}{text}{_RESET}" if colour else text


def _shrink(columns: Sequence[Column], widths: dict[int, int], room: int) -> None:
    """Take from the widest of the columns that may shrink until all fit, or all are narrow."""
    while sum(widths.values()) > room:
        able = [at for at in widths if columns[at].shrinks and widths[at] > _LEAST]
        if not able:
            return
        widest = max(able, key=widths.__getitem__)
        widths[widest] -= 1


def _line(
    columns: Sequence[Column], row: Sequence[str], widths: dict[int, int], indent: str
) -> str:
    parts = []
    for at, room in widths.items():
        text = shortened(row[at], room)
        padding = " " * (room - cells(text))
        parts.append(padding + text if columns[at].is_number else text + padding)
    return (indent + _GAP.join(parts)).rstrip()
