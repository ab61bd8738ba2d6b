"""Spans and metrics from an engine's events, for programs that publish what they do.

An engine that announces its executions and nodes needs no ``with`` around them: each event goes to
`MetricsObserver.consume`, which opens and closes the spans and keeps the numbers. Phases inside the
nodes are timed as everywhere else (``time_phase(exec_id, node_id, ...)``) and end up below the span
of their node.

Events are believed as far as they go. One that is missing, doubled, out of order or too late is
counted as a fault, never raised; whatever it left open is closed when its execution completes.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
from phasetrace.tally import SeedMapping

KEEP_FINISHED: Final = 100
MAX_RUNNING: Final = 10_000
"""Executions followed at a time; past it the oldest is closed (nobody may ever complete it)."""

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
        self._finished.pop(execution.exec_id, None)
        self._finished[execution.exec_id] = execution
        while len(self._finished) > self._keep_finished:
            del self._finished[next(iter(self._finished))]
        execution.finish(seen)

    def _limit_running(self, seen: _Seen) -> None:
        if len(self._running) > MAX_RUNNING:
            faults.report("too many executions are running; closing the oldest")
            oldest = next(iter(self._running.values()))
            self._finish(
                oldest, _Seen(EXECUTION, _CANCELLED, "", "", seen.at_ns, False, _Fields({}))
            )


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

    def all(self, *names: str) -> Iterator[Any]:
        values = (_field(one, name) for one in self._sources for name in names)
        return (value for value in values if value is not None)

    def get(self, *names: str) -> Any:
        return next(self.all(*names), None)


class _Seen(NamedTuple):
    """An event as it was understood; `stamped` if `at_ns` is what it said, not when it came."""

    subject: str
    outcome: str
    exec_id: str
    node_id: str
    at_ns: int
    stamped: bool
    fields: _Fields


class _Ending(NamedTuple):
    """How a run of a node, or an execution, ended; an empty `error` is a failure without a word."""

    at_ns: int
    stamped: bool = False
    iteration: Any = None
    error: BaseException | str | None = None
    cancelled: bool = False
    token_usage: Any = None
    memory_usage: Any = None


def _read(event: object, now_ns: int) -> _Seen | None:
    """Return what an event says; None if it is of no kind that is followed."""
    fields = _Fields(event)
    named = (*fields.all("type", "event_type", "event"), type(event).__name__)
    kinds = (_KINDS.get(word) for name in named for word in _words(name))
    kind = next((kind for kind in kinds if kind is not None), None)
    if kind is None:
        return None
    at_ns = _unix_ns(fields.get("timestamp"))
    return _Seen(
        *kind,
        _name(fields.get("execution_id", "exec_id")) or "",
        _name(fields.get("node_id")) or "",
        now_ns if at_ns is None else at_ns,
        at_ns is not None,
        fields,
    )


def _ending(seen: _Seen) -> _Ending:
    error = seen.fields.get("error")
    if seen.outcome != _FAILED:
        error = error or None
    elif error is None:
        error = ""
    if error is not None and not isinstance(error, BaseException):
        error = text(error)
    return _Ending(
        seen.at_ns,
        seen.stamped,
        _iteration(seen),
        error,
        seen.outcome == _CANCELLED,
        _usage(seen.fields.get("token_usage")),
        seen.fields.get("memory_usage"),
    )


def _field(source: object, name: str) -> Any:
    try:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
    except Exception:  # a property of the engine's that fails is as good as none
        return None
    return None if inspect.isroutine(value) else value


def _words(name: object) -> Iterator[str]:
    """Give what an event's kind may be called, without case and punctuation."""
    for word in (name.value, name.name) if isinstance(name, Enum) else (name,):
        if isinstance(word, str):
            yield "".join(filter(str.isalnum, word)).lower().removesuffix("event")


def _name(value: object) -> str | None:
    if isinstance(value, Enum):
        value = value.value
    return text(value) if value is not None else None


