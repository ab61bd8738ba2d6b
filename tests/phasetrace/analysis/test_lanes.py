"""Spans in lanes: what shares one is inside each other or one after the other."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.lanes import lanes
from phasetrace.spans import PHASE, SpanRecord


def span(span_id: int, parent_id: int | None, start: int, end: int) -> SpanRecord:
    """Return a phase."""
    return SpanRecord(span_id, parent_id, PHASE, "p", "n", None, start, end, "ok")


@st.composite
def some_spans(draw: st.DrawFn) -> list[SpanRecord]:
    """Draw spans of any times and parents, circles and missing ones included."""
    count = draw(st.integers(0, 12))
    found = []
    for number in range(1, count + 1):
        start = draw(st.integers(0, 20))
        parent = draw(st.none() | st.integers(1, 14))
        found.append(span(number, parent, start, start + draw(st.integers(0, 10))))
    return draw(st.permutations(found))


@given(some_spans())
def test_no_two_spans_of_a_lane_cross(spans: list[SpanRecord]) -> None:
    """One contains the other, or they have no time in common."""
    for (one, lane), (other, another) in combinations(zip(spans, lanes(spans), strict=True), 2):
        if lane == another:
            is_apart = one.end_ns <= other.start_ns or other.end_ns <= one.start_ns
            is_within = one.start_ns <= other.start_ns and other.end_ns <= one.end_ns
            is_around = other.start_ns <= one.start_ns and one.end_ns <= other.end_ns
            assert is_apart or is_within or is_around


@given(some_spans())
def test_lanes_are_numbered_without_a_gap(spans: list[SpanRecord]) -> None:
    """And there are no more of them than spans that are open at once."""
    used = set(lanes(spans))
    assert used == set(range(len(used)))


def test_a_chain_of_calls_takes_one_lane() -> None:
    """Nested, and one after another."""
    spans = [span(1, None, 0, 10), span(2, 1, 0, 5), span(3, 2, 1, 4), span(4, 1, 5, 10)]
    assert lanes(spans) == [0, 0, 0, 0]


def test_what_runs_at_the_same_time_is_side_by_side() -> None:
    """The first of the branches stays with the parent, and theirs stay with them."""
    spans = [
        span(1, None, 0, 10),
        span(2, 1, 0, 8),
        span(3, 1, 1, 9),
        span(4, 3, 2, 5),
        span(5, 2, 2, 5),
    ]
    assert lanes(spans) == [0, 0, 1, 1, 0]


def test_a_lane_is_used_again() -> None:
    """As soon as it is free."""
    spans = [span(1, None, 0, 10), span(2, 1, 0, 6), span(3, 1, 1, 4), span(4, 1, 4, 6)]
    assert lanes(spans) == [0, 0, 1, 1]


def test_a_long_chain_is_no_recursion() -> None:
    """Each the parent of the next."""
    spans = [span(n, n - 1 or None, n, 100_000) for n in range(1, 50_001)]
    assert set(lanes(spans)) == {0}
