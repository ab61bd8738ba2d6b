"""Spans, resources and scopes, read back from their OTLP messages.

Everything that a message holds is restored. What the official encoder does not put into one (and
`phasetrace.wire.encoding` neither) cannot be: the trace state and the flags of a parent and of a
linked span, and whether what is absent was None, 0 or empty. Fields that are not known, as a later
version of OTLP may have, are passed over.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.span import TraceFlags, TraceState

from phasetrace.attributes import NESTED_VALUES, faithful
from phasetrace.protobuf.reading import MalformedMessage, Message, read_fields, read_text
from phasetrace.protobuf.writing import DELIMITED, EIGHT_BYTES, VARINT
from phasetrace.wire.encoding import IS_REMOTE

_MAX_LEVELS: Final = 100
"""Mappings and sequences within each other: what any sender writes, and Python's stack holds."""

# The tags of an ``AnyValue``, all but one of whose fields are absent.
_STRING: Final = 1 << 3 | DELIMITED
_BOOL: Final = 2 << 3 | VARINT
_INT: Final = 3 << 3 | VARINT
_DOUBLE: Final = 4 << 3 | EIGHT_BYTES
_ARRAY: Final = 5 << 3 | DELIMITED
_MAPPING: Final = 6 << 3 | DELIMITED
_BYTES: Final = 7 << 3 | DELIMITED

_KINDS: Final = {kind.value + 1: kind for kind in SpanKind}
_STATUS_CODES: Final = {code.value: code for code in StatusCode}
_double = struct.Struct("<d").unpack


def decode_span(
    message: bytes,
    resource: Resource,
    scope: InstrumentationScope | None,
    trace_flags: int = 0,
) -> ReadableSpan:
    """Return the span of a ``Span`` message, as the SDK would hand it to an exporter.

    `trace_flags` are added to those in the message, where the official encoder puts none.

    Raises:
        MalformedMessage: when the bytes are no span.
    """
    span = Message(message)
    trace_id, flags = _id(span, 1, 16), span.fixed32(16)
    parent = None
    if span.data(4):
        parent = SpanContext(trace_id, _id(span, 4, 8), is_remote=bool(flags & IS_REMOTE))
    return ReadableSpan(
        name=span.text(5),
        context=SpanContext(
            trace_id,
            _id(span, 2, 8),
            is_remote=False,
            trace_flags=TraceFlags(flags & 0xFF | trace_flags),
            trace_state=_trace_state(span.text(3)),
        ),
        parent=parent,
        resource=resource,
        attributes=_Attributes(span.messages(9), span.number(10)),
        events=_bounded([_event(event) for event in span.messages(11)], span.number(12)),
        links=_bounded([_link(link) for link in span.messages(13)], span.number(14)),
        kind=_KINDS.get(span.number(6), SpanKind.INTERNAL),
        status=_status(Message(span.data(15))),
        start_time=span.fixed64(7),
        end_time=span.fixed64(8),
        instrumentation_scope=scope,
    )


def decode_resource(message: bytes, schema_url: str = "") -> Resource:
    """Return the resource of a ``Resource`` message.

    Raises:
        MalformedMessage: when the bytes are no resource.
    """
    return Resource(_accepted(Message(message).messages(1)), schema_url)


def decode_scope(message: bytes, schema_url: str = "") -> InstrumentationScope:
    """Return the scope of an ``InstrumentationScope`` message; without a name if that is empty.

    Raises:
        MalformedMessage: when the bytes are no scope.
    """
    scope = Message(message)
    return InstrumentationScope(
        scope.text(1), scope.text(2) or None, schema_url, _accepted(scope.messages(3))
    )


class _Attributes(BoundedAttributes):
    """Attributes as they were read; the SDK's own would clean them, to what its release allows."""

    def __init__(self, pairs: list[bytes], dropped: int) -> None:
        super().__init__(immutable=False)
        self._dict = _mapping(pairs, _MAX_LEVELS)
        self.dropped = dropped
        self._immutable = True


def _event(message: bytes) -> Event:
    event = Message(message)
    attributes = _Attributes(event.messages(3), event.number(4))
    return Event(event.text(2), attributes, event.fixed64(1))


def _link(message: bytes) -> Link:
    link = Message(message)
    flags = link.fixed32(6)
    context = SpanContext(
        _id(link, 1, 16),
        _id(link, 2, 8),
        is_remote=bool(flags & IS_REMOTE),
        trace_flags=TraceFlags(flags & 0xFF),
        trace_state=_trace_state(link.text(3)),
    )
    return Link(context, _Attributes(link.messages(4), link.number(5)))


def _status(status: Message) -> Status:
    code = _STATUS_CODES.get(status.number(3), StatusCode.UNSET)
    description = status.text(2)
    return Status(code, description or None if code is StatusCode.ERROR else None)


def _id(message: Message, field: int, length: int) -> int:
    data = message.data(field)
    if len(data) != length:
        raise MalformedMessage(f"field {field}: an id of {len(data)} bytes instead of {length}")
    return int.from_bytes(data, "big")


def _trace_state(header: str) -> TraceState | None:
    if not header:
        return None
    # Not `TraceState.from_header`, which cuts spaces that belong to a value.
    entries = [member.partition("=") for member in header.split(",")]
    return TraceState([(key, value) for key, _, value in entries])


def _bounded(items: list[Any], dropped: int) -> BoundedList[Any]:
    bounded: BoundedList[Any] = BoundedList(None)
    bounded.extend(items)
    bounded.dropped = dropped
    return bounded


def _accepted(pairs: list[bytes]) -> dict[str, Any]:
    """Return attributes that a resource or a scope takes; older ones do not take nested values."""
    attributes = _mapping(pairs, _MAX_LEVELS)
    if NESTED_VALUES:
        return attributes
    return {key: faithful(value) for key, value in attributes.items()}


def _mapping(pairs: list[bytes], levels: int) -> dict[str, Any]:
    """Return what some ``KeyValue`` messages say."""
    mapping = {}
    for pair in map(Message, pairs):
        mapping[pair.text(1)] = _value(pair.data(2), levels)
    return mapping


def _value(message: bytes, levels: int) -> Any:
    """Return the value of an ``AnyValue``; None also for one of an unknown kind."""
    if not levels:
        raise MalformedMessage(f"values nest deeper than {_MAX_LEVELS} levels")
    value: Any = None
    for tag, data in read_fields(message):
        if tag == _STRING:
            value = read_text(data)
        elif tag == _BOOL:
            value = bool(data)
        elif tag == _INT:
            value = data - 2**64 if data >= 2**63 else data
        elif tag == _DOUBLE:
            (value,) = _double(data.to_bytes(8, "little"))
        elif tag == _ARRAY:
            value = tuple(_value(item, levels - 1) for item in Message(data).messages(1))
        elif tag == _MAPPING:
            value = _mapping(Message(data).messages(1), levels - 1)
        elif tag == _BYTES:
            value = data
    return value
