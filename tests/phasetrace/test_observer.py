"""Test that an engine's events become spans and metrics, in whatever order they come."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

import phasetrace
from phasetrace import configuration, faults, time_phase, timing_collector
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.observer import (
    ExecutionCompleted,
    ExecutionMetrics,
    ExecutionStarted,
    MetricsObserver,
    NodeCompleted,
    NodeFailed,
    NodeMetrics,
    NodeStarted,
)

Spans = InMemorySpanExporter


def consume(observer: MetricsObserver, *events: object) -> None:
    """Let an engine publish events one after the other."""

    async def publish() -> None:
        for event in events:
            await observer.consume(event)

    asyncio.run(publish())


def the_span(spans: Spans, name: str) -> ReadableSpan:
    """Return the only exported span of that name."""
    (span,) = (span for span in spans.get_finished_spans() if span.name == name)
    return span


def the_root(spans: Spans, exec_id: str) -> ReadableSpan:
    """Return the root of an execution."""
    root_span_id = root_span_id_of(exec_id)
    (root,) = (span for span in spans.get_finished_spans() if id_of(span) == root_span_id)
    return root


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes."""
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent."""
    return span.parent.span_id if span.parent is not None else None


def id_of(span: ReadableSpan) -> int:
    """Return a span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def final(observer: MetricsObserver, exec_id: str) -> ExecutionMetrics:
    """Return the metrics of an execution that is held."""
    metrics = observer.metrics(exec_id)
    assert metrics is not None
    return metrics


@pytest.fixture
def new_faults(caplog: pytest.LogCaptureFixture) -> Callable[[], dict[str, int]]:
    """Return a function that gives the faults which this test has led to."""
    caplog.set_level(logging.CRITICAL, logger="phasetrace")
    before = faults.counts()

    def since() -> dict[str, int]:
        now = Counter(faults.counts())
        now.subtract(before)
        return {where: count for where, count in now.items() if count}

    return since


def test_an_execution_is_a_root_and_its_nodes_are_its_children(spans: Spans) -> None:
    """The root has the ids that follow from the execution's, and the name that it was given."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", name="nightly", timestamp=100.0),
        NodeStarted("e", "n", node_type="llm", dependencies=["m"], timestamp=100.5),
        NodeCompleted("e", "n", timestamp=102.0),
        ExecutionCompleted("e", timestamp=103.0),
    )

    root, node = the_span(spans, "nightly"), the_span(spans, "n")
    assert root.context.trace_id == node.context.trace_id == trace_id_of("e")
    assert (id_of(root), parent_of(root)) == (root_span_id_of("e"), None)
    assert parent_of(node) == id_of(root)
    assert (root.start_time, root.end_time) == (100 * 10**9, 103 * 10**9)
    assert (node.start_time, node.end_time) == (100_500_000_000, 102 * 10**9)
    assert attributes_of(node)["node_type"] == "llm"
    assert attributes_of(node)["depends_on"] == ("m",)


def test_metrics_say_what_the_events_said(spans: Spans) -> None:
    """Times in Unix seconds, durations in milliseconds, and what the analysis finds in them."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", timestamp=10.0),
        NodeStarted("e", "load", "io", dependencies=[], timestamp=10.0),
        NodeStarted("e", "warm", "io", dependencies=[], timestamp=10.0),
        NodeCompleted("e", "warm", timestamp=10.5),
        NodeStarted("e", "noise", timestamp=11.5),
        NodeCompleted("e", "load", memory_usage=4096, timestamp=12.0),
        NodeCompleted("e", "noise", timestamp=12.0),
        NodeStarted("e", "ask", "llm", dependencies={"load", "warm"}, timestamp=12.0),
        NodeCompleted("e", "ask", token_usage=30, timestamp=19.5),
        NodeStarted("e", "tidy", dependencies="ask", timestamp=19.5),
        NodeCompleted("e", "tidy", timestamp=20.0),
        ExecutionCompleted("e", timestamp=20.0),
    )

    assert observer.metrics("e") == ExecutionMetrics(
        execution_id="e",
        start_time=10.0,
        end_time=20.0,
        total_duration_ms=10_000.0,
        node_metrics={
            "load": NodeMetrics("load", "io", 10.0, 12.0, 2000.0, memory_usage=4096),
            "warm": NodeMetrics("warm", "io", 10.0, 10.5, 500.0),
            "noise": NodeMetrics("noise", None, 11.5, 12.0, 500.0),
            "ask": NodeMetrics(
                "ask", "llm", 12.0, 19.5, 7500.0, token_usage=30, dependencies={"load", "warm"}
            ),
            "tidy": NodeMetrics("tidy", None, 19.5, 20.0, 500.0, dependencies={"ask"}),
        },
        critical_path=["load", "ask", "tidy"],
        parallelizable_groups=[["load", "warm"]],
        bottlenecks=["ask", "load"],
    )


