"""Turning spans and totals into rows, one transaction a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from phasetrace.attributes import text
from phasetrace.spans import EXECUTION
from phasetrace.store.entry import Entry
from phasetrace.store.totals import MAX_INTEGER, as_integer, write_part
from phasetrace.tally import ExecutionTotals
from phasetrace.wire import EncodedSpan

_COLUMNS: Final = 12
_ROWS: Final = 64
_INSERT: Final = (
    "INSERT INTO spans (stream, span_id, parent_span_id, type, name, node_id, node_type, iteration,"
    " start_ns, end_ns, status, payload) VALUES "
)
_ROW: Final = f"({', '.join('?' * _COLUMNS)})"
_INSERT_ONE: Final = _INSERT + _ROW
_INSERT_MANY: Final = _INSERT + ", ".join([_ROW] * _ROWS)


class _Execution:
    """What a batch says about one execution."""

    __slots__ = ("errors", "first_ns", "last_ns", "roots", "row", "spans")

    def __init__(self, row: int, first: Entry) -> None:
        self.row = row
        self.spans = 0
        self.errors = 0
        self.first_ns = first.start_ns
        self.last_ns = first.end_ns
        self.roots: list[Entry] = []

    def reach(self, entry: Entry) -> None:
        """Note that the execution lasted for as long as a span, which may be open still."""
        if entry.start_ns < self.first_ns:
            self.first_ns = entry.start_ns
        if entry.end_ns > self.last_ns:
            self.last_ns = entry.end_ns

    def count(self, entry: Entry) -> None:
        self.reach(entry)
        self.spans += 1
        if entry.type == EXECUTION:
            self.roots.append(entry)
        elif entry.status == "error":
            self.errors += 1


class _Transaction:
    """What has been looked up while a batch is written.

    Nothing of it outlives the transaction: others may remove rows as soon as that is over.
    """

    def __init__(self) -> None:
        self.executions: dict[str, _Execution] = {}
        self.messages: dict[tuple[str, bytes, str], int] = {}
        self.streams: dict[tuple[str, int, bool, bytes, bytes], int] = {}
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
        spans: Sequence[tuple[Entry, EncodedSpan]],
        totals: Iterable[ExecutionTotals],
        opened: Iterable[Entry],
        closed: Iterable[int],
        lost: Mapping[str, int],
    ) -> set[str]:
        """Write a batch in one transaction.

        `closed` are the ids of spans that have a row as open ones and are so no longer.

        Returns:
            The executions in it whose root is another process's task.

        Raises:
            Exception: whatever went wrong; nothing of the batch was written then.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = _Transaction()
            self._write_open(opened, transaction)
            self._write_spans(spans, closed, transaction)
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

    def claim(self, spans: Iterable[Entry]) -> set[str]:
        """Make this process the owner of the executions of some spans that have none yet.

        Returns:
            The executions whose root is another process's task.

        Raises:
            Exception: whatever went wrong; nothing was written then.
        """
        transaction = _Transaction()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for entry in spans:
                self._execution(entry, transaction)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return transaction.elsewhere

    def _write_open(self, opened: Iterable[Entry], transaction: _Transaction) -> None:
        for entry in opened:
            if entry.ended:
                continue
            execution = self._execution(entry, transaction)
            execution.reach(entry)
            if entry.type == EXECUTION and not entry.implicit:
                self._claim(execution, entry)
                self._connection.execute(
                    "UPDATE executions SET ended_ns = NULL, process = ?,"
                    " root_ended = root_ended AND root_span_id <> ?"
                    " WHERE id = ? AND (root_ended OR root_span_id = ?)",
                    (
                        self._process,
                        _span_id(entry.span_id),
                        execution.row,
                        _span_id(entry.span_id),
                    ),
                )
            self._connection.execute(
                "INSERT OR REPLACE INTO open_spans VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._process,
                    _span_id(entry.span_id),
                    _span_id(entry.parent_id) if entry.parent_id is not None else None,
                    execution.row,
                    entry.type,
                    entry.name,
                    entry.node_id,
                    as_integer(entry.start_ns),
                ),
            )

    def _write_spans(
        self,
        spans: Sequence[tuple[Entry, EncodedSpan]],
        closed: Iterable[int],
        transaction: _Transaction,
    ) -> None:
        # PERF: a statement for 64 rows instead of one each takes a fifth off, and gives the
        # interpreter lock away, which a busy program keeps for 5 ms each time, 64 times less often.
        values: list[Any] = []
        executions, streams = transaction.executions, transaction.streams
        for entry, encoded in spans:
            (
                exec_id,
                trace_id,
                sampled,
                span_id,
                parent_id,
                type_,
                name,
                node_id,
                node_type,
                iteration,
                start_ns,
                end_ns,
                status,
                *_,
            ) = entry
            execution = executions.get(exec_id) or self._execution(entry, transaction)
            execution.count(entry)
            common = (exec_id, trace_id, sampled, encoded.scope, encoded.resource)
            stream = streams.get(common)
            if stream is None:
                stream = streams[common] = self._stream(entry, encoded, execution.row, transaction)
            values += (
                stream,
                span_id.to_bytes(8, "big"),
                parent_id.to_bytes(8, "big") if parent_id is not None else None,
                type_,
                name,
                node_id,
                node_type,
                iteration if iteration is None else _plain(iteration),
                start_ns if 0 <= start_ns <= MAX_INTEGER else as_integer(start_ns),
                end_ns if 0 <= end_ns <= MAX_INTEGER else as_integer(end_ns),
                status,
                encoded.span,
            )
        whole = len(values) - len(values) % (_ROWS * _COLUMNS)
        for start in range(0, whole, _ROWS * _COLUMNS):
            self._connection.execute(_INSERT_MANY, values[start : start + _ROWS * _COLUMNS])
        for start in range(whole, len(values), _COLUMNS):
            self._connection.execute(_INSERT_ONE, values[start : start + _COLUMNS])
        self._connection.executemany(
            "DELETE FROM open_spans WHERE process = ? AND span_id = ?",
            [(self._process, _span_id(span_id)) for span_id in closed],
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
        for entry in sorted(execution.roots, key=lambda root: root.start_ns):
            if entry.implicit:
                condition = "NOT explicit"
            else:
                self._claim(execution, entry)
                # Whatever ends while the root is open does not end the execution.
                condition = "root_ended"
            end_ns = as_integer(entry.end_ns)
            self._connection.execute(
                "UPDATE executions SET"  # noqa: S608 - one of two literals
                " status = CASE WHEN coalesce(ended_ns, 0) <= ? THEN ? ELSE status END,"
                f" ended_ns = max(coalesce(ended_ns, 0), ?) WHERE id = ? AND {condition}",
                (end_ns, entry.status, end_ns, execution.row),
            )

    def _claim(self, execution: _Execution, entry: Entry) -> None:
        """Make an explicit execution of it, whose root is the first span that opened it."""
        root_span_id = _span_id(entry.span_id)
        self._connection.execute(
            "UPDATE executions SET process = ?, explicit = 1, name = ?, trace_id = ?,"
            " root_span_id = ?, parent_exec_id = ?, root_ended = ?"
            " WHERE id = ? AND (root_span_id IS NULL OR root_span_id = ?)",
            (
                self._process,
                entry.name,
                entry.trace_id.to_bytes(16, "big"),
                root_span_id,
                entry.parent_exec_id,
                entry.ended,
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

    def _execution(self, entry: Entry, transaction: _Transaction) -> _Execution:
        exec_id = entry.exec_id
        known = transaction.executions.get(exec_id)
        if known is not None:
            return known
        self._connection.execute(
            "INSERT OR IGNORE INTO executions (exec_id, trace_id, process, started_ns, last_ns)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                exec_id,
                entry.trace_id.to_bytes(16, "big"),
                self._process,
                as_integer(entry.start_ns),
                as_integer(entry.end_ns),
            ),
        )
        row, owner = self._connection.execute(
            "SELECT id, process FROM executions WHERE exec_id = ?", (exec_id,)
        ).fetchone()
        if owner != self._process:
            transaction.elsewhere.add(exec_id)
        transaction.executions[exec_id] = execution = _Execution(row, entry)
        return execution

    def _stream(
        self, entry: Entry, encoded: EncodedSpan, execution: int, transaction: _Transaction
    ) -> int:
        """Return the row of what many spans have in common."""
        values = (
            execution,
            self._process,
            self._message("resources", encoded.resource, encoded.resource_schema_url, transaction),
            self._message("scopes", encoded.scope, encoded.scope_schema_url, transaction),
            entry.trace_id.to_bytes(16, "big"),
            entry.sampled,
        )
        self._connection.execute(
            "INSERT OR IGNORE INTO streams (execution, process, resource, scope, trace_id, sampled)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
        (row,) = self._connection.execute(
            "SELECT id FROM streams WHERE execution = ? AND process = ? AND resource = ?"
            " AND scope = ? AND trace_id = ? AND sampled = ?",
            values,
        ).fetchone()
        return int(row)

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
