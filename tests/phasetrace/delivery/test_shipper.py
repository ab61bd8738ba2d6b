"""A shipper brings what waits in the store to its exporter: in order, and at least once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from phasetrace import faults
from phasetrace.delivery.backoff import Backoff
from phasetrace.delivery.lock import is_free, lock_path
from phasetrace.delivery.shipper import Shipper
from phasetrace.destination import Destination
from phasetrace.settings import BatchLimits
from phasetrace.store.destinations import DestinationSpec
from phasetrace.store.file import open_for_reading
from phasetrace.store.retries import is_to_be_retried
from phasetrace.verdict import Outcome, Verdict
from tests.phasetrace.delivery.conftest import (
    HERE,
    THERE,
    Gate,
    Routed,
    Taking,
    counts,
    cursor,
    deliver,
    fail,
    hold,
    latest,
    query,
    soon,
    take,
    wait_until,
)
from tests.phasetrace.store.conftest import in_child

Make = Callable[..., Shipper]
Record = Callable[..., Routed]

LATER = Backoff(lambda least, most: 3600.0)
SOON = Backoff(lambda least, most: 0.01)


def test_what_waits_is_delivered_in_order(path: Path, recording: Routed, ship: Make) -> None:
    """And counted; the cursor is behind it then."""
    exporter = Taking()
    for names in ("abc", "de", "f"):
        recording.block(*names)
    deliver(ship(exporter), path)
    assert exporter.names == list("abcdef")
    assert cursor(path) == 3
    assert counts(path) == {"stored": 6, "delivered": 6, "waiting": 0}


def test_the_next_one_goes_on_where_the_last_one_stopped(
    path: Path, recording: Routed, ship: Make
) -> None:
    """Nothing comes twice."""
    first, second = Taking(), Taking()
    recording.block("a")
    shipper = ship(first)
    deliver(shipper, path)
    shipper.close(soon())
    recording.block("b")
    deliver(ship(second), path)
    assert (first.names, second.names) == (["a"], ["b"])


def test_nothing_moves_before_the_exporter_has_answered(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """Not the cursor, and not the position that others wait for."""
    exporter = Taking()
    exporter.answer = gate
    recording.block("a")
    shipper = ship(exporter)
    shipper.hurry()
    exporter.called.acquire()
    assert (cursor(path), shipper.position, shipper.delivered) == (0, 0, 0)
    gate.open()
    assert shipper.wait_for_position(1, soon())
    assert (cursor(path), shipper.delivered) == (1, 1)


def test_a_failure_is_tried_again_and_told(
    path: Path, recording: Routed, ship: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The same request; once in the log, and in the store until there is a success."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a", "b")
    shipper = ship(exporter)
    shipper.hurry()
    wait_until(lambda: query(path, "SELECT error FROM destinations") != [None])
    assert shipper.failing == "the exporter does not tell why it failed"
    assert cursor(path) == 0
    exporter.answer = take
    deliver(shipper, path)
    assert shipper.failing is None
    assert exporter.names == ["a", "b"]
    assert query(path, "SELECT error FROM destinations") == [None]
    assert [record.getMessage() for record in caplog.records] == [
        "phasetrace: cannot deliver to http://here: the exporter does not tell why it failed;"
        " spans wait in the store"
    ]


def test_it_waits_after_a_failure(path: Path, recording: Routed) -> None:
    """For as long as the backoff says, but when somebody is in a hurry."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a")
    shipper = Shipper(
        path,
        HERE,
        lambda: Destination("t", exporter),
        BatchLimits(None, None, 1),
        backoff=lambda: LATER,
    )
    shipper.wake()
    wait_until(lambda: shipper.failures)
    exporter.answer = take
    shipper.wake()
    assert not shipper.wait_for_position(1, time.monotonic() + 0.1)
    assert len(exporter.requests) == 1
    deliver(shipper, path)
    shipper.close(soon())


def test_it_waits_for_more_to_come(path: Path, recording: Routed, ship: Make) -> None:
    """For the delay, or for a full batch."""
    exporter = Taking()
    shipper = ship(exporter, delay_ms=3_600_000, size=3)
    recording.block("a", "b")
    shipper.wake()
    assert not shipper.wait_for_position(1, time.monotonic() + 0.1)
    recording.block("c")
    shipper.wake()
    assert shipper.wait_for_position(2, soon())
    assert exporter.names == ["a", "b", "c"]


