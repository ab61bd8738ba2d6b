"""Test when open spans are to have rows, and that these are told again while they are open."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from phasetrace.store.open_spans import OpenSpans

S = 1_000_000_000


def span(span_id: int, start_s: float, exec_id: str = "e") -> ReadableSpan:
    """Return a span that has started."""
    context = SpanContext(1, span_id, is_remote=False)
    attributes = {"exec_id": exec_id, "node_id": "n"}
    return ReadableSpan("p", context=context, start_time=int(start_s * S), attributes=attributes)


def due(of: OpenSpans, now_s: float) -> list[int]:
    """Return the ids of what is due, all of which are open just then."""
    entries = of.due(int(now_s * S))
    assert all(entry.end_ns == int(now_s * S) and not entry.ended for entry in entries)
    return sorted(entry.span_id for entry in entries)


def test_a_span_is_due_when_it_has_been_open_for_a_second() -> None:
    """And then every second for as long as it is young."""
    ours = {1: span(1, 100)}
    of = OpenSpans(ours)
    assert due(of, 100.9) == []
    assert due(of, 101.0) == [1]
    assert due(of, 101.8) == []
    assert due(of, 102.0) == [1]
    assert due(of, 102.5) == []
    assert due(of, 103.0) == [1]


def test_what_is_open_for_long_is_told_seldom() -> None:
    """Within a fiftieth of its age; a young one beside it brings the seconds back."""
    ours = {1: span(1, 1)}
    of = OpenSpans(ours)
    assert due(of, 1_000) == [1]
    assert due(of, 1_001) == [1]
    assert [now for now in range(1_002, 1_044) if due(of, now)] == [1_021, 1_042]
    ours[2] = span(2, 1_044)
    assert due(of, 1_045) == [2]
    assert due(of, 1_046) == [2]
    assert due(of, 1_047) == [2]


def test_what_has_ended_is_told_no_more() -> None:
    """Also where its end has not been written yet."""
    ours = {1: span(1, 1), 2: span(2, 1)}
    of = OpenSpans(ours)
    assert due(of, 2) == [1, 2]
    del ours[2]
    assert due(of, 3) == [1]
    assert of.closed([2]) == [2]
    ours.clear()
    assert due(of, 4) == []
    assert of.closed([1, 2]) == [1]


def test_each_execution_is_told_of_by_one_of_its_spans() -> None:
    """However many are open: it is the execution that is known to go on."""
    ours = {number: span(number, 1, f"e{number % 3}") for number in range(1, 3_001)}
    of = OpenSpans(ours)
    assert len(due(of, 2)) == 3_000
    for now in range(3, 10):
        assert {entry.exec_id for entry in of.due(now * S)} == {"e0", "e1", "e2"}
    assert len(of.due(10 * S)) == 3


def test_nothing_is_kept_of_executions_that_are_over() -> None:
    """A program may have any number of them, one after the other."""
    ours: dict[int, ReadableSpan] = {}
    of = OpenSpans(ours)
    for number in range(1, 20):
        ours[number] = span(number, number, f"e{number}")
        of.start_execution(ours[number])
        assert due(of, number + 0.1) == [number]
        del ours[number]
        assert of.closed([number]) == [number]
    assert due(of, 30) == []
    assert (of._rows, of._again_of) == ({}, {})
