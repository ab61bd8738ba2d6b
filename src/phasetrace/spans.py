"""A finished span as a plain value: what the arithmetic works on.

Whatever a span came from (this process, the store, a backend), the analysis sees only these fields.
No OpenTelemetry in here.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

SYSTEM_NODE: Final = "system"
"""The node of work that belongs to no node."""

SpanType = Literal["execution", "node", "phase"]
Status = Literal["ok", "error", "cancelled"]

EXECUTION: Final = "execution"
NODE: Final = "node"
PHASE: Final = "phase"


class SpanRecord(NamedTuple):
    """One finished span of an execution; times in Unix nanoseconds, ids as OpenTelemetry's ints."""

    span_id: int
    parent_id: int | None
    type: SpanType
    name: str
    node_id: str | None
    node_type: str | None
    start_ns: int
    end_ns: int
    status: Status


class PhaseKey(NamedTuple):
    """What calls are added up by: the phase of a node, or the node itself (``phase`` is None)."""

    node_id: str
    phase: str | None


def key_of(span: SpanRecord) -> PhaseKey | None:
    """Return the key a span is counted under; None for the execution's own span."""
    if span.type == EXECUTION:
        return None
    return PhaseKey(span.node_id or SYSTEM_NODE, None if span.type == NODE else span.name)
