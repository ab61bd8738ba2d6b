"""The JSON that Jaeger's user interface shows and lets download, as OTLP's.

    {"data": [{"traceID": …, "spans": [{"operationName": …, "references": […], "tags": […],
     "logs": […], "processID": "p1", …}], "processes": {"p1": {"serviceName": …, "tags": […]}}}]}

Times are whole microseconds. Sources: model/json in the Jaeger repository, and for what has a place
of its own in OTLP (kind, status, scope, events, links) the translation of OpenTelemetry's Collector
(pkg/translator/jaeger) and "OpenTelemetry to Jaeger Transformation" in its specification. Values
other than the simple ones were made into text by Jaeger, and stay so; not the names of the nodes
that one depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from phasetrace.names import DEPENDS_ON
from phasetrace.recordings.json_values import (
    MalformedJson,
    integer,
    messages,
    shown,
    text_of,
)
from phasetrace.recordings.otlp_json import SERVICE_NAME, WARNINGS, names_of

_KINDS: Final = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_CODES: Final = {"OK": 1, "ERROR": 2}
_SCOPE_NAME: Final = ("otel.scope.name", "otel.library.name")
_SCOPE_VERSION: Final = ("otel.scope.version", "otel.library.version")
_KIND: Final = "span.kind"
_CODE: Final = "otel.status_code"
_DESCRIPTION: Final = "otel.status_description"
_ERROR: Final = "error"
_STATE: Final = "w3c.tracestate"
_MEANT: Final = frozenset({*_SCOPE_NAME, *_SCOPE_VERSION, _KIND, _CODE, _DESCRIPTION, _STATE})
"""Tags that are no attributes in OTLP."""
_VALUES: Final = {
    "bool": "boolValue",
    "int64": "intValue",
    "float64": "doubleValue",
    "binary": "bytesValue",
}
_NS_PER_US: Final = 1_000


def is_jaeger_json(document: Any) -> bool:
    """Tell whether a JSON value has traces in the form of Jaeger's user interface."""
    traces = document.get("data") if type(document) is dict else None
    return (
        type(traces) is list
        and bool(traces)
        and all(type(trace) is dict and "spans" in trace for trace in traces)
    )


