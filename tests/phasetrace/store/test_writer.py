"""Writing: what is handed over gets into the store, soon, once, and counted where it does not."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from phasetrace.store import writer as writer_module
from phasetrace.store.exact_count import ExactCount
from phasetrace.store.rows import RowWriter
from phasetrace.store.session import StoreSession
from tests.conftest import FakeClock
from tests.phasetrace.store.conftest import Recording, query, read, wait_until


def test_a_finished_span_is_on_disk_within_200_ms(recording: Recording, path: Path) -> None:
    """The thread writes on its own, soon enough; the median of some, against a slow machine."""
    recording.phase("e")
    assert recording.writer.flush()
    delays = []
    for name in ("a", "b", "c", "d", "e"):
        ended = time.monotonic()
        recording.phase("e", name)
        wait_until(partial(query, path, "SELECT 1 FROM spans WHERE name = ?", name))
        delays.append(time.monotonic() - ended)
    assert sorted(delays)[2] < 0.2


def test_the_payload_of_a_row_is_the_span(recording: Recording, path: Path) -> None:
    """What is stored is the span's OTLP message, ready to be sent."""
    recording.phase("e", "thinking", attributes={"model": "m"})
    assert recording.writer.flush()
    (payload,) = query(path, "SELECT payload FROM spans")
    message = SpanMessage.FromString(payload)
    attributes = {pair.key: pair.value.string_value for pair in message.attributes}
    assert (message.name, attributes) == (
        "thinking",
        {"exec_id": "e", "node_id": "node", "model": "m"},
    )


def test_many_spans_share_one_resource_and_scope(recording: Recording, path: Path) -> None:
    """What spans have in common is kept once, over several batches too."""
    for _ in range(3):
        recording.phase("e")
        assert recording.writer.flush()
    assert query(path, "SELECT count(*) FROM resources") == [1]
    assert query(path, "SELECT count(*) FROM scopes") == [1]


def test_spans_outside_executions_are_not_stored(recording: Recording, path: Path) -> None:
    """An empty id is no id."""
    recording.phase("e")
    recording.tracer.start_span("foreign").end()
    recording.tracer.start_span("empty", attributes={"exec_id": ""}).end()
    assert recording.writer.flush()
    assert query(path, "SELECT name FROM spans") == ["phase"]


def test_an_open_execution_has_a_row_at_once(recording: Recording, path: Path) -> None:
    """A run can be seen while it runs."""
    root = recording.root("e")
    wait_until(path.exists)
    wait_until(lambda: query(path, "SELECT count(*) FROM sqlite_master") != [0])
    wait_until(lambda: query(path, "SELECT exec_id FROM executions") == ["e"])
    root.end()


@pytest.mark.usefixtures("without_thread")
def test_a_span_open_for_a_second_has_a_row_until_it_ends(
    record: Callable[..., Recording], fake_clock: FakeClock, path: Path
) -> None:
    """Not earlier than after a second, and once."""
    recording = record(now_ns=fake_clock)
    span = recording.start("e", "long", start=fake_clock())
    recording.phase("e", "short", start=fake_clock(), end=fake_clock())
    fake_clock.advance(999)
    recording.writer.flush()
    assert query(path, "SELECT name FROM open_spans") == []
    fake_clock.advance(1)
    recording.writer.flush()
    assert query(path, "SELECT name FROM open_spans") == ["long"]
    span.end(fake_clock())
    recording.writer.flush()
    assert query(path, "SELECT name FROM open_spans") == []


@pytest.mark.usefixtures("without_thread")
@pytest.mark.usefixtures("without_thread")
def test_a_root_on_its_way_into_its_start_gets_its_row_afterwards(
    recording: Recording, path: Path
) -> None:
    """Another thread may see it before it has a time; 1970 is not when the execution began."""
    root: Any = recording.root("e", start=5_000)
    root._start_time = None
    recording.writer.flush()
    assert not query(path, "SELECT * FROM open_spans") if path.exists() else True
    root._start_time = 5_000
    recording.writer.flush()
    assert query(path, "SELECT start_ns FROM open_spans") == [5_000]
    assert query(path, "SELECT started_ns FROM executions") == [5_000]
    root.end()


