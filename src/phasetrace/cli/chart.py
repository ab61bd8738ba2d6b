"""A column chart as lines of text: a column a run, the newest at the right.

Columns begin at nothing, so that their heights compare as their values do. What the colour of one
says, the letter below it says as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from phasetrace.rendering import cells

HEIGHT: Final = 8
"""Rows of a chart."""

_WIDEST: Final = 6
_LEAST_WITH_GAP: Final = 2
_RED: Final = "\x1b[31m"
_GREEN: Final = "\x1b[32m"
_RESET: Final = "\x1b[0m"


class Column(NamedTuple):
    """A column: its height (None: there is none), and the letter below one that is unusual."""

    value: int | None
    letter: str = ""


class _Glyphs(NamedTuple):
    """What a chart is drawn with: parts of a cell in eighths, and the axes."""

    parts: str
    axis: str
    tick: str
    corner: str
    floor: str


_UNICODE: Final = _Glyphs(" ▁▂▃▄▅▆▇█", "│", "┤", "└", "─")
_ASCII: Final = _Glyphs(" ..::::##", "|", "+", "+", "-")


def chart_lines(
    columns: Sequence[Column],
    labels: Mapping[int, str],
    ends: tuple[str, str],
    width: int,
    *,
    in_ascii: bool = False,
    colour: bool = False,
) -> list[str]:
    """Return the lines of a chart of one column at least; `fitting` says how many there can be.

    `labels` are what to write beside the axis at a value, the more important first: of those that
    come into one row the first is written. `ends` are what the first and the last column are of.
    """
    glyphs = _ASCII if in_ascii else _UNICODE
    top = max((column.value or 0 for column in columns), default=0) or 1
    at_row: dict[int, str] = {}
    for value, label in labels.items():
        at_row.setdefault(_row_of(value, top), label)
    margin = max(cells(label) for label in [*labels.values(), "0"])
    step = min((width - margin - 2) // len(columns), _WIDEST)
    bar = step - (step >= _LEAST_WITH_GAP)
    lines = []
    for row in range(HEIGHT, 0, -1):
        label = at_row.get(row, "")
        axis = glyphs.tick if label else glyphs.axis
        parts = [_part(column, row, top, glyphs) * bar for column in columns]
        drawn = _drawn(columns, [part.ljust(step) for part in parts], colour)
        lines.append(f"{' ' * (margin - cells(label))}{label} {axis}{drawn}".rstrip())
    left = " " * (margin + 2)
    lines.append(f"{'0':>{margin}} {glyphs.corner}{glyphs.floor * (step * len(columns))}")
    if any(column.letter for column in columns):
        letters = [column.letter.center(bar).ljust(step) for column in columns]
        lines.append(f"{left}{_drawn(columns, letters, colour)}".rstrip())
    return [*lines, left + _spread(ends, step * len(columns) - (step > bar))]


def fitting(width: int, labels: Sequence[str]) -> int:
    """Return how many columns there is room for beside the labels of the axis."""
    return max(0, width - max(map(cells, labels), default=0) - 2)


def _level(value: int, top: int) -> int:
    """Return how many eighths of a row a value is high; what is there at all is seen."""
    return max(round(value * HEIGHT * 8 / top), 1) if value > 0 else 0


def _row_of(value: int, top: int) -> int:
    return min(max(-(-_level(value, top) // 8), 1), HEIGHT)


def _part(column: Column, row: int, top: int, glyphs: _Glyphs) -> str:
    eighths = _level(column.value or 0, top) - 8 * (row - 1)
    return glyphs.parts[min(max(eighths, 0), 8)]


def _drawn(columns: Sequence[Column], parts: Sequence[str], colour: bool) -> str:
    if not colour:
        return "".join(parts)
    text = ""
    pairs = zip(columns, parts, strict=True)
    for is_unusual, group in groupby(pairs, key=lambda pair: bool(pair[0].letter)):
        text += (_RED if is_unusual else _GREEN) + "".join(part for _, part in group) + _RESET
    return text


def _spread(ends: tuple[str, str], width: int) -> str:
    first, last = ends
    if cells(first) + cells(last) + 2 > width:
        return first if first == last else f"{first} to {last}"
    return first + " " * (width - cells(first) - cells(last)) + last
