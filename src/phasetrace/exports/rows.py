"""The spans of an execution as rows, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.values import compact
from phasetrace.names import RESERVED
from phasetrace.spans import EXECUTION, SYSTEM_NODE


class Row(NamedTuple):
    """A span. Times are Unix nanoseconds, ids hex digits; ``attributes`` are a JSON object."""

    exec_id: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    type: str
    node_id: str | None
    node_type: str | None
    iteration: str | None
    name: str
    start_ns: int
    end_ns: int
    duration_ns: int
    status: str
    message: str | None
    depends_on: str
    service: str
    attributes: str


COLUMNS: Final = Row._fields
NUMBERS: Final = frozenset({"start_ns", "end_ns", "duration_ns"})


def rows(exported: ExportedExecution) -> Iterator[Row]:
    """Give the spans by their start, what is inside of another one after that."""
    execution = exported.execution
    for place in exported.order:
        span = exported.spans[place]
        details = exported.details(place)
        end_ns = exported.end_ns(place)
        own = {name: value for name, value in details.attributes.items() if name not in RESERVED}
        name = span.name
        if span.type == EXECUTION and not name:  # it has not ended, so that nothing says it but
            name = execution.name or ""
        yield Row(
            exec_id=execution.exec_id,
            trace_id=details.trace_id or execution.trace_id,
            span_id=f"{span.span_id:016x}",
            parent_span_id=f"{span.parent_id:016x}" if span.parent_id else None,
            type=span.type,
            node_id=None if span.type == EXECUTION else span.node_id or SYSTEM_NODE,
            node_type=span.node_type,
            iteration=str(span.iteration) if span.iteration is not None else None,
            name=name,
            start_ns=span.start_ns,
            end_ns=end_ns,
            duration_ns=end_ns - span.start_ns,
            status=exported.status(place),
            message=details.message or None,
            depends_on=compact(span.depends_on),
            service=exported.services[span.process],
            attributes=compact(own),
        )
