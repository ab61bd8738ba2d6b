"""Row 8: bringing a span into OTLP's bytes, ours beside the official encoder."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from benchmarks import isolated
from benchmarks.effort import Effort
from benchmarks.lines import Bar, Line, line_of
from benchmarks.program import SpanProgram
from benchmarks.rounds import Entrant, Work, compare, interleaved
from benchmarks.stock import stock_provider
from phasetrace.wire import encode, frame

_BATCH = 512


class _Finished(SpanProcessor):
    """Keeps finished spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span."""
        self.spans.append(span)


def encoded(rounds: int) -> dict[str, list[float]]:
    """Time both encoders on batches of the SDK's spans, new ones in every round.

    Up to the bytes of a request.
    """
    official, ours = _Batches(stock_provider()), _Batches(stock_provider())

    def prepare_official(number: int) -> Work:
        batch = official.make(number)
        return lambda: encode_spans(batch).SerializeToString()

    def prepare_ours(number: int) -> Work:
        batch = ours.make(number)
        return lambda: frame([span for span in encode(batch) if span is not None])

    return interleaved(
        {"official": Entrant(prepare_official, _BATCH), "ours": Entrant(prepare_ours, _BATCH)},
        rounds,
    )


def row_8(effort: Effort) -> Iterator[Line]:
    """Compare the two encoders."""
    samples = isolated.call(encoded, effort.rounds)
    comparison = compare(samples["ours"], samples["official"])
    bar = Bar(1 / 6, "≤ 1/6")
    yield line_of("8", "encoding, 4 attributes", "official encoder", comparison, bar)


class _Batches:
    """Makes batches of finished spans with a provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._finished = _Finished()
        provider.add_span_processor(self._finished)
        self._program = SpanProgram(provider.get_tracer("benchmarks"))

    def make(self, number: int) -> list[ReadableSpan]:
        """Return a new batch of spans with four attributes."""
        self._finished.spans = []
        self._program.metadata(f"encoded_{number}", _BATCH)()
        return self._finished.spans
