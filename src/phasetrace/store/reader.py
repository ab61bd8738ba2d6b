"""Asking the store. Imports no OpenTelemetry, so that the reading commands start fast."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasetrace import clock
from phasetrace.analysis.recording import Recording
from phasetrace.breakdowns import (
    ExecutionBreakdown,
    ExecutionSummary,
    OpenSpan,
    make_breakdown,
    open_calls,
)
from phasetrace.errors import StoreError, UnknownExecution
from phasetrace.history import MOST, Usual, usual
from phasetrace.recordings.source import EVERYTHING, Where
from phasetrace.rollup import SEPARATOR, number_within, open_within, spans_within
from phasetrace.shares import left_over
from phasetrace.spans import EXECUTION, SYSTEM_NODE, SpanRecord
from phasetrace.store import arrival
from phasetrace.store.blocks import labels_of, messages, records
from phasetrace.store.file import DamagedStore, is_damage, open_for_reading
from phasetrace.store.process import host_name, is_alive
from phasetrace.store.selection import DURATIONS_BEFORE, MATCHES, admits, condition, matcher
from phasetrace.store.standing import Standing, read_standing
from phasetrace.store.stored import (
    EXECUTIONS,
    OF_CHILDREN,
    StoredExecution,
    StoredOpenSpan,
    header_of,
    key_of_open,
    stored_execution,
)
from phasetrace.store.totals import read_parts

if TYPE_CHECKING:
    from phasetrace.live import Activity
    from phasetrace.store.activity import Memory
    from phasetrace.store.strays import Strays

_NEAREST_AMONG = 2_000
_LONGEST_NEAREST = 200
_LOST = "lost: "
_ENDED = ("ok", "error", "cancelled")
_SET_ASIDE = "the next program that records sets it aside and starts a new one"


class StoreReader:
    """Answers questions about what is in a store. Use it in one thread; close it afterwards."""

    notes: tuple[str, ...] = ()
    is_remote = False

    def __init__(self, path: Path, now_ns: clock.NowNs = clock.now_ns) -> None:
        self._path = path
        self._now_ns = now_ns
        try:
            self._connection = open_for_reading(path)
        except DamagedStore as error:
            raise DamagedStore(error.found, error.identity, f"; {_SET_ASIDE}") from error

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def executions(
        self, limit: int | None = None, where: Where = EVERYTHING
    ) -> list[StoredExecution]:
        """Return executions, the one that started last first.

        Reads no further than to the last of them.
        """
        terms, values = condition(where)
        with self._queries():
            if where.name is not None:
                self._connection.create_function(MATCHES, 1, matcher(where.name))
            with closing(
                self._connection.execute(
                    f"{EXECUTIONS} WHERE {terms} ORDER BY e.started_ns DESC, e.id DESC", values
                )
            ) as cursor:
                now_ns = self._now_ns()
                known = (stored_execution(now_ns, *row) for row in cursor)
                return list(islice((one for one in known if admits(where, one)), limit))

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
                f"{EXECUTIONS} WHERE e.exec_id = ?", (_stored(exec_id),)
            ).fetchone()
            if row is not None:
                return stored_execution(self._now_ns(), *row)
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

    def knows(self, exec_id: str) -> bool:
        """Tell whether there is an execution of an id."""
        with self._queries():
            row = self._connection.execute(
                "SELECT 1 FROM executions WHERE exec_id = ?", (_stored(exec_id),)
            ).fetchone()
        return row is not None

    def breakdown(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        recording: Recording | None = None,
    ) -> ExecutionBreakdown:
        """Return where an execution's time went, or has gone so far.

        `rolled_up` has its sub-executions, and theirs, among its nodes; see `phasetrace.rollup`.
        Who has the `recording` already, of the same kind, spares the spans being read once more.

        From the totals of the one process that ran it, where they are complete; worked out from the
        spans where several processes took part, the execution was opened more than once, or the
        process has not written its totals (it is still running, or died). The spans that are open
        then are part of it.
        """
        with self._one_moment():
            execution = self._again(execution)
            subs = self._sub_executions(execution) if rolled_up else []
            found = None if subs else self._from_totals(execution)
            if found is not None:
                return found
            if recording is None:
                recording = self._recording(execution, subs, self.spans)
            return recording.breakdown()

    def summary(self, execution: StoredExecution) -> ExecutionSummary:
        """Return what is known of an execution without working a breakdown out."""
        with self._one_moment():
            execution = self._again(execution)
            open_spans, now_ns = self._open_now(execution)
            return ExecutionSummary(
                execution=header_of(execution),
                nodes=self._count_nodes(execution),
                spans=execution.spans,
                errors=execution.errors,
                open=open_calls(open_spans, now_ns),
            )

    def within(self, execution: StoredExecution) -> int:
        """Return how many executions were started within one, at any depth."""
        with self._queries():
            pairs = self._connection.execute(
                "SELECT parent_exec_id, exec_id FROM executions WHERE parent_exec_id IS NOT NULL"
            )
            return number_within(execution.exec_id, pairs)

    def usual_of(self, execution: StoredExecution) -> Usual | None:
        """Return what the runs of the same name usually took that had started before this one.

        None where there are too few of them, or the execution has no name but its id.
        """
        if execution.name is None or execution.name == execution.exec_id:
            return None
        return self.usual_before(execution.name, execution.started_ns)

    def usual_before(self, name: str, started_ns: int) -> Usual | None:
        """Return what the runs of a name usually took that started before a time."""
        with self._queries():
            rows = self._connection.execute(DURATIONS_BEFORE, (name, started_ns, MOST)).fetchall()
        return usual([duration_ns for (duration_ns,) in rows])

    def runs_before(self, execution: StoredExecution, started_ns: int) -> bool:
        """Tell whether a process that began to record before a time has spans of an execution."""
        if execution.started_ns >= started_ns:
            return False
        with self._queries():
            (before,) = self._connection.execute(
                "SELECT coalesce(min(p.started_ns < ?), 0) FROM blocks b"
                " JOIN streams t ON t.id = b.stream JOIN processes p ON p.id = t.process"
                " WHERE b.seq = (SELECT min(seq) FROM blocks"
                " WHERE stream IN (SELECT id FROM streams WHERE execution = ?))",
                (started_ns, execution.row),
            ).fetchone()
        return bool(before)

    def of_children(self, pid: int, started_ns: int) -> list[StoredExecution]:
        """Return the executions that a process's children took part in, the latest first.

        Theirs too. The process runs on this host; only what began to record since `started_ns`
        counts, as pids are given again.
        """
        with self._queries():
            now_ns, host = self._now_ns(), host_name()
            cursor = self._connection.execute(
                OF_CHILDREN, {"pid": pid, "host": host, "started_ns": started_ns}
            )
            return [stored_execution(now_ns, *row) for row in cursor]

    def counted_shares_ns(self, execution: StoredExecution) -> list[int]:
        """Return how much of an execution nodes and phases account for, by each part of its totals.

        One process hands in one part, or several.
        """
        with self._queries():
            cursor = self._connection.execute(
                "SELECT coalesce(sum(a.share_ns), 0) FROM aggregate_parts p"
                " LEFT JOIN aggregates a ON a.part = p.id WHERE p.execution = ? GROUP BY p.id",
                (execution.row,),
            )
            return [round(share_ns) for (share_ns,) in cursor]

    def strays(self, own: StoredExecution, others: Collection[StoredExecution]) -> Strays | None:
        """Return which calls of a run's own execution ran while another one was open, if any."""
        from phasetrace.store.strays import read_strays

        with self._queries():
            return read_strays(self._connection, own, others, host_name())

    def _again(self, execution: StoredExecution) -> StoredExecution:
        """Return an execution as it is by now."""
        row = self._connection.execute(f"{EXECUTIONS} WHERE e.id = ?", (execution.row,)).fetchone()
        return stored_execution(self._now_ns(), *row) if row is not None else execution

    def _from_totals(self, execution: StoredExecution) -> ExecutionBreakdown | None:
        """Return the breakdown by what the processes counted, if that is all there is to count."""
        parts = self._connection.execute(
            "SELECT id, spans, unattributed_ns FROM aggregate_parts WHERE execution = ?",
            (execution.row,),
        ).fetchall()
        counted = sum(spans for _, spans, _ in parts)
        is_whole = len(parts) == 1 and execution.openings <= 1
        is_complete = counted == execution.spans and is_whole
        if counted <= execution.spans and not is_complete:
            return None
        if counted == execution.spans and execution.status not in _ENDED:
            open_spans, _ = self._open_now(execution)
            if open_spans:
                return None
        stats = read_parts(self._connection, [part for part, _, _ in parts])
        unattributed_ns = sum(unattributed_ns for *_, unattributed_ns in parts)
        if not is_whole:  # each part knows but its own wall time
            shares_ns = (stat.share_ns for stat in stats.values())
            unattributed_ns = left_over(shares_ns, execution.duration_ns)
        return make_breakdown(header_of(execution), stats, counted, unattributed_ns)

    def _recording(
        self,
        execution: StoredExecution,
        subs: list[tuple[StoredExecution, str]],
        read: Callable[[StoredExecution], Iterator[SpanRecord]],
    ) -> Recording:
        spans = list(read(execution))
        open_spans, now_ns = self._open_now(execution)
        for sub, label in subs:
            spans += spans_within(read(sub), label)
            open_spans += open_within(self._open_now(sub)[0], label)
        roots = execution.openings + sum(key == EXECUTION for *_, key in open_spans)
        root_id = None
        if roots == 1:
            root_id = execution.root_span_id or root_around(spans)
        until_ns = now_ns if open_spans or execution.status == "running" else None
        lost = max(0, self._counted(execution) - execution.spans)
        return Recording(header_of(execution), spans, root_id, open_spans, until_ns, lost)

    def _counted(self, execution: StoredExecution) -> int:
        """Return how many spans of an execution its processes have counted."""
        (counted,) = self._connection.execute(
            "SELECT coalesce(sum(spans), 0) FROM aggregate_parts WHERE execution = ?",
            (execution.row,),
        ).fetchone()
        return int(counted)

    def _sub_executions(self, execution: StoredExecution) -> list[tuple[StoredExecution, str]]:
        """Return what was started within an execution, at any depth, and what it is called there.

        Each once, also where two are said to be within each other.
        """
        found: list[tuple[StoredExecution, str]] = []
        seen = {execution.row}
        waiting = [(execution, "")]
        while waiting:
            outer, label = waiting.pop()
            rows = self._connection.execute(
                f"{EXECUTIONS} WHERE e.parent_exec_id = ? ORDER BY e.started_ns, e.id",
                (_stored(outer.exec_id),),
            )
            for row in rows.fetchall():
                sub = stored_execution(self._now_ns(), *row)
                if sub.row not in seen:
                    seen.add(sub.row)
                    within = f"{label}{SEPARATOR}" if label else ""
                    found.append((sub, f"{within}{sub.name or sub.exec_id}"))
                    waiting.append(found[-1])
        return found

    def _open_now(self, execution: StoredExecution) -> tuple[list[OpenSpan], int]:
        """Return the open spans that belong to an execution's numbers, and when now is for it."""
        now_ns = execution.started_ns + execution.duration_ns
        if execution.status in _ENDED:
            return [], now_ns
        is_running = execution.status == "running"
        spans: list[OpenSpan] = [
            (span.span_id, span.parent_id, span.start_ns, key_of_open(span))
            for span in self.open_spans(execution)
            if span.running or not is_running
        ]
        return spans, now_ns

    def _count_nodes(self, execution: StoredExecution) -> int:
        row = execution.row
        counted = self._counted(execution)
        nodes: set[str | None] = set()
        if counted >= execution.spans:
            finished = self._connection.execute(
                "SELECT DISTINCT a.node_id FROM aggregates a"
                " JOIN aggregate_parts p ON p.id = a.part WHERE p.execution = ?",
                (row,),
            )
            nodes.update(node_id for (node_id,) in finished)
        else:
            of_blocks = self._connection.execute(
                "SELECT DISTINCT labels FROM blocks"
                " WHERE stream IN (SELECT id FROM streams WHERE execution = ?)",
                (row,),
            )
            for (labels,) in of_blocks:
                nodes.update(
                    label.node_id for label in labels_of(labels) if label.type != EXECUTION
                )
        if execution.status not in _ENDED:
            unfinished = self._connection.execute(
                "SELECT DISTINCT node_id FROM open_spans WHERE execution = ? AND type <> ?",
                (row, EXECUTION),
            )
            nodes.update(node_id for (node_id,) in unfinished)
        return len({node_id or SYSTEM_NODE for node_id in nodes})

    def spans(self, execution: StoredExecution) -> Iterator[SpanRecord]:
        """Return the finished spans of an execution, block by block as they were written."""
        with self._queries():
            for spans, labels, columns in self._connection.execute(
                "SELECT spans, labels, columns FROM blocks"
                " WHERE stream IN (SELECT id FROM streams WHERE execution = ?) ORDER BY seq",
                (execution.row,),
            ):
                yield from records(spans, labels, columns)

    def recording(
        self, execution: StoredExecution, rolled_up: bool = False, with_metadata: bool = False
    ) -> Recording:
        """Return an execution with its spans, and what they say of themselves.

        `with_metadata` has a hash of each span's metadata worked out, which takes a few µs a span.
        """
        with self._one_moment():
            execution = self._again(execution)
            subs = self._sub_executions(execution) if rolled_up else []
            read = partial(self._detailed, with_metadata=with_metadata)
            return self._recording(execution, subs, read)

    def _detailed(self, execution: StoredExecution, with_metadata: bool) -> Iterator[SpanRecord]:
        from phasetrace.store.details import NOTHING, DetailsReader

        reader = DetailsReader(with_metadata)
        for number, labels, columns, payload, process in self._connection.execute(
            "SELECT b.spans, b.labels, b.columns, b.payload, t.process"
            " FROM blocks b JOIN streams t ON t.id = b.stream WHERE b.stream IN"
            " (SELECT id FROM streams WHERE execution = ?) ORDER BY b.seq",
            (execution.row,),
        ):
            found = records(number, labels, columns, process)
            if not reader.has_any(payload):
                yield from found
                continue
            for span, message in zip(found, messages(number, columns, payload), strict=True):
                details = reader.read(message)
                yield span if details is NOTHING else span._replace(**details._asdict())

    def traces(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        only: Collection[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Give an execution's finished spans as ``TracesData`` of OTLP's JSON, a block each.

        `only` are the ids of those that are wanted; None is all.
        """
        from phasetrace.store.traces import traces_of

        with self._queries():
            subs = self._sub_executions(execution) if rolled_up else []
            for one in (execution, *(sub for sub, _ in subs)):
                yield from traces_of(self._connection, one.row, only)

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

    def activity(self, memory: Memory) -> Activity:
        """Return what goes on now; what `memory` has seen already is not read again."""
        from phasetrace.store.activity import look

        with self._one_moment():
            return look(self, self._connection, self._now_ns(), memory)

    def standing(self) -> Standing:
        """Return how much the store keeps, and what became of what was to be delivered."""
        with self._one_moment():
            return read_standing(self._connection, self._path, self._now_ns())

    def arrivals(self, execution: StoredExecution) -> list[arrival.Arrival]:
        """Return what became of an execution's spans on their way to each destination."""
        with self._one_moment():
            return arrival.arrivals(self._connection, execution.row)

    def is_sampled(self, execution: StoredExecution) -> bool:
        """Tell whether a sampler has let anything of an execution be sent."""
        with self._queries():
            return arrival.is_sampled(self._connection, execution.row)

    @contextmanager
    def _one_moment(self) -> Iterator[None]:
        """Make all queries see the same state of the store."""
        with self._queries():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _queries(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            message = f"cannot read the store {self._path}: {error}"
            if isinstance(error, sqlite3.Error) and is_damage(error):
                message = f"{message}; {_SET_ASIDE}"
            raise StoreError(message) from error


def root_around(spans: list[SpanRecord]) -> int | None:
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
