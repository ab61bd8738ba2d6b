"""Feeding one exporter from memory, in batches, behind the program's back."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from phasetrace import faults
from phasetrace.destination import Destination
from phasetrace.settings import BatchLimits, batch_limits
from phasetrace.store.exact_count import ExactCount
from phasetrace.store.forks import watch
from phasetrace.verdict import Verdict
from phasetrace.worker import Worker

MAX_QUEUE: Final = 65_536
"""More than the SDK's 2,048, which a burst overruns within one export."""
_BATCH: Final = 512
_LARGE_BATCH: Final = 2_048
_DELAY_MS: Final = 5_000
_LAST_CALL: Final = 0.1
"""Of a shutdown's time: what an exporter that was shut down gets on top, to say what it did."""


class FeedCounts(NamedTuple):
    """What has become of the spans that a feed has taken, at one moment."""

    waiting: int
    in_flight: int
    """The exporter has not answered for them yet."""
    delivered: int
    failed: int
    """The exporter failed, or at the end there was no time left for them."""
    dropped: int
    """Too many were waiting, or the feed had been shut down."""


class Flush:
    """Somebody waits until so many spans have gone through."""

    def __init__(self, target: int, deadline: float, lost_before: int) -> None:
        self.target = target
        self.deadline = deadline
        self.lost_before = lost_before
        self.answer: bool | None = None


