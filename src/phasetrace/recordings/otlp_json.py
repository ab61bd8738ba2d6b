"""Spans of OTLP's JSON: what the messages that tools write and backends answer say of executions.

Source: opentelemetry/proto/trace/v1/trace.proto, in opentelemetry-proto 1.x; a ``TracesData`` of a
file is written like an ``ExportTraceServiceRequest``. What a span is (an execution, a node, a
phase; of which execution; how it ended) is read from its attributes by the rules that
`phasetrace.processor` and the store go by, so that the same spans have the same numbers wherever
they are read from. No OpenTelemetry in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isfinite
from typing import Any, Final, NamedTuple

from phasetrace.analysis.usage import usage_of
from phasetrace.identity import root_span_id_of
from phasetrace.names import (
    CANCELLED,
    DEPENDS_ON,
    EXEC_ID,
    IMPLICIT,
    ITERATION,
    NODE_ID,
    NODE_TYPE,
    PARENT_EXEC_ID,
    TYPE,
    is_metadata,
    name_of_execution,
    tells_apart,
)
from phasetrace.recordings.json_values import (
    MalformedJson,
    attributes_of,
    field,
    hashable,
    id_of,
    is_error,
    message_in,
    messages,
    moment,
    shown,
    text_of,
)
from phasetrace.spans import EXECUTION, NODE, PHASE, Iteration, SpanRecord, SpanType, Status

SERVICE_NAME: Final = "service.name"
UNKNOWN_SERVICE: Final = "unknown_service"
"""The service of a resource that does not say (semantic conventions, "service")."""

WARNINGS: Final = "@jaeger@warnings"
"""The attribute in which Jaeger remarks on a span."""
_NO_DURATION: Final = "Negative duration detected"
"""How the remark begins on a span that did not end after its start, whose end it has moved."""

_OTHER_SIGNALS: Final = frozenset(
    ("resourceMetrics", "resource_metrics", "resourceLogs", "resource_logs", "resourceProfiles")
)


class DecodedSpan(NamedTuple):
    """A span, and what it says beside that; without ``exec_id`` it belongs to no execution.

    ``trace_id`` is 32 hex digits; ``implicit`` marks the root that an execution without
    `execution()` was given; ``service`` is the name of what made the span.
    """

    exec_id: str | None
    trace_id: str
    span: SpanRecord
    implicit: bool
    parent_exec_id: str | None
    service: str


class SpanDecoder:
    """Decodes messages that belong together. Not thread-safe.

    Processes are told apart by their resources, and numbered as they come.
    """

    def __init__(self) -> None:
        self._processes: dict[Any, int] = {}

    def decode(self, document: Any) -> list[DecodedSpan]:
        """Return the spans of a ``TracesData``, or of one in a ``result`` as gateways answer it.

        Messages of other signals have none.

        Raises:
            MalformedJson: if it is something else; says where in it.
        """
        if type(document) is dict and type(document.get("result")) is dict:
            document = document["result"]
        if type(document) is not dict:
            raise MalformedJson(f"it is {shown(document)} and no object")
        groups = field(document, "resourceSpans", "resource_spans")
        if groups is None:
            if not document or not _OTHER_SIGNALS.isdisjoint(document):
                return []
            raise MalformedJson(f'it has {_keys(document)}, and no "resourceSpans"')
        found: list[DecodedSpan] = []
        for number, group in enumerate(messages(document, "resourceSpans", "resource_spans")):
            place = f"resourceSpans[{number}]"
            try:
                self._decode_resource(group, found)
            except MalformedJson as error:
                raise MalformedJson(f"{place}.{error}") from None
            except RecursionError:
                raise MalformedJson(f"{place} nests too deep") from None
        return found

    def _decode_resource(self, group: Mapping[str, Any], found: list[DecodedSpan]) -> None:
        resource = attributes_of(message_in(group, "resource"))
        process = self._processes.setdefault(hashable(resource), len(self._processes))
        service = text_of(resource.get(SERVICE_NAME) or UNKNOWN_SERVICE)
        scopes = messages(group, "scopeSpans", "scope_spans") or messages(
            group,
            "instrumentationLibrarySpans",
            "instrumentation_library_spans",  # until OTLP 0.19
        )
        for number, scope in enumerate(scopes):
            for place, span in enumerate(messages(scope, "spans", "spans")):
                try:
                    found.append(_decoded(span, process, service))
                except MalformedJson as error:
                    where = f"scopeSpans[{number}].spans[{place}]"
                    raise MalformedJson(f"{where}: {error}") from None


def documents(text: str) -> Iterator[tuple[int, Any]]:
    """Give JSON values that stand one behind the other, each with the line it begins in.

    Raises:
        ValueError: when it comes to something else (`json.JSONDecodeError`, which knows the line).
    """
    decoder = json.JSONDecoder()
    at, line = _past_space(text, 0), 1
    counted = 0
    while at < len(text):
        line += text.count("\n", counted, at)
        counted = at
        document, end = decoder.raw_decode(text, at)
        yield line, document
        at = _past_space(text, end)


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _decoded(message: Mapping[str, Any], process: int, service: str) -> DecodedSpan:
    trace_id = id_of(field(message, "traceId", "trace_id"), 16, "traceId")
    span_id = id_of(field(message, "spanId", "span_id"), 8, "spanId")
    if not trace_id or not span_id:
        raise MalformedJson(f"it has no {'spanId' if trace_id else 'traceId'}")
    attributes = attributes_of(message)
    start_ns = moment(field(message, "startTimeUnixNano", "start_time_unix_nano"), "its start")
    end_ns = moment(field(message, "endTimeUnixNano", "end_time_unix_nano"), "its end")
    if WARNINGS in attributes and _had_no_duration(attributes[WARNINGS]):
        end_ns = start_ns
    exec_id = text_of(attributes[EXEC_ID]) if attributes.get(EXEC_ID) else None
    node_id = attributes.get(NODE_ID)
    node_type = attributes.get(NODE_TYPE)
    parent_exec_id = attributes.get(PARENT_EXEC_ID)
    type_, name = _type_of(attributes, exec_id, span_id), text_of(message.get("name") or "")
    if type_ == EXECUTION and exec_id is not None:
        name = name_of_execution(name, exec_id)
    span = SpanRecord(
        span_id=span_id,
        parent_id=id_of(field(message, "parentSpanId", "parent_span_id"), 8, "parentSpanId")
        or None,
        type=type_,
        name=name,
        node_id=text_of(node_id) if node_id is not None else None,
        node_type=text_of(node_type) if node_type is not None else None,
        start_ns=start_ns,
        end_ns=max(start_ns, end_ns),
        status=_status_of(message, attributes),
        iteration=_iteration(attributes.get(ITERATION)),
        depends_on=names_of(attributes.get(DEPENDS_ON)),
        usage=usage_of(attributes),
        metadata=_metadata(attributes),
        process=process,
    )
    return DecodedSpan(
        exec_id,
        f"{trace_id:032x}",
        span,
        bool(attributes.get(IMPLICIT)),
        text_of(parent_exec_id) if parent_exec_id is not None else None,
        service,
    )


def _type_of(attributes: Mapping[str, Any], exec_id: str | None, span_id: int) -> SpanType:
    if exec_id is None:
        return PHASE
    declared = attributes.get(TYPE)
    if declared == NODE:
        return NODE
    if declared == EXECUTION or (
        declared is None and NODE_ID not in attributes and span_id == root_span_id_of(exec_id)
    ):
        return EXECUTION
    return PHASE


def _status_of(message: Mapping[str, Any], attributes: Mapping[str, Any]) -> Status:
    if is_error(message_in(message, "status").get("code")):
        return "error"
    return "cancelled" if attributes.get(CANCELLED) else "ok"


def _had_no_duration(warnings: Any) -> bool:
    each = warnings if isinstance(warnings, tuple) else (warnings,)
    return any(isinstance(one, str) and one.startswith(_NO_DURATION) for one in each)


def _iteration(value: Any) -> Iteration | None:
    if isinstance(value, float):
        return value if isfinite(value) else str(value)  # JSON has no other numbers
    if value is None:
        return None
    return int(value) if isinstance(value, int) else text_of(value)


def names_of(value: Any) -> tuple[str, ...]:
    """Return the nodes of a ``depends_on``; some backends keep a list as its JSON."""
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError):
            value = tuple(json.loads(value))
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if type(value) is tuple else ()


def _metadata(attributes: Mapping[str, Any]) -> int | None:
    """Return a hash of the metadata, if there is a text in it that tells calls apart."""
    if not any(type(value) is str and tells_apart(key) for key, value in attributes.items()):
        return None
    own = [
        hash((key, hashable(value)))
        for key, value in attributes.items()
        if is_metadata(key) and key != WARNINGS
    ]
    return hash(tuple(sorted(own)))


def _keys(document: Mapping[str, Any]) -> str:
    keys = ", ".join(f'"{key}"' for key in list(document)[:3])
    return keys if len(document) <= 3 else f"{keys}, …"
