"""Test what a process is a part of, by the environment that it was started with."""

from __future__ import annotations

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import phasetrace
from phasetrace import execution, node, phase, propagate, time_phase
from phasetrace.identity import root_span_id_of, trace_id_of

TRACE = 0x11112222333344445555666677778888
SPAN = 0xAAAABBBBCCCCDDDD
PARENT = f"00-{TRACE:032x}-{SPAN:016x}-01"


class Recorded:
    """The spans of this process, which is set up by the environment that the test has made."""

    def __init__(self) -> None:
        self._exported = InMemorySpanExporter()

    def start(self) -> None:
        """Configure."""
        phasetrace.configure(store=False, exporters=[self._exported])

    def __call__(self) -> dict[str, ReadableSpan]:
        """Return the spans that have ended, by name."""
        phasetrace.shutdown()
        return {span.name: span for span in self._exported.get_finished_spans()}


@pytest.fixture
def recorded() -> Recorded:
    """Return what will be recorded."""
    return Recorded()


def place(span: ReadableSpan) -> tuple[int, int | None]:
    """Return the trace and the parent of a span."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, span.parent.span_id if span.parent is not None else None


def test_an_execution_goes_on_in_its_trace(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    """Below what this process was started by, whichever way its phases are named."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("PHASETRACE", "exec_id=e;node_id=n")
    recorded.start()
    with phase("nested"):
        pass
    with time_phase("e", "m", "named"):
        pass
    with execution("e", name="opened"), node("k"):
        pass
    spans = recorded()
    assert [place(spans[name]) for name in ("nested", "named", "opened")] == [(TRACE, SPAN)] * 3
    assert dict(spans["nested"].attributes or {}) == {"exec_id": "e", "node_id": "n"}
    assert len(spans) == 4  # the root is made where the execution was begun


def test_another_execution_is_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    """As if it were opened within it in one process."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("PHASETRACE", "exec_id=outer")
    recorded.start()
    with execution("inner", name="inner"), phase("p"):
        pass
    with time_phase("unrelated", "n", "q"):
        pass
    spans = recorded()
    assert place(spans["inner"]) == (TRACE, SPAN)
    assert (spans["inner"].attributes or {})["phasetrace.parent_exec_id"] == "outer"
    assert place(spans["q"]) == (trace_id_of("unrelated"), root_span_id_of("unrelated"))


def test_a_trace_of_another_tool_s_is_linked_to(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    """An execution keeps the trace that its id leads to; what is in none joins."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("TRACESTATE", "tool=1")
    recorded.start()
    with phase("alone"):
        pass
    with execution("e", name="e"):
        pass
    spans = recorded()
    assert place(spans["alone"]) == (TRACE, SPAN)
    assert place(spans["e"]) == (trace_id_of("e"), None)
    (link,) = spans["e"].links
    assert (link.context.trace_id, link.context.span_id) == (TRACE, SPAN)
    assert link.context.trace_state.get("tool") == "1"


def test_what_is_current_comes_first(monkeypatch: pytest.MonkeyPatch, recorded: Recorded) -> None:
    """The environment says where a process begins, not where its code is."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("PHASETRACE", "exec_id=e;node_id=n")
    recorded.start()
    with time_phase("other", "n", "around"), phase("inner"):
        pass
    spans = recorded()
    assert place(spans["inner"])[0] == trace_id_of("other")


def test_baggage_is_inherited_too(monkeypatch: pytest.MonkeyPatch, recorded: Recorded) -> None:
    """It is current within the phases."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("BAGGAGE", "user=a")
    recorded.start()
    with phase("p"):
        assert baggage.get_baggage("user") == "a"
        assert "BAGGAGE" in propagate.environ({})


@pytest.mark.parametrize(
    ("parent", "ids"),
    [("nonsense", ""), ("00-" + "0" * 32 + "-" + "0" * 16 + "-01", "exec_id=e"), ("", "exec_id=")],
)
def test_nonsense_is_nothing(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded, parent: str, ids: str
) -> None:
    """Other tools may write these variables, and badly."""
    monkeypatch.setenv("TRACEPARENT", parent)
    monkeypatch.setenv("PHASETRACE", ids)
    recorded.start()
    with time_phase("e", "n", "p"):
        pass
    assert place(recorded()["p"]) == (trace_id_of("e"), root_span_id_of("e"))


def test_an_unsampled_parent_costs_no_local_numbers(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    """What another tool did not sample is not exported, and counted all the same."""
    monkeypatch.setenv("TRACEPARENT", PARENT.removesuffix("01") + "00")
    monkeypatch.setenv("PHASETRACE", "exec_id=e;node_id=n")
    recorded.start()
    with phase("p"):
        pass
    assert phasetrace.breakdown("e").nodes[0].phases[0].count == 1
    assert recorded() == {}
    assert trace.get_current_span() is trace.INVALID_SPAN
