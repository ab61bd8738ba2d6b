"""Migrations: each whole or not at all, and one process after another."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasetrace.spans import SpanRecord
from phasetrace.store import schema
from phasetrace.store.blocks import MAX_BYTES, MAX_SPANS, labels_of, messages, records
from phasetrace.store.file import open_for_reading, open_for_writing
from tests.phasetrace.store.conftest import query


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return an empty database."""
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    yield connection
    connection.close()


def tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the tables."""
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]


def run(connection: sqlite3.Connection, *migrations: schema.Migration) -> None:
    """Bring an empty database to the version of those that are given."""
    for migration in migrations:
        schema._run(migration, connection)
    connection.execute(f"PRAGMA user_version = {len(migrations)}")


def add_migrations(monkeypatch: pytest.MonkeyPatch, *scripts: str) -> None:
    """Have a newer version with more migrations."""
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *scripts))
    monkeypatch.setattr(schema, "VERSION", len(schema.MIGRATIONS))


def test_an_empty_database_gets_the_newest_version(connection: sqlite3.Connection) -> None:
    """All migrations are run, in order."""
    schema.migrate(connection)
    assert schema.version_of(connection) == schema.VERSION
    assert "blocks" in tables(connection)


def test_a_migration_that_fails_half_way_leaves_the_old_version(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those before it stay; nothing of it does."""
    schema.migrate(connection)
    before = tables(connection)
    add_migrations(
        monkeypatch,
        "CREATE TABLE second (x);",
        "CREATE TABLE third (x); INSERT INTO third VALUES (1); CREATE TABLE blocks (x);",
    )
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.migrate(connection)
    assert tables(connection) == sorted([*before, "second"])
    assert schema.version_of(connection) == schema.VERSION - 1
    assert not connection.in_transaction


def test_a_store_of_this_version_is_left_alone(connection: sqlite3.Connection) -> None:
    """No write, so no waiting for other processes."""
    schema.migrate(connection)
    changes = connection.total_changes
    connection.execute("PRAGMA query_only = ON")
    schema.migrate(connection)
    assert connection.total_changes == changes


def test_a_migration_runs_once_however_many_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second finds it done."""
    path = tmp_path / "s.db"
    open_for_writing(path).connection.close()
    add_migrations(
        monkeypatch, "CREATE TABLE runs (x); INSERT INTO runs VALUES (1);", "CREATE TABLE more (x);"
    )
    barrier, errors = threading.Barrier(6), []

    def work() -> None:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        barrier.wait()
        try:
            schema.migrate(connection)
        except Exception as error:
            errors.append(error)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert query(path, "SELECT x FROM runs") == [1]
    assert query(path, "PRAGMA user_version") == [schema.VERSION]


def test_a_reader_brings_an_older_store_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first command after an upgrade works."""
    path = tmp_path / "s.db"
    open_for_writing(path).connection.close()
    add_migrations(monkeypatch, "CREATE TABLE added (x);")
    connection = open_for_reading(path)
    assert "added" in tables(connection)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("INSERT INTO added VALUES (1)")
    connection.close()


def test_statements_are_split_at_their_ends() -> None:
    """Not at a semicolon in a string, a comment or a trigger."""
    first = "CREATE TABLE a (x DEFAULT ';'); "
    second = "-- a comment; with one\nCREATE TABLE b (y);"
    third = " CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM a; END;"
    assert schema._statements(first + second + third + "\n") == [
        first.rstrip(),
        " " + second,
        third,
    ]


def test_the_second_version_counts_what_the_first_did_not(connection: sqlite3.Connection) -> None:
    """How often executions were opened, and the errors without the execution's own."""
    run(connection, *schema.MIGRATIONS[:1])
    connection.execute(
        "INSERT INTO executions (id, exec_id, trace_id, process, started_ns, last_ns, errors)"
        " VALUES (1, 'e', x'00', 1, 0, 0, 2)"
    )
    for kind in ("execution", "phase"):
        connection.execute(
            "INSERT INTO spans (execution, process, resource, scope, trace_id, span_id, type, name,"
            " start_ns, end_ns, status, payload)"
            " VALUES (1, 1, 1, 1, x'00', x'00', ?, 'x', 0, 0, 'error', x'')",
            (kind,),
        )
    schema.migrate(connection)
    assert connection.execute("SELECT openings, errors FROM executions").fetchall() == [(1, 1)]


