"""A span as the store sees it: what its row in a block and its execution's row are made of."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import TraceFlags

from phasetrace.attributes import text
from phasetrace.names import EXEC_ID, IMPLICIT, ITERATION, PARENT_EXEC_ID
from phasetrace.processor import record_of, status_of
from phasetrace.span import Span
from phasetrace.spans import EXECUTION, PHASE, SpanType, Status

SAMPLED: Final = int(TraceFlags.SAMPLED)


class Entry(NamedTuple):
    """One span of an execution; of an open one the end is its start, or when it was seen last.

    Times in Unix ns.
    """

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

    def as_open(self, now_ns: int) -> Entry:
        """Return that it was open just now, unless it has ended."""
        return self if self.ended else self._replace(end_ns=max(self.end_ns, now_ns))


class FirstSpan(NamedTuple):
    """What the row of an execution is made of, while there is none yet. Times in Unix ns."""

    exec_id: str
    trace_id: int
    start_ns: int
    end_ns: int


class RoutedSpan:
    """A finished span of another provider that is to be delivered as well."""

    __slots__ = ("span",)

    def __init__(self, span: ReadableSpan) -> None:
        self.span = span


def is_routed(handed: ReadableSpan | RoutedSpan) -> bool:
    """Tell whether a span that was handed over is to be delivered."""
    if type(handed) is RoutedSpan:
        return True
    return isinstance(handed, Span) and is_exported(handed)


def is_exported(span: Span) -> bool:
    """Tell the same of a span of our own."""
    return bool(span._flags & SAMPLED) and span._origin.feeds_exporters


def first_span(handed: ReadableSpan | RoutedSpan) -> FirstSpan | None:
    """Return what a span says of its execution; None if it belongs to none."""
    entry = entry_of(handed.span if isinstance(handed, RoutedSpan) else handed)
    if entry is None:
        return None
    return FirstSpan(entry.exec_id, entry.trace_id, entry.start_ns, entry.end_ns)


def entry_of(span: ReadableSpan) -> Entry | None:
    """Return what the store keeps of a span beside its message; None without an execution."""
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
        bool(context.trace_flags & SAMPLED),
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


def entry_without_execution(span: ReadableSpan) -> Entry:
    """Return the same for a span of another provider that belongs to no execution.

    Raises:
        ValueError: when it has no ids.
    """
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span has no ids")
    start_ns = span.start_time or 0
    return Entry(
        "",
        context.trace_id,
        bool(context.trace_flags & SAMPLED),
        context.span_id,
        span.parent.span_id if span.parent is not None else None,
        PHASE,
        text(span.name),
        None,
        None,
        None,
        start_ns,
        max(start_ns, span.end_time or start_ns),
        status_of(span),
        span.end_time is not None,
        False,
        None,
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
            bool(span._flags & SAMPLED),
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
