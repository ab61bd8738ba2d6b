"""Spans that reach a real receiver as bytes, through the official exporters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_exporter
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from phasetrace.feed import Feed, FeedCounts
from phasetrace.settings import BatchLimits

from .rotel import Rotel
from .test_rotel_harness import make_a_full_trace

LONG_MS = 60_000


def over_http(server: Rotel) -> SpanExporter:
    """Return the official http/protobuf exporter."""
    return http_exporter.OTLPSpanExporter(f"{server.http_endpoint}/v1/traces", timeout=2)


def over_grpc(server: Rotel) -> SpanExporter:
    """Return the official gRPC exporter."""
    return grpc_exporter.OTLPSpanExporter(server.grpc_endpoint, insecure=True, timeout=2)


both = pytest.mark.parametrize("make", [over_http, over_grpc])


@contextmanager
def feeding(exporter: SpanExporter) -> Iterator[Feed]:
    """Feed an exporter, which must not encode anything itself meanwhile."""

    def encode_spans(spans: object) -> object:
        raise AssertionError("the exporter encodes")

    feed = Feed("otlp", exporter, BatchLimits(schedule_delay_ms=10**9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_exporter, "encode_spans", encode_spans)
        patch.setattr(grpc_exporter, "encode_spans", encode_spans)
        yield feed
    feed.shutdown()


def traced(*resources: Resource) -> list[Any]:
    """Return spans with everything that a span can have, of several resources and scopes."""
    ended = InMemorySpanExporter()
    for resource in resources:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(ended))
        make_a_full_trace(provider.get_tracer("a.scope", "1.0", attributes={"scoped": True}))
        make_a_full_trace(provider.get_tracer("another.scope", None, "https://schema.test/1"))
    return list(ended.get_finished_spans())


@both
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_bytes_arrive_as_spans_would(
    rotel: Rotel,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Rotel], SpanExporter],
    compression: str,
) -> None:
    """The receiver cannot tell the one from the other, over any transport."""
    if compression != "none":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    spans = traced(Resource({"service.name": "a", "zones": ("x", "y")}), Resource({"n": 1}))
    exporter = make(rotel)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    official = rotel.spans()
    with feeding(exporter) as feed:
        feed.take(spans)
        assert feed.force_flush(LONG_MS)
    assert rotel.spans()[len(official) :] == official
    assert len(official) == len(spans) == feed.delivered


@both
def test_a_burst_arrives_whole_and_in_order(
    rotel: Rotel, make: Callable[[Rotel], SpanExporter]
) -> None:
    """In a few requests, each of many spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    spans: list[Any] = [tracer.start_span(f"s{index}") for index in range(5000)]
    for span in spans:
        span.end()
    with feeding(make(rotel)) as feed:
        feed.take(spans)
        assert feed.force_flush(LONG_MS)
    assert [span.name for span in rotel.spans()] == [span.name for span in spans]


@both
def test_bytes_go_on_after_the_receiver_was_away(
    rotel: Rotel, make: Callable[[Rotel], SpanExporter]
) -> None:
    """What it missed has failed, and the exporter's new connection takes bytes again."""
    first, *others = traced(Resource({}))
    with feeding(make(rotel)) as feed:

        def flushed(span: ReadableSpan) -> bool:
            feed.take([span])
            return feed.force_flush(LONG_MS)

        assert flushed(first)
        rotel.stop()
        assert not flushed(others[0])
        assert not feed.keeps_up
        rotel.start()
        # gRPC's older exporters wait a little before they connect again.
        tried = next(number for number, span in enumerate(others[1:], 1) if flushed(span))
    assert [span.name for span in rotel.spans()] == [first.name, others[tried].name]
    assert feed.counts() == FeedCounts(0, 0, 2, tried, 0)