def test_phases_are_merged_into_their_nodes_when_the_execution_completes(spans: Spans) -> None:
    """Phases of a node that was never announced make an entry of their own, of type system."""
    recorded = {
        "node_1": {
            "llm_completion": 3500.0,
            "memory_selection": 2000.0,
            "output_building": 350.0,
            "prompt_building": 100.0,
            "input_extraction": 50.0,
        },
        "memory_strategy": {
            "llm_selection": 1500.0,
            "scoring": 300.0,
            "filtering": 150.0,
            "deduplication": 50.0,
        },
    }
    observer = MetricsObserver()
    consume(observer, ExecutionStarted("e"), NodeStarted("e", "node_1", "person_job"))
    for node_id, phases in recorded.items():
        for phase, dur_ms in phases.items():
            timing_collector.record("e", node_id, phase, dur_ms, model="m")
    consume(observer, NodeCompleted("e", "node_1"), ExecutionCompleted("e"))

    nodes = final(observer, "e").node_metrics
    assert {node_id: node.module_timings for node_id, node in nodes.items()} == recorded
    assert nodes["node_1"].node_type == "person_job"
    assert nodes["memory_strategy"] == NodeMetrics(
        "memory_strategy",
        node_type="system",
        duration_ms=2000.0,
        module_timings=recorded["memory_strategy"],
    )
    assert timing_collector.get("e") == {}


def test_the_collector_is_popped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when a node completes, and not again when the completion is announced again."""
    phasetrace.configure(store=False)
    popped: list[str] = []
    pop = timing_collector.pop

    def counted(exec_id: str) -> dict[str, dict[str, Any]]:
        popped.append(exec_id)
        return pop(exec_id)

    monkeypatch.setattr(timing_collector, "pop", counted)
    observer = MetricsObserver()

    consume(observer, ExecutionStarted("e"), NodeStarted("e", "n"), NodeCompleted("e", "n"))
    assert popped == []
    consume(observer, ExecutionCompleted("e"), ExecutionCompleted("e"))
    assert popped == ["e"]


def test_nested_phases_of_an_unannounced_node_count_once(spans: Spans) -> None:
    """Its duration is the time that its phases cover, not their sum."""
    observer = MetricsObserver()
    consume(observer, ExecutionStarted("e"))
    with time_phase("e", "helper", "outer"), time_phase("e", "helper", "inner"):
        pass
    consume(observer, ExecutionCompleted("e"))

    helper = final(observer, "e").node_metrics["helper"]
    assert helper.duration_ms == pytest.approx(helper.module_timings["outer"])


def test_phases_timed_by_id_are_below_the_open_node(spans: Spans) -> None:
    """Code that knows nothing but the ids ends up below the span that the observer opened."""
    observer = MetricsObserver()
    consume(observer, ExecutionStarted("e"), NodeStarted("e", "n"))
    with time_phase("e", "n", "while_open"):
        pass
    consume(observer, NodeCompleted("e", "n"))
    with time_phase("e", "n", "afterwards"):
        pass
    consume(observer, ExecutionCompleted("e"))

    assert parent_of(the_span(spans, "while_open")) == id_of(the_span(spans, "n"))
    assert parent_of(the_span(spans, "afterwards")) == id_of(the_root(spans, "e"))


def test_phases_stay_below_a_node_while_any_of_its_runs_is_open(spans: Spans) -> None:
    """Of two runs at a time the later one ends first: the other takes the phases over."""
    observer = MetricsObserver()
    consume(
        observer,
        ExecutionStarted("e"),
        NodeStarted("e", "n", iteration=1),
        NodeStarted("e", "n", iteration=2),
        NodeCompleted("e", "n", iteration=2),
    )
    with time_phase("e", "n", "phase"):
        pass
    consume(observer, NodeCompleted("e", "n", iteration=1), ExecutionCompleted("e"))

    (first,) = (
        span
        for span in spans.get_finished_spans()
        if attributes_of(span).get("iteration") == 1 and span.name == "n"
    )
    assert parent_of(the_span(spans, "phase")) == id_of(first)


def test_what_is_current_around_the_engine_does_not_leak_in(spans: Spans) -> None:
    """Neither a foreign span nor another execution becomes the parent, and both stay current."""
    observer = MetricsObserver()

    async def engine() -> None:
        tracer = trace.get_tracer("engine")
        with tracer.start_as_current_span("request") as request, phasetrace.execution("around"):
            current = trace.get_current_span()
            for event in (
                ExecutionStarted("e"),
                NodeStarted("e", "n"),
                NodeCompleted("e", "n"),
                ExecutionCompleted("e"),
            ):
                await observer.consume(event)
                assert trace.get_current_span() is current
            assert request.is_recording()

    asyncio.run(engine())

    root, node = the_root(spans, "e"), the_span(spans, "n")
    assert (parent_of(root), root.context.trace_id) == (None, trace_id_of("e"))
    assert "phasetrace.parent_exec_id" not in attributes_of(root)
    assert root.links == ()
    assert parent_of(node) == id_of(root)


@pytest.mark.parametrize(
    ("error", "description", "events"),
    [
        (ValueError("no such file"), "ValueError: no such file", ["exception"]),
        ("broke", "broke", []),
    ],
)
def test_a_failed_node_has_an_error_status_with_its_message(
    spans: Spans, error: Any, description: str, events: list[str]
) -> None:
    """An exception is recorded as such; a text is all that is known."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e"),
        NodeStarted("e", "n"),
        NodeFailed("e", "n", error=error),
        ExecutionCompleted("e"),
    )

    node = the_span(spans, "n")
    assert (node.status.status_code, node.status.description) == (StatusCode.ERROR, description)
    assert [event.name for event in node.events] == events
    assert final(observer, "e").node_metrics["n"].error == description
    assert the_root(spans, "e").status.status_code is StatusCode.UNSET


