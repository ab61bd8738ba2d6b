"""Test how executions are judged by budgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import Price
from phasetrace.breakdowns import OpenSpan
from phasetrace.budgets.baseline import baseline_of
from phasetrace.budgets.budget import parse_budgets
from phasetrace.budgets.evaluation import Judgement, Level, Report, check
from phasetrace.budgets.figures import Measured, figures_beside, figures_of_breakdown
from phasetrace.budgets.wording import against, explained, summary
from phasetrace.spans import PhaseKey, Usage
from tests.phasetrace.budgets.executions import (
    MS,
    PIPELINE,
    STARTED_NS,
    checked,
    measured,
    recording,
)

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
    assert said("plan/draft", "2s") == "2.43s, 430ms (21.5%) over 2s"


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
    assert said("*:total", "4.5s") == "<fetch>: 5.00s, 500ms (11.1%) over 4.5s; 1 of 2 over"
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


@pytest.mark.parametrize(
    ("key", "limit", "meant"),
    [
        ("dra*:critical", "1s", "*/dra*:critical"),
        ("download", "1s", "*/download"),
        ("duratoin", "1s", "duration"),
        ("p95", "1s", "*:p95"),
    ],
)
def test_a_key_that_may_be_a_mistake(key: str, limit: str, meant: str) -> None:
    """A phase without its node, a quantity that is misspelt, or that has no node."""
    assert said(key, limit).endswith(f"; did you mean <{meant}>?")
    assert judged(meant, limit).outcome != "no match"


def test_an_execution_that_did_not_end_well() -> None:
    """It is over, whatever else there is; as an error where it is asked for."""
    failed = recording(("a", None, 0, 1), status="error")
    one = judged("status", "ok", of=failed)
    assert (one.level, one.outcome, one.exceeded) == (Level.FAIL, "exceeded", 1)
    assert one.worst is not None
    assert (one.worst.figure, one.worst.limit, one.worst.over) == (1, 0, 1)
    assert said("status", "ok", of=failed) == (
        "the execution ended in error: it is judged by how far it came"
    )
    how = {"limit": "ok", "severity": "warn"}
    assert judged("status", how, of=failed).level is Level.WARN
    assert judged("status", "ok").level is Level.OK
    assert said("status", "ok") == "the execution ended well"


@pytest.mark.parametrize("status", ["cancelled", "running", "abandoned", "of a later version"])
def test_every_way_not_to_end_well(status: str) -> None:
    """Is told from having ended well."""
    of = recording(("a", None, 0, 1), status=status)
    assert judged("status", "ok", of=of).outcome == "exceeded"
    assert "ended well" not in said("status", "ok", of=of)


def hanging() -> Recording:
    """Return an execution that has run for 3 s, all of them in one call of a phase."""
    of = recording(("n", None, 0, 0), status="running", duration_ms=3_000)
    started_ns, now_ns = STARTED_NS, STARTED_NS + 3_000 * MS
    open_spans: list[OpenSpan] = [
        (1, None, started_ns, "execution"),
        (9, 1, started_ns, PhaseKey("n", "hung")),
    ]
    return of._replace(spans=of.spans[1:], open_spans=open_spans, now_ns=now_ns)


@pytest.mark.parametrize("quantity", ["total", "self", "max"])
def test_what_hangs_is_not_fast(quantity: str) -> None:
    """A call that is open counts with its time so far, in its phase and in its node."""
    how = {"of": hanging()}
    assert said(f"n/hung:{quantity}", "1s", **how) == "3.00s, 2.00s (200.0%) over 1s"
    assert judged("n:self", "1s", **how).outcome == "exceeded"
    assert judged("n/hung:count", 0, **how).outcome == "kept"


def test_no_call_has_ended() -> None:
    """There are no quantiles of nothing, which is not to have been fast."""
    for quantity in ("p50", "p95", "p99"):
        one = judged(f"n/hung:{quantity}", "1s", of=hanging())
        assert (one.level, one.outcome) == (Level.WARN, "no figure")
    assert said("n/hung:p95", "1s", of=hanging()) == (
        "no figure: no call has ended, so that there is no p95"
    )


def lossy(spans: int = 10) -> Measured:
    """Return the pipeline with three spans lost; so many are counted by its breakdown."""
    breakdown = replace(PIPELINE.breakdown(), spans=spans)
    return Measured(
        PIPELINE.execution, figures_beside(breakdown, PIPELINE._replace(lost=3)), lost=3
    )


@pytest.mark.parametrize(
    ("keys", "limit"),
    [
        ("duration fetch fetch:self fetch:p95 fetch/download:max fetch/download:p50", "1h"),
        ("fetch/download:p95 fetch/download:p99", "1h"),
        ("fetch:count fetch:errors fetch/download:cancelled spans errors", 99),
        ("fetch:share fetch/download:share unattributed", "100%"),
    ],
)
def test_spans_that_were_not_stored_were_counted(keys: str, limit: Any) -> None:
    """What a breakdown tells is judged by it."""
    budgets = parse_budgets(dict.fromkeys(keys.split(), limit), "here")
    assert {one.outcome for one in check(lossy(), budgets).judgements} == {"kept"}


@pytest.mark.parametrize(
    "key", ["critical_path", "cost", "tokens", "fetch:critical", "fetch:p50", "fetch/download:cost"]
)
def test_what_only_the_lost_spans_could_tell(key: str) -> None:
    """Is an error, as it cannot be judged by what is left; a budget that warns goes on warning."""
    limit = "1h" if not key.endswith(("cost", "tokens")) else 1
    for how, level in ((limit, Level.FAIL), ({"limit": limit, "severity": "warn"}, Level.WARN)):
        report = check(lossy(), parse_budgets({key: how}, "here"))
        assert report.lost == 3
        (one,) = report.judgements
        assert (one.outcome, one.level) == ("no figure", level)
        assert explained(one, str) == "no figure: 3 spans were not stored"


def test_what_nobody_has_counted() -> None:
    """Only the duration is known where the breakdown is without the lost spans as well."""
    budgets = parse_budgets({"duration": "1h", "fetch": "1h", "errors": 9}, "here")
    outcomes = [one.outcome for one in check(lossy(spans=7), budgets).judgements]
    assert outcomes == ["kept", "no figure", "no figure"]


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
        "<fetch>: 5.00s, 600ms (13.6%) over 4.40s (+10% on 4.00s); 1 of 2 over"
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
    assert said("cost", "0.01", prices=PRICES) == "0.012, 0.002 (20.0%) over 0.01"
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
    assert said("cost", 1) == "no figure: no price is known for 4,200 tokens of <gpt-4o>"
    mixed = recording(
        ("a", "p", 0, 1, Usage(1_000_000, 0, "gpt-4o")), ("a", "p", 1, 2, Usage(7, 0, "other"))
    )
    assert said("cost", 5, of=mixed, prices=PRICES) == (
        "no figure: no price is known for 7 tokens of <other>, 2.50 for the others"
    )
    assert judged("cost", 2, of=mixed, prices=PRICES).outcome == "exceeded"


def test_models_without_a_price_are_named() -> None:
    """Three of them at most, those with most tokens first; and each match has its own."""
    calls = [("a", "p", at, at + 1, Usage(10 - at, 0, f"m{at}")) for at in range(5)]
    of = recording(*calls, ("b", "q", 5, 6, Usage(1, 0, None)))
    assert said("cost", 1, of=of) == (
        "no figure: no price is known for 41 tokens of <m0>, <m1>, <m2> and 3 more"
    )
    assert said("b:cost", 1, of=of) == "no figure: no price is known for 1 tokens of <?>"
    assert said("b/q:cost", 1, of=of) == "no figure: no price is known for 1 tokens of <?>"


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
