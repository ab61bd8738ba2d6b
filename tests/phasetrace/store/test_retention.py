"""Retention: the oldest finished executions go, with all they had; a running one stays."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phasetrace.store import retention
from phasetrace.store.file import open_for_writing
from phasetrace.store.process import birth_of, host_name
from phasetrace.store.retention import Retention, apply
from tests.phasetrace.store.conftest import Recording, query, wait_until


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection of its own to the store."""
    connection = open_for_writing(path).connection
    yield connection
    connection.close()


def kept(path: Path) -> list[str]:
    """Return the executions in the store, oldest first."""
    return query(path, "SELECT exec_id FROM executions ORDER BY started_ns")


def fill(recording: Recording, number: int, size: int = 0) -> None:
    """Record finished executions e1, e2, … with one phase each."""
    for index in range(1, number + 1):
        start = index * 1_000
        root = recording.root(f"e{index}", start=start)
        recording.phase(
            f"e{index}", parent=root, start=start, end=start + 10, attributes={"data": "x" * size}
        )
        root.end(start + 20)
    assert recording.writer.flush()


def test_the_oldest_executions_go_first(
    recording: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """By when they started, as many as are too many."""
    fill(recording, 5)
    assert apply(connection, Retention(executions=2, bytes=None)) == 3
    assert kept(path) == ["e4", "e5"]


def test_nothing_goes_within_the_limits(
    recording: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """Neither count nor size."""
    fill(recording, 3)
    assert apply(connection, Retention(executions=3, bytes=10**9)) == 0
    assert apply(connection, Retention(executions=None, bytes=None)) == 0
    assert kept(path) == ["e1", "e2", "e3"]


def test_all_that_an_execution_had_goes_with_it(
    recording: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """Spans, open spans and totals; not those of others."""
    fill(recording, 2)
    for execution in (1, 2):
        connection.execute(
            "INSERT INTO open_spans VALUES (1, ?, NULL, ?, 'phase', 'x', NULL, 0)",
            (bytes([execution]), execution),
        )
    assert query(path, "SELECT count(*) FROM aggregate_parts") == [2]
    apply(connection, Retention(executions=1, bytes=None))
    assert query(path, "SELECT DISTINCT execution FROM streams") == [2]
    assert query(path, "SELECT DISTINCT execution FROM open_spans") == [2]
    assert query(path, "SELECT DISTINCT execution FROM aggregate_parts") == [2]
    assert query(path, "SELECT count(*) FROM aggregates") == [1]


def test_a_running_execution_stays(
    recording: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """Be it the oldest, be it far over the limit."""
    running = recording.root("running", start=1)
    recording.phase("implicit", start=2, end=3)
    fill(recording, 3)
    assert apply(connection, Retention(executions=0, bytes=0)) == 3
    assert kept(path) == ["running", "implicit"]
    running.end()


@pytest.mark.parametrize(
    ("pid", "birth", "host", "closed", "stays"),
    [
        (os.getpid(), birth_of(os.getpid()), host_name(), None, True),
        (os.getpid(), birth_of(os.getpid()), host_name(), 5, False),
        (os.getpid(), "1", host_name(), None, False),
        (2**22 + 1, "1", host_name(), None, False),
        (2**22 + 1, "1", "another host", None, True),
    ],
)
def test_an_execution_that_was_never_ended_stays_while_its_process_may_run(
    path: Path,
    connection: sqlite3.Connection,
    pid: int,
    birth: str,
    host: str,
    closed: int | None,
    stays: bool,
) -> None:
    """An abandoned one goes like a finished one."""
    connection.execute(
        "INSERT INTO processes VALUES (7, ?, ?, ?, 0, ?, NULL)", (pid, birth, host, closed)
    )
    connection.execute(
        "INSERT INTO executions (exec_id, trace_id, process, started_ns, last_ns)"
        " VALUES ('e', x'00', 7, 1, 2)"
    )
    apply(connection, Retention(executions=0, bytes=None))
    assert kept(path) == (["e"] if stays else [])


def test_the_size_limit_removes_what_it_takes_and_shrinks_the_file(
    recording: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """The newest stay, and the disk gets its room back."""
    fill(recording, 40, size=20_000)
    recording.close()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size > 800_000
    apply(connection, Retention(executions=None, bytes=400_000))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert 200_000 < path.stat().st_size <= 400_000
    assert kept(path) == [f"e{index}" for index in range(41 - len(kept(path)), 41)]
    assert query(path, "PRAGMA integrity_check") == ["ok"]


def test_the_id_of_a_removed_execution_is_not_given_again(
    recording: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """Whoever still holds it must not get another execution."""
    fill(recording, 3)
    apply(connection, Retention(executions=0, bytes=None))
    recording.execution("new")
    assert recording.writer.flush()
    assert query(path, "SELECT id FROM executions") == [4]


def test_what_no_execution_refers_to_goes_in_time(
    recording: Recording,
    path: Path,
    connection: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every process has a row, and a resource of its own: they must not pile up for ever."""
    monkeypatch.setattr(retention, "_MAX_ORPHANS", 0)
    fill(recording, 1)
    for number in range(5):
        connection.execute(
            "INSERT INTO processes (pid, birth, host, started_ns, closed_ns)"
            " VALUES (1, '', ?, 0, ?)",
            (str(number), None if number == 0 else 1),
        )
        connection.execute(
            "INSERT INTO resources VALUES (?, '', ?)", (100 + number, b"%d" % number)
        )
    fill(recording, 2)
    apply(connection, Retention(executions=1, bytes=None))
    assert query(path, "SELECT count(*) FROM resources") == [1]
    assert query(path, "SELECT host FROM processes WHERE pid = 1") == ["0"]
    recording.phase("e2")
    assert recording.writer.flush()
    assert query(path, "SELECT count(*) FROM streams t JOIN resources r ON r.id = t.resource") == [
        2
    ]


def test_a_writer_keeps_to_its_limits(record: Callable[..., Recording], path: Path) -> None:
    """By itself, at its first writing already: many programs write only once."""
    recording = record()
    fill(recording, 9)
    recording.close()
    later = record(limits=Retention(executions=4, bytes=None))
    later.execution("new")
    wait_until(lambda: len(kept(path)) == 4)
    assert kept(path)[-1] == "new"


def test_an_error_in_the_middle_removes_nothing_by_halves(
    recording: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """A transaction is whole, and is over."""
    fill(recording, 2)
    connection.execute(
        "CREATE TEMP TRIGGER stop BEFORE DELETE ON main.executions"
        " BEGIN SELECT raise(ABORT, 'stopped'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="stopped"):
        apply(connection, Retention(executions=0, bytes=None))
    assert not connection.in_transaction
    assert query(path, "SELECT count(*) FROM spans") == [4]
