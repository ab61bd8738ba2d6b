"""Spans and metrics from an engine's events, for programs that publish what they do.

An engine that announces its executions and nodes needs no ``with`` around them: each event goes to
`MetricsObserver.consume`, which opens and closes the spans and keeps the numbers. Phases inside the
nodes are timed as everywhere else (``time_phase(exec_id, node_id, ...)``) and end up below the span
of their node.

Events are believed as far as they go. One that is missing, doubled, out of order or too late is
counted as a fault, never raised; whatever it left open is closed when its execution completes.
"""

from phasetrace.observer.events import (
    ExecutionCompleted,
    ExecutionStarted,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
)
from phasetrace.observer.metrics import ExecutionMetrics, NodeMetrics
from phasetrace.observer.metrics_observer import MetricsObserver

__all__ = [
    "ExecutionCompleted",
    "ExecutionMetrics",
    "ExecutionStarted",
    "MetricsObserver",
    "NodeCompleted",
    "NodeFailed",
    "NodeMetrics",
    "NodeStarted",
]
