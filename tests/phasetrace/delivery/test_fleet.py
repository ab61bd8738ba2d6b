"""Waiting for delivery: flushes that say the truth in time, and an end that is not kept waiting."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from phasetrace.clock import now_ns
from phasetrace.delivery.fleet import Delivery, Fleet
from phasetrace.delivery.shipper import Shipper
from phasetrace.store.ledger import Ledger
from phasetrace.store.retries import Retry
from tests.phasetrace.delivery.conftest import (
    HERE,
    THERE,
    Gate,
    Routed,
    Taking,
    cursor,
    deliver,
    fail,
    hold,
    latest,
    soon,
    take,
    wait_until,
    waiting,
)
from tests.phasetrace.timing import least_s

Make = Callable[..., Shipper]
Record = Callable[..., Routed]


def fleet_of(path: Path, *shippers: Shipper) -> Fleet:
    """Return a fleet of some shippers."""
    return Fleet(path, shippers, [shipper.spec for shipper in shippers])


def test_a_flush_delivers_everything(path: Path, record: Record, ship: Make) -> None:
    """To all destinations, without waiting for more to come."""
    here, there = Taking(), Taking()
    record(HERE, THERE).block("a", "b")
    shippers = ship(here, delay_ms=3_600_000), ship(there, THERE, delay_ms=3_600_000)
    assert fleet_of(path, *shippers).flush(soon())
    assert here.names == there.names == ["a", "b"]
    assert (waiting(path), waiting(path, THERE)) == (0, 0)


def test_it_delivers_without_delay_only_meanwhile(
    path: Path, recording: Routed, ship: Make
) -> None:
    """What comes after a flush waits for more again."""
    exporter = Taking()
    shipper = ship(exporter, delay_ms=3_600_000)
    recording.block("a")
    assert fleet_of(path, shipper).flush(soon())
    recording.block("b")
    shipper.wake()
    assert not shipper.wait_for_position(2, time.monotonic() + 0.1)


def test_a_flush_keeps_its_deadline(path: Path, recording: Routed, ship: Make, gate: Gate) -> None:
    """Whatever the exporter does; and the next one says when it has arrived."""
    exporter = Taking()
    exporter.answer = gate
    recording.block("a")
    fleet = fleet_of(path, ship(exporter))

    def flush() -> None:
        assert not fleet.flush(time.monotonic() + 0.5)

    assert 0.5 <= least_s(flush) <= 0.55
    gate.open()
    assert fleet.flush(soon())


def test_a_flush_keeps_its_deadline_while_the_store_is_busy(
    path: Path, recording: Routed, ship: Make
) -> None:
    """What has been delivered cannot be noted: then it is not known to be."""
    exporter = Taking()
    recording.block("a")
    fleet = fleet_of(path, ship(exporter))

    def flush() -> None:
        assert not fleet.flush(time.monotonic() + 0.5)

    with closing(hold(path)):
        assert least_s(flush) <= 0.55
    assert fleet.flush(soon())


def test_it_goes_on_after_failures(path: Path, recording: Routed, ship: Make) -> None:
    """A flush has time: a receiver may come back."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a")
    shipper = ship(exporter)
    fleet = fleet_of(path, shipper)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(fleet.flush(soon())))
    thread.start()
    wait_until(lambda: shipper.failures)
    exporter.answer = take
    thread.join()
    assert answers == [True]


def test_one_that_is_down_makes_it_false(path: Path, record: Record, ship: Make) -> None:
    """The other has everything."""
    here, there = Taking(), Taking()
    there.answer = fail
    record(HERE, THERE).block("a")
    assert not fleet_of(path, ship(here), ship(there, THERE)).flush(time.monotonic() + 0.3)
    assert here.names == ["a"]


def test_what_was_refused_is_said_once(path: Path, recording: Routed, ship: Make) -> None:
    """The next flush is about what came since."""
    shipper = ship(Taking())
    fleet = fleet_of(path, shipper)
    recording.block("a")
    shipper.refused += 1
    assert not fleet.flush(soon())
    assert fleet.flush(soon())


def test_there_may_be_nothing_to_be_flushed(
    path: Path, record: Record, recording: Routed, ship: Make
) -> None:
    """No store, nothing for a destination, and nobody to deliver: all of it is delivered."""
    here = ship(Taking())
    assert fleet_of(path, here).flush(soon())
    assert not path.exists()
    recording.block("a")
    assert fleet_of(path, ship(Taking(), THERE)).flush(soon())
    assert Fleet(path, [], [HERE]).flush(soon())


def test_what_another_one_delivers_is_delivered(path: Path, recording: Routed, ship: Make) -> None:
    """A flush here sees it in the store."""
    recording.block("a")
    one, other = ship(Taking(), delay_ms=300), ship(Taking())
    deliver(one, path)
    recording.block("b")
    one.wake()
    assert fleet_of(path, other).flush(soon())
    assert (other.serves, cursor(path)) == (False, 2)


def test_whoever_delivers_is_asked_to_hurry(path: Path, recording: Routed, ship: Make) -> None:
    """By a flush of another one: the schedule is not waited for, and is kept again afterwards."""
    exporter = Taking()
    recording.block("a")
    one, other = ship(exporter, delay_ms=3_600_000), ship(Taking())
    deliver(one, path)
    recording.block("b")
    one.wake()
    assert fleet_of(path, other).flush(soon())
    assert exporter.names == ["a", "b"]
    recording.block("c")
    one.wake()
    assert not one.wait_for_position(latest(path), time.monotonic() + 0.5)


