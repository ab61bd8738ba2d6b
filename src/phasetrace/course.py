"""An execution's course in time: a timeline for each time that it was opened.

An execution may be opened again after it has ended, in a retry or a later step. Each stretch then
has a root and a wall time of its own; what lies between two stretches is unattributed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Final

from phasetrace.timeline import Timeline

if TYPE_CHECKING:
    from phasetrace.sweep import Entry
    from phasetrace.timeline import Open, TimelineResult

_FOLD_FROM: Final = 8_192


class CourseResult:
    """Self times and shares by key, and the wall time they belong to; nanoseconds."""

    __slots__ = ("first_ns", "self_ns", "share_ns", "unattributed_ns", "wall_ns")

    def __init__(self) -> None:
        self.self_ns: dict[Hashable, int] = {}
        self.share_ns: dict[Hashable, float] = {}
        self.unattributed_ns = 0
        self.first_ns = 0
        self.wall_ns = 0

    def followed_by(self, later: TimelineResult) -> CourseResult:
        """Return the sum of this course so far and a later stretch."""
        both = CourseResult()
        both.self_ns = _added(self.self_ns, later.self_ns)
        both.share_ns = _added(self.share_ns, later.share_ns)
        gap_ns = max(0, later.first_ns - self.first_ns - self.wall_ns) if self.wall_ns else 0
        both.unattributed_ns = self.unattributed_ns + gap_ns + later.unattributed_ns
        both.first_ns = self.first_ns if self.wall_ns else later.first_ns
        both.wall_ns = self.wall_ns + gap_ns + later.wall_ns
        return both


class Course:
    """Collects the intervals of one execution. Not thread-safe: the owner holds a lock."""

    def __init__(self) -> None:
        self._before = CourseResult()
        self._timeline: Timeline = Timeline()
        self._fold_at = _FOLD_FROM

    def opened(self, root_id: int) -> None:
        """Begin a stretch with this root; spans added so far without a root belong to it."""
        if self._timeline.root_id is not None:
            self._before = self._before.followed_by(self._timeline.result())
            self._timeline = Timeline()
        self._timeline.root_id = root_id

    def add(
        self, span_id: int, parent_id: int | None, start_ns: int, end_ns: int, key: Hashable
    ) -> None:
        """Log a finished span."""
        self._timeline.add(span_id, parent_id, start_ns, end_ns, key)

    def log(self, entries: Iterable[Entry]) -> None:
        """Log finished spans of the present stretch, and keep the very tuples."""
        self._timeline.log(entries)

    def fold(self, horizon_ns: int, open_spans: Iterable[Open], finished: bool) -> None:
        """Fold what lies before the horizon, if enough has come together to be worth it."""
        if self._timeline.waiting < self._fold_at and not finished:
            return
        self._timeline.advance(horizon_ns, open_spans)
        # What is younger than the horizon stays; doubling keeps the cost of folding proportional to
        # the number of spans even if that is all of it.
        self._fold_at = max(_FOLD_FROM, 2 * self._timeline.waiting)

    def result(self, now_ns: int, open_spans: Iterable[Open]) -> CourseResult:
        """Return how things stand; nothing changes."""
        return self._before.followed_by(self._timeline.result(now_ns, open_spans))


def _added(before: dict, later: dict) -> dict:  # type: ignore[type-arg]
    """Add two mappings of numbers."""
    both = before.copy()
    for key, amount in later.items():
        both[key] = both.get(key, 0) + amount
    return both
