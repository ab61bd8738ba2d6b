"""One at a time delivers, and whoever fails lets the others try, at one pace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from phasetrace.delivery.backoff import MOST_ASKED_S, Backoff
from phasetrace.delivery.lock import ServingLock, is_free, lock_path
from phasetrace.delivery.turns import Turns
from phasetrace.store.ledger import Ledger, Settlement
from tests.phasetrace.delivery.conftest import HERE, Routed

SECOND = 1_000_000_000


class Clock:
    """A clock that the test owns; Unix nanoseconds."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        """Tell the time."""
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.now_ns += round(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    """Return the clock of a test."""
    return Clock()


@pytest.fixture
def ledger(path: Path, recording: Routed) -> Iterator[Ledger]:
    """Return the books of a destination that a span waits for."""
    recording.block("a")
    with closing(Ledger(path, HERE.key)) as ledger:
        yield ledger


def turns(path: Path, clock: Clock, way: str = "", by_hand: bool = False) -> Turns:
    """Return somebody's turns; the backoff is without chance."""
    lock = ServingLock(lock_path(path, HERE.key))
    return Turns(lock, way, clock, lambda: Backoff(lambda least, most: most), by_hand)


def is_time(one: Turns, ledger: Ledger) -> bool:
    """Tell whether somebody may try now; afterwards it is nobody's turn."""
    begins = one.take() and one.begin(ledger)
    one.give_up()
    return begins


def fail(one: Turns, ledger: Ledger, retry_after_s: float | None = None) -> None:
    """Have somebody try, and fail."""
    assert one.take()
    assert one.begin(ledger)
    retry = one.failed(retry_after_s, False)
    ledger.failed("HTTP 503", retry.failed_ns, one.way, retry)
    one.noted()
    one.give_up()


def test_a_failure_leaves_the_turn_to_other_settings(
    path: Path, clock: Clock, ledger: Ledger
) -> None:
    """At once: they may be right."""
    old, new = turns(path, clock, "old"), turns(path, clock, "new")
    fail(old, ledger)
    assert new.take()
    assert new.begin(ledger)
    assert not old.take()
    assert old.is_elsewhere


def test_the_same_settings_keep_to_what_is_noted(path: Path, clock: Clock, ledger: Ledger) -> None:
    """Half a second after the first failure, whoever had it; and the turn is free meanwhile."""
    one, other = turns(path, clock), turns(path, clock)
    fail(one, ledger)
    assert not is_time(other, ledger)
    assert is_free(lock_path(path, HERE.key))
    clock.advance(0.49)
    assert not is_time(other, ledger)
    clock.advance(0.01)
    assert is_time(other, ledger)


@pytest.mark.parametrize("programs", [1, 7])
def test_the_pace_does_not_depend_on_how_many_there_are(
    path: Path, clock: Clock, ledger: Ledger, programs: int
) -> None:
    """A receiver that is down is tried as often by all of them as by one alone."""
    everyone = [turns(path, clock) for _ in range(programs)]
    began_ns, tries = clock.now_ns, []
    for number in range(300):
        for one in everyone[number % programs :] + everyone[: number % programs]:
            if is_time(one, ledger):
                fail(one, ledger)
                tries.append((clock.now_ns - began_ns) / SECOND)
        clock.advance(0.1)
    assert tries == [0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5, 22.5, 27.5]


def test_each_way_has_its_own_pace(path: Path, clock: Clock, ledger: Ledger) -> None:
    """Two that both fail do not have each other try without end."""
    ways = [turns(path, clock, "old"), turns(path, clock, "new")]
    tries = 0
    for _ in range(125):
        for one in ways:
            if is_time(one, ledger):
                fail(one, ledger)
                tries += 1
        clock.advance(0.1)
    assert tries == 2 * 5


def test_a_hurry_cuts_the_wait_short_but_not_to_nothing(
    path: Path, clock: Clock, ledger: Ledger
) -> None:
    """However many are in a hurry, there is half a second between two tries."""
    one = turns(path, clock)
    for _ in range(4):
        fail(one, ledger)
        clock.advance(5)
    fail(one, ledger)
    other = turns(path, clock)
    other.hurry()
    assert not is_time(other, ledger)
    assert other.is_put_off
    clock.advance(0.5)
    assert not is_time(turns(path, clock), ledger)
    other.hurry()
    assert is_time(other, ledger)
    assert not other.is_put_off


