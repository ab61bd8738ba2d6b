"""Small executions, written down span by span; times in milliseconds."""

from __future__ import annotations

from typing import Any

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.recording import Recording
from phasetrace.breakdowns import ExecutionHeader
from phasetrace.spans import EXECUTION, NODE, PHASE, SpanRecord, SpanType

MS = 1_000_000
ROOT = 1


def span(
    span_id: int,
    parent_id: int | None,
    type_: SpanType,
    name: str,
    node_id: str | None,
    start: float,
    end: float,
    **more: Any,
) -> SpanRecord:
    """Return a span from one millisecond to another."""
    times = (round(start * MS), round(end * MS))
    status = more.pop("status", "ok")
    return SpanRecord(span_id, parent_id, type_, name, node_id, None, *times, status, **more)


def execution(end: float) -> SpanRecord:
    """Return a root that starts at 0."""
    return span(ROOT, None, EXECUTION, "e", None, 0, end)


def node(
    span_id: int, node_id: str, start: float, end: float, *depends_on: str, **more: Any
) -> SpanRecord:
    """Return a run of a node below the root."""
    return span(span_id, ROOT, NODE, node_id, node_id, start, end, depends_on=depends_on, **more)


def phase(
    span_id: int, parent_id: int, name: str, start: float, end: float, **more: Any
) -> SpanRecord:
    """Return a phase of node ``n``, unless another is given."""
    node_id = more.pop("node_id", "n")
    return span(span_id, parent_id, PHASE, name, node_id, start, end, **more)


def examined(*spans: SpanRecord, **more: Any) -> Examination:
    """Return what is worked out of an execution; the first span is its root."""
    root = spans[0]
    duration_ns = root.end_ns - root.start_ns
    header = ExecutionHeader("e", "e", "ok", "0" * 32, root.start_ns, duration_ns)
    return Examination(Recording(header, list(spans), root.span_id), **more)
