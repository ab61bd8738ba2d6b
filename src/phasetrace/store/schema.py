"""The store's data model and its migrations.

The store is a log. ``blocks`` holds the finished spans in the order in which they were written,
many to a row (`phasetrace.store.blocks`): the little that questions are asked of, and each span as
its OTLP protobuf message (``opentelemetry.proto.trace.v1.Span``), ready to be framed and shipped.
What the spans of one tracer, in one process and execution, have in common is said once, in
``streams``; ``resources`` and ``scopes`` hold the messages that a span belongs under. Spans that
are only to be delivered have a stream of the execution 0, which there is not.

Delivery reads blocks behind the cursor of a destination (`phasetrace.store.destinations`). A
stream's route says for which ``destinations`` it is: their ids, from ``routes``, or 0 for none.
``destination_counts`` say what became of the spans, and ``dead_letters`` are those that a
destination has refused, each as a request of its own. ``retries`` say when one that has failed is
to be tried again (`phasetrace.store.retries`).

``executions`` is what `list` and `metrics` start from; ``openings`` is how many spans of the
execution itself have ended, ``errors`` how many others failed. ``aggregates`` are the exact totals
that one process counted for one execution; they answer without reading spans, and also for spans
that were never stored. One process may hand in several parts (``part``), for instance after `pop`.

``open_spans`` are those that have run for more than a second; a row that outlives its process tells
where that process died, and ``seen_ns`` of the execution when it was last known to live.
``processes`` tells which are alive; ``counters`` what was lost and why.

Times are Unix nanoseconds, ids big-endian bytes as in OTLP. Each migration and its record
(``user_version``) are one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from phasetrace.store import conversion

APPLICATION_ID = 0x70687472  # "phtr"

Migration = str | Callable[[sqlite3.Connection], None]
"""Statements, or what makes the changes on a connection that is in a transaction."""

_DELIVERY: Final = """
    CREATE TABLE streams_with_routes (
        id INTEGER PRIMARY KEY,
        execution INTEGER NOT NULL,  -- 0: none
        process INTEGER NOT NULL,
        resource INTEGER NOT NULL REFERENCES resources,
        scope INTEGER NOT NULL REFERENCES scopes,
        trace_id BLOB NOT NULL,      -- without an execution the spans are of many traces
        sampled INTEGER NOT NULL,
        route INTEGER NOT NULL,      -- 0: to nowhere
        UNIQUE (execution, process, resource, scope, trace_id, sampled, route)
    );
    INSERT INTO streams_with_routes SELECT id, execution, process, resource, scope, trace_id,
        sampled, 0 FROM streams;
    DROP TABLE streams;
    ALTER TABLE streams_with_routes RENAME TO streams;
    CREATE TABLE blocks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL REFERENCES streams,
        spans INTEGER NOT NULL,
        labels TEXT NOT NULL,
        columns BLOB NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE INDEX blocks_by_stream ON blocks (stream);
    CREATE TABLE destinations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        endpoint TEXT,
        process INTEGER REFERENCES processes,  -- the only one that can serve it; NULL: any
        cursor INTEGER NOT NULL,               -- every block up to this one is dealt with
        created_ns INTEGER NOT NULL,
        served_ns INTEGER,
        succeeded_ns INTEGER,
        failed_ns INTEGER,
        error TEXT
    );
    CREATE TABLE destination_counts (
        destination INTEGER NOT NULL REFERENCES destinations,
        what TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (destination, what)
    ) WITHOUT ROWID;
    CREATE TABLE routes (
        id INTEGER PRIMARY KEY,
        destinations TEXT NOT NULL UNIQUE  -- ids, ascending, joined by commas
    );
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY,
        destination INTEGER NOT NULL REFERENCES destinations,
        at_ns INTEGER NOT NULL,
        reason TEXT NOT NULL,
        exec_id TEXT,
        trace_id BLOB,
        span_id BLOB,
        name TEXT,
        request BLOB NOT NULL
    );
