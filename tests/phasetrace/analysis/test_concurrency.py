"""Test how much went on at once against a look at every nanosecond."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.concurrency import Concurrency, concurrency, concurrency_of
from phasetrace.analysis.network import WHOLE, Network
from phasetrace.analysis.recording import Recording
from tests.phasetrace.analysis import oracles
from tests.phasetrace.analysis.timelines import executions, network, recording, span


def expected(found: Network, numbers: Iterable[int]) -> tuple[int, int, int, Fraction]:
    """Return busy time, wall time, maximum and average of how many were active, by nanosecond."""
    at_once = list(numbers)
    wall_ns = found.ends[WHOLE] - found.starts[WHOLE]
    assert len(at_once) == wall_ns
    average = Fraction(sum(at_once), wall_ns) if wall_ns else Fraction(0)
    return sum(at_once), wall_ns, max(at_once, default=0), average


def figures(of: Concurrency) -> tuple[int, int, int, object]:
    """Return the same of what was worked out."""
    return of.busy_ns, of.wall_ns, of.maximum, pytest.approx(of.average)


@given(executions())
def test_leaves_at_once_are_those_of_each_nanosecond(of: Recording) -> None:
    """Spans of nodes and phases without an active child, within the whole."""
    found = network(of)
    whole = range(found.starts[WHOLE], found.ends[WHOLE])
    numbers = [len(oracles.leaves_at(found, now)) for now in whole]
    assert expected(found, numbers) == figures(concurrency(found))


@given(executions(), st.lists(st.integers(1, 9), unique=True))
def test_some_spans_at_once_are_those_of_each_nanosecond(of: Recording, choices: list[int]) -> None:
    """Whatever there is within them."""
    found = network(of)
    places = [place for place in choices if place < len(found.starts)]
    whole = range(found.starts[WHOLE], found.ends[WHOLE])
    numbers = [len(oracles.active_at(found, places, now)) for now in whole]
    assert expected(found, numbers) == figures(concurrency_of(found, places))


def test_of_calls_back_to_back_one_is_active() -> None:
    """What ends at an instant has ended before anything starts at it."""
    of = recording(span(1, None, 0, 9), span(2, 1, 0, 4, "a"), span(3, 1, 4, 9, "a"))
    assert concurrency(network(of)) == Concurrency(9, 9, 1)
    assert concurrency_of(network(of), [1, 2]) == Concurrency(9, 9, 1)
