"""The queue of ended spans: what comes out, in which order, and who waits for whom."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasetrace
from phasetrace import faults, pipeline
from phasetrace.pipeline import BATCH, CROWDED, HIGH_WATER, PAUSE_S, STEP, Pipeline
from phasetrace.span import Span
from phasetrace.spans import EXECUTION, PHASE, SpanType
from tests import stored_spans
from tests.phasetrace.store.conftest import wait_until


class Log:
    """A sink that keeps what it is handed, and may do something on the way."""

    behind = False

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.events: list[tuple[str, int]] = []
        self.meanwhile = meanwhile

    def opened(self, span: Span) -> None:
        """Keep it."""
        self.events.append(("opened", span._span_id))

    def ended(self, spans: Sequence[Span]) -> None:
        """Keep them."""
        self.meanwhile()
        self.events += [("ended", span._span_id) for span in spans]

    def drained(self) -> None:
        """Do nothing."""


class Worker:
    """A worker that a test owns."""

    def __init__(self, keeps_up: bool = True, backlog: int = 0, there: bool = True) -> None:
        self.keeps_up, self.backlog, self.there = keeps_up, backlog, there

    def wake(self) -> bool:
        """Tell whether anybody drains."""
        return self.there


def a_span(span_id: int, type_: SpanType = PHASE, name: str = "p") -> Span:
    """Return a span of an execution."""
    span: Span = object.__new__(Span)
    span._span_id, span._span_type, span._name = span_id, type_, name
    span._exec_id = "e"
    return span


def connected(*sinks: Log, worker: Worker | None = None) -> Pipeline:
    """Return a pipeline with these sinks."""
    made = Pipeline()
    made.connect("owner", sinks, worker, lambda timeout_s: True)
    return made


def fill(line: Pipeline, number: int) -> None:
    """Put so many spans into the queue, past all limits."""
    line.queue.extend(a_span(index) for index in range(number))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were made; none takes any time."""
    made: list[float] = []
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(sleep=made.append))
    return made


@given(
    st.lists(st.sampled_from(["open", "phase", "end", "drain"]), max_size=40),
    st.integers(1, 5),
)
def test_everything_comes_out_in_the_order_in_which_it_went_in(
    steps: list[str], batch: int
) -> None:
    """Openings included: what comes after one belongs to it, however it falls into batches."""
    log = Log()
    line = connected(log)
    expected: list[tuple[str, int]] = []
    open_spans: list[Span] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "BATCH", batch)
        for number, step in enumerate(steps):
            if step == "drain":
                line.drain()
            elif step == "end" and open_spans:
                span = open_spans.pop()
                line.end(span)
                expected.append(("ended", span._span_id))
            elif step in ("open", "phase"):
                span = a_span(number, EXECUTION if step == "open" else PHASE)
                line.start(span)
                open_spans.append(span)
                if step == "open":
                    expected.append(("opened", number))
        line.drain()
    assert log.events == expected
    assert set(line.open) == {span._span_id for span in open_spans}


def test_more_than_a_batch_is_handed_on_whole() -> None:
    """A drain takes all that waits when it begins."""
    log = Log()
    line = connected(log)
    fill(line, 2 * BATCH + 1)
    assert line.drain()
    assert [span_id for _, span_id in log.events] == list(range(2 * BATCH + 1))


def test_a_drain_does_not_go_after_what_comes_in_meanwhile() -> None:
    """Threads that end spans all the time do not keep the one that drains."""
    line = connected()
    log = Log(lambda: line.queue.append(a_span(99)))
    line.connect("owner", [log], None, lambda timeout_s: True)
    line.queue.append(a_span(1))
    line.drain()
    assert log.events == [("ended", 1)]
    assert len(line.queue) == 1


