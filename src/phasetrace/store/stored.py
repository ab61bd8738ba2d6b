"""What the store says of an execution: its row, and the spans of it that are open."""

from __future__ import annotations

from typing import NamedTuple

from phasetrace.breakdowns import ExecutionHeader
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE, PhaseKey
from phasetrace.store.process import is_alive

EXECUTIONS = (
    "SELECT e.id, e.exec_id, e.name, e.trace_id, e.root_span_id, e.parent_exec_id, e.explicit,"
    " e.started_ns, e.last_ns, e.ended_ns, e.status, e.spans, e.errors, e.openings, e.seen_ns,"
    " EXISTS (SELECT 1 FROM open_spans o WHERE o.execution = e.id),"
    " p.pid, p.birth, p.host, p.closed_ns"
    " FROM executions e JOIN processes p ON p.id = e.process"
)
OF_CHILDREN = f"""
    WITH RECURSIVE family (pid) AS (
        VALUES (:pid)
        UNION SELECT p.pid FROM processes p JOIN family f ON p.parent = f.pid
        WHERE p.host = :host AND p.started_ns >= :started_ns
    ),
    children (id) AS (
        SELECT id FROM processes
        WHERE parent IN (SELECT pid FROM family) AND host = :host AND started_ns >= :started_ns
    )
    {EXECUTIONS}
    WHERE e.process IN (SELECT id FROM children)
        OR e.id IN (SELECT execution FROM streams WHERE process IN (SELECT id FROM children))
    ORDER BY e.started_ns DESC, e.id DESC
"""  # noqa: S608 - a constant


class StoredExecution(NamedTuple):
    """One row of the list of executions; times in Unix nanoseconds.

    ``root_span_id`` is None unless the execution was opened explicitly. ``status`` is running, ok,
    error, cancelled, or abandoned: its process is gone and never ended it. ``openings`` is how many
    spans of the execution itself have ended; ``errors`` counts all others.

    ``duration_ns`` is that of the root, and the extent of all spans where there are several or
    none. What runs lasts up to now, unless it is an implicit execution with nothing open; what was
    abandoned, up to when its process was last known to have spans open.
    """

    row: int
    exec_id: str
    name: str | None
    trace_id: str
    root_span_id: int | None
    parent_exec_id: str | None
    status: str
    started_ns: int
    duration_ns: int
    spans: int
    errors: int
    openings: int


class StoredOpenSpan(NamedTuple):
    """A span that has a row though it has not ended; ``start_ns`` in Unix nanoseconds.

    ``running`` tells whether its process is still there.
    """

    span_id: int
    parent_id: int | None
    type: str
    name: str
    node_id: str | None
    start_ns: int
    running: bool


def header_of(execution: StoredExecution) -> ExecutionHeader:
    """Return an execution's part of its breakdown."""
    return ExecutionHeader(
        exec_id=execution.exec_id,
        name=execution.name,
        status=execution.status,
        trace_id=execution.trace_id,
        started_ns=execution.started_ns,
        duration_ns=execution.duration_ns,
    )


def key_of_open(span: StoredOpenSpan) -> PhaseKey | str:
    """Return what an open span will be counted under."""
    if span.type == EXECUTION:
        return EXECUTION
    return PhaseKey(span.node_id or SYSTEM_NODE, None if span.type == NODE else span.name)


def stored_execution(
    now_ns: int,
    row: int,
    exec_id: str,
    name: str | None,
    trace_id: bytes,
    root_span_id: bytes | None,
    parent_exec_id: str | None,
    explicit: int,
    started_ns: int,
    last_ns: int,
    ended_ns: int | None,
    status: str,
    spans: int,
    errors: int,
    openings: int,
    seen_ns: int,
    has_open: int,
    pid: int,
    birth: str,
    host: str,
    closed_ns: int | None,
) -> StoredExecution:
    """Return an execution from its row, as `EXECUTIONS` selects it."""
    if ended_ns is None:
        alive = closed_ns is None and is_alive(pid, birth, host)
        status = "running" if alive else "abandoned"
    elif not explicit and status == "ok" and errors:
        status = "error"
    until_ns = last_ns
    if status == "running" and (explicit or has_open):
        until_ns = max(now_ns, last_ns)
    elif status == "abandoned" and has_open:
        until_ns = max(seen_ns, last_ns)
    elif ended_ns is not None and explicit and openings <= 1:
        until_ns = ended_ns
    return StoredExecution(
        row=row,
        exec_id=exec_id,
        name=name,
        trace_id=trace_id.hex(),
        root_span_id=int.from_bytes(root_span_id, "big") if explicit and root_span_id else None,
        parent_exec_id=parent_exec_id,
        status=status,
        started_ns=started_ns,
        duration_ns=max(0, until_ns - started_ns),
        spans=spans,
        errors=errors,
        openings=openings,
    )