def otlp_of_jaeger(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``TracesData`` of the traces in a document.

    Raises:
        MalformedJson: if something in them is not what Jaeger has there.
    """
    groups = []
    for number, trace in enumerate(document["data"]):
        try:
            groups += _resource_spans(trace)
        except MalformedJson as error:
            raise MalformedJson(f"data[{number}].{error}") from None
    return {"resourceSpans": groups}


def _resource_spans(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    processes = trace.get("processes") or {}
    if type(processes) is not dict:
        raise MalformedJson(f"processes is {shown(processes)} and no object")
    found: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for number, span in enumerate(messages(trace, "spans", "spans")):
        try:
            tags = _tags(span, "tags")
            scope = (_first(tags, _SCOPE_NAME), _first(tags, _SCOPE_VERSION))
            scopes = found.setdefault(text_of(span.get("processID") or ""), {})
            scopes.setdefault(scope, []).append(_span(span, tags))
        except MalformedJson as error:
            raise MalformedJson(f"spans[{number}]: {error}") from None
    return [
        {
            "resource": {"attributes": _resource(processes.get(process) or {})},
            "scopeSpans": [
                {"scope": {"name": name, "version": version}, "spans": spans}
                for (name, version), spans in scopes.items()
            ],
        }
        for process, scopes in found.items()
    ]


def _resource(process: Any) -> list[dict[str, Any]]:
    if type(process) is not dict:
        raise MalformedJson(f"a process is {shown(process)} and no object")
    service = text_of(process.get("serviceName") or "")
    named = [{"key": SERVICE_NAME, "value": {"stringValue": service}}] if service else []
    tags = _tags(process, "tags")
    return named + [_attribute(name, tag) for name, tag in tags.items() if name != SERVICE_NAME]


def _span(span: Mapping[str, Any], tags: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    start_us = integer(span.get("startTime"), "startTime")
    end_us = start_us + max(0, integer(span.get("duration"), "duration"))
    trace_id = _padded(span.get("traceID"), 32)
    parent, others = _references(span, trace_id)
    attributes = [_attribute(name, tag) for name, tag in tags.items() if not _is_meant(name, tags)]
    warnings = _texts(span, "warnings")
    if warnings:
        texts = [{"stringValue": one} for one in warnings]
        attributes.append({"key": WARNINGS, "value": {"arrayValue": {"values": texts}}})
    return {
        "traceId": trace_id,
        "spanId": _padded(span.get("spanID"), 16),
        "parentSpanId": parent,
        "traceState": _text(tags, _STATE),
        "name": text_of(span.get("operationName") or ""),
        "kind": _KINDS.get(_text(tags, _KIND).lower(), 0),
        "startTimeUnixNano": str(start_us * _NS_PER_US),
        "endTimeUnixNano": str(end_us * _NS_PER_US),
        "attributes": attributes,
        "events": [_event(log) for log in messages(span, "logs", "logs")],
        "links": others,
        "status": {"code": _code(tags), "message": _text(tags, _DESCRIPTION)},
        # Of the flags only W3C's own are kept, of which Jaeger has the first.
        "flags": integer(span.get("flags"), "flags") & 1,
    }


def _references(span: Mapping[str, Any], trace_id: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the parent's id, empty without one, and the links to others.

    The parent is what the span is a child of in its own trace, and else the first that it follows
    from there.
    """
    all_ids = [
        (
            text_of(one.get("refType") or ""),
            _padded(one.get("traceID"), 32),
            _padded(one.get("spanID"), 16),
        )
        for one in messages(span, "references", "references")
    ]
    own = [one for one in all_ids if one[1] == trace_id]
    parent = next((one for one in own if one[0] == "CHILD_OF"), own[0] if own else None)
    links = [{"traceId": of, "spanId": to} for kind, of, to in all_ids if (kind, of, to) != parent]
    if parent is not None:
        return parent[2], links
    known = span.get("parentSpanID")  # of earlier releases
    return _padded(known, 16) if known else "", links


def _event(log: Mapping[str, Any]) -> dict[str, Any]:
    fields = _tags(log, "fields")
    name = _text(fields, "event") or _text(fields, "message")
    return {
        "timeUnixNano": str(integer(log.get("timestamp"), "timestamp") * _NS_PER_US),
        "name": name,
        "attributes": [_attribute(key, tag) for key, tag in fields.items() if key != "event"],
    }


def _tags(holder: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {text_of(tag.get("key") or ""): tag for tag in messages(holder, name, name)}


def _texts(holder: Mapping[str, Any], name: str) -> list[str]:
    value = holder.get(name)
    if value is None:
        return []
    if type(value) is not list or not all(type(one) is str for one in value):
        raise MalformedJson(f"{name} is {shown(value)} and no list of strings")
    return list(map(text_of, value))


def _attribute(name: str, tag: Mapping[str, Any]) -> dict[str, Any]:
    kind, value = _VALUES.get(text_of(tag.get("type")), "stringValue"), tag.get("value")
    if name == DEPENDS_ON:
        items = [{"stringValue": node} for node in names_of(value)]
        return {"key": name, "value": {"arrayValue": {"values": items}}}
    return {"key": name, "value": {} if value is None else {kind: value}}


def _is_meant(name: str, tags: Mapping[str, Any]) -> bool:
    return name in _MEANT or (name == _ERROR and _CODE in tags)


def _code(tags: Mapping[str, Mapping[str, Any]]) -> int:
    if _CODE in tags:
        return _CODES.get(_text(tags, _CODE).upper(), 0)
    return _CODES["ERROR"] if _text(tags, _ERROR).lower() == "true" else 0


def _first(tags: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> str:
    return next((_text(tags, name) for name in names if name in tags), "")


def _text(tags: Mapping[str, Mapping[str, Any]], name: str) -> str:
    value = tags.get(name, {}).get("value")
    return "" if value is None else text_of(value)


def _padded(value: Any, digits: int) -> str:
    """Return an id with the zeros in front that Jaeger leaves out of those of 64 bits."""
    return text_of(value or "").rjust(digits, "0") if value else ""