def test_an_open_span_is_in_the_register_until_it_is_in_the_queue() -> None:
    """Whoever looks into the register first and then drains misses none."""
    line = Pipeline()

    class Queue(deque[Any]):
        def append(self, span: Any) -> None:
            assert span._span_id in line.open
            super().append(span)

    line.queue = Queue()  # type: ignore[misc]
    span = a_span(1)
    line.start(span)
    line.end(span)
    assert not line.open
    assert len(line.queue) == 1


def test_a_span_that_two_threads_end_at_once_is_handed_on_once() -> None:
    """Both may have put it into the queue."""
    log = Log()
    line = connected(log)
    span = a_span(1)
    line.end(span)
    line.end(span)
    line.drain()
    assert log.events == [("ended", 1)]


def test_a_sink_that_drains_gets_nothing_in_between() -> None:
    """A signal handler may ask for numbers while its own thread is handing spans on."""
    answers = []
    line = connected()
    log = Log(lambda: answers.append((line.drain(), line.drains_here())))
    line.connect("owner", [log], None, lambda timeout_s: True)
    fill(line, BATCH + 1)
    line.drain()
    assert answers == [(False, True), (False, True)]
    assert [span_id for _, span_id in log.events] == list(range(BATCH + 1))
    assert not line.drains_here()


def test_whoever_does_not_wait_gives_up_while_another_thread_drains() -> None:
    """The other one hands everything on."""
    answers = []
    line = connected()

    def elsewhere() -> None:
        thread = threading.Thread(target=lambda: answers.append(line.drain(wait=False)))
        thread.start()
        thread.join()

    line.connect("owner", [Log(elsewhere)], None, lambda timeout_s: True)
    fill(line, 1)
    assert line.drain()
    assert answers == [False]


def test_a_sink_that_fails_costs_no_other_a_span() -> None:
    """The fault is counted."""

    def fail() -> None:
        raise ValueError("no")

    log = Log()
    line = connected(Log(fail), log)
    fill(line, 1)
    line.drain()
    assert log.events == [("ended", 0)]
    assert faults.counts() == {"handing finished spans on": 1}


def test_connecting_while_spans_end_loses_none_and_doubles_none() -> None:
    """Each span goes to the sinks before or to those after."""
    line = connected(Log())
    logs = [Log() for _ in range(200)]
    number, threads = 3_000, 4
    begun = threading.Barrier(threads + 1)

    def end_spans(first: int) -> None:
        begun.wait()
        for span_id in range(first, first + number):
            line.end(a_span(span_id))

    recording = [
        threading.Thread(target=end_spans, args=(index * number,)) for index in range(threads)
    ]
    line.connect("owner", [logs[0]], None, lambda timeout_s: True)
    for thread in recording:
        thread.start()
    begun.wait()
    for log in logs[1:]:
        line.connect(log, [log], None, lambda timeout_s: True)
    for thread in recording:
        thread.join()
    line.drain()
    ended = [span_id for log in logs for _, span_id in log.events]
    assert sorted(ended) == list(range(threads * number))


def test_what_waits_goes_to_the_sinks_that_were_there_when_it_ended() -> None:
    """Those that come later get what ends later."""
    before, after = Log(), Log()
    line = connected(before)
    line.end(a_span(1))
    line.connect("next", [after], None, lambda timeout_s: True)
    line.end(a_span(2))
    line.drain()
    assert (before.events, after.events) == ([("ended", 1)], [("ended", 2)])


def test_a_predecessor_does_not_disconnect_its_successor() -> None:
    """Only the owner does."""
    log = Log()
    line = connected(log)
    line.disconnect("another")
    line.end(a_span(1))
    line.drain()
    line.disconnect("owner")
    line.end(a_span(2))
    line.drain()
    assert log.events == [("ended", 1)]


def test_a_program_that_is_ahead_of_its_worker_waits(pauses: list[float]) -> None:
    """Past the high-water mark each end is one pause."""
    line = connected(worker=Worker(backlog=HIGH_WATER))
    fill(line, CROWDED)
    line.end(a_span(1))
    line.end(a_span(2))
    assert pauses == [PAUSE_S, PAUSE_S]


