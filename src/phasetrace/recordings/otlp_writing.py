"""Spans, resources and scopes as protobuf messages, from OTLP's JSON.

The inverse of `phasetrace.recordings.otlp_messages`, for whatever `phasetrace.recordings.otlp_json`
takes for a span: what comes from elsewhere is stored as if it had been recorded here, and written
again in the one form that the specification gives.

Numbers that a field has no room for become the nearest that it has; fields that are not known, as a
later version of OTLP may have, are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from phasetrace.protobuf.writing import (
    EIGHT_BYTES,
    FOUR_BYTES,
    VARINT,
    delimited,
    tag,
    varint,
)
from phasetrace.recordings.json_values import (
    MalformedJson,
    attributes_of,
    field,
    id_of,
    integer,
    message_in,
    messages,
    shown,
    text_of,
)

_MAX_LEVELS: Final = 100
"""Mappings and sequences within each other, as in `phasetrace.recordings.otlp_messages`."""
_MAX_UINT32: Final = 2**32 - 1
_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1
_UINT64: Final = 2**64

_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_CODES: Final = ("UNSET", "OK", "ERROR")

_four_bytes = struct.Struct("<I").pack
_eight_bytes = struct.Struct("<Q").pack
_double = struct.Struct("<d").pack


def span_message(span: Mapping[str, Any]) -> bytes:
    """Return the ``Span`` message of a span in JSON.

    Raises:
        MalformedJson: if something in it is not what OTLP has there.
    """
    status = message_in(span, "status")
    code = _enumerated(status.get("code"), "STATUS_CODE_", _CODES)
    said = delimited(2, _utf8(status.get("message"))) if status.get("message") else b""
    return b"".join(
        (
            _id(1, field(span, "traceId", "trace_id"), 16, "traceId"),
            _id(2, field(span, "spanId", "span_id"), 8, "spanId"),
            _text(3, field(span, "traceState", "trace_state")),
            _id(4, field(span, "parentSpanId", "parent_span_id"), 8, "parentSpanId"),
            _text(5, span.get("name")),
            _varint(6, _enumerated(span.get("kind"), "SPAN_KIND_", _KINDS)),
            _time(7, field(span, "startTimeUnixNano", "start_time_unix_nano")),
            _time(8, field(span, "endTimeUnixNano", "end_time_unix_nano")),
            *(delimited(9, pair) for pair in _attributes(span)),
            _count(10, span, "droppedAttributesCount", "dropped_attributes_count"),
            *(delimited(11, _event(event)) for event in messages(span, "events", "events")),
            _count(12, span, "droppedEventsCount", "dropped_events_count"),
            *(delimited(13, _link(link)) for link in messages(span, "links", "links")),
            _count(14, span, "droppedLinksCount", "dropped_links_count"),
            delimited(15, said + _varint(3, code)) if said or code else b"",
            _flags(16, span),
        )
    )


def resource_message(resource: Mapping[str, Any]) -> bytes:
    """Return the ``Resource`` message of a resource in JSON.

    Raises:
        MalformedJson: if something in it is not what OTLP has there.
    """
    return b"".join(
        (
            *(delimited(1, pair) for pair in _attributes(resource)),
            _count(2, resource, "droppedAttributesCount", "dropped_attributes_count"),
            *(
                delimited(3, _entity(entity))
                for entity in messages(resource, "entityRefs", "entity_refs")
            ),
        )
    )


def scope_message(scope: Mapping[str, Any]) -> bytes:
    """Return the ``InstrumentationScope`` message of a scope in JSON.

    Raises:
        MalformedJson: if something in it is not what OTLP has there.
    """
    return b"".join(
        (
            _text(1, scope.get("name")),
            _text(2, scope.get("version")),
            *(delimited(3, pair) for pair in _attributes(scope)),
            _count(4, scope, "droppedAttributesCount", "dropped_attributes_count"),
        )
    )


def _entity(entity: Mapping[str, Any]) -> bytes:
    return b"".join(
        (
            _text(1, field(entity, "schemaUrl", "schema_url")),
            _text(2, entity.get("type")),
            *(delimited(3, key) for key in _texts(entity, "idKeys", "id_keys")),
            *(delimited(4, key) for key in _texts(entity, "descriptionKeys", "description_keys")),
        )
    )


def _event(event: Mapping[str, Any]) -> bytes:
    return b"".join(
        (
            _time(1, field(event, "timeUnixNano", "time_unix_nano")),
            _text(2, event.get("name")),
            *(delimited(3, pair) for pair in _attributes(event)),
            _count(4, event, "droppedAttributesCount", "dropped_attributes_count"),
        )
    )


def _link(link: Mapping[str, Any]) -> bytes:
    return b"".join(
        (
            _id(1, field(link, "traceId", "trace_id"), 16, "traceId"),
            _id(2, field(link, "spanId", "span_id"), 8, "spanId"),
            _text(3, field(link, "traceState", "trace_state")),
            *(delimited(4, pair) for pair in _attributes(link)),
            _count(5, link, "droppedAttributesCount", "dropped_attributes_count"),
            _flags(6, link),
        )
    )


def _attributes(message: Mapping[str, Any]) -> list[bytes]:
    return _pairs(attributes_of(message), _MAX_LEVELS)


def _pairs(mapping: Mapping[str, Any], levels: int) -> list[bytes]:
    return [
        delimited(1, key.encode()) + delimited(2, _value(value, levels))
        for key, value in mapping.items()
    ]


def _value(value: Any, levels: int) -> bytes:
    """Return the ``AnyValue`` of a value as `attributes_of` has it."""
    if not levels:
        raise MalformedJson(f"values nest deeper than {_MAX_LEVELS} levels")
    kind = type(value)
    if kind is str:
        return delimited(1, value.encode())
    if kind is bool:
        return tag(2, VARINT) + varint(value)
    if kind is int:
        return tag(3, VARINT) + varint(min(max(value, _MIN_INT64), _MAX_INT64) % _UINT64)
    if kind is float:
        return tag(4, EIGHT_BYTES) + _double(value)
    if kind is tuple:
        items = b"".join(delimited(1, _value(item, levels - 1)) for item in value)
        return delimited(5, items)
    if kind is dict:
        return delimited(6, b"".join(delimited(1, pair) for pair in _pairs(value, levels - 1)))
    if kind is bytes:
        return delimited(7, value)
    return b""  # nothing was said, or in a way that is not known


def _id(number: int, value: Any, size: int, name: str) -> bytes:
    known = id_of(value, size, name)
    return delimited(number, known.to_bytes(size, "big")) if known else b""


def _text(number: int, value: Any) -> bytes:
    return delimited(number, _utf8(value)) if value not in (None, "") else b""


def _texts(message: Mapping[str, Any], name: str, in_proto: str) -> list[bytes]:
    value = field(message, name, in_proto)
    if value is None:
        return []
    if type(value) is not list:
        raise MalformedJson(f"{name} is {shown(value)} and no list of strings")
    return list(map(_utf8, value))


def _utf8(value: Any) -> bytes:
    return text_of(value).encode()


def _time(number: int, value: Any) -> bytes:
    time_ns = min(max(integer(value, "a time"), 0), _UINT64 - 1)
    return tag(number, EIGHT_BYTES) + _eight_bytes(time_ns) if time_ns else b""


def _count(number: int, message: Mapping[str, Any], name: str, in_proto: str) -> bytes:
    count = integer(field(message, name, in_proto), name)
    return _varint(number, min(max(count, 0), _MAX_UINT32))


def _flags(number: int, message: Mapping[str, Any]) -> bytes:
    flags = integer(message.get("flags"), "flags") & _MAX_UINT32
    return tag(number, FOUR_BYTES) + _four_bytes(flags) if flags else b""


def _varint(number: int, value: int) -> bytes:
    return tag(number, VARINT) + varint(value) if value else b""


def _enumerated(value: Any, prefix: str, names: tuple[str, ...]) -> int:
    """Return the number of an enumeration's member, which may be given by name; 0 for others."""
    if type(value) is str and not value.isdecimal():
        name = value.upper().removeprefix(prefix)
        return names.index(name) if name in names else 0
    number = integer(value, prefix.lower().rstrip("_"))
    return number if 0 <= number < len(names) else 0
