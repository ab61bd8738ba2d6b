"""Under ddtrace's OpenTelemetry provider, which takes no processors and makes Datadog's spans.

Phases are therefore made through phasetrace's own provider, and never get to Datadog. With
``DD_TRACE_OTEL_ENABLED`` OpenTelemetry's context is Datadog's: it keeps ids of spans and nothing
else, and no span is taken out of it again that is not Datadog's. So phases keep to a context of
their own.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .agent import Agent
from .claims import assert_kept, assert_once, assert_quiet, places
from .process import Outcome, run, stored
from .work import COUNTS, EXEC_ID, FLAT_COUNTS, PLACES

_PROVIDER = "ddtrace.internal.opentelemetry.trace.TracerProvider"
_STARTS: dict[str, tuple[list[str], str]] = {
    "by hand": ([], "ddtrace"),  # when OpenTelemetry has a context already, which stays
    "ddtrace-run": (["ddtrace-run"], "ddtrace-run"),  # before, so that its own context is taken
}
_LIBRARYS = ["answer", "query", "request"]


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Run an agent."""
    with Agent() as running:
        yield running


def run_under_ddtrace(folder: Path, agent: Agent, start: str, *steps: str) -> Outcome:
    """Run the application, and assert that the agent was sent nothing."""
    command, host = _STARTS[start]
    outcome = run(
        folder,
        *[host if step == "host" else step for step in steps],
        command=[str(Path(sysconfig.get_path("scripts"), name)) for name in command],
        env={
            "DD_TRACE_OTEL_ENABLED": "true",
            "DD_TRACE_AGENT_URL": agent.url,
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_CRASHTRACKING_ENABLED": "false",
        },
    )
    assert set(agent.requests) <= {"GET /info"}  # as ddtrace itself does when it is imported
    return outcome


def of_the_library(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Return the library's spans among Datadog's, by name."""
    return {span["name"]: span for span in outcome.exported if span["name"] in _LIBRARYS}


@pytest.mark.parametrize("start", _STARTS)
def test_phases_are_ours_and_spans_are_datadogs(tmp_path: Path, agent: Agent, start: str) -> None:
    """Each is recorded once, with its node; the provider is left as it is."""
    outcome = run_under_ddtrace(tmp_path, agent, start, "host", "flat")
    assert_quiet(outcome)
    assert outcome.seen["provider"] == _PROVIDER
    if start != "ddtrace-run":  # which installs it at the first use of OpenTelemetry
        assert_kept(outcome, _PROVIDER)
    assert outcome.seen["counts"] == FLAT_COUNTS
    spans = stored(outcome, EXEC_ID)
    assert_once(span_id for span_id, *_ in spans)
    assert [(name, node) for name, node, _ in places(spans)] == [
        *[("check", "fetch")] * 3,
        ("download", "fetch"),
        (EXEC_ID, None),
    ]
    assert_once(span["context"]["span_id"] for span in outcome.exported)
    names = [span["name"] for span in outcome.exported]
    assert sorted(name for name in names if name in _LIBRARYS) == _LIBRARYS
    assert not {"check", "download", EXEC_ID}.intersection(names)


@pytest.mark.parametrize("start", _STARTS)
def test_libraries_may_configure_phasetrace_beside_it(
    tmp_path: Path, agent: Agent, start: str
) -> None:
    """The provider is left as it is by their calls as well."""
    outcome = run_under_ddtrace(
        tmp_path, agent, start, "host", "library-one", "library-two", "flat"
    )
    assert_quiet(outcome)
    assert outcome.seen["provider"] == _PROVIDER
    assert outcome.seen["counts"] == FLAT_COUNTS


def test_its_provider_may_come_later(tmp_path: Path, agent: Agent) -> None:
    """Phases go on through our provider, and leave its place to Datadog's."""
    outcome = run_under_ddtrace(tmp_path, agent, "by hand", "early", "host", "flat")
    assert_quiet(outcome)
    assert_kept(outcome, _PROVIDER)
    # The library has the tracer that it got first, which is ours: its span is a phase.
    assert outcome.seen["counts"]["fetch"].items() >= FLAT_COUNTS["fetch"].items()


@pytest.mark.parametrize("start", _STARTS)
def test_nested_phases_are_counted(tmp_path: Path, agent: Agent, start: str) -> None:
    """What is named by the context alone belongs to the execution and node around it."""
    outcome = run_under_ddtrace(tmp_path, agent, start, "host", "work")
    assert outcome.seen["counts"] == {
        "fetch": {name: count for name, count in COUNTS["fetch"].items() if name != "query"},
        "save": COUNTS["save"],
    }


@pytest.mark.parametrize("start", _STARTS)
def test_nested_phases_have_their_parents(tmp_path: Path, agent: Agent, start: str) -> None:
    """Each is below the phase around it; Datadog's spans are none."""
    outcome = run_under_ddtrace(tmp_path, agent, start, "host", "work")
    expected = [
        (name, node, "download" if parent == "query" else parent)
        for name, node, parent in PLACES
        if name != "query"
    ]
    assert places(stored(outcome, EXEC_ID)) == sorted(expected, key=str)


@pytest.mark.parametrize("start", _STARTS)
def test_a_phase_leaves_no_trace_among_ours(tmp_path: Path, agent: Agent, start: str) -> None:
    """A phase that comes after another one is not below it."""
    outcome = run_under_ddtrace(tmp_path, agent, start, "host", "flat")
    parents = {parent for *_, parent in places(stored(outcome, EXEC_ID))}
    assert parents == {EXEC_ID, None}


@pytest.mark.parametrize("start", _STARTS)
def test_a_phase_leaves_no_trace_in_datadogs(tmp_path: Path, agent: Agent, start: str) -> None:
    """A span of Datadog's that comes after a phase is below the one that is around both."""
    library = of_the_library(run_under_ddtrace(tmp_path, agent, start, "host", "flat"))
    assert library["answer"]["parent_id"] == library["request"]["context"]["span_id"]


@pytest.mark.parametrize("start", _STARTS)
def test_datadogs_traces_stay_whole(tmp_path: Path, agent: Agent, start: str) -> None:
    """A span inside a phase stays below the span of Datadog's that is around the phase."""
    library = of_the_library(run_under_ddtrace(tmp_path, agent, start, "host", "flat"))
    assert library["query"]["parent_id"] == library["request"]["context"]["span_id"]


def test_the_store_makes_no_spans(tmp_path: Path, agent: Agent) -> None:
    """Writing phases down is no work of the program's."""
    outcome = run_under_ddtrace(tmp_path, agent, "ddtrace-run", "host", "flat")
    assert sorted(span["name"] for span in outcome.exported) == _LIBRARYS
