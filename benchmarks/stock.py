"""The stock SDK, set up as an application would that wants what phasetrace offers.

The providers are local objects; nothing is installed globally.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.plain_collector import PlainCollector

MAX_QUEUE = 1 << 17
"""Spans that may wait: more than any block makes, so that none is dropped."""


class NullExporter(SpanExporter):
    """Takes spans and does nothing but count them."""

    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count."""
        self.spans += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing."""
        return True


class AggregatingProcessor(SpanProcessor):
    """Adds finished spans up in a plain collector: the least that gives local numbers."""

    def __init__(self) -> None:
        self.collector = PlainCollector()

    def on_end(self, span: ReadableSpan) -> None:
        """Add a span up."""
        attributes = span.attributes
        if not attributes or span.start_time is None or span.end_time is None:
            return
        exec_id = attributes.get("exec_id")
        if not exec_id:
            return
        metadata = {
            key: value for key, value in attributes.items() if key not in ("exec_id", "node_id")
        }
        dur_ms = (span.end_time - span.start_time) / 1e6
        node_id = str(attributes.get("node_id", "system"))
        self.collector.record(str(exec_id), node_id, span.name, dur_ms, **metadata)


def stock_provider(*processors: SpanProcessor) -> TracerProvider:
    """Return a stock provider with these processors."""
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def batching(exporter: SpanExporter) -> BatchSpanProcessor:
    """Return the stock batch processor, with room enough for the benchmarks."""
    return BatchSpanProcessor(exporter, max_queue_size=MAX_QUEUE)