def test_a_failure_without_a_word_is_an_error_all_the_same(spans: Spans) -> None:
    """The kind of the event says that it failed; an ``error`` on a completed node says so too."""
    observer = MetricsObserver()

    consume(
        observer,
        {"type": "node_started", "execution_id": "e", "node_id": "mute"},
        {"type": "node_failed", "execution_id": "e", "node_id": "mute"},
        {"type": "node_started", "execution_id": "e", "node_id": "odd"},
        {"type": "node_completed", "execution_id": "e", "node_id": "odd", "error": "odd end"},
        ExecutionCompleted("e"),
    )

    assert the_span(spans, "mute").status.status_code is StatusCode.ERROR
    assert the_span(spans, "odd").status.description == "odd end"
    nodes = final(observer, "e").node_metrics
    assert (nodes["mute"].error, nodes["odd"].error) == ("failed", "odd end")


def test_a_cancelled_node_is_no_failure(spans: Spans) -> None:
    """Whether the event or the exception says so."""
    observer = MetricsObserver()

    consume(
        observer,
        {"type": "node_started", "execution_id": "e", "node_id": "told"},
        {"type": "node_cancelled", "execution_id": "e", "node_id": "told", "error": "no more"},
        NodeStarted("e", "raised"),
        NodeFailed("e", "raised", error=asyncio.CancelledError()),
        ExecutionCompleted("e"),
    )

    for name in ("told", "raised"):
        assert the_span(spans, name).status.status_code is StatusCode.UNSET
        assert attributes_of(the_span(spans, name))["phasetrace.cancelled"] is True


def test_a_failed_execution_has_an_error_status(spans: Spans) -> None:
    """By its own kind of event, or by the ``error`` of its completion."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("own"),
        {"type": "execution_failed", "execution_id": "own", "error": "out of memory"},
        ExecutionStarted("error"),
        ExecutionCompleted("error", error="out of disk"),
    )

    assert the_root(spans, "own").status.description == "out of memory"
    assert the_root(spans, "error").status.description == "out of disk"


@pytest.mark.parametrize(
    ("token_usage", "expected"),
    [
        (12, {"token_usage": 12}),
        (
            {"input_tokens": 7, "output_tokens": 5},
            {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 5},
        ),
        (
            SimpleNamespace(prompt_tokens=7, completion_tokens=5),
            {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 5},
        ),
        (None, {}),
    ],
)
def test_usage_becomes_attributes(
    spans: Spans, token_usage: object, expected: dict[str, int]
) -> None:
    """Under the names of the semantic conventions where there are any."""
    observer = MetricsObserver()

    consume(
        observer,
        NodeStarted("e", "n"),
        NodeCompleted("e", "n", token_usage=token_usage, memory_usage=2048),
        ExecutionCompleted("e"),
    )

    found = attributes_of(the_span(spans, "n"))
    usage = {key: value for key, value in found.items() if "usage" in key}
    assert usage == {**expected, "memory_usage": 2048}


def test_other_token_counts_are_kept_beside_the_named_ones(spans: Spans) -> None:
    """A mapping's remaining entries are still on the span."""
    usage = {"input_tokens": 7, "total_tokens": 12}

    observer = MetricsObserver()

    consume(observer, NodeStarted("e", "n"), NodeCompleted("e", "n", usage))

    found = attributes_of(the_span(spans, "n"))
    assert found["gen_ai.usage.input_tokens"] == 7
    assert "total_tokens" in str(found["token_usage"])
    assert final(observer, "e").node_metrics["n"].token_usage == usage


def test_the_runs_of_a_node_add_up(spans: Spans) -> None:
    """Durations and tokens are sums, memory is the highest, and each run is a span."""
    observer = MetricsObserver()
    consume(observer, ExecutionStarted("e", timestamp=0))
    for turn, (start, end, tokens, memory) in enumerate([(1, 2, 10, 300), (4, 7, 5, 200)]):
        consume(
            observer,
            NodeStarted("e", "n", iteration=turn, timestamp=start),
            NodeCompleted("e", "n", {"in": tokens}, memory, iteration=turn, timestamp=end),
        )
    consume(observer, ExecutionCompleted("e", timestamp=8))

    node = final(observer, "e").node_metrics["n"]
    assert (node.start_time, node.end_time, node.duration_ms) == (1.0, 7.0, 4000.0)
    assert (node.token_usage, node.memory_usage) == ({"in": 15}, 300)
    runs = [span for span in spans.get_finished_spans() if span.name == "n"]
    assert [attributes_of(span)["iteration"] for span in runs] == [0, 1]


