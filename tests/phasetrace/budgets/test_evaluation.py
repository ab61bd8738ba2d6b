"""Test how executions are judged by budgets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.usage import Price
from phasetrace.budgets.baseline import baseline_of
from phasetrace.budgets.budget import parse_budgets
from phasetrace.budgets.evaluation import Judgement, Level, Report, check
from phasetrace.budgets.figures import Measured, figures_of_breakdown
from phasetrace.budgets.wording import against, explained, summary
from phasetrace.spans import PhaseKey, Usage
from tests.phasetrace.budgets.executions import MS, PIPELINE, checked, measured, recording

PRICES = {"gpt-*": Price(2.5, 10.0)}


def judged(key: str, limit: object, **how: Any) -> Judgement:
    """Return what becomes of one budget of the pipeline."""
    (one,) = checked(how.pop("of", PIPELINE), {key: limit}, **how).judgements
    return one


def said(key: str, limit: object, **how: Any) -> str:
    """Return what is said of it."""
    return explained(judged(key, limit, **how), lambda name: f"<{name}>")


def test_what_is_over() -> None:
    """By how much, and over what."""
    one = judged("plan/draft", "2s")
    assert (one.level, one.outcome) == (Level.FAIL, "exceeded")
    assert one.worst is not None
    assert one.worst.over == 430 * MS
    assert said("plan/draft", "2s") == "2.43s, 430ms (21.5 %) over 2s"


def test_a_limit_may_be_reached() -> None:
    """It is the most that there may be."""
    assert judged("plan/draft", "2430ms").outcome == "kept"
    assert judged("plan/draft", "2429.999999ms").outcome == "exceeded"
    assert judged("unattributed", "10%").outcome == "kept"


def test_each_match_by_itself() -> None:
    """The worst is named; a sum of all has no say."""
    one = judged("*:total", "4.5s")
    assert len(one.matches) == 2
    assert one.worst is not None
    assert one.worst.one == PhaseKey("fetch", None)
    assert said("*:total", "4.5s") == "<fetch>: 5.00s, 500ms (11.1 %) over 4.5s; 1 of 2 over"
    assert said("*:total", "6s") == "<fetch>: 5.00s within 6s; the worst of 2"
    assert judged("*:total", "6s").level is Level.OK


def test_a_budget_that_is_a_warning() -> None:
    """It fails nothing."""
    report = checked(PIPELINE, {"plan": {"limit": "1s", "severity": "warn"}})
    assert report.judgements[0].level is Level.WARN
    assert report.judgements[0].outcome == "exceeded"
    assert report.passed


def test_nothing_fits() -> None:
    """A warning that says what there is, and an error where it is required."""
    one = judged("plan/drafts*", "2s")
    assert (one.level, one.outcome, one.worst) == (Level.WARN, "no match", None)
    assert said("plan/drafts*", "2s") == (
        "no match: there is no phase <plan/drafts*>; there is <plan/draft> and <plan/outline>"
    )
    assert said("xyz", "2s") == "no match: there is no node <xyz>"
    required = judged("xyz", {"limit": "2s", "required": True})
    assert required.level is Level.FAIL
    assert judged("xyz", {"limit": "2s", "severity": "warn"}).level is Level.WARN


def test_nothing_allowed() -> None:
    """A limit of 0 is exceeded by anything, without a percentage."""
    assert said("errors", 0) == "1 over 0"
    assert judged("cancelled", 0).outcome == "kept"
    assert said("cancelled", 0) == "0 within 0"


def test_against_a_baseline() -> None:
    """Each match against what it was itself."""
    before = recording(
        ("plan", None, 0, 4_000),
        ("fetch", None, 4_000, 8_000),
        exec_id="exec_0",
    )
    baseline = baseline_of([measured(before)])
    assert judged("plan", "+0%", baseline=baseline).outcome == "kept"
    assert said("plan", "+0%", baseline=baseline) == "4.00s within 4.00s (+0% on 4.00s)"
    assert said("*", "+10%", baseline=baseline) == (
        "<fetch>: 5.00s, 600ms (13.6 %) over 4.40s (+10% on 4.00s); 1 of 2 over"
    )
    assert judged("fetch", "+1s", baseline=baseline).outcome == "kept"
    assert judged("fetch", "+999ms", baseline=baseline).outcome == "exceeded"
    report = checked(PIPELINE, {"fetch": "+1s"}, baseline)
    assert against(report, str) == "against exec_0"


def test_no_baseline() -> None:
    """A warning, or an error where it is required."""
    assert judged("plan", "+10%").outcome == "no baseline"
    assert judged("plan", "+10%").level is Level.WARN
    assert judged("plan", {"limit": "+10%", "required": True}).level is Level.FAIL
    assert said("plan", "+10%") == (
        "no baseline: 4.00s; none was given that +10% could be held against"
    )


def test_what_the_baseline_does_not_have() -> None:
    """What is new is not judged, and does not hide that something else is over."""
    baseline = baseline_of([measured(recording(("fetch", None, 0, 1_000)))])
    assert said("plan", "+10%", baseline=baseline) == ("no baseline: 4.00s; the baseline has none")
    assert judged("*", "+10%", baseline=baseline).outcome == "exceeded"
    assert said("*", "+10000%", baseline=baseline) == (
        "no baseline: <plan>: 4.00s; it is not in the baseline"
    )


def test_costs() -> None:
    """By the prices that are known."""
    assert said("cost", "0.01", prices=PRICES) == "0.012, 0.002 (20.0 %) over 0.01"
    assert judged("cost", "0.012", prices=PRICES).outcome == "kept"
    assert judged("fetch:cost", 0.0125, prices=PRICES).outcome == "kept"


def test_sums_of_floats() -> None:
    """0.1 and 0.2 are not over 0.3."""
    of = recording(("a", "p", 0, 1, Usage(cost=0.1)), ("a", "p", 1, 2, Usage(cost=0.2)))
    assert judged("cost", "0.3", of=of).outcome == "kept"
    assert judged("cost", "0.299999", of=of).outcome == "exceeded"


def test_a_cost_that_is_not_known() -> None:
    """It does not pass for none."""
    assert judged("cost", 1).outcome == "no figure"
    assert said("cost", 1) == "no figure: no price is known for 4,200 tokens"
    mixed = recording(
        ("a", "p", 0, 1, Usage(1_000_000, 0, "gpt-4o")), ("a", "p", 1, 2, Usage(7, 0, "other"))
    )
    assert said("cost", 5, of=mixed, prices=PRICES) == (
        "no figure: no price is known for 7 tokens, 2.50 for the others"
    )
    assert judged("cost", 2, of=mixed, prices=PRICES).outcome == "exceeded"


def test_no_model_was_called() -> None:
    """A budget of tokens says so, unless something else that fits has called one."""
    silent = recording(("a", None, 0, 1))
    assert said("tokens", 5, of=silent) == "no figure: no call of a model says what it took"
    assert judged("*:tokens", 5, of=silent).level is Level.WARN
    one = judged("*:tokens", 5_000)
    assert one.outcome == "kept"
    assert [match.one for match in one.matches] == [PhaseKey("fetch", None)]


def test_the_worst_is_what_fails() -> None:
    """What is over is worse than what cannot be judged, unless only that is an error."""
    baseline = baseline_of([measured(recording(("fetch", None, 0, 1_000)))])
    how = {"limit": "+10%", "severity": "warn", "required": True}
    assert judged("*", how, baseline=baseline).outcome == "no baseline"
    how = {"limit": "+10%", "severity": "warn"}
    assert judged("*", how, baseline=baseline).outcome == "exceeded"


def test_what_is_counted() -> None:
    """The budgets at each level."""
    report = checked(PIPELINE, {"plan": "1s", "fetch": "9s", "errors": 1, "gone": "1s"})
    assert summary(report) == "4 budgets: 1 FAIL, 1 warn, 2 ok"
    assert not report.passed
    assert summary(checked(PIPELINE, {"plan": "5s"})) == "1 budget: 1 ok"
    assert summary(Report(report.execution, ())) == "0 budgets: none"


@given(
    st.lists(st.integers(0, 1_000), min_size=1, max_size=6),
    st.integers(0, 1_000),
    st.booleans(),
)
def test_against_the_definition(durations: list[int], limit: int, is_warning: bool) -> None:
    """Over if any is; the worst is the longest."""
    of = recording(*((f"n{i}", None, 0, ms) for i, ms in enumerate(durations)))
    how = {"limit": f"{limit}ms", "severity": "warn" if is_warning else "error"}
    one = judged("n*", how, of=of)
    over = [ms for ms in durations if ms > limit]
    assert one.exceeded == len(over)
    assert one.outcome == ("exceeded" if over else "kept")
    assert one.level is (Level.OK if not over else Level.WARN if is_warning else Level.FAIL)
    assert one.worst is not None
    assert one.worst.figure == max(durations) * MS
    assert one.worst.over == max(0, max(durations) - limit) * MS


def test_a_quantity_that_the_figures_do_not_have() -> None:
    """It is named."""
    only_some = Measured(PIPELINE.execution, figures_of_breakdown(PIPELINE.breakdown()))
    with pytest.raises(KeyError, match="critical_path"):
        check(only_some, parse_budgets({"critical_path": "1s"}, "here"))
