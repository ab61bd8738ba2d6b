"""A store that cannot be written: the program runs on, and nothing is lost silently."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import StatusCode

from phasetrace.names import EXEC_ID
from phasetrace.store import session
from phasetrace.store.batch import Batch, Taken
from phasetrace.store.writer import StoreWriter
from tests.phasetrace.store.conftest import Recording, query, run_program, start_program, wait_until


class FailingConnection:
    """A connection on which beginning to write fails while ``error`` is set."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.error: sqlite3.Error | None = None
        self.tries = 0

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        """Run a statement, or fail."""
        if sql.startswith("INSERT INTO counters") or sql == "COMMIT":
            self.tries += sql == "COMMIT"
            if self.error is not None:  # a new one each time: one that is raised again keeps it all
                raise type(self.error)(*self.error.args)
        return self._connection.execute(sql, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def failing(recording: Recording, without_thread: None) -> Iterator[FailingConnection]:
    """Return the recording's connection, which can be made to fail."""
    recording.phase("e", "first")
    assert recording.writer.flush()
    recorded = recording.writer._session
    assert recorded._connection is not None
    connection = FailingConnection(recorded._connection)
    recorded._connection = connection  # type: ignore[assignment]
    yield connection
    connection.error = None


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of ours; there must be nothing else."""
    assert {(one.name, one.levelno) for one in caplog.records} <= {("phasetrace", logging.WARNING)}
    return [one.getMessage() for one in caplog.records]


FULL = sqlite3.OperationalError("database or disk is full")
LOCKED = sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize("error", [FULL, LOCKED, sqlite3.OperationalError("disk I/O error")])
def test_what_cannot_be_written_now_is_written_later_once(
    recording: Recording, path: Path, failing: FailingConnection, error: sqlite3.Error
) -> None:
    """No span is lost, none is there twice, and they keep their order."""
    failing.error = error
    for name in ("second", "third"):
        recording.phase("e", name)
        assert not recording.writer.flush(timeout_s=0.5)
    assert query(path, "SELECT name FROM spans") == ["first"]
    failing.error = None
    recording.phase("e", "fourth")
    assert recording.writer.flush()
    names = query(path, "SELECT name FROM spans ORDER BY seq")
    assert names == ["first", "second", "third", "fourth"]
    assert query(path, "SELECT spans FROM executions") == [4]


def test_a_full_disk_is_said_once(
    recording: Recording, failing: FailingConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """However often writing is tried."""
    failing.error = FULL
    for _ in range(5):
        recording.phase("e")
        recording.writer.flush()
    (line,) = lines(caplog)
    assert line.endswith("database or disk is full; trying again")


def test_another_process_writing_is_not_worth_a_line(
    recording: Recording, failing: FailingConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """It happens all the time."""
    failing.error = LOCKED
    recording.phase("e")
    assert not recording.writer.flush(timeout_s=0.5)
    assert lines(caplog) == []


def test_totals_that_cannot_be_written_are_written_later(
    recording: Recording, path: Path, failing: FailingConnection
) -> None:
    """The collector hands them out once; the writer keeps them, the latest ones only."""
    failing.error = FULL
    root = recording.root("e")
    recording.phase("e", "last", start=0, end=1_000)
    root.end()
    assert not recording.writer.flush()
    failing.error = None
    assert recording.writer.flush()
    assert query(path, "SELECT phase, total_ns FROM aggregates WHERE phase = 'last'") == [
        ("last", 1_000)
    ]


def test_open_spans_that_cannot_be_written_get_their_row_later(
    recording: Recording, path: Path, failing: FailingConnection
) -> None:
    """A run that started while the disk was full can be seen once it is not."""
    failing.error = FULL
    root = recording.root("other")
    recording.writer.flush()
    failing.error = None
    recording.writer.flush()
    assert query(path, "SELECT exec_id FROM executions WHERE ended_ns IS NULL") == ["e", "other"]
    root.end()


def test_spans_that_still_cannot_be_written_at_the_end_are_counted(
    recording: Recording, failing: FailingConnection
) -> None:
    """In the process at least."""
    failing.error = FULL
    recording.phase("e")
    recording.phase("e")
    assert not recording.close()
    assert recording.writer.lost == {"no time left": 2}


class Elsewhere:
    """Takes what was to be delivered from the store, and notes it."""

    def __init__(self, writer: StoreWriter, takes: bool = True) -> None:
        self.spans: list[ReadableSpan] = []
        self.asked = 0
        self._takes = takes
        writer.on_unwritable = self.take

    def take(self, spans: Sequence[ReadableSpan]) -> bool:
        """Take spans, or refuse them."""
        self.asked += 1
        self.spans += spans if self._takes else ()
        return self._takes

    @property
    def names(self) -> list[str]:
        """The names of what was taken, in order."""
        return [span.name for span in self.spans]


@pytest.fixture
def routed(
    record: Callable[..., Recording], path: Path, without_thread: None
) -> Iterator[Recording]:
    """Return a recording whose spans are to be delivered."""
    yield record(routed=True)


def test_what_cannot_be_stored_is_delivered_in_another_way(path: Path, routed: Recording) -> None:
    """From the first span on, though nobody knows of the store before that is to be written."""
    path.mkdir(parents=True)
    elsewhere = Elsewhere(routed.writer)
    for name in ("first", "second", "third"):
        routed.phase("e", name)
    assert not routed.writer.flush()
    routed.phase("e", "fourth")
    assert not routed.writer.flush()
    routed.phase("e", "last")
    assert not routed.close()
    assert elsewhere.names == ["first", "second", "third", "fourth", "last"]
    assert (routed.writer.lost, routed.writer.routed_lost) == ({"unwritable": 5}, {})


def test_a_span_that_was_encoded_in_vain_is_delivered_whole(path: Path, routed: Recording) -> None:
    """Before the store was known to be of no use, it was made into a message."""
    path.mkdir(parents=True)
    elsewhere = Elsewhere(routed.writer)
    span: Any = routed.start("e", "failing", attributes={"tokens": 3, "models": ["a", "b"]})
    span.add_event("tried", {"again": True})
    routed.fail(span)
    routed.writer.flush()
    (taken,) = elsewhere.spans
    assert (taken.name, taken.start_time, taken.end_time) == (
        "failing",
        span.start_time,
        span.end_time,
    )
    context = taken.get_span_context()
    assert context is not None
    assert context.span_id == span.get_span_context().span_id
    assert context.trace_id == span.get_span_context().trace_id
    assert context.trace_flags.sampled
    assert dict(taken.attributes or {}) == {**span.attributes, "models": ("a", "b")}
    assert [(one.name, dict(one.attributes or {})) for one in taken.events] == [
        ("tried", {"again": True})
    ]
    assert taken.status.status_code is StatusCode.ERROR
    assert dict(taken.resource.attributes) == dict(routed.provider.resource.attributes)
    assert taken.instrumentation_scope is not None
    assert taken.instrumentation_scope.name == "tests"


def test_only_what_was_to_be_delivered_is(path: Path, routed: Recording) -> None:
    """What an application's provider records goes where the application sends it."""
    path.mkdir(parents=True)
    elsewhere = Elsewhere(routed.writer)
    theirs = TracerProvider(shutdown_on_exit=False).get_tracer("theirs")
    for name in ("first", "second", None):
        span: Any = theirs.start_span("theirs", attributes={EXEC_ID: "e"})
        span.end()
        routed.writer.take((span,))
        if name is not None:
            routed.phase("e", name)
        routed.writer.flush()
    assert (elsewhere.names, elsewhere.asked) == (["first", "second"], 2)
    assert (routed.writer.lost, routed.writer.routed_lost) == ({"unwritable": 5}, {})


def test_what_is_delivered_in_no_way_is_counted(path: Path, routed: Recording) -> None:
    """Both as not stored and as not delivered."""
    path.mkdir(parents=True)
    Elsewhere(routed.writer, takes=False)
    for _ in range(2):
        routed.phase("e")
        routed.writer.flush()
    assert routed.writer.lost == routed.writer.routed_lost == {"unwritable": 2}


def test_a_store_that_breaks_later_costs_no_delivery(path: Path, routed: Recording) -> None:
    """What it has is delivered from it, and only what it has not is delivered otherwise."""
    elsewhere = Elsewhere(routed.writer)
    routed.phase("e", "stored")
    assert routed.writer.flush()
    assert query(path, "SELECT name FROM spans") == ["stored"]
    path.unlink()
    path.mkdir()
    routed.phase("e", "encoded")
    assert not routed.writer.flush()
    routed.phase("e", "not encoded")
    assert not routed.writer.flush()
    assert elsewhere.names == ["encoded", "not encoded"]


def test_what_waits_for_the_store_is_delivered_from_there(path: Path, routed: Recording) -> None:
    """Once it can be written again; nothing is delivered twice."""
    elsewhere = Elsewhere(routed.writer)
    routed.phase("e", "first")
    assert routed.writer.flush()
    with locked(path):
        routed.phase("e", "second")
        assert not routed.writer.flush(timeout_s=0.1)
    assert routed.close()
    assert elsewhere.spans == []
    assert query(path, "SELECT name FROM spans ORDER BY seq") == ["first", "second"]


def test_what_waits_at_the_end_is_delivered_in_another_way(path: Path, routed: Recording) -> None:
    """What has been encoded and what has not, each once, and what is stored not at all."""
    elsewhere = Elsewhere(routed.writer)
    routed.phase("e", "stored")
    assert routed.writer.flush()
    with locked(path):
        routed.phase("e", "encoded")
        assert not routed.writer.flush(timeout_s=0.1)
        routed.phase("e", "not encoded")
        assert not routed.writer.close(timeout_s=0.1)
    assert elsewhere.names == ["encoded", "not encoded"]
    assert (routed.writer.lost, routed.writer.routed_lost) == ({"no time left": 2}, {})
    assert query(path, "SELECT name FROM spans") == ["stored"]


def test_nothing_is_delivered_in_another_way_just_before_a_fork(
    path: Path, routed: Recording
) -> None:
    """It starts threads, which a child has to do without; the parent does it afterwards."""
    path.mkdir(parents=True)
    elsewhere = Elsewhere(routed.writer)
    routed.phase("e", "first")
    routed.writer.before_fork()
    try:
        assert elsewhere.spans == []
    finally:
        routed.writer.after_fork_in_parent()
    routed.writer.flush()
    assert elsewhere.names == ["first"]


def test_handing_on_keeps_up(path: Path, routed: Recording) -> None:
    """So the program is held up where whoever delivers does not; with nobody it never is."""
    path.mkdir(parents=True)
    routed.phase("e")
    routed.writer.flush()
    assert not routed.writer.keeps_up
    Elsewhere(routed.writer)
    assert routed.writer.keeps_up


def test_every_span_is_encoded_once(
    recording: Recording, failing: FailingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often its writing is tried: encoding is the dear part."""
    encoded = []
    plain = Batch.encode

    def counting(self: Batch, raw: bool = True) -> Taken:
        encoded.extend(self.waiting)
        return plain(self, raw)

    monkeypatch.setattr(Batch, "encode", counting)
    failing.error = FULL
    for _ in range(4):
        recording.phase("e")
        recording.writer.flush()
    assert len(encoded) == 4


def test_the_thread_rests_while_the_disk_is_full(
    record: Callable[..., Recording], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying ten times a second would cost the program for nothing; a flush tries at once."""
    recording = record()
    recording.phase("e")
    assert recording.writer.flush()
    tries = []

    def full(self: session.StoreSession, *rest: object) -> session.Outcome:
        tries.append(rest)
        return self._later("it is full")

    with monkeypatch.context() as patched:
        patched.setattr(session.StoreSession, "write", full)
        recording.phase("e")
        recording.writer.flush()
        before = len(tries)
        assert recording.writer._retry_at > time.monotonic()
        recording.writer.flush()
        assert len(tries) == before + 1
    wait_until(lambda: query(path, "SELECT count(*) FROM spans") == [2])


def test_a_store_that_cannot_be_opened_is_said_once(
    record: Callable[..., Recording],
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run without a store is a run; what it records is counted."""
    path.mkdir(parents=True)
    recording = record()
    for _ in range(3):
        recording.phase("e")
        assert not recording.writer.flush()
    assert not recording.close() or recording.writer.lost
    (line,) = lines(caplog)
    assert line.endswith("it is not a regular file; this run is not stored")
    assert recording.writer.lost == {"unwritable": 3}


def test_a_program_goes_on_without_its_store(path: Path) -> None:
    """One line on stderr, exit code 0, and its own breakdown is there."""
    path.mkdir(parents=True)
    source = """
import phasetrace
for _ in range(3):
    with phasetrace.time_phase("e", "node", "phase"): pass
    phasetrace.force_flush()
print(phasetrace.timing_collector.totals("e").spans)
"""
    with start_program(source, path) as program:
        out, errors = program.communicate(timeout=60)
    assert (program.returncode, out) == (0, "3\n")
    assert len(errors.splitlines()) == 1


def test_a_program_goes_on_when_its_files_may_not_grow(path: Path) -> None:
    """A full disk in earnest: what fitted is sound, and the rest is waiting or counted."""
    source = """
import resource, phasetrace
from phasetrace.configuration import current_tracing
with phasetrace.time_phase("e", "node", "phase"): pass
assert phasetrace.force_flush()
limit = 400_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for number in range(3_000):
    with phasetrace.time_phase("e", "node", "phase", payload="x" * 500): pass
phasetrace.force_flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert phasetrace.force_flush()
"""
    with start_program(source, path) as program:
        _, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    assert len(errors.splitlines()) == 1, errors
    assert query(path, "PRAGMA integrity_check") == ["ok"]
    assert query(path, "SELECT count(*) FROM spans WHERE type = 'phase'") == [3_001]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep everyone else from writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_flush_keeps_to_its_deadline_while_another_process_writes(
    recording: Recording, path: Path
) -> None:
    """And says that something is waiting."""
    recording.phase("e")
    assert recording.writer.flush()
    with locked(path):
        recording.phase("e")
        started = time.monotonic()
        assert not recording.writer.flush(timeout_s=0.2)
        assert time.monotonic() - started < 2
    assert recording.writer.flush()
    assert query(path, "SELECT count(*) FROM spans") == [2]


def test_a_store_locked_while_it_is_opened_is_opened_later(
    recording: Recording, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process's migration takes its time; that is no reason to store nothing."""
    path.parent.mkdir()
    with locked(path):
        recording.phase("e")
        assert not recording.writer.flush(timeout_s=0.2)
    assert recording.writer.flush()
    assert query(path, "SELECT count(*) FROM spans") == [1]
    assert lines(caplog) == []


def test_closing_keeps_to_its_deadline_while_another_process_writes(
    recording: Recording, path: Path
) -> None:
    """A program's end is not held up for long."""
    recording.phase("e")
    assert recording.writer.flush()
    with locked(path):
        recording.phase("e")
        started = time.monotonic()
        assert not recording.writer.close(timeout_s=0.2)
        assert time.monotonic() - started < 3
    assert recording.writer.lost == {"no time left": 1}


def test_a_healthy_program_says_nothing(path: Path) -> None:
    """Not at its end either."""
    run_program("import phasetrace\nwith phasetrace.execution('e'): pass", path)
    assert query(path, "SELECT status, ended_ns IS NOT NULL FROM executions") == [("ok", 1)]
