"""The collector by itself: exact, bounded, thread-safe."""

from __future__ import annotations

import itertools
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phasetrace
from phasetrace import collector as collector_module
from phasetrace import pipeline
from phasetrace.breakdowns import ExecutionHeader, breakdown_of
from phasetrace.collector import TimingCollector
from phasetrace.errors import UnknownExecution
from phasetrace.pipeline import Pipeline
from phasetrace.sinks import CollectorSink
from phasetrace.span import Span
from phasetrace.spans import EXECUTION, PHASE, PhaseKey, SpanRecord, SpanType
from phasetrace.stats import PhaseStats
from phasetrace.tally import OTHER, ExecutionTally, ExecutionTotals, OpenSpan
from tests.conftest import FakeClock


def a_phase(
    span_id: int,
    name: str = "p",
    start_ns: int = 0,
    end_ns: int = 10,
    parent_id: int | None = None,
    node_id: str = "n",
) -> SpanRecord:
    """Return a finished phase."""
    return SpanRecord(span_id, parent_id, PHASE, name, node_id, None, start_ns, end_ns, "ok")


def ended(exec_id: str, type_: SpanType = PHASE) -> Span:
    """Return a finished span of phasetrace's own."""
    span: Span = object.__new__(Span)
    span._exec_id, span._name, span._span_type = exec_id, "p", type_
    span._span_id, span._start_time, span._end_time = next(_ids), 0, 10
    return span


_ids = itertools.count(1)


def test_record_gives_the_seed_s_mapping() -> None:
    """Durations are summed in milliseconds; metadata stand beside their phase."""
    collector = TimingCollector()
    collector.record("e", "n", "p", 1.5, model="a")
    collector.record("e", "n", "p", 2.0, model="b")
    collector.record("e", "n", "q", 0.25)
    assert collector.get("e") == {"n": {"p": 3.5, "p_metadata": {"model": "b"}, "q": 0.25}}


def test_a_microsecond_does_not_round_to_zero() -> None:
    """Nanoseconds are kept inside, fractions of a millisecond come out."""
    collector = TimingCollector()
    collector.record("e", "n", "p", 0.001)
    assert collector.get("e")["n"]["p"] == 0.001


def test_get_returns_a_deep_copy() -> None:
    """Whoever changes what they got changes nothing here."""
    collector = TimingCollector()
    collector.record("e", "n", "p", 1.0, nested={"list": [1]})
    mapping = collector.get("e")
    mapping["n"]["p_metadata"]["nested"]["list"].append(2)
    mapping["n"]["p"] = 0
    assert collector.get("e") == {"n": {"p": 1.0, "p_metadata": {"nested": {"list": [1]}}}}


def test_pop_returns_everything_once() -> None:
    """After `pop` the execution is gone."""
    collector = TimingCollector()
    collector.record("e", "n", "p", 1.0)
    assert collector.pop("e") == {"n": {"p": 1.0}}
    assert collector.pop("e") == {}
    assert collector.get("e") == {}


def test_pop_hands_the_final_numbers_over() -> None:
    """Whoever keeps totals gets them, with what was added while the execution was leaving."""
    collector = TimingCollector()
    handed = []
    collector.on_leaving = lambda exec_id: collector.add(exec_id, a_phase(9, "last"))
    collector.on_removed = lambda removed: handed.append(removed.totals())
    collector.record("e", "n", "p", 1.0)
    assert set(collector.pop("e")["n"]) == {"p", "last"}
    assert [(totals.exec_id, totals.spans) for totals in handed] == [("e", 2)]


def test_clear_forgets_one_or_all() -> None:
    """Nothing of what is cleared comes back."""
    collector = TimingCollector()
    for exec_id in ("a", "b", "c"):
        collector.record(exec_id, "n", "p", 1.0)
    collector.clear("a")
    assert collector.executions() == ("b", "c")
    collector.clear()
    assert collector.executions() == ()


def test_an_absurd_duration_counts_as_nothing() -> None:
    """Negative, infinite and undefined lengths are calls of no length."""
    collector = TimingCollector()
    for dur_ms in (-5.0, float("inf"), float("nan")):
        collector.record("e", "n", "p", dur_ms)
    (row,) = collector.breakdown("e").nodes[0].phases
    assert (row.count, row.total_ns) == (3, 0)


