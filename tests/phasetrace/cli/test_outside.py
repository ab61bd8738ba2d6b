"""What a run says of work that was outside of the program's executions."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import phasetrace
from phasetrace import configuration, execution, phase, timing_collector
from phasetrace.cli.outside import about_provider, about_strays, why_nothing
from phasetrace.tracing import Tracing

HINT = """put 'with phasetrace.execution(name="main"):' around your main"""


@pytest.fixture(autouse=True)
def no_spans_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the collector count from 0, which is the process's and not a test's."""
    monkeypatch.setattr(timing_collector, "spans_outside", 0)


def ended() -> Tracing:
    """Shut down; return what has recorded."""
    phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    return tracing


def in_a_thread(*names: str) -> None:
    """Time phases where nothing is current but the execution `own`, as under ``run``."""

    def work() -> None:
        for name in names:
            with phasetrace.time_phase("own", "system", name):
                pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def said(*exec_ids: str) -> str | None:
    """Return what is said of the executions of a run, the first of which is its own."""
    return about_strays(ended().settings.store, exec_ids[0], exec_ids)


REMEDY = (
    ", and belong to the run's own execution:"
    " carry the context with phasetrace.propagate (executor, wrap)"
)


def test_calls_in_threads_while_an_execution_is_open() -> None:
    """They are counted, and the execution is named."""
    with execution("own"):
        pass
    with execution("e\x1b"):
        in_a_thread("work", "work")
    outside = "2 calls of 'work' ran outside of e\\x1b while it was open"
    assert said("own", "e\x1b") == outside + REMEDY


@pytest.mark.parametrize(
    ("names", "calls"),
    [
        (["a\x1b"], "1 call of 'a\\x1b' ran"),
        (["a", "b", "b"], "3 calls of 'b' and 1 other ran"),
        (["a", "b", "b", "c"], "4 calls of 'b' and 2 others ran"),
    ],
)
def test_the_name_with_most_calls_stands_for_all(names: list[str], calls: str) -> None:
    """One line is enough to find them."""
    with execution("own"):
        pass
    with execution("e"):
        in_a_thread(*names)
    line = said("own", "e")
    assert line is not None
    assert line.startswith(calls)


def test_calls_beside_several_executions() -> None:
    """Their number will do."""
    with execution("own"):
        pass
    for exec_id in ("e", "f"):
        with execution(exec_id):
            in_a_thread("work")
    outside = "2 calls of 'work' ran outside of 2 executions while these were open"
    assert said("own", "e", "f") == outside + REMEDY


def test_calls_between_executions_are_where_they_belong() -> None:
    """Nothing is said of them; nor of what an execution of the same id has."""
    with execution("own"), phase("between"):
        pass
    with execution("e"), phase("within"):
        pass
    assert said("own", "e") is None


@pytest.mark.parametrize("store", [None, Path("/dev/null/traces.db")])
def test_without_a_store_nothing_is_said_of_calls(store: Path | None) -> None:
    """Nobody has the spans."""
    assert about_strays(store, "own", ["own", "e"]) is None


@pytest.mark.parametrize(("number", "spans"), [(1, "1 span"), (3, "3 spans")])
def test_spans_of_opentelemetry_were_seen(number: int, spans: str) -> None:
    """As many as have ended outside of any execution."""
    phasetrace.configure()
    tracer = trace.get_tracer("of the program")
    for _ in range(number):
        with tracer.start_as_current_span("x"):
            pass
    line = f"{spans} of OpenTelemetry outside of any execution; they count from inside one: {HINT}"
    assert why_nothing(ended()) == line


def test_spans_of_executions_are_not_outside() -> None:
    """Whoever makes them."""
    with execution("e"), trace.get_tracer("of the program").start_as_current_span("x"):
        pass
    assert ended().collector.spans_outside == 0


def test_a_provider_of_the_programs_own() -> None:
    """Its spans come here from the first execution on, and were seen by nobody before."""
    phasetrace.configure()
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    with trace.get_tracer("of the program").start_as_current_span("x"):
        pass
    start = "spans of OpenTelemetry count from inside an execution: when the provider is set, "
    assert why_nothing(ended()) == start + HINT


def test_a_program_without_any_spans() -> None:
    """Is told of phases."""
    phasetrace.configure()
    assert why_nothing(ended()).startswith("no phases were recorded in this process; time some: ")


def test_a_provider_that_takes_no_processors() -> None:
    """An execution would not help: its spans do not come here."""

    class Foreign(trace.NoOpTracerProvider):
        pass

    phasetrace.configure()
    trace.set_tracer_provider(Foreign())
    assert why_nothing(ended()).startswith("no phases were recorded")


@pytest.mark.parametrize("kind", [TracerProvider, phasetrace.TracerProvider])
def test_a_provider_that_is_set_too_late(kind: type[TracerProvider]) -> None:
    """It is found at the next phase, which does not come."""
    with execution("e"):
        trace.set_tracer_provider(kind(shutdown_on_exit=False))
    line = about_provider()
    assert line is not None
    assert line.startswith("the spans of the program's own tracer provider were not counted")
    with phase("p"):
        pass
    assert about_provider() is None
    phasetrace.shutdown()
    assert about_provider() is None


def test_no_provider_of_the_programs_own() -> None:
    """Then there is nothing to say."""
    with execution("e"):
        pass
    assert about_provider() is None