def test_no_request_is_larger_than_a_batch(path: Path, recording: Routed, ship: Make) -> None:
    """As ``OTEL_BSP_MAX_EXPORT_BATCH_SIZE`` says, whatever the size of a block is."""
    exporter = Taking()
    recording.block(*"abcdefg")
    recording.block(*"hi")
    deliver(ship(exporter, size=3), path)
    assert exporter.names == list("abcdefghi")
    assert [len(request) for request in exporter.requests] == [3, 3, 1, 2]


def test_each_destination_has_its_own_pace(path: Path, record: Record, ship: Make) -> None:
    """One that is down does not keep the other."""
    up, down = Taking(), Taking()
    down.answer = fail
    record(HERE, THERE).block("a", "b")
    stuck = ship(down, THERE)
    stuck.hurry()
    deliver(ship(up), path)
    wait_until(lambda: stuck.failures)
    assert (cursor(path), cursor(path, THERE)) == (1, 0)
    assert counts(path, THERE) == {"stored": 2, "waiting": 2}
    down.answer = take
    deliver(stuck, path)
    assert down.names == up.names == ["a", "b"]


def test_another_programs_spans_are_not_its_own_to_deliver(
    path: Path, record: Record, ship: Make
) -> None:
    """Those of one without exporters, or with others."""
    exporter = Taking()
    record(HERE).block("mine")
    record().block("private")
    record(THERE).block("theirs")
    record(HERE).block("mine, too")
    shipper = ship(exporter)
    deliver(shipper, path)
    assert exporter.names == ["mine", "mine, too"]


def test_a_new_destination_gets_what_comes_after(path: Path, record: Record, ship: Make) -> None:
    """Not what was recorded before anybody thought of it."""
    exporter = Taking()
    record(HERE).block("before")
    record(HERE, THERE).block("after")
    deliver(ship(exporter, THERE), path)
    assert exporter.names == ["after"]


def test_one_of_two_serves_and_the_other_takes_over(
    path: Path, recording: Routed, ship: Make
) -> None:
    """When the first is closed."""
    first, second = Taking(), Taking()
    recording.block("a")
    one, other = ship(first), ship(second)
    deliver(one, path)
    other.hurry()
    wait_until(lambda: other.is_served_elsewhere)
    assert (one.serves, other.serves) == (True, False)
    recording.block("b")
    deliver(one, path)
    one.close(soon())
    recording.block("c")
    assert other.wait_for_position(latest(path), soon())
    assert (first.names, second.names) == (["a", "b"], ["c"])
    assert not other.is_served_elsewhere


OLD, NEW = HERE._replace(way="old"), HERE._replace(way="new")


def failing(path: Path, exporter: Taking, spec: DestinationSpec = HERE) -> Shipper:
    """Return a shipper that has failed, and does not try again by itself."""
    exporter.answer = fail
    limits = BatchLimits(None, None, 1)
    shipper = Shipper(path, spec, lambda: Destination("t", exporter), limits, backoff=lambda: LATER)
    shipper.wake()
    wait_until(lambda: shipper.failures and is_free(lock_path(path, spec.key)))
    return shipper


def test_one_whose_settings_are_right_delivers_for_one_who_fails(
    path: Path, recording: Routed, ship: Make
) -> None:
    """Which is there still: a variable is mended without the program that had it wrong."""
    bad, good = Taking(), Taking()
    recording.block("a", "b")
    old = failing(path, bad, OLD)
    new = ship(good, NEW)
    new.wake()
    assert new.wait_for_position(1, soon())
    recording.block("c")
    deliver(new, path)
    assert good.names == ["a", "b", "c"]
    assert counts(path) == {"stored": 3, "delivered": 3, "waiting": 0}
    assert query(path, "SELECT error FROM destinations") == [None]
    old.hurry()
    wait_until(lambda: old.is_served_elsewhere)
    assert len(bad.requests) == 1
    old.close(soon())


