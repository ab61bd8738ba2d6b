"""The store's writer: a bounded queue, and one thread that encodes and writes what is in it.

Handing a span over is one append. The thread wakes every 200 ms, or earlier when much is waiting,
encodes each span once and writes all of them in one transaction, together with the totals of the
executions that have finished. `flush` and `close` do the same in the caller's thread.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace import clock, faults
from phasetrace.context import TYPE
from phasetrace.errors import StoreError
from phasetrace.spans import EXECUTION
from phasetrace.store import retention, rows
from phasetrace.store.file import DamagedStore, is_damage, open_for_writing, set_aside
from phasetrace.store.process import birth_of
from phasetrace.tally import ExecutionTotals
from phasetrace.wire import encode

FLUSH_INTERVAL_S: Final = 0.2
MAX_QUEUE: Final = 65_536
_WAKE_AT: Final = 4_096
_BATCH: Final = 2_048
_OPEN_ROW_AFTER_NS: Final = 1_000_000_000


class StoreWriter:
    """Writes finished spans and totals to the store, behind the program's back. Thread-safe.

    `totals` is asked for the executions whose totals are to be written (its argument says whether
    this is the last time); `rooted_elsewhere` is told of executions that another process owns.
    What cannot be written is counted, in memory and, when that is possible again, in the store.
    """

    def __init__(
        self,
        path: Path,
        limits: retention.Retention,
        totals: Callable[[bool], list[ExecutionTotals]],
        rooted_elsewhere: Callable[[str], None],
        now_ns: clock.NowNs = clock.now_ns,
    ) -> None:
        self.path = path
        self._limits = limits
        self._totals = totals
        self._rooted_elsewhere = rooted_elsewhere
        self._now_ns = now_ns
        self._reset()

    def _reset(self) -> None:
        # deque.append and popleft are atomic (documented), so a hand-over takes no lock.
        self._queue: deque[ReadableSpan] = deque()
        self._open: dict[int, ReadableSpan] = {}
        self._roots: deque[ReadableSpan] = deque()
        self._removed: deque[Callable[[], ExecutionTotals]] = deque()
        self._writing = threading.Lock()  # guards the connection and everything below
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._rows: rows.RowWriter | None = None
        self._broken = False
        self._lost: Counter[str] = Counter()
        self._dropped = 0
        self._written_open: set[int] = set()
        self._retained_at = 0.0

    def started(self, span: ReadableSpan) -> None:
        """Note an open span: it gets a row if it stays open for a second, an execution at once."""
        context = span.get_span_context()
        if context is not None and not self._closed:
            self._open[context.span_id] = span
            if (span.attributes or {}).get(TYPE) == EXECUTION:
                self._roots.append(span)
            if self._thread is None:
                self._start()

    def ended(self, span: ReadableSpan) -> None:
        """Hand a finished span over. Never blocks; past the queue's limit the span is counted."""
        context = span.get_span_context()
        if context is not None:
            self._open.pop(context.span_id, None)
        waiting = len(self._queue)
        if waiting >= MAX_QUEUE or self._closed:
            self._dropped += 1
            return
        self._queue.append(span)
        if waiting == _WAKE_AT:
            self._wake.set()
        if self._thread is None:
            self._start()

    def removed(self, totals: Callable[[], ExecutionTotals]) -> None:
        """Hand over the totals of an execution that has left the collector."""
        self._removed.append(totals)
        if self._thread is None:
            self._start()

    def flush(self, timeout_s: float = 5.0, last: bool = False) -> bool:
        """Write everything that has been handed over, in this thread.

        Returns:
            Whether all of it is in the store now.
        """
        if not self._writing.acquire(timeout=max(0.0, timeout_s)):
            return False
        try:
            return self._write_all(last, time.monotonic() + timeout_s)
        finally:
            self._writing.release()

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush, write the last totals and let go of the file; later spans are only counted."""
        written = self.flush(timeout_s, last=True)
        self._closed = True
        self._wake.set()
        if self._writing.acquire(timeout=max(0.0, timeout_s)):
            try:
                if self._rows is not None:
                    self._rows.close_process(self._now_ns())
                self._disconnect()
            except sqlite3.Error as error:
                faults.report("closing the store", error)
            finally:
                self._writing.release()
        return written

    def after_fork(self) -> None:
        """Start afresh in a forked child; what was waiting is the parent's to write.

        The parent's connection is abandoned, not closed: closing it would drop the locks that the
        parent holds (SQLite, "How To Corrupt", section 2.6).
        """
        self._abandoned = self._connection
        self._reset()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._run, name="phasetrace-store", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is shutting down: close() will write
                faults.report("starting the store's thread", error)
            self._thread = thread

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_INTERVAL_S)
            self._wake.clear()
            try:
                with self._writing:
                    if not self._closed:
                        self._write_all(last=False, deadline=None)
            except Exception as error:
                faults.report("writing the store", error)

    def _write_all(self, last: bool, deadline: float | None) -> bool:
        """Write what is waiting; the caller holds ``_writing``."""
        # What comes in meanwhile waits for the next round, so that this one ends.
        for _ in range(0, max(1, len(self._queue)), _BATCH):
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            if not self._write(batch, []):
                return False
            if deadline is not None and time.monotonic() > deadline:
                return not self._queue
        totals = [removed() for removed in _drained(self._removed)]
        totals += self._totals(last)
        written = self._write([], totals) if totals else not self._broken
        self._retain()
        return written and not self._queue

    def _write(self, batch: list[ReadableSpan], totals: list[ExecutionTotals]) -> bool:
        overdue = self._overdue()
        if not (batch or totals or overdue or self._dropped):
            return True
        writer = self._connected()
        if writer is None:
            self._lost["unwritable"] += len(batch)
            return False
        encoded = encode(batch)
        lost, dropped = self._lost, self._dropped
        try:
            elsewhere = writer.write(
                [(span, data) for span, data in zip(batch, encoded, strict=True) if data],
                totals,
                overdue,
                {**lost, "queue full": dropped, "encoding": encoded.count(None)},
            )
        except sqlite3.Error as error:
            return self._failed(error, batch)
        self._lost = Counter()
        self._dropped -= dropped
        for exec_id in elsewhere:
            self._rooted_elsewhere(exec_id)
        return True

    def _failed(self, error: sqlite3.Error, batch: list[ReadableSpan]) -> bool:
        if "locked" in str(error) or "busy" in str(error):
            self._queue.extendleft(reversed(batch))  # another process was writing: next time
            return False
        if is_damage(error):
            self._disconnect()
            self._set_aside(str(error))
            self._queue.extendleft(reversed(batch))
            return False
        self._lost["unwritable"] += len(batch)
        faults.report(f"cannot write the store {self.path}", error)
        return False

    def _connected(self) -> rows.RowWriter | None:
        if self._rows is not None or self._broken:
            return self._rows
        try:
            try:
                self._connection = open_for_writing(self.path)
            except DamagedStore as error:
                self._set_aside(str(error))
                self._connection = open_for_writing(self.path)
            self._rows = rows.RowWriter(self._connection)
            self._rows.register(
                os.getpid(), birth_of(os.getpid()), socket.gethostname(), self._now_ns()
            )
        except (StoreError, sqlite3.Error, OSError) as error:
            self._broken = True
            self._rows = None
            faults.logger.warning("phasetrace: %s; this run is not stored", error)
        return self._rows

    def _set_aside(self, reason: str) -> None:
        try:
            aside = set_aside(self.path)
        except OSError as error:
            faults.report(f"cannot set the damaged store {self.path} aside", error)
            self._broken = True
            return
        faults.logger.warning("phasetrace: %s; set aside as %s, starting a new one", reason, aside)

    def _disconnect(self) -> None:
        connection, self._connection, self._rows = self._connection, None, None
        if connection is not None:
            connection.close()

    def _overdue(self) -> list[ReadableSpan]:
        """Return the spans that have been open for a second and have no row yet."""
        horizon_ns = self._now_ns() - _OPEN_ROW_AFTER_NS
        overdue = [self._roots.popleft() for _ in range(len(self._roots))]
        for span_id, span in list(self._open.items()):
            if (span.start_time or 0) > horizon_ns:
                break  # the others started later still
            if span_id not in self._written_open:
                self._written_open.add(span_id)
                overdue.append(span)
        self._written_open.intersection_update(self._open)
        return overdue

    def _retain(self) -> None:
        """Remove the oldest executions beyond the limits, at most every few seconds."""
        if self._connection is None or time.monotonic() - self._retained_at < retention.INTERVAL_S:
            return
        self._retained_at = time.monotonic()
        try:
            retention.apply(self._connection, self._limits)
        except sqlite3.Error as error:
            if not is_damage(error) and "locked" not in str(error):
                faults.report("removing old executions", error)


def _drained(queue: deque[Callable[[], ExecutionTotals]]) -> list[Callable[[], ExecutionTotals]]:
    return [queue.popleft() for _ in range(len(queue))]