def test_the_least_recently_touched_execution_is_evicted() -> None:
    """The number of executions is bounded, and evictions are counted."""
    collector = TimingCollector(max_executions=2)
    for exec_id in ("a", "b", "a", "c"):
        collector.record(exec_id, "n", "p", 1.0)
    assert collector.executions() == ("a", "c")
    assert collector.evicted_executions == 1


def test_phases_past_the_limit_are_added_up_under_other() -> None:
    """The number of keys is bounded, and no time is lost to it."""
    collector = TimingCollector(max_keys=3)
    for index in range(10):
        collector.record("e", "n", f"p{index}", 1.0)
    mapping = collector.get("e")
    assert mapping[OTHER] == {OTHER: 7.0}
    assert collector.merged_spans == 7


def test_measurements_of_a_node_are_laid_one_before_the_other(fake_clock: FakeClock) -> None:
    """Recorded all at once, they make up an execution as long as the longest node."""
    collector = TimingCollector(now_ns=fake_clock)
    for node_id, phase, dur_ms in (("a", "x", 40), ("a", "y", 20), ("b", "z", 10)):
        fake_clock.advance(0.7)  # calling takes time, too
        collector.record(node_id=node_id, phase=phase, dur_ms=dur_ms, exec_id="e")
    breakdown = collector.breakdown("e")
    assert breakdown.execution.duration_ns == 60_000_000
    assert breakdown.unattributed_ns == 0
    assert [(node.node_id, node.total_ns) for node in breakdown.nodes] == [
        ("a", 60_000_000),
        ("b", 10_000_000),
    ]


@pytest.mark.parametrize(
    ("durations_ms", "apart_ms", "whole_ms"),
    [
        ((3_000, 200, 160), 150, 3_000),  # within an eighth of the longest, whichever comes then
        ((160, 3_000, 200), 150, 3_000),
        ((3_000, 200, 200), 190, 3_380),  # the last comes too late for that
        ((100, 90), 45, 100),
        ((100, 90), 55, 155),
    ],
)
def test_measurements_that_are_handed_in_slowly_ended_at_one_moment(
    durations_ms: tuple[int, ...], apart_ms: int, whole_ms: int, fake_clock: FakeClock
) -> None:
    """A program that is held up between them does not last longer for it, within bounds."""
    collector = TimingCollector(now_ns=fake_clock)
    for index, duration_ms in enumerate(durations_ms):
        collector.record("e", f"n{index}", "p", duration_ms)
        fake_clock.advance(apart_ms)
    assert collector.breakdown("e").execution.duration_ns == whole_ms * 1_000_000


def test_measurements_made_as_time_passes_stay_where_they_are(fake_clock: FakeClock) -> None:
    """What does not overlap ends when it was recorded."""
    collector = TimingCollector(now_ns=fake_clock)
    collector.record("e", "n", "p", 5)
    fake_clock.advance(30)
    collector.record("e", "n", "p", 5)
    breakdown = collector.breakdown("e")
    assert breakdown.execution.duration_ns == 35_000_000
    assert breakdown.unattributed_ns == 25_000_000


def test_a_running_parent_is_known(fake_clock: FakeClock) -> None:
    """While a phase runs, its finished child is the leaf and it is not."""
    collector = TimingCollector(now_ns=fake_clock)
    began = fake_clock.now_ns
    collector.opened("e", OpenSpan(1, None, began, PhaseKey("n", "outer")))
    fake_clock.advance(4)
    collector.add("e", a_phase(2, "inner", began, fake_clock.now_ns, parent_id=1))
    fake_clock.advance(6)
    rows = {row.phase: row for row in collector.breakdown("e").nodes[0].phases}
    assert (rows["inner"].share_ns, rows["outer"].share_ns) == (4_000_000, 6_000_000)
    assert (rows["outer"].count, rows["outer"].total_ns) == (0, 0)


def test_a_breakdown_of_nothing_names_what_is_near() -> None:
    """The error helps to find the right id."""
    collector = TimingCollector()
    collector.record("exec_abc", "n", "p", 1.0)
    with pytest.raises(UnknownExecution, match="did you mean exec_abc"):
        collector.breakdown("exec_abd")


