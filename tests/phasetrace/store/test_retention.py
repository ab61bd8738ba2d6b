"""Retention: the oldest finished executions go, with all they had; a running one stays."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from phasetrace.store import retention
from phasetrace.store.destinations import LAPSES_AFTER_NS, DestinationSpec, waiting
from phasetrace.store.file import open_for_writing
from phasetrace.store.ledger import DeadLetter, Ledger, Settlement
from phasetrace.store.process import birth_of, host_name
from phasetrace.store.reader import StoreReader
from phasetrace.store.retention import Retention, apply
from phasetrace.store.standing import MAX_REFUSED
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


FIRST = DestinationSpec("first", "first", None, is_local=False)
SECOND = DestinationSpec("second", "second", None, is_local=False)
LOCAL = DestinationSpec("local", "local", None, is_local=True)


@pytest.fixture
def delivered(record: Callable[..., Recording]) -> Recording:
    """Return a recording whose spans are for two destinations."""
    recording = record(routed=True)
    recording.writer.destinations = (FIRST, SECOND)
    return recording


def deal_with(connection: sqlite3.Connection, exec_id: str, *keys: str) -> None:
    """Move the cursors of destinations up to the last block of an execution."""
    for key in keys:
        connection.execute(
            "UPDATE destinations SET cursor = (SELECT max(b.seq) FROM blocks b"
            " JOIN streams t ON t.id = b.stream JOIN executions e ON e.id = t.execution"
            " WHERE e.exec_id = ?) WHERE key = ?",
            (exec_id, key),
        )


def one_by_one(recording: Recording, number: int, size: int = 0) -> None:
    """Record finished executions e1, e2, …, each in blocks of its own."""
    for index in range(1, number + 1):
        start = index * 1_000
        root = recording.root(f"e{index}", start=start)
        recording.phase(f"e{index}", parent=root, start=start, attributes={"data": "x" * size})
        root.end(start + 20)
        assert recording.writer.flush()


def counted(path: Path, key: str) -> dict[str, int]:
    """Return what is counted for a destination."""
    return dict(
        query(
            path,
            "SELECT c.what, c.value FROM destination_counts c"
            " JOIN destinations d ON d.id = c.destination WHERE d.key = ?",
            key,
        )
    )


@pytest.mark.usefixtures("without_thread")
def test_what_waits_for_delivery_stays_beyond_every_limit(
    delivered: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """Also if only one of its destinations does not have it."""
    one_by_one(delivered, 3)
    deal_with(connection, "e3", "first")
    assert apply(connection, Retention(executions=0, bytes=0)) == 0
    deal_with(connection, "e2", "second")
    assert apply(connection, Retention(executions=0, bytes=None)) == 2
    assert kept(path) == ["e3"]
    assert counted(path, "first") == counted(path, "second") == {"stored": 6}


@pytest.mark.usefixtures("without_thread")
def test_delivered_executions_go_before_older_ones_that_wait(
    record: Callable[..., Recording],
    delivered: Recording,
    path: Path,
    connection: sqlite3.Connection,
) -> None:
    """The oldest of them first; so do those that are for nobody."""
    one_by_one(delivered, 2)
    local = record()
    local.execution("for nobody", start=500, end=600)
    local.execution("nor this", start=9_000, end=9_001)
    assert local.writer.flush()
    assert apply(connection, Retention(executions=3, bytes=None)) == 1
    assert kept(path) == ["e1", "e2", "nor this"]
    assert apply(connection, Retention(executions=2, bytes=None)) == 1
    assert kept(path) == ["e1", "e2"]


@pytest.mark.usefixtures("without_thread")
def test_what_waits_for_a_lapsed_destination_goes_and_is_counted(
    delivered: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """There, and with the part of it that it does not have."""
    one_by_one(delivered, 3)
    deal_with(connection, "e3", "first")
    deal_with(connection, "e1", "second")
    (created_ns,) = query(path, "SELECT created_ns FROM destinations WHERE key = 'second'")
    late_ns = created_ns + LAPSES_AFTER_NS + 1
    connection.execute("UPDATE destinations SET served_ns = ? WHERE key = 'first'", (late_ns,))
    assert apply(connection, Retention(executions=1, bytes=None), late_ns) == 2
    assert kept(path) == ["e3"]
    assert counted(path, "first") == {"stored": 6}
    assert counted(path, "second") == {"stored": 6, "dropped: not served": 2}
    assert [waiting(connection, one) for one in (1, 2)] == [0, 2]


@pytest.mark.usefixtures("without_thread")
def test_spans_of_no_execution_go_once_all_have_them(
    delivered: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """Whatever the limits are; not before the last one has."""
    for name in ("a", "b", "c"):
        delivered.tracer.start_span(name).end()
        assert delivered.writer.flush()
    connection.execute("UPDATE destinations SET cursor = 3 WHERE key = 'first'")
    connection.execute("UPDATE destinations SET cursor = 1 WHERE key = 'second'")
    apply(connection, Retention(None, None))
    assert query(path, "SELECT name FROM spans") == ["b", "c"]
    connection.execute("UPDATE destinations SET cursor = 3 WHERE key = 'second'")
    apply(connection, Retention(None, None))
    assert query(path, "SELECT name FROM spans") == []
    assert query(path, "SELECT * FROM streams") == []
    delivered.tracer.start_span("d").end()
    assert delivered.writer.flush()
    assert query(path, "SELECT name FROM spans") == ["d"]


@pytest.mark.usefixtures("without_thread")
def test_spans_of_no_execution_do_not_wait_for_a_lapsed_destination(
    delivered: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """What it does not have is counted there."""
    for name in ("a", "b"):
        delivered.tracer.start_span(name).end()
        assert delivered.writer.flush()
    connection.execute("UPDATE destinations SET served_ns = 1 WHERE key = 'second'")
    connection.execute("UPDATE destinations SET cursor = 1 WHERE key = 'first'")
    apply(connection, Retention(None, None))
    assert query(path, "SELECT name FROM spans") == ["b"]
    assert counted(path, "second") == {"stored": 2, "dropped: not served": 1}
    connection.execute("UPDATE destinations SET served_ns = 1")
    apply(connection, Retention(None, None))
    assert counted(path, "first") == {"stored": 2, "dropped: not served": 1}
    assert counted(path, "second") == {"stored": 2, "dropped: not served": 2}


@pytest.mark.usefixtures("without_thread")
def test_what_only_a_dead_process_could_deliver_does_not_stay(
    record: Callable[..., Recording],
    path: Path,
    connection: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does its destination, once nothing is for it."""
    monkeypatch.setattr(retention, "_MAX_ORPHANS", -10)
    recording = record(routed=True)
    recording.writer.destinations = (FIRST, LOCAL)
    one_by_one(recording, 2)
    deal_with(connection, "e2", "first")
    assert apply(connection, Retention(executions=0, bytes=None)) == 0
    connection.execute("UPDATE processes SET birth = '1'")
    assert apply(connection, Retention(executions=1, bytes=None)) == 1
    assert counted(path, "local") == {"stored": 4, "dropped: not served": 2}
    assert apply(connection, Retention(executions=0, bytes=None)) == 1
    assert query(path, "SELECT key FROM destinations") == ["first"]
    assert query(path, "SELECT * FROM routes") == []
    assert query(path, "SELECT DISTINCT destination FROM destination_counts") == [1]


