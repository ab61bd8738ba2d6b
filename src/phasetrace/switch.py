"""A span processor whose insides can be replaced."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor


class ProcessorSwitch(SpanProcessor):
    """Passes everything on to `processors`, in order.

    An SDK provider never gives a processor back. It is therefore handed one switch, once, and a new
    configuration replaces what is behind it. Replacing the tuple is atomic; spans in flight see the
    old one or the new one.
    """

    def __init__(self) -> None:
        self.processors: tuple[SpanProcessor, ...] = ()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass a started span on."""
        for processor in self.processors:
            processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass a finished span on."""
        for processor in self.processors:
            processor.on_end(span)

    def shutdown(self) -> None:
        """Shut all processors down."""
        for processor in self.processors:
            processor.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush all processors; return whether every one managed to."""
        flushed = [processor.force_flush(timeout_millis) for processor in self.processors]
        return all(result is not False for result in flushed)