def test_a_node_may_run_again_without_saying_which_turn_it_is(spans: Spans) -> None:
    """The critical path goes through the single runs, and names each node once."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", timestamp=0),
        *itertools.chain.from_iterable(
            (NodeStarted("e", name, timestamp=at), NodeCompleted("e", name, timestamp=at + 1))
            for at, name in enumerate(["think", "act", "think", "act"])
        ),
        ExecutionCompleted("e", timestamp=100),
    )

    metrics = final(observer, "e")
    assert {name: node.duration_ms for name, node in metrics.node_metrics.items()} == {
        "think": 2000.0,
        "act": 2000.0,
    }
    assert metrics.critical_path == ["think", "act"]
    assert metrics.bottlenecks == []


class Kind(Enum):
    """Kinds of events, as an engine might number them."""

    NODE_STARTED = 1
    NODE_COMPLETED = "node.completed"


@dataclass
class NodeStartedEvent:
    """An engine's own event, told by its class."""

    exec_id: str
    node_id: str
    depends_on: tuple[str, ...]


class Engine(NodeStartedEvent):
    """An event with behaviour: its methods are no fields."""

    type = Kind.NODE_STARTED

    def dependencies(self) -> None:
        """Do something."""


STARTS: list[object] = [
    {"type": "node_started", "execution_id": "e", "node_id": "n", "depends_on": ["m"]},
    {"event_type": "NODE_STARTED", "exec_id": "e", "node_id": "n", "dependencies": {"m"}},
    {"event": "node.started", "data": {"exec_id": "e", "node_id": "n", "dependencies": ["m"]}},
    {
        "type": Kind.NODE_STARTED,
        "execution_id": "e",
        "payload": {"node_id": "n", "depends_on": "m"},
    },
    SimpleNamespace(type="NodeStarted", execution_id="e", node_id="n", dependencies=("m",)),
    NodeStartedEvent("e", "n", ("m",)),
    Engine("e", "n", ("m",)),
    NodeStarted("e", "n", dependencies=["m"]),
]


@pytest.mark.parametrize("event", STARTS)
def test_events_are_understood_in_an_engines_own_form(event: object) -> None:
    """Mappings, objects, enums, nested payloads and class names all say the same."""
    phasetrace.configure(store=False)
    observer = MetricsObserver()

    consume(observer, event)

    assert final(observer, "e").node_metrics["n"].dependencies == {"m"}


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        (12.5, 12.5),
        (12, 12.0),
        (datetime(1970, 1, 1, 0, 0, 12, 500_000, tzinfo=timezone.utc), 12.5),
        (datetime(1970, 1, 1, 1, 0, 12, tzinfo=timezone(timedelta(hours=1))), 12.0),
        (datetime.fromtimestamp(12), 12.0),
        (float("nan"), 99.0),
        (float("inf"), 99.0),
        (-1.0, 99.0),
        (10**30, 99.0),
        ("soon", 99.0),
        (True, 99.0),
        (None, 99.0),
    ],
)
def test_timestamps_are_seconds_or_datetimes_and_otherwise_now(
    timestamp: Any, seconds: float
) -> None:
    """A naive datetime is local time; what no span could carry is as good as none."""
    phasetrace.configure(store=False)
    observer = MetricsObserver(now_ns=lambda: 99 * 10**9)

    consume(observer, ExecutionStarted("e", timestamp=timestamp))

    assert final(observer, "e").start_time == seconds


def test_what_is_no_event_is_ignored(new_faults: Callable[[], dict[str, int]]) -> None:
    """Kinds that are not followed are nobody's fault."""
    observer = MetricsObserver()

    consume(observer, None, 7, "node_started", {"type": "node_retried", "execution_id": "e"}, [])

    assert observer.metrics("e") is None
    assert new_faults() == {}


class Untrue:
    """A value that cannot be told."""

    def __bool__(self) -> bool:
        """Fail."""
        raise RuntimeError

    def __iter__(self) -> Any:
        """Fail."""
        raise RuntimeError


def test_a_field_that_cannot_be_read_is_as_good_as_none(spans: Spans) -> None:
    """The rest of its event counts."""
    observer = MetricsObserver()

    consume(
        observer,
        {"type": "node_started", "execution_id": "e", "node_id": "n", "depends_on": Untrue()},
        {"type": "node_failed", "execution_id": "e", "node_id": "n", "error": Untrue()},
        ExecutionCompleted("e"),
    )

    assert the_span(spans, "n").status.status_code is StatusCode.ERROR
    node = final(observer, "e").node_metrics["n"]
    assert (node.dependencies, node.error) == (set(), "failed")


class Hostile:
    """An event whose fields fail."""

    type = "node_started"

    def __getattr__(self, name: str) -> Any:
        """Fail."""
        raise RuntimeError(name)


def test_events_that_say_too_little_are_counted_as_faults(
    new_faults: Callable[[], dict[str, int]],
) -> None:
    """An engine never gets an exception for them."""
    consume(MetricsObserver(), Hostile(), {"type": "node_started", "execution_id": "e"})

    assert sum(new_faults().values()) == 2


