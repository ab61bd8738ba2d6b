"""What became of every span that was to be delivered is told, and adds up."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from phasetrace.delivery.lock import ServingLock, lock_path
from phasetrace.store import retention
from phasetrace.store.destinations import LAPSES_AFTER_NS, DestinationSpec
from phasetrace.store.entry import RoutedSpan
from phasetrace.store.file import open_for_writing
from phasetrace.store.ledger import Ledger, Settlement, dead_letter
from phasetrace.store.processor import StoreSpanProcessor
from phasetrace.store.reader import StoreReader
from phasetrace.store.retention import Retention
from phasetrace.store.retries import Retry
from phasetrace.store.standing import DestinationStanding, Standing, is_held
from phasetrace.store.writer import StoreWriter

NOW_NS = 1_800_000_000_000_000_000
HERE = DestinationSpec("otlp_proto_http http://here", "otlp_proto_http", "http://here", False)
THERE = DestinationSpec("otlp_proto_grpc there", "otlp_proto_grpc", "there", False)
BOTH = (HERE, THERE)
IN_ONE_TRACE = set_span_in_context(
    NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1)))
)
"""What is recorded at once is one block then."""


class Books:
    """A store, with the writer and the ledgers that keep its accounts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ns = NOW_NS
        self.writer = StoreWriter(
            path, Retention(), lambda last: [], lambda exec_id: None, lambda: self.now_ns
        )
        self.writer.destinations = BOTH
        self.writer._start = lambda: None  # type: ignore[method-assign]  # a flush is a block
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(StoreSpanProcessor(self.writer, routed=True))
        self.tracer = provider.get_tracer("tests")

    def close(self) -> None:
        """Let go of the file."""
        self.writer.close()

    def record(
        self, number: int, exec_id: str | None = "exec_1", end_ns: int | None = None
    ) -> None:
        """Record spans for both destinations."""
        attributes = {"exec_id": exec_id} if exec_id is not None else {}
        for _ in range(number):
            span = self.tracer.start_span(
                "work", IN_ONE_TRACE, attributes=attributes, start_time=self.now_ns
            )
            span.end(self.now_ns if end_ns is None else end_ns)
        assert self.writer.flush()

    def lose(self, number: int) -> None:
        """Record spans that cannot be encoded."""
        for _ in range(number):
            self.writer.ended(RoutedSpan(ReadableSpan("no ids")))
        self.writer.flush()

    def settle(self, spec: DestinationSpec, refused: int, rejected: int) -> tuple[int, int]:
        """Have a destination answer to the next block; return how many it took and refused."""
        with closing(Ledger(self.path, spec.key)) as ledger:
            blocks = ledger.waiting_blocks(ledger.cursor, 1, 1)
            if not blocks:
                return 0, 0
            (block,) = blocks
            refused = min(refused, block.spans)
            rejected = min(rejected, block.spans - refused)
            letters = [dead_letter(block, index, "too long") for index in range(refused)]
            delivered = block.spans - refused - rejected
            ledger.settle(Settlement(block.seq, delivered, rejected, letters), self.now_ns)
            return delivered, refused + rejected

    def lapse(self) -> None:
        """Have a week go by, and retention remove everything that it may."""
        self.now_ns += LAPSES_AFTER_NS + 1
        with closing(open_for_writing(self.path).connection) as connection:
            connection.execute("UPDATE executions SET ended_ns = last_ns")  # no running one goes
            retention.apply(connection, Retention(executions=0), self.now_ns)

    def standing(self) -> Standing:
        """Return what the store says."""
        with StoreReader(self.path, lambda: self.now_ns) as store:
            return store.standing()

    def of(self, spec: DestinationSpec) -> DestinationStanding:
        """Return what the store says of a destination."""
        (found,) = (one for one in self.standing().destinations if one.key == spec.key)
        return found


@pytest.fixture
def books(path: Path) -> Iterator[Books]:
    """Give a store without anything in it."""
    with closing(Books(path)) as books:
        yield books


few = st.integers(1, 5)
which = st.sampled_from(BOTH)
steps = st.one_of(
    st.tuples(st.just("record"), few, st.sampled_from(["exec_1", "exec_2", None])),
    st.tuples(st.just("lose"), few),
    st.tuples(st.just("settle"), which, st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("lapse")),
)


@given(st.lists(steps, max_size=12))
@hypothesis_settings(max_examples=60, deadline=None)
def test_every_span_is_somewhere(history: list[tuple[object, ...]]) -> None:
    """Whatever has been delivered, refused, dropped and lost so far, the totals add up."""
    with TemporaryDirectory() as folder, closing(Books(Path(folder) / "traces.db")) as books:
        books.record(1)
        recorded, lost = 1, 0
        delivered = dict.fromkeys(BOTH, 0)
        refused = dict.fromkeys(BOTH, 0)
        for what, *values in history:
            if what == "settle":
                spec = values.pop(0)
                took, threw = books.settle(spec, *values)  # type: ignore[arg-type]
                delivered[spec] += took  # type: ignore[index]
                refused[spec] += threw  # type: ignore[index]
            else:
                getattr(books, str(what))(*values)
            recorded += values[0] if what in ("record", "lose") else 0  # type: ignore[operator]
            lost += values[0] if what == "lose" else 0  # type: ignore[operator]
            for spec in BOTH:
                found = books.of(spec)
                assert found.unaccounted == 0
                assert found.recorded == recorded
                assert sum(found.lost.values()) == lost
                assert (found.delivered, found.refused) == (delivered[spec], refused[spec])
                gone = sum(found.dropped.values())
                assert found.waiting == recorded - lost - delivered[spec] - refused[spec] - gone
        books.writer.close()


