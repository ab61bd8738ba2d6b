"""What has to be true of an instrumentation's span."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan

import phasetrace

EXEC_ID = "exec_1"
NODE_ID = "node_1"


def the(name: str, spans: Iterable[ReadableSpan]) -> ReadableSpan:
    """Return the one span of this name."""
    named = [span for span in spans if span.name == name]
    assert len(named) == 1, f"{len(named)} spans named {name!r}"
    return named[0]


def assert_attributed(span: ReadableSpan, phase: ReadableSpan) -> None:
    """Assert that `span` is the phase's child, belongs to its node, and is counted there."""
    assert span.context is not None
    assert phase.context is not None
    assert span.parent is not None
    assert span.parent.span_id == phase.context.span_id
    assert span.context.trace_id == phase.context.trace_id
    assert span.attributes is not None
    assert span.attributes["exec_id"] == EXEC_ID
    assert span.attributes["node_id"] == NODE_ID
    assert phase_calls()[span.name] >= 1


def phase_calls() -> dict[str, int]:
    """Return how many calls of each phase the breakdown counts in the node."""
    (node,) = (node for node in phasetrace.breakdown(EXEC_ID).nodes if node.node_id == NODE_ID)
    return {phase.phase: phase.count for phase in node.phases}
