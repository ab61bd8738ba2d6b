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


Iteration = str | int | float
"""What tells repeated runs of a node apart."""


class Usage(NamedTuple):
    """What a call of a model took, by the ``gen_ai.*`` attributes of OpenTelemetry's conventions.

    ``cost`` is what the program said itself, in a currency of its own; None where it did not.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None
    cost: float | None = None


class SpanRecord(NamedTuple):
    """One finished span of an execution; times in Unix nanoseconds, ids as OpenTelemetry's ints.

    What comes after the status is known only to who asks for it: ``depends_on`` names the nodes
    that a node waited for; ``metadata`` is a hash of the attributes that are the program's own, and
    None unless one of them is a text other than a model's name (sizes alone tell no calls apart);
    ``process`` tells the processes of an execution apart.
    """

    span_id: int
    parent_id: int | None
    type: SpanType
    name: str
    node_id: str | None
    node_type: str | None
    start_ns: int
    end_ns: int
    status: Status
    iteration: Iteration | None = None
    depends_on: tuple[str, ...] = ()
    usage: Usage | None = None
    metadata: int | None = None
    process: int = 0


class PhaseKey(NamedTuple):
    """What calls are added up by: the phase of a node, or the node itself (``phase`` is None)."""

    node_id: str
    phase: str | None


def in_order(key: PhaseKey) -> tuple[str, bool, str]:
    """Return what keys are sorted by: a node comes before its phases."""
    return key.node_id, key.phase is not None, key.phase or ""


def key_of(span: SpanRecord) -> PhaseKey | None:
    """Return the key a span is counted under; None for the execution's own span."""
    if span.type == EXECUTION:
        return None
    return PhaseKey(span.node_id or SYSTEM_NODE, None if span.type == NODE else span.name)