"""


def _pack_spans(connection: sqlite3.Connection) -> None:
    for statement in _statements(_DELIVERY):
        connection.execute(statement)
    conversion.pack_spans(connection)


MIGRATIONS: tuple[Migration, ...] = (
    """
    CREATE TABLE processes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        pid INTEGER NOT NULL,
        birth TEXT NOT NULL,      -- tells this process from a later one with the same pid
        host TEXT NOT NULL,
        started_ns INTEGER NOT NULL,
        closed_ns INTEGER
    );
    CREATE TABLE resources (id INTEGER PRIMARY KEY, schema_url TEXT NOT NULL, payload BLOB NOT NULL,
        UNIQUE (payload, schema_url));
    CREATE TABLE scopes (id INTEGER PRIMARY KEY, schema_url TEXT NOT NULL, payload BLOB NOT NULL,
        UNIQUE (payload, schema_url));
    CREATE TABLE executions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        exec_id TEXT NOT NULL UNIQUE,
        name TEXT,
        trace_id BLOB NOT NULL,
        root_span_id BLOB,                              -- of an explicit execution
        parent_exec_id TEXT,
        process INTEGER NOT NULL REFERENCES processes,  -- whose task it is to end the root span
        explicit INTEGER NOT NULL DEFAULT 0,            -- opened by name, not by its first phase
        root_ended INTEGER NOT NULL DEFAULT 0,          -- of an explicit execution
        started_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        ended_ns INTEGER,                               -- NULL: running, or abandoned
        status TEXT NOT NULL DEFAULT 'ok',
        spans INTEGER NOT NULL DEFAULT 0,
        errors INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX executions_by_start ON executions (started_ns);
    CREATE TABLE spans (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        execution INTEGER NOT NULL REFERENCES executions,
        process INTEGER NOT NULL,
        resource INTEGER NOT NULL,
        scope INTEGER NOT NULL,
        trace_id BLOB NOT NULL,
        span_id BLOB NOT NULL,
        parent_span_id BLOB,
        type TEXT NOT NULL,
        name TEXT NOT NULL,
        node_id TEXT,
        node_type TEXT,
        iteration,
        start_ns INTEGER NOT NULL,
        end_ns INTEGER NOT NULL,
        status TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE INDEX spans_by_execution ON spans (execution, resource, scope);
    CREATE TABLE open_spans (
        process INTEGER NOT NULL REFERENCES processes,
        span_id BLOB NOT NULL,
        parent_span_id BLOB,
        execution INTEGER NOT NULL REFERENCES executions,
        type TEXT NOT NULL,
        name TEXT NOT NULL,
        node_id TEXT,
        start_ns INTEGER NOT NULL,
        PRIMARY KEY (process, span_id)
    ) WITHOUT ROWID;
    CREATE INDEX open_spans_by_execution ON open_spans (execution);
    CREATE TABLE aggregate_parts (
        id INTEGER PRIMARY KEY,
        execution INTEGER NOT NULL REFERENCES executions,
        process INTEGER NOT NULL REFERENCES processes,
        part INTEGER NOT NULL,
        spans INTEGER NOT NULL,
        unattributed_ns INTEGER NOT NULL,
        UNIQUE (execution, process, part)
    );
    CREATE TABLE aggregates (
        part INTEGER NOT NULL REFERENCES aggregate_parts,
        type TEXT NOT NULL,       -- node or phase
        node_id TEXT NOT NULL,
        phase TEXT NOT NULL,      -- '' for a node
        node_type TEXT,
        count INTEGER NOT NULL,
        total_ns INTEGER NOT NULL,
        self_ns INTEGER NOT NULL,
        share_ns REAL NOT NULL,
        min_ns INTEGER NOT NULL,
        max_ns INTEGER NOT NULL,
        first_ns INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        cancelled INTEGER NOT NULL,
        histogram BLOB NOT NULL,
        PRIMARY KEY (part, type, node_id, phase)
    ) WITHOUT ROWID;
    CREATE TABLE counters (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    # How often an execution was opened; errors are those of its nodes and phases.
    """
    ALTER TABLE executions ADD COLUMN openings INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE processes ADD COLUMN parent INTEGER;  -- pid of the process that started it
    UPDATE executions SET
        openings = (SELECT count(*) FROM spans
            WHERE execution = executions.id AND type = 'execution'),
        errors = (SELECT count(*) FROM spans
            WHERE execution = executions.id AND type <> 'execution' AND status = 'error');
    """,
    # What many spans have in common, once: a row takes a quarter less time to write. Spans that a
    # sampler dropped are here for the local numbers, and not to be exported.
    """
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        execution INTEGER NOT NULL REFERENCES executions,
        process INTEGER NOT NULL,
        resource INTEGER NOT NULL REFERENCES resources,
        scope INTEGER NOT NULL REFERENCES scopes,
        trace_id BLOB NOT NULL,
        sampled INTEGER NOT NULL,
        UNIQUE (execution, process, resource, scope, trace_id, sampled)
    );
    INSERT INTO streams (execution, process, resource, scope, trace_id, sampled)
        SELECT DISTINCT execution, process, resource, scope, trace_id, 1 FROM spans;
    CREATE TABLE spans_of_streams (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL REFERENCES streams,
        span_id BLOB NOT NULL,
        parent_span_id BLOB,
        type TEXT NOT NULL,
        name TEXT NOT NULL,
        node_id TEXT,
        node_type TEXT,
        iteration,
        start_ns INTEGER NOT NULL,
        end_ns INTEGER NOT NULL,
        status TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    INSERT INTO spans_of_streams SELECT s.seq, t.id, s.span_id, s.parent_span_id, s.type, s.name,
        s.node_id, s.node_type, s.iteration, s.start_ns, s.end_ns, s.status, s.payload
        FROM spans s JOIN streams t ON t.execution = s.execution AND t.process = s.process
        AND t.resource = s.resource AND t.scope = s.scope AND t.trace_id = s.trace_id
        ORDER BY s.seq;
    DROP TABLE spans;
    ALTER TABLE spans_of_streams RENAME TO spans;
    CREATE INDEX spans_by_stream ON spans (stream);
    """,
    # A row for many spans takes a fifth of the time that a row for each takes. The rest is for
    # delivery.
    _pack_spans,
    # When a process was last known to have spans open, should it never tell how they ended.
    "ALTER TABLE executions ADD COLUMN seen_ns INTEGER NOT NULL DEFAULT 0;",
    # What a receiver says of spans that it took, or did not keep, without refusing the request.
    "ALTER TABLE destinations ADD COLUMN remark TEXT;",
    # When who has failed may try again, and up to which block somebody waits for what was recorded.
    """
    ALTER TABLE destinations ADD COLUMN wanted INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE retries (
        destination INTEGER NOT NULL REFERENCES destinations,
        way TEXT NOT NULL,            -- a digest of the settings by which one gets there
        failures INTEGER NOT NULL,    -- in a row
        failed_ns INTEGER NOT NULL,
        retry_ns INTEGER NOT NULL,
        asked_ns INTEGER NOT NULL,    -- 0: the receiver has asked for nothing
        pid INTEGER,                  -- who tries again; NULL: it has stopped delivering
        birth TEXT NOT NULL,
        host TEXT NOT NULL,
        PRIMARY KEY (destination, way)
    ) WITHOUT ROWID;
    """,
)

VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of an open store (0: empty)."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a store to `VERSION`; several processes may do so at once.

    `connection` is in autocommit mode. Does nothing to a store of this or a newer version.
    """
    while version_of(connection) < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = version_of(connection)  # another process may have been faster
            if version < VERSION:
                _run(MIGRATIONS[version], connection)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # some errors have rolled it back already
                connection.execute("ROLLBACK")
            raise


def _run(migration: Migration, connection: sqlite3.Connection) -> None:
    if isinstance(migration, str):
        for statement in _statements(migration):
            connection.execute(statement)
    else:
        migration(connection)


def _statements(script: str) -> list[str]:
    # executescript() would commit the transaction that a migration must stay in.
    statements, start = [], 0
    for index, character in enumerate(script):
        if character == ";" and sqlite3.complete_statement(script[start : index + 1]):
            statements.append(script[start : index + 1])
            start = index + 1
    return statements