def test_the_end_does_not_wait_for_what_failed_a_moment_ago(
    path: Path, recording: Routed, ship: Make
) -> None:
    """A hundred programs that end one after the other would try a hundred times."""
    exporter = Taking()
    recording.block("a")
    with closing(Ledger(path, HERE.key)) as ledger:
        at_ns = now_ns()
        ledger.failed("HTTP 429", at_ns, "", Retry(1, at_ns, at_ns, at_ns + 60_000_000_000))
    before = time.monotonic()
    fleet_of(path, ship(exporter)).finish(10, 10)
    assert time.monotonic() - before < 2
    assert exporter.requests == []
    assert waiting(path) == 1


def test_a_position_in_another_file_is_no_answer(path: Path, recording: Routed, ship: Make) -> None:
    """The store has been replaced since; its books tell."""
    exporter = Taking()
    shipper = ship(exporter)
    for name in "ab":
        recording.block(name)
    deliver(shipper, path)
    for file in path.parent.glob("traces.db*"):
        file.unlink()
    recording.block("c")
    assert fleet_of(path, shipper).flush(soon())
    assert exporter.names == ["a", "b", "c"]


def test_the_end_delivers_and_lets_go(path: Path, recording: Routed, ship: Make) -> None:
    """Idempotent."""
    exporter = Taking()
    shipper = ship(exporter, delay_ms=3_600_000)
    recording.block("a")
    fleet = fleet_of(path, shipper)
    for _ in range(2):
        fleet.finish(5, 5)
    assert exporter.names == ["a"]
    assert exporter.shutdowns == 1
    assert not shipper.serves


def test_the_end_gives_up_at_the_first_failure(path: Path, recording: Routed, ship: Make) -> None:
    """There is no time to wait for a better one."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a")
    before = time.monotonic()
    fleet_of(path, ship(exporter)).finish(10, 10)
    assert time.monotonic() - before < 2
    assert len(exporter.requests) == 1
    assert waiting(path) == 1


def test_the_end_gives_up_when_nothing_moves(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """After its patience, and the moment that a call is given to come back."""
    exporter = Taking()
    exporter.answer = gate
    recording.block("a")
    before = time.monotonic()
    fleet_of(path, ship(exporter)).finish(10, 0.4)
    assert 0.5 <= time.monotonic() - before < 0.8


def test_the_end_waits_while_something_moves(path: Path, recording: Routed, ship: Make) -> None:
    """Much longer than its patience, up to its time."""
    exporter = Taking()

    def slow(spans: object) -> object:
        threading.Event().wait(0.3)
        return take([])

    exporter.answer = slow  # type: ignore[assignment]
    for name in "abcdef":
        recording.block(name)
    fleet_of(path, ship(exporter, size=1)).finish(10, 0.6)
    assert exporter.names == list("abcdef")


def test_the_end_does_not_wait_for_others(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """They go on anyway; also if it turns out at the end only that there are any."""
    first = Taking()
    recording.block("a")
    one, other = ship(first), ship(Taking())
    deliver(one, path)
    first.answer = gate
    recording.block("b")
    before = time.monotonic()
    fleet_of(path, other).finish(10, 10)
    assert time.monotonic() - before < 2
    assert waiting(path) == 1


def test_the_outcome_tells_what_waits(path: Path, record: Record, ship: Make) -> None:
    """For each destination that the store knows."""
    here, there = Taking(), Taking()
    there.answer = fail
    shippers = ship(here), ship(there, THERE)
    fleet = fleet_of(path, *shippers)
    assert fleet.outcome() == []
    assert not path.exists()
    record(HERE, THERE).block("a", "b")
    fleet.finish(5, 1)
    why = "the exporter does not tell why it failed"
    assert fleet.outcome() == [Delivery(HERE, True, 0), Delivery(THERE, False, 2, why)]


def test_a_receiver_that_owes_an_answer_is_told_of(
    path: Path, recording: Routed, ship: Make, gate: Gate
) -> None:
    """The end of the program does not wait for it, and says so where one looks for the reason."""
    exporter = Taking()
    exporter.answer = gate
    recording.block("a")
    fleet = fleet_of(path, ship(exporter))
    fleet.finish(10, 0.3)
    (found,) = fleet.outcome()
    assert found.problem is not None
    assert found.problem.startswith("the receiver had not answered after ")
    gate.open()


def test_a_fork_waits_for_a_look_into_the_store(
    path: Path, recording: Routed, ship: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that inherits the open file would lock nothing there."""
    recording.block("a")
    looking, may_go_on = threading.Event(), threading.Event()
    plain = Ledger.latest
    closed: list[bool] = []

    def latest(ledger: Ledger) -> int:
        looking.set()
        may_go_on.wait(20)
        closed.append(True)
        return plain(ledger)

    monkeypatch.setattr(Ledger, "latest", latest)
    fleet = fleet_of(path, ship(Taking()))
    thread = threading.Thread(target=lambda: fleet.flush(soon()))
    thread.start()
    looking.wait(20)
    threading.Timer(0.1, may_go_on.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if closed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
