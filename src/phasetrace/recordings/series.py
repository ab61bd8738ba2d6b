"""What a workflow, or a part of it, has taken over its runs: a value for each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple

from phasetrace import history
from phasetrace.breakdowns import ExecutionBreakdown, NodeBreakdown, PhaseBreakdown
from phasetrace.errors import UsageError
from phasetrace.recordings.source import Source
from phasetrace.spans import key_of
from phasetrace.store.stored import StoredExecution

MILLION: Final = 1_000_000

_NAMED: Final = 10
"""How many of the phases that there are will do."""


class Quantity(NamedTuple):
    """What is looked at: its name, what it is counted in, and what it is called in a sentence."""

    name: str
    unit: Literal["ns", "millionths"]
    title: str


QUANTITIES: Final = {
    quantity.name: quantity
    for quantity in (
        Quantity("total", "ns", "total time"),
        Quantity("self", "ns", "self time"),
        Quantity("share", "millionths", "share of the execution"),
        Quantity("p95", "ns", "95th percentile"),
        Quantity("critical", "ns", "time on the critical path"),
    )
}


class Run(NamedTuple):
    """One execution, and its value in the unit of the quantity; None where it has none."""

    execution: StoredExecution
    value: int | None

    @property
    def is_sound(self) -> bool:
        """Whether it is a measure: it has a value, and ended well."""
        return self.value is not None and self.execution.status == "ok"


class Series(NamedTuple):
    """The runs of a workflow, the latest first.

    Without a ``phase`` the values are the durations of the runs. ``phase`` may be a node, too.
    """

    name: str
    phase: str | None
    quantity: Quantity
    runs: tuple[Run, ...]

    def values(self) -> list[int]:
        """Return the values of the runs that ended well: the others took what they took."""
        return [run.value for run in self.runs if run.is_sound and run.value is not None]

    def summary(self) -> history.Usual | None:
        """Return what the runs took that ended well; None without any."""
        values = self.values()
        return history.summary(values) if values else None

    def change(self) -> history.Change | None:
        """Return the step among the last runs, if there is one."""
        return history.change(self.values())

    def since(self, change: history.Change) -> StoredExecution:
        """Return the first run after a step."""
        sound = (run for run in self.runs if run.is_sound)
        return next(islice(sound, change.recent - 1, None)).execution

    def verdict(self) -> history.Verdict | None:
        """Return how the latest run compares with those before it; None of what is no time.

        With those since the last step, if there is one among them.
        """
        if self.quantity.unit != "ns" or not self.runs or self.runs[0].value is None:
            return None
        latest = self.runs[0]
        before = self._replace(runs=self.runs[1:]).values()
        step = history.change(before)
        usual = history.usual(before if step is None else before[: step.recent])
        return history.judge_run(latest.execution.status, latest.value or 0, usual)


def series_of(
    source: Source,
    name: str,
    executions: Sequence[StoredExecution],
    phase: str | None = None,
    of: str = "total",
) -> Series:
    """Return the series of some executions, the latest of which is the first.

    Raises:
        UsageError: if no run has anything to say of a phase or node that is called `phase`.
    """
    quantity = QUANTITIES[of]
    if phase is None:
        runs = [Run(execution, execution.duration_ns) for execution in executions]
    elif of == "critical":
        runs = [Run(one, _critical_ns(source, one, phase)) for one in executions]
    else:
        runs = [Run(one, _value(source.breakdown(one), phase, of)) for one in executions]
    if phase is not None and all(run.value is None for run in runs):
        raise UsageError(_why_nothing(source, name, executions, phase, of))
    return Series(name, phase, quantity, tuple(runs))


def _value(breakdown: ExecutionBreakdown, phase: str, of: str) -> int | None:
    row = _row(breakdown, phase)
    if row is None:
        return None
    if of == "share":
        return round(row.share * MILLION)
    if of == "total" and isinstance(row, NodeBreakdown):
        return row.total_ns  # that of its phases where it has no calls of its own
    if not row.count:
        return None
    return {"total": row.total_ns, "self": row.self_ns, "p95": row.p95_ns}[of]


def _row(breakdown: ExecutionBreakdown, phase: str) -> NodeBreakdown | PhaseBreakdown | None:
    for node in breakdown.nodes:
        for row in node.phases:
            if phase == f"{node.node_id}/{row.phase}":
                return row
    return next((node for node in breakdown.nodes if node.node_id == phase), None)


def _critical_ns(source: Source, execution: StoredExecution, phase: str) -> int | None:
    """Return what a phase, or a node with its phases, owns of the critical path."""
    from phasetrace.analysis.execution import Examination

    recording = source.recording(execution)
    keys = {key for key in map(key_of, recording.spans) if key is not None}
    own = {key for key in keys if phase == f"{key.node_id}/{key.phase}"} or {
        key for key in keys if phase == key.node_id
    }
    if not own:
        return None
    critical = Examination(recording).critical
    return sum(critical.by_key.get(key, 0) for key in own)


def _why_nothing(
    source: Source, name: str, executions: Sequence[StoredExecution], phase: str, of: str
) -> str:
    from difflib import get_close_matches

    runs = f"the last {len(executions)} runs" if len(executions) > 1 else "the only run"
    known = [
        label
        for node in source.breakdown(executions[0]).nodes
        for label in (node.node_id, *(f"{node.node_id}/{row.phase}" for row in node.phases))
    ]
    if phase in known:
        return f"no call of {phase!r} has ended in {runs} of {name!r}, so that it has no {of}"
    message = f"{phase!r} is not in {runs} of {name!r}"
    near = get_close_matches(phase, known, 3, 0.5)
    if near:
        return f"{message}; did you mean {' or '.join(map(repr, near))}?"
    if not known:
        return f"{message}; the latest has no nodes"
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f"{message}; the latest has {', '.join(map(repr, known[:_NAMED]))}{more}"
