"""What is running now, as plain values: executions, the deepest of their open calls, their speed.

A call takes *longer than usual* when it has gone on for a tenth longer than the longest of the
calls of the same phase of the same node that are known: those of earlier runs of the same name that
ended well, and those of its own execution. It takes `FEWEST` of them to tell.

Pure functions; times in Unix nanoseconds, durations in nanoseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from phasetrace.history import FEWEST, LEAST_PART, Usual
from phasetrace.spans import EXECUTION, SYSTEM_NODE, SpanRecord

WINDOW_NS: Final = 5_000_000_000
"""The speed is that of so long, up to now."""
FADE_NS: Final = 8_000_000_000
"""For so long an execution is still there that has ended."""
ABANDONED_NS: Final = 60_000_000_000
"""For so long one whose process is gone, since it was last heard of or seen to go on."""
EARLIER_NS: Final = 24 * 3_600_000_000_000
"""For so long it is counted after that."""
BUSY_NS: Final = 2_000_000_000
"""So long after a call has ended, more are taken to come that are too short to be seen open."""


class Known(NamedTuple):
    """Calls that have ended: how many, and the longest of them."""

    calls: int = 0
    longest_ns: int = 0

    def __add__(self, other: object) -> Known:
        if not isinstance(other, Known):
            return NotImplemented
        return Known(self.calls + other.calls, max(self.longest_ns, other.longest_ns))


class LastCall(NamedTuple):
    """The call of a node or phase that ended last."""

    node_id: str
    phase: str | None
    ended_ns: int


class LiveCall(NamedTuple):
    """A call of a node (``phase`` is None) or phase that has not ended, and has no open one in it.

    ``alive`` tells whether its process is still there. ``known`` are the calls that it is held
    against, None where there are too few. ``last`` is, of a node, the phase of it that ended last
    since it started.
    """

    node_id: str
    phase: str | None
    started_ns: int
    age_ns: int
    alive: bool
    known: Known | None
    last: LastCall | None = None

    @property
    def is_longer_than_usual(self) -> bool:
        """Whether it has gone on for longer than any call that is known, and a tenth more."""
        known = self.known
        if known is None or not self.alive:
            return False
        return self.age_ns > known.longest_ns + known.longest_ns // LEAST_PART


class LiveExecution(NamedTuple):
    """An execution that goes on, has just ended, or was left by its process.

    ``open`` are the deepest of its open calls, the oldest first; only calls that have gone on for a
    second are known while they are open. ``ended_ns`` is None while it goes on, and of one that is
    abandoned the last that was heard of it. ``spans_per_s`` is None where nobody has looked twice.
    """

    exec_id: str
    name: str | None
    status: str
    trace_id: str
    parent_exec_id: str | None
    started_ns: int
    duration_ns: int
    ended_ns: int | None
    spans: int
    errors: int
    input_tokens: int
    output_tokens: int
    usual: Usual | None
    open: tuple[LiveCall, ...]
    last: LastCall | None
    spans_per_s: float | None = None


class Activity(NamedTuple):
    """What goes on in a store at a time: running executions first, the oldest of them first.

    ``quiet`` is how many executions have not ended, although nothing has happened in them lately:
    those that a phase opened, and nobody has ended. ``abandoned`` is how many more were left by
    their processes within a day.
    """

    at_ns: int
    executions: tuple[LiveExecution, ...] = ()
    quiet: int = 0
    abandoned: int = 0

    @property
    def spans_per_s(self) -> float | None:
        """How many spans end in a second, in all executions; None where nobody has looked twice."""
        speeds = [one.spans_per_s for one in self.executions if one.spans_per_s is not None]
        return sum(speeds) if speeds else None


class OpenSpan(NamedTuple):
    """A span that has not ended, as `deepest` has to know it."""

    span_id: int
    parent_id: int | None
    type: str
    name: str
    node_id: str | None
    start_ns: int
    alive: bool


class Speed:
    """How fast a number goes up, by what it was at some times."""

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._seen: deque[tuple[int, int]] = deque()

    def note(self, at_ns: int, number: int) -> float | None:
        """Note a number; return by how much it went up in a second, over the window up to now.

        None at first, and where no time has passed.
        """
        seen = self._seen
        seen.append((at_ns, number))
        while len(seen) > 2 and seen[1][0] <= at_ns - self._window_ns:
            seen.popleft()
        (first_ns, first), (last_ns, last) = seen[0], seen[-1]
        if last_ns <= first_ns:
            return None
        return max(0, last - first) * 1e9 / (last_ns - first_ns)


def deepest(spans: Sequence[OpenSpan]) -> list[OpenSpan]:
    """Return the open nodes and phases that no other open one is directly below, oldest first."""
    calls = [span for span in spans if span.type != EXECUTION]
    above = {span.parent_id for span in calls}
    found = [span for span in calls if span.span_id not in above]
    return sorted(found, key=lambda span: (span.start_ns, span.span_id))


def last_call(spans: Iterable[SpanRecord], before: LastCall | None) -> LastCall | None:
    """Return which call ended last, of some spans and the one that had until then."""
    last = before
    for span in spans:
        if span.type != EXECUTION and (last is None or span.end_ns >= last.ended_ns):
            phase = span.name if span.type == "phase" else None
            last = LastCall(span.node_id or SYSTEM_NODE, phase, span.end_ns)
    return last


def enough(known: Known) -> Known | None:
    """Return calls that are known, if they are enough to tell what is usual."""
    return known if known.calls >= FEWEST else None


def in_order(executions: Iterable[LiveExecution]) -> tuple[LiveExecution, ...]:
    """Return executions as they are shown: those that run, the oldest first, then the others."""

    def place(one: LiveExecution) -> tuple[int, int, str]:
        return rank(one), one.started_ns if one.ended_ns is None else -one.ended_ns, one.exec_id

    return tuple(sorted(executions, key=place))


def rank(one: LiveExecution) -> int:
    """Return how much an execution matters, 0 most: it runs, was abandoned, or has ended."""
    if one.ended_ns is None:
        return 0
    return 1 if one.status == "abandoned" else 2


def nested(executions: Sequence[LiveExecution]) -> list[tuple[LiveExecution, int]]:
    """Return executions with how far they are within others, each after the one it is in.

    Otherwise as they come. What matters more than its parent is not below it: it would go with it.
    """
    by_id = {one.exec_id: one for one in executions}
    below: dict[str | None, list[LiveExecution]] = {}
    for one in executions:
        parent = by_id.get(one.parent_exec_id) if one.parent_exec_id is not None else None
        is_below = parent is not None and parent is not one and rank(parent) <= rank(one)
        below.setdefault(one.parent_exec_id if is_below else None, []).append(one)
    placed: list[tuple[LiveExecution, int]] = []
    waiting = [(one, 0) for one in reversed(below.pop(None, []))]
    while waiting:
        one, depth = waiting.pop()
        placed.append((one, depth))
        waiting += [(sub, depth + 1) for sub in reversed(below.pop(one.exec_id, []))]
    # What is left is said to be within each other.
    return placed + [(one, 0) for left in below.values() for one in left]
