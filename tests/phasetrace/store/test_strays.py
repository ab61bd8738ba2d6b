"""Calls of a run's own execution while the program had another one open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.names import TYPE
from phasetrace.spans import EXECUTION
from phasetrace.store import strays as module
from phasetrace.store.reader import StoreReader
from phasetrace.store.strays import Call, Opened, Strays, strays
from tests.phasetrace.store.conftest import Recording, in_child

S = 1_000_000_000

times = st.integers(0, 12)
pids = st.integers(1, 4)
calls_drawn = st.lists(st.builds(Call, st.sampled_from("ab"), pids, times, times))
opened_drawn = st.lists(st.builds(Opened, st.sampled_from("xyz"), pids, times, times), max_size=6)


@given(calls_drawn, opened_drawn, st.dictionaries(pids, st.none() | pids))
def test_a_call_within_an_execution_of_its_process_or_one_above(
    calls: list[Call], opened: list[Opened], parents: dict[int, int | None]
) -> None:
    """Each call is looked for in each execution; the processes may be said to go in circles."""

    def above(pid: int) -> list[int]:
        found: list[int] = []
        at: int | None = pid
        while at is not None and at not in found:
            found.append(at)
            at = parents.get(at)
        return found

    around: dict[str, list[str | None]] = {}
    for call in calls:
        found = [
            (above(call.pid).index(one.pid), -one.start_ns, -at, one.exec_id)
            for at, one in enumerate(opened)
            if one.pid in above(call.pid)
            and one.start_ns <= call.start_ns
            and call.end_ns <= one.end_ns
        ]
        around.setdefault(call.name, []).append(min(found)[3] if found else None)
    told = {name: exec_ids for name, exec_ids in around.items() if None not in exec_ids}
    assert strays(calls, opened, parents) == Strays(
        {name: len(exec_ids) for name, exec_ids in told.items()},
        frozenset(one for exec_ids in told.values() for one in exec_ids if one),
    )


def test_names_with_most_calls_come_first() -> None:
    """They are the ones that are told."""
    calls = [Call(name, 1, 1, 2) for name in "abbcbc"]
    found = strays(calls, [Opened("e", 1, 0, 9)], {})
    assert list(found.calls.items()) == [("b", 3), ("c", 2), ("a", 1)]


def test_a_call_within_executions_of_its_process_and_of_one_above() -> None:
    """Counts once, for the nearer one."""
    opened = [Opened("far", 1, 0, 9), Opened("near", 2, 0, 9)]
    found = strays([Call("a", 2, 1, 2)], opened, {2: 1})
    assert found == Strays({"a": 1}, frozenset({"near"}))


def test_a_name_that_is_met_at_other_times_as_well() -> None:
    """It is a task's that is over with its own execution, or goes on all the time."""
    calls = [Call("task", 1, 1, 2), Call("task", 1, 8, 10), Call("work", 1, 1, 2)]
    found = strays(calls, [Opened("e", 1, 0, 9)], {})
    assert found == Strays({"work": 1}, frozenset({"e"}))


def below_root(exec_id: str) -> Span:
    """Return what spans are below that have the root of an execution for parent."""
    flags = TraceFlags(TraceFlags.SAMPLED)
    context = SpanContext(trace_id_of(exec_id), root_span_id_of(exec_id), True, flags)
    return NonRecordingSpan(context)


def found_in(path: Path) -> Strays | None:
    """Return what a store says of the execution `own`, beside all others."""
    with StoreReader(path) as store:
        others = [one for one in store.executions() if one.exec_id != "own"]
        return store.strays(store.find("own"), others)


@pytest.fixture
def started(recording: Recording) -> Callable[[], None]:
    """Have `own` and `e` open, from 0 to 9 and from 1 to 5 seconds; return what ends both."""
    roots = [recording.root("own", start=0), recording.root("e", start=S)]

    def end() -> None:
        roots[1].end(5 * S)
        recording.phase("own", "early", parent=roots[0], start=0, end=2 * S)
        recording.phase("own", "late", parent=roots[0], start=4 * S, end=6 * S)
        around = recording.start("own", "around", parent=roots[0], start=0)
        recording.phase("own", "deep", parent=around, start=2 * S, end=3 * S)
        around.end(9 * S)
        roots[0].end(9 * S)
        assert recording.close()

    recording.phase("own", "work", parent=roots[0], start=2 * S, end=3 * S)
    return end


def test_only_what_is_directly_below_the_run_and_wholly_within(
    started: Callable[[], None], path: Path
) -> None:
    """What lies below another phase belongs to that one, and so does what outlasts an execution."""
    started()
    assert found_in(path) == Strays({"work": 1}, frozenset({"e"}))


def test_an_execution_within_the_runs_own_is_no_call(
    recording: Recording, started: Callable[[], None], path: Path
) -> None:
    """Nor is the run's own if it is opened again."""
    again = recording.start(
        "own", node=None, parent=below_root("own"), start=2 * S, attributes={TYPE: EXECUTION}
    )
    again.end(3 * S)
    started()
    assert found_in(path) == Strays({"work": 1}, frozenset({"e"}))


def test_a_worker_of_a_process_that_has_an_execution_open(
    started: Callable[[], None], path: Path
) -> None:
    """Its phases are the run's as well, if nobody brought it the context."""

    def work() -> None:
        child = Recording(path)
        child.phase("own", "worked", parent=below_root("own"), start=2 * S, end=3 * S)
        assert child.close()

    assert in_child(work) == 0
    started()
    assert found_in(path) == Strays({"work": 1, "worked": 1}, frozenset({"e"}))


def test_what_nobody_has_opened_was_not_open(recording: Recording, path: Path) -> None:
    """Phases that name their execution may well come one by one, with others between."""
    root = recording.root("own", start=0)
    recording.phase("e", start=S, end=2 * S)
    recording.phase("own", "between", parent=root, start=3 * S, end=4 * S)
    recording.phase("e", start=5 * S, end=6 * S)
    recording.root("e", implicit=True, start=S).end(6 * S)
    root.end(9 * S)
    assert recording.close()
    assert found_in(path) is None


def test_what_was_opened_twice_was_not_open_all_the_time(
    started: Callable[[], None], recording: Recording, path: Path
) -> None:
    """So nothing is told of it."""
    recording.start("e", node=None, start=6 * S, attributes={TYPE: EXECUTION}).end(7 * S)
    started()
    assert found_in(path) is None


def test_nothing_is_told_of_more_spans_than_can_be_looked_at(
    started: Callable[[], None], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not take long."""
    started()
    with StoreReader(path) as store:
        spans = store.find("own").spans
    monkeypatch.setattr(module, "MOST_SPANS", spans)
    assert found_in(path) is not None
    monkeypatch.setattr(module, "MOST_SPANS", spans - 1)
    assert found_in(path) is None