class Feed(SpanProcessor):
    """Feeds an exporter, in the order in which spans are taken. Thread-safe; never raises.

    A batch is exported when its first span has waited for ``OTEL_BSP_SCHEDULE_DELAY``, or when
    ``OTEL_BSP_MAX_EXPORT_BATCH_SIZE`` spans wait. While more than that wait, an exporter that takes
    bytes gets up to 2,048 at a time, unless the variable is set: a request costs some 0.6 ms over
    HTTP, whatever is in it, so that is 0.5 µs a span in place of 1.4.

    In a forked child it drops what it takes: the exporter's connections are the parent's.

    `delivered`, `failed`, `dropped`, `in_flight` and `backlog` can be read at any time; `counts`
    gives them of one moment, at which they add up to what was taken.
    """

    def __init__(
        self,
        name: str,
        exporter: Any,
        limits: BatchLimits | None = None,
        explain: Callable[[Verdict], str] = attrgetter("reason"),
    ) -> None:
        if limits is None:
            limits = batch_limits()
        self.name = name
        self.exporter = exporter
        self.kept = False
        """The exporter is somebody else's to shut down, or goes on in another configuration."""
        self.limit: Final = limits.max_queue_size or MAX_QUEUE
        """Spans that may wait; threads that hand over at the same time may exceed it by some."""
        self._destination = Destination(name, exporter, explain)
        self._enough = min(limits.max_export_batch_size or _BATCH, self.limit)
        is_free = limits.max_export_batch_size is None and self._destination.takes_bytes
        self._most = _LARGE_BATCH if is_free else self._enough
        self._delay_s = min((limits.schedule_delay_ms or _DELAY_MS) / 1000, threading.TIMEOUT_MAX)
        self._worker = Worker(f"phasetrace-{name}", self._step)
        self._reset()
        watch(self)

    def _reset(self) -> None:
        # deque.append and popleft are atomic (documented), so a hand-over takes no lock, and may
        # come from a signal handler or a finalizer that interrupts another one.
        self._queue: deque[ReadableSpan] = deque()
        self._wake_at = 1
        """With so many waiting, the worker is woken."""
        self._dropped = ExactCount()
        self._dropped_told = False
        self._closed = False  # takes no spans any more
        # What is below is guarded by the worker's lock.
        self._left = 0  # spans that have left the queue to be exported
        self._due = 0  # so many are to leave it without delay
        self._since: float | None = None  # when the first of those that wait came, at the latest
        self._flushes: list[Flush] = []
        self._lost_at_flush = 0
        self._shut = False  # the exporter has been shut down, or is not to be
        self.delivered = 0
        self.failed = 0
        self.in_flight = 0

    @property
    def dropped(self) -> int:
        """How many spans were not taken, because too many were waiting or it was over."""
        return self._dropped.value()

    @property
    def backlog(self) -> int:
        """How many spans are waiting."""
        return len(self._queue)

    @property
    def keeps_up(self) -> bool:
        """False if the last export failed, or the present one takes more than two seconds."""
        return self._destination.keeps_up

    @property
    def problem(self) -> str | None:
        """Why an export failed, the last one that did; None if none did, or none told."""
        return self._destination.problem

    def counts(self) -> FeedCounts:
        """Return all counts of one moment."""
        with self._worker.changed:
            return FeedCounts(
                len(self._queue), self.in_flight, self.delivered, self.failed, self.dropped
            )

    def start(self) -> None:
        """Start the worker, if it has not been; Python 3.12 can start none when it shuts down.

        Needed where the first spans may come only then: whoever flushes has to export them itself,
        and no deadline holds for an exporter that hangs.
        """
        self._worker.wake()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a finished span, if it is sampled."""
        try:
            context = span.context
            if context is not None and context.trace_flags.sampled:
                self.take((span,))
        except Exception as error:
            faults.report(f"handing a span to {self.name}", error)

    def take(self, spans: Sequence[ReadableSpan]) -> None:
        """Take sampled spans. Never blocks; past the limit the new ones are dropped and counted."""
        queue = self._queue
        room = 0 if self._closed else max(0, self.limit - len(queue))
        if room < len(spans):
            for _ in spans[room:]:
                self._dropped.add()
            spans = spans[:room]
        for span in spans:
            queue.append(span)
        if self._worker.stopped:
            self._drop_late()
        elif len(queue) >= self._wake_at:
            self._worker.wake()

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """Have everything that was taken before the call exported, and wait for it.

        Returns:
            Whether all of it was delivered in time, and nothing was lost since the last flush.
        """
        return self.end_flush(self.begin_flush(timeout_millis / 1000))

    def begin_flush(self, timeout_s: float) -> Flush:
        """Begin what `force_flush` does. Never waits."""
        with self._worker.changed:
            target = self._left + len(self._queue)
            flush = Flush(target, time.monotonic() + timeout_s, self._lost_at_flush)
            if self._worker.stopped or not target:
                flush.answer = not self.in_flight and self._lost() == flush.lost_before
                return flush
            self._flushes.append(flush)
            self._due = max(self._due, target)
        self._worker.wake()
        return flush

    def end_flush(self, flush: Flush) -> bool:
        """Wait for a flush, up to its deadline, and return what `force_flush` does."""
        worker = self._worker
        worker.wait_for(lambda: flush.answer is not None or worker.stopped, flush.deadline)
        with worker.changed:
            with suppress(ValueError):
                self._flushes.remove(flush)
            self._lost_at_flush = self._lost()
            return bool(flush.answer)

    def shutdown(self, timeout_s: float = 30.0) -> None:
        """Export the rest and shut the exporter down, unless it is kept. Idempotent.

        What is not exported by then is given up and counted. An exporter that hangs is shut down
        all the same.
        """
        worker, deadline = self._worker, time.monotonic() + timeout_s
        self.begin_shutdown()
        if not worker.wait_for(lambda: worker.stopped, deadline):
            self._give_up()
            with worker.changed:
                worker.changed.wait_for(lambda: not self.in_flight, timeout_s * _LAST_CALL)

    def begin_shutdown(self) -> None:
        """Begin what `shutdown` does. Never waits."""
        if not self._closed:
            self._tell_of_dropped()
            self._closed = True
        self._worker.wake()

    def before_fork(self) -> None:
        """End the worker's thread; see `Worker`."""
        self._worker.before_fork(self._destination.busy_s)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._worker.after_fork_in_parent()
        if self._queue or self._flushes or self._closed:
            self._worker.wake()

    def after_fork(self) -> None:
        """Do nothing any more, in a forked child: what was waiting is the parent's to export."""
        self._worker.after_fork()
        self._reset()
        self._closed = self._shut = True

    def _step(self) -> float | None:
        """Do one thing that is due; return when there will be something else, for the worker."""
        waiting = len(self._queue)
        if waiting and (self._closed or waiting >= self._enough or self._left < self._due):
            self._export()
        elif self._answer_flushes():
            pass
        elif self._closed:
            self._end()
        else:
            return self._rest_s()
        return 0

    def _rest_s(self) -> float | None:
        """Return how long to sleep, and say at how many waiting spans to be woken.

        That is said first and looked for afterwards; `take` adds a span first and then looks at
        what was said. So one of the two sees the other.
        """
        if not self._queue:
            self._since = None
            self._wake_at = 1
            return 0 if self._queue else None
        now = time.monotonic()
        if self._since is None:
            self._since = now
        rest_s = self._since + self._delay_s - now
        if rest_s > 0:
            self._wake_at = self._enough
            return 0 if len(self._queue) >= self._enough else rest_s
        self._since = None
        with self._worker.changed:
            self._due = self._left + len(self._queue)
        return 0

    def _export(self) -> None:
        """Export a batch."""
        self._wake_at = sys.maxsize
        with self._worker.changed:
            batch = _popped(self._queue, self._most)
            self._left += len(batch)
            self.in_flight += len(batch)
        if self._since is None or not self._queue:
            self._since = time.monotonic()
        unanswered = len(batch)
        try:
            for number, is_delivered in self._destination.export(batch, self._worker.lent_until):
                unanswered -= number
                self._settle(number, is_delivered)
                if self._worker.stopped:
                    break
        except Exception as error:
            faults.report(f"exporting to {self.name}", error)
        finally:
            self._wake_at = 1
            self._settle(unanswered, False)
        if not self._closed:  # what comes too late is counted only
            self._tell_of_dropped()

    def _settle(self, number: int, is_delivered: bool) -> None:
        with self._worker.changed:
            self.in_flight -= number
            if is_delivered:
                self.delivered += number
            else:
                self.failed += number
            self._worker.changed.notify_all()

    def _answer_flushes(self) -> bool:
        """Answer those who wait for nothing more than has been exported."""
        with self._worker.changed:
            flushes = [flush for flush in self._flushes if flush.target <= self._left]
        if not flushes:
            return False
        latest = max(flush.deadline for flush in flushes)
        is_flushed = self._destination.force_flush(latest - time.monotonic())
        with self._worker.changed:
            for flush in flushes:
                flush.answer = is_flushed and self._lost() == flush.lost_before
            self._flushes = [flush for flush in self._flushes if flush.answer is None]
            self._worker.changed.notify_all()
        return True

    def _lost(self) -> int:
        return self.failed + self.dropped

    def _end(self) -> None:
        if self._is_to_shut():
            self._destination.shutdown()
        self._worker.stop()
        self._drop_late()

    def _give_up(self) -> None:
        """Count what waits as failed, and shut the exporter down while it hangs."""
        with self._worker.changed:
            self._worker.stop()
            self.failed += len(_popped(self._queue, len(self._queue)))
        if self._is_to_shut():
            try:
                threading.Thread(target=self._destination.shutdown, daemon=True).start()
            except RuntimeError:  # the interpreter is shutting down
                self._destination.shutdown()

    def _is_to_shut(self) -> bool:
        """Tell the first who asks whether the exporter is to be shut down."""
        with self._worker.changed:
            is_first, self._shut = not self._shut, True
        return is_first and not self.kept

    def _drop_late(self) -> None:
        """Drop what came while the feed ended."""
        for _ in _popped(self._queue, len(self._queue)):
            self._dropped.add()

    def _tell_of_dropped(self) -> None:
        if not self._dropped_told and self.dropped:
            self._dropped_told = True
            faults.report(
                f"spans for {self.name} are dropped: they come faster than it takes them, and "
                f"{self.limit} are waiting"
            )


def _popped(queue: deque[ReadableSpan], at_most: int) -> list[ReadableSpan]:
    popped: list[ReadableSpan] = []
    with suppress(IndexError):
        while len(popped) < at_most:
            popped.append(queue.popleft())
    return popped
