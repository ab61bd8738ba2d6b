"""An execution of an engine, followed by its events: its spans, its nodes and its metrics.

Whatever the events leave open is closed when the execution completes; from then on they only fill
in what was not known.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from opentelemetry.context import Context

from phasetrace import faults
from phasetrace.configuration import timing_collector
from phasetrace.critical_path import Run, bottlenecks, critical_runs, parallelizable_groups
from phasetrace.errors import UnknownExecution
from phasetrace.observer.events import Event
from phasetrace.observer.metrics import (
    ExecutionMetrics,
    NodeMetrics,
    milliseconds,
    phase_timings,
    seconds,
)
from phasetrace.observer.nodes import Node, OpenRun
from phasetrace.observer.spans import EventSpan
from phasetrace.spans import NODE, SYSTEM_NODE
from phasetrace.tally import SeedMapping

_MAX_RUNS: Final = 10_000
"""The latest runs of an execution's nodes that its critical path is looked for in."""


class Execution:
    """An execution that is followed, or was; `first_ns` is when it was first heard of.

    Not thread-safe: whoever follows it holds a lock.
    """

    def __init__(self, exec_id: str, first_ns: int) -> None:
        self.exec_id = exec_id
        self._start_ns = first_ns
        self._end_ns: int | None = None
        self._announced = False
        self._root: EventSpan | None = None
        self._nodes: dict[str, Node] = {}
        self._runs: deque[Run] = deque(maxlen=_MAX_RUNS)
        self._timings: SeedMapping = {}
        self._busy_ms: dict[str, float | None] = {}

    def start(self, event: Event) -> None:
        """Take the execution's announcement."""
        if self._announced:
            faults.report("an execution was started twice")
            return
        self._start_ns = min(self._start_ns, event.at_ns)
        self._announced = True
        self._open_root(event)

    def take_node(self, event: Event) -> None:
        """Take the start or the ending of a node."""
        if not self._announced:
            self._start_ns = min(self._start_ns, event.at_ns)
        node = self._node(event)
        if event.outcome == "started":
            self._start_run(node, event)
        elif (run := node.run_of(event)) is not None:
            self._end_run(node, run, event)
        elif node.ended_before(event):
            faults.report("a node ended twice")
        else:
            faults.report("a node ended that had not started")
            node.keep_early(event)

    def finish(self, event: Event) -> None:
        """Close everything, and take the phases' times out of the collector."""
        end_ns = self._end_ns = max(self._start_ns, event.at_ns)
        root = self._root or self._open_root(event)
        for node in self._nodes.values():
            for run in list(node.open):
                early = node.take_early(run.iteration)
                self._end_run(node, run, early or Event(NODE, "cancelled", end_ns))
            for ending in node.take_unexplained():
                node.ended(None, ending.at_ns, ending)
                self._runs.append(Run(node.node_id, ending.at_ns, ending.at_ns))
                self._open_node(node, ending).end(ending, ending.at_ns, node.attributes())
        root.end(event, end_ns, {})
        self._busy_ms = _busy_ms(self.exec_id)
        self._timings = timing_collector.pop(self.exec_id)

    def take_late(self, event: Event) -> None:
        """Take an event that came after the execution had finished."""
        faults.report("an event came after its execution had completed")
        if event.subject == NODE:
            self._node(event).fill_in(event)
        elif event.outcome == "started" and not self._announced:
            self._announced = True
            self._start_ns = min(self._start_ns, event.at_ns)

    def run_again_by(self, event: Event) -> bool:
        """Tell whether an event starts a finished execution once more, under the same id."""
        if event.subject == NODE or event.outcome != "started" or self._end_ns is None:
            return False
        if event.stamped:
            return event.at_ns >= self._end_ns and event.at_ns != self._start_ns
        return self._announced

    def metrics(self) -> ExecutionMetrics:
        """Return the execution's numbers, so far or in the end."""
        metrics = ExecutionMetrics(self.exec_id, seconds(self._start_ns))
        if self._end_ns is not None:
            metrics.end_time = seconds(self._end_ns)
            metrics.total_duration_ms = milliseconds(self._end_ns - self._start_ns)
        metrics.node_metrics = self._node_metrics()
        self._analyse(metrics)
        return metrics

    def _node_metrics(self) -> dict[str, NodeMetrics]:
        finished = self._end_ns is not None
        timings = self._timings if finished else timing_collector.get(self.exec_id)
        nodes = {
            node_id: node.metrics(phase_timings(timings.get(node_id, {})))
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
                    module_timings=phase_timings(timings[node_id]),
                )
        return nodes

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

    def _node(self, event: Event) -> Node:
        node = self._nodes.get(event.node_id)
        if node is None:
            node = self._nodes[event.node_id] = Node(event.node_id)
        node.describe(event)
        return node

    def _open_root(self, event: Event) -> EventSpan:
        self._root = EventSpan(
            lambda recorder: recorder.start_execution(self.exec_id, event.name, {}, self._start_ns),
            Context(),
        )
        return self._root

    def _open_node(self, node: Node, event: Event) -> EventSpan:
        return EventSpan(
            lambda recorder: recorder.start_node(
                self.exec_id,
                node.node_id,
                node.node_type,
                event.iteration,
                node.dependencies or (),
                {},
                event.at_ns,
            ),
            self._root.context if self._root is not None else Context(),
        )

    def _start_run(self, node: Node, event: Event) -> None:
        if not node.starts(event):
            faults.report("a node was started twice")
            return
        run = OpenRun(event.iteration, event.at_ns, self._open_node(node, event))
        node.open.append(run)
        # Only a time that the engine gave tells that an earlier ending is this run's. Without one
        # that is decided in the end: another ending may still come.
        early = node.take_early(event.iteration, event.at_ns) if event.stamped else None
        if early is not None:
            self._end_run(node, run, early)

    def _end_run(self, node: Node, run: OpenRun, ending: Event) -> None:
        node.open.remove(run)
        end_ns = max(run.start_ns, ending.at_ns)
        node.ended(run.start_ns, end_ns, ending)
        self._runs.append(Run(node.node_id, run.start_ns, end_ns))
        run.span.end(ending, end_ns, node.attributes())


def _busy_ms(exec_id: str) -> dict[str, float | None]:
    """Return how long each node took by what the collector holds, nested phases counted once."""
    try:
        nodes = timing_collector.breakdown(exec_id).nodes
    except UnknownExecution:
        return {}
    return {node.node_id: milliseconds(node.total_ns) for node in nodes}