def test_a_node_that_is_still_open_is_cancelled_with_its_execution(spans: Spans) -> None:
    """It ends when the execution does."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", timestamp=1),
        NodeStarted("e", "n", timestamp=2),
        ExecutionCompleted("e", timestamp=5),
    )

    node = the_span(spans, "n")
    assert node.end_time == 5 * 10**9
    assert attributes_of(node)["phasetrace.cancelled"] is True
    assert final(observer, "e").node_metrics["n"].duration_ms == 3000.0


def test_an_execution_may_be_announced_after_its_nodes(spans: Spans) -> None:
    """Its root gets its name and start from the event, and its nodes are below it all the same."""
    observer = MetricsObserver()

    consume(
        observer,
        NodeStarted("e", "n", timestamp=2),
        ExecutionStarted("e", name="late", timestamp=1),
        NodeCompleted("e", "n", timestamp=3),
        ExecutionCompleted("e", timestamp=4),
    )

    root = the_span(spans, "late")
    assert root.start_time == 1 * 10**9
    assert parent_of(the_span(spans, "n")) == id_of(root)


def test_an_execution_that_is_never_announced_starts_with_its_first_event(spans: Spans) -> None:
    """Also where it is known by nothing but its completion."""
    observer = MetricsObserver()

    consume(
        observer,
        NodeStarted("e", "n", timestamp=2),
        NodeCompleted("e", "n", timestamp=3),
        ExecutionCompleted("e", timestamp=4),
        ExecutionCompleted("alone", timestamp=4),
    )

    assert the_root(spans, "e").start_time == 2 * 10**9
    assert parent_of(the_span(spans, "n")) == id_of(the_root(spans, "e"))
    assert final(observer, "alone").total_duration_ms == 0.0


def test_a_completion_before_its_start_ends_the_run(
    spans: Spans, new_faults: Callable[[], dict[str, int]]
) -> None:
    """The engine's times say that they belong together."""
    observer = MetricsObserver()

    consume(
        observer,
        NodeCompleted("e", "n", token_usage=3, timestamp=5),
        NodeStarted("e", "n", timestamp=2),
        ExecutionCompleted("e", timestamp=9),
    )

    node = the_span(spans, "n")
    assert (node.start_time, node.end_time) == (2 * 10**9, 5 * 10**9)
    assert attributes_of(node)["token_usage"] == 3
    assert "phasetrace.cancelled" not in attributes_of(node)
    assert final(observer, "e").node_metrics["n"].duration_ms == 3000.0
    assert len(new_faults()) == 1


def test_without_times_a_completion_before_its_start_is_taken_in_the_end(spans: Spans) -> None:
    """The run was completed: it is not called cancelled."""
    observer = MetricsObserver()

    consume(observer, NodeFailed("e", "n", "broke"), NodeStarted("e", "n"), ExecutionCompleted("e"))

    node = the_span(spans, "n")
    assert node.status.description == "broke"
    assert "phasetrace.cancelled" not in attributes_of(node)


def test_runs_are_told_apart_when_one_of_them_comes_out_of_order(spans: Spans) -> None:
    """An ending goes to a start before it, never to one after it or of another iteration."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", timestamp=1),
        NodeCompleted("e", "turned", timestamp=5),
        NodeStarted("e", "turned", timestamp=2),
        NodeStarted("e", "turned", timestamp=6),
        NodeCompleted("e", "turned", timestamp=7),
        NodeCompleted("e", "lost", timestamp=3),
        NodeStarted("e", "lost", timestamp=4),
        NodeCompleted("e", "lost", timestamp=6),
        NodeCompleted("e", "other", iteration=1, timestamp=5),
        NodeStarted("e", "other", iteration=2, timestamp=2),
        NodeCompleted("e", "other", iteration=3, timestamp=5),
        ExecutionCompleted("e", timestamp=9),
    )

    def runs(name: str) -> list[tuple[float, float]]:
        found = (span for span in spans.get_finished_spans() if span.name == name)
        return sorted(((s.start_time or 0) / 10**9, (s.end_time or 0) / 10**9) for s in found)

    assert runs("turned") == [(2, 5), (6, 7)]
    assert runs("lost") == [(3, 3), (4, 6)]
    assert runs("other") == [(2, 9), (5, 5), (5, 5)]


def test_a_failure_told_after_a_completion_is_not_lost(spans: Spans) -> None:
    """A second completion says nothing new, a failure does."""
    observer = MetricsObserver()

    consume(
        observer,
        NodeStarted("e", "n"),
        NodeCompleted("e", "n"),
        NodeCompleted("e", "n"),
        NodeFailed("e", "n", "broke"),
        ExecutionCompleted("e"),
    )

    statuses = [s.status.description for s in spans.get_finished_spans() if s.name == "n"]
    assert statuses == [None, "broke"]
    assert final(observer, "e").node_metrics["n"].error == "broke"


def test_endings_without_times_that_repeat_each_other_count_once(spans: Spans) -> None:
    """Whether their run was announced or not."""
    observer = MetricsObserver()
    failed, lost = NodeFailed("e", "n", "broke", token_usage=5), NodeCompleted("e", "lost", 5)

    consume(observer, NodeStarted("e", "n"), failed, failed, lost, lost, ExecutionCompleted("e"))

    assert sorted(span.name for span in spans.get_finished_spans()) == ["execution", "lost", "n"]
    nodes = final(observer, "e").node_metrics
    assert (nodes["n"].token_usage, nodes["lost"].token_usage) == (5, 5)


def test_what_a_node_is_may_be_told_when_it_completes(spans: Spans) -> None:
    """Its type and dependencies are on the span all the same."""
    done = {"type": "node_completed", "execution_id": "e", "node_id": "n"}

    consume(
        MetricsObserver(),
        NodeStarted("e", "n"),
        {**done, "node_type": "llm", "depends_on": ["m"]},
        ExecutionCompleted("e"),
    )

    found = attributes_of(the_span(spans, "n"))
    assert (found["node_type"], found["depends_on"]) == ("llm", ("m",))


def test_an_engine_that_names_no_dependency_knows_none() -> None:
    """Empty lists everywhere do not say that everything could have run at once."""
    phasetrace.configure(store=False)
    observer = MetricsObserver()

    consume(observer, *(NodeStarted("e", name, dependencies=[]) for name in "abc"))

    assert final(observer, "e").parallelizable_groups == []


def test_a_node_whose_start_is_missing_is_not_lost(spans: Spans) -> None:
    """It has an end, an error and a span without length, but no duration."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", timestamp=1),
        NodeFailed("e", "n", "broke", timestamp=3),
        ExecutionCompleted("e", timestamp=4),
    )

    node = the_span(spans, "n")
    assert (node.start_time, node.end_time) == (3 * 10**9, 3 * 10**9)
    assert node.status.description == "broke"
    assert final(observer, "e").node_metrics["n"] == NodeMetrics("n", end_time=3.0, error="broke")


