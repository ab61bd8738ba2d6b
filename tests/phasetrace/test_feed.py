"""Feeding an exporter: when, in what batches, and what becomes of every span."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    Sampler,
    SamplingResult,
)

from phasetrace import faults
from phasetrace.feed import Feed, FeedCounts
from phasetrace.settings import BatchLimits
from tests.phasetrace.receivers import http_receiver
from tests.phasetrace.timing import least_s

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
LONG_S = 60.0
NEVER_MS = 10**9

forks = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")


class Exporter:
    """Keeps what it gets; `on_export` is called with every batch and answers."""

    def __init__(self, on_export: Callable[[list[Any]], object] = lambda batch: SUCCESS) -> None:
        self.batches: list[list[Any]] = []
        self.on_export = on_export
        self.while_shutting_down: Callable[[], object] = lambda: None
        self.calls: list[str] = []

    def export(self, spans: Sequence[Any]) -> object:
        """Take a batch."""
        self.batches.append(list(spans))
        self.calls.append("export")
        return self.on_export(self.batches[-1])

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Note it."""
        self.calls.append("flush")
        return True

    def shutdown(self) -> None:
        """Note it."""
        self.calls.append("shutdown")
        self.while_shutting_down()

    def exported(self) -> list[Any]:
        """Return what it got."""
        return [span for batch in self.batches for span in batch]


class Hanging(Exporter):
    """Does not answer before it is let go on."""

    def __init__(self, answer: object = SUCCESS) -> None:
        super().__init__(self._hang)
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self._answer = answer

    def _hang(self, batch: object) -> object:
        self.begun.set()
        assert self.go_on.wait(LONG_S)
        return self._answer


class ByHand:
    """Stands for the worker: does a step when a test says so."""

    def __init__(self, name: str, step: Callable[[], float | None]) -> None:
        self.step = step
        self.changed = threading.Condition()
        self.stopped = False
        self.lent_until = None
        self.woken = 0

    def wake(self) -> None:
        """Count it."""
        self.woken += 1

    def stop(self) -> None:
        """Note it."""
        self.stopped = True

    def until_rest(self) -> float | None:
        """Do all that is due; return how long nothing else will be."""
        while not self.stopped:
            rest_s = self.step()
            if rest_s != 0:
                return rest_s
        return None

    def wait_for(self, done: Callable[[], bool], deadline: float) -> bool:
        """Do all that is due."""
        self.until_rest()
        return done()

    def before_fork(self, busy_s: float) -> None:
        """Have no thread; another test may fork."""

    after_fork_in_parent = after_fork = lambda self: None


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Feed, Exporter, ByHand]]:
    """Return a function that makes a feed which works when it is told to."""

    def make(exporter: Exporter | None = None, **limits: int) -> tuple[Feed, Exporter, ByHand]:
        monkeypatch.setattr("phasetrace.feed.Worker", ByHand)
        exporter = exporter or Exporter()
        feed = Feed("mine", exporter, BatchLimits(**limits))
        worker: Any = feed._worker
        return feed, exporter, worker

    return make


@pytest.fixture
def make_feed() -> Iterator[Callable[..., Feed]]:
    """Return a function that makes feeds, which end with the test."""
    feeds: list[Feed] = []

    def make(exporter: Any, **limits: int) -> Feed:
        limits = {"schedule_delay_ms": NEVER_MS, **limits}
        feeds.append(Feed("mine", exporter, BatchLimits(**limits)))
        return feeds[-1]

    yield make
    for feed in feeds:
        if isinstance(feed.exporter, Hanging):
            feed.exporter.go_on.set()
        feed.shutdown(LONG_S)


class Clock:
    """A monotonic clock that a test owns; seconds."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the present."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the feed a clock of the test's."""
    clock = Clock()
    monkeypatch.setattr("phasetrace.feed.time.monotonic", clock)
    return clock


def spans(number: int) -> list[Any]:
    """Return so many things to be exported; a feed does not look at them."""
    return [object() for _ in range(number)]


