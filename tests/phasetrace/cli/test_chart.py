"""Test the column chart."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.cli.chart import HEIGHT, Column, chart_lines, fitting
from phasetrace.rendering import cells

ENDS = ("2026-11-20 08:00", "2026-11-23 18:07")
VALUES = st.lists(st.none() | st.integers(0, 10**13), min_size=1, max_size=30)


def chart(values: list[int | None], width: int = 80, **options: bool) -> list[str]:
    """Return a chart of columns without letters or labels."""
    return chart_lines([Column(value) for value in values], {}, ENDS, width, **options)


def heights(lines: list[str], columns: int, parts: str) -> list[int]:
    """Read how high the columns of a chart are, in parts of a row."""
    step = (max(map(len, lines[: HEIGHT + 1])) - 3) // columns
    return [
        sum(parts.index(line.ljust(200)[3 + at * step]) for line in lines[:HEIGHT])
        for at in range(columns)
    ]


@given(VALUES, st.integers(40, 200))
def test_columns_are_as_high_as_their_values(values: list[int | None], width: int) -> None:
    """To an eighth of a row; the highest is as high as the chart, and what is there is seen."""
    lines = chart(values, width)
    top = max((value or 0 for value in values), default=0)
    for value, height in zip(values, heights(lines, len(values), " ▁▂▃▄▅▆▇█"), strict=True):
        if not value:
            assert height == 0
        else:
            assert height >= 1
            assert abs(height - value * HEIGHT * 8 / top) <= 1
    assert max(map(cells, lines)) <= width


@given(VALUES)
def test_in_ascii_it_is_the_same_chart(values: list[int | None]) -> None:
    """With less to draw it with."""
    lines = chart(values, in_ascii=True)
    assert "".join(lines).isascii()
    in_unicode = heights(chart(values), len(values), " ▁▂▃▄▅▆▇█")
    for height, rows in zip(in_unicode, heights(lines, len(values), " .:#"), strict=True):
        assert rows == height // 8 * 3 + (0, 1, 1, 2, 2, 2, 2, 3)[height % 8]


@given(VALUES)
def test_colour_only_adds_colour(values: list[int | None]) -> None:
    """Without it the chart says the same."""
    columns = [Column(value, "E" * (at % 3 == 0)) for at, value in enumerate(values)]
    plain = chart_lines(columns, {}, ENDS, 80)
    coloured = chart_lines(columns, {}, ENDS, 80, colour=True)
    uncoloured = [re.sub("\x1b\\[[0-9]*m", "", line).rstrip() for line in coloured]
    assert uncoloured == plain
    assert any("\x1b[31m" in line for line in coloured)


def test_labels_are_beside_what_they_are_of() -> None:
    """Of two that come into one row the first is written."""
    columns = [Column(80), Column(40), Column(39), Column(10)]
    lines = chart_lines(columns, {80: "most", 40: "half", 39: "less", 10: "least"}, ENDS, 80)
    labels = [line[:5].strip() for line in lines]
    assert labels == ["most", "", "", "", "half", "", "", "least", "0", ""]
    assert [line[6] for line in lines[:9]] == list("┤│││┤││┤└")


def test_letters_are_below_their_columns() -> None:
    """And there is no line for them where there are none."""
    lines = chart_lines([Column(5), Column(7, "E"), Column(None, "?")], {}, ENDS, 80)
    assert lines[-2] == f"{' ' * 11}E     ?"
    assert len(lines) == len(chart([5, 7, None])) + 1


def test_the_ends_are_at_the_ends() -> None:
    """Or beside each other where there are few columns."""
    assert chart([1] * 30)[-1] == f"   {ENDS[0]}{' ' * 27}{ENDS[1]}"
    assert chart([1] * 3)[-1] == f"   {ENDS[0]} to {ENDS[1]}"
    (*_, last) = chart_lines([Column(1)], {}, (ENDS[0], ENDS[0]), 80)
    assert last == f"   {ENDS[0]}"


def test_as_many_columns_as_there_is_room_for() -> None:
    """One of the terminal's for each, beside the axis."""
    room = fitting(80, ["4.10s", "12ms"])
    assert room == 73
    lines = chart_lines([Column(1)] * room, {1: "4.10s"}, ENDS, 80)
    assert max(map(cells, lines)) == 80
