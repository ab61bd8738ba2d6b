"""Whether an execution has kept to its budgets.

Every match of a budget is judged by itself, and one is enough to exceed it. A budget that cannot be
judged is not kept: nothing fits its pattern, it is relative and there is nothing to hold it
against, or nothing is known of what it limits. That is a warning, and an error where it is
required, so that a phase that was renamed does not pass for a fast one. It is one as well where
nothing is known because spans were not stored: what was to be judged is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from math import inf, isclose
from typing import Final, Literal, NamedTuple

from phasetrace.breakdowns import ExecutionHeader
from phasetrace.budgets.amounts import Amount, Unit
from phasetrace.budgets.baseline import Baseline
from phasetrace.budgets.budget import DEFAULT_QUANTITY, STATUS, WARN, Budget, misspelt, name_of
from phasetrace.budgets.figures import (
    GROUP_QUANTITIES,
    OF_MODELS,
    Figure,
    Figures,
    Measured,
    Row,
)
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

    ``limit`` is None without the baseline that it takes. ``unpriced`` are the tokens without a
    price, and ``models`` what they are of; ``lost`` is how many of the execution's spans were not
    stored, where that is why there is no figure. ``status`` is the execution's, where that is what
    is judged.
    """

    one: PhaseKey | None
    outcome: Outcome
    figure: Figure
    limit: Figure = None
    baseline: Figure = None
    unpriced: int = 0
    models: tuple[str, ...] = ()
    lost: int = 0
    status: str = ""

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

    ``nearest`` are names that a pattern without a match may have meant, and ``meant`` is the key
    that its own may be a mistake for; ``has_baseline`` tells whether there was any baseline.
    """

    budget: Budget
    level: Level
    outcome: Outcome
    worst: Match | None
    matches: tuple[Match, ...]
    nearest: tuple[str, ...] = ()
    has_baseline: bool = False
    meant: str = ""

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
    lost: int = 0
    """How many of the execution's spans were not stored."""

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
    judgements = tuple(
        _of_status(budget, measured.execution)
        if budget.quantity == STATUS
        else _judged(budget, measured, baseline)
        for budget in budgets
    )
    held = baseline.exec_ids if baseline else None
    return Report(measured.execution, judgements, held, measured.lost)


def _of_status(budget: Budget, execution: ExecutionHeader) -> Judgement:
    is_well = execution.status == "ok"
    outcome: Outcome = KEPT if is_well else EXCEEDED
    match = Match(None, outcome, int(not is_well), 0, status=execution.status)
    return Judgement(budget, _level(budget, match), outcome, match, (match,))


def _judged(budget: Budget, measured: Measured, baseline: Baseline | None) -> Judgement:
    figures = measured.figures
    rows = _rows(budget, figures)
    before = _rows(budget, baseline.figures) if baseline else {}
    matches = tuple(
        _match(budget, one, row, before.get(one, {}).get(budget.quantity), measured)
        for one, row in rows.items()
    )
    if budget.quantity in OF_MODELS:  # what calls no models is not asked what they took
        matches = tuple(one for one in matches if one.is_known or one.unpriced) or matches[:1]
    if not matches:
        level = Level.FAIL if budget.required else Level.WARN
        meant = _meant(budget, figures)
        near = _near(budget, figures) if not meant else ()
        return Judgement(budget, level, NO_MATCH, None, (), near, meant=meant)
    worst = max(matches, key=lambda match: _badness(budget, match))
    level = _level(budget, worst)
    return Judgement(budget, level, worst.outcome, worst, matches, (), baseline is not None)


def _rows(budget: Budget, figures: Figures) -> Mapping[PhaseKey | None, Row]:
    if budget.scope == "execution":
        return {None: figures.whole}
    groups = figures.nodes if budget.scope == "node" else figures.phases
    return {one: row for one, row in groups.items() if budget.fits(one)}


def _match(
    budget: Budget, one: PhaseKey | None, row: Row, before: Figure, measured: Measured
) -> Match:
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
    models = measured.figures.unpriced.get(one, ()) if unpriced else ()
    lost = measured.lost if figure is None else 0
    return Match(one, outcome, figure, limit, before, unpriced, models, lost)


def _exceeds(figure: Amount, limit: Amount) -> bool:
    if isinstance(figure, int) and isinstance(limit, int):
        return figure > limit
    return figure > limit and not isclose(figure, limit, rel_tol=_ROUNDING)


def _level(budget: Budget, match: Match) -> Level:
    if match.outcome == KEPT:
        return Level.OK
    if match.outcome == EXCEEDED or (match.lost and not budget.required):
        return Level.WARN if budget.severity == WARN else Level.FAIL
    return Level.FAIL if budget.required else Level.WARN


def _badness(budget: Budget, match: Match) -> tuple[Level, bool, float, Amount]:
    is_exceeded = match.outcome == EXCEEDED
    return _level(budget, match), is_exceeded, match.used, match.figure or 0


def _meant(budget: Budget, figures: Figures) -> str:
    """Return the key that a budget without a match may have meant; empty for none."""
    if budget.scope != "node":
        return ""
    of_phases = budget._replace(scope="phase", pattern=f"*/{budget.pattern}")
    if any(map(of_phases.fits, figures.keys)):
        return f"*/{budget.key}"
    if budget.key != budget.pattern:
        return ""
    if budget.key in GROUP_QUANTITIES:
        return f"*:{budget.key}" if budget.key != DEFAULT_QUANTITY else ""
    return misspelt(budget.key)


def _near(budget: Budget, figures: Figures) -> tuple[str, ...]:
    """Return what a pattern may have meant, by what is left of it without its wildcards."""
    import difflib

    groups = figures.nodes if budget.scope == "node" else figures.phases
    names = [name_of(one) for one in groups]
    return tuple(difflib.get_close_matches(budget.pattern.strip("*"), names, _NEAREST, 0.5))
