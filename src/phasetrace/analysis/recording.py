"""Everything that is known of one execution, wherever it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from phasetrace.breakdowns import ExecutionBreakdown, ExecutionHeader, OpenSpan, breakdown_of
from phasetrace.spans import EXECUTION, NODE, PHASE, PhaseKey, SpanRecord, SpanType


class Recording(NamedTuple):
    """One execution and its spans.

    ``root_id`` is the span whose interval is the wall time; None where there are several or none,
    and the wall time is the extent of all spans. What is in ``open_spans`` has not ended: it lasts
    up to ``now_ns``, or without it up to the latest time that is known of. ``lost`` spans were
    counted, and could not be stored: what is worked out from the others is without them.
    """

    execution: ExecutionHeader
    spans: Sequence[SpanRecord]
    root_id: int | None = None
    open_spans: Sequence[OpenSpan] = ()
    now_ns: int | None = None
    lost: int = 0

    def breakdown(self) -> ExecutionBreakdown:
        """Return where the time went, worked out from the spans."""
        return breakdown_of(self.execution, self.spans, self.root_id, self.open_spans, self.now_ns)

    def all_spans(self) -> Sequence[SpanRecord]:
        """Return the spans, those that are open as if they ended now."""
        if not self.open_spans:
            return self.spans
        known = [self.now_ns] if self.now_ns is not None else []
        until_ns = max(
            known
            + [span.end_ns for span in self.spans]
            + [start_ns for _, _, start_ns, _ in self.open_spans]
        )
        return [*self.spans, *(_ended(span, until_ns) for span in self.open_spans)]


def _ended(span: OpenSpan, until_ns: int) -> SpanRecord:
    span_id, parent_id, start_ns, key = span
    type_: SpanType = EXECUTION
    name, node_id = "", None
    if isinstance(key, PhaseKey):
        type_ = NODE if key.phase is None else PHASE
        name, node_id = key.node_id if key.phase is None else key.phase, key.node_id
    end_ns = max(start_ns, until_ns)
    return SpanRecord(span_id, parent_id, type_, name, node_id, None, start_ns, end_ns, "ok")
