"""Where phasetrace's own spans go when they have ended: one queue, and what drinks from it.

A span's end is one append. The queue is drained in batches: by the thread that writes the store or
feeds an exporter, by whoever asks for numbers, and past a limit by the program itself. What is
drained goes to every sink: the collector, the store, the exporters' feeds.

Back-pressure. What waits is bounded. When a program ends spans faster than they can be written,
each end past `HIGH_WATER` waiting spans waits for `PAUSE_S`, in which the writing thread has the
interpreter to itself; the program then runs at the speed of the writing, and no span is lost. A
sink that has fallen over (a receiver that does not answer, a disk that is full) holds nobody up:
past its own limit its spans are dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from phasetrace import faults
from phasetrace.spans import EXECUTION

if TYPE_CHECKING:
    from phasetrace.span import Span

CROWDED: Final = 2_048
"""Past so many waiting spans whoever writes is woken, or there is nobody and it is drained here."""
HIGH_WATER: Final = 8_192
"""Past so many spans that wait here or with the sinks, the program is slowed down."""
PAUSE_S: Final = 0.001
STEP: Final = 256
"""After so many more whoever writes is looked after again."""
BATCH: Final = 512
MAX_OPEN: Final = 16_384
"""Of more open spans than that, the oldest are never going to be ended."""


class Sink(Protocol):
    """Somebody who is handed spans. Called by one thread at a time; must not block."""

    def opened(self, span: Span) -> None:
        """Take note of an execution's span that has just started."""

    def ended(self, spans: Sequence[Span]) -> None:
        """Take spans that have ended, in the order in which they did."""

    def drained(self) -> None:
        """Do what was put off until spans may be ended, and drained, again."""

    @property
    def behind(self) -> bool:
        """Whether it cannot work off what it takes, though it is getting on with it."""


class Worker(Protocol):
    """A thread that drains the pipeline."""

    @property
    def backlog(self) -> int:
        """How many spans wait with it."""

    @property
    def keeps_up(self) -> bool:
        """Whether it is worth waiting for: it is writing, and nothing has failed."""

    def wake(self) -> bool:
        """Have the pipeline drained soon; return False if nobody will do it."""


