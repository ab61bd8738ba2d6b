"""The processor on a provider that phasetrace had no part in."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext

import phasetrace
from phasetrace import (
    TimingCollector,
    TimingSpanProcessor,
    configure,
    time_phase,
    timing_collector,
)

IDS = {"exec_id": "e", "node_id": "n"}


@pytest.fixture
def collector() -> TimingCollector:
    """Return a collector of the test's own."""
    return TimingCollector()


@pytest.fixture
def tracer(collector: TimingCollector) -> trace.Tracer:
    """Return a tracer of a stock provider that has nothing but the processor."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(TimingSpanProcessor(collector))
    return provider.get_tracer("a.program")


def test_a_span_with_both_ids_counts(tracer: trace.Tracer, collector: TimingCollector) -> None:
    """Attributes are all it takes."""
    with tracer.start_as_current_span("x", attributes=IDS):
        pass
    assert set(collector.get("e")["n"]) == {"x"}


def test_children_inherit_what_they_do_not_say(
    tracer: trace.Tracer, collector: TimingCollector
) -> None:
    """The nearest span that names an execution decides, at any depth."""
    with (
        tracer.start_as_current_span("x", attributes={**IDS, "node_type": "t", "iteration": 2}),
        tracer.start_as_current_span("y") as child,
        tracer.start_as_current_span("z", attributes={"node_id": "other"}),
    ):
        assert isinstance(child, ReadableSpan)
        assert dict(child.attributes or {}) == {**IDS, "node_type": "t", "iteration": 2}
    assert {node: set(phases) for node, phases in collector.get("e").items()} == {
        "n": {"x", "y"},
        "other": {"z"},
    }


def test_another_exec_id_is_another_execution(
    tracer: trace.Tracer, collector: TimingCollector
) -> None:
    """A span that names its own execution takes nothing from the one around it."""
    with (
        tracer.start_as_current_span("x", attributes=IDS),
        tracer.start_as_current_span("y", attributes={"exec_id": "f"}),
    ):
        pass
    assert set(collector.get("e")["n"]) == {"x"}
    assert set(collector.get("f")["system"]) == {"y"}


def test_an_error_counts_as_one(tracer: trace.Tracer, collector: TimingCollector) -> None:
    """The SDK sets the status; the collector reads it."""
    with pytest.raises(ValueError), tracer.start_as_current_span("x", attributes=IDS):
        raise ValueError
    assert collector.breakdown("e").errors == 1


def test_ids_of_other_types_are_written_out(
    tracer: trace.Tracer, collector: TimingCollector
) -> None:
    """A numeric id is as good as its digits."""
    tracer.start_span("x", attributes={"exec_id": 7, "node_id": 8}).end()
    assert collector.get("7") == {"8": {"x": pytest.approx(0, abs=1000)}}


def test_the_ids_reach_processors_that_come_after(collector: TimingCollector) -> None:
    """An exporter sees them on every span."""
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(TimingSpanProcessor(collector))
    provider.add_span_processor(SimpleSpanProcessor(exported))
    tracer = provider.get_tracer("a.program")
    with tracer.start_as_current_span("x", attributes=IDS):
        tracer.start_span("y").end()
    assert all(
        dict(span.attributes or {}).items() >= IDS.items() for span in exported.get_finished_spans()
    )


def test_explicit_times_are_kept(tracer: trace.Tracer, collector: TimingCollector) -> None:
    """A span reported after the fact has the duration it says; one that ends early has none."""
    tracer.start_span("x", attributes=IDS, start_time=1_000).end(4_000_000)
    tracer.start_span("y", attributes=IDS, start_time=5_000).end(1_000)
    rows = {row.phase: row.total_ns for row in collector.breakdown("e").nodes[0].phases}
    assert rows == {"x": 3_999_000, "y": 0}


def test_a_span_with_very_many_attributes_keeps_its_ids() -> None:
    """The SDK drops the oldest attributes, and those are the ids; all that is ours gets them."""
    configure(store=False)
    provider = trace.get_tracer_provider()
    with time_phase("e", "n", "p") as span:
        for index in range(200):
            span.set_attribute(f"key {index}", index)
    assert isinstance(provider, TracerProvider)
    assert set(timing_collector.get("e")["n"]) >= {"p"}
    assert timing_collector.breakdown("e").spans == 1


def test_a_completed_span_is_otherwise_the_same(collector: TimingCollector) -> None:
    """What later processors get has the ids, and everything that it had."""
    processor = TimingSpanProcessor(collector)
    provider = TracerProvider(shutdown_on_exit=False)
    ended: list[ReadableSpan] = []

    class Last(SpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            processor.on_start(span, parent_context)

        def on_end(self, span: ReadableSpan) -> None:
            ended.extend([span, processor.completed(span)])

    provider.add_span_processor(Last())
    with provider.get_tracer("t").start_as_current_span("x", attributes=IDS) as span:
        span.set_attributes({f"key {index}": index for index in range(128)})
        for index in range(130):
            span.add_event(f"event {index}")
            span.add_link(SpanContext(1, index + 1, is_remote=False))
    cut, whole = ended
    assert "exec_id" not in (cut.attributes or {})
    assert dict(whole.attributes or {}) == {**IDS, **dict(cut.attributes or {})}
    assert whole.to_json() != cut.to_json()
    assert (whole.dropped_attributes, whole.dropped_events, whole.dropped_links) == (2, 2, 2)
    assert [whole.name, whole.context, whole.events, whole.start_time, whole.end_time] == [
        cut.name,
        cut.context,
        cut.events,
        cut.start_time,
        cut.end_time,
    ]


def test_a_failing_collector_does_not_reach_the_program(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of ours is logged once, and the program goes on."""

    class Broken(TimingCollector):
        def add(self, *args: object, **kwargs: object) -> None:
            raise RuntimeError("broken")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(TimingSpanProcessor(Broken()))
    for _ in range(3):
        provider.get_tracer("a.program").start_span("x", attributes=IDS).end()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_provider_that_samples_nothing_is_no_fault(collector: TimingCollector) -> None:
    """Spans that are not recorded never come, and nothing is left open."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(TimingSpanProcessor(collector))
    with provider.get_tracer("a.program").start_as_current_span("x", attributes=IDS):
        pass
    assert collector.executions() == ()


def test_what_the_pipeline_counts_is_counted_once() -> None:
    """A user may add the processor for the collector that his phases come to anyway."""
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor := TimingSpanProcessor(timing_collector))
    trace.set_tracer_provider(provider)
    configure(store=False)
    with time_phase("e", "n", "outer"):
        with provider.get_tracer("library").start_as_current_span("inner"):
            pass
        with provider.get_tracer("library").start_as_current_span("alone", Context()) as late:
            late.set_attributes(IDS)
    (node,) = timing_collector.breakdown("e").nodes
    counts = {phase.phase: phase.count for phase in node.phases}
    assert counts == {"outer": 1, "inner": 1, "alone": 1}
    assert (processor._ids, processor._counted) == ({}, {})


def test_what_the_pipeline_counts_elsewhere_is_counted_here(collector: TimingCollector) -> None:
    """A collector of the user's own gets everything, from phasetrace's provider as well."""
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(TimingSpanProcessor(collector))
    trace.set_tracer_provider(provider)
    configure(store=False)
    with time_phase("e", "n", "p"):
        pass
    for each in (collector, timing_collector):
        assert [phase.count for phase in each.breakdown("e").nodes[0].phases] == [1]


def test_it_is_a_span_processor(collector: TimingCollector) -> None:
    """So that every provider takes it."""
    assert isinstance(TimingSpanProcessor(collector), SpanProcessor)