def test_a_pause_that_is_interrupted_makes_no_later_one_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by Ctrl-C; the threads that wait at a fork do not wait in the child either."""
    made: list[float] = []

    def sleep(seconds: float) -> None:
        made.append(seconds)
        if len(made) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "time", SimpleNamespace(sleep=sleep))
    line = connected(worker=Worker(backlog=HIGH_WATER))
    fill(line, CROWDED)
    with pytest.raises(KeyboardInterrupt):
        line.end(a_span(1))
    line.end(a_span(2))
    line._paused.append(None)
    line.after_fork()
    fill(line, CROWDED)
    line.end(a_span(3))
    assert made == [PAUSE_S, PAUSE_S, PAUSE_S]


def test_below_the_mark_nobody_waits(pauses: list[float]) -> None:
    """The worker is woken, and no more."""
    line = connected(worker=Worker())
    fill(line, CROWDED)
    line.end(a_span(1))
    assert (pauses, len(line.queue)) == ([], CROWDED + 1)


def test_nobody_waits_for_a_worker_that_does_not_keep_up(pauses: list[float]) -> None:
    """What is too much for it goes to the sinks, which drop it and count that."""
    log = Log()
    line = connected(log, worker=Worker(keeps_up=False, backlog=10 * HIGH_WATER))
    fill(line, HIGH_WATER)
    line.end(a_span(1))
    assert (pauses, len(log.events), len(line.queue)) == ([], HIGH_WATER + 1, 0)


@pytest.mark.parametrize("worker", [None, Worker(there=False)])
def test_without_a_worker_the_program_drains(worker: Worker | None, pauses: list[float]) -> None:
    """There is nobody else to do it."""
    log = Log()
    line = connected(log, worker=worker)
    fill(line, CROWDED)
    line.end(a_span(1))
    assert (pauses, len(log.events)) == ([], CROWDED + 1)


@pytest.mark.parametrize("worker", [None, Worker(keeps_up=False)])
def test_threads_let_the_one_of_them_get_ahead_that_drains(
    worker: Worker | None, pauses: list[float]
) -> None:
    """Else they would end spans faster than it hands them on, and the queue would grow."""
    line = connected()

    def elsewhere() -> None:
        fill(line, HIGH_WATER)
        thread = threading.Thread(target=line.end, args=(a_span(1),))
        thread.start()
        thread.join()

    line.connect("owner", [Log(elsewhere)], worker, lambda timeout_s: True)
    fill(line, 1)
    line.drain()
    assert pauses == [PAUSE_S]


@pytest.mark.parametrize("worker", [None, Worker(keeps_up=False)])
def test_a_sink_that_is_behind_slows_the_program_down(
    worker: Worker | None, pauses: list[float]
) -> None:
    """Until it has worked off what it took, each end is a pause."""
    log = Log()
    log.behind = True
    line = connected(log, worker=worker)
    fill(line, CROWDED)
    line.end(a_span(1))
    line.end(a_span(2))
    log.behind = False
    line.end(a_span(3))
    line.end(a_span(4))
    assert (pauses, line.limit) == ([PAUSE_S, PAUSE_S], CROWDED)


def test_whoever_does_the_sinks_own_work_is_not_held_up(pauses: list[float]) -> None:
    """The writing thread ends the roots of evicted executions, and must not wait for itself."""
    line = connected(worker=Worker(backlog=10 * HIGH_WATER))
    line.unhurried.add(threading.get_ident())
    fill(line, CROWDED)
    line.end(a_span(1))
    assert pauses == []


def test_a_signal_handler_that_interrupts_the_draining_is_not_held_up(pauses: list[float]) -> None:
    """It would keep the draining waiting for itself."""
    line = connected()
    log = Log(lambda: line.end(a_span(99)))
    line.connect("owner", [log], Worker(backlog=10 * HIGH_WATER), lambda timeout_s: True)
    fill(line, CROWDED + 1 + BATCH)
    line.limit = 0
    line.drain()
    assert pauses == []


def test_what_is_drained_faster_than_it_is_written_waits_too(pauses: list[float]) -> None:
    """Whoever asks for numbers all the time keeps the queue short, and not what is behind it."""
    worker = Worker(backlog=HIGH_WATER + 1)
    line = connected(worker=worker)
    line.drain()
    line.end(a_span(1))
    worker.backlog = 0
    line.end(a_span(2))
    line.end(a_span(3))
    assert (pauses, line.limit) == ([PAUSE_S], CROWDED)


def test_the_worker_is_looked_after_now_and_then(pauses: list[float]) -> None:
    """Not at each end; but no later than when the program has to wait for it."""
    worker = Worker(backlog=HIGH_WATER - CROWDED - STEP - 10)
    line = connected(worker=worker)
    limits = []
    for number in range(HIGH_WATER):
        line.end(a_span(number))
        limits.append(line.limit)
        if pauses:
            break
    assert list(dict.fromkeys(limits)) == [
        CROWDED,
        CROWDED + 1 + STEP,
        CROWDED + STEP + 10,
    ]
    assert len(line.queue) == CROWDED + STEP + 11
    line.drain()
    assert line.limit == CROWDED


@pytest.mark.parametrize("leave", [True, False])
def test_a_limit_of_other_sinks_does_not_stay(leave: bool) -> None:
    """Else each end would be handed on by itself."""
    line = connected(worker=Worker(backlog=HIGH_WATER + 1))
    line.drain()
    assert line.limit == 0
    if leave:
        line.disconnect("owner")
    else:
        line.connect("next", [Log()], None, lambda timeout_s: True)
    assert line.limit == CROWDED


def test_a_forked_child_starts_afresh() -> None:
    """Even if another thread was draining just then: what waits and is open is the parent's."""
    draining, done = threading.Event(), threading.Event()
    log = Log()
    line = connected()

    def hold() -> None:
        draining.set()
        done.wait()

    line.connect("owner", [Log(hold)], None, lambda timeout_s: True)
    fill(line, 1)
    thread = threading.Thread(target=line.drain)
    thread.start()
    draining.wait()
    open_span = a_span(1)
    line.start(open_span)
    fill(line, 3)
    line.after_fork()
    done.set()
    thread.join()
    line.connect("child", [log], None, lambda timeout_s: True)
    line.drain()
    assert (log.events, dict(line.open), open_span._forked) == ([], {}, True)


