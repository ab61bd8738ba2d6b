"""Bringing what was recorded elsewhere into the store: the spans of a file, as executions.

Spans are stored as if they had been recorded here, but are to be delivered to nobody. Those that
are there already are left out: a span is known by the ids of its trace and its own, a span of an
execution itself also by its start, to the microsecond, since several processes may open one by
the same id. What a file is without, an execution's end for instance, is worked out as the source
does that a file is otherwise read as.

Each resource is a process that has ended, so that an execution without an end is abandoned. Who
wrote the spans of an execution matters where they are brought in: those of a process after the
other, as they opened the execution.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from phasetrace import clock
from phasetrace.errors import StoreError
from phasetrace.recordings.assembled import AssembledSource
from phasetrace.recordings.json_values import MalformedJson
from phasetrace.recordings.originals import Belonging, Belongings, originals
from phasetrace.recordings.otlp_file import Unread, documents_of_file, malformed
from phasetrace.recordings.otlp_json import DecodedSpan, SpanDecoder
from phasetrace.recordings.otlp_writing import span_message
from phasetrace.recordings.uncollected import uncollected
from phasetrace.spans import EXECUTION, PHASE, SpanRecord
from phasetrace.store.batch import SpanGroup
from phasetrace.store.blocks import records
from phasetrace.store.entry import Entry
from phasetrace.store.file import as_store_error, open_for_writing
from phasetrace.store.rows import RowWriter
from phasetrace.store.stored import EXECUTIONS, StoredExecution, stored_execution
from phasetrace.store.totals import as_integer

HOST: Final = "imported"
"""What the processes of imported spans have for a host: nobody's."""
_ABANDONED: Final = "abandoned"
_NS_PER_US: Final = 1_000


class ImportedExecution(NamedTuple):
    """An execution as it is after an import, and how many spans of it were in the file and new."""

    execution: StoredExecution
    spans: int
    new: int


class Import(NamedTuple):
    """What became of a file; ``notes`` limit what can be told of it."""

    executions: list[ImportedExecution]
    notes: tuple[str, ...]
    stored: int
    """How many executions there are in the store now."""


class _Read(NamedTuple):
    """A span of the file."""

    decoded: DecodedSpan
    message: bytes
    belonging: Belonging


def import_file(store: Path, name: str, data: bytes, now_ns: clock.NowNs = clock.now_ns) -> Import:
    """Bring the spans of a file's content into a store, all of them or none.

    Lines that cannot be read are in the notes.

    Raises:
        SourceError: if it is no such file, or damaged; names the line.
        StoreError: if the store cannot be written.
    """
    unread = Unread()
    with uncollected():
        spans = list(_unique(_read(name, data, unread)))
        source = AssembledSource((one.decoded for one in spans), lambda _: _ABANDONED)
        by_execution: dict[str, list[_Read]] = {}
        for one in _named(spans) if source.is_foreign else spans:
            if one.decoded.exec_id is not None:
                by_execution.setdefault(one.decoded.exec_id, []).append(one)
        with _transaction(store) as connection:
            imported = [
                _import(connection, execution, by_execution[execution.exec_id], source, now_ns())
                for execution in reversed(source.executions())
            ]
            (stored,) = connection.execute("SELECT count(*) FROM executions").fetchone()
    return Import(imported, (*unread.notes, *source.notes), stored)


def _read(name: str, data: bytes, unread: Unread) -> Iterator[_Read]:
    decoder = SpanDecoder()
    for line, document in documents_of_file(name, data, unread):
        belongings = Belongings()
        try:
            decoded = decoder.decode(document)
            for one, original in zip(decoded, originals(document) if decoded else (), strict=True):
                yield _Read(one, span_message(original.span), belongings.of(original))
        except MalformedJson as error:
            raise malformed(name, line, error) from None


def _unique(spans: Iterable[_Read]) -> Iterator[_Read]:
    seen: set[tuple[str, int, int, int]] = set()
    for one in spans:
        span = one.decoded.span
        key = (one.decoded.trace_id, span.span_id, span.start_ns, span.end_ns)
        if key not in seen:
            seen.add(key)
            yield one


def _named(spans: Iterable[_Read]) -> Iterator[_Read]:
    """Give spans that name no execution as those of the executions that their traces are."""
    for one in spans:
        decoded = one.decoded
        span = decoded.span._replace(node_id=decoded.service, type=PHASE)
        yield one._replace(decoded=decoded._replace(exec_id=decoded.trace_id, span=span))


def _import(
    connection: sqlite3.Connection,
    execution: StoredExecution,
    spans: list[_Read],
    source: AssembledSource,
    now_ns: int,
) -> ImportedExecution:
    stored = _find(connection, execution.exec_id, now_ns)
    known = _Known(connection, stored.row if stored is not None else 0)
    new = [one for one in spans if one.decoded not in known]
    for resource, of_process in _by_process(new).items():
        groups = _groups(of_process)
        process = _process(connection, resource, groups, now_ns)
        RowWriter(connection, process).write_ended(groups)
    if source.is_foreign and new:
        _tell_trace(connection, execution, stored)
    now = _find(connection, execution.exec_id, now_ns)
    assert now is not None  # noqa: S101 - it was there, or has spans
    return ImportedExecution(now, len(spans), len(new))


