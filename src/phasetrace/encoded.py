"""Spans as they are stored and sent, each encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from phasetrace import faults, redaction
from phasetrace.names import EXEC_ID, NODE_ID
from phasetrace.redaction import Redaction
from phasetrace.span import Origin, Span
from phasetrace.wire import (
    EncodedSpan,
    encode,
    encode_plain,
    encode_resource,
    encode_scope,
    encode_span,
    plain_end,
)

_SHORT: Final = 1_024
"""No limit on the length of a value is smaller where one has not been looked at."""
_MAX_ENDS: Final = 4_096
_MAX_LENGTH_OF_IDS: Final = 256

_UNSET: Final = Span._status
_INTERNAL: Final = SpanKind.INTERNAL

_ends: dict[tuple[str, str, int], bytes] = {}
"""How the messages of a node end; see `phasetrace.wire.values` on such tables."""


def encoded(spans: Sequence[ReadableSpan]) -> list[EncodedSpan | None]:
    """Return finished spans as OTLP messages, in order; None for one that cannot be encoded.

    A span of our own is encoded by whoever needs that first, and keeps the result. Never raises.
    """
    results: list[EncodedSpan | None] = []
    for span in spans:
        if not isinstance(span, Span):
            results += encode([span])
            continue
        try:
            belonging = belonging_of(span._origin)
            results.append(tuple.__new__(EncodedSpan, (message_of(span), *belonging)))
        except Exception as error:
            faults.report("encoding a span", error)
            results.append(None)
    return results


def message_of(span: Span) -> bytes:
    """Return the OTLP message of a finished span of our own, which keeps it.

    Raises:
        Exception: when the span lacks what a span must have.
    """
    message = span._wire
    if message is None:
        message = _plain_message(span) or _message(span)
        if len(message) > _SHORT and span._bounded is None and span.exceeds_limits():
            _ = span.attributes  # made now, and cut
            message = _message(span)
        span._wire = message
    return message


def belonging_of(origin: Origin) -> tuple[bytes, str, bytes, str]:
    """Return the resource and the scope of a tracer's spans, each with its schema URL."""
    known, policy = origin.encoded, redaction.in_force()
    return known[1] if known is not None and known[0] is policy else _encode_origin(origin, policy)


def _plain_message(span: Span) -> bytes | None:
    """Return the message of a span that has no more to it than most have; None for another one."""
    exec_id, node_id, attributes = span._exec_id, span._node_id, span._plain
    if (
        exec_id is None
        or node_id is None
        or not (span._is_plain or is_as_plain(span))
        or (attributes is not None and (EXEC_ID in attributes or NODE_ID in attributes))
    ):
        return None
    flags = span._flags
    return encode_plain(
        span._trace_id,
        span._span_id,
        span._parent_id,
        span._name,
        span._start_time,
        span._end_time,
        attributes,
        _ends.get((exec_id, node_id, flags)) or _end(exec_id, node_id, flags),
    )


def is_as_plain(span: Span) -> bool:
    """Tell of a span that was not made as a plain one whether it is like one."""
    return (
        span._node_details is None
        and span._bounded is None
        and span._status is _UNSET
        and span._event_list is None
        and span._link_list is None
        and span._parent_given is None
        and span._trace_state is None
        and span._kind is _INTERNAL
        and type(span._name) is str
    )


def _end(exec_id: str, node_id: str, flags: int) -> bytes:
    end = plain_end({EXEC_ID: exec_id, NODE_ID: node_id}, flags)
    if len(end) <= _MAX_LENGTH_OF_IDS:
        if len(_ends) >= _MAX_ENDS:
            _ends.clear()
        _ends[exec_id, node_id, flags] = end
    return end


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
        if span._kept is not None:
            for name, value in span._kept.items():
                attributes.setdefault(name, value)
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


def _encode_origin(origin: Origin, policy: Redaction) -> tuple[bytes, str, bytes, str]:
    """Return the resource and scope of a tracer's spans, and keep it."""
    scope = origin.scope
    belonging = (
        encode_resource(origin.resource),
        origin.resource.schema_url or "",
        encode_scope(scope),
        (scope.schema_url or "") if scope is not None else "",
    )
    origin.encoded = policy, belonging
    return belonging
