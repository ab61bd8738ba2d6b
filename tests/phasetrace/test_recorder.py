"""Test what the recorder keeps about the nodes that are open."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import phasetrace
from phasetrace import clock, configuration
from phasetrace.executions import Executions
from phasetrace.recorder import Recorder, Started

EXEC_ID = "an-execution"
NODE_ID = "a-node"


def start_node(recorder: Recorder) -> Started:
    """Start a run of the node."""
    return recorder.start_node(EXEC_ID, NODE_ID, None, None, (), {})


def end_node(recorder: Recorder, started: Started) -> None:
    """End a run of the node."""
    recorder.end(started.span)
    recorder.node_ended(started.context)


def open_nodes(recorder: Recorder) -> set[str]:
    """Return the nodes that phases named by id alone would belong below."""
    state = recorder.executions.get(EXEC_ID)
    assert state is not None
    return set(state.open_nodes)


@pytest.fixture(params=["recorded", "sampled out", "cut", "no tracing"])
def recorder(request: pytest.FixtureRequest) -> Recorder:
    """Return a recorder; its spans may say nothing about their node, or not all of it."""
    providers: dict[str, trace.TracerProvider] = {
        "recorded": TracerProvider(shutdown_on_exit=False),
        "sampled out": TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False),
        "cut": TracerProvider(
            span_limits=SpanLimits(max_span_attribute_length=3), shutdown_on_exit=False
        ),
        "no tracing": trace.NoOpTracerProvider(),
    }
    tracer = providers[request.param].get_tracer("test")
    return Recorder(tracer, None, Executions(), None, clock.now_ns, None, None)


def test_a_node_is_open_until_it_ends(recorder: Recorder) -> None:
    """Whatever becomes of its span."""
    started = start_node(recorder)
    assert open_nodes(recorder) == {NODE_ID}

    end_node(recorder, started)
    assert open_nodes(recorder) == set()


def test_the_latest_run_of_a_node_stays_open_when_an_earlier_one_ends() -> None:
    """It is the one that phases belong below."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    recorder = Recorder(tracer, None, Executions(), None, clock.now_ns, None, None)
    first, second = start_node(recorder), start_node(recorder)

    end_node(recorder, first)
    assert open_nodes(recorder) == {NODE_ID}

    end_node(recorder, second)
    assert open_nodes(recorder) == set()


def test_what_is_no_node_ends_none(recorder: Recorder) -> None:
    """An execution has a context with ids as well, and a foreign span has none."""
    started = start_node(recorder)

    recorder.node_ended(recorder.start_execution(EXEC_ID, None, {}).context)
    recorder.node_ended(Context())

    assert open_nodes(recorder) == {NODE_ID}
    end_node(recorder, started)


def test_a_sampled_out_node_leaves_nothing_open() -> None:
    """The context manager gives back what its start took, on an application's provider too."""
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    phasetrace.configure(store=False)

    with phasetrace.execution(EXEC_ID), phasetrace.node(NODE_ID):
        state = configuration.executions.get(EXEC_ID)
        assert state is not None and set(state.open_nodes) == {NODE_ID}

    assert state.open_nodes == {}
