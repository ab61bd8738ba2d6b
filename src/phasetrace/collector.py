"""The in-memory collector: exact totals per execution, node and phase, in bounded memory.

Finished spans come in through `TimingCollector.add`, measurements made elsewhere through
`TimingCollector.record`. Per (node, phase) the collector keeps count, total, min, max, errors and a
histogram; the spans' intervals go through a `Timeline` that folds what is settled, for self time
and share. Nothing in here knows OpenTelemetry.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from phasetrace import clock
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionHeader, make_breakdown
from phasetrace.errors import UnknownExecution
from phasetrace.spans import EXECUTION, PHASE, SpanRecord
from phasetrace.tally import ExecutionTally, ExecutionTotals, Metadata, OpenSpan, SeedMapping

MAX_EXECUTIONS: Final = 1_000
MAX_KEYS: Final = 2_000
_FOLD_LAG_NS: Final = 1_000_000_000
_MAX_PENDING: Final = 8_192
"""Past so many intervals that nobody has settled, adding one does it: memory stays bounded."""
_NS_PER_MS: Final = 1_000_000


class RemovedExecution(NamedTuple):
    """An execution that left the collector; `totals` works its numbers out when called."""

    exec_id: str
    totals: Callable[[], ExecutionTotals]


class TimingCollector:
    """Adds up finished phases, exactly, per execution.

    Thread-safe. Bounded: past `max_executions` the execution that was longest without a new span is
    evicted, past `max_keys` an execution's further phases are added up under ``(other)``;
    ``evicted_executions`` and ``merged_spans`` count both.
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
        self._lock = threading.Lock()  # guards everything below, and the executions but timelines
        self._settling = threading.Lock()  # guards the timelines; taken before _lock, never after
        self._executions: dict[str, ExecutionTally] = {}  # least recently touched first
        self._leaving: dict[str, ExecutionTally] = {}
        self._parts = itertools.count()
        self.evicted_executions = 0
        self.merged_spans = 0
        self.emit: Callable[[str, str, str, int, Metadata], None] | None = None
        """Where `record` sends measurements to become spans; without it they are only added up."""
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
        if not exec_id:
            return
        duration_ns = _nanoseconds(dur_ms)
        if self.emit is not None:
            self.emit(exec_id, node_id, phase, duration_ns, metadata)
            return
        end_ns = self.place(exec_id, node_id, duration_ns)
        span = SpanRecord(
            span_id=0,
            parent_id=None,
            type=PHASE,
            name=phase,
            node_id=node_id,
            node_type=None,
            start_ns=end_ns - duration_ns,
            end_ns=end_ns,
            status="ok",
        )
        self.add(exec_id, span, metadata)

    def place(self, exec_id: str, node_id: str, duration_ns: int) -> int:
        """Return the end (Unix ns) at which a measurement of `node_id` is laid; see `record`."""
        now_ns = self._now_ns()
        with self._lock:
            return self._execution(exec_id).place(node_id, duration_ns, now_ns)

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
        with self._lock:
            execution = self._execution(exec_id)
            execution.open[span.span_id] = span
            if span.key == EXECUTION:
                execution.root_opened(span, name, trace_id)

    def add(self, exec_id: str, span: SpanRecord, metadata: Metadata | None = None) -> None:
        """Count a finished span; `metadata` replaces the phase's earlier metadata if not empty."""
        evicted: ExecutionTally | None = None
        with self._lock:
            execution = self._execution(exec_id)
            self.merged_spans += execution.add(span, metadata, self._max_keys)
            crowded = len(execution.pending) >= _MAX_PENDING
            if len(self._executions) > self._max_executions:
                evicted = self._leave(next(iter(self._executions)))
                self.evicted_executions += 1
        if evicted is not None:
            self._remove(evicted)
        if crowded:
            self._settle(execution)

    def get(self, exec_id: str) -> SeedMapping:
        """Return ``{node_id: {phase: dur_ms, phase + "_metadata": {...}}}``; a deep copy.

        Durations are totals over all calls, in (fractional) milliseconds. Empty for an unknown
        execution.
        """
        with self._lock:
            execution = self._executions.get(exec_id)
            return execution.mapping() if execution is not None else {}

    def pop(self, exec_id: str) -> SeedMapping:
        """Return what `get` returns, end the execution and free its memory."""
        with self._lock:
            execution = self._leave(exec_id)
        if execution is None:
            return {}
        self._remove(execution)
        return execution.mapping()

    def clear(self, exec_id: str | None = None) -> None:
        """Forget one execution, or all of them."""
        with self._lock:
            if exec_id is None:
                self._executions.clear()
            else:
                self._executions.pop(exec_id, None)

    def executions(self) -> tuple[str, ...]:
        """Return the ids of the executions that are held, least recently touched first."""
        with self._lock:
            return tuple(self._executions)

    def extent(self, exec_id: str) -> tuple[int, int] | None:
        """Return the start of an execution's first span and the end of its last (Unix ns)."""
        with self._lock:
            execution = self._executions.get(exec_id) or self._leaving.get(exec_id)
            return execution.extent() if execution is not None else None

    def totals(self, exec_id: str) -> ExecutionTotals | None:
        """Return a snapshot of an execution's numbers, None if it is not held."""
        with self._lock:
            execution = self._executions.get(exec_id)
        return self._totals(execution) if execution is not None else None

    def breakdown(self, exec_id: str) -> ExecutionBreakdown:
        """Return where the time of an execution went, so far or in the end.

        Raises:
            UnknownExecution: if nothing of it is held.
        """
        with self._lock:
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

    def settle(self) -> None:
        """Fold what is settled of every timeline, so that memory stays bounded.

        Meant for a background thread, a few times a second. Takes no lock that `add` needs for
        longer than a copy.
        """
        with self._lock:
            waiting = [execution for execution in self._executions.values() if execution.pending]
        for execution in waiting:
            self._settle(execution)

    def unsaved(self, running: bool = False) -> list[ExecutionTotals]:
        """Return the totals of finished executions that have new spans since the last call.

        `running` includes those that have not finished.
        """
        with self._lock:
            due = [
                execution
                for execution in self._executions.values()
                if (execution.finished or running) and execution.saved_spans != execution.spans
            ]
        totals = []
        for execution in due:
            current = self._totals(execution)
            execution.saved_spans = current.spans
            totals.append(current)
        return totals

    def after_fork(self) -> None:
        """Start empty in a forked child: what was counted so far is the parent's."""
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._executions = {}
        self._leaving = {}

    def _execution(self, exec_id: str) -> ExecutionTally:
        if exec_id in self._leaving:
            return self._leaving[exec_id]
        execution = self._executions.pop(exec_id, None)
        if execution is None:
            execution = ExecutionTally(exec_id, next(self._parts))
        self._executions[exec_id] = execution  # now the most recently touched
        return execution

    def _settle(self, execution: ExecutionTally) -> None:
        with self._settling:
            open_spans = self._sweep(execution)
            lag_ns = 0 if execution.finished else _FOLD_LAG_NS
            execution.fold(self._now_ns() - lag_ns, open_spans)

    def _totals(self, execution: ExecutionTally) -> ExecutionTotals:
        with self._settling:
            open_spans = self._sweep(execution)
            with self._lock:
                stats = {key: stat.copy() for key, stat in execution.stats.items()}
                spans = execution.spans
            result = execution.timeline.result(self._now_ns(), open_spans)
        return execution.totals(stats, spans, result)

    def _sweep(self, execution: ExecutionTally) -> list[OpenSpan]:
        """Bring what was added into the timeline; the caller holds ``_settling``."""
        with self._lock:
            pending, execution.pending = execution.pending, []
            open_spans = list(execution.open.values())
        for interval in pending:
            execution.timeline.add(*interval)
        return open_spans

    def _leave(self, exec_id: str) -> ExecutionTally | None:
        """Take an execution out of the collector, yet let spans find it until `_remove` is done."""
        execution = self._executions.pop(exec_id, None)
        if execution is not None:
            self._leaving[exec_id] = execution
        return execution

    def _remove(self, execution: ExecutionTally) -> None:
        if self.on_leaving is not None:
            self.on_leaving(execution.exec_id)
        with self._lock:
            self._leaving.pop(execution.exec_id, None)
        if self.on_removed is not None:
            self.on_removed(RemovedExecution(execution.exec_id, partial(self._totals, execution)))


def _nanoseconds(dur_ms: float) -> int:
    try:
        return max(0, round(dur_ms * _NS_PER_MS))
    except (OverflowError, ValueError):  # infinities and NaN
        return 0