def test_events_that_come_twice_count_once(
    spans: Spans, new_faults: Callable[[], dict[str, int]]
) -> None:
    """With times or without."""
    observer = MetricsObserver()
    events: list[object] = [
        ExecutionStarted("e", timestamp=1),
        NodeStarted("e", "n", timestamp=2),
        NodeCompleted("e", "n", token_usage=5, timestamp=3),
        NodeStarted("e", "m"),
        NodeCompleted("e", "m", token_usage=5),
        ExecutionCompleted("e"),
    ]
    # The second start without a time has to come while its run is open: later it is another run.
    twice = list(itertools.chain.from_iterable((event, event) for event in events))

    consume(observer, *twice)

    assert sorted(span.name for span in spans.get_finished_spans()) == ["execution", "m", "n"]
    nodes = final(observer, "e").node_metrics
    assert (nodes["n"].duration_ms, nodes["n"].token_usage, nodes["m"].token_usage) == (
        1000.0,
        5,
        5,
    )
    assert sum(new_faults().values()) == len(events)


def test_events_told_again_later_count_once_where_they_have_times(spans: Spans) -> None:
    """A run told again from its start, and an execution told again after its completion."""
    observer = MetricsObserver()
    run = [NodeStarted("e", "n", timestamp=1), NodeCompleted("e", "n", timestamp=2)]
    started, completed = ExecutionStarted("e", timestamp=0), ExecutionCompleted("e", timestamp=9)
    following = [NodeStarted("e", "n", timestamp=2), NodeCompleted("e", "n", timestamp=5)]

    consume(observer, started, *run, *run, *following, completed, started, completed)

    assert sorted(span.name for span in spans.get_finished_spans()) == ["execution", "n", "n"]
    assert final(observer, "e").node_metrics["n"].duration_ms == 4000.0


def test_an_execution_announced_after_its_completion_is_not_started_again(spans: Spans) -> None:
    """It was missing its announcement; there is nothing to open."""
    observer = MetricsObserver()

    consume(observer, NodeStarted("e", "n"), ExecutionCompleted("e"), ExecutionStarted("e"))

    assert final(observer, "e").end_time is not None


def test_events_after_completion_change_what_was_not_known(
    spans: Spans, new_faults: Callable[[], dict[str, int]]
) -> None:
    """They open no span, and nothing of the execution is left in the collector."""
    observer = MetricsObserver()
    consume(
        observer,
        NodeStarted("e", "n", timestamp=2),
        ExecutionCompleted("e", timestamp=4),
    )
    before = len(spans.get_finished_spans())

    consume(
        observer,
        NodeFailed("e", "n", "broke", token_usage=9, timestamp=5),
        NodeStarted("e", "late", "io", timestamp=5),
        NodeCompleted("e", "late", timestamp=7),
        ExecutionStarted("e", timestamp=1),
    )

    assert len(spans.get_finished_spans()) == before
    assert timing_collector.executions() == ()
    metrics = final(observer, "e")
    assert (metrics.start_time, metrics.total_duration_ms) == (1.0, 3000.0)
    assert metrics.node_metrics == {
        "n": NodeMetrics("n", None, 2.0, 4.0, 2000.0, token_usage=9, error="broke"),
        "late": NodeMetrics("late", "io", 5.0, 7.0, 2000.0),
    }
    assert sum(new_faults().values()) == 4


def test_an_execution_may_run_again_under_its_id(spans: Spans) -> None:
    """Its metrics start afresh, and its spans are in the same trace."""
    observer = MetricsObserver()

    for start in (1, 5):
        consume(
            observer,
            ExecutionStarted("e", timestamp=start),
            NodeStarted("e", "n", timestamp=start),
            NodeCompleted("e", "n", timestamp=start + 1),
            ExecutionCompleted("e", timestamp=start + 2),
        )

    assert final(observer, "e").node_metrics["n"].start_time == 5.0
    finished = spans.get_finished_spans()
    nodes = [span for span in finished if span.name == "n"]
    assert {span.context.trace_id for span in finished} == {trace_id_of("e")}
    assert [parent_of(node) for node in nodes] == [
        id_of(s) for s in finished if s.name == "execution"
    ]


