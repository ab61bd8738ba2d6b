"""The books of a destination: what waits for it, and what has become of the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from phasetrace.errors import StoreMissing
from phasetrace.store import ledger as ledgers
from phasetrace.store.file import open_for_reading
from phasetrace.store.ledger import Ledger, Settlement, blocks_of_execution, dead_letter, frame
from tests.phasetrace.delivery.conftest import (
    HERE,
    THERE,
    Routed,
    counts,
    cursor,
    hold,
    names_in,
    query,
)

ALL = 2**62


@pytest.fixture
def ledger(path: Path, recording: Routed) -> Iterator[Ledger]:
    """Return the books of a destination that three blocks wait for, of two spans each."""
    for names in ("ab", "cd", "ef"):
        recording.block(*names)
    with closing(Ledger(path, HERE.key, 0.1)) as ledger:
        yield ledger


def names(ledger: Ledger, after: int = 0, spans: int = ALL, size: int = ALL) -> list[str]:
    """Return the names of the spans in the blocks that go next."""
    blocks = ledger.waiting_blocks(after, spans, size)
    return names_in(frame((block, 0, block.spans) for block in blocks))


def test_blocks_wait_in_the_order_in_which_they_were_written(ledger: Ledger) -> None:
    """Behind the cursor."""
    assert names(ledger) == list("abcdef")
    assert names(ledger, after=1) == list("cdef")
    assert names(ledger, after=3) == []


def test_a_request_is_made_of_whole_blocks(ledger: Ledger) -> None:
    """As many as fit, by spans and by bytes, and one in any case."""
    assert names(ledger, spans=4) == list("abcd")
    assert names(ledger, spans=5) == list("abcd")
    assert names(ledger, spans=1) == list("ab")
    assert names(ledger, size=1) == list("ab")
    size = len(ledger.waiting_blocks(0, 1, ALL)[0].payload)
    assert names(ledger, size=2 * size) == list("abcd")


def test_more_blocks_than_are_read_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left out, and none comes twice."""
    for number in (1, 2, 3):
        monkeypatch.setattr(ledgers, "_AT_ONCE", number)
        assert names(ledger) == list("abcdef")


def test_waiting_spans_are_counted_as_far_as_it_matters(ledger: Ledger) -> None:
    """Up to a block, and not on when there are enough."""
    assert ledger.waiting_spans(0, ALL) == 6
    assert ledger.waiting_spans(2, ALL) == 2
    assert ledger.waiting_spans(0, ALL, until=2) == 4
    assert ledger.waiting_spans(0, 3) == 4
    assert ledger.latest() == 3


def test_only_what_is_for_a_destination_waits_for_it(
    path: Path, record: Callable[..., Routed]
) -> None:
    """What other programs record is for the destinations that they name."""
    for specs, name in (((HERE,), "a"), ((), "b"), ((THERE,), "c"), ((THERE, HERE), "d")):
        record(*specs).block(name)
    with closing(Ledger(path, HERE.key)) as here, closing(Ledger(path, THERE.key)) as there:
        assert names(here, here.cursor) == ["a", "d"]
        assert names(there, there.cursor) == ["c", "d"]
        assert (here.waiting_spans(0, ALL), there.waiting_spans(0, ALL)) == (2, 2)


