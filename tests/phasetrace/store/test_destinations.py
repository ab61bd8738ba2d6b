"""Routes and destinations: what is to be delivered is stored for whom, and is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan

import phasetrace
from phasetrace import configuration, faults, time_phase
from phasetrace.store import retention
from phasetrace.store.destinations import (
    LAPSES_AFTER_NS,
    DestinationSpec,
    stored_destinations,
    waiting,
)
from phasetrace.store.entry import RoutedSpan
from phasetrace.store.processor import StoreSpanProcessor
from phasetrace.store.reader import StoreReader
from phasetrace.store.retention import Retention
from phasetrace.store.session import StoreSession
from phasetrace.store.writer import MAX_QUEUE
from tests.phasetrace.store.conftest import Recording, in_child, query

JAEGER = DestinationSpec("otlp http://jaeger", "otlp", "http://jaeger", is_local=False)
CONSOLE = DestinationSpec("console 1", "console", None, is_local=True)
UNLIMITED = Retention(None, None)

pytestmark = pytest.mark.usefixtures("without_thread")


@pytest.fixture
def recording(record: Callable[..., Recording]) -> Recording:
    """Return a recording whose spans are to be delivered, for nobody yet."""
    return record(routed=True)


@pytest.fixture
def store(path: Path, recording: Recording) -> Iterator[sqlite3.Connection]:
    """Return a connection of its own to the store, in which there is an execution."""
    recording.execution("first")
    assert recording.writer.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def counts(path: Path) -> dict[tuple[str, str], int]:
    """Return the counts of the destinations, by their key and what is counted."""
    rows = query(
        path,
        "SELECT d.key, c.what, c.value FROM destination_counts c"
        " JOIN destinations d ON d.id = c.destination",
    )
    return {(key, what): value for key, what, value in rows}


def routes(path: Path) -> list[tuple[str | None, int]]:
    """Return the destinations of each block, and how many spans are in it."""
    return query(
        path,
        "SELECT r.destinations, b.spans FROM blocks b JOIN streams t ON t.id = b.stream"
        " LEFT JOIN routes r ON r.id = t.route ORDER BY b.seq",
    )


def flush(recording: Recording) -> None:
    """Write what waits; something may have been lost."""
    recording.writer.flush()


def test_spans_are_stored_for_the_destinations_there_are(recording: Recording, path: Path) -> None:
    """The route of a stream says which; each of them has everything counted."""
    recording.writer.destinations = (JAEGER, CONSOLE)
    root = recording.root("e")
    recording.phase("e", parent=root)
    root.end()
    assert recording.writer.destination_ids() == {}
    flush(recording)
    assert recording.writer.destination_ids() == {JAEGER.key: 1, CONSOLE.key: 2}
    assert routes(path) == [("1,2", 2)]
    assert counts(path) == {(JAEGER.key, "stored"): 2, (CONSOLE.key, "stored"): 2}


def test_a_destination_gets_what_comes_after_it(
    recording: Recording, store: sqlite3.Connection, path: Path
) -> None:
    """Its cursor begins behind every block that there ever was."""
    recording.phase("e")
    flush(recording)
    store.execute("DELETE FROM blocks WHERE seq = (SELECT max(seq) FROM blocks)")
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    flush(recording)
    assert query(path, "SELECT cursor FROM destinations") == [2]
    assert query(path, "SELECT max(seq) FROM blocks") == [3]
    assert routes(path) == [(None, 1), ("1", 1)]


def test_other_destinations_are_for_what_is_written_from_then_on(
    recording: Recording, path: Path
) -> None:
    """A route that was there before is used again."""
    for destinations in ((JAEGER,), (CONSOLE, JAEGER), (), (JAEGER, CONSOLE)):
        recording.writer.destinations = destinations
        recording.phase("e")
        flush(recording)
    assert routes(path) == [("1", 1), ("1,2", 1), (None, 1), ("1,2", 1)]
    assert query(path, "SELECT count(*) FROM routes") == [2]
    assert counts(path) == {(JAEGER.key, "stored"): 3, (CONSOLE.key, "stored"): 2}


def test_a_destination_that_is_known_keeps_its_row(recording: Recording, path: Path) -> None:
    """Another endpoint is noted; a local one belongs to the process that came last."""
    recording.writer.destinations = (JAEGER, CONSOLE)
    recording.phase("e")
    flush(recording)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE destinations SET cursor = 1, process = 99 WHERE process IS NULL")
    recording.writer.destinations = (JAEGER._replace(endpoint="https://jaeger"), CONSOLE)
    recording.phase("e")
    flush(recording)
    assert query(path, "SELECT id, key, endpoint, process, cursor FROM destinations") == [
        (1, JAEGER.key, "https://jaeger", None, 1),
        (2, CONSOLE.key, None, 1, 0),
    ]


def test_a_new_file_has_the_destinations_too(recording: Recording, path: Path) -> None:
    """After the old one was removed: everything begins anew there."""
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    flush(recording)
    for file in path.parent.iterdir():
        file.unlink()
    recording.phase("e")
    flush(recording)
    assert recording.writer.destination_ids() == {JAEGER.key: 1}
    assert routes(path) == [("1", 1)]
    assert counts(path) == {(JAEGER.key, "stored"): 1}


def test_a_new_file_may_have_the_number_of_the_old_one(recording: Recording, path: Path) -> None:
    """File systems give it again, and after a fork nobody holds the old one."""
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    flush(recording)
    recording.writer._session.disconnect()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("blocks", "streams", "executions", "processes", "destinations", "routes"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
    recording.phase("e")
    flush(recording)
    assert query(path, "SELECT count(*) FROM processes p JOIN streams s ON s.process = p.id") == [1]
    assert query(path, "SELECT key FROM destinations") == [JAEGER.key]
    assert recording.writer.destination_ids() == {
        key: row for row, key in query(path, "SELECT id, key FROM destinations")
    }


def test_what_was_not_sampled_goes_nowhere(recording: Recording, path: Path) -> None:
    """It is stored for the local numbers."""
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    context = SimpleNamespace(trace_id=1, span_id=2, trace_flags=0, trace_state=None)
    span = recording.start("e")
    span._context = context  # type: ignore[attr-defined]
    span.end()
    flush(recording)
    assert routes(path) == [("1", 1), (None, 1)]


def test_another_providers_spans_go_nowhere_unless_they_are_asked_for(
    record: Callable[..., Recording], path: Path
) -> None:
    """The application's provider has exporters of its own."""
    recording = record()
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    recording.tracer.start_span("of no execution").end()
    flush(recording)
    assert routes(path) == [(None, 1)]
    assert counts(path) == {}