def _names(value: object) -> list[str]:
    if isinstance(value, (str, Enum)) or not isinstance(value, Iterable):
        value = (value,)
    return [name for one in value if (name := _name(one))]


def _iteration(seen: _Seen) -> Any:
    iteration = seen.fields.get("iteration")
    return faithful(iteration) if iteration is not None else None


def _unix_ns(timestamp: object) -> int | None:
    """Return a time that an event names; None if it is none that a span could carry."""
    try:
        if isinstance(timestamp, datetime):
            ns = (timestamp.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1) * 1000
        elif isinstance(timestamp, (int, float)) and not isinstance(timestamp, bool):
            ns = round(timestamp * _NS_PER_S)
        else:
            return None
    except (ArithmeticError, ValueError, OSError):  # out of range, not a number
        return None
    return ns if 0 <= ns < 2**63 else None


def _usage(usage: Any) -> Any:
    """Return a usage object's fields as a mapping; a mapping's copy; anything else as it is."""
    if isinstance(usage, (int, float, str)):
        return usage
    fields = usage if isinstance(usage, Mapping) else getattr(usage, "__dict__", None)
    return dict(fields) if fields is not None else usage


class _OpenSpan:
    """A span that was started for an event; a fault of it stays in here."""

    def __init__(self, start: Callable[[Recorder], Started], within: Context) -> None:
        self.context = within
        self._span: Span | None = None
        token = context_api.attach(within)
        try:
            recorder = source.recorder()
            if recorder is not None:
                self._span, self.context = start(recorder)
                self._recorder = recorder
        except Exception as error:
            faults.report("starting a span", error)
        finally:
            context_api.detach(token)

    def end(self, ending: _Ending, end_ns: int, attributes: Mapping[str, Any]) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        try:
            for key, value in attributes.items():
                span.set_attribute(key, faithful(value))
            if ending.cancelled:
                span.set_attribute(CANCELLED, True)
            self._recorder.end(span, None if ending.cancelled else ending.error, end_ns)
            self._recorder.node_ended(span)
        except Exception as error:
            faults.report("ending a span", error)

    def stand_for(self, exec_id: str, node_id: str) -> None:
        """Take phases named by id alone, if no other run of the node does."""
        state = self._recorder.executions.get(exec_id) if self._span is not None else None
        if state is not None and self._span is not None:
            state.open_nodes.setdefault(node_id, self._span.get_span_context())


class _Run(NamedTuple):
    """A run of a node that is under way."""

    iteration: Any
    start_ns: int
    span: _OpenSpan