# --- when, and in what batches ---------------------------------------------------------------


def test_a_full_batch_is_exported_at_once(by_hand: Callable[..., Any]) -> None:
    """The worker is woken by the first span and by the last one of a batch, not in between."""
    feed, exporter, worker = by_hand(max_export_batch_size=5)
    feed.take(spans(1))
    assert worker.woken == 1
    assert worker.until_rest() > 0
    feed.take(spans(3))
    assert (worker.woken, exporter.batches) == (1, [])
    feed.take(spans(1))
    assert worker.woken == 2
    worker.until_rest()
    assert list(map(len, exporter.batches)) == [5]


def test_the_others_are_exported_after_the_delay(by_hand: Callable[..., Any], clock: Clock) -> None:
    """Counted from the first that waits; everything that waits by then goes."""
    feed, exporter, worker = by_hand(schedule_delay_ms=3000)
    feed.take(spans(1))
    assert worker.until_rest() == 3.0
    clock.now_s += 2.0
    feed.take(spans(2))
    assert worker.until_rest() == 1.0
    clock.now_s += 1.0
    assert worker.until_rest() is None
    assert list(map(len, exporter.batches)) == [3]
    clock.now_s += 10.0
    feed.take(spans(1))
    assert worker.until_rest() == 3.0


def test_no_span_waits_longer_because_others_were_exported(
    by_hand: Callable[..., Any], clock: Clock
) -> None:
    """Neither what a full batch left over, nor what came while it was under way."""

    def take_time(batch: list[Any]) -> object:
        if len(batch) == 5:
            feed.take(spans(1))
            clock.now_s += 0.5
        return SUCCESS

    feed, exporter, worker = by_hand(
        Exporter(take_time), schedule_delay_ms=3000, max_export_batch_size=5
    )
    feed.take(spans(1))
    worker.until_rest()
    clock.now_s += 1.0
    feed.take(spans(5))
    assert worker.until_rest() == 1.5
    clock.now_s += 1.5
    assert worker.until_rest() is None
    assert list(map(len, exporter.batches)) == [5, 2]
    feed.take(spans(5))
    assert worker.until_rest() == 2.5


def test_batches_are_no_larger_than_they_may_be(by_hand: Callable[..., Any]) -> None:
    """However much is waiting, and in the order in which it was taken."""
    feed, exporter, worker = by_hand()
    some = spans(1100)
    feed.take(some)
    feed.begin_flush(1.0)
    worker.until_rest()
    assert list(map(len, exporter.batches)) == [512, 512, 76]
    assert exporter.exported() == some


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [({}, [2048, 2048, 904]), ({"max_export_batch_size": 2000}, [2000, 2000, 1000])],
)
def test_bytes_go_in_larger_batches_unless_that_is_forbidden(
    by_hand: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    sizes: list[int],
) -> None:
    """A request costs the same whatever is in it; the variable is a promise to the receiver."""
    sent: list[int] = []

    def send(payload: bytes, number: int) -> SpanExportResult:
        sent.append(number)
        return SUCCESS

    monkeypatch.setattr("phasetrace.destination.byte_sender", lambda exporter: send)
    feed, _, worker = by_hand(**limits)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    span: Any = tracer.start_span("s")
    span.end()
    feed.take([span] * 5000)
    feed.begin_flush(1.0)
    worker.until_rest()
    assert sent == sizes


def test_a_batch_is_no_larger_than_the_queue(by_hand: Callable[..., Any]) -> None:
    """Else nothing would be exported before spans are dropped."""
    feed, exporter, worker = by_hand(max_queue_size=3)
    feed.take(spans(3))
    worker.until_rest()
    assert list(map(len, exporter.batches)) == [3]