def test_what_the_receiver_asks_for_is_kept_by_everybody(
    path: Path, clock: Clock, ledger: Ledger
) -> None:
    """Also by a new one, in a hurry (OTLP/HTTP Throttling)."""
    fail(turns(path, clock), ledger, retry_after_s=60)
    new = turns(path, clock)
    new.hurry()
    clock.advance(59.9)
    assert not is_time(new, ledger)
    clock.advance(0.1)
    new.hurry()
    assert is_time(new, ledger)


def test_a_receiver_may_not_ask_for_too_much(path: Path, clock: Clock, ledger: Ledger) -> None:
    """It may have meant milliseconds."""
    fail(turns(path, clock), ledger, retry_after_s=1e12)
    clock.advance(MOST_ASKED_S)
    assert is_time(turns(path, clock), ledger)


def test_by_hand_it_is_tried_at_once_and_only_once(
    path: Path, clock: Clock, ledger: Ledger
) -> None:
    """Whatever is noted: a person may know more. Then it is one of them all."""
    fail(turns(path, clock), ledger, retry_after_s=60)
    ship = turns(path, clock, by_hand=True)
    ship.hurry()
    fail(ship, ledger, retry_after_s=60)
    ship.hurry()
    assert not is_time(ship, ledger)


def test_a_success_makes_it_void(path: Path, clock: Clock, ledger: Ledger) -> None:
    """Whatever way it was had by; the next failure is a first one."""
    one = turns(path, clock, "old")
    for _ in range(3):
        fail(one, ledger)
        clock.advance(5)
    fail(one, ledger)
    ledger.settle(Settlement(1, delivered=1), clock())
    assert is_time(one, ledger)
    fail(one, ledger)
    clock.advance(0.5)
    assert is_time(one, ledger)


def test_a_success_elsewhere_says_nothing_of_the_address(
    path: Path, clock: Clock, ledger: Ledger
) -> None:
    """It was another receiver that took them."""
    fail(turns(path, clock), ledger)
    ledger.settle(Settlement(1, delivered=1, elsewhere=True), clock())
    assert not is_time(turns(path, clock), ledger)


def test_a_clock_that_was_set_back_keeps_nobody(path: Path, clock: Clock, ledger: Ledger) -> None:
    """What is noted is in the future then, and means nothing."""
    fail(turns(path, clock), ledger, retry_after_s=60)
    clock.advance(-3600)
    assert is_time(turns(path, clock), ledger)


def test_a_hurry_during_the_look_is_not_lost(
    path: Path, clock: Clock, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody came after it was read what is noted: it is looked again at once."""
    fail(turns(path, clock), ledger)
    one = turns(path, clock)
    plain = ledger.retry

    def retry(way: str) -> object:
        one.hurry()
        return plain(way)

    monkeypatch.setattr(ledger, "retry", retry)
    assert not is_time(one, ledger)
    assert (one.rest_s, one.is_put_off) == (0, False)


def test_where_nothing_can_be_noted_one_keeps_to_it_all_the_same(
    path: Path, clock: Clock, ledger: Ledger
) -> None:
    """The disk is full, and the receiver is down: its waits grow as ever."""
    one = turns(path, clock)
    began_ns, tries = clock.now_ns, []
    for _ in range(100):
        if one.take() and one.begin(ledger):
            one.failed(None, False)
            tries.append((clock.now_ns - began_ns) / SECOND)
        one.give_up()
        clock.advance(0.1)
    assert tries == [0, 0.5, 1.5, 3.5, 7.5]


def test_a_lock_that_was_removed_is_no_turn(path: Path, clock: Clock, ledger: Ledger) -> None:
    """Somebody else may have the one that came in its place."""
    one, other = turns(path, clock), turns(path, clock)
    assert one.take()
    assert one.begin(ledger)
    lock_path(path, HERE.key).unlink()
    assert other.take()
    assert not one.take()
    assert not one.has_begun
    other.give_up()
    assert one.take()
    assert not one.has_begun
