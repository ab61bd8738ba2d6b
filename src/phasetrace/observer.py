"""Spans and metrics from an engine's events, for programs that publish what they do.

An engine that announces its executions and nodes needs no ``with`` around them: each event goes to
`MetricsObserver.consume`, which opens and closes the spans and keeps the numbers. Phases inside the
nodes are timed as everywhere else (``time_phase(exec_id, node_id, ...)``) and end up below the span
of their node.

Events are believed as far as they go. One that is missing, doubled, out of order or too late is
counted as a fault, never raised; whatever it left open is closed when its execution completes.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final, NamedTuple

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Span

from phasetrace import clock, faults
from phasetrace.attributes import faithful, text
from phasetrace.configuration import timing_collector
from phasetrace.context import CANCELLED, DEPENDS_ON, NODE_TYPE
from phasetrace.critical_path import Run, bottlenecks, critical_runs, parallelizable_groups
from phasetrace.errors import UnknownExecution
from phasetrace.recorder import Recorder, Started
from phasetrace.scopes import source
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE

KEEP_FINISHED: Final = 100
MAX_RUNNING: Final = 10_000
"""Executions followed at a time; past it the oldest is closed, as an engine that died leaves some."""

_MAX_RUNS: Final = 10_000
"""The latest runs of an execution's nodes that its critical path is looked for in."""
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000


@dataclass
class NodeMetrics:
    """One node of an execution.

    Times are Unix seconds: the start of its first run and the end of its last; `duration_ms` adds
    up the runs (None: none is known from start to end), and so does `token_usage`, a number or a
    mapping of numbers; `memory_usage` is the highest. `error` is the latest one. `module_timings`
    are the milliseconds of each phase. A node that was never announced is of type ``system``; its
    duration is that of its phases, nested ones counted once.
    """

    node_id: str
    node_type: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    duration_ms: float | None = None
    memory_usage: Any = None
    token_usage: Any = None
    error: str | None = None
    dependencies: set[str] = field(default_factory=set)
    module_timings: dict[str, float] = field(default_factory=dict)


@dataclass
class ExecutionMetrics:
    """One execution; times in Unix seconds, `end_time` and `total_duration_ms` None while it runs.

    `critical_path`, `parallelizable_groups` and `bottlenecks` name nodes as the functions in
    `phasetrace.critical_path` find them: the path through single runs, each node once, and for the
    bottlenecks the time that a node spends on it.
    """

    execution_id: str
    start_time: float | None = None
    end_time: float | None = None
    total_duration_ms: float | None = None
    node_metrics: dict[str, NodeMetrics] = field(default_factory=dict)
    critical_path: list[str] = field(default_factory=list)
    parallelizable_groups: list[list[str]] = field(default_factory=list)
    bottlenecks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ExecutionStarted:
    """An execution begins. Here and below `timestamp` is Unix seconds or a datetime (None: now)."""

    execution_id: str
    name: str | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class NodeStarted:
    """A run of a node begins; `dependencies` None means that they are not known."""

    execution_id: str
    node_id: str
    node_type: str | None = None
    dependencies: Collection[str] | None = None
    iteration: int | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class NodeCompleted:
    """A run of a node is done; `token_usage` is a number or a mapping, `memory_usage` a number."""

    execution_id: str
    node_id: str
    token_usage: Any = None
    memory_usage: Any = None
    iteration: int | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class NodeFailed:
    """A run of a node has failed."""

    execution_id: str
    node_id: str
    error: BaseException | str | None = None
    token_usage: Any = None
    memory_usage: Any = None
    iteration: int | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class ExecutionCompleted:
    """An execution is over; with an `error` it has failed."""

    execution_id: str
    error: BaseException | str | None = None
    timestamp: float | datetime | None = None