class _Opened:
    """Stands in the queue where an execution was opened: what comes after it belongs to it."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        self.span = span


class Pipeline:
    """The queue of ended spans, and the register of open ones. Thread-safe."""

    def __init__(self) -> None:
        # PERF: the hot path uses the methods of these two directly; append, item assignment and pop
        # are atomic, as documented. The objects are never replaced.
        self.queue: Final[deque[Span | _Opened]] = deque()
        self.open: Final[dict[int, Span]] = {}
        """The spans of executions that have started and not ended, by span id.

        A span stands in here until it is in the queue: whoever looks here first and then drains
        misses none.
        """
        self.limit = CROWDED
        """Past so many spans in the queue `crowded` is to be called."""
        self.first_use: Callable[[], None] | None = None
        """To be called once, before the first span of a process."""
        self.worker: Worker | None = None
        self.flush: Callable[[float], bool] = _nothing_to_flush
        self.settle: Callable[[], None] = _nothing_to_settle
        self.owner: object = None
        """Who connected the sinks; a predecessor must not disconnect them."""
        self.unhurried: Final[set[int]] = set()
        """Threads that end spans in the course of the sinks' own work: they are never held up."""
        self._sinks: tuple[Sink, ...] = ()
        self._paused: list[None] = []  # one for each thread that waits
        self._lock = threading.RLock()  # guards the draining
        self._drainer = 0  # the thread that is at it

    def connect(
        self,
        owner: object,
        sinks: Sequence[Sink],
        worker: Worker | None,
        flush: Callable[[float], bool],
        settle: Callable[[], None] | None = None,
    ) -> None:
        """Hand spans to these sinks from now on; those that wait go to the old ones.

        `worker` drains the pipeline now and then. `flush` brings what the sinks have to where it
        goes, within a time in seconds, and returns whether it is there; `settle` does that for as
        long as the end of a program takes.
        """
        self.drain()
        with self._lock:
            self.owner, self.worker, self.flush = owner, worker, flush
            self.settle = settle or _nothing_to_settle
            self._sinks = tuple(sinks)
            self.limit = CROWDED

    def disconnect(self, owner: object) -> None:
        """Hand spans to nobody any more, unless somebody else has connected meanwhile."""
        self.drain()
        with self._lock:
            if self.owner is owner:
                self.owner = self.worker = self.first_use = None
                self.flush, self.settle = _nothing_to_flush, _nothing_to_settle
                self._sinks = ()
                self.limit = CROWDED

    def start(self, span: Span) -> None:
        """Take note of a started span."""
        if self.first_use is not None:
            self._begin()
        if span._exec_id is not None:
            self.open[span._span_id] = span
            if span._span_type == EXECUTION:
                self.queue.append(_Opened(span))

    def end(self, span: Span) -> None:
        """Take an ended span."""
        if self.first_use is not None:  # started before a fork
            self._begin()
        self.queue.append(span)
        self.open.pop(span._span_id, None)
        if len(self.queue) > self.limit:
            self.crowded()

    def crowded(self) -> None:
        """Get the queue shorter: called at each end past `limit` waiting spans."""
        here = threading.get_ident()
        if self._drainer == here or here in self.unhurried:
            return
        worker = self.worker
        if worker is None or not worker.wake():
            self.limit = CROWDED
            self._drain_here()
        elif not worker.keeps_up:
            self.limit = CROWDED
            if len(self.queue) > HIGH_WATER or self._is_behind():
                self._drain_here()  # it will drop, and count, what is too much
        elif (room := HIGH_WATER - worker.backlog - len(self.queue)) < 0:
            # The more threads wait, the longer: they would wake one after the other, and each takes
            # the interpreter away from the one that writes.
            self._paused.append(None)
            try:
                time.sleep(PAUSE_S * len(self._paused))
            finally:  # a signal may raise in the midst of it
                self._paused.pop()
        else:
            # PERF: it has been woken; to ask so much at each end would cost 0.7 µs.
            self.limit = max(CROWDED, len(self.queue) + min(room, STEP))

    def drains_here(self) -> bool:
        """Tell whether the calling thread is handing spans on further up."""
        return self._drainer == threading.get_ident()

    def drain(self, wait: bool = True) -> bool:
        """Hand on what has ended; return False if that is being done already.

        `wait` False gives up if another thread is at it; code that has interrupted the draining
        thread itself always does.
        """
        here = threading.get_ident()
        # A signal handler may fork in the midst of this, and the child has another lock.
        lock = self._lock
        if self._drainer == here or not lock.acquire(blocking=wait):
            return False
        self._drainer = here
        try:
            left = len(self.queue)
            while left > 0:
                self._hand_on(min(left, BATCH))
                left -= BATCH
            while len(self.open) > MAX_OPEN:
                self._forget_oldest()
            sinks = self._sinks
            self.limit = CROWDED
            if self.worker is not None and self.worker.backlog > HIGH_WATER:
                self.limit = 0  # what is drained faster than it can be written has to wait, too
        finally:
            self._drainer = 0
            lock.release()
        for sink in sinks:
            sink.drained()
        return True

    def after_fork(self) -> None:
        """Start afresh in a forked child: what has ended and what is open is the parent's."""
        self._lock = threading.RLock()
        self._drainer = 0
        self.limit = CROWDED
        self.unhurried.clear()
        self._paused = []
        self.queue.clear()
        for span in list(self.open.values()):
            span.leave_to_parent()
        self.open.clear()

    def _begin(self) -> None:
        first_use, self.first_use = self.first_use, None
        if first_use is not None:
            first_use()

    def _drain_here(self) -> None:
        """Drain in the program's own thread; where another one is at it, let that one get ahead.

        It has the interpreter for a part of the time only, and many threads together end spans
        faster than it hands them on. The same goes for a sink that is behind.
        """
        if self.drain(wait=False):
            if not self._is_behind():
                return
            self.limit = 0
        elif len(self.queue) <= HIGH_WATER:
            return
        time.sleep(PAUSE_S)

    def _forget_oldest(self) -> None:
        """Take the span that started first for one that nobody will end."""
        with suppress(StopIteration, KeyError, RuntimeError):  # another thread was there
            del self.open[next(iter(self.open))]

    def _is_behind(self) -> bool:
        return any(sink.behind for sink in self._sinks)

    def _hand_on(self, number: int) -> None:
        popleft = self.queue.popleft
        batch: list[Span] = []
        for _ in range(number):
            try:
                entry = popleft()
            except IndexError:
                break
            if type(entry) is _Opened:
                self._to_sinks(batch)
                batch = []
                self._tell_opened(entry.span)
            elif not entry._handed_on:  # type: ignore[union-attr]  # else ended by two threads at once
                entry._handed_on = True  # type: ignore[union-attr]
                node_id = entry._node_id  # type: ignore[union-attr]
                if not (entry._name.isascii() and (node_id is None or node_id.isascii())):  # type: ignore[union-attr]
                    entry.make_texts()  # type: ignore[union-attr]
                batch.append(entry)  # type: ignore[arg-type]
        self._to_sinks(batch)

    def _to_sinks(self, batch: list[Span]) -> None:
        if not batch:
            return
        for sink in self._sinks:
            try:
                sink.ended(batch)
            except Exception as error:
                faults.report("handing finished spans on", error)

    def _tell_opened(self, span: Span) -> None:
        for sink in self._sinks:
            try:
                sink.opened(span)
            except Exception as error:
                faults.report("noting an opened execution", error)


def _nothing_to_flush(timeout_s: float) -> bool:
    return True


def _nothing_to_settle() -> None:
    pass


pipeline: Final = Pipeline()
"""The one of this process."""
