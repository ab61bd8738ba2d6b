"""Stamps are wall-clock times whose differences are monotonic."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.clock import anchored, now_ns


def readings(*values: int) -> Iterator[int]:
    """Return a clock's readings, in order."""
    return iter(values)


def test_a_stamp_is_the_wall_time_plus_what_went_by() -> None:
    """The anchor is the wall clock's; from there on the monotonic clock counts."""
    monotonic = readings(100, 100, 130)
    clock = anchored(lambda: 1_000_000, lambda: next(monotonic))
    assert clock() == 1_000_030


def test_the_anchor_is_the_middle_of_two_readings() -> None:
    """A thread that was preempted while anchoring is off by half of that at most."""
    monotonic = readings(100, 300, 300)
    clock = anchored(lambda: 1_000_000, lambda: next(monotonic))
    assert clock() == 1_000_100


def test_the_wall_clock_is_read_once() -> None:
    """A step of the wall clock after the anchor moves no stamp."""
    wall = readings(1_000_000)  # a second reading would raise
    monotonic = readings(0, 0, 5, 7)
    clock = anchored(lambda: next(wall), lambda: next(monotonic))
    assert [clock(), clock()] == [1_000_005, 1_000_007]


@given(st.integers(0, 2**62), st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_differences_are_the_monotonic_clocks(wall: int, steps: list[int]) -> None:
    """Whatever the anchor, stamps differ as the monotonic readings do, to the nanosecond."""
    moments = [sum(steps[: index + 1]) for index in range(len(steps))]
    monotonic = readings(0, 0, *moments)
    clock = anchored(lambda: wall, lambda: next(monotonic))
    assert [clock() - wall for _ in moments] == moments


def test_the_clock_of_the_process_is_near_the_wall() -> None:
    """Stamps can be compared with those of other machines."""
    assert abs(now_ns() - time.time_ns()) < 10_000_000_000
