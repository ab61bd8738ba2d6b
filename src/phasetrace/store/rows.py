"""Turning spans and totals into rows, one transaction a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace.attributes import text
from phasetrace.context import EXEC_ID, ITERATION, PARENT_EXEC_ID
from phasetrace.processor import is_implicit, record_of
from phasetrace.spans import EXECUTION, SpanRecord
from phasetrace.store.totals import as_integer, write_part
from phasetrace.tally import ExecutionTotals
from phasetrace.wire import EncodedSpan


class _Execution:
    """What a batch says about one execution."""

    __slots__ = ("errors", "first_ns", "last_ns", "roots", "row", "spans")

    def __init__(self, row: int, first: SpanRecord) -> None:
        self.row = row
        self.spans = 0
        self.errors = 0
        self.first_ns = first.start_ns
        self.last_ns = first.end_ns
        self.roots: list[tuple[ReadableSpan, SpanRecord]] = []

    def reach(self, record: SpanRecord) -> None:
        """Note that the execution lasted for as long as a span, which may be open still."""
        self.first_ns = min(self.first_ns, record.start_ns)
        self.last_ns = max(self.last_ns, record.end_ns)

    def count(self, span: ReadableSpan, record: SpanRecord) -> None:
        self.reach(record)
        self.spans += 1
        if record.type == EXECUTION:
            self.roots.append((span, record))
        else:
            self.errors += record.status == "error"


class _Transaction:
    """What has been looked up while a batch is written.

    Nothing of it outlives the transaction: others may remove rows as soon as that is over.
    """

    def __init__(self) -> None:
        self.executions: dict[str, _Execution] = {}
        self.messages: dict[tuple[str, bytes, str], int] = {}
        self.elsewhere: set[str] = set()


class RowWriter:
    """Writes to one open store for one process (a row of ``processes``).

    Not thread-safe: the caller holds a lock.
    """

    def __init__(self, connection: sqlite3.Connection, process: int) -> None:
        self._connection = connection
        self._process = process

    def write(
        self,
        spans: Sequence[tuple[ReadableSpan, EncodedSpan]],
        totals: Iterable[ExecutionTotals],
        opened: Iterable[ReadableSpan],
        lost: Mapping[str, int],
    ) -> set[str]:
        """Write a batch in one transaction.

        Returns:
            The executions in it whose root is another process's task.

        Raises:
            Exception: whatever went wrong; nothing of the batch was written then.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = _Transaction()
            self._write_open(opened, transaction)
            self._write_spans(spans, transaction)
            for execution in transaction.executions.values():
                self._update(execution)
            for total in totals:
                self._write_totals(total, transaction)
            self._count(lost)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return transaction.elsewhere

    def claim(self, spans: Iterable[ReadableSpan]) -> set[str]:
        """Make this process the owner of the executions of some spans that have none yet.

        Returns:
            The executions whose root is another process's task.

        Raises:
            Exception: whatever went wrong; nothing was written then.
        """
        transaction = _Transaction()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for span in spans:
                record = record_of(span)
                if record is not None:
                    self._execution(span, record, transaction)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return transaction.elsewhere

    def _write_open(self, opened: Iterable[ReadableSpan], transaction: _Transaction) -> None:
        for span in opened:
            record = record_of(span)
            if record is None or span.end_time is not None:
                continue
            execution = self._execution(span, record, transaction)
            execution.reach(record)
            if record.type == EXECUTION and not is_implicit(span):
                self._claim(execution, span, record)
                self._connection.execute(
                    "UPDATE executions SET ended_ns = NULL, process = ?,"
                    " root_ended = root_ended AND root_span_id <> ?"
                    " WHERE id = ? AND (root_ended OR root_span_id = ?)",
                    (
                        self._process,
                        _span_id(record.span_id),
                        execution.row,
                        _span_id(record.span_id),
                    ),
                )
            self._connection.execute(
                "INSERT OR REPLACE INTO open_spans VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._process,
                    _span_id(record.span_id),
                    _span_id(record.parent_id) if record.parent_id is not None else None,
                    execution.row,
                    record.type,
                    record.name,
                    record.node_id,
                    as_integer(record.start_ns),
                ),
            )

    def _write_spans(
        self, spans: Sequence[tuple[ReadableSpan, EncodedSpan]], transaction: _Transaction
    ) -> None:
        rows = []
        for span, encoded in spans:
            record, context = record_of(span), span.get_span_context()
            if record is None or context is None:
                continue  # belongs to no execution
            execution = self._execution(span, record, transaction)
            execution.count(span, record)
            rows.append(
                (
                    execution.row,
                    self._process,
                    self._message(
                        "resources", encoded.resource, encoded.resource_schema_url, transaction
                    ),
                    self._message("scopes", encoded.scope, encoded.scope_schema_url, transaction),
                    context.trace_id.to_bytes(16, "big"),
                    _span_id(record.span_id),
                    _span_id(record.parent_id) if record.parent_id is not None else None,
                    record.type,
                    record.name,
                    record.node_id,
                    record.node_type,
                    _plain((span.attributes or {}).get(ITERATION)),
                    as_integer(record.start_ns),
                    as_integer(record.end_ns),
                    record.status,
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

    def _update(self, execution: _Execution) -> None:
        self._connection.execute(
            "UPDATE executions SET spans = spans + ?, errors = errors + ?, openings = openings + ?,"
            " started_ns = min(started_ns, ?), last_ns = max(last_ns, ?) WHERE id = ?",
            (
                execution.spans,
                execution.errors,
                len(execution.roots),
                as_integer(execution.first_ns),
                as_integer(execution.last_ns),
                execution.row,
            ),
        )
        # By their start, so that a root comes before what was opened again within it.
        for span, record in sorted(execution.roots, key=lambda root: root[1].start_ns):
            if is_implicit(span):
                condition = "NOT explicit"
            else:
                self._claim(execution, span, record)
                # Whatever ends while the root is open does not end the execution.
                condition = "root_ended"
            end_ns = as_integer(record.end_ns)
            self._connection.execute(
                "UPDATE executions SET"  # noqa: S608 - one of two literals
                " status = CASE WHEN coalesce(ended_ns, 0) <= ? THEN ? ELSE status END,"
                f" ended_ns = max(coalesce(ended_ns, 0), ?) WHERE id = ? AND {condition}",
                (end_ns, record.status, end_ns, execution.row),
            )

    def _claim(self, execution: _Execution, span: ReadableSpan, record: SpanRecord) -> None:
        """Make an explicit execution of it, whose root is the first span that opened it."""
        context = span.get_span_context()
        parent_exec_id = (span.attributes or {}).get(PARENT_EXEC_ID)
        root_span_id = _span_id(record.span_id)
        self._connection.execute(
            "UPDATE executions SET process = ?, explicit = 1, name = ?, trace_id = ?,"
            " root_span_id = ?, parent_exec_id = ?, root_ended = ?"
            " WHERE id = ? AND (root_span_id IS NULL OR root_span_id = ?)",
            (
                self._process,
                record.name,
                context.trace_id.to_bytes(16, "big") if context is not None else b"",
                root_span_id,
                text(parent_exec_id) if parent_exec_id is not None else None,
                span.end_time is not None,
                execution.row,
                root_span_id,
            ),
        )

    def _write_totals(self, totals: ExecutionTotals, transaction: _Transaction) -> None:
        found = self._connection.execute(
            "SELECT id, process FROM executions WHERE exec_id = ?", (totals.exec_id,)
        ).fetchone()
        if found is None:
            return  # removed meanwhile, or none of its spans could be stored
        row, owner = found
        if owner != self._process:
            transaction.elsewhere.add(totals.exec_id)
        write_part(
            self._connection,
            row,
            self._process,
            totals.part,
            totals.spans,
            totals.unattributed_ns,
            totals.stats,
        )

    def _execution(
        self, span: ReadableSpan, record: SpanRecord, transaction: _Transaction
    ) -> _Execution:
        exec_id = text((span.attributes or {})[EXEC_ID])
        known = transaction.executions.get(exec_id)
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
                as_integer(record.start_ns),
                as_integer(record.end_ns),
            ),
        )
        row, owner = self._connection.execute(
            "SELECT id, process FROM executions WHERE exec_id = ?", (exec_id,)
        ).fetchone()
        if owner != self._process:
            transaction.elsewhere.add(exec_id)
        transaction.executions[exec_id] = execution = _Execution(row, record)
        return execution

    def _message(
        self, table: str, payload: bytes, schema_url: str, transaction: _Transaction
    ) -> int:
        """Return the row of a resource or scope, which many spans have in common."""
        key = (table, payload, schema_url)
        row = transaction.messages.get(key)
        if row is None:
            self._connection.execute(
                f"INSERT OR IGNORE INTO {table} (payload, schema_url) VALUES (?, ?)",  # noqa: S608 - one of two literals
                (payload, schema_url),
            )
            (row,) = self._connection.execute(
                f"SELECT id FROM {table} WHERE payload = ? AND schema_url = ?",  # noqa: S608
                (payload, schema_url),
            ).fetchone()
            transaction.messages[key] = row
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


def _plain(value: object) -> str | int | float | None:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int) and as_integer(value) == value:
        return value
    return text(value)