def test_settling_changes_no_number(fake_clock: FakeClock) -> None:
    """Folding what is settled, in between and often, gives what one sweep gives."""
    folded, plain = TimingCollector(now_ns=fake_clock), TimingCollector(now_ns=fake_clock)
    for index in range(20_000):
        start_ns = fake_clock.now_ns
        fake_clock.advance(1)
        child = a_phase(2 * index + 1, "child", start_ns, fake_clock.now_ns, 2 * index + 2)
        parent = a_phase(2 * index + 2, "parent", start_ns - 500_000, fake_clock.now_ns)
        for collector in (folded, plain):
            collector.add("e", child)
            collector.add("e", parent)
        if index % 3_000 == 0:
            folded.settle()
    assert folded.breakdown("e") == plain.breakdown("e")


def test_memory_is_bounded_though_nobody_settles(fake_clock: FakeClock) -> None:
    """A hundred thousand phases of one execution leave neither intervals nor spans behind."""
    collector = TimingCollector(now_ns=fake_clock)
    collector.add("e", a_phase(1, start_ns=fake_clock.now_ns, end_ns=fake_clock.now_ns))
    fake_clock.advance(2_000)
    tracemalloc.start()
    try:
        for index in range(2, 100_000):
            start_ns = fake_clock.now_ns
            fake_clock.advance(1)
            collector.add("e", a_phase(index, "p", start_ns, fake_clock.now_ns))
        wait_until(lambda: "phasetrace-settle" not in thread_names())
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 8_000_000  # all intervals would be 24 MB
    assert collector.breakdown("e").nodes[0].phases[0].self_ns == 99_998 * 1_000_000


