"""Rows 9 and 10: the CPU time of the whole process a span, with everything behind it.

A block records its spans and flushes them, so that it contains what the background threads do.
Waiting costs nothing here, and neither does the receiver, which is a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from benchmarks import isolated
from benchmarks.contestants import CONTESTANTS, Contestant, configured, set_up
from benchmarks.effort import Effort
from benchmarks.lines import Bar, Line, line_of
from benchmarks.program import SpanProgram
from benchmarks.receiver import Receiver
from benchmarks.rounds import Entrant, Work, compare, interleaved
from benchmarks.stock import batching, stock_provider

_WARM_UP = 1


def stored(rounds: int, spans: int) -> dict[str, list[float]]:
    """Measure storing in SQLite (ours) beside aggregating and batching into nothing (the SDK)."""
    with ExitStack() as stack, set_up(["sdk_batch"]) as contestants:
        return _cpu(configured(stack), contestants["sdk_batch"], rounds, spans)


def exported(endpoint: str, rounds: int, spans: int) -> dict[str, list[float]]:
    """Measure sending to a receiver."""
    with ExitStack() as stack:
        provider = stock_provider(batching(OTLPSpanExporter(f"{endpoint}/v1/traces")))
        stack.callback(provider.shutdown)
        sdk = Contestant(SpanProgram(provider.get_tracer("benchmarks")), provider.force_flush)
        return _cpu(configured(stack, endpoint=endpoint), sdk, rounds, spans)


def row_9(effort: Effort) -> Iterator[Line]:
    """Compare spans in the store to spans that the SDK hands to nobody."""
    samples = isolated.call(stored, effort.cpu_rounds, effort.cpu_spans)
    comparison = compare(samples["phasetrace"], samples["sdk"])
    against = f"{CONTESTANTS['sdk_batch'][0]}, not stored"
    yield line_of("9", "CPU: recorded, encoded, stored", against, comparison, Bar(1 / 2, "≤ 1/2"))


def row_10_cpu(effort: Effort) -> Iterator[Line]:
    """Compare spans that reach a receiver."""
    with Receiver() as receiver:
        arguments = receiver.endpoint, effort.cpu_rounds, effort.cpu_spans
        samples = isolated.call(exported, *arguments)
    comparison = compare(samples["phasetrace"], samples["sdk"])
    sent = 2 * (effort.cpu_rounds + _WARM_UP) * effort.cpu_spans
    yield line_of(
        "10",
        "CPU: exported over OTLP/HTTP",
        "SDK, batch + OTLP exporter",
        comparison,
        Bar(1 / 3, "≤ 1/3"),
        note="" if receiver.spans >= sent else f"{sent - receiver.spans:,} spans did not arrive",
    )


def _cpu(ours: Contestant, sdk: Contestant, rounds: int, spans: int) -> dict[str, list[float]]:
    """Measure CPU nanoseconds a span of four attributes, flushed."""

    def entrant(contestant: Contestant) -> Entrant:
        def prepare(number: int) -> Work:
            record = contestant.program.metadata(f"cpu_{number}", spans)

            def work() -> None:
                record()
                contestant.flush()

            return work

        return Entrant(prepare, spans, lambda number: contestant.clear(f"cpu_{number}"))

    entrants = {"phasetrace": entrant(ours), "sdk": entrant(sdk)}
    return interleaved(entrants, rounds, _WARM_UP, time.process_time_ns)
