"""Spans, resources and scopes in OTLP's JSON, from their protobuf messages.

Source: opentelemetry/proto/trace/v1/trace.proto, and "JSON Protobuf Encoding" in the OTLP
specification: ids are hex digits, 64-bit integers are strings, enumerations are numbers, and what
has its default value is left out. No OpenTelemetry in here, as `phasetrace export` is a reading
command.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterable
from typing import Any, Final

from phasetrace.protobuf.reading import MalformedMessage, Message, read_fields, read_text
from phasetrace.protobuf.writing import DELIMITED, EIGHT_BYTES, VARINT

_MAX_LEVELS: Final = 100
"""As in `phasetrace.wire.decoding`."""

_STRING: Final = 1 << 3 | DELIMITED
_BOOL: Final = 2 << 3 | VARINT
_INT: Final = 3 << 3 | VARINT
_DOUBLE: Final = 4 << 3 | EIGHT_BYTES
_ARRAY: Final = 5 << 3 | DELIMITED
_MAPPING: Final = 6 << 3 | DELIMITED
_BYTES: Final = 7 << 3 | DELIMITED
_double = struct.Struct("<d").unpack


def traces_json(spans: Iterable[tuple[bytes, bytes, str, bytes, str]]) -> dict[str, Any]:
    """Return the ``TracesData`` of spans, each with what it belongs under.

    That is the message of a span, of its resource with its schema URL, and of its scope with its
    own. Resources, scopes and spans come in the order in which they came first.

    Raises:
        MalformedMessage: when some bytes are not what they are taken for.
    """
    groups: dict[tuple[bytes, str], dict[tuple[bytes, str], list[dict[str, Any]]]] = {}
    for span, resource, resource_url, scope, scope_url in spans:
        scopes = groups.setdefault((resource, resource_url), {})
        scopes.setdefault((scope, scope_url), []).append(span_json(span))
    return {
        "resourceSpans": [
            _with_url(
                url,
                resource=resource_json(resource),
                scopeSpans=[
                    _with_url(scope_url, scope=scope_json(scope), spans=of_scope)
                    for (scope, scope_url), of_scope in scopes.items()
                ],
            )
            for (resource, url), scopes in groups.items()
        ]
    }


def span_json(message: bytes) -> dict[str, Any]:
    """Return the JSON of a ``Span`` message.

    Raises:
        MalformedMessage: when the bytes are no span.
    """
    span = Message(message)
    status = Message(span.data(15))
    return _without_defaults(
        {
            "traceId": span.data(1).hex(),
            "spanId": span.data(2).hex(),
            "traceState": span.text(3),
            "parentSpanId": span.data(4).hex(),
            "flags": span.fixed32(16),
            "name": span.text(5),
            "kind": span.number(6),
            "startTimeUnixNano": _number(span.fixed64(7)),
            "endTimeUnixNano": _number(span.fixed64(8)),
            "attributes": _attributes(span.messages(9)),
            "droppedAttributesCount": span.number(10),
            "events": [_event(event) for event in span.messages(11)],
            "droppedEventsCount": span.number(12),
            "links": [_link(link) for link in span.messages(13)],
            "droppedLinksCount": span.number(14),
            "status": _without_defaults({"message": status.text(2), "code": status.number(3)}),
        }
    )


def resource_json(message: bytes) -> dict[str, Any]:
    """Return the JSON of a ``Resource`` message.

    Raises:
        MalformedMessage: when the bytes are no resource.
    """
    resource = Message(message)
    return _without_defaults(
        {
            "attributes": _attributes(resource.messages(1)),
            "droppedAttributesCount": resource.number(2),
            "entityRefs": [_entity(entity) for entity in resource.messages(3)],
        }
    )


def scope_json(message: bytes) -> dict[str, Any]:
    """Return the JSON of an ``InstrumentationScope`` message.

    Raises:
        MalformedMessage: when the bytes are no scope.
    """
    scope = Message(message)
    return _without_defaults(
        {
            "name": scope.text(1),
            "version": scope.text(2),
            "attributes": _attributes(scope.messages(3)),
            "droppedAttributesCount": scope.number(4),
        }
    )


def _with_url(url: str, **group: Any) -> dict[str, Any]:
    return {**group, "schemaUrl": url} if url else group


def _entity(message: bytes) -> dict[str, Any]:
    entity = Message(message)
    return _without_defaults(
        {
            "schemaUrl": entity.text(1),
            "type": entity.text(2),
            "idKeys": list(map(read_text, entity.messages(3))),
            "descriptionKeys": list(map(read_text, entity.messages(4))),
        }
    )


def _event(message: bytes) -> dict[str, Any]:
    event = Message(message)
    return _without_defaults(
        {
            "timeUnixNano": _number(event.fixed64(1)),
            "name": event.text(2),
            "attributes": _attributes(event.messages(3)),
            "droppedAttributesCount": event.number(4),
        }
    )


def _link(message: bytes) -> dict[str, Any]:
    link = Message(message)
    return _without_defaults(
        {
            "traceId": link.data(1).hex(),
            "spanId": link.data(2).hex(),
            "traceState": link.text(3),
            "attributes": _attributes(link.messages(4)),
            "droppedAttributesCount": link.number(5),
            "flags": link.fixed32(6),
        }
    )


def _attributes(pairs: list[bytes], levels: int = _MAX_LEVELS) -> list[dict[str, Any]]:
    found = []
    for pair in map(Message, pairs):
        found.append({"key": pair.text(1), "value": _value(pair.data(2), levels)})
    return found


def _value(message: bytes, levels: int) -> dict[str, Any]:
    """Return an ``AnyValue``; an empty one for a kind that is not known."""
    if not levels:
        raise MalformedMessage(f"values nest deeper than {_MAX_LEVELS} levels")
    value: dict[str, Any] = {}
    for tag, data in read_fields(message):
        if tag == _STRING:
            value = {"stringValue": read_text(data)}
        elif tag == _BOOL:
            value = {"boolValue": bool(data)}
        elif tag == _INT:
            value = {"intValue": str(data - 2**64 if data >= 2**63 else data)}
        elif tag == _DOUBLE:
            value = {"doubleValue": _float(_double(data.to_bytes(8, "little"))[0])}
        elif tag == _ARRAY:
            items = [_value(item, levels - 1) for item in Message(data).messages(1)]
            value = {"arrayValue": _without_defaults({"values": items})}
        elif tag == _MAPPING:
            pairs = _attributes(Message(data).messages(1), levels - 1)
            value = {"kvlistValue": _without_defaults({"values": pairs})}
        elif tag == _BYTES:
            value = {"bytesValue": base64.b64encode(data).decode()}
    return value


def _float(number: float) -> float | str:
    """Return a number as JSON has it, which knows no infinities (protobuf's names for them)."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _number(number: int) -> str:
    return str(number) if number else ""


def _without_defaults(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if value or value is False}