def test_the_environments_limits_hold_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A feed may be added to any SDK provider."""
    assert Feed("mine", Exporter()).limit == 65_536
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "7")
    assert Feed("mine", Exporter()).limit == 7


def test_the_worker_exports_after_the_delay(make_feed: Callable[..., Feed]) -> None:
    """The whole of it, with a thread and the real clock."""
    exported = threading.Event()
    exporter = Exporter(lambda batch: exported.set() or SUCCESS)  # type: ignore[func-returns-value]
    feed = make_feed(exporter, schedule_delay_ms=50)
    started = time.monotonic()
    feed.take(spans(2))
    assert exported.wait(LONG_S)
    assert time.monotonic() - started >= 0.05
    assert list(map(len, exporter.batches)) == [2]


def test_what_is_taken_while_the_worker_falls_asleep_is_exported(
    make_feed: Callable[..., Feed],
) -> None:
    """Again and again just when it has nothing left to do."""
    exported = threading.Semaphore(0)
    exporter = Exporter(lambda batch: exported.release() or SUCCESS)  # type: ignore[func-returns-value]
    feed = make_feed(exporter, max_export_batch_size=1)
    for _ in range(2000):
        feed.take(spans(1))
        assert exported.acquire(timeout=LONG_S)


class RecordOnly(Sampler):
    """Has spans recorded, but not exported."""

    def should_sample(self, *args: Any, **more: Any) -> SamplingResult:
        """Say so."""
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        """Name it."""
        return "RecordOnly"


@pytest.mark.parametrize("waiting", [0, 4])
def test_what_is_taken_just_before_the_worker_says_when_to_be_woken_is_seen(
    monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    """Whoever takes it goes by what was said before, and wakes nobody."""

    class Raced(Feed):
        racing = False

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "_wake_at" and self.racing:
                self.racing = False
                self.take(spans(1))
            super().__setattr__(name, value)

    monkeypatch.setattr("phasetrace.feed.Worker", ByHand)
    feed = Raced("mine", Exporter(), BatchLimits(None, 5, NEVER_MS))
    feed.take(spans(waiting))
    feed._wake_at = sys.maxsize
    feed.racing = True
    assert feed._rest_s() == 0


def test_an_exporter_that_ends_its_thread_does_not_end_the_feed(
    by_hand: Callable[..., Any],
) -> None:
    """The next span wakes the worker, as the first one did."""

    def end(batch: object) -> object:
        raise SystemExit

    feed, _, worker = by_hand(Exporter(end), max_export_batch_size=2)
    feed.take(spans(2))
    with pytest.raises(SystemExit):
        worker.until_rest()
    woken = worker.woken
    feed.take(spans(1))
    assert worker.woken == woken + 1
    assert feed.counts() == FeedCounts(1, 0, 0, 2, 0)


def test_only_sampled_spans_are_exported(make_feed: Callable[..., Feed]) -> None:
    """Added to an SDK provider, it does what the SDK's own processors do."""
    exporter = Exporter()
    feed = make_feed(exporter)
    for sampler in (ALWAYS_ON, ALWAYS_OFF, RecordOnly()):
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(feed)
        provider.get_tracer("t").start_span("s").end()
    feed.on_end(ReadableSpan("without a context"))
    feed.on_end(None)  # type: ignore[arg-type]
    assert feed.force_flush()
    assert [span.name for span in exporter.exported()] == ["s"]
    assert list(faults.counts()) == ["handing a span to mine"]


# --- what becomes of every span --------------------------------------------------------------


