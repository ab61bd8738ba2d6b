"""Test what owns the critical path, and what would be won without it."""

from __future__ import annotations

from hypothesis import given

from phasetrace.analysis.bottlenecks import Bottleneck, Critical, bottlenecks
from phasetrace.analysis.network import WHOLE, Network
from phasetrace.analysis.path import critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.replay import Replay
from phasetrace.spans import PhaseKey, key_of
from tests.phasetrace.analysis import oracles
from tests.phasetrace.analysis.timelines import (
    executions,
    network,
    recording,
    sequential,
    span,
)


def found_in(of: Network) -> list[Bottleneck]:
    """Return all bottlenecks."""
    replay = Replay(of)
    critical = Critical(of, critical_path(of))
    return bottlenecks(of, critical, replay, replay.slacks(), most=100)


def calls(of: Network, one: Bottleneck) -> list[int]:
    """Return the spans that a bottleneck is about, of a node those of its phases as well."""
    keys = {place: key_of(span) for place, span in enumerate(of.spans) if span is not None}
    return [
        place
        for place, key in keys.items()
        if key is not None
        and key.node_id == one.node_id
        and (one.phase is None or key.phase == one.phase)
    ]


@given(executions())
def test_critical_times_add_up_to_the_wall_time(of: Recording) -> None:
    """Those of all keys, what the execution itself owns, and waiting."""
    found = network(of)
    critical = Critical(found, critical_path(found))
    parts = (*critical.by_key.values(), critical.unattributed_ns, critical.waiting_ns)
    assert sum(parts) == found.ends[WHOLE] - found.starts[WHOLE]
    assert min(parts) >= 0


@given(executions())
def test_critical_times_are_those_of_each_nanosecond(of: Recording) -> None:
    """Each goes to the key of its owner, or is waiting."""
    found = network(of)
    by_key: dict[PhaseKey, int] = {}
    waits: dict[PhaseKey, int] = {}
    for place, waiting in oracles.walk(found):
        of_what, into = (place, by_key) if waiting is None else (waiting, waits)
        owner = found.spans[of_what]
        key = key_of(owner) if owner is not None else None
        if key is not None:
            into[key] = into.get(key, 0) + 1
    critical = Critical(found, critical_path(found))
    assert (critical.by_key, critical.waiting) == (by_key, waits)


@given(executions())
def test_a_saving_is_at_most_the_time_in_which_the_calls_were_active(of: Recording) -> None:
    """They and what ends in them; and at most what they own of the critical path, or is waiting."""
    found = network(of)
    path = critical_path(found)
    constraints = oracles.lags(found, in_turn=True)
    wall_ns = found.ends[WHOLE] - found.starts[WHOLE]
    for one in found_in(found):
        gone = oracles.timeless(found, calls(found, one))
        whole = range(found.starts[WHOLE], found.ends[WHOLE])
        active_ns = sum(bool(oracles.active_at(found, gone, now)) for now in whole)
        owned_ns = sum(
            part.end_ns - part.start_ns
            for part in path
            if part.place in gone or part.waiting is not None
        )
        assert 0 <= one.saving_ns <= min(active_ns, owned_ns)
        assert one.duration_ns == wall_ns - one.saving_ns
        assert one.duration_ns == oracles.without(found, calls(found, one), constraints)


@given(executions())
def test_bottlenecks_come_by_what_they_own_of_the_path(of: Recording) -> None:
    """A node has its phases' as well; what has no part of it was waited for in vain."""
    found = network(of)
    by_key = Critical(found, critical_path(found)).by_key
    wall_ns = found.ends[WHOLE] - found.starts[WHOLE]
    told = found_in(found)
    assert [one.critical_ns for one in told] == sorted(
        (one.critical_ns for one in told), reverse=True
    )
    for one in told:
        owned = [
            length_ns
            for key, length_ns in by_key.items()
            if key.node_id == one.node_id and one.phase in (None, key.phase)
        ]
        assert one.critical_ns == sum(owned)
        assert one.critical_ns or one.saving_ns
        assert one.critical == one.critical_ns / wall_ns
        own = [
            place
            for place in calls(found, one)
            if key_of(found.spans[place]) == PhaseKey(one.node_id, one.phase)  # type: ignore[arg-type]
        ]
        assert one.calls == len(own)


@given(executions())
def test_without_anything_what_the_execution_itself_had_to_do_is_left(of: Recording) -> None:
    """At least what it owns of the critical path, but for the time that nodes waited in vain.

    No more than that where not: of work of its own that went on beside its children, the longest
    chain is left, and the path has not all of that.
    """
    found = network(of)
    owned_ns = sum(
        segment.end_ns - segment.start_ns
        for segment in critical_path(found)
        if segment.place == WHOLE and segment.waiting is None
    )
    left_ns = Replay(found).duration(without=range(1, len(found.starts)))
    assert owned_ns <= left_ns <= found.ends[WHOLE] - found.starts[WHOLE]


@given(sequential())
def test_without_anything_the_self_time_of_a_sequential_execution_is_left(of: Recording) -> None:
    """Where nothing goes on side by side: what is on the path is all there is."""
    found = network(of)
    self_ns = sum(
        not oracles.leaves_at(found, now) for now in range(found.starts[WHOLE], found.ends[WHOLE])
    )
    assert Replay(found).duration(without=range(1, len(found.starts))) == self_ns
    assert Critical(found, critical_path(found)).unattributed_ns == self_ns


@given(sequential())
def test_a_saving_in_a_sequential_execution_is_the_time_of_the_calls(of: Recording) -> None:
    """Nothing else takes that time then."""
    found = network(of)
    whole = range(found.starts[WHOLE], found.ends[WHOLE])
    for one in found_in(found):
        places = calls(found, one)
        assert one.saving_ns == sum(bool(oracles.active_at(found, places, now)) for now in whole)


def test_work_of_the_executions_own_goes_on_beside_its_children() -> None:
    """What it did before it started the second child took its time, whatever the first did."""
    of = recording(span(1, None, 0, 9), span(2, 1, 0, 9, "a"), span(3, 1, 6, 7, "b"))
    found = network(of)
    assert Critical(found, critical_path(found)).unattributed_ns == 0
    assert Replay(found).duration(without=[1, 2]) == 6


def test_a_node_of_whose_time_one_phase_has_nearly_all_is_left_out() -> None:
    """There is no more to say of it."""
    of = recording(span(1, None, 0, 100), span(2, 1, 0, 100, "a"), span(3, 2, 2, 100, "a", "p"))
    assert [(one.node_id, one.phase) for one in found_in(network(of))] == [("a", "p")]


def test_a_faster_phase_uncovers_what_went_on_beside_it() -> None:
    """The saving is what is left before the next one is on the path."""
    of = recording(
        span(1, None, 0, 10), span(2, 1, 0, 10, "a"), span(3, 1, 0, 7, "b"), span(4, 1, 7, 7, "c")
    )
    (one,) = found_in(network(of))
    assert (one.node_id, one.critical_ns, one.duration_ns, one.saving_ns) == ("a", 10, 7, 3)
