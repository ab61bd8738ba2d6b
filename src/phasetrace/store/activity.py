"""Looking at what goes on in a store, again and again, and reading only what is new each time."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from phasetrace.history import MOST, Usual
from phasetrace.live import (
    ABANDONED_NS,
    EARLIER_NS,
    FADE_NS,
    Activity,
    Known,
    LastCall,
    LiveCall,
    LiveExecution,
    OpenSpan,
    Speed,
    deepest,
    enough,
    in_order,
    last_call,
)
from phasetrace.spans import NODE, PHASE, SYSTEM_NODE, PhaseKey, key_of
from phasetrace.store.blocks import messages, records
from phasetrace.store.details import DetailsReader
from phasetrace.store.selection import EARLIER_RUNS
from phasetrace.store.stored import EXECUTIONS, StoredExecution, stored_execution

if TYPE_CHECKING:
    from phasetrace.store.reader import StoreReader

_USAGE: Final = b"gen_ai.usage."


class _Watched:
    """What is known of one execution from earlier looks."""

    def __init__(self) -> None:
        self.block = 0
        self.calls: dict[PhaseKey, Known] = {}
        self.earlier: dict[PhaseKey, Known] = {}
        self.earlier_parts: list[int] | None = None
        self.usual: Usual | None = None
        self.last: LastCall | None = None
        self.input_tokens = 0
        self.output_tokens = 0
        self.details = DetailsReader(with_metadata=False)
        self.speed = Speed()
        self.last_of: dict[str, LastCall] = {}
        self.ran_ns = 0


class Memory:
    """What one who looks again and again has seen so far. Good for one store, and one thread."""

    def __init__(self) -> None:
        self.executions: dict[int, _Watched] = {}


def look(
    reader: StoreReader, connection: sqlite3.Connection, now_ns: int, memory: Memory
) -> Activity:
    """Return what goes on in a store; the caller has all queries see the same state of it."""
    executions, quiet, abandoned, seen = [], 0, 0, {}
    for execution in _candidates(connection, now_ns):
        watched = memory.executions.get(execution.row) or _Watched()
        ended_ns = execution.started_ns + execution.duration_ns
        open_spans: list[OpenSpan] = []
        if execution.status in ("running", "abandoned"):
            open_spans = [
                OpenSpan(
                    one.span_id,
                    one.parent_id,
                    one.type,
                    one.name,
                    one.node_id,
                    one.start_ns,
                    one.running,
                )
                for one in reader.open_spans(execution)
            ]
        if execution.status == "running":
            is_implicit = execution.root_span_id is None
            if is_implicit and not open_spans and ended_ns < now_ns - FADE_NS:
                quiet += 1
                seen.update({execution.row: watched} if watched.block else {})
                continue
        elif execution.status == "abandoned":
            ended_ns = max([ended_ns, *(span.start_ns for span in open_spans)])
            # A process that waits for long is not heard of; who has seen it run knows more.
            alive_ns = max(ended_ns, watched.ran_ns)
            if alive_ns < now_ns - ABANDONED_NS:
                abandoned += alive_ns >= now_ns - EARLIER_NS
                seen.update({execution.row: watched} if watched.ran_ns else {})
                continue
        if execution.status == "running":
            watched.ran_ns = now_ns
        _read_news(connection, execution, watched)
        seen[execution.row] = watched
        executions.append(
            _live(reader, connection, execution, watched, open_spans, ended_ns, now_ns)
        )
    memory.executions = seen
    return Activity(now_ns, in_order(executions), quiet, abandoned)


def _candidates(connection: sqlite3.Connection, now_ns: int) -> list[StoredExecution]:
    """Return the executions that have not ended, or did so a moment ago."""
    rows = connection.execute(
        f"{EXECUTIONS} WHERE e.ended_ns IS NULL OR e.ended_ns >= ? ORDER BY e.started_ns, e.id",
        (now_ns - FADE_NS,),
    )
    return [stored_execution(now_ns, *row) for row in rows.fetchall()]


def _read_news(
    connection: sqlite3.Connection, execution: StoredExecution, watched: _Watched
) -> None:
    """Read the blocks that have come since the last look."""
    for block, number, labels, columns, payload in connection.execute(
        "SELECT seq, spans, labels, columns, payload FROM blocks WHERE seq > ?"
        " AND stream IN (SELECT id FROM streams WHERE execution = ?) ORDER BY seq",
        (watched.block, execution.row),
    ):
        watched.block = block
        spans = list(records(number, labels, columns))
        watched.last = last_call(spans, watched.last)
        for span in spans:
            key = key_of(span)
            if key is not None and key.phase is not None:
                last = watched.last_of.get(key.node_id)
                if last is None or last.ended_ns <= span.end_ns:
                    watched.last_of[key.node_id] = LastCall(*key, span.end_ns)
            if key is not None and span.status == "ok":
                known = watched.calls.get(key, Known())
                watched.calls[key] = known + Known(1, max(0, span.end_ns - span.start_ns))
        if _USAGE in payload:
            for message in messages(number, columns, payload):
                usage = watched.details.read(message).usage
                if usage is not None:
                    watched.input_tokens += usage.input_tokens
                    watched.output_tokens += usage.output_tokens


def _live(
    reader: StoreReader,
    connection: sqlite3.Connection,
    execution: StoredExecution,
    watched: _Watched,
    open_spans: list[OpenSpan],
    ended_ns: int,
    now_ns: int,
) -> LiveExecution:
    is_running = execution.status == "running"
    if watched.earlier_parts is None:
        watched.earlier_parts = _earlier_parts(connection, execution)
        watched.usual = reader.usual_of(execution) if watched.earlier_parts else None
    until_ns = now_ns if is_running else ended_ns
    return LiveExecution(
        exec_id=execution.exec_id,
        name=execution.name,
        status=execution.status,
        trace_id=execution.trace_id,
        parent_exec_id=execution.parent_exec_id,
        started_ns=execution.started_ns,
        duration_ns=max(0, until_ns - execution.started_ns),
        ended_ns=None if is_running else ended_ns,
        spans=execution.spans,
        errors=execution.errors,
        input_tokens=watched.input_tokens,
        output_tokens=watched.output_tokens,
        usual=watched.usual,
        open=tuple(_call(connection, span, watched, until_ns) for span in deepest(open_spans)),
        last=watched.last,
        spans_per_s=watched.speed.note(now_ns, execution.spans) if is_running else None,
    )


def _call(
    connection: sqlite3.Connection, span: OpenSpan, watched: _Watched, until_ns: int
) -> LiveCall:
    key = PhaseKey(span.node_id or SYSTEM_NODE, None if span.type == NODE else span.name)
    if key not in watched.earlier:
        watched.earlier[key] = _earlier_calls(connection, watched.earlier_parts or [], key)
    last = watched.last_of.get(key.node_id) if key.phase is None else None
    return LiveCall(
        node_id=key.node_id,
        phase=key.phase,
        started_ns=span.start_ns,
        age_ns=max(0, until_ns - span.start_ns),
        alive=span.alive,
        known=enough(watched.earlier[key] + watched.calls.get(key, Known())),
        last=last if last is not None and last.ended_ns >= span.start_ns else None,
    )


def _earlier_parts(connection: sqlite3.Connection, execution: StoredExecution) -> list[int]:
    """Return which totals are those of the last runs of the same name that ended well."""
    if execution.name is None or execution.name == execution.exec_id:
        return []
    rows = connection.execute(
        f"SELECT id FROM aggregate_parts WHERE execution IN ({EARLIER_RUNS})",  # noqa: S608
        (execution.name, execution.started_ns, MOST),
    )
    return [part for (part,) in rows]


def _earlier_calls(connection: sqlite3.Connection, parts: list[int], key: PhaseKey) -> Known:
    known = Known()
    for part in parts:
        row = connection.execute(
            "SELECT count, max_ns FROM aggregates"
            " WHERE part = ? AND type = ? AND node_id = ? AND phase = ?",
            (part, NODE if key.phase is None else PHASE, key.node_id, key.phase or ""),
        ).fetchone()
        if row is not None:
            known += Known(*row)
    return known