def test_past_the_limit_new_spans_are_dropped(
    by_hand: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What was there first stays; all are counted, and it is said once, not by `take`."""
    feed, exporter, worker = by_hand(max_queue_size=5)
    some = spans(9)
    feed.take(some[:3])
    feed.take(some[3:])
    feed.take(spans(2))
    assert feed.counts() == FeedCounts(5, 0, 0, 0, 6)
    assert (feed.backlog, feed.dropped, caplog.text) == (5, 6, "")
    worker.until_rest()
    assert exporter.exported() == some[:5]
    feed.take(spans(9))
    worker.until_rest()
    assert list(faults.counts().values()) == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "phasetrace: spans for mine are dropped: they come faster than it takes them, "
        "and 5 are waiting (further ones are only counted)"
    ]


@pytest.mark.parametrize("answer", [FAILURE, None, OSError("no")])
def test_what_is_not_delivered_has_failed(by_hand: Callable[..., Any], answer: object) -> None:
    """The feed goes on with the next batch."""

    def respond(batch: list[Any]) -> object:
        if len(exporter.batches) > 1:
            return SUCCESS
        if isinstance(answer, Exception):
            raise answer
        return answer

    feed, exporter, worker = by_hand(Exporter(respond), max_export_batch_size=2)
    feed.take(spans(2))
    worker.until_rest()
    assert (feed.counts(), feed.keeps_up) == (FeedCounts(0, 0, 0, 2, 0), False)
    feed.take(spans(2))
    worker.until_rest()
    assert (feed.counts(), feed.keeps_up) == (FeedCounts(0, 0, 2, 2, 0), True)


def test_a_fault_of_ours_costs_the_batch_only(
    by_hand: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a destination should never do does not end the feed."""
    feed, _, worker = by_hand(max_export_batch_size=2)

    def export(batch: object, until: float | None) -> Iterator[tuple[int, bool]]:
        yield 1, True
        raise ValueError

    with monkeypatch.context() as patched:
        patched.setattr(feed._destination, "export", export)
        feed.take(spans(2))
        worker.until_rest()
    feed.take(spans(2))
    worker.until_rest()
    assert feed.counts() == FeedCounts(0, 0, 3, 1, 0)
    assert list(faults.counts()) == ["exporting to mine"]


ACTIONS = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 12)),
    st.tuples(st.just("work"), st.sampled_from([SUCCESS, FAILURE, None, OSError("no")])),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("shut down"), st.none()),
    st.tuples(st.just("give up"), st.none()),
)


@given(st.lists(ACTIONS, max_size=30), st.integers(1, 20), st.integers(1, 8), st.integers(0, 3))
def test_every_span_is_counted_once(
    actions: list[tuple[str, Any]], limit: int, batch_size: int, meanwhile: int
) -> None:
    """At any moment, also while the exporter has some and others come, and after the end."""
    answer: Any = SUCCESS
    taken = 0

    def take(number: int) -> None:
        nonlocal taken
        feed.take(spans(number))
        taken += number
        check()

    def check() -> None:
        assert sum(feed.counts()) == taken

    def on_export(batch: list[Any]) -> object:
        assert len(batch) <= batch_size
        assert feed.in_flight == len(batch)
        check()
        if len(exporter.batches) < 20:
            take(meanwhile)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phasetrace.feed.Worker", ByHand)
        exporter = Exporter(on_export)
        feed = Feed("mine", exporter, BatchLimits(limit, batch_size, NEVER_MS))
    worker: Any = feed._worker
    for action, argument in actions:
        lost = feed.failed + feed.dropped
        if action == "take":
            take(argument)
        elif action == "work":
            answer = argument
            worker.until_rest()
        elif action == "flush":
            delivered_all = feed.force_flush(1)
            assert not (delivered_all and feed.failed + feed.dropped > lost and not meanwhile)
        elif action == "shut down":
            feed.shutdown(1.0)
            assert feed.backlog == 0
        else:
            feed.begin_shutdown()
            feed._give_up()
            assert feed.backlog == 0
        check()
        assert feed.backlog <= limit
    assert feed.delivered + feed.failed >= len(exporter.exported())


