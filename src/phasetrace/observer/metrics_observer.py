"""The observer: from events to spans and numbers."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable
from typing import Final

from phasetrace import clock, faults
from phasetrace.attributes import text
from phasetrace.observer.events import Event, read_event
from phasetrace.observer.executions import Execution
from phasetrace.observer.metrics import ExecutionMetrics
from phasetrace.scopes import source
from phasetrace.spans import EXECUTION, NODE

KEEP_FINISHED: Final = 100
MAX_RUNNING: Final = 10_000
"""Executions followed at a time; past it the oldest is closed (nobody may ever complete it)."""


class MetricsObserver:
    """Follows executions by their events. Thread-safe; for any number of tasks and event loops.

    Events may be objects or mappings. The kind is a string or an Enum in ``type``, ``event_type``
    or ``event``, otherwise the name of the class: ``node_started``, ``NODE_STARTED``,
    ``node.started``, ``NodeStartedEvent``; executions and nodes are started, completed, failed or
    cancelled. The fields are those of the events in `phasetrace.observer`, also as ``exec_id``,
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
        with contextlib.suppress(Exception):  # it will be said when there is a span to start
            source.recorder()  # what has to be set up first is not the execution's time
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
        self._running: dict[str, Execution] = {}
        self._finished: dict[str, Execution] = {}

    def _check_process(self) -> None:
        if self._process is not source.process:
            self._start_over()

    def _take(self, published: object, now_ns: int) -> ExecutionMetrics | None:
        """Follow an event; return the metrics of the execution that it finished."""
        self._check_process()
        event = read_event(published, now_ns)
        if event is None:
            return None
        if not event.exec_id or (event.subject == NODE and not event.node_id):
            faults.report("an event does not say which execution or node it is about")
            return None
        with self._lock:
            execution = self._running.get(event.exec_id)
            if execution is None:
                finished = self._finished.get(event.exec_id)
                if finished is not None and not finished.run_again_by(event):
                    finished.take_late(event)
                    return None
                execution = self._running[event.exec_id] = Execution(event.exec_id, event.at_ns)
                self._limit_running(event.at_ns)
            if event.subject == NODE:
                execution.take_node(event)
            elif event.outcome == "started":
                execution.start(event)
            else:
                self._finish(execution, event)
                return execution.metrics()
        return None

    def _finish(self, execution: Execution, event: Event) -> None:
        del self._running[execution.exec_id]
        self._finished.pop(execution.exec_id, None)
        self._finished[execution.exec_id] = execution
        while len(self._finished) > self._keep_finished:
            del self._finished[next(iter(self._finished))]
        execution.finish(event)

    def _limit_running(self, at_ns: int) -> None:
        if len(self._running) > MAX_RUNNING:
            faults.report("too many executions are running; closing the oldest")
            oldest = next(iter(self._running.values()))
            self._finish(oldest, Event(EXECUTION, "cancelled", at_ns))
