"""Test when open spans are to have rows, and that these are told again while they are open."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from phasetrace.store.open_spans import OpenSpans

S = 1_000_000_000


def span(span_id: int, start_s: float) -> ReadableSpan:
    """Return a span that has started."""
    context = SpanContext(1, span_id, is_remote=False)
    return ReadableSpan("p", context=context, start_time=int(start_s * S))


def due(of: OpenSpans, now_s: float) -> list[int]:
    """Return the ids of what is due."""
    contexts = [one.get_span_context() for one in of.due(int(now_s * S))]
    return sorted(context.span_id for context in contexts if context is not None)


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
    assert due(of, 1_046) == [1, 2]
    assert due(of, 1_047) == [1, 2]


def test_what_has_ended_is_told_no_more() -> None:
    """Also where its end has not been written yet."""
    ours = {1: span(1, 1), 2: span(2, 1)}
    of = OpenSpans(ours)
    assert due(of, 2) == [1, 2]
    del ours[1]
    assert due(of, 3) == [2]
    assert of.closed([1]) == [1]
    ours.clear()
    assert of.closed([2]) == [2]
    assert due(of, 4) == []
