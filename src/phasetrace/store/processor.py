"""The span processor that hands the spans of another provider to the store's writer."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from phasetrace import faults
from phasetrace.names import EXEC_ID
from phasetrace.store.entry import SAMPLED, RoutedSpan
from phasetrace.store.writer import StoreWriter


class StoreSpanProcessor(SpanProcessor):
    """Hands started and finished spans over; add it after `TimingSpanProcessor`.

    With `routed` what is sampled is to be delivered, too, wherever the writer's destinations are.
    Spans outside any execution are stored for that only. Thread-safe; never raises, never blocks.
    """

    def __init__(self, writer: StoreWriter, routed: bool = False) -> None:
        self._writer = writer
        self._routed = routed

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note an open span."""
        try:
            if (span.attributes or {}).get(EXEC_ID):
                self._writer.started(span)
        except Exception as error:
            faults.report("noting an open span for the store", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a finished span for writing."""
        try:
            context = span.get_span_context()
            if self._routed and context is not None and context.trace_flags & SAMPLED:
                if self._writer.destinations or (span.attributes or {}).get(EXEC_ID):
                    self._writer.ended(RoutedSpan(span))
            elif (span.attributes or {}).get(EXEC_ID):
                self._writer.ended(span)
        except Exception as error:
            faults.report("queueing a span for the store", error)
