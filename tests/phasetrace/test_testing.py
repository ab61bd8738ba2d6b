"""Test what phasetrace offers to the tests of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import phasetrace
from phasetrace import configuration, execution, node, phase, time_phase
from phasetrace.analysis.usage import Price
from phasetrace.errors import ConfigError, UnknownExecution
from phasetrace.testing import STARTED_NS, Captured, assert_budget, capture, captured_phases

__all__ = ["captured_phases"]


def test_time_passes_when_the_test_says_so(captured_phases: Captured) -> None:
    """Durations are what was said, to the nanosecond."""
    with execution("e"), node("n"):
        captured_phases.advance(1)
        with phase("p"):
            captured_phases.advance(0.25)
    span = captured_phases.named("p")
    assert (span.start_time, span.end_time) == (STARTED_NS + 10**9, STARTED_NS + 125 * 10**7)
    (found,) = captured_phases.breakdown("e").nodes
    assert (found.self_ns, found.phases[0].total_ns) == (10**9, 250_000_000)


def test_measurements_and_phases_named_by_id_have_that_clock_too(
    captured_phases: Captured,
) -> None:
    """Whichever way a span is made."""
    with time_phase("e", "n", "p") as span:
        captured_phases.advance(2)
        span.add_event("at")
    phasetrace.timing_collector.record("e", "n", "q", 1500.0)
    assert captured_phases.named("q").end_time == STARTED_NS + 2 * 10**9
    assert captured_phases.named("p").end_time == STARTED_NS + 2 * 10**9


def test_ids_are_counted() -> None:
    """They are the same in every run."""

    def ids() -> list[int]:
        with capture() as captured:
            with execution("e"), node("n"), phase("p"):
                pass
            contexts = [span.get_span_context() for span in captured.spans]
        return [context.span_id for context in contexts if context is not None]

    assert ids() == ids()
    assert ids()[:2] == [2, 1]


def test_what_is_not_there_is_said(captured_phases: Captured) -> None:
    """With what there is."""
    with time_phase("e", "n", "p"):
        pass
    with pytest.raises(LookupError, match="0 spans are called 'q'; there are 'p'"):
        captured_phases.named("q")


def test_nothing_is_left_behind() -> None:
    """Neither a configuration, nor a provider, nor numbers."""
    with capture():
        with time_phase("e", "n", "p"):
            pass
        assert isinstance(trace.get_tracer_provider(), phasetrace.TracerProvider)
    assert configuration.latest_tracing() is None
    assert trace._TRACER_PROVIDER is None
    assert not phasetrace.timing_collector.executions()


def test_many_configurations_one_after_another(tmp_path: Path) -> None:
    """A test run of many tests, each with its own capture, and one without any."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["phasetrace.testing"]\n')
    (tmp_path / "test_many.py").write_text(
        """
import os, pytest, phasetrace
from phasetrace import time_phase

@pytest.mark.parametrize("number", range(20))
def test_captured(captured_phases, number):
    with time_phase("e", "n", f"p{number}"):
        captured_phases.advance(number)
    assert [one.name for one in captured_phases.spans] == [f"p{number}"]

def test_configured(tmp_path):
    phasetrace.configure(store=tmp_path / "t.db")
    with time_phase("e", "n", "p"):
        pass
    assert phasetrace.force_flush()
    assert (tmp_path / "t.db").exists()

def test_captured_again(captured_phases):
    assert captured_phases.spans == []
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "22 passed" in done.stdout, done.stdout + done.stderr


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine has that the tests run on."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("TRACEPARENT", f"00-{1:032x}-{1:016x}-00")
    monkeypatch.setenv("PHASETRACE", "exec_id=another")
    with capture() as captured:
        with time_phase("e", "n", "p"):
            pass
        assert dict(captured.named("p").attributes or {}) == {"exec_id": "e", "node_id": "n"}


def test_a_provider_of_the_test_suite_s_is_there_again() -> None:
    """It was set once, for all tests."""
    theirs = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(theirs)
    with capture(), time_phase("e", "n", "p"):
        assert trace.get_tracer_provider() is not theirs
    assert trace.get_tracer_provider() is theirs


def run_pipeline(captured: Captured, exec_id: str = "e") -> None:
    """Record 6 s of fetching, 2.43 s of which is a download, after 1 s of nothing."""
    with execution(exec_id):
        captured.advance(1)
        with node("plan"):
            captured.advance(1)
        with node("fetch", depends_on=["plan"]):
            with phase("download") as span:
                span.set_attribute("gen_ai.usage.input_tokens", 2_000_000)
                span.set_attribute("gen_ai.request.model", "m")
                captured.advance(2.43)
            captured.advance(3.57)


def test_budgets_that_are_kept(captured_phases: Captured) -> None:
    """By id, by what was captured, or by anything that can be worked out of it."""
    run_pipeline(captured_phases)
    budgets = {"fetch/download:p95": "2430ms", "*:total": "6s", "unattributed": "13%"}
    recording = captured_phases.recording("e")
    for one in ("e", captured_phases, recording, captured_phases.breakdown("e")):
        assert_budget(one, budgets)


def test_budgets_that_are_not_kept(captured_phases: Captured) -> None:
    """All of them are named."""
    run_pipeline(captured_phases)
    with pytest.raises(AssertionError) as raised:
        assert_budget("e", {"fetch/download": "2s", "fetch": "9s", "*:max": "5s", "plna": "1s"})
    assert str(raised.value).splitlines() == [
        "e has not kept to its budgets",
        "  fetch/download: 2.43s, 430ms (21.5%) over 2s",
        "  *:max: fetch: 6.00s, 1.00s (20.0%) over 5s; 1 of 2 over",
        "  plna: no match: there is no node plna; there is plan",
    ]


def test_what_takes_single_spans_is_known_within_a_capture(captured_phases: Captured) -> None:
    """The critical path, and what models took; but a breakdown has no spans."""
    run_pipeline(captured_phases)
    prices = {"m": Price(2.5, 10.0)}
    budgets = {"critical_path": "7s", "fetch:critical": "6s", "cost": 5, "tokens": 2_000_000}
    assert_budget("e", budgets, prices=prices)
    with pytest.raises(AssertionError, match=r"cost: 5.00, 1.00 \(25.0%\) over 4"):
        assert_budget("e", {"cost": 4}, prices=prices)
    with pytest.raises(ValueError, match="a breakdown does not know 'critical_path'; give the cap"):
        assert_budget(captured_phases.breakdown("e"), {"critical_path": "7s"})


def test_budgets_that_only_warn(captured_phases: Captured) -> None:
    """Each, or all of them; and those that need not fit anything."""
    run_pipeline(captured_phases)
    with pytest.warns(UserWarning, match="fetch: 6.00s, 1.00s .* over 5s"):
        assert_budget("e", {"fetch": {"limit": "5s", "severity": "warn"}})
    with pytest.warns(UserWarning, match="fetch: 6.00s"):
        assert_budget("e", {"fetch": "5s"}, severity="warn")
    with pytest.warns(UserWarning, match="no match"):
        assert_budget("e", {"get": "5s"}, required=False)


def test_budgets_that_make_no_sense(captured_phases: Captured) -> None:
    """They are no failure of what is tested."""
    run_pipeline(captured_phases)
    with pytest.raises(ConfigError, match='assert_budget: a budget is wrong: "fetch" = 5'):
        assert_budget("e", {"fetch": 5})
    with pytest.raises(UnknownExecution):
        assert_budget("f", {"fetch": "5s"})


def test_budgets_of_a_capture_of_several_executions(captured_phases: Captured) -> None:
    """It has to be said which is meant."""
    run_pipeline(captured_phases, "e1")
    run_pipeline(captured_phases, "e2")
    with pytest.raises(LookupError, match="2 executions were recorded: 'e1', 'e2'; say which"):
        assert_budget(captured_phases, {"fetch": "9s"})
    assert_budget("e2", {"fetch": "9s"})


def test_what_was_captured_of_an_execution(captured_phases: Captured) -> None:
    """Its spans with what they say; the same numbers as in its breakdown."""
    run_pipeline(captured_phases, "e1")
    run_pipeline(captured_phases)
    recording = captured_phases.recording("e")
    assert recording.breakdown() == captured_phases.breakdown("e")
    by_name = {span.name: span for span in recording.spans}
    assert by_name["fetch"].depends_on == ("plan",)
    assert by_name["download"].usage == (2_000_000, 0, "m", None)
    assert recording.root_id == by_name["e"].span_id


def test_budgets_of_what_is_in_the_store(tmp_path: Path) -> None:
    """Outside of a capture, with all that takes spans; and without a store what does not."""
    phasetrace.configure(store=tmp_path / "t.db")
    with execution("e"):
        phasetrace.timing_collector.record("e", "n", "p", 1500.0)
    assert_budget("e", {"n/p": "1.5s", "spans": 2})
    with pytest.raises(AssertionError, match=r"1\.50s, 500ms"):
        assert_budget("e", {"n/p": "1s", "critical_path": "9s"})
    with pytest.raises(UnknownExecution):
        assert_budget("another", {"n/p": "1s"})


def test_budgets_without_a_store() -> None:
    """By what this process has."""
    phasetrace.configure(store=False)
    phasetrace.timing_collector.record("e", "n", "p", 1500.0)
    assert_budget("e", {"n/p": "1.5s"})
    with pytest.raises(AssertionError, match=r"1\.50s, 500ms"):
        assert_budget("e", {"n/p": "1s"})


def test_budgets_against_a_baseline(captured_phases: Captured, tmp_path: Path) -> None:
    """As `phasetrace check --save-baseline` saves one."""
    from phasetrace.analysis.execution import Examination
    from phasetrace.budgets.baseline import baseline_document
    from phasetrace.budgets.figures import Measured, figures_of

    run_pipeline(captured_phases)
    recording = captured_phases.recording("e")
    measured = Measured(recording.execution, figures_of(Examination(recording)))
    path = tmp_path / "base.json"
    path.write_text(json.dumps(baseline_document([measured])))
    assert_budget("e", {"*/*": "+0%"}, baseline=path)
    with pytest.raises(AssertionError, match="no baseline"):
        assert_budget("e", {"*/*": "+0%"})
