"""Spans, resources and scopes, each written as its own OTLP message.

Source: opentelemetry/proto/trace/v1/trace.proto, in opentelemetry-proto 1.x. A message is the one
that the official encoder makes (`opentelemetry.exporter.otlp.proto.common.trace_encoder`); but that
takes ten times as long, and leaves out what protobuf cannot carry, for which the nearest that it
can is written here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.span import DEFAULT_TRACE_STATE, TraceState

from phasetrace import redaction
from phasetrace.attributes import text
from phasetrace.protobuf.writing import (
    DELIMITED,
    EIGHT_BYTES,
    FOUR_BYTES,
    VARINT,
    delimited,
    tag,
    varint,
)
from phasetrace.redaction import Redaction
from phasetrace.wire.values import append_attributes, keep, name_of, utf8

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

HAS_IS_REMOTE: Final = 0x100
"""In ``flags``: the message says whether the parent, or the linked span, is remote."""
IS_REMOTE: Final = 0x200

_MAX_UINT32: Final = 2**32 - 1
_MAX_UINT64: Final = 2**64 - 1

_four_bytes = struct.Struct("<I").pack
_eight_bytes = struct.Struct("<Q").pack

_TRACE_ID: Final = tag(1, DELIMITED) + varint(16)
_SPAN_ID: Final = tag(2, DELIMITED) + varint(8)
_PARENT_ID: Final = tag(4, DELIMITED) + varint(8)
_START: Final = tag(7, EIGHT_BYTES)
_END: Final = tag(8, EIGHT_BYTES)
_ATTRIBUTE: Final = tag(9, DELIMITED)
_FLAGS: Final = tag(16, FOUR_BYTES)

_ids = struct.Struct(">2s16s2sQ").pack
_ids_with_parent = struct.Struct(">2s16s2sQ2sQ").pack
_times = struct.Struct("<cQcQ").pack
_plain_ids = struct.Struct(">20sQ").pack
_plain_ids_with_parent = struct.Struct(">20sQ2sQ").pack

# PERF: compared by identity, because the hash of an enumeration's member is a Python function.
_INTERNAL: Final = SpanKind.INTERNAL
_UNSET: Final = StatusCode.UNSET

_KINDS: Final = {kind: tag(6, VARINT) + varint(kind.value + 1) for kind in SpanKind}
_UNSET_STATUS: Final = delimited(15, b"")
_PLAIN_END: Final = _UNSET_STATUS + _FLAGS + _four_bytes(HAS_IS_REMOTE)

_names: dict[str, bytes]
"""The name and the kind of internal spans; see `phasetrace.wire.values` on such tables."""
_heads: dict[int, bytes] = {}
"""Trace ids with what stands around them."""
_MAX_HEADS: Final = 1_024


def encode_span(
    trace_id: int,
    span_id: int,
    parent_id: int | None,
    parent_is_remote: bool,
    trace_state: TraceState | None,
    name: str,
    kind: SpanKind,
    start_ns: int | None,
    end_ns: int | None,
    attributes: Mapping[str, Any] | None,
    dropped_attributes: int = 0,
    events: Sequence[Event] = (),
    dropped_events: int = 0,
    links: Sequence[Link] = (),
    dropped_links: int = 0,
    status: Status | None = None,
    trace_flags: int = 0,
) -> bytes:
    """Return a ``Span`` message. Times are Unix nanoseconds.

    `trace_flags` are those of W3C (sampled, random). OTLP has room for them, but the official
    encoder does not write them, and neither does this one if they are 0.

    Raises:
        Exception: for ids, a kind, events or links that are none. Names and attributes may be
            anything; times and counts out of range become the nearest.
    """
    # PERF: 1.2 µs with four attributes. Where values come again, they are looked up instead of
    # written; what most spans are without is asked for once, all together.
    trace = trace_id.to_bytes(16, "big")
    if parent_id is None:
        ids = _ids(_TRACE_ID, trace, _SPAN_ID, span_id)
    else:
        ids = _ids_with_parent(_TRACE_ID, trace, _SPAN_ID, span_id, _PARENT_ID, parent_id)
    name_and_kind = _names.get(name) if kind is _INTERNAL and type(name) is str else None
    if name_and_kind is None:
        name_and_kind = _name_and_kind(name, kind)
    try:
        times = _times(_START, start_ns, _END, end_ns)
    except struct.error:  # None, or out of range
        times = _time(7, start_ns) + _time(8, end_ns)
    fields = [ids + name_and_kind + times]
    if attributes:
        append_attributes(fields, attributes)
    message = _ATTRIBUTE.join(fields)
    if dropped_attributes or events or dropped_events or links or dropped_links:
        message += b"".join(
            (
                _count(10, dropped_attributes),
                *(delimited(11, _event(event)) for event in events),
                _count(12, dropped_events),
                *(delimited(13, _link(link)) for link in links),
                _count(14, dropped_links),
            )
        )
    if trace_state is not DEFAULT_TRACE_STATE and trace_state:
        message += _trace_state(trace_state)
    if parent_is_remote or trace_flags or (status is not None and status.status_code is not _UNSET):
        return message + _status(status) + _FLAGS + _flags(parent_is_remote, trace_flags)
    return message + _PLAIN_END


def encode_plain(
    trace_id: int,
    span_id: int,
    parent_id: int | None,
    name: str,
    start_ns: int | None,
    end_ns: int | None,
    attributes: Mapping[str, Any] | None,
    end: bytes,
) -> bytes:
    """Return the ``Span`` message of a span that has no more to it than most have.

    It is internal, its name is of ``str`` itself, and after its attributes comes `end`, as
    `plain_end` returns it.

    Raises:
        Exception: for ids that are none.
    """
    # PERF: half the time that `encode_span` takes: what is the same in many spans is looked up in
    # as few pieces as can be, and nothing is asked for that they are without.
    head = _heads.get(trace_id)
    if head is None:
        head = _head(trace_id)
    if parent_id is None:
        ids = _plain_ids(head, span_id)
    else:
        ids = _plain_ids_with_parent(head, span_id, _PARENT_ID, parent_id)
    try:
        times = _times(_START, start_ns, _END, end_ns)
    except struct.error:  # None, or out of range
        times = _time(7, start_ns) + _time(8, end_ns)
    fields = [ids + (_names.get(name) or _name_and_kind(name, _INTERNAL)) + times]
    if attributes:
        append_attributes(fields, attributes)
    fields.append(end)
    return _ATTRIBUTE.join(fields)


def plain_end(attributes: Mapping[str, Any], trace_flags: int) -> bytes:
    """Return what a message of `encode_plain` ends with: more attributes, at least one, and flags.

    It is without the tag in front.
    """
    fields: list[bytes] = []
    append_attributes(fields, attributes)
    return _ATTRIBUTE.join(fields) + _UNSET_STATUS + _FLAGS + _flags(False, trace_flags)


def encode_readable(span: ReadableSpan) -> bytes:
    """Return the ``Span`` message of a span of the SDK's, or of a subclass of its.

    Raises:
        Exception: when it lacks what a span must have.
    """
    if type(span).__module__ == "opentelemetry.sdk.trace":
        try:
            return _encode_stock(span)
        except (AttributeError, TypeError, ValueError):
            pass  # made by hand, or by a release that keeps its fields elsewhere
    context: Any = span.get_span_context()
    parent = span.parent
    return encode_span(
        context.trace_id,
        context.span_id,
        parent.span_id if parent is not None else None,
        parent is not None and parent.is_remote,
        context.trace_state,
        span.name,
        span.kind,
        span.start_time,
        span.end_time,
        span.attributes,
        span.dropped_attributes,
        span.events,
        span.dropped_events,
        span.links,
        span.dropped_links,
        span.status,
    )


def _encode_stock(span: Any) -> bytes:
    """Do the same for the SDK's own classes.

    PERF: their properties take 1 µs in all, nearly as long as the encoding; the fields behind them
    0.2 µs. A subclass is asked properly: what it shows may not be what its fields hold.
    """
    # A SpanContext is a tuple, and its properties take ten times as long as its items.
    trace_id, span_id, _, _, trace_state, _ = span._context
    parent_id, parent_is_remote = None, False
    if span._parent is not None:
        _, parent_id, parent_is_remote, *_ = span._parent
    attributes, events, links = span._attributes, span._events, span._links
    return encode_span(
        trace_id,
        span_id,
        parent_id,
        parent_is_remote,
        trace_state,
        span._name,
        span._kind,
        span._start_time,
        span._end_time,
        attributes.copy(),  # a plain dict; iterating over the SDK's mapping takes 0.8 µs
        attributes.dropped,
        events,
        events.dropped,
        links,
        links.dropped,
        span._status,
    )


def encode_resource(resource: Resource) -> bytes:
    """Return the ``Resource`` message. A request has the schema URL beside it, not in it."""
    return _attributes(1, resource.attributes)


def encode_scope(scope: InstrumentationScope | None) -> bytes:
    """Return the ``InstrumentationScope`` message, which is empty where there is no scope."""
    if scope is None:
        return b""
    return _text(1, scope.name) + _text(2, scope.version) + _attributes(3, scope.attributes)


def _event(event: Event) -> bytes:
    return b"".join(
        (
            _time(1, event.timestamp),
            _text(2, name_of(event.name, redaction.current)),
            _attributes(3, event.attributes),
            _count(4, event.dropped_attributes),
        )
    )


def _link(link: Link) -> bytes:
    context = link.context
    return b"".join(
        (
            _ids(_TRACE_ID, context.trace_id.to_bytes(16, "big"), _SPAN_ID, context.span_id),
            _attributes(4, link.attributes),
            _count(5, link.dropped_attributes),
            tag(6, FOUR_BYTES) + _flags(context.is_remote, 0),
        )
    )


def _status(status: Status | None) -> bytes:
    if status is None or status.status_code is _UNSET:
        return _UNSET_STATUS
    code = tag(3, VARINT) + varint(status.status_code.value)
    description = status.description
    if description is not None:
        description = redaction.current.text(text(description))
    return delimited(15, _text(2, description) + code)


def _flags(is_remote: bool, trace_flags: int) -> bytes:
    return _four_bytes(HAS_IS_REMOTE | (IS_REMOTE if is_remote else 0) | trace_flags & 0xFF)


def _head(trace_id: int) -> bytes:
    """Return the field of the trace id, and the tag and length of the span's id."""
    if len(_heads) >= _MAX_HEADS:
        _heads.clear()
    head = _heads[trace_id] = _TRACE_ID + trace_id.to_bytes(16, "big") + _SPAN_ID
    return head


