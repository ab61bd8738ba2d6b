"""Whether an execution has kept to its budgets.

Every match of a budget is judged by itself, and one is enough to exceed it. A budget that cannot be
judged is not kept: nothing fits its pattern, it is relative and there is nothing to hold it
against, or nothing is known of what it limits. That is a warning, and an error where it is
required, so that a phase that was renamed does not pass for a fast one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from math import inf, isclose
from typing import Final, Literal, NamedTuple

from phasetrace.breakdowns import ExecutionHeader
from phasetrace.budgets.amounts import Amount, Unit
from phasetrace.budgets.baseline import Baseline
from phasetrace.budgets.budget import WARN, Budget, name_of
from phasetrace.budgets.figures import OF_MODELS, Figure, Figures, Measured, Row
from phasetrace.spans import PhaseKey

Outcome = Literal["kept", "exceeded", "no match", "no baseline", "no figure"]

KEPT: Final = "kept"
EXCEEDED: Final = "exceeded"
NO_MATCH: Final = "no match"
NO_BASELINE: Final = "no baseline"
NO_FIGURE: Final = "no figure"

_ROUNDING: Final = 1e-9
"""By how much of itself a sum of floats may be off."""
_NEAREST: Final = 2


class Level(IntEnum):
    """How bad it is."""

    OK = 0
    WARN = 1
    FAIL = 2


class Match(NamedTuple):
    """One thing that a budget is about; `one` is None for the whole execution.

    ``limit`` is None without the baseline that it takes, ``unpriced`` the tokens without a price.
    """

    one: PhaseKey | None
    outcome: Outcome
    figure: Figure
    limit: Figure = None
    baseline: Figure = None
    unpriced: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there is a figure."""
        return self.figure is not None

    @property
    def over(self) -> Amount:
        """By how much the limit is exceeded; 0 if it is not."""
        if self.outcome != EXCEEDED or self.figure is None or self.limit is None:
            return 0
        return self.figure - self.limit

    @property
    def used(self) -> float:
        """What part of the limit is used up."""
        if self.figure is None or self.limit is None:
            return 0.0
        if not self.limit:
            return inf if self.figure else 0.0
        return self.figure / self.limit


class Judgement(NamedTuple):
    """What became of a budget: its outcome is that of ``worst``, the worst of its matches.

    ``nearest`` are names that a pattern without a match may have meant; ``has_baseline`` tells
    whether there was any.
    """

    budget: Budget
    level: Level
    outcome: Outcome
    worst: Match | None
    matches: tuple[Match, ...]
    nearest: tuple[str, ...] = ()
    has_baseline: bool = False

    @property
    def exceeded(self) -> int:
        """How many matches have exceeded the limit."""
        return sum(match.outcome == EXCEEDED for match in self.matches)


class Report(NamedTuple):
    """An execution, and what became of each of its budgets."""

    execution: ExecutionHeader
    judgements: tuple[Judgement, ...]
    baseline: tuple[str, ...] | None = None
    """The ids of the executions that it was held against."""

    @property
    def passed(self) -> bool:
        """Whether no budget of severity error is exceeded, and none is missed that is required."""
        return not self.count(Level.FAIL)

    def count(self, level: Level) -> int:
        """Return how many budgets are at a level."""
        return sum(one.level is level for one in self.judgements)


def check(
    measured: Measured, budgets: Sequence[Budget], baseline: Baseline | None = None
) -> Report:
    """Judge an execution by its budgets.

    Raises:
        KeyError: naming a quantity that the figures' source cannot tell.
    """
    judgements = tuple(_judged(budget, measured.figures, baseline) for budget in budgets)
    return Report(measured.execution, judgements, baseline.exec_ids if baseline else None)


def _judged(budget: Budget, figures: Figures, baseline: Baseline | None) -> Judgement:
    rows = _rows(budget, figures)
    before = _rows(budget, baseline.figures) if baseline else {}
    matches = tuple(
        _match(budget, one, row, before.get(one, {}).get(budget.quantity))
        for one, row in rows.items()
    )
    if budget.quantity in OF_MODELS:  # what calls no models is not asked what they took
        matches = tuple(one for one in matches if one.is_known or one.unpriced) or matches[:1]
    if not matches:
        return Judgement(
            budget, _level(budget, NO_MATCH), NO_MATCH, None, (), _near(budget, figures)
        )
    worst = max(matches, key=lambda match: _badness(budget, match))
    level = _level(budget, worst.outcome)
    return Judgement(budget, level, worst.outcome, worst, matches, (), baseline is not None)


def _rows(budget: Budget, figures: Figures) -> Mapping[PhaseKey | None, Row]:
    if budget.scope == "execution":
        return {None: figures.whole}
    groups = figures.nodes if budget.scope == "node" else figures.phases
    return {one: row for one, row in groups.items() if budget.fits(one)}


def _match(budget: Budget, one: PhaseKey | None, row: Row, before: Figure) -> Match:
    figure = row[budget.quantity]
    unpriced = int(row.get("unpriced") or 0) if budget.unit is Unit.MONEY else 0
    limit = budget.limit.at(before)
    outcome: Outcome = KEPT
    if figure is None:
        outcome = NO_FIGURE
    elif limit is None:
        outcome = NO_BASELINE
    elif _exceeds(figure, limit):
        outcome = EXCEEDED
    elif unpriced:
        outcome = NO_FIGURE
    return Match(one, outcome, figure, limit, before, unpriced)


def _exceeds(figure: Amount, limit: Amount) -> bool:
    if isinstance(figure, int) and isinstance(limit, int):
        return figure > limit
    return figure > limit and not isclose(figure, limit, rel_tol=_ROUNDING)


def _level(budget: Budget, outcome: Outcome) -> Level:
    if outcome == KEPT:
        return Level.OK
    if outcome == EXCEEDED:
        return Level.WARN if budget.severity == WARN else Level.FAIL
    return Level.FAIL if budget.required else Level.WARN


def _badness(budget: Budget, match: Match) -> tuple[Level, bool, float, Amount]:
    is_exceeded = match.outcome == EXCEEDED
    return _level(budget, match.outcome), is_exceeded, match.used, match.figure or 0


def _near(budget: Budget, figures: Figures) -> tuple[str, ...]:
    """Return what a pattern may have meant, by what is left of it without its wildcards."""
    import difflib

    groups = figures.nodes if budget.scope == "node" else figures.phases
    names = [name_of(one) for one in groups]
    return tuple(difflib.get_close_matches(budget.pattern.strip("*"), names, _NEAREST, 0.5))
