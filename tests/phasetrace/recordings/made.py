"""OTLP JSON made by hand, for tests that look at one thing of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.names import EXEC_ID, NODE_ID, TYPE
from phasetrace.spans import EXECUTION

S = 1_000_000_000
T = 1_700_000_000 * S
"""When things begin."""


def value(content: Any) -> dict[str, Any]:
    """Return the value of an attribute."""
    if isinstance(content, bool):
        return {"boolValue": content}
    if isinstance(content, int):
        return {"intValue": str(content)}
    if isinstance(content, float):
        return {"doubleValue": content}
    if isinstance(content, list):
        return {"arrayValue": {"values": [value(item) for item in content]}}
    if isinstance(content, dict):
        return {"kvlistValue": {"values": attributes(content)}}
    return {"stringValue": content} if content is not None else {}


def attributes(pairs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes."""
    return [{"key": key, "value": value(content)} for key, content in pairs.items()]


def span(
    span_id: int,
    name: Any = "p",
    start: Any = 0,
    end: Any = S,
    parent: Any = 0,
    trace: Any = "5b" * 16,
    status: Any = None,
    **pairs: Any,
) -> dict[str, Any]:
    """Return a span of any trace; its times are after `T`."""
    made = {
        "traceId": trace,
        "spanId": f"{span_id:016x}",
        "name": name,
        "startTimeUnixNano": str(T + start),
        "endTimeUnixNano": str(T + end),
        "attributes": attributes(pairs),
        "status": status or {},
    }
    return {**made, "parentSpanId": f"{parent:016x}"} if parent else made


def phase(span_id: int, exec_id: str, name: Any = "p", node: Any = "n", **more: Any) -> Any:
    """Return a phase of an execution, below its root."""
    ids = {EXEC_ID: exec_id, NODE_ID: node}
    more = {"trace": trace_of(exec_id), "parent": root_span_id_of(exec_id), **more}
    return span(span_id, name, **{**more, **ids})


def root(exec_id: str, name: Any = "run", start: Any = 0, end: Any = 10 * S, **more: Any) -> Any:
    """Return the root of an execution that was opened explicitly."""
    pairs = {EXEC_ID: exec_id, TYPE: EXECUTION}
    more = {"trace": trace_of(exec_id), **more}
    return span(root_span_id_of(exec_id), name, start, end, **{**more, **pairs})


def trace_of(exec_id: str) -> str:
    """Return the id of an execution's trace as JSON has it."""
    return f"{trace_id_of(exec_id):032x}"


def document(spans: Sequence[Any], **resource: Any) -> dict[str, Any]:
    """Return the message that has some spans of one resource."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(resource)},
                "scopeSpans": [{"scope": {"name": "tests"}, "spans": list(spans)}],
            }
        ]
    }


def line(*spans: Any, **resource: Any) -> bytes:
    """Return the same as the line of a file."""
    return json.dumps(document(spans, **resource)).encode() + b"\n"