def test_spans_of_no_execution_are_stored_to_be_delivered(recording: Recording, path: Path) -> None:
    """In one stream, of whatever traces they are; nobody who asks for executions sees them."""
    recording.tracer.start_span("for nobody").end()
    recording.writer.destinations = (JAEGER,)
    for name in ("a", "b"):
        recording.tracer.start_span(name).end()
    recording.phase("e")
    flush(recording)
    assert query(path, "SELECT execution, trace_id, route FROM streams WHERE execution = 0") == [
        (0, b"", 1)
    ]
    assert query(path, "SELECT s.name, t.execution FROM spans s JOIN streams t ON t.id = s.stream")
    assert query(path, "SELECT name FROM spans ORDER BY name") == ["a", "b", "phase"]
    assert counts(path) == {(JAEGER.key, "stored"): 3}
    with StoreReader(path) as reader:
        (execution,) = reader.executions()
        assert (execution.exec_id, execution.spans) == ("e", 1)
        assert [span.name for span in reader.spans(execution)] == ["phase"]
        assert reader.breakdown(execution).spans == 1
        assert reader.summary(execution).nodes == 1


def test_what_waits_stays_for_those_that_there_were(recording: Recording, path: Path) -> None:
    """It was handed over while there was a destination, and is written when there is none."""
    recording.writer.destinations = (JAEGER,)
    recording.tracer.start_span("a").end()
    recording.phase("e", "b")
    recording.writer.destinations = ()
    recording.phase("e", "c")
    recording.tracer.start_span("d").end()
    assert recording.writer.flush()
    assert sorted(query(path, "SELECT name FROM spans")) == ["a", "b", "c"]
    assert counts(path) == {(JAEGER.key, "stored"): 2}


