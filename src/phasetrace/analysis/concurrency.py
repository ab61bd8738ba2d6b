"""How much went on at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from phasetrace.analysis.network import WHOLE, Network
from phasetrace.spans import EXECUTION


class Concurrency(NamedTuple):
    """How many were active at once, over a stretch of time.

    ``busy_ns`` is the time of all of them added up, which for leaves is their self time within the
    whole; the average is that over the length of the whole, ``wall_ns``.
    """

    busy_ns: int
    wall_ns: int
    maximum: int

    @property
    def average(self) -> float:
        """How many were active on average, idle time included."""
        return self.busy_ns / self.wall_ns if self.wall_ns else 0.0


def concurrency(network: Network) -> Concurrency:
    """Return how many leaves of an execution were active at once.

    A leaf is a span, other than those of the execution itself, with no active child just then, as
    in `phasetrace.timeline`. Intervals are half-open: of two calls back to back one is active.
    """
    parents, spans = network.parents, network.spans
    active = bytearray(len(parents))
    children = [0] * len(parents)
    counts = [span is not None and span.type != EXECUTION for span in spans]
    counts[WHOLE] = False
    leaves = 0

    def begin(place: int) -> int:
        nonlocal leaves
        parent = parents[place]
        if active[parent] and counts[parent] and not children[parent]:
            leaves -= 1
        children[parent] += 1
        active[place] = True
        if counts[place] and not children[place]:
            leaves += 1
        return leaves

    def end(place: int) -> int:
        nonlocal leaves
        parent = parents[place]
        if counts[place] and not children[place]:
            leaves -= 1
        active[place] = False
        children[parent] -= 1
        if active[parent] and counts[parent] and not children[parent]:
            leaves += 1
        return leaves

    return _swept(network, list(range(1, len(parents))), begin, end)


def concurrency_of(network: Network, places: list[int]) -> Concurrency:
    """Return how many of some spans were active at once."""
    active = 0

    def begin(_: int) -> int:
        nonlocal active
        active += 1
        return active

    def end(_: int) -> int:
        nonlocal active
        active -= 1
        return active

    return _swept(network, places, begin, end)


def _swept(
    network: Network, places: list[int], begin: Callable[[int], int], end: Callable[[int], int]
) -> Concurrency:
    starts, ends = network.starts, network.ends
    lasting = [place for place in places if starts[place] < ends[place]]
    beginning = sorted(lasting, key=starts.__getitem__)
    ending = sorted(lasting, key=ends.__getitem__)
    busy_ns = maximum = number = began = 0
    clock = starts[WHOLE]
    for place in ending:
        # Whatever ends at an instant has ended before anything starts at it.
        while began < len(beginning) and starts[beginning[began]] < ends[place]:
            starting = beginning[began]
            busy_ns += number * (starts[starting] - clock)
            maximum = max(maximum, number) if starts[starting] > clock else maximum
            clock = starts[starting]
            number = begin(starting)
            began += 1
        busy_ns += number * (ends[place] - clock)
        maximum = max(maximum, number) if ends[place] > clock else maximum
        clock = ends[place]
        number = end(place)
    return Concurrency(busy_ns, ends[WHOLE] - starts[WHOLE], maximum)