@pytest.mark.usefixtures("without_thread")
def test_no_row_of_an_open_span_is_left_by_a_batch_that_is_written_apart(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was locked while the span opened and ended, and something cannot be a row."""
    recording.phase("e")
    recording.writer.flush()
    root = recording.root("e")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        recording.writer.flush(timeout_s=0.0)
        other.execute("ROLLBACK")
    root.end()
    real = RowWriter.write

    def refuse_many(self: RowWriter, spans: Any, *rest: Any) -> Any:
        if spans and rest[1]:
            raise ValueError("cannot be rows")
        return real(self, spans, *rest)

    monkeypatch.setattr(RowWriter, "write", refuse_many)
    recording.writer.flush()
    assert query(path, "SELECT count(*) FROM spans") == [2]
    assert query(path, "SELECT * FROM open_spans") == []


def test_a_span_that_starts_in_the_future_keeps_no_other_from_its_row(
    record: Callable[..., Recording], fake_clock: FakeClock, path: Path
) -> None:
    """Start times may be given, in any order."""
    recording = record(now_ns=fake_clock)
    future = recording.start("e", "future", start=fake_clock() + 10**12)
    past = recording.start("e", "past", start=fake_clock())
    fake_clock.advance(2_000)
    recording.writer.flush()
    assert query(path, "SELECT name FROM open_spans") == ["past"]
    past.end(fake_clock())
    future.end()


@pytest.mark.usefixtures("without_thread")
def test_spans_past_the_queue_are_counted_exactly(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded are stored plus lost, with many threads handing over at once."""
    monkeypatch.setattr(writer_module, "MAX_QUEUE", 50)

    def work() -> None:
        for _ in range(100):
            recording.phase("e")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recording.writer.flush()
    (stored,) = query(path, "SELECT count(*) FROM spans")
    assert 50 <= stored < 60
    assert query(path, "SELECT name, value FROM counters") == [("lost: queue full", 800 - stored)]


@pytest.mark.usefixtures("without_thread")
def test_what_was_lost_is_counted_in_the_store_once(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later batches do not count it again."""
    monkeypatch.setattr(writer_module, "MAX_QUEUE", 1)
    for _ in range(3):
        recording.phase("e")
        recording.phase("e")
        recording.writer.flush()
    recording.writer.flush()
    assert query(path, "SELECT value FROM counters") == [3]
    assert recording.writer.lost == {"queue full": 3}


def test_an_exact_count_loses_nothing_between_threads() -> None:
    """Looking at it in between does not change it."""
    count = ExactCount()

    def add() -> None:
        for number in range(10_000):
            count.add()
            if number % 100 == 0:
                count.value()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (count.value(), count.value()) == (40_000, 40_000)


@pytest.mark.usefixtures("without_thread")
def test_flush_says_that_something_was_lost_once(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """True means that everything handed over since the last time is in the store."""
    monkeypatch.setattr(writer_module, "MAX_QUEUE", 1)
    recording.phase("e")
    recording.phase("e")
    assert not recording.writer.flush()
    recording.phase("e")
    assert recording.writer.flush()


def test_a_program_that_forks_in_a_burst_waits_for_the_thread_to_come_back(
    recording: Recording,
) -> None:
    """Else its other threads fill the queue while none is written, and slow the fork down."""
    recording.writer.before_fork()
    assert recording.writer.wake()
    assert recording.writer.keeps_up
    recording.writer.after_fork_in_parent()
    recording.writer.close()
    assert not recording.writer.wake()


@pytest.mark.usefixtures("without_thread")
def test_flush_says_what_was_lost_though_the_thread_wrote_in_between(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers for everything since the last flush."""
    monkeypatch.setattr(writer_module, "MAX_QUEUE", 1)
    recording.phase("e")
    recording.phase("e")
    with recording.writer._writing:
        recording.writer._write_all(None)
    assert not recording.writer.flush()


@pytest.mark.usefixtures("without_thread")
def test_flush_past_its_deadline_says_that_something_waits(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is not lost: the next flush writes it."""
    monkeypatch.setattr(writer_module, "_BATCH", 10)
    for _ in range(35):
        recording.phase("e")
    assert not recording.writer.flush(timeout_s=0.0)
    assert recording.writer.flush()
    assert query(path, "SELECT count(*) FROM spans") == [35]


@pytest.mark.usefixtures("without_thread")
def test_closing_past_its_deadline_writes_the_totals_and_counts_the_rest(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers are exact though not every span is stored."""
    monkeypatch.setattr(writer_module, "_BATCH", 10)
    for number in range(35):
        recording.phase("e", start=number * 10, end=number * 10 + 10)
    assert not recording.writer.close(timeout_s=0.0)
    (stored,) = query(path, "SELECT count(*) FROM spans")
    assert query(path, "SELECT value FROM counters") == [35 - stored]
    assert query(path, "SELECT count, total_ns FROM aggregates") == [(35, 350)]


def test_spans_after_the_end_are_counted(recording: Recording, path: Path) -> None:
    """A closed writer takes nothing, and says so."""
    recording.phase("e")
    assert recording.close()
    recording.phase("e")
    assert recording.writer.lost == {"after the end": 1}
    assert query(path, "SELECT count(*) FROM spans") == [1]


def test_nothing_is_lost_between_closing_and_recording(recording: Recording, path: Path) -> None:
    """Every span that ends while the writer closes is stored or counted."""
    started = threading.Event()

    def work() -> None:
        for _ in range(300):
            recording.phase("e")
            started.set()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    recording.close()
    for thread in threads:
        thread.join()
    (stored,) = query(path, "SELECT count(*) FROM spans")
    assert stored + sum(recording.writer.lost.values()) == 1_200


@pytest.mark.usefixtures("without_thread")
def test_a_span_that_cannot_be_a_row_costs_only_itself(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of its batch is written, and it is counted."""
    plain = StoreSession.write

    def picky(self, groups, *rest):  # type: ignore[no-untyped-def]
        if any(label[1] == "bad" for group in groups for label in group.spans.known):
            groups = [object()]
        return plain(self, groups, *rest)

    monkeypatch.setattr(StoreSession, "write", picky)
    for name in ("first", "bad", "last"):
        recording.phase("e", name)
    assert not recording.writer.flush()
    assert query(path, "SELECT name FROM spans ORDER BY seq") == ["first", "last"]
    assert query(path, "SELECT name, value FROM counters") == [("lost: cannot be a row", 1)]


@pytest.mark.usefixtures("without_thread")
@pytest.mark.parametrize("iteration", [2**70, "\ud800", b"x", [1, "a"], True, None])
def test_any_iteration_can_be_stored(recording: Recording, path: Path, iteration: object) -> None:
    """Its column takes what SQLite can hold, and text for the rest."""
    recording.phase("e", attributes={"iteration": iteration} if iteration is not None else {})
    assert recording.writer.flush()
    assert query(path, "SELECT count(*) FROM spans") == [1]


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its folder goes on writing to the same store."""
    monkeypatch.chdir(tmp_path)
    recording = Recording(Path("traces.db"))
    recording.phase("e")
    assert recording.writer.flush()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recording.phase("e")
    assert recording.close()
    assert query(tmp_path / "traces.db", "SELECT count(*) FROM spans") == [2]


def test_a_writer_that_is_made_later_is_the_same_process(
    record: Callable[..., Recording], path: Path
) -> None:
    """A new configuration goes on with the executions of the one before."""
    first, second = record(), record()
    first.phase("e")
    first.close()
    second.phase("e")
    second.writer.flush()
    assert query(path, "SELECT count(*) FROM processes") == [1]
    assert (second.elsewhere, read(path, "e").status) == ([], "running")
