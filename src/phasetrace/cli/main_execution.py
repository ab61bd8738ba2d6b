"""Which of a run's executions its last lines are about.

A run has an execution of its own, for the phases that are in none, beside those that the program
opens. What is asked for is the one that has most of the program's work. An execution is measured by
its *covered* time: how much of it nodes and phases account for, its duration less what is
unattributed. No clock, no store and no OpenTelemetry in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Recorded(NamedTuple):
    """What is compared of an execution; `started_ns` in Unix nanoseconds."""

    exec_id: str
    started_ns: int
    duration_ns: int
    covered_ns: int
    within: str | None = None
    """The id of the execution that it was started in."""


def most_telling_first(
    executions: Sequence[Recorded], own: str, own_is_named: bool = False
) -> list[Recorded]:
    """Return a run's executions, the one first that is its main one.

    That is the one with the most covered time, then the longest, then the last of `executions`;
    what was started within it counts as covered, and comes after all others itself. The run's `own`
    is only for what has no other place: what was started within that stands for itself, and it
    comes first only if more time is covered in it than the others took between them, or if it
    `own_is_named` by the user; else last.
    """
    known = {one.exec_id for one in executions} - {own}
    inner_ns: dict[str, int] = {}
    for one in executions:
        if one.within in known:
            inner_ns[one.within] = inner_ns.get(one.within, 0) + one.duration_ns

    def accounted_ns(one: Recorded) -> int:
        return min(one.duration_ns, one.covered_ns + inner_ns.get(one.exec_id, 0))

    others = [one for one in reversed(executions) if one.exec_id != own]
    others.sort(
        key=lambda one: (one.within not in known, accounted_ns(one), one.duration_ns),
        reverse=True,
    )
    mine = [one for one in executions if one.exec_id == own]
    others_ns = length_of_union(
        (one.started_ns, one.started_ns + one.duration_ns) for one in others if accounted_ns(one)
    )
    if own_is_named or any(one.covered_ns > others_ns for one in mine):
        return mine + others
    return others + mine


def length_of_union(intervals: Iterable[tuple[int, int]]) -> int:
    """Return for how long at least one of some intervals lasts (start, end)."""
    ordered = sorted(intervals)
    length, until = 0, ordered[0][0] if ordered else 0
    for start, end in ordered:
        length += max(0, end - max(start, until))
        until = max(until, end)
    return length
