"""Asking the store. Imports no OpenTelemetry, so that the reading commands start fast."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from phasetrace.breakdowns import (
    ExecutionBreakdown,
    ExecutionHeader,
    breakdown_of,
    make_breakdown,
)
from phasetrace.errors import StoreError, UnknownExecution
from phasetrace.spans import EXECUTION, SpanRecord
from phasetrace.store.file import open_for_reading
from phasetrace.store.process import is_alive
from phasetrace.store.totals import read_parts

_EXECUTIONS = (
    "SELECT e.id, e.exec_id, e.name, e.trace_id, e.root_span_id, e.parent_exec_id, e.explicit,"
    " e.started_ns, e.last_ns, e.ended_ns, e.status, e.spans, e.errors,"
    " p.pid, p.birth, p.host, p.closed_ns"
    " FROM executions e JOIN processes p ON p.id = e.process"
)
_NEAREST_AMONG = 2_000
_LONGEST_NEAREST = 200
_LOST = "lost: "


class StoredExecution(NamedTuple):
    """One row of the list of executions; times in Unix nanoseconds.

    ``root_span_id`` is None unless the execution was opened explicitly. ``status`` is running, ok,
    error, cancelled, or abandoned: its process is gone and never ended it.
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


class StoreReader:
    """Answers questions about what is in a store. Use it in one thread; close it afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_for_reading(path)

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def executions(self, limit: int | None = None) -> list[StoredExecution]:
        """Return executions, the one that started last first."""
        with self._queries():
            cursor = self._connection.execute(
                f"{_EXECUTIONS} ORDER BY e.started_ns DESC, e.id DESC LIMIT ?",
                (-1 if limit is None else limit,),
            )
            return [_execution(*row) for row in cursor]

    def latest(self) -> StoredExecution:
        """Return the execution that started last.

        Raises:
            UnknownExecution: if there is none.
        """
        executions = self.executions(limit=1)
        if not executions:
            raise UnknownExecution("latest")
        return executions[0]

    def find(self, exec_id: str) -> StoredExecution:
        """Return an execution by its id.

        Raises:
            UnknownExecution: with the ids that come nearest.
        """
        with self._queries():
            row = self._connection.execute(
                f"{_EXECUTIONS} WHERE e.exec_id = ?", (_stored(exec_id),)
            ).fetchone()
            if row is not None:
                return _execution(*row)
            # Comparing two takes the square of their length, so that huge ones are left out.
            ids = [
                known
                for (known,) in self._connection.execute(
                    "SELECT exec_id FROM executions WHERE length(exec_id) <= ?"
                    " ORDER BY started_ns DESC LIMIT ?",
                    (_LONGEST_NEAREST, _NEAREST_AMONG),
                )
            ]
        import difflib

        raise UnknownExecution(exec_id, tuple(difflib.get_close_matches(exec_id, ids, 3, 0.5)))

    def breakdown(self, execution: StoredExecution) -> ExecutionBreakdown:
        """Return where an execution's time went.

        From the totals of the one process that ran it, where they are complete; worked out from the
        spans where several processes took part, or the process has not written its totals (it is
        still running, or died).
        """
        header = ExecutionHeader(
            exec_id=execution.exec_id,
            name=execution.name,
            status=execution.status,
            trace_id=execution.trace_id,
            started_ns=execution.started_ns,
            duration_ns=execution.duration_ns,
        )
        with self._queries():
            # The numbers of the parts and of their phases have to be from one moment.
            self._connection.execute("BEGIN")
            try:
                return self._breakdown(execution, header)
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _breakdown(self, execution: StoredExecution, header: ExecutionHeader) -> ExecutionBreakdown:
        parts = self._connection.execute(
            "SELECT id, spans, unattributed_ns FROM aggregate_parts WHERE execution = ?",
            (execution.row,),
        ).fetchall()
        counted = sum(spans for _, spans, _ in parts)
        if counted > execution.spans or (len(parts) == 1 and counted == execution.spans):
            stats = read_parts(self._connection, [part for part, _, _ in parts])
            unattributed_ns = sum(unattributed_ns for *_, unattributed_ns in parts)
            return make_breakdown(header, stats, counted, unattributed_ns)
        spans = list(self.spans(execution))
        return breakdown_of(header, spans, execution.root_span_id or _root_around(spans))

    def spans(self, execution: StoredExecution) -> Iterator[SpanRecord]:
        """Return the finished spans of an execution, in the order in which they were written."""
        with self._queries():
            for span_id, parent_id, *rest in self._connection.execute(
                "SELECT span_id, parent_span_id, type, name, node_id, node_type, start_ns, end_ns,"
                " status FROM spans WHERE execution = ? ORDER BY seq",
                (execution.row,),
            ):
                yield SpanRecord(
                    int.from_bytes(span_id, "big"),
                    int.from_bytes(parent_id, "big") if parent_id else None,
                    *rest,
                )

    def open_spans(self, execution: StoredExecution) -> list[StoredOpenSpan]:
        """Return the spans of an execution that had not ended when last heard of, oldest first."""
        with self._queries():
            return [
                StoredOpenSpan(
                    span_id=int.from_bytes(span_id, "big"),
                    parent_id=int.from_bytes(parent_id, "big") if parent_id else None,
                    type=type_,
                    name=name,
                    node_id=node_id,
                    start_ns=start_ns,
                    running=closed_ns is None and is_alive(pid, birth, host),
                )
                for (
                    span_id,
                    parent_id,
                    type_,
                    name,
                    node_id,
                    start_ns,
                    pid,
                    birth,
                    host,
                    closed_ns,
                ) in self._connection.execute(
                    "SELECT o.span_id, o.parent_span_id, o.type, o.name, o.node_id, o.start_ns,"
                    " p.pid, p.birth, p.host, p.closed_ns"
                    " FROM open_spans o JOIN processes p ON p.id = o.process"
                    " WHERE o.execution = ? ORDER BY o.start_ns",
                    (execution.row,),
                )
            ]

    def lost(self) -> dict[str, int]:
        """Return how many spans could not be stored, by reason, in all processes."""
        with self._queries():
            return {
                name.removeprefix(_LOST): value
                for name, value in self._connection.execute("SELECT name, value FROM counters")
                if name.startswith(_LOST)
            }

    @contextmanager
    def _queries(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise StoreError(f"cannot read the store {self._path}: {error}") from error


def _root_around(spans: list[SpanRecord]) -> int | None:
    """Return the id of the execution span that holds all others, if one does.

    An implicit execution is given one by the process that it began in; what other processes do
    after that is outside, and is time of the execution all the same.
    """
    roots = [span for span in spans if span.type == EXECUTION]
    if roots:
        root = max(roots, key=lambda span: span.end_ns - span.start_ns)
        if all(root.start_ns <= span.start_ns and span.end_ns <= root.end_ns for span in spans):
            return root.span_id
    return None


def _stored(exec_id: str) -> str:
    """Return an id in the form in which it is stored (`phasetrace.attributes.text`)."""
    return exec_id.encode("utf-8", "backslashreplace").decode("utf-8")


def _execution(
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
    pid: int,
    birth: str,
    host: str,
    closed_ns: int | None,
) -> StoredExecution:
    if ended_ns is None:
        alive = closed_ns is None and is_alive(pid, birth, host)
        status = "running" if alive else "abandoned"
    elif not explicit and status == "ok" and errors:
        status = "error"
    until_ns = ended_ns if explicit and ended_ns is not None else last_ns
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
    )
