"""Waits double up to a limit, with jitter, and begin anew after a success."""

from __future__ import annotations

import pytest

from phasetrace.delivery.backoff import FIRST_S, MOST_ASKED_S, MOST_S, SLOW_S, Backoff


def test_waits_double_up_to_a_limit_at_which_a_recovery_is_noticed_within_seconds() -> None:
    """Without jitter, that is."""
    backoff = Backoff(uniform=lambda least, most: most)
    assert [backoff.next_s() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, MOST_S, MOST_S]
    backoff.reset()
    assert backoff.next_s() == FIRST_S


def test_half_of_a_wait_is_left_to_chance() -> None:
    """For many programs not to come back all at once."""
    waits = {Backoff().next_s() for _ in range(50)}
    assert len(waits) > 40
    assert all(FIRST_S / 2 <= wait_s <= FIRST_S for wait_s in waits)


def test_what_the_receiver_asks_for_is_the_least() -> None:
    """It may be longer by itself."""
    backoff = Backoff()
    assert backoff.next_s(retry_after_s=60) == 60
    assert backoff.next_s(retry_after_s=0.001) > 0.4


def test_what_the_receiver_asks_for_has_an_end() -> None:
    """It may have meant a date, or milliseconds."""
    assert Backoff().next_s(retry_after_s=1_730_000_000_000) == MOST_ASKED_S


def test_what_does_not_pass_by_itself_is_tried_less_often() -> None:
    """Somebody has to do something about it."""
    backoff = Backoff(uniform=lambda least, most: most)
    waits = [backoff.next_s(is_hopeless=True) for _ in range(10)]
    assert waits[-1] == SLOW_S


@pytest.mark.parametrize("failures", [100, 2_000])
def test_many_failures_do_no_harm(failures: int) -> None:
    """The power has an end."""
    backoff = Backoff()
    for _ in range(failures):
        assert backoff.next_s() <= MOST_S