def test_one_that_is_closed_does_not_try_again(path: Path, recording: Routed) -> None:
    """And nobody thinks so."""
    recording.block("a")
    shipper = failing(path, Taking())
    with closing(open_for_reading(path)) as connection:
        assert is_to_be_retried(connection, 1, time.time_ns())
        shipper.close(soon())
        assert not is_to_be_retried(connection, 1, time.time_ns())


def test_those_whose_settings_are_the_same_wait_together(
    path: Path, recording: Routed, ship: Make
) -> None:
    """A program that comes later does not try before it is time, unless it is in a hurry."""
    down, up = Taking(), Taking()
    recording.block("a")
    first = failing(path, down)
    second = ship(up)
    second.wake()
    assert not second.wait_for_position(1, time.monotonic() + 0.7)
    assert up.requests == []
    deliver(second, path)
    assert up.names == ["a"]
    first.close(soon())


def test_it_goes_on_behind_what_others_have_delivered(
    path: Path, recording: Routed, ship: Make
) -> None:
    """While it waited with a request of its own, which is of no use then."""
    mine, theirs = Taking(), Taking()
    recording.block("a")
    old = failing(path, mine, OLD)
    new = ship(theirs, NEW)
    deliver(new, path)
    new.close(soon())
    recording.block("b")
    mine.answer = take
    deliver(old, path)
    assert (theirs.names, mine.names) == (["a"], ["b"])
    assert counts(path) == {"stored": 2, "delivered": 2, "waiting": 0}
    old.close(soon())


def test_a_request_of_which_a_part_was_taken_goes_on_where_it_stopped(
    path: Path, recording: Routed
) -> None:
    """The turn was given up, and nobody has taken it."""
    exporter = Taking()
    recording.block("a", "b")
    exporter.answer = lambda spans: (take if spans[0].name == "a" else fail)(spans)
    limits = BatchLimits(None, 1, 1)
    shipper = Shipper(path, HERE, lambda: Destination("t", exporter), limits, backoff=lambda: SOON)
    shipper.wake()
    wait_until(lambda: shipper.failures)
    exporter.answer = take
    deliver(shipper, path)
    assert exporter.names == ["a", "b"]
    shipper.close(soon())


def test_what_could_not_be_delivered_waits_for_nothing_more(
    path: Path, recording: Routed, ship: Make
) -> None:
    """Whoever has the next turn does not begin with the delay of its schedule."""
    exporter = Taking()
    recording.block("a")
    old = failing(path, Taking(), OLD)
    new = ship(exporter, NEW, delay_ms=3_600_000)
    new.wake()
    assert new.wait_for_position(1, soon())
    old.close(soon())


def test_files_that_are_removed_have_nothing_delivered_twice(
    path: Path, record: Record, ship: Make
) -> None:
    """The store and the locks: the one that served has no lock any more, and knows it."""
    first, second = Taking(), Taking()
    one = ship(first, delay_ms=1)
    recording = record(HERE)
    recording.block("a")
    deliver(one, path)
    for file in path.parent.iterdir():
        file.unlink()
    recording.block("b")
    other = ship(second)
    deliver(other, path)
    one.wake()
    wait_until(lambda: one.is_served_elsewhere)
    recording.block("c")
    deliver(other, path)
    assert (first.names, second.names) == (["a"], ["b", "c"])
    assert counts(path) == {"stored": 2, "delivered": 2, "waiting": 0}