def test_there_is_nothing_for_a_destination_without_a_route(
    path: Path, ledger: Ledger, recording: Routed
) -> None:
    """As after a crash of somebody who had just made it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM routes")
    assert names(ledger) == []
    assert ledger.waiting_spans(0, ALL) == 0


def test_a_destination_that_the_store_does_not_know(path: Path, recording: Routed) -> None:
    """Nothing was ever recorded for it."""
    recording.block("a")
    with pytest.raises(LookupError):
        Ledger(path, THERE.key)


def test_no_store_is_made_to_look_into(path: Path) -> None:
    """Nobody has recorded yet, or somebody has removed it."""
    with pytest.raises(StoreMissing):
        Ledger(path, HERE.key)
    assert not path.parent.exists()


def test_the_cursor_and_the_counts_move_together(path: Path, ledger: Ledger) -> None:
    """And stay moved for whoever comes next."""
    ledger.settle(Settlement(2, delivered=3, rejected=1), now_ns=7)
    assert ledger.cursor == cursor(path) == 2
    assert counts(path) == {"stored": 6, "delivered": 3, "refused": 1, "waiting": 2}
    with closing(Ledger(path, HERE.key)) as next_one:
        assert next_one.cursor == 2
        assert names(next_one, next_one.cursor) == list("ef")


def test_nothing_is_noted_where_not_all_of_it_can_be(path: Path, ledger: Ledger) -> None:
    """A settlement is one transaction, and can be tried again."""
    (block,) = ledger.waiting_blocks(0, 1, ALL)
    letter = dead_letter(block, 0, "broken")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE dead_letters RENAME TO elsewhere")
    settlement = Settlement(1, 1, 0, [letter])
    with pytest.raises(sqlite3.OperationalError):
        ledger.settle(settlement, now_ns=7)
    assert ledger.cursor == cursor(path) == 0
    assert counts(path) == {"stored": 6, "waiting": 6}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO dead_letters")
    ledger.settle(settlement, now_ns=7)
    assert counts(path) == {"stored": 6, "delivered": 1, "refused": 1, "waiting": 4}


def test_a_busy_store_is_not_waited_for_long(path: Path, ledger: Ledger) -> None:
    """It raises what SQLite does, and the next try does."""
    with closing(hold(path)), pytest.raises(sqlite3.OperationalError):
        ledger.settle(Settlement(1, 2), now_ns=7)
    ledger.settle(Settlement(1, 2), now_ns=7)
    assert cursor(path) == 1


def test_the_cursor_never_goes_back(path: Path, ledger: Ledger) -> None:
    """Whoever comes late has sent again what was dealt with."""
    ledger.settle(Settlement(3, 6), now_ns=7)
    ledger.settle(Settlement(2), now_ns=8)
    assert ledger.cursor == cursor(path) == 3


def test_what_somebody_else_has_settled_is_not_counted_again(path: Path, ledger: Ledger) -> None:
    """They had no lock in common; the cursor tells."""
    with closing(Ledger(path, HERE.key)) as other:
        assert other.settle(Settlement(2, 4), now_ns=7)
    assert not ledger.settle(Settlement(3, 6), now_ns=8)
    assert ledger.cursor == cursor(path) == 2
    assert counts(path) == {"stored": 6, "delivered": 4, "waiting": 2}
    assert ledger.settle(Settlement(3, 2), now_ns=9)


def test_a_settlement_may_know_where_it_began(path: Path, ledger: Ledger) -> None:
    """It had to wait, and the books were opened anew."""
    with closing(Ledger(path, HERE.key)) as other:
        other.settle(Settlement(2, 4), now_ns=7)
    with closing(Ledger(path, HERE.key)) as anew:
        assert not anew.settle(Settlement(2, 4, after=0), now_ns=8)
        assert anew.settle(Settlement(3, 2, after=2), now_ns=9)
    assert counts(path) == {"stored": 6, "delivered": 6, "waiting": 0}


def test_somebody_may_want_a_block_soon(path: Path, ledger: Ledger) -> None:
    """The last one that anybody wants."""
    assert ledger.wanted() == 0
    with closing(Ledger(path, HERE.key)) as other:
        other.want(2)
        other.want(1)
    assert ledger.wanted() == 2


def test_another_one_can_be_followed(path: Path, ledger: Ledger) -> None:
    """The process that delivers moves the cursor; others read it."""
    with closing(Ledger(path, HERE.key)) as other:
        other.settle(Settlement(2, 4), now_ns=7)
    assert ledger.cursor == 0
    assert ledger.reread() == ledger.cursor == 2


def test_it_is_told_how_it_went_last(path: Path, ledger: Ledger) -> None:
    """A success is forgotten with the next failure, a failure's reason with the next success."""

    def row() -> list[object]:
        return query(path, "SELECT served_ns, succeeded_ns, failed_ns, error FROM destinations")

    assert not ledger.has_delivered()
    ledger.serve(now_ns=5)
    assert row() == [(5, None, None, None)]
    ledger.settle(Settlement(1, 2), now_ns=7)
    assert ledger.has_delivered()
    ledger.failed("HTTP 503", now_ns=8)
    assert not ledger.has_delivered()
    assert row() == [(8, 7, 8, "HTTP 503")]
    ledger.settle(Settlement(2, rejected=2), now_ns=9)
    assert row() == [(9, 7, 8, "HTTP 503")]
    ledger.settle(Settlement(3, 2), now_ns=10)
    assert ledger.has_delivered()
    assert row() == [(10, 10, 8, None)]