def test_a_span_never_ends_before_it_starts(spans: Spans) -> None:
    """Times that an engine mixes up give a length of nothing."""
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", timestamp=9),
        NodeStarted("e", "n", timestamp=8),
        NodeCompleted("e", "n", timestamp=7),
        ExecutionCompleted("e", timestamp=6),
    )

    for span in spans.get_finished_spans():
        assert span.start_time == span.end_time
    assert final(observer, "e").total_duration_ms == 0.0


def test_interleaved_executions_stay_apart(spans: Spans) -> None:
    """Any number of tasks may publish to one observer."""
    observer = MetricsObserver()

    async def engine(exec_id: str) -> None:
        await observer.consume(ExecutionStarted(exec_id))
        for number in range(3):
            await observer.consume(NodeStarted(exec_id, f"{exec_id}.{number}"))
            await asyncio.sleep(0)
            with time_phase(exec_id, f"{exec_id}.{number}", "work"):
                await asyncio.sleep(0)
            await observer.consume(NodeCompleted(exec_id, f"{exec_id}.{number}"))
        await observer.consume(ExecutionCompleted(exec_id))

    async def engines() -> None:
        await asyncio.gather(*(engine(f"e{number}") for number in range(5)))

    asyncio.run(engines())

    for number in range(5):
        nodes = final(observer, f"e{number}").node_metrics
        assert list(nodes) == [f"e{number}.{node}" for node in range(3)]
        assert all(list(node.module_timings) == ["work"] for node in nodes.values())
    for span in spans.get_finished_spans():
        assert span.context.trace_id == trace_id_of(str(attributes_of(span)["exec_id"]))


