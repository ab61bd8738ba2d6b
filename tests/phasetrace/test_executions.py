"""What a process knows of its executions."""

from __future__ import annotations

from opentelemetry.trace import SpanContext

from phasetrace import executions as module
from phasetrace.executions import Executions, ExecutionState


def a_context(span_id: int = 1) -> SpanContext:
    """Return a span's context."""
    return SpanContext(1, span_id, is_remote=False)


def test_an_open_execution_is_never_forgotten() -> None:
    """However many come and go, its root is made once."""
    executions = Executions()
    executions.open("daemon", a_context)
    for index in range(3 * module._MAX_REMEMBERED):
        executions.find(f"e{index}", a_context)
        executions.take_root(f"e{index}")
    assert executions.open("daemon", a_context) is False
    assert len(executions.ids()) < 1.5 * module._MAX_REMEMBERED


def test_the_root_of_an_implicit_execution_is_taken_once() -> None:
    """Whoever comes second gets nothing."""
    executions = Executions()
    executions.find("e", a_context)
    assert executions.take_root("e") is not None
    assert executions.take_root("e") is None


def test_a_phase_of_a_node_that_runs_twice_belongs_to_the_run_opened_last() -> None:
    """And, when that has ended, to the one that is still open."""
    state = ExecutionState("e", a_context(), explicit=True)
    state.node_opened("n", a_context(2))
    state.node_opened("n", a_context(3))
    assert state.open_node("n") == a_context(3)
    state.node_closed("n", 3)
    assert state.open_node("n") == a_context(2)
    state.node_closed("n", 2)
    assert state.open_node("n") is None


def test_the_nodes_that_are_remembered_for_links_are_bounded() -> None:
    """The latest are kept."""
    state = ExecutionState("e", a_context(), explicit=True)
    for index in range(5_000):
        state.node_opened(f"n{index}", a_context(index + 1))
        state.node_closed(f"n{index}", index + 1)
    assert len(state.nodes) == 2_000
    assert "n4999" in state.nodes
    assert state.open_nodes == {}