def test_a_dead_letter_is_the_request_of_its_span(path: Path, ledger: Ledger) -> None:
    """Whoever finds it can send it, and finds its execution."""
    *_, block = ledger.waiting_blocks(0, ALL, ALL)
    ledger.settle(Settlement(3, 5, 0, [dead_letter(block, 1, "HTTP 400")]), now_ns=7)
    ((destination, at_ns, reason, exec_id, trace_id, span_id, name, body),) = query(
        path,
        "SELECT destination, at_ns, reason, exec_id, trace_id, span_id, name, request"
        " FROM dead_letters",
    )
    assert (destination, at_ns, reason, exec_id, name) == (1, 7, "HTTP 400", "e", "f")
    ((resource,),) = [ExportTraceServiceRequest.FromString(body).resource_spans]
    ((scope,),) = [resource.scope_spans]
    (span,) = scope.spans
    assert (span.name, span.trace_id, span.span_id) == ("f", trace_id, span_id)
    assert (scope.scope.name, scope.scope.version) == ("tests", "1")
    assert {one.key for one in resource.resource.attributes} >= {"service.name"}


def test_a_dead_letter_of_no_execution(path: Path, recording: Routed) -> None:
    """Its trace is in the request."""
    recording.tracer.start_span("alone").end()
    assert recording.writer.flush()
    with closing(Ledger(path, HERE.key)) as ledger:
        (block,) = ledger.waiting_blocks(0, 1, ALL)
        letter = dead_letter(block, 0, "HTTP 400")
    assert (letter.exec_id, letter.name) == (None, "alone")
    assert names_in(letter.request) == ["alone"]


def test_parts_of_blocks_make_a_request(ledger: Ledger) -> None:
    """From one span to another, of each."""
    first, second, _ = ledger.waiting_blocks(0, ALL, ALL)
    assert names_in(frame([(first, 1, 2), (second, 0, 1)])) == ["b", "c"]


def test_the_bytes_of_a_request_are_always_the_same(path: Path, ledger: Ledger) -> None:
    """Whoever reads them, and however often."""
    first = frame((block, 0, block.spans) for block in ledger.waiting_blocks(0, ALL, ALL))
    with closing(Ledger(path, HERE.key)) as other:
        again = other.waiting_blocks(0, ALL, ALL)
        assert frame((block, 0, block.spans) for block in again) == first
        cut = [(block, index, index + 1) for block in again for index in range(block.spans)]
        assert b"".join(names_in(frame([one]))[0].encode() for one in cut) == b"abcdef"


def test_all_blocks_of_an_execution(path: Path, record: Callable[..., Routed]) -> None:
    """Whether they were to be delivered or not."""
    record().block("a", exec_id="mine")
    record(HERE).block("b", exec_id="mine")
    record(HERE).block("c", exec_id="other")
    (row,) = query(path, "SELECT id FROM executions WHERE exec_id = 'mine'")
    with closing(open_for_reading(path)) as connection:
        blocks = blocks_of_execution(connection, row)
    assert names_in(frame((block, 0, block.spans) for block in blocks)) == ["a", "b"]
    assert {block.exec_id for block in blocks} == {"mine"}


def test_it_knows_when_the_file_is_another(path: Path, ledger: Ledger) -> None:
    """Removed, or in another's place."""
    assert ledger.is_current
    path.rename(path.with_name("aside"))
    assert not ledger.is_current


def test_who_records_is_known(path: Path, ledger: Ledger, recording: Routed) -> None:
    """Until it has said that it ends."""
    assert len(ledger.recording()) == 1
    assert recording.close()
    assert ledger.recording() == []
