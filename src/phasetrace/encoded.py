"""Spans as they are stored and sent, each encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace import faults
from phasetrace.context import EXEC_ID, NODE_ID
from phasetrace.span import Origin, Span
from phasetrace.wire import EncodedSpan, encode, encode_resource, encode_scope, encode_span

_SHORT: Final = 1_024
"""No limit on the length of a value is smaller where one has not been looked at."""


def encoded(spans: Sequence[ReadableSpan]) -> list[EncodedSpan | None]:
    """Return finished spans as OTLP messages, in order; None for one that cannot be encoded.

    A span of our own is encoded by whoever needs that first, and keeps the result. Never raises.
    """
    results: list[EncodedSpan | None] = []
    for span in spans:
        if not isinstance(span, Span):
            results += encode([span])
            continue
        if span._wire is None:
            try:
                span._wire = _encode(span)
            except Exception as error:
                faults.report("encoding a span", error)
        results.append(span._wire)
    return results


def _encode(span: Span) -> EncodedSpan:
    message = _message(span)
    if len(message) > _SHORT and span._bounded is None and span.exceeds_limits():
        _ = span.attributes  # made now, and cut
        message = _message(span)
    origin = span._origin
    return tuple.__new__(EncodedSpan, (message, *(origin.encoded or _encode_origin(origin))))


def _message(span: Span) -> bytes:
    bounded = span._bounded
    if bounded is None:
        attributes: dict[str, Any] = span._plain.copy() if span._plain is not None else {}
    else:
        attributes = cast("dict[str, Any]", bounded.copy())
    if span._exec_id is not None:
        if span._node_details is None and span._node_id is not None:
            # PERF: what `ids` gives, for nearly all spans.
            attributes.setdefault(EXEC_ID, span._exec_id)
            attributes.setdefault(NODE_ID, span._node_id)
        else:
            attributes = {**span.ids(), **attributes}
    parent = span._parent_given
    events, links = span._event_list, span._link_list
    return encode_span(
        span._trace_id,
        span._span_id,
        span._parent_id,
        parent is not None and parent.is_remote,
        span._trace_state,
        span._name,
        span._kind,
        span._start_time,
        span._end_time,
        attributes,
        bounded.dropped if bounded is not None else 0,
        events if events is not None else (),
        events.dropped if events is not None else 0,
        links if links is not None else (),
        links.dropped if links is not None else 0,
        span._status,
        # The bits are OTLP's for the flags of W3C; they tell what is not to be exported.
        span._flags,
    )


def _encode_origin(origin: Origin) -> tuple[bytes, str, bytes, str]:
    """Return the resource and scope of a tracer's spans, and keep it."""
    scope = origin.scope
    origin.encoded = (
        encode_resource(origin.resource),
        origin.resource.schema_url or "",
        encode_scope(scope),
        (scope.schema_url or "") if scope is not None else "",
    )
    return origin.encoded