def test_what_cannot_be_written_yet_stays_for_those_that_there_were(
    recording: Recording, store: sqlite3.Connection, path: Path
) -> None:
    """Whether it has been encoded or not, and whatever comes after it meanwhile."""
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    store.execute("BEGIN IMMEDIATE")
    assert not recording.writer.flush(0.0)
    recording.phase("e")
    recording.writer.destinations = (CONSOLE,)
    recording.phase("e")
    assert not recording.writer.flush(0.0)
    recording.phase("e")
    store.execute("ROLLBACK")
    flush(recording)
    assert counts(path) == {(JAEGER.key, "stored"): 2, (CONSOLE.key, "stored"): 2}


def test_a_change_while_the_thread_writes_does_not_wait_for_it(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for longer than it waits for the file, at least; what is handed over is told apart."""
    monkeypatch.setattr("phasetrace.store.writer._BUSY_S", 0.01)
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    with recording.writer._writing:
        recording.writer.destinations = (CONSOLE,)
    recording.phase("e")
    flush(recording)
    assert routes(path) == [("1", 1), ("2", 1)]


changes = st.lists(
    st.sampled_from(["span", "span", "flush", "lock", "unlock", (JAEGER,), (CONSOLE,), ()]),
    max_size=20,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=changes)
def test_every_span_is_for_the_destinations_in_force_when_it_ended(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """Whenever it is written, and however often they changed since."""
    path = tmp_path_factory.mktemp("store") / "traces.db"
    recording = Recording(path, routed=True)
    recording.execution("first")
    assert recording.writer.flush()
    expected = {JAEGER.key: 0, CONSOLE.key: 0}
    in_force: tuple[DestinationSpec, ...] = ()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for step in [*steps, "unlock"]:
            if step == "span":
                recording.phase("e")
                for spec in in_force:
                    expected[spec.key] += 1
            elif step == "flush":
                assert recording.writer.flush(0.0 if other.in_transaction else 5.0) or (
                    other.in_transaction
                )
            elif step == "lock" and not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")
            elif step == "unlock" and other.in_transaction:
                other.execute("ROLLBACK")
            elif isinstance(step, tuple):
                recording.writer.destinations = in_force = step
    recording.close()
    stored = {key: number for (key, what), number in counts(path).items() if what == "stored"}
    assert stored == {key: number for key, number in expected.items() if number}


def test_our_own_spans_are_routed_where_their_provider_feeds_exporters(path: Path) -> None:
    """With and without an execution."""
    phasetrace.configure(store=path, exporters=())
    writer = configuration.current_tracing().writer
    assert writer is not None
    writer.destinations = (JAEGER,)
    with time_phase("e", "n", "p"):
        pass
    configuration.current_tracing()._provider.get_tracer("t").start_span("alone").end()
    phasetrace.shutdown()
    names = query(
        path,
        "SELECT s.name, t.execution FROM spans s JOIN streams t ON t.id = s.stream"
        " WHERE t.route = 1 ORDER BY s.name",
    )
    assert names == [("alone", 0), ("e", 1), ("p", 1)]


def test_whoever_delivers_is_told_of_what_is_there(recording: Recording) -> None:
    """After each batch with something for it; what it raises is a fault of ours."""
    told: list[dict[str, int]] = []
    recording.writer.on_written = lambda: told.append(recording.writer.destination_ids())
    recording.phase("e")
    flush(recording)
    assert told == []
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    flush(recording)
    flush(recording)
    assert told == [{JAEGER.key: 1}]
    recording.writer.on_written = lambda: told.append(told[99])
    recording.phase("e")
    assert recording.writer.flush()
    assert faults.counts() == {"telling of stored spans": 1}


def test_nobody_is_told_within_a_transaction(recording: Recording, path: Path) -> None:
    """Whoever is told may write at once."""
    recording.writer.destinations = (JAEGER,)

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=0)) as connection, connection:
            connection.execute("UPDATE destinations SET served_ns = 1")

    recording.writer.on_written = write
    recording.phase("e")
    flush(recording)
    assert faults.counts() == {}
    assert query(path, "SELECT served_ns FROM destinations") == [1]


def test_what_is_lost_on_the_way_is_counted_for_those_it_was_for(
    recording: Recording, path: Path
) -> None:
    """Exactly; the process's own counts are of all spans."""
    recording.writer.destinations = (JAEGER,)
    own = StoreSpanProcessor(recording.writer)
    for _ in range(MAX_QUEUE - 1):
        recording.writer._queue.append(finished(recording))
    recording.phase("e")
    recording.phase("e")
    recording.phase("e")
    own.on_end(finished(recording))
    recording.writer._queue.clear()
    flush(recording)
    assert recording.writer.lost == {"queue full": 3}
    assert counts(path) == {(JAEGER.key, "lost: queue full"): 2}
    assert query(path, "SELECT name, value FROM counters") == [("lost: queue full", 3)]


def test_what_was_lost_before_a_change_is_not_for_the_new_destinations(
    recording: Recording, path: Path
) -> None:
    """It is counted for the old ones, and for nobody where there was none."""
    recording.phase("e")
    recording.writer._queue_full.routed.add()
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    flush(recording)
    assert counts(path) == {(JAEGER.key, "stored"): 1}
    recording.writer._queue_full.routed.add()
    recording.writer.destinations = (CONSOLE,)
    recording.writer._queue_full.routed.add()
    recording.writer._queue_full.routed.add()
    recording.phase("e")
    flush(recording)
    assert counts(path) == {
        (JAEGER.key, "stored"): 1,
        (JAEGER.key, "lost: queue full"): 1,
        (CONSOLE.key, "stored"): 1,
        (CONSOLE.key, "lost: queue full"): 2,
    }


def test_what_cannot_be_encoded_is_lost_for_its_destinations(
    recording: Recording, path: Path
) -> None:
    """The others are stored."""
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    broken = finished(recording)
    broken._context = None
    recording.writer._queue.append(RoutedSpan(broken))
    flush(recording)
    assert counts(path) == {(JAEGER.key, "stored"): 1, (JAEGER.key, "lost: encoding"): 1}


def test_a_span_that_cannot_be_packed_is_lost_for_its_destinations(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of its batch is written."""
    plain = StoreSession.write

    def picky(self: Any, groups: Any, *rest: Any) -> Any:
        if any(label[1] == "bad" for group in groups for label in group.spans.known):
            groups = [object()]
        return plain(self, groups, *rest)

    monkeypatch.setattr(StoreSession, "write", picky)
    recording.writer.destinations = (JAEGER,)
    for name in ("first", "bad", "last"):
        recording.phase("e", name)
    flush(recording)
    assert routes(path) == [("1", 1), ("1", 1)]
    assert counts(path) == {(JAEGER.key, "stored"): 2, (JAEGER.key, "lost: cannot be a row"): 1}


def test_a_forked_child_leaves_alone_what_only_its_parent_can_serve(
    recording: Recording, path: Path
) -> None:
    """Until it is given destinations of its own."""
    recording.writer.destinations = (JAEGER, CONSOLE)
    recording.phase("e")
    flush(recording)

    def work() -> None:
        recording.phase("e")
        assert recording.writer.flush()

    assert in_child(work) == 0
    assert routes(path) == [("1,2", 1), ("1", 1)]
    assert query(path, "SELECT process FROM destinations") == [None, 1]


def test_a_destination_lapses_when_nobody_serves_it(path: Path, recording: Recording) -> None:
    """After a week; from its registration, or the last time that somebody was there."""
    recording.writer.destinations = (JAEGER,)
    recording.phase("e")
    flush(recording)
    with closing(sqlite3.connect(path)) as connection:
        (created_ns,) = connection.execute("SELECT created_ns FROM destinations").fetchone()

        def lapsed(now_ns: int) -> bool:
            return stored_destinations(connection, now_ns)[1].has_lapsed

        assert not lapsed(created_ns + LAPSES_AFTER_NS)
        assert lapsed(created_ns + LAPSES_AFTER_NS + 1)
        connection.execute("UPDATE destinations SET served_ns = created_ns + 5")
        assert not lapsed(created_ns + LAPSES_AFTER_NS + 5)
        assert lapsed(created_ns + LAPSES_AFTER_NS + 6)


def test_a_local_destination_lapses_with_its_process(path: Path, recording: Recording) -> None:
    """Not when that has closed the store: it may be delivering what is left."""
    recording.writer.destinations = (CONSOLE,)
    recording.phase("e")
    assert recording.close()
    with closing(sqlite3.connect(path)) as connection:
        (now_ns,) = connection.execute("SELECT created_ns FROM destinations").fetchone()
        assert not stored_destinations(connection, now_ns)[1].has_lapsed
        connection.execute("UPDATE processes SET birth = '1'")
        assert stored_destinations(connection, now_ns)[1].has_lapsed
        connection.execute("DELETE FROM processes")
        assert stored_destinations(connection, now_ns)[1].has_lapsed


steps = st.lists(
    st.sampled_from(["e1", "e2", "e3", "alone", "flush", "deliver", "lapse", "retain", "serve"]),
    max_size=30,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
def test_the_counts_add_up_at_any_time(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """What was stored for a destination was delivered, was dropped, or waits."""
    path = tmp_path_factory.mktemp("store") / "traces.db"
    recording = Recording(path, routed=True)
    recording.writer.destinations = (JAEGER, CONSOLE)
    recording.execution("e0")
    assert recording.writer.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for step in steps:
            if step == "alone":
                recording.tracer.start_span("alone").end()
            elif step == "flush":
                assert recording.writer.flush()
            elif step == "deliver":
                deliver(connection, 1)
            elif step == "lapse":
                connection.execute("UPDATE destinations SET served_ns = 0 WHERE id = 2")
            elif step == "serve":
                connection.execute("UPDATE destinations SET served_ns = NULL WHERE id = 2")
            elif step == "retain":
                retention.apply(connection, Retention(1, None))
            else:
                recording.execution(step)
            for destination in (1, 2):
                counted = dict(
                    connection.execute(
                        "SELECT what, value FROM destination_counts WHERE destination = ?",
                        (destination,),
                    ).fetchall()
                )
                assert counted.pop("stored") == sum(counted.values()) + waiting(
                    connection, destination
                )
    recording.close()


def deliver(connection: sqlite3.Connection, destination: int) -> None:
    """Deliver everything that waits, as somebody who serves a destination does."""
    number = waiting(connection, destination)
    connection.execute(
        "UPDATE destinations SET cursor = (SELECT max(seq) FROM blocks) WHERE id = ?"
        " AND cursor < (SELECT max(seq) FROM blocks)",
        (destination,),
    )
    connection.execute(
        "INSERT INTO destination_counts VALUES (?, 'delivered', ?)"
        " ON CONFLICT DO UPDATE SET value = value + excluded.value",
        (destination, number),
    )


def finished(recording: Recording) -> ReadableSpan:
    """Return a finished span of an execution that nobody was told of."""
    processors = recording.provider._active_span_processor
    told, processors._span_processors = processors._span_processors, ()
    try:
        span: Any = recording.start("e")
        span.end()
        readable: ReadableSpan = span._readable_span()
        return readable
    finally:
        processors._span_processors = told
