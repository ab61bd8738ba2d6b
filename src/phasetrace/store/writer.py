"""The store's writer: a bounded queue, and one thread that encodes and writes what is in it.

Handing a span over is one append. The thread wakes every 100 ms, or earlier when much is waiting,
encodes each span once and writes all of them in one transaction, together with the totals of the
executions that have finished. `flush` and `close` do the same in the caller's thread.

What cannot be written for now (no room, another process is writing) waits, in the queue's bounds,
and is tried again. Whatever is given up is counted by its reason, in the process and, when that is
possible again, in the store. What of it was to be delivered, and is given up because the store
cannot be written, is handed to `on_unwritable`: each span goes there or into the store, never both.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace import clock, faults
from phasetrace.missed_signals import watchers
from phasetrace.pipeline import Pipeline
from phasetrace.store import retention
from phasetrace.store.batch import Batch, shown
from phasetrace.store.destinations import DestinationSpec
from phasetrace.store.entry import FirstSpan, RoutedSpan, first_span, is_routed
from phasetrace.store.exact_count import ExactCount
from phasetrace.store.forks import watch
from phasetrace.store.open_spans import OpenSpans
from phasetrace.store.session import Outcome, StoreSession
from phasetrace.tally import ExecutionTotals
from phasetrace.threads import join_for_good

FLUSH_INTERVAL_S: Final = 0.1
"""Half of what is promised (200 ms), so that there is time for the writing itself."""
MAX_QUEUE: Final = 65_536
_WAKE_AT: Final = 4_096
_AT_FORK: Final = 512
"""So many spans are written before a fork; more would keep the program waiting."""
_BATCH: Final = 2_048
"""Some 5 ms of work: a fork has to wait for the transaction that is under way."""
_BUSY_S: Final = 1.0
_RETRY_S: Final = 1.0
_FORK_TIMEOUT_S: Final = 1.0
"""The most that a fork waits for a thread that writes. It makes way after a batch; only what cannot
be interrupted (removing old executions from a slow disk) takes longer than that."""
_CLAIM_S: Final = 0.03
_MAX_CLAIMED: Final = 10_000

_abandoned: list[sqlite3.Connection | None] = []


class _Turn(NamedTuple):
    """Where spans are to be delivered that were handed over after so many others."""

    after: int
    destinations: Sequence[DestinationSpec]
    routed_lost: Counter[str]
    """Those of the others that were lost when they were handed over."""


class Losses:
    """Counts spans, and those among them that were to be delivered; from any thread."""

    def __init__(self) -> None:
        self.all = ExactCount()
        self.routed = ExactCount()

    def add(self, span: ReadableSpan | RoutedSpan) -> None:
        """Count a span."""
        self.all.add()
        if is_routed(span):
            self.routed.add()


class StoreWriter:
    """Writes finished spans and totals to the store, behind the program's back. Thread-safe.

    `totals` is asked for the executions whose totals are to be written (its argument says whether
    this is the last time); `rooted_elsewhere` is told of executions that another process owns.
    Besides what it is handed, it drains `pipeline`, which then hands spans to it. What is to be
    delivered is stored for `destinations`.
    """

    def __init__(
        self,
        path: Path,
        limits: retention.Retention,
        totals: Callable[[bool], list[ExecutionTotals]],
        rooted_elsewhere: Callable[[str], None],
        now_ns: clock.NowNs = clock.now_ns,
        pipeline: Pipeline | None = None,
        destinations: Sequence[DestinationSpec] = (),
    ) -> None:
        self._destinations: Sequence[DestinationSpec] = destinations
        self.on_written: Callable[[], None] | None = None
        """Called when spans have been stored that are to be delivered, by whoever stored them."""
        self.on_unwritable: Callable[[Sequence[ReadableSpan]], bool] | None = None
        """Called with spans that were to be delivered from the store, which does not take them, by
        whoever was to write them; returns whether they are delivered in another way. Must not
        block, or raise."""
        self._pipeline = pipeline if pipeline is not None else Pipeline()
        self.path = path.absolute()  # the program may change its folder
        self._limits = limits
        self._totals = totals
        self._rooted_elsewhere = rooted_elsewhere
        self._now_ns = now_ns
        self._reset()
        watch(self)

    def _reset(self) -> None:
        self._closed = False
        # deque.append and popleft are atomic (documented), so a hand-over takes no lock.
        self._queue: deque[ReadableSpan | RoutedSpan] = deque()
        self._open = OpenSpans(self._pipeline.open)
        self._removed: deque[Callable[[], ExecutionTotals]] = deque()
        self._queue_full = Losses()
        self._too_late = Losses()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._writing = threading.Lock()  # guards the session and everything below
        self._awaited: list[None] = []  # one for each caller that waits for _writing
        self._forking = self._fork_waits = False
        self._fork_over = threading.Event()
        self._starting_held_by = self._writing_held_by = 0  # the thread that is forking, if any
        self._claimed: set[str] = set()
        self._claimed_in = 0
        self._session = StoreSession(self.path, self._limits, self._rooted_elsewhere, self._now_ns)
        self._batch = Batch()
        self._due = Batch()  # totals that are to be written after the spans that they count
        self._lost: Counter[str] = Counter()
        self._lost_in_store: Counter[str] = Counter()
        self._routed_lost: Counter[str] = Counter()  # those of the lost that were to be delivered
        self._routed_lost_in_store: Counter[str] = Counter()
        self._routed_lost_before: Counter[str] = Counter()  # the destinations that there are now
        self._taken = 0  # spans from the queue, ever
        self._turns: deque[_Turn] = deque()  # still to be made
        self._written_for = self._destinations
        self._lost_at_flush = 0
        self._file_changes = 0
        self._retry_at = 0.0
        self._trying_since = 0.0
        self._written_at = 0.0

    @property
    def lost(self) -> dict[str, int]:
        """How many spans this process could not store, by reason."""
        lost = self._lost.copy()
        lost["queue full"] += self._queue_full.all.value()
        lost["after the end"] += self._too_late.all.value()
        return {reason: number for reason, number in lost.items() if number}

    @property
    def routed_lost(self) -> dict[str, int]:
        """How many of these were to be delivered, by reason."""
        return dict(self._routed_lost + self._routed_lost_at_hand_over())

    @property
    def destinations(self) -> Sequence[DestinationSpec]:
        """Where spans are to be delivered that are handed over from now on.

        What was handed over before stays for those that there were then, also while it waits.
        """
        return self._destinations

    @destinations.setter
    def destinations(self, destinations: Sequence[DestinationSpec]) -> None:
        held = self._get_turn(_BUSY_S)  # else the thread waits for the file, and takes nothing
        try:
            after = self._taken + len(self._queue)
            self._turns.append(_Turn(after, destinations, self._routed_lost_at_hand_over()))
            self._destinations = destinations
            if held:
                self._make_turns()
        finally:
            if held:
                self._writing.release()

    def destination_ids(self) -> dict[str, int]:
        """Return the destinations' ids in the store by their keys; none before it is open."""
        return dict(self._session.registered.ids)

    def started(self, span: ReadableSpan) -> None:
        """Note an open span: it gets a row if it stays open for a second, an execution at once."""
        if not self._closed:
            self._open.start(span)
            if self._thread is None:
                self._start()

    def started_execution(self, span: ReadableSpan) -> None:
        """Note the span of an execution, which is in the pipeline's register."""
        if not self._closed:
            self._open.start_execution(span)
            if self._thread is None:
                self._start()

    def ended(self, span: ReadableSpan | RoutedSpan) -> None:
        """Hand a finished span over. Never blocks; past the queue's limit the span is counted."""
        self._open.end(span.span if isinstance(span, RoutedSpan) else span)
        self.take((span,))

    def take(self, spans: Sequence[ReadableSpan | RoutedSpan]) -> None:
        """Hand finished spans over. Never blocks; those past the queue's limit are counted.

        One that belongs to no execution is only to be handed over to be delivered.
        """
        if self._closed:
            for span in spans:
                self._too_late.add(span)
            return
        waiting = len(self._queue)
        room = max(0, MAX_QUEUE - waiting)
        if len(spans) > room:
            for span in spans[room:]:
                self._queue_full.add(span)
            spans = spans[:room]
        self._queue.extend(spans)
        if waiting >= _WAKE_AT:
            self.wake()
        if self._closed:
            for span in spans:
                self._take_back(span)
        elif self._thread is None:
            self._start()

    @property
    def backlog(self) -> int:
        """How many finished spans wait to be written."""
        return len(self._queue)

    @property
    def keeps_up(self) -> bool:
        """Whether what is handed over is being written, and not waiting for better times.

        Or handed on, where it cannot be written.
        """
        since = self._trying_since
        stuck = since and time.monotonic() - since > _BUSY_S
        useless = self._session.broken and self.on_unwritable is None
        return not (self._retry_at or useless or self._closed or stuck)

    def wake(self) -> bool:
        """Have the thread look now; return False if there is none, and none to be had."""
        if self._thread is None and not self._closed:
            self._start()
        if not self._wake.is_set():
            self._wake.set()
        # After a fork there is one again: until then there is nothing to be done but to wait.
        return (self._thread is not None or self._forking) and not self._closed

    def removed(self, totals: Callable[[], ExecutionTotals]) -> None:
        """Hand over the totals of an execution that has left the collector."""
        if not self._closed:
            self._removed.append(totals)
            if self._thread is None:
                self._start()

    def open_spans(self) -> list[ReadableSpan]:
        """Return the spans that have started and not ended, those that started last first."""
        return self._open.spans()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Write everything that has been handed over, in this thread.

        Returns:
            Whether all of it is in the store now: False if something is still waiting, or if
            something was lost since the last time.
        """
        deadline = time.monotonic() + timeout_s
        if not self._get_turn(timeout_s):
            return False
        try:
            return self._write_all(deadline)
        finally:
            self._writing.release()

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush, write the last totals and let go of the file; later spans are only counted.

        Returns:
            What `flush` would.
        """
        deadline = time.monotonic() + timeout_s
        self._closed = True
        self._wake.set()
        if not self._get_turn(timeout_s):
            return False
        try:
            written = self._write_all(deadline, last=True)
            left = self._batch.raw + len(self._queue)
            if left:
                self._give_up("no time left", self._batch, _popped(self._queue, len(self._queue)))
                self._batch, self._due = Batch(), Batch()
                if not self._session.complained:
                    faults.report(f"no time left to store the last {left} spans")
                self._write_batch(timeout_s=0.0)  # the count at least
            self._session.close()
            return written
        finally:
            self._writing.release()

    def claim(self) -> bool:
        """Make this process the owner of the executions that it is recording, if nobody else is.

        Returns:
            False if there was no time for that.
        """
        if self._closed or not self._get_turn(_CLAIM_S):
            return False
        try:
            self._pipeline.drain(wait=False)
            self._claim_waiting()
            return True
        except Exception as error:
            faults.report("claiming executions", error)
            return False
        finally:
            self._writing.release()

    def before_fork(self) -> None:
        """Let go of the file and end the thread, so that the child inherits neither; see `forks`.

        Python 3.12 and later warn a program that forks while it has threads, and this one is not
        the program's. The next span starts it again.
        """
        self._fork_over.clear()
        self._forking = self._fork_waits = True
        here = threading.get_ident()
        deadline = time.monotonic() + _FORK_TIMEOUT_S
        # Not for ever: a signal handler may fork where its own thread holds a lock.
        if self._starting.acquire(timeout=_FORK_TIMEOUT_S):
            self._starting_held_by = here
        thread, self._thread = self._thread, None
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            join_for_good(thread, deadline - time.monotonic())
        if self._writing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._writing_held_by = here
            self._fork_waits = False
            try:
                if not self._closed:
                    self._write_or_claim()
            except Exception as error:
                faults.report("writing before a fork", error)
            self._session.disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on; the file is opened again when there is something to write."""
        here = threading.get_ident()
        self._forking = self._fork_waits = False
        if self._writing_held_by == here:
            self._writing_held_by = 0
            self._writing.release()
        if self._starting_held_by == here:
            self._starting_held_by = 0
            self._starting.release()
        self._fork_over.set()
        if self._queue or self._batch:
            self._start()

    def after_fork(self) -> None:
        """Start afresh in a forked child; what was waiting is the parent's to write."""
        # Something is left only where a fork went round the hook before it. Then it is abandoned,
        # not closed: closing would drop the locks that the parent holds.
        _abandoned.append(self._session.abandon())
        # What only the parent can serve is the parent's to be fed.
        self._destinations = tuple(spec for spec in self._destinations if not spec.is_local)
        self.on_written = None
        self._reset()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread is at it, or a fork is
        try:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._run, name="phasetrace-store", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # there are too many, or the interpreter is shutting down
                self._thread = None  # what is handed over waits for the next try, or for close()
        finally:
            self._starting.release()

    def _take_back(self, span: ReadableSpan | RoutedSpan) -> None:
        """Count a span that may have missed the last writing."""
        try:
            self._queue.remove(span)
        except (ValueError, IndexError):
            return  # it was just in time
        self._too_late.add(span)

    def _lose(self, reason: str, number: int, routed: int) -> None:
        self._lost[reason] += number
        self._routed_lost[reason] += routed

    def _give_up(
        self, reason: str, batch: Batch, handed: Sequence[ReadableSpan | RoutedSpan] = ()
    ) -> None:
        """Count spans as not stored; those that were to be delivered may be in another way."""
        number = batch.raw + len(handed)
        routed = batch.routed + sum(map(is_routed, handed))
        on_unwritable = self.on_unwritable
        if routed and on_unwritable is not None:
            spans = batch.routed_spans()
            spans += [
                one.span if isinstance(one, RoutedSpan) else one for one in handed if is_routed(one)
            ]
            if on_unwritable(spans):
                routed -= len(spans)
        self._lose(reason, number, routed)

    def _run(self) -> None:
        this_thread = threading.current_thread()
        while not self._closed and self._thread is this_thread:
            self._wake.wait(FLUSH_INTERVAL_S)
            self._wake.clear()
            try:
                with self._writing:
                    now = time.monotonic()
                    # Somebody else may have written while this thread waited for its turn.
                    rested = now - self._written_at >= FLUSH_INTERVAL_S / 2
                    if not self._closed and rested and now >= self._retry_at:
                        self._write_all(None)
                for look in watchers:
                    look()
            except Exception as error:
                faults.report("writing the store", error)

    def _write_all(self, deadline: float | None, last: bool = False) -> bool:
        """Write what is waiting; the caller holds ``_writing``.

        Past the deadline no more spans are written, and at the end still the totals, which answer
        for them.
        """
        # The totals first: asking for them drains the pipeline, so that of all the spans that they
        # count none comes after them. What comes in meanwhile waits for the next round.
        self._due.add_totals(self._due_totals(last))
        waiting = len(self._queue)
        self._note_open()
        while True:
            taken = min(_BATCH - self._batch.spans, waiting, self._make_turns())
            self._take(taken)
            waiting -= taken
            in_time = deadline is None or time.monotonic() <= deadline
            finishing = not waiting or (last and not in_time)
            if finishing:
                self._batch.add_totals(self._due.totals.values())
                self._due = Batch()
            remaining = _BUSY_S if deadline is None else max(0.0, deadline - time.monotonic())
            written = self._write_batch(remaining)
            if self._fork_waits and not (written and finishing):
                if deadline is None:
                    return False
                self._make_way(deadline)
            elif not written or (deadline is None and self._awaited):
                return False
            elif finishing or not in_time:
                break
        if (not last or in_time) and not self._fork_waits:
            self._session.retain()
        self._written_at = time.monotonic()
        if deadline is None:
            return not waiting
        lost = sum(self.lost.values())
        lost_before, self._lost_at_flush = self._lost_at_flush, lost
        return not waiting and lost == lost_before

    def _get_turn(self, timeout_s: float) -> bool:
        """Wait for ``_writing``, for which the thread makes way after a batch."""
        self._awaited.append(None)
        try:
            return self._writing.acquire(timeout=max(0.0, timeout_s))
        finally:
            self._awaited.pop()

    def _make_way(self, deadline: float) -> None:
        """Let another thread fork; the caller holds ``_writing``, and does so again afterwards."""
        self._writing.release()
        try:
            self._fork_over.wait(max(0.0, deadline - time.monotonic()))
        finally:
            self._writing.acquire()

    def _write_or_claim(self) -> None:
        """Write what waits if that is quickly done; see to it that what is left is this process's.

        What is written needs no thread after the fork, where early releases of Python 3.12 would
        count it among those that were there before.
        """
        self._pipeline.drain(wait=False)
        # What cannot be stored is handed on by the thread, afterwards: that may start others.
        is_little = len(self._queue) <= _AT_FORK and not self._retry_at
        if is_little and self._session.is_open(_CLAIM_S):
            self._write_all(time.monotonic() + _CLAIM_S)
        self._claim_waiting()

    def _claim_waiting(self) -> None:
        """Make this process the owner of the executions of which spans wait or are open."""
        if self._claimed_in != self._session.file_changes:
            self._claimed.clear()
        claimed, batch = self._claimed, self._batch
        first: dict[str, FirstSpan] = {}
        for group in batch.groups.values():
            if group.exec_id is not None and group.exec_id not in claimed:
                first.setdefault(group.exec_id, group.first)
        for spans in (
            batch.waiting,
            self._queue.copy(),  # in one step, whatever other threads do
            self._open.spans(),
        ):
            for span in spans:
                waiting = first_span(span)
                if waiting is not None and waiting.exec_id not in claimed:
                    first.setdefault(waiting.exec_id, waiting)
        if first and self._session.claim(list(first.values()), _CLAIM_S):
            if len(self._claimed) > _MAX_CLAIMED:
                self._claimed.clear()
            self._claimed.update(first)
            self._claimed_in = self._session.file_changes

    def _make_turns(self) -> int:
        """Turn to other destinations, if all is written that is not for them.

        Returns:
            How many spans may be taken before the next turn.
        """
        while self._turns:
            turn = self._turns[0]
            if turn.after > self._taken or self._batch.spans:
                return max(0, turn.after - self._taken)
            self._routed_lost_before = self._routed_lost + turn.routed_lost
            self._written_for = turn.destinations
            self._turns.popleft()
        return MAX_QUEUE

    def _routed_lost_at_hand_over(self) -> Counter[str]:
        return Counter(
            {
                "queue full": self._queue_full.routed.value(),
                "after the end": self._too_late.routed.value(),
            }
        )

    def _take(self, number: int) -> None:
        taken_off = _popped(self._queue, number)
        self._taken += len(taken_off)
        if self._session.broken:  # then encoding is not worth its cost
            self._give_up("unwritable", Batch(), taken_off)
            return
        waiting = self._batch.waiting
        waiting += taken_off
        if self._session.is_full:
            self._lose("store full", len(waiting), sum(map(is_routed, waiting)))
        taken = self._batch.encode(raw=not self._session.is_full)
        self._lose("encoding", taken.lost, taken.routed_lost)
        self._batch.closed += self._open.closed(taken.span_ids)

    def _due_totals(self, last: bool) -> list[ExecutionTotals]:
        totals = self._totals(last)
        for _ in range(len(self._removed)):
            removed = self._removed.popleft()
            try:
                totals.append(removed())
            except Exception as error:
                faults.report("adding up an execution that was removed", error)
        return totals

    def _note_open(self) -> None:
        if self._file_changes != self._session.file_changes:
            self._file_changes = self._session.file_changes
            self._open.forget_rows()
        self._batch.opened += map(shown, self._open.due(self._now_ns()))

    def _write_batch(self, timeout_s: float) -> bool:
        """Write the batch that has been taken; return False if it has to wait."""
        batch = self._batch
        lost = Counter(self.lost)
        news = lost - self._lost_in_store
        if not (batch or news):
            return True
        if self._session.destinations is not self._written_for and not self._redirect(timeout_s):
            return False
        routed_lost = self._routed_lost + (
            self._turns[0].routed_lost if self._turns else self._routed_lost_at_hand_over()
        )
        self._trying_since = time.monotonic()
        try:
            outcome = self._session.write(
                list(batch.groups.values()),
                batch.totals.values(),
                batch.opened,
                batch.closed,
                news,
                routed_lost - self._routed_lost_in_store,
                timeout_s,
                lambda: self._fork_waits,
            )
        finally:
            self._trying_since = 0.0
        if outcome is Outcome.LATER:
            self._retry_at = time.monotonic() + (_RETRY_S if self._session.complained else 0.0)
            return False
        self._retry_at = 0.0
        if outcome is Outcome.WRITTEN:
            self._lost_in_store, self._routed_lost_in_store = lost, routed_lost
        elif outcome is Outcome.REFUSED:
            return self._write_apart(batch, timeout_s)
        else:
            self._give_up("unwritable", batch)
        self._batch = Batch()
        if outcome is Outcome.WRITTEN and self._session.registered.ids and batch.routed:
            self._tell_written()
        return True

    def _redirect(self, timeout_s: float) -> bool:
        """Write for other destinations from now on; return False if that has to wait."""
        destinations, lost = self._written_for, self._routed_lost_before
        before = lost - self._routed_lost_in_store
        if before and self._session.destinations:  # which these were lost for
            outcome = self._session.write([], [], [], [], {}, before, timeout_s)
            if outcome is Outcome.LATER:
                return False
        self._routed_lost_in_store = lost
        self._session.destinations = destinations
        return True

    def _tell_written(self) -> None:
        on_written = self.on_written
        if on_written is not None:
            try:
                on_written()
            except Exception as error:
                faults.report("telling of stored spans", error)

    def _write_apart(self, batch: Batch, timeout_s: float) -> bool:
        """Write the parts of a batch one by one, since one of them cannot be written."""
        parts = batch.parts()
        if len(parts) == 1:
            self._lose("cannot be a row", batch.raw, batch.routed)
            parts = []
        self._batch = Batch()
        for index, part in enumerate(parts):
            self._batch = part
            if not self._write_batch(timeout_s):
                for later in parts[index + 1 :]:
                    self._batch.join(later)
                return False
        return True


def _popped(
    queue: deque[ReadableSpan | RoutedSpan], at_most: int
) -> list[ReadableSpan | RoutedSpan]:
    popped: list[ReadableSpan | RoutedSpan] = []
    with suppress(IndexError):
        while len(popped) < at_most:
            popped.append(queue.popleft())
    return popped