def test_every_span_is_counted_once_whatever_threads_do(make_feed: Callable[..., Feed]) -> None:
    """Four threads hand over as fast as they can, and the feed ends in the middle of it."""
    answers = [SUCCESS, FAILURE, None]
    exporter = Exporter(lambda batch: answers[len(batch) % 3])
    feed = make_feed(exporter, max_queue_size=300, max_export_batch_size=100)
    halfway = threading.Semaphore(0)

    def hand_over() -> None:
        for index in range(2000):
            feed.take(spans(index % 5))
            if index == 1000:
                halfway.release()

    threads = [threading.Thread(target=hand_over) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert halfway.acquire(timeout=LONG_S)
    feed.force_flush(LONG_S * 1000)
    feed.shutdown(LONG_S)
    for thread in threads:
        thread.join()
    counts = feed.counts()
    assert sum(counts) == 4 * 2000 * 2
    assert (counts.waiting, counts.in_flight) == (0, 0)
    assert counts.delivered + counts.failed == len(exporter.exported())


# --- flushing --------------------------------------------------------------------------------


def test_a_flush_exports_what_was_taken_before_it(make_feed: Callable[..., Feed]) -> None:
    """And then has the exporter flush."""
    exporter = Exporter()
    feed = make_feed(exporter)
    feed.take(spans(700))
    assert feed.force_flush()
    assert list(map(len, exporter.batches)) == [512, 188]
    assert exporter.calls == ["export", "export", "flush"]
    assert feed.counts() == FeedCounts(0, 0, 700, 0, 0)


def test_a_flush_does_not_wait_for_what_comes_later(make_feed: Callable[..., Feed]) -> None:
    """A program that goes on recording does not keep it for ever."""
    exporter = Exporter(lambda batch: feed.take(spans(1)) or SUCCESS)  # type: ignore[func-returns-value]
    feed = make_feed(exporter)
    feed.take(spans(1))
    assert feed.force_flush(LONG_S * 1000)
    assert feed.delivered <= 2


def test_a_flush_waits_for_what_is_under_way(make_feed: Callable[..., Feed]) -> None:
    """A batch that an exporter has is not delivered yet."""
    exporter = Hanging()
    feed = make_feed(exporter, max_export_batch_size=1)
    feed.take(spans(1))
    assert exporter.begun.wait(LONG_S)
    assert (feed.backlog, feed.force_flush(10)) == (0, False)
    exporter.go_on.set()
    assert feed.force_flush()


def test_nothing_to_flush_starts_nothing(make_feed: Callable[..., Feed]) -> None:
    """No thread, and no call of the exporter."""
    exporter = Exporter()
    before = threading.active_count()
    assert make_feed(exporter).force_flush()
    assert (threading.active_count(), exporter.calls) == (before, [])


def test_a_flush_tells_of_what_was_lost_since_the_last_one(
    by_hand: Callable[..., Any],
) -> None:
    """Failed or dropped, during the flush or before; once."""
    answers = [SUCCESS, FAILURE, SUCCESS, FAILURE, SUCCESS, SUCCESS, SUCCESS]
    feed, _, worker = by_hand(Exporter(lambda batch: answers.pop(0)), max_queue_size=2)

    def flushed(number: int) -> bool:
        feed.take(spans(number))
        return feed.force_flush() is True

    assert [flushed(1), flushed(1), flushed(1)] == [True, False, True]
    feed.take(spans(2))
    worker.until_rest()
    assert [flushed(1), flushed(1), flushed(0)] == [False, True, True]
    assert [flushed(3), flushed(0)] == [False, True]


def test_flushes_side_by_side_all_tell_of_a_loss(by_hand: Callable[..., Any]) -> None:
    """One that comes back first does not hide it from the others."""
    feed, *_ = by_hand(Exporter(lambda batch: FAILURE))
    feed.take(spans(1))
    flushes = [feed.begin_flush(1.0), feed.begin_flush(1.0)]
    assert [feed.end_flush(flush) for flush in flushes] == [False, False]


def test_an_exporter_that_does_not_flush_fails_the_flush(make_feed: Callable[..., Feed]) -> None:
    """It may have accepted spans and not delivered them."""
    exporter = Exporter()
    exporter.force_flush = lambda timeout_millis=0: False  # type: ignore[method-assign]
    feed = make_feed(exporter)
    feed.take(spans(1))
    assert not feed.force_flush()


def test_a_flush_keeps_its_deadline(make_feed: Callable[..., Feed]) -> None:
    """To within ten per cent, while the exporter hangs."""
    feed = make_feed(Hanging())
    feed.take(spans(1))

    def flush() -> None:
        assert not feed.force_flush(1000)

    assert 1.0 <= least_s(flush) < 1.1


# --- the end ---------------------------------------------------------------------------------


def test_the_end_exports_the_rest(make_feed: Callable[..., Feed]) -> None:
    """Then the exporter is shut down, once; what comes later is dropped."""
    exporter = Exporter()
    feed = make_feed(exporter)
    feed.take(spans(600))
    feed.shutdown()
    feed.shutdown()
    assert exporter.calls == ["export", "export", "shutdown"]
    feed.take(spans(3))
    assert feed.counts() == FeedCounts(0, 0, 600, 0, 3)
    assert faults.counts() == {}


@pytest.mark.parametrize("number", [0, 1])
def test_a_kept_exporter_is_not_shut_down(make_feed: Callable[..., Feed], number: int) -> None:
    """It goes on in another configuration."""
    exporter = Exporter()
    feed = make_feed(exporter)
    feed.kept = True
    feed.take(spans(number))
    feed.shutdown()
    assert exporter.calls == ["export"] * number


def test_a_feed_that_took_nothing_shuts_its_exporter_down(make_feed: Callable[..., Feed]) -> None:
    """It may have a connection open."""
    exporter = Exporter()
    make_feed(exporter).shutdown()
    assert exporter.calls == ["shutdown"]


def test_at_the_end_a_flush_has_its_answer(make_feed: Callable[..., Feed]) -> None:
    """Another thread's shutdown exports for it."""
    exporter = Hanging()
    feed = make_feed(exporter, max_export_batch_size=1)
    feed.take(spans(3))
    flush = feed.begin_flush(LONG_S)
    feed.begin_shutdown()
    exporter.go_on.set()
    assert feed.end_flush(flush)


def test_an_exporter_that_hangs_is_given_up(make_feed: Callable[..., Feed]) -> None:
    """What waits has failed; what it has is counted when it answers, after all."""
    exporters = [Hanging() for _ in range(3)]
    feeds = [make_feed(exporter, max_export_batch_size=4) for exporter in exporters]
    for exporter, feed in zip(exporters, feeds, strict=True):
        exporter.while_shutting_down = exporter.go_on.wait
        feed.take(spans(10))
    left = iter(feeds)
    assert 0.5 <= least_s(lambda: next(left).shutdown(0.5), len(feeds)) < 0.6
    exporter, feed = exporters[0], feeds[0]
    assert feed.counts() == FeedCounts(0, 4, 0, 6, 0)
    exporter.go_on.set()
    with feed._worker.changed:
        assert feed._worker.changed.wait_for(lambda: not feed.in_flight, LONG_S)
    assert feed.counts() == FeedCounts(0, 0, 4, 6, 0)
    assert exporter.calls == ["export", "shutdown"]


def test_an_exporter_that_is_interrupted_by_its_shutdown_still_answers(
    make_feed: Callable[..., Feed],
) -> None:
    """The official ones give a retry up then; their answer is waited for a little longer."""
    exporter = Hanging(FAILURE)
    exporter.while_shutting_down = exporter.go_on.set
    feed = make_feed(exporter)
    feed.take(spans(2))
    feed.shutdown(0.5)
    assert feed.counts() == FeedCounts(0, 0, 0, 2, 0)


def test_an_exporter_that_hangs_shutting_down_is_given_up(make_feed: Callable[..., Feed]) -> None:
    """The deadline holds for that, too."""
    exporter = Exporter()
    release = threading.Event()
    exporter.while_shutting_down = release.wait
    feed = make_feed(exporter)
    feed.take(spans(1))
    feed.shutdown(0.2)
    assert feed.counts() == FeedCounts(0, 0, 1, 0, 0)
    assert exporter.calls == ["export", "shutdown"]
    release.set()


@pytest.mark.parametrize("is_begun", [True, False])
def test_without_threads_the_caller_exports(
    make_feed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch, is_begun: bool
) -> None:
    """While the interpreter shuts down none can be started; nothing is lost by it."""
    exporter = Exporter()
    feed = make_feed(exporter)
    if is_begun:
        feed.take(spans(1))
        feed.force_flush()
        feed._worker.before_fork(0.0)
        feed._worker.after_fork_in_parent()

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    exporter.batches.clear()
    feed.take(spans(3))
    assert feed.force_flush()
    feed.take(spans(600))
    feed.shutdown()
    assert list(map(len, exporter.batches)) == [3, 512, 88]
    assert exporter.calls[-1] == "shutdown"


def test_what_is_taken_while_the_feed_ends_is_counted(by_hand: Callable[..., Any]) -> None:
    """By whoever comes last: the one who hands over, or the one who ends it."""

    class Ending(deque[Any]):
        def append(self, span: Any) -> None:
            feed.shutdown()
            super().append(span)

    feed, *_ = by_hand()
    feed._queue = Ending()
    feed.take(spans(1))
    assert feed.counts() == FeedCounts(0, 0, 0, 0, 1)

    exporter = Exporter()
    exporter.while_shutting_down = lambda: feed._queue.append(object())
    feed, *_ = by_hand(exporter)
    feed.shutdown()
    assert feed.counts() == FeedCounts(0, 0, 0, 0, 1)


def test_what_is_given_up_is_not_sent_later(
    make_feed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch of several requests those that had not begun."""
    go_on = threading.Event()
    sent: list[int] = []

    def send(payload: bytes, number: int) -> SpanExportResult:
        sent.append(number)
        assert go_on.wait(LONG_S)
        return SUCCESS

    monkeypatch.setattr("phasetrace.destination.byte_sender", lambda exporter: send)
    monkeypatch.setattr("phasetrace.destination._MAX_REQUEST", 1)
    feed = make_feed(Exporter())
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    span: Any = tracer.start_span("s")
    span.end()
    feed.take([span] * 3)
    feed.shutdown(0.1)
    assert feed.counts() == FeedCounts(0, 3, 0, 0, 0)
    go_on.set()
    with feed._worker.changed:
        assert feed._worker.changed.wait_for(lambda: not feed.in_flight, LONG_S)
    assert (feed.counts(), sent) == (FeedCounts(0, 0, 1, 2, 0), [1])


def test_a_feed_that_was_started_keeps_its_deadlines_without_new_threads(
    make_feed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first spans may come while the interpreter shuts down, and the exporter may hang."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    feed = make_feed(Hanging())
    feed.start()
    monkeypatch.setattr(threading.Thread, "start", start)
    feed.take(spans(2))
    assert not feed.force_flush(50)
    feed.shutdown(0.05)
    assert feed.counts() == FeedCounts(0, 2, 0, 0, 0)


def test_a_feed_without_threads_gives_a_known_exporter_no_longer_than_it_has(
    make_feed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shuts it down has to export, and would wait for the exporter's own time."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with http_receiver() as receiver:
        receiver.answer = receiver.hang
        endpoint = f"http://127.0.0.1:{receiver.port}/v1/traces"
        feed = make_feed(OTLPSpanExporter(endpoint, timeout=LONG_S))
        span: Any = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
        span.end()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            feed.take([span])
            began = time.monotonic()
            feed.shutdown(0.5)
        assert time.monotonic() - began < LONG_S / 6
    assert feed.counts() == FeedCounts(0, 0, 0, 1, 0)


# --- forks -----------------------------------------------------------------------------------


def run(program: str) -> str:
    """Run a program in a process of its own, warnings being errors; return what it prints."""
    prologue = """
        import os, sys, threading, time
        running = []  # threads at each fork; what is registered first runs last
        os.register_at_fork(before=lambda: running.append(threading.active_count()))
        from opentelemetry.sdk.trace.export import SpanExportResult
        from phasetrace.feed import Feed
        from phasetrace.settings import BatchLimits

        class Exporter:
            batches = []
            go_on = threading.Event()
            begun = threading.Event()
            def export(self, spans):
                self.begun.set()
                if spans[0] == "hang":
                    self.go_on.wait()
                self.batches.append(list(spans))
                return SpanExportResult.SUCCESS
            def force_flush(self, timeout_millis): return True
            def shutdown(self): self.batches.append("shutdown")

        def wait_for(child):
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        exporter = Exporter()
        feed = Feed("mine", exporter, BatchLimits(None, 1))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(prologue) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@forks
def test_a_fork_finds_no_thread() -> None:
    """Python warns whoever forks while there are some; afterwards the feed goes on."""
    printed = run(
        """
        for number in range(3):
            feed.take([number])
            assert feed.force_flush()
            feed.take(["waits"])
            child = os.fork()
            if child == 0:
                os._exit(0)
            wait_for(child)
        assert feed.force_flush()
        print(running, exporter.batches.count(["waits"]), feed.counts())
        """
    )
    assert printed == (
        "[1, 1, 1] 3 FeedCounts(waiting=0, in_flight=0, delivered=6, failed=0, dropped=0)\n"
    )


@forks
def test_what_waits_at_a_fork_is_exported_after_it() -> None:
    """When it is due, though nothing more comes."""
    printed = run(
        """
        feed = Feed("mine", exporter, BatchLimits(schedule_delay_ms=100))
        feed.take(["waits"])
        child = os.fork()
        if child == 0:
            os._exit(0)
        wait_for(child)
        print(exporter.begun.wait(60))
        """
    )
    assert printed == "True\n"


@forks
def test_a_fork_interrupts_no_flush() -> None:
    """A thread that flushes meanwhile has its answer, from the next worker."""
    printed = run(
        """
        answers = []
        def flush():
            for number in range(200):
                feed.take([number])
                answers.append(feed.force_flush())
        thread = threading.Thread(target=flush)
        import warnings
        warnings.simplefilter("ignore")  # this thread is the program's
        thread.start()
        while thread.is_alive():
            child = os.fork()
            if child == 0:
                os._exit(0)
            wait_for(child)
        print(answers.count(True), feed.delivered)
        """
    )
    assert printed == "200 200\n"


@forks
def test_a_feed_is_inert_in_a_forked_child() -> None:
    """It exports nothing, shuts nothing down, starts nothing and hangs nowhere."""
    printed = run(
        """
        import warnings
        warnings.simplefilter("ignore")  # a thread that hangs is not ended
        feed.take(["hang", "parent's"])
        exporter.begun.wait()
        child = os.fork()
        if child == 0:
            feed.take(["child's"])
            flushed = feed.force_flush(60_000)
            feed.shutdown(60)
            assert exporter.batches == [], exporter.batches
            print(feed.counts(), flushed, threading.active_count(), flush=True)
            os._exit(0)
        wait_for(child)
        exporter.go_on.set()
        feed.shutdown(60)
        print(exporter.batches, feed.counts())
        """
    )
    assert printed.splitlines() == [
        "FeedCounts(waiting=0, in_flight=0, delivered=0, failed=0, dropped=1) False 1",
        "[['hang'], [\"parent's\"], 'shutdown'] "
        "FeedCounts(waiting=0, in_flight=0, delivered=2, failed=0, dropped=0)",
    ]


@forks
def test_forks_wait_for_an_exporter_that_hangs_a_second_at_most() -> None:
    """All of them together: one that has been waited for is not waited for again."""
    printed = run(
        """
        import warnings
        warnings.simplefilter("ignore")
        feed.take(["hang"])
        exporter.begun.wait()
        started = time.monotonic()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0)
            wait_for(child)
        print(0.5 < time.monotonic() - started < 2.0)
        exporter.go_on.set()
        print(feed.force_flush(), threading.active_count())
        """
    )
    assert printed == "True\nTrue 2\n"
