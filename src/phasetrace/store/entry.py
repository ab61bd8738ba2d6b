"""A span as the store sees it: what its row and its execution's row are made of."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import TraceFlags

from phasetrace.attributes import text
from phasetrace.context import EXEC_ID, IMPLICIT, ITERATION, PARENT_EXEC_ID
from phasetrace.processor import record_of
from phasetrace.span import Span
from phasetrace.spans import EXECUTION, SpanType, Status

_SAMPLED: Final = int(TraceFlags.SAMPLED)


class Entry(NamedTuple):
    """One span of an execution; of an open one the end is its start. Times in Unix ns."""

    exec_id: str
    trace_id: int
    sampled: bool
    span_id: int
    parent_id: int | None
    type: SpanType
    name: str
    node_id: str | None
    node_type: str | None
    iteration: Any
    start_ns: int
    end_ns: int
    status: Status
    ended: bool
    implicit: bool
    """The root that an execution without `execution()` was given."""
    parent_exec_id: str | None


def entry_of(span: ReadableSpan) -> Entry | None:
    """Return what the store keeps of a span in columns; None if it belongs to no execution."""
    if isinstance(span, Span) and span._span_type != EXECUTION:
        return _entry_of_ours(span)
    record = record_of(span)
    context = span.get_span_context()
    if record is None or context is None:
        return None
    attributes = span.attributes or {}
    parent_exec_id = attributes.get(PARENT_EXEC_ID)
    return Entry(
        text(attributes[EXEC_ID]),
        context.trace_id,
        bool(context.trace_flags & _SAMPLED),
        record.span_id,
        record.parent_id,
        record.type,
        record.name,
        record.node_id,
        record.node_type,
        attributes.get(ITERATION),
        record.start_ns,
        record.end_ns,
        record.status,
        span.end_time is not None,
        bool(attributes.get(IMPLICIT)),
        text(parent_exec_id) if parent_exec_id is not None else None,
    )


def _entry_of_ours(span: Span) -> Entry | None:
    """Do the same for a node or phase of our own, whose fields tell all."""
    exec_id = span._exec_id
    if exec_id is None:
        return None
    start_ns = span._start_time or 0
    end_ns = span._end_time
    if end_ns is None:  # else the pipeline has seen to it
        span.make_texts()
    node_type, iteration = span._node_details or (None, None)
    # PERF: 0.5 µs, where the constructor of the tuple alone takes as long.
    return tuple.__new__(
        Entry,
        (
            exec_id,
            span._trace_id,
            bool(span._flags & _SAMPLED),
            span._span_id,
            span._parent_id,
            span._span_type,
            span._name,
            span._node_id,
            node_type,
            iteration,
            start_ns,
            start_ns if end_ns is None or end_ns < start_ns else end_ns,
            span.outcome(),
            end_ns is not None,
            False,
            None,
        ),
    )
