"""Timing several pieces of work in turn, and comparing what it took.

A round times every entrant once, starting with another one each time, so that none always runs
after the same neighbour. Numbers are per operation; the ratio of two entrants is the ratio of their
medians over the rounds, and its spread is that of the ratios within each round.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Work = Callable[[], object]
Clock = Callable[[], int]


class Entrant(NamedTuple):
    """One of the pieces of work that are timed in turn."""

    prepare: Callable[[int], Work]
    """Takes the round's number and returns what is timed; is not timed itself."""
    operations: int
    """How many operations the work consists of."""
    clear: Callable[[int], object] = lambda number: None
    """Takes the round's number and clears up after the work; is not timed either."""


class Comparison(NamedTuple):
    """One entrant compared to another."""

    ours: float
    theirs: float
    """The two medians, in the unit of the samples."""
    ratio: float
    """``ours / theirs``."""
    low: float
    high: float
    """The 10th and the 90th percentile of the ratios of the single rounds."""


def interleaved(
    entrants: Mapping[str, Entrant],
    rounds: int,
    warm_up: int = 2,
    clock: Clock = time.perf_counter_ns,
) -> dict[str, list[float]]:
    """Time every entrant once a round; return nanoseconds per operation, by entrant and round.

    The garbage collector stays on, as it is in a program, but before each timed block it is run, so
    that nobody collects what another has left. The first `warm_up` rounds are not counted.
    """
    samples: dict[str, list[float]] = {name: [] for name in entrants}
    for number in range(-warm_up, rounds):
        for name in _rotated(list(entrants), number):
            entrant = entrants[name]
            work = entrant.prepare(number)
            gc.collect()
            started = clock()
            work()
            elapsed = clock() - started
            entrant.clear(number)
            if number >= 0:
                samples[name].append(elapsed / entrant.operations)
    return samples


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Comparison:
    """Compare two entrants by what `interleaved` returned for them."""
    of_rounds = [one / other for one, other in zip(ours, theirs, strict=True)]
    our_median, their_median = statistics.median(ours), statistics.median(theirs)
    return Comparison(
        our_median,
        their_median,
        our_median / their_median,
        percentile(of_rounds, 0.1),
        percentile(of_rounds, 0.9),
    )


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the value below which this fraction lies, between neighbours by a straight line."""
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _rotated(names: list[str], number: int) -> list[str]:
    first = number % len(names)
    return names[first:] + names[:first]