def test_threads_may_share_an_observer() -> None:
    """Each with an event loop of its own; every event counts."""
    phasetrace.configure(store=False)
    observer = MetricsObserver()
    consume(observer, ExecutionStarted("e"))
    together = threading.Barrier(4)

    def engine(turns: range) -> None:
        together.wait()
        for turn in turns:
            consume(
                observer,
                NodeStarted("e", "n", iteration=turn),
                NodeCompleted("e", "n", token_usage=1, iteration=turn),
            )

    threads = [threading.Thread(target=engine, args=(range(first, 200, 4),)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    consume(observer, ExecutionCompleted("e"))

    assert final(observer, "e").node_metrics["n"].token_usage == 200


def test_metrics_are_there_while_an_execution_runs() -> None:
    """With the phases so far, and without taking them out of the collector."""
    phasetrace.configure(store=False)
    observer = MetricsObserver()
    consume(
        observer,
        ExecutionStarted("e", timestamp=0),
        NodeStarted("e", "done", timestamp=0),
        NodeCompleted("e", "done", timestamp=1),
        NodeStarted("e", "open", timestamp=1),
    )
    timing_collector.record("e", "open", "phase", 25.0)
    timing_collector.record("e", "elsewhere", "phase", 10.0)

    metrics = final(observer, "e")

    assert (metrics.end_time, metrics.total_duration_ms) == (None, None)
    assert metrics.critical_path == ["done"]
    assert metrics.bottlenecks == ["done"]
    assert metrics.node_metrics["open"].duration_ms is None
    assert metrics.node_metrics["open"].module_timings == {"phase": 25.0}
    assert metrics.node_metrics["elsewhere"].node_type == "system"
    assert timing_collector.get("e")["open"] == {"phase": 25.0}
    assert observer.metrics("unknown") is None


def test_only_the_latest_finished_executions_are_kept() -> None:
    """Memory stays bounded however many there are."""
    phasetrace.configure(store=False)
    observer = MetricsObserver(keep_finished=2)

    for exec_id in "abc":
        consume(observer, ExecutionStarted(exec_id), ExecutionCompleted(exec_id))

    assert observer.metrics("a") is None
    assert final(observer, "b").execution_id == "b"


def test_past_the_limit_the_oldest_running_execution_is_closed(
    spans: Spans, monkeypatch: pytest.MonkeyPatch, new_faults: Callable[[], dict[str, int]]
) -> None:
    """An engine that never completes anything leaves no more than that open."""
    monkeypatch.setattr("phasetrace.observer.metrics_observer.MAX_RUNNING", 2)
    observer = MetricsObserver()

    consume(observer, *(ExecutionStarted(exec_id) for exec_id in "abc"))

    assert attributes_of(the_root(spans, "a"))["phasetrace.cancelled"] is True
    assert [attributes_of(span)["exec_id"] for span in spans.get_finished_spans()] == ["a"]
    assert sum(new_faults().values()) == 1


def test_a_finished_execution_is_told_once() -> None:
    """To a function or to a coroutine function; events after that tell nothing new."""
    phasetrace.configure(store=False)
    told: list[ExecutionMetrics] = []

    async def tell(metrics: ExecutionMetrics) -> None:
        await asyncio.sleep(0)
        told.append(metrics)

    for on_complete in (told.append, tell):
        told.clear()
        observer = MetricsObserver(on_complete)
        consume(observer, ExecutionStarted("e"), ExecutionCompleted("e"), ExecutionCompleted("e"))
        assert told == [final(observer, "e")]


def test_a_callback_that_fails_does_not_reach_the_engine(
    new_faults: Callable[[], dict[str, int]],
) -> None:
    """It is counted, and the execution is finished all the same."""
    phasetrace.configure(store=False)

    def fail(metrics: ExecutionMetrics) -> None:
        raise RuntimeError(metrics.execution_id)

    observer = MetricsObserver(fail)

    consume(observer, ExecutionStarted("e"), ExecutionCompleted("e"))

    assert final(observer, "e").end_time is not None
    assert sum(new_faults().values()) == 1


def test_without_tracing_the_metrics_are_still_there() -> None:
    """A disabled OpenTelemetry takes the spans away, not the numbers."""
    phasetrace.configure(store=False, disabled=True)
    observer = MetricsObserver()

    consume(
        observer,
        NodeStarted("e", "n", timestamp=1),
        NodeCompleted("e", "n", timestamp=2),
        ExecutionCompleted("e", timestamp=2),
    )

    assert final(observer, "e").node_metrics["n"].duration_ms == 1000.0


def test_a_recorder_that_fails_does_not_reach_the_engine(
    monkeypatch: pytest.MonkeyPatch, new_faults: Callable[[], dict[str, int]]
) -> None:
    """The numbers do not depend on the spans."""
    phasetrace.configure(store=False)

    def fail() -> None:
        raise RuntimeError("no recorder")

    monkeypatch.setattr("phasetrace.scopes.source.recorder", fail)
    observer = MetricsObserver()

    consume(
        observer,
        ExecutionStarted("e", timestamp=1),
        NodeStarted("e", "n", timestamp=1),
        NodeCompleted("e", "n", timestamp=2),
        ExecutionCompleted("e", timestamp=2),
    )

    assert final(observer, "e").node_metrics["n"].duration_ms == 1000.0
    assert new_faults() == {"starting a span": 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_empty() -> None:
    """What was running is the parent's to end."""
    phasetrace.configure(store=False)
    observer = MetricsObserver()
    consume(observer, ExecutionStarted("e"))

    child = os.fork()
    if not child:
        os._exit(0 if observer.metrics("e") is None else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert observer.metrics("e") is not None


def test_a_sampled_out_node_leaves_nothing_open() -> None:
    """Its span says nothing about it, and phases no longer belong below it all the same."""
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    phasetrace.configure(store=False)

    consume(MetricsObserver(), NodeStarted("e", "n"), NodeCompleted("e", "n"))

    state = configuration.executions.get("e")
    assert state is not None and state.open_nodes == {}


class OpenSpans(SpanProcessor):
    """Knows the spans that have started and not ended."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Note a start."""
        self.names.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        """Note an end."""
        self.names.remove(span.name)


examples = itertools.count()
event_lists = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                [
                    "execution_started",
                    "node_started",
                    "node_completed",
                    "node_failed",
                    "execution_completed",
                ]
            ),
            "execution_id": st.sampled_from(["e", "f"]),
            "node_id": st.sampled_from(["m", "n"]),
        },
        optional={
            "timestamp": st.integers(0, 9),
            "iteration": st.integers(0, 2),
            "dependencies": st.lists(st.sampled_from(["m", "n", "o"])),
            "error": st.sampled_from(["", "broke"]),
            "token_usage": st.one_of(st.integers(0, 9), st.just({"input_tokens": 1})),
        },
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=event_lists)
def test_no_order_of_events_leaves_anything_open_or_raises(
    events: list[dict[str, Any]], new_faults: Callable[[], dict[str, int]]
) -> None:
    """When all executions have completed, every span has ended and the collector is empty."""
    phasetrace.configure(store=False)
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    open_spans = OpenSpans()
    provider.add_span_processor(open_spans)
    observer = MetricsObserver()

    example = f"-{next(examples)}"
    told = [{**event, "execution_id": event["execution_id"] + example} for event in events]

    consume(observer, *told, ExecutionCompleted(f"e{example}"), ExecutionCompleted(f"f{example}"))

    assert open_spans.names == []
    assert timing_collector.executions() == ()
    assert "following an engine's events" not in new_faults()
    for exec_id in (f"e{example}", f"f{example}"):
        metrics = final(observer, exec_id)
        state = configuration.executions.get(exec_id)
        assert state is not None and not state.open_nodes
        assert metrics.end_time is not None
        assert set(metrics.critical_path) <= set(metrics.node_metrics)


def test_the_metrics_have_the_fields_that_programs_rely_on() -> None:
    """By name and in this order."""
    assert [field.name for field in fields(NodeMetrics)] == [
        "node_id",
        "node_type",
        "start_time",
        "end_time",
        "duration_ms",
        "memory_usage",
        "token_usage",
        "error",
        "dependencies",
        "module_timings",
    ]
    assert [field.name for field in fields(ExecutionMetrics)] == [
        "execution_id",
        "start_time",
        "end_time",
        "total_duration_ms",
        "node_metrics",
        "critical_path",
        "parallelizable_groups",
        "bottlenecks",
    ]