def test_the_spans_of_an_older_store_are_kept(connection: sqlite3.Connection) -> None:
    """What they have in common moves to ``streams``; order, numbers and content stay."""
    run(connection, *schema.MIGRATIONS[:2])
    connection.execute("INSERT INTO resources VALUES (7, '', x'01'), (8, '', x'02')")
    connection.execute("INSERT INTO scopes VALUES (1, '', x'')")
    insert = (
        "INSERT INTO spans VALUES"
        " (?, ?, ?, ?, 1, x'0A', ?, NULL, 'phase', ?, 'n', NULL, 3, 10, 20, 'ok', x'FF')"
    )
    rows = [(1, 1, 1, 7), (2, 1, 1, 7), (5, 2, 1, 7), (6, 1, 2, 8)]
    for seq, execution, process, resource in rows:
        identity = seq.to_bytes(8, "big")
        connection.execute(insert, (seq, execution, process, resource, identity, f"p{seq}"))
    schema.migrate(connection)
    found = connection.execute(
        "SELECT b.seq, t.execution, t.process, t.resource, t.sampled, t.route, b.spans, b.labels,"
        " b.columns, b.payload FROM blocks b JOIN streams t ON t.id = b.stream ORDER BY b.seq"
    ).fetchall()
    assert [row[:7] for row in found] == [
        (1, 1, 1, 7, 1, 0, 2),
        (5, 2, 1, 7, 1, 0, 1),
        (6, 1, 2, 8, 1, 0, 1),
    ]
    first, *_ = found
    assert list(records(*first[6:9])) == [
        SpanRecord(seq, None, "phase", f"p{seq}", "n", None, 10, 20, "ok", 3) for seq in (1, 2)
    ]
    assert [label.iteration for label in labels_of(first[7])] == [3, 3]
    assert messages(first[6], *first[8:]) == [b"\xff", b"\xff"]


def fill(connection: sqlite3.Connection, streams: list[int], size: int = 1) -> None:
    """Make a store of the third version with a span in these streams, one after the other."""
    run(connection, *schema.MIGRATIONS[:3])
    for stream in set(streams):
        connection.execute("INSERT INTO streams VALUES (?, ?, 1, 1, 1, x'0A', 1)", (stream, stream))
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO spans (stream, span_id, parent_span_id, type, name, start_ns, end_ns, status,"
        " payload) VALUES (?, ?, ?, 'phase', 'p', -5, ?, 'error', zeroblob(?))",
        [
            (stream, seq.to_bytes(8, "big"), b"\xff" * 8, 2**62, size)
            for seq, stream in enumerate(streams, 1)
        ],
    )
    connection.execute("COMMIT")


def blocks(connection: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """Return number, stream and size of the blocks."""
    return connection.execute("SELECT seq, stream, spans FROM blocks ORDER BY seq").fetchall()


def test_the_rows_of_a_store_become_blocks_of_their_streams(connection: sqlite3.Connection) -> None:
    """Numbered by their first span, whichever streams took turns; nothing is left of the rows."""
    fill(connection, [2, 1, 2, 3, 1, 2])
    schema.migrate(connection)
    assert blocks(connection) == [(1, 2, 3), (2, 1, 2), (4, 3, 1)]
    assert "spans" not in tables(connection)
    ((columns,), *_) = connection.execute("SELECT columns FROM blocks ORDER BY seq")
    (span, *_) = records(3, '[["phase", "p", null, null, null, "error"]]', columns)
    assert span == SpanRecord(1, 2**64 - 1, "phase", "p", None, None, -5, 2**62, "error")


def test_a_conversion_keeps_to_the_size_of_blocks(connection: sqlite3.Connection) -> None:
    """A long stream is several."""
    fill(connection, [1] * (MAX_SPANS + 1))
    schema.migrate(connection)
    assert blocks(connection) == [(1, 1, MAX_SPANS), (MAX_SPANS + 1, 1, 1)]


def test_a_conversion_cuts_large_spans_apart(connection: sqlite3.Connection) -> None:
    """One that is larger than a block may be is a block of its own."""
    fill(connection, [1, 1, 1], MAX_BYTES + 1)
    schema.migrate(connection)
    assert blocks(connection) == [(1, 1, 1), (2, 1, 1), (3, 1, 1)]


@pytest.mark.parametrize("kept", [0, 2])
def test_no_number_is_given_again_after_a_conversion(
    connection: sqlite3.Connection, kept: int
) -> None:
    """Also not that of a span that had been removed; a destination begins behind all of them."""
    fill(connection, [1] * 7)
    connection.execute("DELETE FROM spans WHERE seq > ?", (kept,))
    schema.migrate(connection)
    connection.execute("INSERT INTO blocks VALUES (NULL, 1, 1, '', '', '')")
    assert blocks(connection)[-1] == (8, 1, 1)