def test_an_end_is_a_first_use_after_a_fork() -> None:
    """The threads that a fork has ended are needed again, though nothing starts any more."""
    line = connected()
    span = a_span(1)
    line.start(span)
    used: list[bool] = []
    line.first_use = lambda: used.append(True)
    line.end(span)
    assert used == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_what_ends_after_a_fork_is_written_though_nothing_starts(tmp_path: Path) -> None:
    """A program that forks within a phase and is then idle has that phase on disk."""
    path = tmp_path / "traces.db"
    phasetrace.configure(store=path)
    with phasetrace.time_phase("e", "n", "outer"):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    def rows() -> list[str]:
        with closing(stored_spans.connect(path)) as store:
            return [name for (name,) in store.execute("SELECT name FROM spans")]

    wait_until(lambda: path.exists() and rows() == ["outer"])


def test_spans_that_nobody_ends_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The register keeps the latest; an end of another one is counted all the same."""
    monkeypatch.setattr(pipeline, "MAX_OPEN", 10)
    log = Log()
    line = connected(log)
    spans = [a_span(number) for number in range(1, 16)]
    for span in spans:
        line.start(span)
    line.drain()
    assert list(line.open.values()) == spans[5:]
    line.end(spans[0])
    line.drain()
    assert log.events == [("ended", 1)]
