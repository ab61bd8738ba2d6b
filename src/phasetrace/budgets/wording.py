"""What is said of a budget that was judged, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phasetrace.budgets.amounts import Amount, percent, readable
from phasetrace.budgets.budget import STATUS, name_of
from phasetrace.budgets.evaluation import (
    EXCEEDED,
    KEPT,
    NO_BASELINE,
    Judgement,
    Level,
    Match,
    Report,
)
from phasetrace.budgets.figures import OF_MODELS

Named = Callable[[str], str]
"""How a name that comes from spans is written: it is untrusted."""

MARKS = {Level.OK: "ok", Level.WARN: "warn", Level.FAIL: "FAIL"}
"""What stands before a budget; told apart without colours."""

HOW_IT_ENDED = {
    "ok": "the execution ended well",
    "error": "the execution ended in error: it is judged by how far it came",
    "cancelled": "the execution was cancelled: it is judged by how far it came",
    "abandoned": "the execution never ended, and its process is gone: it is judged by how far it"
    " came",
    "running": "the execution goes on: it is judged by how far it has come",
}
"""What is said of an execution by its status."""

_MOST_MODELS = 3


def explained(judgement: Judgement, named: Named) -> str:
    """Return what became of a budget, in a line: the worst match, and by how much."""
    budget, worst = judgement.budget, judgement.worst
    if worst is None:
        text = f"no match: there is no {budget.scope} {named(budget.pattern)}"
        if judgement.meant:
            text += f"; did you mean {named(judgement.meant)}?"
        elif judgement.nearest:
            text += f"; there is {' and '.join(map(named, judgement.nearest))}"
        return text
    if budget.quantity == STATUS:
        return HOW_IT_ENDED.get(worst.status, f"the execution is {named(worst.status)}")
    who = _who(judgement, worst, named)
    number = len(judgement.matches)
    if worst.outcome == EXCEEDED and worst.limit is not None:
        text = f"{who}{_figure(judgement, worst)}"
        if worst.limit:
            over = percent(worst.over / worst.limit)
            text += f", {readable(worst.over, budget.unit)} ({over})"
        several = f"; {judgement.exceeded} of {number} over" if number > 1 else ""
        return f"{text} over {_limit(judgement, worst)}{several}"
    if worst.outcome == KEPT:
        several = f"; the worst of {number}" if number > 1 else ""
        return f"{who}{_figure(judgement, worst)} within {_limit(judgement, worst)}{several}"
    if worst.outcome == NO_BASELINE:
        if judgement.has_baseline:
            why = "it is not in the baseline" if who else "the baseline has none"
        else:
            why = f"none was given that {budget.limit.text} could be held against"
        return f"no baseline: {who}{_figure(judgement, worst)}; {why}"
    return f"no figure: {who}{_why(judgement, worst, named)}"


def summary(report: Report) -> str:
    """Return how many budgets there are at each level: ``4 budgets: 1 FAIL, 3 ok``."""
    number = len(report.judgements)
    counted = [f"{report.count(level)} {MARKS[level]}" for level in reversed(Level)]
    parts = [text for text in counted if not text.startswith("0 ")]
    return f"{number} budget{'' if number == 1 else 's'}: {', '.join(parts) or 'none'}"


def against(report: Report, named: Named) -> str:
    """Return what an execution was held against; empty for nothing."""
    if report.baseline is None:
        return ""
    if len(report.baseline) == 1:
        return f"against {named(report.baseline[0])}"
    return f"against the medians of {len(report.baseline)} executions"


def lost_text(report: Report) -> str:
    """Return how many spans were not stored."""
    return _lost(report.lost)


def _lost(lost: int) -> str:
    return f"{lost:,} span{'s were' if lost > 1 else ' was'} not stored"


def _why(judgement: Judgement, match: Match, named: Named) -> str:
    """Return why there is no figure."""
    quantity = judgement.budget.quantity
    if match.lost:
        return _lost(match.lost)
    if quantity not in OF_MODELS:
        return f"no call has ended, so that there is no {quantity}"
    if not match.unpriced:
        return "no call of a model says what it took"
    of = f" of {_listed(match.models, named)}" if match.models else ""
    known = f", {_figure(judgement, match)} for the others" if match.is_known else ""
    return f"no price is known for {match.unpriced:,} tokens{of}{known}"


def _listed(models: Sequence[str], named: Named) -> str:
    shown = [named(model) for model in models[:_MOST_MODELS]]
    if len(models) > _MOST_MODELS:
        shown.append(f"{len(models) - _MOST_MODELS} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _who(judgement: Judgement, match: Match, named: Named) -> str:
    """Return whose figure it is, where the budget does not say so itself."""
    if match.one is None or name_of(match.one) == judgement.budget.pattern:
        return ""
    return f"{named(name_of(match.one))}: "


def _figure(judgement: Judgement, match: Match) -> str:
    figure: Amount = 0 if match.figure is None else match.figure
    return readable(figure, judgement.budget.unit)


def _limit(judgement: Judgement, match: Match) -> str:
    limit, unit = judgement.budget.limit, judgement.budget.unit
    if not limit.is_relative or match.limit is None or match.baseline is None:
        return limit.text
    most, before = readable(match.limit, unit), readable(match.baseline, unit)
    return f"{most} ({limit.text} on {before})"
