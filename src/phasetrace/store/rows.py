"""Turning spans and totals into blocks and rows, one transaction a batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from phasetrace.spans import EXECUTION
from phasetrace.store import destinations
from phasetrace.store.batch import SpanGroup
from phasetrace.store.destinations import LOST, NO_EXECUTION, NOWHERE, STORED, Registered
from phasetrace.store.entry import Entry, FirstSpan
from phasetrace.store.totals import as_integer, write_part
from phasetrace.tally import ExecutionTotals


class _Execution:
    """What a batch says about one execution."""

    __slots__ = ("errors", "first_ns", "last_ns", "roots", "row", "seen_ns", "spans")

    def __init__(self, row: int, first: FirstSpan) -> None:
        self.row = row
        self.spans = 0
        self.errors = 0
        self.first_ns = first.start_ns
        self.last_ns = first.end_ns
        self.seen_ns = 0
        self.roots: list[Entry] = []

    def reach(self, first_ns: int, last_ns: int) -> None:
        """Note that the execution lasted for as long as some spans, which may be open still."""
        if first_ns < self.first_ns:
            self.first_ns = first_ns
        if last_ns > self.last_ns:
            self.last_ns = last_ns

    def count(self, group: SpanGroup) -> None:
        self.reach(min(group.spans.starts), max(group.spans.ends))
        self.errors += group.errors
        self.roots += group.roots
        if group.is_raw:  # what is not stored is in the totals only, which are then the better ones
            self.spans += len(group.spans)


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

    What is to be delivered is for the destinations in `registered`. Not thread-safe: the caller
    holds a lock.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        process: int,
        registered: Registered = destinations.NONE,
    ) -> None:
        self._connection = connection
        self._process = process
        self._registered = registered

    def write(
        self,
        groups: Sequence[SpanGroup],
        totals: Iterable[ExecutionTotals],
        opened: Iterable[Entry],
        closed: Iterable[int],
        lost: Mapping[str, int],
        routed_lost: Mapping[str, int],
    ) -> set[str]:
        """Write a batch in one transaction.

        `closed` are the ids of spans that have a row as open ones and are so no longer. Of the
        spans that were `lost`, by reason, `routed_lost` were to be delivered.

        Returns:
            The executions in it whose root is another process's task.

        Raises:
            Exception: whatever went wrong; nothing of the batch was written then.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = _Transaction()
            self._write_open(opened, transaction)
            self._write_groups(groups, transaction)
            self._connection.executemany(
                "DELETE FROM open_spans WHERE process = ? AND span_id = ?",
                [(self._process, _span_id(span_id)) for span_id in closed],
            )
            for execution in transaction.executions.values():
                self._update(execution)
            for total in totals:
                self._write_totals(total, transaction)
            self._count(lost, routed_lost)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return transaction.elsewhere

    def write_ended(self, groups: Sequence[SpanGroup]) -> None:
        """Write spans that are to go nowhere; the transaction is the caller's.

        Raises:
            Exception: whatever went wrong.
        """
        transaction = _Transaction()
        self._write_groups(groups, transaction)
        for execution in transaction.executions.values():
            self._update(execution)

    def claim(self, spans: Iterable[FirstSpan]) -> set[str]:
        """Make this process the owner of the executions of some spans that have none yet.

        Returns:
            The executions whose root is another process's task.

        Raises:
            Exception: whatever went wrong; nothing was written then.
        """
        transaction = _Transaction()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for first in spans:
                self._execution(first, transaction)
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
            first = FirstSpan(entry.exec_id, entry.trace_id, entry.start_ns, entry.start_ns)
            execution = self._execution(first, transaction)
            execution.reach(entry.start_ns, entry.start_ns)
            execution.seen_ns = max(execution.seen_ns, entry.end_ns)
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

    def _write_groups(self, groups: Iterable[SpanGroup], transaction: _Transaction) -> None:
        routed = 0
        for group in groups:
            route = self._registered.route if group.is_routed else NOWHERE
            row = NO_EXECUTION
            if group.exec_id is not None:
                execution = self._execution(group.first, transaction)
                execution.count(group)
                row = execution.row
            elif route == NOWHERE:
                continue  # nobody wants to have it any more
            if not group.is_raw:
                continue
            stream = self._stream(group, row, route, transaction)
            for block in group.spans.blocks():
                self._connection.execute(
                    "INSERT INTO blocks (stream, spans, labels, columns, payload)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (stream, *block),
                )
            if route != NOWHERE:
                routed += len(group.spans)
        destinations.count(self._connection, self._registered.ids.values(), {STORED: routed})

    def _update(self, execution: _Execution) -> None:
        self._connection.execute(
            "UPDATE executions SET spans = spans + ?, errors = errors + ?, openings = openings + ?,"
            # One that was opened lasts as long as its root, whatever was timed before that.
            " started_ns = CASE WHEN explicit THEN started_ns ELSE min(started_ns, ?) END,"
            " last_ns = max(last_ns, ?), seen_ns = max(seen_ns, ?) WHERE id = ?",
            (
                execution.spans,
                execution.errors,
                len(execution.roots),
                as_integer(execution.first_ns),
                as_integer(execution.last_ns),
                as_integer(execution.seen_ns),
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
            " root_span_id = ?, parent_exec_id = ?, root_ended = ?,"
            " started_ns = CASE WHEN explicit THEN min(started_ns, ?) ELSE ? END"
            " WHERE id = ? AND (root_span_id IS NULL OR root_span_id = ?)",
            (
                self._process,
                entry.name,
                entry.trace_id.to_bytes(16, "big"),
                root_span_id,
                entry.parent_exec_id,
                entry.ended,
                as_integer(entry.start_ns),
                as_integer(entry.start_ns),
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

    def _execution(self, first: FirstSpan, transaction: _Transaction) -> _Execution:
        exec_id = first.exec_id
        known = transaction.executions.get(exec_id)
        if known is not None:
            return known
        # PERF: looked for first, here and below: most batches go on with what there is, and each
        # statement lets the interpreter go, which busy threads then keep for 5 ms.
        found = self._connection.execute(
            "SELECT id, process FROM executions WHERE exec_id = ?", (exec_id,)
        ).fetchone()
        if found is None:
            found = (
                self._insert(
                    "INSERT INTO executions (exec_id, trace_id, process, started_ns, last_ns)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (
                        exec_id,
                        first.trace_id.to_bytes(16, "big"),
                        self._process,
                        as_integer(first.start_ns),
                        as_integer(first.end_ns),
                    ),
                ),
                self._process,
            )
        row, owner = found
        if owner != self._process:
            transaction.elsewhere.add(exec_id)
        transaction.executions[exec_id] = execution = _Execution(row, first)
        return execution

    def _stream(
        self, group: SpanGroup, execution: int, route: int, transaction: _Transaction
    ) -> int:
        """Return the row of what many spans have in common."""
        resource, resource_schema_url, scope, scope_schema_url = group.belonging
        values = (
            execution,
            self._process,
            self._message("resources", resource, resource_schema_url, transaction),
            self._message("scopes", scope, scope_schema_url, transaction),
            group.trace_id.to_bytes(16, "big") if execution != NO_EXECUTION else b"",
            group.sampled,
            route,
        )
        found = self._connection.execute(
            "SELECT id FROM streams WHERE execution = ? AND process = ? AND resource = ?"
            " AND scope = ? AND trace_id = ? AND sampled = ? AND route = ?",
            values,
        ).fetchone()
        if found is not None:
            return int(found[0])
        return self._insert(
            "INSERT INTO streams (execution, process, resource, scope, trace_id, sampled, route)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def _message(
        self, table: str, payload: bytes, schema_url: str, transaction: _Transaction
    ) -> int:
        """Return the row of a resource or scope, which many spans have in common."""
        key = (table, payload, schema_url)
        row = transaction.messages.get(key)
        if row is None:
            values = (payload, schema_url)
            found = self._connection.execute(
                f"SELECT id FROM {table} WHERE payload = ? AND schema_url = ?",  # noqa: S608 - one of two literals
                values,
            ).fetchone()
            row = transaction.messages[key] = (
                int(found[0])
                if found is not None
                else self._insert(
                    f"INSERT INTO {table} (payload, schema_url) VALUES (?, ?)",  # noqa: S608
                    values,
                )
            )
        return row

    def _insert(self, statement: str, values: tuple[object, ...]) -> int:
        """Insert a row; return its number."""
        return int(self._connection.execute(statement, values).lastrowid or 0)

    def _count(self, lost: Mapping[str, int], routed_lost: Mapping[str, int]) -> None:
        for reason, number in lost.items():
            if number:
                self._connection.execute(
                    "INSERT INTO counters (name, value) VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    (LOST + reason, number),
                )
        destinations.count(
            self._connection,
            self._registered.ids.values(),
            {LOST + reason: number for reason, number in routed_lost.items()},
        )


def _span_id(span_id: int) -> bytes:
    return span_id.to_bytes(8, "big")