def test_a_new_store_has_no_destinations(path: Path) -> None:
    """Where nothing was to be delivered nothing is told of it."""
    open_for_writing(path).connection.close()
    with StoreReader(path) as store:
        standing = store.standing()
    assert (standing.executions, standing.spans, standing.destinations) == (0, 0, [])
    assert standing.bytes > 0


def test_the_oldest_waits_since_its_end(books: Books) -> None:
    """Not since its start: until its end there was nothing to wait for."""
    books.record(1, end_ns=NOW_NS + 7)
    books.record(1, end_ns=NOW_NS + 9)
    assert books.of(HERE).oldest_waiting_ns == NOW_NS + 7
    books.settle(HERE, 0, 0)
    assert books.of(HERE).oldest_waiting_ns == NOW_NS + 9
    books.settle(HERE, 0, 0)
    assert books.of(HERE).oldest_waiting_ns is None
    assert books.of(THERE).oldest_waiting_ns == NOW_NS + 7


def test_why_the_last_try_failed(books: Books) -> None:
    """With the time; a success takes the reason away."""
    books.record(1)
    with closing(Ledger(books.path, HERE.key)) as ledger:
        ledger.failed("no room", NOW_NS + 5)
    found = books.of(HERE)
    assert (found.last_error, found.last_error_ns) == ("no room", NOW_NS + 5)
    assert found.last_success_ns is None
    books.settle(HERE, 0, 0)
    found = books.of(HERE)
    assert (found.last_error, found.last_success_ns) == (None, NOW_NS)


def test_refused_spans_newest_first(books: Books) -> None:
    """Each with its destination, its execution and the reason."""
    books.record(2, "exec_1")
    books.settle(THERE, 1, 0)
    books.now_ns += 1
    books.record(1, "exec_2")
    books.settle(THERE, 1, 0)
    standing = books.standing()
    assert standing.refused_total == 2
    newest, oldest = standing.refused_spans
    assert (newest.exec_id, oldest.exec_id) == ("exec_2", "exec_1")
    assert (newest.at_ns, newest.destination) == (NOW_NS + 1, THERE.key)
    assert (newest.name, newest.reason) == ("work", "too long")
    assert len(newest.span_id) == 16


def test_a_week_without_service(books: Books) -> None:
    """A destination lapses, and says so."""
    books.record(1)
    assert not books.of(HERE).is_unserved
    books.now_ns += LAPSES_AFTER_NS + 1
    assert books.of(HERE).is_unserved


def test_the_only_process_is_gone(books: Books) -> None:
    """What only that process could deliver is nobody's."""
    books.writer.destinations = (HERE._replace(is_local=True), THERE)
    books.record(1)
    assert not books.of(HERE).is_orphaned
    books.writer.close()
    with sqlite3.connect(books.path) as connection:
        connection.execute("UPDATE processes SET birth = 'another'")
    connection.close()
    assert books.of(HERE).is_orphaned
    assert not books.of(THERE).is_orphaned


def test_who_serves_is_told_by_the_lock(books: Books) -> None:
    """And looking leaves no file behind."""
    books.record(1)
    assert books.of(HERE).is_served is False
    assert not lock_path(books.path, HERE.key).exists()
    lock = ServingLock(lock_path(books.path, HERE.key))
    assert lock.acquire()
    assert books.of(HERE).is_served is True
    assert books.of(THERE).is_served is False
    lock.release()
    assert books.of(HERE).is_served is False


def test_who_waits_to_try_again_serves(books: Books) -> None:
    """It has let go of the lock until then."""
    books.record(1)
    with closing(Ledger(books.path, HERE.key)) as ledger:
        ledger.failed("HTTP 503", NOW_NS, "", Retry(1, NOW_NS, NOW_NS + 1_000_000_000))
    assert books.of(HERE).is_served is True
    assert books.of(THERE).is_served is False
    books.settle(HERE, 0, 0)
    assert books.of(HERE).is_served is False


def test_two_who_look_do_not_see_each_other(tmp_path: Path) -> None:
    """Somebody else's look is not a delivery."""
    path = tmp_path / "lock"
    path.touch()
    file = os.open(path, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_SH)
    assert is_held(path) is False
    os.close(file)


def test_a_lock_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """Then it is not known."""
    (tmp_path / "file").touch()
    assert is_held(tmp_path / "file" / "lock") is None


def test_a_damaged_block_hides_only_its_age(books: Books) -> None:
    """The numbers are there all the same."""
    books.record(3)
    books.writer.close()
    with sqlite3.connect(books.path) as connection:
        connection.execute("UPDATE blocks SET columns = x'00'")
    connection.close()
    found = books.of(HERE)
    assert (found.waiting, found.oldest_waiting_ns) == (3, None)