@pytest.mark.usefixtures("without_thread")
def test_a_store_full_of_what_waits_takes_no_more_spans(
    record: Callable[..., Recording],
    path: Path,
    connection: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its totals and executions go on; each span is counted; with room, spans are stored again."""
    monkeypatch.setattr(retention, "INTERVAL_S", 0.0)
    recording = record(routed=True, limits=Retention(executions=None, bytes=400_000))
    recording.writer.destinations = (FIRST,)
    one_by_one(recording, 1, size=500_000)
    for exec_id in ("e2", "e3"):
        root = recording.root(exec_id, start=5_000)
        recording.phase(exec_id, parent=root, start=5_000, end=6_000, error=True)
        root.end(7_000)
        assert not recording.writer.flush()
    recording.tracer.start_span("of no execution").end()
    assert not recording.writer.flush()
    assert recording.writer.lost == {"store full": 5}
    assert query(path, "SELECT count(*) FROM spans") == [2]
    assert query(path, "SELECT name, value FROM counters") == [("lost: store full", 5)]
    assert counted(path, "first") == {"stored": 2, "lost: store full": 5}
    (warning,) = [record for record in caplog.records if "is full" in record.getMessage()]
    assert warning.levelname == "WARNING"
    with StoreReader(path) as reader:
        execution = reader.find("e2")
        assert (execution.status, execution.spans, execution.errors) == ("ok", 0, 1)
        assert execution.duration_ns == 2_000
        (node,) = reader.breakdown(execution).nodes
        assert [(phase.total_ns, phase.errors) for phase in node.phases] == [(1_000, 1)]
    deal_with(connection, "e1", "first")
    recording.phase("e4")
    assert not recording.writer.flush()
    assert kept(path) != []
    recording.phase("e4", "later")
    assert recording.writer.flush()
    assert query(path, "SELECT name FROM spans") == ["later"]
    assert recording.writer.lost == {"store full": 6}


@pytest.mark.usefixtures("without_thread")
def test_a_store_full_of_what_runs_takes_no_more_spans(
    record: Callable[..., Recording], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the only execution, and must not go while it runs."""
    monkeypatch.setattr(retention, "INTERVAL_S", 0.0)
    recording = record(limits=Retention(executions=None, bytes=400_000))
    root = recording.root("e")
    recording.phase("e", parent=root, attributes={"data": "x" * 500_000})
    assert recording.writer.flush()
    recording.phase("e", "lost", parent=root)
    assert not recording.writer.flush()
    root.end()
    assert not recording.writer.flush()
    assert recording.writer.lost == {"store full": 2}
    assert query(path, "SELECT name FROM spans") == []


def refuse(path: Path, names: str, size: int = 0) -> None:
    """Have the first destination refuse everything; of each span so many bytes are put aside."""
    letters = [DeadLetter("no", None, b"", b"", name, b"x" * size) for name in names]
    with closing(Ledger(path, "first")) as ledger:
        ledger.settle(Settlement(ledger.latest(), 0, 0, letters), 1)


@pytest.mark.usefixtures("without_thread")
def test_the_latest_refused_spans_stay_and_all_stay_counted(
    delivered: Recording,
    path: Path,
    connection: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many as are told of; what the store says of its destinations goes on adding up."""
    assert retention._MAX_DEAD_LETTERS == MAX_REFUSED
    monkeypatch.setattr(retention, "_MAX_DEAD_LETTERS", 2)
    one_by_one(delivered, 3)
    refuse(path, "abcdef")
    assert apply(connection, Retention(None, None)) == 0
    assert query(path, "SELECT name FROM dead_letters ORDER BY id") == ["e", "f"]
    assert apply(connection, Retention(None, None)) == 0
    with StoreReader(path) as store:
        standing = store.standing()
    first, second = standing.destinations
    assert (first.stored, first.refused, first.waiting, first.unaccounted) == (6, 6, 0, 0)
    assert (second.stored, second.waiting, second.unaccounted) == (6, 6, 0)
    assert [span.name for span in standing.refused_spans] == ["f", "e"]
    assert standing.refused_total == 2


@pytest.mark.usefixtures("without_thread")
def test_refused_spans_do_not_fill_the_store(
    delivered: Recording, path: Path, connection: sqlite3.Connection
) -> None:
    """They take an eighth of it at most, and no execution has to go for them."""
    one_by_one(delivered, 1)
    deal_with(connection, "e1", "second")
    refuse(path, "abcdefghijkl", size=60_000)
    limits = Retention(executions=None, bytes=8 * 150_000)
    apply(connection, limits)
    assert query(path, "SELECT name FROM dead_letters ORDER BY id") == ["k", "l"]
    assert kept(path) == ["e1"]
    assert query(path, "PRAGMA freelist_count") == [0]
    limits = Retention(executions=None, bytes=400_000)
    apply(connection, limits)
    assert not retention.is_exceeded(connection, limits)
    assert query(path, "SELECT count(*) FROM dead_letters") == [0]
    assert kept(path) == ["e1"]
    assert counted(path, "first") == {"stored": 2, "refused": 12}