class _Known:
    """The spans of an execution that are in the store."""

    def __init__(self, connection: sqlite3.Connection, execution: int) -> None:
        self._ids: set[tuple[str, int]] = set()
        self._roots: dict[tuple[str, int], list[int]] = {}
        for trace_id, *block in connection.execute(
            "SELECT t.trace_id, b.spans, b.labels, b.columns FROM blocks b"
            " JOIN streams t ON t.id = b.stream WHERE t.execution = ?",
            (execution,),
        ):
            for span in records(*block):
                key = (trace_id.hex(), span.span_id)
                if span.type == EXECUTION:
                    self._roots.setdefault(key, []).append(span.start_ns)
                else:
                    self._ids.add(key)

    def __contains__(self, one: DecodedSpan) -> bool:
        key = (one.trace_id, one.span.span_id)
        if one.span.type != EXECUTION:
            return key in self._ids
        starts = self._roots.get(key, ())
        return any(abs(start_ns - one.span.start_ns) < _NS_PER_US for start_ns in starts)


def _by_process(spans: Iterable[_Read]) -> Mapping[tuple[bytes, str], list[_Read]]:
    """Return spans by their resource, that of the first root first."""
    found: dict[tuple[bytes, str], list[_Read]] = {}
    for one in sorted(spans, key=lambda one: _opening(one.decoded)):
        found.setdefault(one.belonging[:2], []).append(one)
    return found


def _opening(one: DecodedSpan) -> tuple[bool, int, int]:
    is_root = one.span.type == EXECUTION and not one.implicit
    return not is_root, one.span.start_ns, -one.span.end_ns


def _groups(spans: Iterable[_Read]) -> list[SpanGroup]:
    groups: dict[tuple[str, Belonging], SpanGroup] = {}
    for one in sorted(spans, key=lambda one: one.decoded.span.end_ns):  # as they are recorded
        decoded = one.decoded
        key = (decoded.trace_id, one.belonging)
        if key not in groups:
            groups[key] = SpanGroup(
                decoded.exec_id,
                int(decoded.trace_id, 16),
                sampled=True,
                is_routed=False,
                is_raw=True,
                belonging=one.belonging,
            )
        groups[key].add(_entry(decoded), one.message)
    return list(groups.values())


def _entry(one: DecodedSpan) -> Entry:
    span: SpanRecord = one.span
    return Entry(
        one.exec_id or "",
        int(one.trace_id, 16),
        True,
        span.span_id,
        span.parent_id,
        span.type,
        span.name,
        span.node_id,
        span.node_type,
        span.iteration,
        span.start_ns,
        span.end_ns,
        span.status,
        True,
        one.implicit,
        one.parent_exec_id,
    )


def _process(
    connection: sqlite3.Connection,
    resource: tuple[bytes, str],
    groups: Iterable[SpanGroup],
    now_ns: int,
) -> int:
    """Return the row of the process that made the spans of a resource, which has ended."""
    payload, schema_url = resource
    birth = hashlib.blake2b(payload + schema_url.encode(), digest_size=16).hexdigest()
    found = connection.execute(
        "SELECT id FROM processes WHERE host = ? AND birth = ?", (HOST, birth)
    ).fetchone()
    if found is not None:
        return int(found[0])
    started_ns = min(min(group.spans.starts) for group in groups)
    return int(
        connection.execute(
            "INSERT INTO processes (pid, birth, host, started_ns, closed_ns)"
            " VALUES (0, ?, ?, ?, ?)",
            (birth, HOST, as_integer(started_ns), now_ns),
        ).lastrowid
        or 0
    )


def _tell_trace(
    connection: sqlite3.Connection, execution: StoredExecution, before: StoredExecution | None
) -> None:
    """Note what somebody else's trace says of itself: its name and status, if its root is new."""
    connection.execute(
        "UPDATE executions SET explicit = 1, root_ended = 1, started_ns = min(started_ns, ?),"
        " ended_ns = last_ns WHERE exec_id = ?",
        (as_integer(execution.started_ns), execution.exec_id),
    )
    if before is None or execution.started_ns < before.started_ns:
        connection.execute(
            "UPDATE executions SET name = ?, status = ? WHERE exec_id = ?",
            (execution.name, execution.status, execution.exec_id),
        )


def _find(connection: sqlite3.Connection, exec_id: str, now_ns: int) -> StoredExecution | None:
    row = connection.execute(f"{EXECUTIONS} WHERE e.exec_id = ?", (exec_id,)).fetchone()
    return stored_execution(now_ns, *row) if row is not None else None


@contextmanager
def _transaction(store: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection on which everything is written, or nothing."""
    connection, identity = open_for_writing(store)
    with closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise as_store_error(error, store, identity) from error
        except ValueError as error:  # a block that is none
            raise StoreError(f"cannot read the store {store}: {error}") from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
