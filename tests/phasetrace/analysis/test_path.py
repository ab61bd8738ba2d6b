"""Test critical paths against a walk that goes back a nanosecond at a time."""

from __future__ import annotations

from hypothesis import given

from phasetrace.analysis.network import WHOLE
from phasetrace.analysis.path import critical_path
from phasetrace.analysis.recording import Recording
from tests.phasetrace.analysis import oracles
from tests.phasetrace.analysis.timelines import executions, network, recording, span


def owners(of: Recording) -> list[tuple[int, int, int | None]]:
    """Return who owns the critical path of a recording: span id, length, and which node waits."""
    found = network(of)
    ids = [one.span_id if one is not None else 0 for one in found.spans]
    return [
        (
            ids[segment.place],
            segment.end_ns - segment.start_ns,
            None if segment.waiting is None else ids[segment.waiting],
        )
        for segment in critical_path(found)
    ]


@given(executions())
def test_the_path_is_the_one_of_the_definition(of: Recording) -> None:
    """Whoever a walk by the nanosecond comes by owns that nanosecond."""
    found = network(of)
    owned = [
        (segment.place, segment.waiting)
        for segment in critical_path(found)
        for _ in range(segment.start_ns, segment.end_ns)
    ]
    assert owned == oracles.walk(found)


@given(executions())
def test_the_path_is_the_whole(of: Recording) -> None:
    """Its segments follow each other without a gap, and none is empty."""
    found = network(of)
    path = critical_path(found)
    now_ns = found.starts[WHOLE]
    for segment in path:
        assert segment.start_ns == now_ns < segment.end_ns
        now_ns = segment.end_ns
    assert now_ns == found.ends[WHOLE]


@given(executions())
def test_whoever_owns_a_part_of_the_path_was_active(of: Recording) -> None:
    """Throughout that part; and a node that waited had not started."""
    found = network(of)
    for place, start_ns, end_ns, waiting in critical_path(found):
        assert found.starts[place] <= start_ns < end_ns <= found.ends[place]
        assert waiting is None or end_ns <= found.starts[waiting]


def test_calls_back_to_back_are_all_on_the_path() -> None:
    """What ends at the very instant at which the next one starts was waited for."""
    of = recording(span(1, None, 100, 300), span(2, 1, 100, 200, "a"), span(3, 1, 200, 300, "b"))
    assert owners(of) == [(2, 100, None), (3, 100, None)]


def test_a_task_that_outlives_its_phase_is_on_the_path() -> None:
    """What it ends in is what waited for it, and it began in the phase that started it."""
    of = recording(
        span(1, None, 0, 10),
        span(2, 1, 0, 9, "a"),
        span(3, 2, 1, 3, "a", "start"),
        span(4, 3, 2, 8, "a", "task"),
    )
    assert owners(of) == [(2, 1, None), (3, 1, None), (4, 6, None), (2, 1, None), (1, 1, None)]


def test_a_task_that_the_last_one_started_when_it_had_ended_is_on_the_path() -> None:
    """Children of what is over begin in what is still there."""
    of = recording(span(1, None, 0, 9), span(2, 1, 0, 4, "a"), span(3, 2, 5, 9, "b"))
    assert owners(of) == [(2, 4, None), (1, 1, None), (3, 4, None)]


def test_a_child_that_ended_before_its_parent_started_is_on_the_path() -> None:
    """Clocks differ; the whole time of the child is that of nobody else."""
    of = recording(span(1, None, 0, 9), span(2, 1, 5, 9, "a"), span(3, 2, 1, 4, "a", "p"))
    assert owners(of) == [(1, 1, None), (3, 3, None), (1, 1, None), (2, 4, None)]


def test_of_calls_that_ended_together_the_one_that_started_first_is_on_the_path() -> None:
    """The other one was waited for no longer."""
    of = recording(span(1, None, 0, 9), span(2, 1, 3, 9, "a"), span(3, 1, 1, 9, "b"))
    assert owners(of) == [(1, 1, None), (3, 8, None)]


def test_a_node_that_waited_for_others_is_preceded_by_the_last_of_them() -> None:
    """And not by what merely ran meanwhile; from the last one's end on it waited."""
    of = recording(
        span(1, None, 0, 20),
        span(2, 1, 0, 5, "fast"),
        span(3, 1, 0, 8, "slow"),
        span(4, 1, 0, 11, "unrelated"),
        span(5, 1, 12, 20, "last", depends_on=["fast", "slow"]),
    )
    assert owners(of) == [(3, 8, None), (1, 4, 5), (5, 8, None)]


def test_a_node_that_was_handed_work_waited_until_that_was_done() -> None:
    """Of a dependency that goes on, the last thing it did by then counts."""
    of = recording(
        span(1, None, 0, 20),
        span(2, 1, 0, 15, "source"),
        span(3, 2, 0, 6, "source", "batch"),
        span(4, 1, 6, 20, "sink", depends_on=["source"]),
    )
    assert owners(of) == [(3, 6, None), (4, 14, None)]


def test_nodes_that_wait_for_each_other_are_left_in_the_end() -> None:
    """A circle of dependencies keeps no walk from ending."""
    of = recording(
        span(1, None, 0, 9),
        span(2, 1, 3, 3, "a", depends_on=["b"]),
        span(3, 1, 3, 9, "b", depends_on=["a", "b"]),
    )
    assert owners(of) == [(1, 3, None), (3, 6, None)]


def test_a_node_did_not_wait_before_there_was_what_it_began_in() -> None:
    """Its dependency was done long before; what else was done there did not hold it up."""
    of = recording(
        span(1, None, 0, 20),
        span(2, 1, 0, 5, "x"),
        span(3, 1, 10, 20, "p"),
        span(4, 3, 12, 15, "unrelated"),
        span(5, 3, 16, 20, "n", depends_on=["x"]),
    )
    assert owners(of) == [(2, 5, None), (1, 5, None), (3, 6, 5), (5, 4, None)]


def test_a_node_whose_dependency_goes_on_does_not_wait_for_it() -> None:
    """Nothing has happened in that one since before there was what the node began in."""
    of = recording(
        span(1, None, 0, 20),
        span(2, 1, 0, 18, "x"),
        span(3, 1, 10, 20, "p"),
        span(4, 3, 16, 20, "n", depends_on=["x"]),
    )
    assert owners(of) == [(1, 10, None), (3, 6, None), (4, 4, None)]


def test_the_whole_ends_after_all_that_happens_at_its_end() -> None:
    """Also what has no length was waited for there."""
    of = recording(
        span(1, None, 0, 10), span(2, 1, 0, 3, "x"), span(3, 1, 10, 10, "n", depends_on=["x"])
    )
    assert owners(of) == [(2, 3, None), (1, 7, 3)]


def test_what_has_no_length_does_not_hold_up_what_starts_at_its_instant() -> None:
    """As little as whatever it waited for."""
    of = recording(
        span(1, None, 0, 10),
        span(2, 1, 0, 2, "x"),
        span(3, 1, 0, 4, "y"),
        span(4, 1, 5, 5, "instant", depends_on=["x"]),
        span(5, 1, 5, 10, "next"),
    )
    assert owners(of) == [(3, 4, None), (1, 1, None), (5, 5, None)]


def test_a_whole_of_no_length_has_no_path() -> None:
    """Nor has an execution without spans."""
    assert owners(recording()) == []
    assert owners(recording(span(1, None, 5, 5), span(2, 1, 5, 5, "a"))) == []