def _name_and_kind(name: str, kind: SpanKind) -> bytes:
    policy = redaction.current
    written = _text(5, name_of(name, policy)) + _KINDS[kind]
    return keep(policy.names_and_kinds, name, name, written) if kind is _INTERNAL else written


def _trace_state(trace_state: TraceState) -> bytes:
    return _text(3, ",".join(f"{key}={value}" for key, value in trace_state.items()))


def _attributes(field: int, attributes: Mapping[str, Any] | None) -> bytes:
    fields = [b""]
    if attributes:
        append_attributes(fields, attributes)
    return tag(field, DELIMITED).join(fields)


# What is absent, empty or 0 has no field.


def _text(field: int, value: str | None) -> bytes:
    data = utf8(value) if value is not None else b""
    return delimited(field, data) if data else b""


def _time(field: int, time_ns: int | None) -> bytes:
    nearest = int(min(max(time_ns or 0, 0), _MAX_UINT64))
    return tag(field, EIGHT_BYTES) + _eight_bytes(nearest) if nearest else b""


def _count(field: int, number: int) -> bytes:
    nearest = min(max(number, 0), _MAX_UINT32)
    return tag(field, VARINT) + varint(nearest) if nearest else b""


def _follow(policy: Redaction) -> None:
    global _names
    _names = policy.names_and_kinds


redaction.on_change(_follow)
