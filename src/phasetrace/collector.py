"""The in-memory collector: exact totals per execution, node and phase, in bounded memory.

Finished spans come in through `TimingCollector.add`, measurements made elsewhere through
`TimingCollector.record`. Per (node, phase) the collector keeps count, total, min, max, errors and a
histogram; the spans' intervals go through a `Timeline` that folds what is settled, for self time
and share. Nothing in here knows OpenTelemetry.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from phasetrace import clock
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionHeader, make_breakdown
from phasetrace.errors import UnknownExecution
from phasetrace.measurement import nanoseconds, written
from phasetrace.spans import EXECUTION, PHASE, SpanRecord
from phasetrace.tally import (
    ExecutionTally,
    ExecutionTotals,
    Interval,
    Metadata,
    OpenSpan,
    SeedMapping,
)
from phasetrace.threads import join_for_good

if TYPE_CHECKING:
    from phasetrace.pipeline import Pipeline
    from phasetrace.span import Span

MAX_EXECUTIONS: Final = 1_000
MAX_KEYS: Final = 2_000
_FOLD_LAG_NS: Final = 1_000_000_000
_MAX_PENDING: Final = 16_384
"""Past so many intervals that nobody has settled, a thread is started that does."""
_MAX_PENDING_ELSEWHERE: Final = 131_072
"""The same where somebody else settles, who may be kept from it (by a store that is locked)."""
_BEHIND: Final = 65_536
"""Past so many of an execution the program is to be slowed down until the thread gets on."""
_AT_A_TIME: Final = 64
_SAVE_AGAIN_NS: Final = 2_000_000_000
_FORK_TIMEOUT_S: Final = 1.0


class RemovedExecution(NamedTuple):
    """An execution that left the collector; `totals` works its numbers out when called."""

    exec_id: str
    totals: Callable[[], ExecutionTotals]


class TimingCollector:
    """Adds up finished phases, exactly, per execution.

    Thread-safe. Bounded: past `max_executions` the execution that was longest without a new span is
    evicted, past `max_keys` an execution's further phases are added up under ``(other)``;
    ``evicted_executions`` and ``merged_spans`` count both. ``spans_outside`` are phasetrace's own
    spans that were in no execution, which count nowhere else.
    """

    def __init__(
        self,
        max_executions: int = MAX_EXECUTIONS,
        max_keys: int = MAX_KEYS,
        now_ns: clock.NowNs = clock.now_ns,
    ) -> None:
        self._max_executions = max_executions
        self._max_keys = max_keys
        self._now_ns = now_ns
        # What comes in is one append (atomic, as documented), and is worked off under _lock by
        # whoever gets it without waiting. Neither a signal handler nor a finalizer that ends a span
        # can therefore wait for the very thread it interrupts.
        self._inbox: deque[Callable[[], bool | None]] = deque()
        self._lock = threading.RLock()  # guards everything below, and the executions but courses
        self._holder = 0  # the thread that is changing something under _lock
        self._settling = threading.RLock()  # guards the courses; taken before _lock, never after
        self._in_courses = 0  # the thread that is changing something under _settling
        self._executions: dict[str, ExecutionTally] = {}  # least recently touched first
        self._leaving: dict[str, ExecutionTally] = {}
        self._evicted: deque[ExecutionTally] = deque()
        self._removing: set[int] = set()  # the threads that let executions go
        self._settler: threading.Thread | None = None
        self._has_much = False
        self._parts = itertools.count()
        self.evicted_executions = 0
        self.merged_spans = 0
        self.spans_outside = 0
        self.emit: Callable[[str, str, str, int, Metadata], None] | None = None
        """Where `record` sends measurements to become spans; without it they are only added up."""
        self.settled_elsewhere = False
        """Somebody calls `settle` a few times a second."""
        self.source: Pipeline | None = None
        """Where phasetrace's own spans wait until somebody wants to know."""
        self.on_leaving: Callable[[str], None] | None = None
        """Called before an execution leaves by `pop` or eviction; may still add spans to it."""
        self.on_removed: Callable[[RemovedExecution], None] | None = None
        """Called with an execution that left by `pop` or by eviction, in the thread that did it."""

    def record(
        self, exec_id: str, node_id: str, phase: str, dur_ms: float, **metadata: Any
    ) -> None:
        """Add a measurement of `dur_ms` milliseconds that was made elsewhere.

        A measurement has a length but no place: it is taken to have ended now, and measurements of
        one node that would then overlap are laid one before the other
        (`phasetrace.tally.ExecutionTally.place`). An empty `exec_id` does
        nothing; a negative or non-finite `dur_ms` counts as 0.
        """
        if type(exec_id) is not str:
            exec_id = written(exec_id)
        if not exec_id:
            return
        duration_ns = nanoseconds(dur_ms)
        if self.emit is not None:
            self.emit(exec_id, node_id, phase, duration_ns, metadata)
            return
        end_ns = self.place(exec_id, node_id, duration_ns)
        span = SpanRecord(
            span_id=0,
            parent_id=None,
            type=PHASE,
            name=written(phase),
            node_id=written(node_id),
            node_type=None,
            start_ns=end_ns - duration_ns,
            end_ns=end_ns,
            status="ok",
        )
        self.add(exec_id, span, metadata)

    def place(self, exec_id: str, node_id: str, duration_ns: int) -> int:
        """Return the end (Unix ns) at which a measurement of `node_id` is laid; see `record`."""
        now_ns = self._now_ns()
        with self._locked() as mine:
            if not mine:
                return now_ns
            end_ns = self._execution(exec_id).place(node_id, duration_ns, now_ns)
        self.remove_evicted()
        return end_ns

    def opened(
        self,
        exec_id: str,
        span: OpenSpan,
        name: str | None = None,
        trace_id: int | None = None,
    ) -> None:
        """Note that a span has started, so that running parents are known to the arithmetic.

        `name` and `trace_id` are the execution's, and count when `span` is its root.
        """
        self._inbox.append(partial(self._opened, exec_id, span, name, trace_id))
        self._take_in()

    def add(self, exec_id: str, span: SpanRecord, metadata: Metadata | None = None) -> None:
        """Count a finished span; `metadata` replaces the phase's earlier metadata if not empty."""
        self._inbox.append(partial(self._ended, exec_id, span, metadata))
        self._take_in()

    def execution_opened(self, exec_id: str, span_id: int, name: str, trace_id: int) -> None:
        """Note that a span of phasetrace's own was started that is an execution's."""
        with self._locked(drained=True) as mine:
            if mine:
                self._execution(exec_id).execution_opened(span_id, name, trace_id)
            else:
                self._inbox.append(
                    partial(self._execution_opened, exec_id, span_id, name, trace_id)
                )

    def take(self, spans: Sequence[Span]) -> None:
        """Count finished spans of phasetrace's own, in the order in which they ended.

        An execution that has to go for them goes when `remove_evicted` is called.
        """
        with self._locked(drained=True) as mine:
            if mine:
                crowded = self._take(spans)
            else:
                self._inbox.append(partial(self._take, spans))
                return
        if crowded and self._settler is None:
            self._start_settler()

    def remove_evicted(self) -> None:
        """Let the executions go that had to make room for others.

        In the midst of a drain nothing is done: the roots that they get could not be counted. It
        ends with a call of this.
        """
        source = self.source
        if not self._evicted or (source is not None and source.drains_here()):
            return
        here = threading.get_ident()
        removing = source.unhurried if source is not None else self._removing
        if here in removing:
            return  # further up it goes on until none is left
        removing.add(here)  # the thread that writes must not wait for itself
        try:
            while self._evicted:
                try:
                    evicted = self._evicted.popleft()
                except IndexError:
                    return
                self._remove(evicted)
        finally:
            removing.discard(here)

    def get(self, exec_id: str) -> SeedMapping:
        """Return ``{node_id: {phase: dur_ms, phase + "_metadata": {...}}}``; a deep copy.

        Durations are totals over all calls, in (fractional) milliseconds; metadata are the latest
        call's. Empty for an unknown execution.
        """
        with self._locked():
            execution = self._executions.get(exec_id)
            return execution.mapping() if execution is not None else {}

    def pop(self, exec_id: str) -> SeedMapping:
        """Return what `get` returns, end the execution and free its memory."""
        with self._locked():
            execution = self._leave(exec_id)
        if execution is None:
            return {}
        self._remove(execution)
        return execution.mapping()

    def clear(self, exec_id: str | None = None) -> None:
        """Forget one execution, or all of them; they are ended like popped ones."""
        with self._locked():
            ids = list(self._executions) if exec_id is None else [exec_id]
            leaving = [self._leave(one) for one in ids]
        for execution in leaving:
            if execution is not None:
                self._remove(execution, forgotten=True)

    def executions(self) -> tuple[str, ...]:
        """Return the ids of the executions that are held, least recently touched first."""
        with self._locked():
            return tuple(self._executions)

    def extent(self, exec_id: str) -> tuple[int, int] | None:
        """Return the start of an execution's first span and the end of its last (Unix ns)."""
        with self._locked():
            execution = self._executions.get(exec_id) or self._leaving.get(exec_id)
            return execution.extent() if execution is not None else None

    def totals(self, exec_id: str) -> ExecutionTotals | None:
        """Return a snapshot of an execution's numbers, None if it is not held."""
        with self._locked():
            execution = self._executions.get(exec_id)
        return self._totals(execution) if execution is not None else None

    def breakdown(self, exec_id: str) -> ExecutionBreakdown:
        """Return where the time of an execution went, so far or in the end.

        Raises:
            UnknownExecution: if nothing of it is held.
        """
        with self._locked():
            execution = self._executions.get(exec_id)
            known = tuple(self._executions)
        if execution is None:
            import difflib

            raise UnknownExecution(exec_id, tuple(difflib.get_close_matches(exec_id, known)))
        totals = self._totals(execution)
        header = ExecutionHeader(
            exec_id=exec_id,
            name=execution.name,
            status=execution.status,
            trace_id=f"{execution.trace_id:032x}",
            started_ns=totals.first_ns,
            duration_ns=totals.wall_ns,
        )
        return make_breakdown(header, totals.stats, totals.spans, totals.unattributed_ns)

    @property
    def behind(self) -> bool:
        """Whether spans come in faster than the thread that settles gets on."""
        return self._has_much and self._settler is not None

    def settle(self) -> None:
        """Fold what is settled of every course, so that memory stays bounded.

        Meant for a background thread, a few times a second; one is started where nobody does it.
        Takes no lock that `add` needs for longer than a copy.
        """
        with self._locked():
            waiting = [execution for execution in self._executions.values() if execution.pending]
        # The clock first: what ends during the sweep lies behind the horizon.
        now_ns = self._now_ns()
        open_now = self._open_now() if waiting else {}
        for execution in waiting:
            with self._courses() as mine:
                if not mine:
                    return
                horizon_ns = now_ns - (0 if execution.finished else _FOLD_LAG_NS)
                with self._locked():
                    pending, open_spans = self._take_pending(execution, open_now)
                execution.sweep(pending)
                execution.course.fold(horizon_ns, open_spans, execution.finished)
        self._has_much = any(len(execution.pending) >= _BEHIND for execution in waiting)

    def unsaved(self, running: bool = False) -> list[ExecutionTotals]:
        """Return the totals of finished executions that have new spans since the last call.

        One that goes on getting spans is due every two seconds. `running` is for the last call: it
        includes what has not finished, and all that is new.
        """
        now_ns = self._now_ns()
        with self._locked():
            due = [
                execution
                for execution in self._executions.values()
                if execution.saved_spans != execution.spans
                and (running or (execution.finished and now_ns >= execution.saved_at_ns))
            ]
        totals: list[ExecutionTotals] = []
        for start in range(0, len(due), _AT_A_TIME):
            with self._courses() as mine:
                if not mine:
                    return totals
                # PERF: to look through all open spans for each execution would take seconds.
                open_now_ns, open_now = self._now_ns(), self._open_now()
                for execution in due[start : start + _AT_A_TIME]:
                    current = self._numbers(execution, open_now_ns, open_now)
                    execution.saved_spans = current.spans
                    execution.saved_at_ns = now_ns + _SAVE_AGAIN_NS
                    totals.append(current)
        return totals

    def before_fork(self) -> None:
        """End the thread that settles, if one was needed; the next span may start it again."""
        settler, self._settler = self._settler, None
        if settler is not None:
            join_for_good(settler, _FORK_TIMEOUT_S)

    def after_fork(self) -> None:
        """Start empty in a forked child: what was counted so far is the parent's."""
        self._inbox = deque()
        self._lock = threading.RLock()
        self._holder = 0
        self._settling = threading.RLock()
        self._in_courses = 0
        self._settler = None
        self._has_much = False
        self._executions = {}
        self._leaving = {}
        self._evicted = deque()
        self._removing = set()

    @contextmanager
    def _locked(self, drained: bool = False) -> Iterator[bool]:
        """Hold the lock, with everything counted that has ended.

        `drained` says that it is so. Gives False, and no lock, to code that has interrupted this
        very thread while it had it.
        """
        if self._holder == threading.get_ident():
            yield False
            return
        if not drained and self.source is not None:
            self.source.drain()
        with self._lock:
            self._holder = threading.get_ident()
            try:
                self._work_off()
                yield True
            finally:
                self._holder = 0
        self._take_in()

    @contextmanager
    def _courses(self) -> Iterator[bool]:
        """Hold the lock of the courses.

        Gives False, and no lock, to code that has interrupted this very thread while it had it.
        """
        if self._in_courses == threading.get_ident():
            yield False
            return
        with self._settling:
            self._in_courses = threading.get_ident()
            try:
                yield True
            finally:
                self._in_courses = 0

    def _take_in(self) -> None:
        """Work the inbox off, unless another thread, or this one further up, is at it.

        Whoever has the lock looks into the inbox once more after giving it back, so that nothing
        stays there.
        """
        if self._holder == threading.get_ident():
            return
        crowded = False
        while self._inbox and self._lock.acquire(blocking=False):
            self._holder = threading.get_ident()
            try:
                crowded |= self._work_off()
            finally:
                self._holder = 0
                self._lock.release()
        self.remove_evicted()
        if crowded and self._settler is None:
            self._start_settler()

    def _work_off(self) -> bool:
        """Do what the inbox holds; return whether some execution has much that is not settled."""
        inbox, crowded = self._inbox, False
        while inbox:
            try:
                event = inbox.popleft()
            except IndexError:
                break
            crowded |= event() is True
        return crowded

    def _execution_opened(self, exec_id: str, span_id: int, name: str, trace_id: int) -> None:
        self._execution(exec_id).execution_opened(span_id, name, trace_id)

    def _opened(self, exec_id: str, span: OpenSpan, name: str | None, trace_id: int | None) -> None:
        self._execution(exec_id).opened(span, name, trace_id)

    def _take(self, spans: Sequence[Span]) -> bool:
        crowded = False
        exec_id, execution = None, None
        for span in spans:
            if span._exec_id is None:
                self.spans_outside += 1
                continue
            if span._exec_id != exec_id or execution is None:
                exec_id = span._exec_id
                execution = self._execution(exec_id)
            self.merged_spans += execution.take(span, self._max_keys)
            if len(execution.pending) >= _MAX_PENDING:
                crowded = crowded or self._is_crowded(execution)
        return crowded

    def _ended(self, exec_id: str, span: SpanRecord, metadata: Metadata | None) -> bool:
        execution = self._execution(exec_id)
        self.merged_spans += execution.add(span, metadata, self._max_keys)
        return self._is_crowded(execution)

    def _is_crowded(self, execution: ExecutionTally) -> bool:
        limit = _MAX_PENDING_ELSEWHERE if self.settled_elsewhere else _MAX_PENDING
        if len(execution.pending) >= _BEHIND:
            self._has_much = True
        return len(execution.pending) >= limit

    def _execution(self, exec_id: str) -> ExecutionTally:
        if exec_id in self._leaving:
            return self._leaving[exec_id]
        execution = self._executions.pop(exec_id, None)
        if execution is None:
            execution = ExecutionTally(exec_id, next(self._parts))
            if len(self._executions) >= self._max_executions:
                self._evict()
        self._executions[exec_id] = execution  # now the most recently touched
        return execution

    def _evict(self) -> None:
        """Choose the execution to go: a finished one if there is, else the one longest idle."""
        finished = (one for one, execution in self._executions.items() if execution.finished)
        evicted = self._leave(next(finished, None) or next(iter(self._executions)))
        if evicted is not None:
            self._evicted.append(evicted)
            self.evicted_executions += 1

    def _start_settler(self) -> None:
        """Settle in a thread, until nothing is crowded any more."""

        def settle() -> None:
            while self._settler is threading.current_thread():
                self.settle()
                with self._locked():
                    crowded = any(
                        len(execution.pending) >= _MAX_PENDING // 2
                        for execution in self._executions.values()
                    )
                    if not crowded:
                        self._settler = None

        thread = threading.Thread(target=settle, name="phasetrace-settle", daemon=True)
        self._settler = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            self._settler = None

    def _totals(self, execution: ExecutionTally) -> ExecutionTotals:
        with self._courses() as mine:
            if mine:
                now_ns = self._now_ns()
                return self._numbers(execution, now_ns, self._open_now(execution.exec_id))
        # A signal handler that asks while its own thread is being answered: self times and shares
        # are in the midst of a change.
        with self._locked():
            stats = {key: stat.copy() for key, stat in execution.stats.items()}
            return execution.totals(stats, execution.spans, execution.undivided())

    def _numbers(
        self, execution: ExecutionTally, now_ns: int, open_now: dict[str, list[OpenSpan]]
    ) -> ExecutionTotals:
        """Return a snapshot; the caller holds ``_settling``.

        `open_now` are the open spans at `now_ns` or later.
        """
        with self._locked():
            # In one step: what is counted here and not in the course would not be made up for.
            pending, open_spans = self._take_pending(execution, open_now)
            stats = {key: stat.copy() for key, stat in execution.stats.items()}
            spans = execution.spans
        execution.sweep(pending)
        return execution.totals(stats, spans, execution.course.result(now_ns, open_spans))

    def _open_now(self, only: str | None = None) -> dict[str, list[OpenSpan]]:
        """Return the open spans of our own by execution, of all of them or of one."""
        by_execution: dict[str, list[OpenSpan]] = {}
        if self.source is None:
            return by_execution
        spans: Iterable[Span] = self.source.open.copy().values()
        if only is not None:
            spans = [span for span in spans if span._exec_id == only]
        for span in spans:
            started_ns, exec_id = span._start_time, span._exec_id
            if started_ns is not None and exec_id is not None:
                by_execution.setdefault(exec_id, []).append(
                    OpenSpan(span._span_id, span._parent_id, started_ns, span.key() or EXECUTION)
                )
        return by_execution

    @staticmethod
    def _take_pending(
        execution: ExecutionTally, open_now: dict[str, list[OpenSpan]]
    ) -> tuple[list[Interval | int], list[OpenSpan]]:
        """Return what is to be swept, and what is open; the caller holds both locks.

        Those of `open_now` that have ended since are then known to the course.
        """
        pending, execution.pending = execution.pending, []
        return pending, [*execution.open.values(), *open_now.get(execution.exec_id, ())]

    def _leave(self, exec_id: str) -> ExecutionTally | None:
        """Take an execution out of the collector, yet let spans find it until `_remove` is done."""
        execution = self._executions.pop(exec_id, None)
        if execution is not None:
            self._leaving[exec_id] = execution
        return execution

    def _remove(self, execution: ExecutionTally, forgotten: bool = False) -> None:
        if self.on_leaving is not None:
            self.on_leaving(execution.exec_id)
        with self._locked():  # which counts the root that the execution may just have got
            self._leaving.pop(execution.exec_id, None)
        if self.on_removed is not None and not forgotten:
            self.on_removed(RemovedExecution(execution.exec_id, partial(self._totals, execution)))