class _Node:
    """What is known of a node."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.node_type: str | None = None
        self.dependencies: dict[str, None] | None = None  # in the order given; None: not known
        self.open: list[_Run] = []  # oldest first
        self.early: list[_Ending] = []  # of runs whose start was not announced, or not yet
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self.total_ns: int | None = None
        self.error: str | None = None
        self.token_usage: Any = None
        self.memory_usage: Any = None
        self._failed = False
        self._last_start: tuple[Any, int] | None = None
        self._last_end: tuple[Any, int] | None = None

    def describe(self, fields: _Fields) -> None:
        self.node_type = _name(fields.get("node_type")) or self.node_type
        dependencies = fields.get("dependencies", "depends_on")
        if dependencies is not None:
            self.dependencies = {**(self.dependencies or {}), **dict.fromkeys(_names(dependencies))}

    def starts(self, iteration: Any, seen: _Seen) -> bool:
        """Note a start; return False if it is one that is known already."""
        start = (iteration, seen.at_ns)
        if any(run.iteration == iteration for run in self.open) or (
            seen.stamped and start == self._last_start
        ):
            return False
        self._last_start = start
        if self.start_ns is None or seen.at_ns < self.start_ns:
            self.start_ns = seen.at_ns
        return True

    def run_of(self, iteration: Any) -> _Run | None:
        """Return the open run that an ending is for; only one may leave the iteration out."""
        same = (run for run in self.open if run.iteration == iteration)
        alike = (run for run in self.open if None in (iteration, run.iteration))
        return next(same, None) or next(alike, None)

    def take_early(self, iteration: Any, from_ns: int = 0) -> _Ending | None:
        """Return the ending that came before the start of its run, if there is one."""
        for place, ending in enumerate(self.early):
            alike = ending.iteration == iteration or None in (ending.iteration, iteration)
            if alike and ending.at_ns >= from_ns:
                return self.early.pop(place)
        return None

    def ended_before(self, ending: _Ending) -> bool:
        """Tell whether this very ending has been taken."""
        return ending.stamped and (ending.iteration, ending.at_ns) == self._last_end

    def take_unexplained(self) -> list[_Ending]:
        """Return the endings of runs that never started, without those that repeat a known one."""
        endings, self.early = self.early, []
        if self._last_end is None:
            return endings
        iteration = self._last_end[0]
        return [
            ending
            for ending in endings
            if ending.iteration != iteration or (ending.error is not None and not self._failed)
        ]

    def ended(self, start_ns: int | None, end_ns: int, ending: _Ending) -> None:
        """Count a run; one without a start has no duration."""
        self._last_end = (ending.iteration, ending.at_ns)
        self.end_ns = max(self.end_ns or 0, end_ns)
        if start_ns is not None:
            self.total_ns = (self.total_ns or 0) + end_ns - start_ns
        self.token_usage = _added(self.token_usage, ending.token_usage)
        self.memory_usage = _higher(self.memory_usage, ending.memory_usage)
        if ending.error is not None:
            self._failed = True
            self.error = _message(ending.error)

    def fill_in(self, start_ns: int | None, ending: _Ending | None) -> None:
        """Take what came too late, as far as it was not known."""
        if self.start_ns is None:
            self.start_ns = start_ns
        if ending is not None:
            if self.end_ns is None:
                self.end_ns = ending.at_ns
            if self.error is None and ending.error is not None:
                self.error = _message(ending.error)
            if self.token_usage is None:
                self.token_usage = ending.token_usage
            if self.memory_usage is None:
                self.memory_usage = ending.memory_usage
        if self.total_ns is None and self.start_ns is not None and self.end_ns is not None:
            self.total_ns = max(0, self.end_ns - self.start_ns)

    def attributes(self, ending: _Ending) -> dict[str, Any]:
        """Return what the span of a run says at its end."""
        attributes = _usage_attributes(ending.token_usage, ending.memory_usage)
        if self.node_type is not None:
            attributes[NODE_TYPE] = self.node_type
        if self.dependencies:
            attributes[DEPENDS_ON] = list(self.dependencies)
        return attributes

    def metrics(self, module_timings: dict[str, float]) -> NodeMetrics:
        return NodeMetrics(
            node_id=self.node_id,
            node_type=self.node_type,
            start_time=_seconds(self.start_ns),
            end_time=_seconds(self.end_ns),
            duration_ms=_milliseconds(self.total_ns),
            memory_usage=self.memory_usage,
            token_usage=copy.copy(self.token_usage),
            error=self.error,
            dependencies=set(self.dependencies or ()),
            module_timings=module_timings,
        )


class _Execution:
    """An execution that is followed, or was."""

    def __init__(self, exec_id: str, first_ns: int) -> None:
        self.exec_id = exec_id
        self._start_ns = first_ns
        self._end_ns: int | None = None
        self._announced = False
        self._root: _OpenSpan | None = None
        self._nodes: dict[str, _Node] = {}
        self._runs: deque[Run] = deque(maxlen=_MAX_RUNS)
        self._timings: SeedMapping = {}
        self._busy_ms: dict[str, float] = {}

    def start(self, seen: _Seen) -> None:
        if self._announced:
            faults.report("an execution was started twice")
            return
        self._start_ns = min(self._start_ns, seen.at_ns)
        self._announced = True
        self._open_root(seen)

    def take_node(self, seen: _Seen) -> None:
        if not self._announced:
            self._start_ns = min(self._start_ns, seen.at_ns)
        node = self._node(seen)
        if seen.outcome == _STARTED:
            self._start_run(node, seen)
            return
        ending = _ending(seen)
        run = node.run_of(ending.iteration)
        if run is not None:
            self._end_run(node, run, ending)
        elif node.ended_before(ending):
            faults.report("a node ended twice")
        else:
            faults.report("a node ended that had not started")
            node.early.append(ending)

    def finish(self, seen: _Seen) -> None:
        """Close everything, and take the phases' times out of the collector."""
        self._end_ns = max(self._start_ns, seen.at_ns)
        root = self._root or self._open_root(seen)
        for node in self._nodes.values():
            for run in list(node.open):
                early = node.take_early(run.iteration)
                self._end_run(node, run, early or _Ending(self._end_ns, cancelled=True))
            for ending in node.take_unexplained():
                node.ended(None, ending.at_ns, ending)
                self._runs.append(Run(node.node_id, ending.at_ns, ending.at_ns))
                span = self._open_node(node, ending.iteration, ending.at_ns)
                span.end(ending, ending.at_ns, node.attributes(ending))
        ending = _ending(seen)
        root.end(ending, self._end_ns, _usage_attributes(ending.token_usage, ending.memory_usage))
        self._busy_ms = _busy_ms(self.exec_id)
        self._timings = timing_collector.pop(self.exec_id)

    def take_late(self, seen: _Seen) -> None:
        """Take an event that came after the execution had finished."""
        faults.report("an event came after its execution had completed")
        if seen.subject == NODE:
            node = self._node(seen)
            if seen.outcome == _STARTED:
                node.fill_in(seen.at_ns, None)
            else:
                node.fill_in(None, _ending(seen))
        elif seen.outcome == _STARTED and not self._announced:
            self._announced = True
            self._start_ns = min(self._start_ns, seen.at_ns)

    def run_again_by(self, seen: _Seen) -> bool:
        """Tell whether an event starts a finished execution once more, under the same id."""
        if seen.subject == NODE or seen.outcome != _STARTED or self._end_ns is None:
            return False
        if seen.stamped:
            return seen.at_ns >= self._end_ns and seen.at_ns != self._start_ns
        return self._announced

    def metrics(self) -> ExecutionMetrics:
        finished = self._end_ns is not None
        timings = self._timings if finished else timing_collector.get(self.exec_id)
        nodes = {
            node_id: node.metrics(_phases(timings.get(node_id, {})))
            for node_id, node in self._nodes.items()
        }
        unannounced = [node_id for node_id in timings if node_id not in nodes]
        if unannounced:
            busy_ms = self._busy_ms if finished else _busy_ms(self.exec_id)
            for node_id in unannounced:
                nodes[node_id] = NodeMetrics(
                    node_id,
                    SYSTEM_NODE,
                    duration_ms=busy_ms.get(node_id),
                    module_timings=_phases(timings[node_id]),
                )
        metrics = ExecutionMetrics(self.exec_id, _seconds(self._start_ns), node_metrics=nodes)
        if self._end_ns is not None:
            metrics.end_time = _seconds(self._end_ns)
            metrics.total_duration_ms = _milliseconds(self._end_ns - self._start_ns)
        self._analyse(metrics)
        return metrics

    def _analyse(self, metrics: ExecutionMetrics) -> None:
        known = {
            node_id: node.dependencies
            for node_id, node in self._nodes.items()
            if node.dependencies is not None
        }
        if not any(known.values()):
            known = {}  # an engine that names no dependency at all does not know them
        path = critical_runs(self._runs, known)
        metrics.critical_path = list(dict.fromkeys(run.node_id for run in path))
        metrics.parallelizable_groups = parallelizable_groups(self._nodes, known)
        if path:
            on_path: dict[str, float] = {}
            for run in path:
                on_path[run.node_id] = on_path.get(run.node_id, 0) + run.end - run.start
            end_ns = self._end_ns if self._end_ns is not None else path[-1].end
            metrics.bottlenecks = bottlenecks(on_path, on_path, end_ns - self._start_ns)

    def _node(self, seen: _Seen) -> _Node:
        node = self._nodes.get(seen.node_id)
        if node is None:
            node = self._nodes[seen.node_id] = _Node(seen.node_id)
        node.describe(seen.fields)
        return node

    def _open_root(self, seen: _Seen) -> _OpenSpan:
        name = _name(seen.fields.get("workflow_name", "name"))
        self._root = _OpenSpan(
            lambda recorder: recorder.start_execution(self.exec_id, name, {}, self._start_ns),
            Context(),
        )
        return self._root

    def _open_node(self, node: _Node, iteration: Any, start_ns: int) -> _OpenSpan:
        return _OpenSpan(
            lambda recorder: recorder.start_node(
                self.exec_id,
                node.node_id,
                node.node_type,
                iteration,
                node.dependencies or (),
                {},
                start_ns,
            ),
            self._root.context if self._root is not None else Context(),
        )

    def _start_run(self, node: _Node, seen: _Seen) -> None:
        iteration = _iteration(seen)
        if not node.starts(iteration, seen):
            faults.report("a node was started twice")
            return
        run = _Run(iteration, seen.at_ns, self._open_node(node, iteration, seen.at_ns))
        node.open.append(run)
        # Only a time that the engine gave tells that an earlier ending is this run's. Without one
        # that is decided in the end: another ending may still come.
        early = node.take_early(iteration, seen.at_ns) if seen.stamped else None
        if early is not None:
            self._end_run(node, run, early)

    def _end_run(self, node: _Node, run: _Run, ending: _Ending) -> None:
        node.open = [one for one in node.open if one is not run]
        end_ns = max(run.start_ns, ending.at_ns)
        node.ended(run.start_ns, end_ns, ending)
        self._runs.append(Run(node.node_id, run.start_ns, end_ns))
        run.span.end(ending, end_ns, node.attributes(ending))
        if node.open:
            node.open[-1].span.stand_for(self.exec_id, node.node_id)