def test_what_two_have_delivered_is_counted_once(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """The lock was removed while one of them was at it."""
    first, second = Taking(), Taking()
    first.answer = gate
    one, other = ship(first), ship(second)
    recording.block("a", "b")
    one.hurry()
    first.called.acquire()
    lock_path(path, HERE.key).unlink()
    recording.block("c")
    deliver(other, path)
    gate.open()
    wait_until(lambda: one.is_served_elsewhere)
    assert counts(path) == {"stored": 3, "delivered": 3, "waiting": 0}
    assert cursor(path) == 2


def test_a_settlement_that_has_to_wait_is_not_sent_again(
    path: Path, recording: Routed, ship: Make
) -> None:
    """The store is busy when the answer comes; the cursor is moved later."""
    exporter = Taking()
    recording.block("a", "b")
    held: list[sqlite3.Connection] = []

    def take_and_hold(spans: object) -> SpanExportResult:
        held.append(hold(path))
        return SpanExportResult.SUCCESS

    exporter.answer = take_and_hold
    shipper = ship(exporter)
    shipper.hurry()
    wait_until(lambda: shipper.delivered)
    wait_until(lambda: shipper._ledger is None)  # it has tried, and let go
    assert (cursor(path), shipper.position) == (0, 0)
    held.pop().close()
    assert shipper.wait_for_position(1, soon())
    recording.block("c")
    exporter.answer = take
    deliver(shipper, path)
    assert exporter.names == ["a", "b", "c"]
    assert counts(path) == {"stored": 3, "delivered": 3, "waiting": 0}


def test_a_settlement_is_not_forgotten_at_the_end(
    path: Path, recording: Routed, ship: Make
) -> None:
    """What has been delivered is not left to be sent again."""
    exporter = Taking()
    recording.block("a")
    held: list[sqlite3.Connection] = []

    def take_and_hold(spans: object) -> SpanExportResult:
        held.append(hold(path))
        return SpanExportResult.SUCCESS

    exporter.answer = take_and_hold
    shipper = ship(exporter)
    shipper.hurry()
    wait_until(lambda: shipper.delivered and shipper._ledger is None)
    held.pop().close()
    shipper.close(soon())
    assert cursor(path) == 1


def test_another_store_begins_anew(path: Path, recording: Routed, ship: Make) -> None:
    """The old one was removed, its numbers mean nothing there."""
    exporter = Taking()
    shipper = ship(exporter)
    recording.block("a")
    recording.block("b")
    deliver(shipper, path)
    for file in path.parent.glob("traces.db*"):
        file.unlink()
    recording.block("c")
    deliver(shipper, path)
    assert exporter.names == ["a", "b", "c"]
    assert counts(path) == {"stored": 1, "delivered": 1, "waiting": 0}


def test_another_store_begins_anew_after_a_fork(path: Path, recording: Routed, ship: Make) -> None:
    """The file was let go of for it, and may have got the number of its successor."""
    exporter = Taking()
    shipper = ship(exporter)
    recording.block("a")
    recording.block("b")
    deliver(shipper, path)
    shipper.before_fork()
    recording.writer.before_fork()
    for file in path.parent.glob("traces.db*"):
        file.unlink()
    recording.writer.after_fork_in_parent()
    shipper.after_fork_in_parent()
    recording.block("c")
    deliver(shipper, path)
    assert exporter.names == ["a", "b", "c"]
    assert cursor(path) == 1


def test_a_store_that_is_replaced_during_a_call(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """What was delivered of the old one is nothing to the new one."""
    exporter = Taking()
    shipper = ship(exporter)
    for name in "abc":
        recording.block(name)
    exporter.answer = gate
    shipper.hurry()
    exporter.called.acquire()
    for file in path.parent.glob("traces.db*"):
        file.rename(file.with_name(f"aside-{file.name}"))
    exporter.answer = take
    recording.block("d")
    gate.open()
    deliver(shipper, path)
    assert exporter.names == ["a", "b", "c", "d"]
    assert counts(path) == {"stored": 1, "delivered": 1, "waiting": 0}


def test_a_store_that_is_gone_stays_gone(path: Path, recording: Routed, ship: Make) -> None:
    """There is nothing to be delivered, and nothing to be said."""
    exporter = Taking()
    shipper = ship(exporter)
    recording.block("a")
    deliver(shipper, path)
    assert recording.close()
    for file in path.parent.glob("traces.db*"):
        file.unlink()
    shipper.hurry()
    assert not shipper.wait_for_position(2, time.monotonic() + 0.1)
    assert not path.exists()
    assert faults.counts() == {}


def test_a_damaged_block_does_not_keep_the_others(
    path: Path, recording: Routed, ship: Make
) -> None:
    """It is put aside, as far as it can be read."""
    exporter = Taking()
    for name in "abc":
        recording.block(name, name)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE blocks SET payload = CAST('x' || payload AS BLOB) WHERE seq = 2")
    deliver(ship(exporter), path)
    assert exporter.names == ["a", "a", "c", "c"]
    letters = query(path, "SELECT exec_id, name, request, reason FROM dead_letters")
    assert [letter[:3] for letter in letters] == [("e", "b", b"")] * 2
    assert "cannot be read in the store" in letters[0][3]
    assert counts(path) == {"stored": 6, "delivered": 4, "refused": 2, "waiting": 0}


@pytest.mark.parametrize(("before", "bad"), [(0, 1), (1, 4)])
def test_refused_spans_do_not_keep_what_is_recorded_later(
    path: Path, recording: Routed, before: int, bad: int
) -> None:
    """Too few to be believed in by themselves, they are tried again with it beside them."""
    exporter = Taking()
    exporter.answer = lambda spans: (fail if "bad" in {one.name for one in spans} else take)(spans)
    limits = BatchLimits(None, None, 1)
    shipper = Shipper(path, HERE, lambda: Destination("t", exporter), limits, backoff=lambda: SOON)
    if before:
        recording.block("before")
        deliver(shipper, path)
    recording.block(*["bad"] * bad)
    shipper.wake()
    wait_until(lambda: shipper.failures > 5)  # it has been cut, and begun again
    assert counts(path).get("refused", 0) == 0
    recording.block("good", "good")
    deliver(shipper, path)
    shipper.close(soon())
    assert exporter.names == ["before"] * before + ["good", "good"]
    assert counts(path) == {
        "stored": before + bad + 2,
        "delivered": before + 2,
        "refused": bad,
        "waiting": 0,
    }


def test_closing_lets_go(path: Path, recording: Routed, ship: Make) -> None:
    """Of the exporter and of the lock; idempotent, and for good."""
    exporter = Taking()
    shipper = ship(exporter)
    recording.block("a")
    deliver(shipper, path)
    for _ in range(2):
        shipper.close(soon())
    recording.block("b")
    shipper.wake()
    assert exporter.shutdowns == 1
    assert is_free(lock_path(path, HERE.key))
    assert not shipper.wait_for_position(2, time.monotonic() + 0.1)


def test_an_exporter_that_is_kept_is_not_shut_down(
    path: Path, recording: Routed, ship: Make
) -> None:
    """Somebody else goes on with it."""
    exporter = Taking()
    shipper = ship(exporter)
    shipper.kept = True
    recording.block("a")
    deliver(shipper, path)
    shipper.close(soon())
    assert exporter.shutdowns == 0


def test_closing_during_a_call_hands_over_when_it_ends(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """The deadline is kept, what was delivered is noted, and another shipper can serve."""
    first, second = Taking(), Taking()
    first.answer = gate
    shipper, other = ship(first), ship(second)
    recording.block("a")
    shipper.hurry()
    first.called.acquire()
    before = time.monotonic()
    shipper.close(before + 0.1)
    assert 0.1 <= time.monotonic() - before <= 0.11 + 0.1
    assert shipper.serves
    gate.open()
    recording.block("b")
    deliver(other, path)
    assert (first.names, second.names) == (["a"], ["b"])
    assert first.shutdowns == 1


def test_what_is_stopped_is_no_failure(
    path: Path, recording: Routed, ship: Make, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A request in several parts is closed between two of them; the receiver is well."""
    exporter = Taking()
    exporter.answer = gate
    shipper = ship(exporter, size=1)
    recording.block("a", "b")
    shipper.hurry()
    exporter.called.acquire()
    shipper.close(time.monotonic())
    gate.open()
    wait_until(lambda: exporter.shutdowns)
    assert exporter.names == ["a"]
    assert query(path, "SELECT cursor, error FROM destinations") == [(0, None)]
    assert caplog.records == []


def test_a_fork_during_a_call_waits_no_longer_than_a_second(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """The parent's call goes on; the child has no part in it."""
    exporter = Taking()
    exporter.answer = gate
    shipper = ship(exporter)
    recording.block("a")
    shipper.hurry()
    exporter.called.acquire()
    before = time.monotonic()

    def work() -> None:
        assert not shipper.serves
        recording.block("of the child")

    assert in_child(work) == 0
    assert time.monotonic() - before < 3
    gate.open()
    assert shipper.wait_for_position(latest(path), soon())
    assert exporter.names == ["a", "of the child"]


def test_a_child_takes_over_when_its_parent_stops(
    path: Path, recording: Routed, ship: Make
) -> None:
    """With what it has recorded, and what the parent has left."""
    exporter = Taking()
    shipper = ship(exporter)
    recording.block("a")
    deliver(shipper, path)
    (closed, is_closed), (looked, has_looked) = os.pipe(), os.pipe()

    def work() -> None:
        os.close(is_closed)
        shipper.wake()
        wait_until(lambda: shipper.is_served_elsewhere)
        os.close(has_looked)
        os.read(closed, 1)
        recording.block("of the child")
        deliver(shipper, path)
        assert exporter.names == ["a", "left", "of the child"]
        shipper.close(soon())

    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    exporter.answer = fail
    recording.block("left")
    os.close(has_looked)
    os.read(looked, 1)
    shipper.close(soon())
    for end in (is_closed, closed, looked):
        os.close(end)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cursor(path) == 3
    assert exporter.names == ["a"]


def test_a_closed_one_stays_closed_in_a_child(path: Path, recording: Routed, ship: Make) -> None:
    """Its successor is there to deliver."""
    exporter = Taking()
    shipper = ship(exporter)
    shipper.close(soon())
    recording.block("a")

    def work() -> None:
        shipper.hurry()
        assert not shipper.wait_for_position(1, time.monotonic() + 0.1)
        assert exporter.requests == []

    assert in_child(work) == 0


def test_what_a_fork_writes_is_delivered(path: Path, recording: Routed, ship: Make) -> None:
    """It is woken before the fork is over, and there is nothing else to wake it."""
    exporter = Taking()
    shipper = ship(exporter)
    shipper.wake()  # there is no store yet
    recording.writer.on_written = shipper.wake
    recording.phase("e", "a")
    assert in_child(lambda: None) == 0
    assert shipper.wait_for_position(1, soon())


def test_a_connection_that_a_fork_did_not_wait_for_is_not_closed_in_the_child(
    path: Path, recording: Routed, ship: Make
) -> None:
    """Closing it there would drop the parent's locks."""
    exporter = Taking()
    shipper = ship(exporter)
    recording.block("a")
    deliver(shipper, path)
    ledger = shipper._ledger
    assert ledger is not None
    shipper._worker.before_fork(0.0)  # a child has no threads
    shipper._turns.give_up()
    shipper.after_fork()  # by a fork that went round the rest of the hook before it
    assert shipper._ledger is None
    ledger._connection.execute("SELECT 1")
    from phasetrace.delivery import shipper as module

    assert module._abandoned[-1] is ledger
    ledger.close()


class Misconfigured(Destination):
    """Is refused until its file is there."""

    made = 0

    def __init__(self, exporter: Taking, file: Path) -> None:
        super().__init__("t", exporter)
        Misconfigured.made += 1
        self._is_right = file.exists()

    def export_spans(self, spans: Sequence[ReadableSpan]) -> Verdict:
        """Take spans, or not."""
        if self._is_right:
            return super().export_spans(spans)
        return Verdict(Outcome.MISCONFIGURED, "not trusted")


def test_what_only_somebody_can_mend_is_tried_with_another_exporter(
    path: Path, recording: Routed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One keeps the files in memory that it was made with; why is told in words with advice."""
    exporter, file = Taking(), tmp_path / "authority.pem"
    recording.block("a")
    shipper = Shipper(
        path,
        HERE,
        lambda: Misconfigured(exporter, file),
        BatchLimits(None, None, 1),
        backoff=lambda: SOON,
        explain=lambda verdict: f"{verdict.reason}; set CERTIFICATE",
    )
    shipper.hurry()
    wait_until(lambda: query(path, "SELECT error FROM destinations") != [None])
    assert query(path, "SELECT error FROM destinations") == ["not trusted; set CERTIFICATE"]
    assert shipper.failing == "not trusted; set CERTIFICATE"
    assert "not trusted; set CERTIFICATE; spans wait in the store" in caplog.text
    file.touch()
    deliver(shipper, path)
    assert exporter.names == ["a"]
    made = Misconfigured.made
    assert (exporter.shutdowns, made > 1) == (made - 1, True)
    recording.block("b")
    deliver(shipper, path)
    shipper.close(soon())
    assert (Misconfigured.made, exporter.shutdowns) == (made, made)