def thread_names() -> set[str]:
    """Return the names of the threads that are running."""
    return {thread.name for thread in threading.enumerate()}


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until something holds; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_signal_handler_may_time_phases() -> None:
    """It can interrupt its own thread anywhere, also where that has the collector's lock."""
    collector = TimingCollector()
    ids = itertools.count(1)

    def handle(*_: object) -> None:
        collector.opened("e", OpenSpan(next(ids), None, 0, PhaseKey("n", "h")))
        collector.add("e", a_phase(next(ids), "handled"))
        collector.get("e")
        collector.record("f", "n", "p", 1.0)

    previous = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(30_000):
            collector.add("e", a_phase(next(ids), "plain"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    counts = {row.phase: row.count for row in collector.breakdown("e").nodes[0].phases}
    assert counts["plain"] == 30_000
    assert counts["handled"] == collector.breakdown("f").spans


def test_a_finalizer_that_runs_in_between_may_end_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the garbage collector runs while the lock is held waits in the inbox."""
    collector = TimingCollector()
    real = ExecutionTally.add

    def add(tally: ExecutionTally, span: SpanRecord, *rest: Any) -> int:
        if span.name == "outer":
            collector.add("e", a_phase(2, "finalized"))
        return real(tally, span, *rest)

    monkeypatch.setattr(ExecutionTally, "add", add)
    collector.add("e", a_phase(1, "outer"))
    assert set(collector.get("e")["n"]) == {"outer", "finalized"}


def test_a_span_reported_by_two_processors_counts_once() -> None:
    """The application may have added one of its own to the provider that has ours."""
    collector = TimingCollector()
    for _ in range(2):
        collector.opened("e", OpenSpan(1, None, 0, PhaseKey("n", "p")))
    for _ in range(2):
        collector.add("e", a_phase(1))
    (row,) = collector.breakdown("e").nodes[0].phases
    assert (row.count, row.total_ns) == (1, 10)


def test_an_execution_opened_again_adds_up() -> None:
    """Two stretches, and what lies between them is unattributed."""
    collector = TimingCollector()
    for index, began in enumerate((1_000, 5_000)):
        root = SpanRecord(10 + index, None, EXECUTION, "e", None, None, began, began + 100, "ok")
        collector.opened("e", OpenSpan(root.span_id, None, began, EXECUTION), "e")
        collector.add("e", a_phase(20 + index, "p", began + 10, began + 90, root.span_id))
        collector.add("e", root)
    breakdown = collector.breakdown("e")
    assert breakdown.execution.duration_ns == 4_100
    assert breakdown.unattributed_ns == 2 * 20 + 3_900
    assert breakdown.nodes[0].share_ns == 160


def test_finished_executions_are_evicted_before_running_ones() -> None:
    """A long execution that is quiet for a while keeps its numbers."""
    collector = TimingCollector(max_executions=2)
    collector.add("running", a_phase(1))
    root = SpanRecord(3, None, EXECUTION, "done", None, None, 0, 5, "ok")
    collector.opened("done", OpenSpan(3, None, 0, EXECUTION), "done")
    collector.add("done", root)
    collector.add("next", a_phase(4))
    assert collector.executions() == ("running", "next")


def test_open_executions_are_bounded_too() -> None:
    """Also those that only ever started something."""
    collector = TimingCollector(max_executions=3)
    for index in range(10):
        collector.opened(f"e{index}", OpenSpan(index + 1, None, 0, PhaseKey("n", "p")))
    assert len(collector.executions()) == 3


@pytest.mark.parametrize("dur_ms", [None, "12", object()])
def test_what_is_no_duration_counts_as_nothing(dur_ms: Any) -> None:
    """Recording never raises."""
    collector = TimingCollector()
    collector.record("e", "n", "p", dur_ms)
    assert collector.breakdown("e").spans == 1


def test_ids_of_any_type_are_written_out() -> None:
    """Also of types that have no truth, or cannot be printed."""

    class Odd:
        def __bool__(self) -> bool:
            raise ValueError("no truth in here")

        def __str__(self) -> str:
            raise ValueError("nor words")

    collector = TimingCollector()
    odd: Any = Odd()
    collector.record(odd, odd, odd, 1.0)
    collector.record(None, "n", "p", 1.0)  # type: ignore[arg-type]
    name = "<unprintable Odd>"
    assert collector.get(name) == {name: {name: 1.0}}
    assert collector.executions() == (name,)


def test_a_phase_that_is_open_keeps_its_share_when_stats_are_merged() -> None:
    """It has no calls yet, and time already."""
    before, opened = PhaseStats(), PhaseStats()
    opened.share_ns = 5.0
    before.merge(opened)
    assert before.share_ns == 5.0


def test_threads_are_counted_exactly() -> None:
    """8 threads, one execution, readers in between."""
    collector = TimingCollector()

    def work(base: int) -> None:
        for index in range(2_000):
            collector.add("e", a_phase(base + index, f"p{index % 7}", index, index + 3))
            if index % 500 == 0:
                collector.breakdown("e")
                collector.settle()

    threads = [threading.Thread(target=work, args=(1 + 10_000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = collector.breakdown("e").nodes[0].phases
    assert sum(row.count for row in rows) == 16_000
    assert sum(row.total_ns for row in rows) == 48_000


intervals = st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 8))


@settings(max_examples=200, deadline=None)
@given(st.lists(intervals, max_size=12), st.booleans())
def test_self_time_is_what_no_child_covers(
    shapes: list[tuple[int, int, int]], with_root: bool
) -> None:
    """Against a brute-force oracle that looks at every nanosecond of a small execution."""
    records = []
    for span_id, (start_ns, length, parent) in enumerate(shapes, start=1):
        parent_id = parent if 0 < parent < span_id else None
        records.append(a_phase(span_id, f"p{span_id}", start_ns, start_ns + length, parent_id))
    if with_root:
        records.append(SpanRecord(99, None, EXECUTION, "e", None, None, 0, 60, "ok"))
    collector = TimingCollector()
    if with_root:
        collector.opened("e", OpenSpan(99, None, 0, EXECUTION), "e")
    for record in records:
        collector.add("e", record)
    if not records:
        return
    breakdown = collector.breakdown("e")
    measured = {row.phase: row.self_ns for node in breakdown.nodes for row in node.phases}
    assert measured == brute_force_self_times(records)
    header = breakdown.execution
    assert breakdown == breakdown_of(header, records, 99 if with_root else None)


def brute_force_self_times(records: Iterable[SpanRecord]) -> dict[str, int]:
    """Count the nanoseconds of each phase in which no child of it is active."""
    records = list(records)
    return {
        span.name: sum(
            not any(
                child.parent_id == span.span_id and child.start_ns <= instant < child.end_ns
                for child in records
            )
            for instant in range(span.start_ns, span.end_ns)
        )
        for span in records
        if span.type == PHASE
    }


def test_a_breakdown_s_shares_add_up_exactly() -> None:
    """Parallel phases split the wall time; the rest is unattributed; nothing is left over."""
    header = ExecutionHeader("e", None, "ok", "", 0, 100)
    records = [
        SpanRecord(99, None, EXECUTION, "e", None, None, 0, 100, "ok"),
        *(a_phase(index, f"p{index}", 10, 17 + index, 99) for index in range(1, 8)),
    ]
    breakdown = breakdown_of(header, records, 99)
    shares = [row.share_ns for row in breakdown.nodes[0].phases]
    assert sum(shares) + breakdown.unattributed_ns == 100
    assert breakdown.unattributed_ns == 100 - (24 - 10)


def test_executions_that_must_go_leave_once_and_with_their_roots() -> None:
    """A drain that brings many new ones lets others go only when their roots can be counted."""
    collector = TimingCollector(max_executions=3)
    line = Pipeline()
    removed: list[ExecutionTotals] = []

    def end_root(exec_id: str) -> None:
        line.end(ended(exec_id, EXECUTION))

    collector.source = line
    collector.on_leaving = end_root
    collector.on_removed = lambda execution: removed.append(execution.totals())
    line.connect("owner", [CollectorSink(collector)], None, lambda timeout_s: True)
    for number in range(100):
        line.queue.append(ended(f"e{number}"))
    line.drain()
    assert [(totals.exec_id, totals.spans) for totals in removed] == [
        (f"e{number}", 2) for number in range(97)
    ]
    assert collector.executions() == ("e97", "e98", "e99")
    assert not line.unhurried


def test_the_thread_that_lets_executions_go_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the one that everybody else waits for."""
    collector = TimingCollector(max_executions=1)
    line = Pipeline()
    worker = SimpleNamespace(keeps_up=True, backlog=1_000_000, wake=lambda: True)
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(sleep=lambda s: pytest.fail("a pause")))
    collector.source = line
    collector.on_leaving = lambda exec_id: line.end(ended(exec_id, EXECUTION))
    line.connect("owner", [CollectorSink(collector)], worker, lambda timeout_s: True)
    line.limit = 0
    line.queue.extend([ended("a"), ended("b")])
    line.drain()
    assert collector.executions() == ("b",)


def test_a_signal_handler_may_ask_while_its_own_thread_is_answered() -> None:
    """Counts and totals are exact; how time is divided cannot be told in the midst of a change."""
    collector = TimingCollector()
    collector.add("e", a_phase(1))
    inner: list[ExecutionTotals | None] = []

    def now_ns() -> int:
        if not inner:
            inner.append(None)
            inner[0] = collector.totals("e")
            collector.settle()
            assert collector.unsaved(running=True) == []
        return 10

    collector._now_ns = now_ns
    outer = collector.totals("e")
    asked = inner[0]
    assert asked is not None
    assert outer is not None
    (key,) = outer.stats
    assert (asked.stats[key].count, asked.stats[key].total_ns) == (1, 10)
    assert (asked.wall_ns, asked.unattributed_ns) == (10, 10)
    assert (outer.stats[key].self_ns, outer.unattributed_ns) == (10, 0)


def test_what_is_counted_and_what_is_divided_are_of_one_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A span that another thread ends during the answer is in both or in neither."""
    collector = TimingCollector()
    collector.add("e", a_phase(1))
    real = ExecutionTally.sweep

    def sweep(tally: ExecutionTally, pending: Any) -> None:
        thread = threading.Thread(target=collector.add, args=("e", a_phase(2)))
        thread.start()
        thread.join()
        real(tally, pending)

    monkeypatch.setattr(ExecutionTally, "sweep", sweep)
    (row,) = collector.breakdown("e").nodes[0].phases
    assert (row.count, row.total_ns, row.self_ns) == (1, 10, 10)


def test_totals_of_many_executions_do_not_look_at_all_open_spans_each() -> None:
    """It would take the writing thread seconds."""
    collector = TimingCollector()
    line = Pipeline()
    looks = []

    class Register(dict[int, Any]):
        def copy(self) -> dict[int, Any]:
            looks.append(1)
            return super().copy()

    line.open = Register()  # type: ignore[misc]
    collector.source = line
    for number in range(200):
        collector.add(f"e{number}", a_phase(number))
    assert len(collector.unsaved(running=True)) == 200
    assert len(looks) == 4


def test_memory_is_bounded_though_who_settles_is_kept_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store's thread may wait for a lock for long."""
    monkeypatch.setattr(collector_module, "_MAX_PENDING_ELSEWHERE", 2_000)
    monkeypatch.setattr(collector_module, "_MAX_PENDING", 1_000)
    collector = TimingCollector()
    collector.settled_elsewhere = True
    for span_id in range(1_999):
        collector.add("e", a_phase(span_id))
    assert "phasetrace-settle" not in thread_names()
    collector.add("e", a_phase(1_999))
    wait_until(lambda: not collector._executions["e"].pending)


def test_a_collector_is_behind_while_its_thread_has_too_much_to_settle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a thread that settles nobody is to wait for one."""
    monkeypatch.setattr(collector_module, "_MAX_PENDING", 10)
    monkeypatch.setattr(collector_module, "_BEHIND", 20)
    monkeypatch.setattr(TimingCollector, "_start_settler", lambda self: None)
    collector = TimingCollector()
    for span_id in range(20):
        assert not collector.behind
        collector.add("e", a_phase(span_id))
    assert not collector.behind
    collector._settler = threading.current_thread()
    assert collector.behind
    collector.settle()
    assert not collector.behind
    collector._settler = None


def self_times(spans: Iterable[Any]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return count, total and self time by node and phase, by brute force.

    The children of a phase do not overlap here: they are its thread's.
    """
    covered: dict[int, int] = {}
    numbers: dict[tuple[str, str], tuple[int, int, int]] = {}
    ended = list(spans)
    for span in ended:
        covered[span._parent_id] = covered.get(span._parent_id, 0) + span.end_time - span.start_time
    for span in ended:
        key, duration = (span._node_id, span.name), span.end_time - span.start_time
        count, total, self_ns = numbers.get(key, (0, 0, 0))
        numbers[key] = (
            count + 1,
            total + duration,
            self_ns + duration - covered.get(span._span_id, 0),
        )
    return numbers


@pytest.mark.parametrize("store", [True, False])
def test_numbers_are_exact_while_threads_record_and_are_asked_for(store: bool) -> None:
    """At every moment what is counted is divided, and in the end nothing is missing."""
    phasetrace.configure(store=None if store else False)
    threads, rounds = 6, 1_200
    kept: list[Any] = []

    def work(node_id: str) -> None:
        for _ in range(rounds):
            with phasetrace.time_phase("e", node_id, "outer") as outer:
                with phasetrace.time_phase("e", node_id, "inner") as inner:
                    with phasetrace.time_phase("e", node_id, "leaf") as leaf:
                        pass
                    kept.append(leaf)
                kept.append(inner)
            kept.append(outer)

    with phasetrace.execution("e"):
        with phasetrace.time_phase("e", "first", "leaf") as first:
            pass
        kept.append(first)
        workers = [threading.Thread(target=work, args=(f"n{i}",)) for i in range(threads)]
        for worker in workers:
            worker.start()
        seen = 0
        while any(worker.is_alive() for worker in workers):
            breakdown = phasetrace.breakdown("e")
            rows = [row for node in breakdown.nodes for row in node.phases]
            assert breakdown.spans == sum(row.count for row in rows) >= seen
            seen = breakdown.spans
            assert all(row.self_ns == row.total_ns for row in rows if row.phase == "leaf")
            shares = sum(row.share_ns for row in rows)
            assert shares + breakdown.unattributed_ns == breakdown.execution.duration_ns
        for worker in workers:
            worker.join()
    assert self_times(kept) == {
        (node.node_id, row.phase): (row.count, row.total_ns, row.self_ns)
        for node in phasetrace.breakdown("e").nodes
        for row in node.phases
    }
    assert len(kept) == 3 * threads * rounds + 1
