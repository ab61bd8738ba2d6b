"""Test that the analysis of badly shaped executions takes time in proportion to their size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from phasetrace.analysis.bottlenecks import Critical
from phasetrace.analysis.concurrency import concurrency
from phasetrace.analysis.groups import groups
from phasetrace.analysis.network import WHOLE, Network
from phasetrace.analysis.path import critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.replay import Replay
from phasetrace.analysis.waiting import waiting
from phasetrace.spans import SpanRecord
from tests.phasetrace.analysis.timelines import network, recording, span

MANY = 100_000


def chain(count: int) -> list[SpanRecord]:
    """Return tasks that were each started by the one before, when that had ended."""
    tasks = (span(n, n - 1, 2 * n, 2 * n + 1, "a", "p") for n in range(2, count + 1))
    return [span(1, None, 0, 2 * count + 2), *tasks]


def escaping(count: int) -> list[SpanRecord]:
    """Return a deep stack of calls, and tasks of the innermost that outlive ever more of it."""
    half = count // 2
    stack = [span(n, n - 1, n, 3 * count - n, "a", "p") for n in range(2, half + 1)]
    tasks = [
        span(half + n, half, half + n, 3 * count - half + n, "b", "task") for n in range(1, half)
    ]
    return [span(1, None, 0, 4 * count), *stack, *tasks]


def fan(count: int) -> list[SpanRecord]:
    """Return calls that all went on at once."""
    calls = (span(n, 1, n, n + count, "a", "p") for n in range(2, count + 1))
    return [span(1, None, 0, 3 * count), *calls]


def back_to_back(count: int) -> list[SpanRecord]:
    """Return runs of two nodes, each waiting for the other's last."""
    runs = (
        span(n, 1, n, n + 1, "ab"[n % 2], depends_on=["ba"[n % 2]]) for n in range(2, count + 1)
    )
    return [span(1, None, 0, count + 1), *runs]


def instant(count: int) -> list[SpanRecord]:
    """Return runs of no length, all at one instant, and each waiting for another node's."""
    runs = (span(n, 1, 5, 5, "ab"[n % 2], depends_on=["ba"[n % 2]]) for n in range(2, count + 1))
    return [span(1, None, 0, 9), *runs]


def circle(count: int) -> list[SpanRecord]:
    """Return spans of which each is said to be the child of the next, the last of the first."""
    return [span(n, n % count + 2, n, 2 * count - n, "a", "p") for n in range(2, count + 2)]


def early(count: int) -> list[SpanRecord]:
    """Return a deep stack of calls of which each one starts before its parent."""
    stack = (span(n, n - 1, 2 * count - n, 4 * count, "a", "p") for n in range(2, count + 1))
    return [span(1, None, 0, 5 * count), *stack]


def disorder(count: int) -> list[SpanRecord]:
    """Return a deep stack of calls at times that have nothing to do with each other."""
    times = ((n * 7919) % count for n in range(count))
    stack = (span(n, n - 1, at, at + count // 3, "a", "p") for n, at in enumerate(times, 2))
    return [span(1, None, 0, 2 * count), *stack]


SHAPES = [chain, escaping, fan, back_to_back, instant, circle, early, disorder]
Shape = Callable[[int], list[SpanRecord]]


def analyse(of: Recording) -> tuple[Network, Critical]:
    """Work out everything that is worked out once for an execution."""
    found = network(of)
    path = critical_path(found)
    replay = Replay(found)
    replay.duration(without=range(1, len(found.starts), 2))
    replay.slacks()
    waiting(found)
    concurrency(found)
    groups(of, found, path)
    return found, Critical(found, path)


def lines_run(function: Callable[[], object]) -> int:
    """Return how many lines a function runs, with all that it calls."""
    number = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal number
        number += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return number


@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: one.__name__)
def test_four_times_the_spans_take_four_times_the_work(shape: Shape) -> None:
    """Counted in lines of the program that are run, which no busy machine changes."""
    few, many = recording(*shape(1_000)), recording(*shape(4_000))
    assert lines_run(lambda: analyse(many)) < 5 * lines_run(lambda: analyse(few))


@pytest.mark.parametrize("shape", [chain, escaping, fan], ids=lambda one: one.__name__)
def test_many_spans_are_no_matter(shape: Shape) -> None:
    """No depth is too great, and the path is the whole."""
    found, critical = analyse(recording(*shape(MANY)))
    parts = (*critical.by_key.values(), critical.unattributed_ns, critical.waiting_ns)
    assert sum(parts) == found.ends[WHOLE] - found.starts[WHOLE]