_TOKENS: Final = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "input": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "output": "gen_ai.usage.output_tokens",
}
"""Names of token counts (OpenTelemetry semantic conventions, "Generative AI")."""


def _usage_attributes(token_usage: Any, memory_usage: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if isinstance(token_usage, dict):
        rest = {}
        for key, count in token_usage.items():
            name = _TOKENS.get(key) if _is_number(count) else None
            if name is not None and name not in attributes:
                attributes[name] = count
            elif count is not None:
                rest[key] = count
        token_usage = rest or None
    if token_usage is not None:
        attributes["token_usage"] = token_usage
    if memory_usage is not None:
        attributes["memory_usage"] = memory_usage
    return attributes


def _added(before: Any, more: Any) -> Any:
    """Add usages up, mappings by their keys; what is no number is replaced."""
    if before is None or more is None:
        return more if before is None else before
    if isinstance(before, Mapping) and isinstance(more, Mapping):
        return {**before, **{key: _added(before.get(key), more[key]) for key in more}}
    return before + more if _is_number(before) and _is_number(more) else more


def _higher(before: Any, now: Any) -> Any:
    if now is None or (_is_number(before) and _is_number(now) and before > now):
        return before
    return now


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _message(error: BaseException | str) -> str:
    if isinstance(error, str):
        return error or _FAILED
    message = text(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _seconds(ns: int | None) -> float | None:
    return ns / _NS_PER_S if ns is not None else None


def _milliseconds(ns: int | None) -> float | None:
    return ns / _NS_PER_MS if ns is not None else None


def _phases(entries: Mapping[str, Any]) -> dict[str, float]:
    """Return the times of a node's phases, without the phases' metadata."""
    return {name: value for name, value in entries.items() if _is_number(value)}


def _busy_ms(exec_id: str) -> dict[str, float]:
    """Return how long each node took by what the collector holds, nested phases counted once."""
    try:
        nodes = timing_collector.breakdown(exec_id).nodes
    except UnknownExecution:
        return {}
    return {node.node_id: node.total_ns / _NS_PER_MS for node in nodes}
