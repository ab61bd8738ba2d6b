"""Turning spans and totals into rows, one transaction a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace.attributes import text
from phasetrace.context import EXEC_ID, ITERATION, PARENT_EXEC_ID
from phasetrace.processor import is_implicit, record_of
from phasetrace.spans import EXECUTION, NODE, PHASE, SpanRecord
from phasetrace.tally import ExecutionTotals
from phasetrace.wire import EncodedSpan

_MAX_INTEGER = 2**63 - 1


class _Execution:
    """What a batch says about one execution."""

    __slots__ = ("errors", "first_ns", "last_ns", "root", "row", "spans")

    def __init__(self, row: int) -> None:
        self.row = row
        self.spans = 0
        self.errors = 0
        self.first_ns = _MAX_INTEGER
        self.last_ns = 0
        self.root: tuple[ReadableSpan, SpanRecord] | None = None


class RowWriter:
    """Writes to one open store for one process. Not thread-safe: the caller holds a lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._process = 0
        self._messages: dict[tuple[str, bytes, str], int] = {}

    def register(self, pid: int, birth: str, host: str, now_ns: int) -> None:
        """Make the row of this process, which everything it writes refers to."""
        cursor = self._connection.execute(
            "INSERT INTO processes (pid, birth, host, started_ns) VALUES (?, ?, ?, ?)",
            (pid, birth, host, now_ns),
        )
        self._process = cursor.lastrowid or 0

    def close_process(self, now_ns: int) -> None:
        """Note that this process writes no more."""
        self._connection.execute(
            "UPDATE processes SET closed_ns = ? WHERE id = ?", (now_ns, self._process)
        )

    def write(
        self,
        spans: Sequence[tuple[ReadableSpan, EncodedSpan]],
        totals: Sequence[ExecutionTotals],
        opened: Iterable[ReadableSpan],
        lost: Mapping[str, int],
    ) -> list[str]:
        """Write a batch in one transaction.

        Returns:
            The executions in it whose root is another process's task.

        Raises:
            sqlite3.Error: if nothing of it was written.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            executions: dict[str, _Execution] = {}
            elsewhere: list[str] = []
            self._write_open(opened, executions, elsewhere)
            self._write_spans(spans, executions, elsewhere)
            self._update(executions.values())
            for total in totals:
                self._write_totals(total, executions, elsewhere)
            self._count(lost)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._messages.clear()
            raise
        return elsewhere

    def _write_open(
        self,
        opened: Iterable[ReadableSpan],
        executions: dict[str, _Execution],
        elsewhere: list[str],
    ) -> None:
        for span in opened:
            record, context = record_of(span), span.get_span_context()
            if context is None or span.end_time is not None:
                continue
            execution = None
            if record is not None:
                exec_id = text((span.attributes or {})[EXEC_ID])
                execution = self._execution(exec_id, span, record, executions, elsewhere)
                if record.type == EXECUTION and not is_implicit(span):
                    self._open_execution(execution, span, record)
            self._connection.execute(
                "INSERT OR REPLACE INTO open_spans VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._process,
                    _span_id(context.span_id),
                    _span_id(span.parent.span_id) if span.parent is not None else None,
                    execution.row if execution is not None else None,
                    record.type if record is not None else PHASE,
                    text(span.name),
                    record.node_id if record is not None else None,
                    _integer(span.start_time),
                ),
            )

    def _open_execution(
        self, execution: _Execution, span: ReadableSpan, record: SpanRecord
    ) -> None:
        context = span.get_span_context()
        parent_exec_id = (span.attributes or {}).get(PARENT_EXEC_ID)
        self._connection.execute(
            "UPDATE executions SET process = ?, explicit = 1, name = ?, trace_id = ?,"
            " root_span_id = coalesce(root_span_id, ?), parent_exec_id = ?, ended_ns = NULL"
            " WHERE id = ?",
            (
                self._process,
                record.name,
                context.trace_id.to_bytes(16, "big") if context is not None else b"",
                _span_id(record.span_id),
                text(parent_exec_id) if parent_exec_id is not None else None,
                execution.row,
            ),
        )

    def _write_spans(
        self,
        spans: Sequence[tuple[ReadableSpan, EncodedSpan]],
        executions: dict[str, _Execution],
        elsewhere: list[str],
    ) -> None:
        rows = []
        for span, encoded in spans:
            context = span.get_span_context()
            if context is None:
                continue
            record, execution = record_of(span), None
            attributes = span.attributes or {}
            if record is not None:
                exec_id = text(attributes[EXEC_ID])
                execution = self._execution(exec_id, span, record, executions, elsewhere)
                execution.spans += 1
                execution.errors += record.status == "error"
                execution.first_ns = min(execution.first_ns, record.start_ns)
                execution.last_ns = max(execution.last_ns, record.end_ns)
                if record.type == EXECUTION:
                    execution.root = (span, record)
                    if not is_implicit(span):
                        self._open_execution(execution, span, record)
            rows.append(
                (
                    execution.row if execution is not None else None,
                    self._process,
                    self._message("resources", encoded.resource, encoded.resource_schema_url),
                    self._message("scopes", encoded.scope, encoded.scope_schema_url),
                    context.trace_id.to_bytes(16, "big"),
                    _span_id(context.span_id),
                    _span_id(span.parent.span_id) if span.parent is not None else None,
                    record.type if record is not None else PHASE,
                    text(span.name),
                    record.node_id if record is not None else None,
                    record.node_type if record is not None else None,
                    _plain(attributes.get(ITERATION)),
                    _integer(span.start_time),
                    _integer(span.end_time),
                    record.status if record is not None else "ok",
                    encoded.span,
                )
            )
        self._connection.executemany(
            "INSERT INTO spans (execution, process, resource, scope, trace_id, span_id,"
            " parent_span_id, type, name, node_id, node_type, iteration, start_ns, end_ns, status,"
            " payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._connection.executemany(
            "DELETE FROM open_spans WHERE process = ? AND span_id = ?",
            [(self._process, row[5]) for row in rows],
        )

    def _update(self, executions: Iterable[_Execution]) -> None:
        for execution in executions:
            if not execution.spans:
                continue
            self._connection.execute(
                "UPDATE executions SET spans = spans + ?, errors = errors + ?,"
                " started_ns = min(started_ns, ?), last_ns = max(last_ns, ?) WHERE id = ?",
                (
                    execution.spans,
                    execution.errors,
                    _integer(execution.first_ns),
                    _integer(execution.last_ns),
                    execution.row,
                ),
            )
            if execution.root is not None:
                _, record = execution.root
                self._connection.execute(
                    "UPDATE executions SET ended_ns = ?, status = ? WHERE id = ?",
                    (_integer(record.end_ns), record.status, execution.row),
                )

    def _write_totals(
        self,
        totals: ExecutionTotals,
        executions: dict[str, _Execution],
        elsewhere: list[str],
    ) -> None:
        found = self._connection.execute(
            "SELECT id FROM executions WHERE exec_id = ?", (totals.exec_id,)
        ).fetchone()
        if found is None:
            return  # removed meanwhile, or none of its spans could be stored
        self._connection.execute(
            "INSERT INTO aggregate_parts (execution, process, part, spans, unattributed_ns)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (execution, process, part)"
            " DO UPDATE SET spans = excluded.spans, unattributed_ns = excluded.unattributed_ns",
            (found[0], self._process, totals.part, totals.spans, _integer(totals.unattributed_ns)),
        )
        (part,) = self._connection.execute(
            "SELECT id FROM aggregate_parts WHERE execution = ? AND process = ? AND part = ?",
            (found[0], self._process, totals.part),
        ).fetchone()
        self._connection.execute("DELETE FROM aggregates WHERE part = ?", (part,))
        self._connection.executemany(
            "INSERT INTO aggregates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    part,
                    NODE if key.phase is None else PHASE,
                    key.node_id,
                    key.phase or "",
                    stat.node_type,
                    stat.count,
                    _integer(stat.total_ns),
                    _integer(stat.self_ns),
                    stat.share_ns,
                    _integer(stat.min_ns),
                    _integer(stat.max_ns),
                    _integer(stat.first_ns),
                    stat.errors,
                    stat.cancelled,
                    stat.histogram.to_bytes(),
                )
                for key, stat in totals.stats.items()
            ],
        )

    def _execution(
        self,
        exec_id: str,
        span: ReadableSpan,
        record: SpanRecord,
        executions: dict[str, _Execution],
        elsewhere: list[str],
    ) -> _Execution:
        known = executions.get(exec_id)
        if known is not None:
            return known
        context = span.get_span_context()
        self._connection.execute(
            "INSERT OR IGNORE INTO executions (exec_id, trace_id, process, started_ns, last_ns)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                exec_id,
                context.trace_id.to_bytes(16, "big") if context is not None else b"",
                self._process,
                _integer(record.start_ns),
                _integer(record.end_ns),
            ),
        )
        row, owner = self._connection.execute(
            "SELECT id, process FROM executions WHERE exec_id = ?", (exec_id,)
        ).fetchone()
        if owner != self._process:
            elsewhere.append(exec_id)
        executions[exec_id] = execution = _Execution(row)
        return execution

    def _message(self, table: str, payload: bytes, schema_url: str) -> int:
        """Return the row of a resource or scope, which many spans have in common."""
        key = (table, payload, schema_url)
        row = self._messages.get(key)
        if row is None:
            self._connection.execute(
                f"INSERT OR IGNORE INTO {table} (payload, schema_url) VALUES (?, ?)",  # noqa: S608 - one of two literals
                (payload, schema_url),
            )
            (row,) = self._connection.execute(
                f"SELECT id FROM {table} WHERE payload = ? AND schema_url = ?",  # noqa: S608
                (payload, schema_url),
            ).fetchone()
            self._messages[key] = row
        return int(row)

    def _count(self, lost: Mapping[str, int]) -> None:
        for reason, number in lost.items():
            if number:
                self._connection.execute(
                    "INSERT INTO counters (name, value) VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    (f"lost: {reason}", number),
                )


def _span_id(span_id: int) -> bytes:
    return span_id.to_bytes(8, "big")


def _integer(value: int | None) -> int:
    return min(max(value or 0, -_MAX_INTEGER), _MAX_INTEGER)


def _plain(value: object) -> str | int | float | None:
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
