"""Reading the columns of a page as its script does, for tests of what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import Any, NamedTuple


class Read(NamedTuple):
    """A span as it comes out of the columns; times in nanoseconds after the start of the whole."""

    row: int
    lane: int
    start_ns: int
    end_ns: int
    parent: int


def spans(columns: dict[str, Any]) -> list[Read]:
    """Return the spans that columns are of."""
    parents = list(accumulate(columns["parent"]))
    found: list[Read] = []
    for row, lanes in enumerate(columns["lanes"]):
        for lane, count in enumerate(lanes):
            clock = 0
            for _ in range(count):
                number = len(found)
                start = clock + int(columns["gap"][number])
                clock = start + int(columns["length"][number])
                found.append(Read(row, lane, start, clock, parents[number]))
    return found


def numbers(deltas: Iterable[int]) -> list[int]:
    """Return the numbers that deltas are of."""
    return list(accumulate(deltas))