class MetricsObserver:
    """Follows executions by their events. Thread-safe; for any number of tasks and event loops.

    Events may be objects or mappings. The kind is a string or an Enum in ``type``, ``event_type``
    or ``event``, otherwise the name of the class: ``node_started``, ``NODE_STARTED``,
    ``node.started``, ``NodeStartedEvent``; executions and nodes are started, completed, failed or
    cancelled. The fields are those of the dataclasses in this module, also as ``exec_id``,
    ``workflow_name`` and ``depends_on``, and may be inside a ``data`` or ``payload``. Timestamps
    are Unix seconds or datetimes (naive ones are local time). Events of other kinds are ignored.

    Every execution is a trace of its own, whatever span is current where its events are consumed.
    Events that come after its completion change what was not known yet, and open nothing. In a
    forked child the observer starts empty: what was running is the parent's.

    Args:
        on_complete: Called (and awaited, if need be) with the metrics of a finished execution.
        keep_finished: How many finished executions `metrics` still knows.
        now_ns: The clock for events without a timestamp.
    """

    def __init__(
        self,
        on_complete: Callable[[ExecutionMetrics], object] | None = None,
        keep_finished: int = KEEP_FINISHED,
        now_ns: clock.NowNs = clock.now_ns,
    ) -> None:
        self._on_complete = on_complete
        self._keep_finished = keep_finished
        self._now_ns = now_ns
        self._start_over()

    async def consume(self, event: object) -> None:
        """Take an event of the engine; never raises for what is in it."""
        now_ns = self._now_ns()
        try:
            finished = self._take(event, now_ns)
            if finished is not None and self._on_complete is not None:
                result = self._on_complete(finished)
                if inspect.isawaitable(result):
                    await result
        except Exception as error:
            faults.report("following an engine's events", error)

    def metrics(self, execution_id: str) -> ExecutionMetrics | None:
        """Return what is known of an execution, so far or in the end; None if it is not held."""
        self._check_process()
        with self._lock:
            execution_id = text(execution_id)
            execution = self._running.get(execution_id) or self._finished.get(execution_id)
            return execution.metrics() if execution is not None else None

    def _start_over(self) -> None:
        self._process = source.process
        self._lock = threading.RLock()  # guards the executions below and all that is in them
        self._running: dict[str, _Execution] = {}
        self._finished: dict[str, _Execution] = {}

    def _check_process(self) -> None:
        if self._process is not source.process:
            self._start_over()

    def _take(self, event: object, now_ns: int) -> ExecutionMetrics | None:
        """Follow an event; return the metrics of the execution that it finished."""
        self._check_process()
        seen = _read(event, now_ns)
        if seen is None:
            return None
        if not seen.exec_id or (seen.subject == NODE and not seen.node_id):
            faults.report("an event does not say which execution or node it is about")
            return None
        with self._lock:
            execution = self._running.get(seen.exec_id)
            if execution is None:
                finished = self._finished.get(seen.exec_id)
                if finished is not None and not finished.run_again_by(seen):
                    finished.take_late(seen)
                    return None
                execution = self._running[seen.exec_id] = _Execution(seen.exec_id, seen.at_ns)
                self._limit_running(seen)
            if seen.subject == NODE:
                execution.take_node(seen)
            elif seen.outcome == _STARTED:
                execution.start(seen)
            else:
                self._finish(execution, seen)
                return execution.metrics()
        return None

    def _finish(self, execution: _Execution, seen: _Seen) -> None:
        del self._running[execution.exec_id]
        execution.finish(seen)
        self._finished.pop(execution.exec_id, None)
        self._finished[execution.exec_id] = execution
        while len(self._finished) > self._keep_finished:
            del self._finished[next(iter(self._finished))]

    def _limit_running(self, seen: _Seen) -> None:
        if len(self._running) > MAX_RUNNING:
            faults.report("too many executions are running; closing the oldest")
            oldest = next(iter(self._running.values()))
            self._finish(oldest, _Seen(EXECUTION, _CANCELLED, "", "", seen.at_ns, False, _Fields({})))


_STARTED: Final = "started"
_COMPLETED: Final = "completed"
_FAILED: Final = "failed"
_CANCELLED: Final = "cancelled"

_OUTCOMES: Final = {
    "started": _STARTED,
    "completed": _COMPLETED,
    "finished": _COMPLETED,
    "failed": _FAILED,
    "error": _FAILED,
    "cancelled": _CANCELLED,
    "canceled": _CANCELLED,
}
_KINDS: Final = {
    subject + word: (subject, outcome)
    for subject in (EXECUTION, NODE)
    for word, outcome in _OUTCOMES.items()
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Fields:
    """The fields of an event, its own before those of its payload."""

    def __init__(self, event: object) -> None:
        nested = (_field(event, name) for name in ("data", "payload"))
        self._sources = (event, *(one for one in nested if isinstance(one, Mapping)))

    def get(self, *names: str) -> Any:
        """Return the first of these fields that is there, else None."""
        return next(self.all(*names), None)

    def all(self, *names: str) -> Iterable[Any]:
        values = (_field(one, name) for one in self._sources for name in names)
        return (value for value in values if value is not None)


class _Seen(NamedTuple):
    """An event as it was understood."""

    subject: str
    outcome: str
    exec_id: str
    node_id: str
    at_ns: int
    stamped: bool
    """`at_ns` is what the event said, not when it came."""
    fields: _Fields


def _read(event: object, now_ns: int) -> _Seen | None:
    fields = _Fields(event)
