"""Comparing what two sources tell of an execution."""

from __future__ import annotations

from typing import Any

import pytest

from phasetrace.recordings.assembled import AssembledSource
from phasetrace.recordings.comparison import Comparison, compare
from phasetrace.recordings.otlp_json import SpanDecoder
from phasetrace.store.stored import StoredExecution
from tests.phasetrace.recordings.made import S, document, phase, root

SPANS = [
    root("e", "run", 1, 10 * S),
    phase(1, "e", "p", "n", start=7, end=S + 1_999, iteration=1),
    phase(2, "e", "q", "n", start=S, end=2 * S + 1, depends_on=["a"]),
]


def source(spans: list[Any]) -> AssembledSource:
    """Return the source of some spans."""
    return AssembledSource(SpanDecoder().decode(document(spans)), lambda _: "running")


def compared(there: list[Any], here: list[Any] = SPANS) -> Comparison:
    """Compare two sources of the execution ``e``."""
    first = source(here)
    return compare(first, first.find("e"), source(there))


def changed(number: int, *more: Any, **fields: Any) -> list[Any]:
    """Return the spans with one of them changed, and more."""
    spans = [dict(one) for one in SPANS]
    spans[number] |= fields
    return [*spans, *more]


def cut(spans: list[Any]) -> list[Any]:
    """Return spans as a backend keeps them that has a start and a duration in microseconds."""
    result = []
    for one in spans:
        start, end = int(one["startTimeUnixNano"]), int(one["endTimeUnixNano"])
        start_us, duration_us = start // 1_000, (end - start) // 1_000
        times = {
            "startTimeUnixNano": str(start_us * 1_000),
            "endTimeUnixNano": str((start_us + duration_us) * 1_000),
        }
        result.append({**one, **times})
    return result


def test_the_same_spans_are_the_same_in_any_order() -> None:
    """And how many are the same is said."""
    found = compared(SPANS[::-1])
    assert found.is_same
    assert (found.spans, found.nodes, found.phases) == (3, 1, 2)
    assert (found.duration_ns, found.spans_there) == (10 * S - 1, 3)
    assert found.is_whole
    assert not found.is_cut


def test_what_is_missing_and_what_is_more_is_told_by_its_start() -> None:
    """And so are the numbers that it makes differ."""
    found = compared([SPANS[0], phase(8, "e", start=5), phase(7, "e", start=4)])
    assert [one.span_id for one in found.missing] == [1, 2]
    assert [one.span_id for one in found.extra] == [7, 8]
    assert not found.is_same
    numbers = {(one.phase, one.what): (one.here, one.there) for one in found.numbers}
    assert numbers["q", "count"] == (1, None)
    assert numbers["p", "count"] == (1, 2)


def test_where_there_is_nothing_of_it_everything_is_missing() -> None:
    """However many other executions there are."""
    found = compared([root("other")])
    assert (len(found.missing), found.spans_there, found.numbers) == (3, 0, ())
    assert not found.is_same


@pytest.mark.parametrize(
    ("number", "fields", "name"),
    [
        (1, {"name": "other"}, "name"),
        (1, {"parentSpanId": "0000000000000002"}, "parent_id"),
        (1, {"status": {"code": 2}}, "status"),
        (1, {"startTimeUnixNano": str(int(SPANS[1]["startTimeUnixNano"]) + 1)}, "start_ns"),
        (1, {"attributes": SPANS[1]["attributes"][1:]}, "iteration"),
        (2, {"attributes": SPANS[2]["attributes"][1:]}, "depends_on"),
    ],
)
def test_a_span_that_differs_is_told_with_what_differs(
    number: int, fields: dict[str, Any], name: str
) -> None:
    """Whatever numbers are worked out of."""
    found = compared(changed(number, **fields))
    (one,) = found.changed
    assert (one.span.span_id, list(one.fields)) == (number, [name])
    assert not found.is_same


def test_metadata_are_not_compared() -> None:
    """Backends add some of their own."""
    extra = {"key": "otel.scope.name", "value": {"stringValue": "x"}}
    assert compared(changed(1, attributes=[*SPANS[1]["attributes"], extra])).is_same


def test_times_cut_to_microseconds_are_as_good_as_can_be() -> None:
    """They are said to be so, and nothing else may differ."""
    found = compared(cut(SPANS))
    assert found.is_same
    assert found.is_cut
    assert not found.numbers
    assert not compared(cut(SPANS[:2])).is_same
    assert not compared(cut(changed(1, name="x"))).is_same


@pytest.mark.parametrize(
    ("field", "by"), [("startTimeUnixNano", 1_000), ("endTimeUnixNano", 2_000)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_microsecond_more_is_a_difference(field: str, by: int, sign: int) -> None:
    """A backend that cuts times makes none later, and none earlier by more than it cuts."""
    here = [*SPANS, phase(3, "e", start=2 * S, end=3 * S)]
    there = cut(here)
    there[3][field] = str(int(there[3][field]) + sign * by)
    assert [one.span.span_id for one in compared(there, here).changed] == [3]


def test_times_that_are_whole_microseconds_on_both_sides_are_exact() -> None:
    """Nothing is cut then."""
    here = cut(SPANS)
    found = compared(here, here)
    assert found.is_same
    assert not found.is_cut
    assert found.numbers == ()


def test_an_execution_that_has_not_ended_is_compared_by_its_spans() -> None:
    """Its numbers are different at every moment."""
    found = compared(SPANS[1:], SPANS[1:])
    assert found.is_same
    assert not found.is_whole
    assert compared(SPANS[1:2], SPANS[1:]).numbers == ()


def test_the_roots_of_an_execution_that_two_processes_open_are_two_spans() -> None:
    """Though they have the same id."""
    twice = [*SPANS, root("e", "run", 20 * S, 30 * S)]
    assert compared(twice, twice).is_same
    assert [one.start_ns for one in compared(SPANS, twice).missing] == [
        int(twice[-1]["startTimeUnixNano"])
    ]
    assert len(compared(twice).extra) == 1


class Obliging(AssembledSource):
    """A source that takes an id for something else if there is no such execution."""

    def find(self, exec_id: str) -> StoredExecution:
        """Return the latest."""
        return self.latest()


def test_an_execution_that_is_another_one_is_not_compared() -> None:
    """As Jaeger takes the id of a trace for its execution."""
    first = source(SPANS)
    other = Obliging(SpanDecoder().decode(document([root("other")])), lambda _: "running")
    assert compare(first, first.find("e"), other).spans_there == 0


class OneOff(AssembledSource):
    """A source that gives what cannot be divided to another one than the first does."""

    def breakdown(self, *arguments: Any, **more: Any) -> Any:
        """Move a nanosecond of a share."""
        from dataclasses import replace

        found = super().breakdown(*arguments, **more)
        nodes = [replace(node, share_ns=node.share_ns + 1) for node in found.nodes]
        return replace(found, nodes=tuple(nodes), unattributed_ns=found.unattributed_ns - 1)


def test_a_nanosecond_of_a_share_is_rounding() -> None:
    """Two may have the same claim to it, and sums of floats decide."""
    first = source(SPANS)
    other = OneOff(SpanDecoder().decode(document(SPANS)), lambda _: "running")
    assert compare(first, first.find("e"), other).is_same
