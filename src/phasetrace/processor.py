"""The span processor that feeds the collector; works on any SDK tracer provider."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

from phasetrace import faults
from phasetrace.attributes import text
from phasetrace.bounded import bounded_attributes, bounded_list
from phasetrace.collector import TimingCollector
from phasetrace.context import ids_in
from phasetrace.identity import root_span_id_of
from phasetrace.names import (
    CANCELLED,
    EXEC_ID,
    IMPLICIT,
    ITERATION,
    NODE_ID,
    NODE_TYPE,
    PARENT_EXEC_ID,
    RESERVED,
    TYPE,
    name_of_execution,
)
from phasetrace.span import Outlet
from phasetrace.span import Span as LeanSpan
from phasetrace.spans import (
    EXECUTION,
    NODE,
    PHASE,
    SYSTEM_NODE,
    SpanRecord,
    SpanType,
    Status,
    key_of,
)
from phasetrace.tally import OpenSpan

_IDENTIFYING: Final = (EXEC_ID, NODE_ID, NODE_TYPE, ITERATION, TYPE, IMPLICIT, PARENT_EXEC_ID)
_MAX_OPEN: Final = 100_000


class TimingSpanProcessor(SpanProcessor):
    """Adds every finished span of an execution up in a `TimingCollector`.

    A plain SDK processor: add it to any tracer provider. A span belongs to an execution if it has
    an ``exec_id`` attribute, or started inside one that has; it is then given ``exec_id`` and
    ``node_id`` (``"system"`` outside any node), so that they stand on every span that is exported.
    Thread-safe; never raises.
    """

    def __init__(self, collector: TimingCollector) -> None:
        self._collector = collector
        self._ids: dict[int, dict[str, Any]] = {}
        """The reserved attributes of the spans that are open, by span id."""
        self._counted: dict[int, None] = {}
        """Ids of open spans that come to the collector by the pipeline of their provider, too."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Give the span its ids, and note it as open."""
        try:
            exec_id = inherit_ids(span, parent_context)
            # PERF: isinstance() asks an ABC, for 0.3 µs; spans of other providers have no origin.
            origin = getattr(span, "_origin", None)
            if origin is not None and self._is_fed_by(origin.pipeline):
                self._counted[span.context.span_id] = None
                _keep_latest(self._counted)
                return
            if exec_id is None:
                return
            record = record_of(span)
            if record is not None:
                attributes = span.attributes or {}
                self._ids[record.span_id] = {
                    key: attributes[key] for key in _IDENTIFYING if key in attributes
                }
                _keep_latest(self._ids)
                opened = OpenSpan(
                    record.span_id, record.parent_id, record.start_ns, key_of(record) or EXECUTION
                )
                self._collector.opened(exec_id, opened, record.name, span.context.trace_id)
        except Exception as error:
            faults.report("noting a started span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Count the span."""
        try:
            if self._counted and self._is_counted(span):
                return
            span = self.completed(span)
            record = record_of(span)
            if record is not None:
                attributes = span.attributes or {}
                self._collector.add(text(attributes[EXEC_ID]), record, metadata_of(attributes))
        except Exception as error:
            faults.report("counting a finished span", error)

    def completed(self, span: ReadableSpan) -> ReadableSpan:
        """Return a finished span with the ids that it was started with.

        A span keeps its latest attributes (128, unless ``OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`` says
        otherwise), so a program that sets many pushes the ids out. Such a span is copied.
        """
        context = span.get_span_context()
        ids = self._ids.pop(context.span_id, None) if context is not None else None
        attributes = span.attributes or {}
        if not ids or attributes.keys() >= ids.keys():
            return span
        return ReadableSpan(
            name=span.name,
            context=context,
            parent=span.parent,
            resource=span.resource,
            attributes=bounded_attributes({**ids, **attributes}, span.dropped_attributes),
            events=bounded_list(span.events, span.dropped_events),
            links=bounded_list(span.links, span.dropped_links),
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _is_counted(self, span: ReadableSpan) -> bool:
        context = span.get_span_context()
        return context is not None and self._counted.pop(context.span_id, False) is None

    def _is_fed_by(self, pipeline: Outlet | None) -> bool:
        return pipeline is not None and pipeline is self._collector.source


def _keep_latest(open_spans: dict[int, Any]) -> None:
    """Forget the oldest of too many open spans: some are never ended."""
    if len(open_spans) > _MAX_OPEN:
        open_spans.pop(next(iter(open_spans)), None)


def inherit_ids(span: Span, parent_context: Context | None) -> str | None:
    """Give a started span the ids of the code around it, where it has none of its own.

    Returns:
        Its ``exec_id``; None for a span outside any execution.
    """
    attributes = span.attributes or {}
    exec_id = attributes.get(EXEC_ID)
    if exec_id and (NODE_ID in attributes or TYPE in attributes):
        return text(exec_id)
    around = ids_in(parent_context)
    if not exec_id:
        if around is None:
            return None
        span.set_attribute(EXEC_ID, around.exec_id)
    if around is None or (exec_id and around.exec_id != exec_id):
        if span.context.span_id != root_span_id_of(text(exec_id)):
            span.set_attribute(NODE_ID, SYSTEM_NODE)
        return text(exec_id)
    if NODE_ID not in attributes:
        span.set_attribute(NODE_ID, around.node_id or SYSTEM_NODE)
        if around.node_type is not None:
            span.set_attribute(NODE_TYPE, around.node_type)
        if around.iteration is not None:
            span.set_attribute(ITERATION, around.iteration)
    return around.exec_id


def record_of(span: ReadableSpan) -> SpanRecord | None:
    """Return the plain values of a span; None if it belongs to no execution.

    An open span's end is its start.
    """
    if isinstance(span, LeanSpan):
        return _record_of_lean(span)
    attributes = span.attributes
    context = span.get_span_context()
    if not attributes or context is None or not attributes.get(EXEC_ID):
        return None
    start_ns = span.start_time or 0
    node_id = attributes.get(NODE_ID)
    node_type = attributes.get(NODE_TYPE)
    type_, name = _type_of(attributes, context.span_id), text(span.name)
    if type_ == EXECUTION:
        name = name_of_execution(name, text(attributes[EXEC_ID]))
    return SpanRecord(
        span_id=context.span_id,
        parent_id=span.parent.span_id if span.parent is not None else None,
        type=type_,
        name=name,
        node_id=text(node_id) if node_id is not None else None,
        node_type=text(node_type) if node_type is not None else None,
        start_ns=start_ns,
        end_ns=max(start_ns, span.end_time or start_ns),
        status=status_of(span),
    )


def _record_of_lean(span: LeanSpan) -> SpanRecord | None:
    if span._exec_id is None:
        return None
    start_ns = span._start_time or 0
    end_ns = span._end_time or start_ns
    details, name = span._node_details, span._name
    if span._span_type == EXECUTION:
        name = name_of_execution(name, span._exec_id)
    return SpanRecord(
        span._span_id,
        span._parent_id,
        span._span_type,
        name,
        span._node_id,
        details[0] if details is not None else None,
        start_ns,
        end_ns if end_ns > start_ns else start_ns,
        span.outcome(),
    )


def metadata_of(attributes: Any) -> dict[str, Any]:
    """Return the attributes of a span that are its metadata."""
    if len(attributes) <= 2:  # exec_id and node_id, as on most spans
        return {}
    return {key: value for key, value in attributes.items() if key not in RESERVED}


def status_of(span: ReadableSpan) -> Status:
    """Return how a span's work ended."""
    if span.status.status_code is StatusCode.ERROR:
        return "error"
    return "cancelled" if (span.attributes or {}).get(CANCELLED) else "ok"


def _type_of(attributes: Any, span_id: int) -> SpanType:
    declared = attributes.get(TYPE)
    if declared == NODE:
        return NODE
    if declared == EXECUTION or (
        declared is None
        and NODE_ID not in attributes
        and span_id == root_span_id_of(text(attributes[EXEC_ID]))
    ):
        return EXECUTION
    return PHASE
