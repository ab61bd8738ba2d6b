"""Test what phasetrace offers to the tests of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import phasetrace
from phasetrace import configuration, execution, node, phase, time_phase
from phasetrace.testing import STARTED_NS, Captured, capture, captured_phases

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
