"""Spans of OTLP's JSON, in a form that tells whether two are the same.

For `TracesData` as phasetrace's store gives it, Jaeger's API v3 answers it, and OpenTelemetry's own
classes for protobuf turn it out. What JSON may leave out has its default here, numbers are numbers,
and what has no order has none.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

WARNINGS: Final = "@jaeger@warnings"
"""The attribute in which Jaeger's API v3 makes its remarks; not a part of the span."""
_REMOTE: Final = 0x300


class OtlpSpan(NamedTuple):
    """All there is to a span; times in Unix nanoseconds, ids in hex."""

    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    remote: int
    """The bits that say whether the parent is another process's. Those of W3C are left out, which
    OpenTelemetry's encoder does not write."""
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: tuple[int, str]
    attributes: dict[str, Any]
    events: list[tuple[int, str, dict[str, Any]]]
    links: list[tuple[str, str, dict[str, Any]]]
    dropped: tuple[int, int, int]
    """Attributes, events and links that limits have left out."""
    scope: tuple[str, str, dict[str, Any]]
    resource: dict[str, Any]


def otlp_spans(documents: Iterable[Mapping[str, Any]]) -> list[OtlpSpan]:
    """Return the spans of some `TracesData`, by their ids."""
    found = [
        _span(span, scope_spans.get("scope", {}), resource_spans.get("resource", {}))
        for document in documents
        for resource_spans in document.get("resourceSpans", [])
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans.get("spans", [])
    ]
    return sorted(found, key=lambda span: (span.trace_id, span.span_id))


def plain_json(message: Message) -> dict[str, Any]:
    """Return a `TracesData`, or a request of the same form, as OTLP's JSON has it.

    Which is protobuf's, but for ids in hex and numbers in place of the names of constants (OTLP
    specification, "JSON Protobuf Encoding").
    """
    document: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for resource_spans in document.get("resourceSpans", []):
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for element in (span, *span.get("links", [])):
                    for name in {"traceId", "spanId", "parentSpanId"} & element.keys():
                        element[name] = base64.b64decode(element[name]).hex()
    return document


def attributes_of(element: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span, an event, a link, a scope or a resource, with types."""
    return {
        attribute["key"]: _value(attribute.get("value", {}))
        for attribute in element.get("attributes", [])
        if attribute["key"] != WARNINGS
    }


def plain(value: Any) -> Any:
    """Return a value, as `attributes_of` has it, without its types."""
    if value is None:
        return None
    kind, content = value
    if kind == "arrayValue":
        return [plain(item) for item in content]
    if kind == "kvlistValue":
        return {name: plain(item) for name, item in content.items()}
    return content


def warnings_in(document: Mapping[str, Any]) -> list[Any]:
    """Return the remarks of Jaeger's API v3 about the spans of a `TracesData`."""
    return [
        attribute["value"]
        for resource_spans in document["resourceSpans"]
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans.get("spans", [])
        for attribute in span.get("attributes", [])
        if attribute["key"] == WARNINGS
    ]


def _span(
    span: Mapping[str, Any], scope: Mapping[str, Any], resource: Mapping[str, Any]
) -> OtlpSpan:
    status = span.get("status", {})
    return OtlpSpan(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        trace_state=span.get("traceState", ""),
        remote=span.get("flags", 0) & _REMOTE,
        name=span.get("name", ""),
        kind=span.get("kind", 0),
        start_ns=int(span["startTimeUnixNano"]),
        end_ns=int(span["endTimeUnixNano"]),
        status=(status.get("code", 0), status.get("message", "")),
        attributes=attributes_of(span),
        events=sorted(
            (
                (int(event["timeUnixNano"]), event["name"], attributes_of(event))
                for event in span.get("events", [])
            ),
            key=repr,
        ),
        links=[
            (link["traceId"], link["spanId"], attributes_of(link)) for link in span.get("links", [])
        ],
        dropped=(
            span.get("droppedAttributesCount", 0),
            span.get("droppedEventsCount", 0),
            span.get("droppedLinksCount", 0),
        ),
        scope=(scope.get("name", ""), scope.get("version", ""), attributes_of(scope)),
        resource=attributes_of(resource),
    )


def _value(value: Mapping[str, Any]) -> Any:
    """Return an `AnyValue` as its type and content: 1, 1.0, True and "1" are four values."""
    for kind, content in value.items():
        if kind == "arrayValue":
            return kind, [_value(item) for item in content.get("values", [])]
        if kind == "kvlistValue":
            return kind, {one["key"]: _value(one["value"]) for one in content.get("values", [])}
        return kind, int(content) if kind == "intValue" else content
    return None
