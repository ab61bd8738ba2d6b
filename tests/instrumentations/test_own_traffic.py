"""What phasetrace does itself is no work of the program's, and leaves no spans."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import phasetrace
from phasetrace import time_phase
from tests.conftest import Spans

from .attribution import EXEC_ID, NODE_ID, phase_calls
from .conftest import Instrument
from .http_server import HTTPServer


def test_the_store_and_the_delivery_make_no_spans(
    instrument: Instrument, http_server: HTTPServer
) -> None:
    """Neither the store's statements nor the requests to the collector are traced."""
    for instrumentor in (
        RequestsInstrumentor(),
        SQLite3Instrumentor(),
        ThreadingInstrumentor(),  # which gives our threads the context of who starts them
        URLLib3Instrumentor(),
    ):
        instrument(instrumentor)
    phasetrace.configure(endpoint=http_server.url, exporters=["otlp"])
    everything = Spans()
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(everything))
    with time_phase(EXEC_ID, NODE_ID, "work"):
        assert phasetrace.force_flush()
    assert phasetrace.force_flush()
    phasetrace.timing_collector.pop(EXEC_ID)
    assert phasetrace.force_flush()
    assert phase_calls() == {"work": 1}  # read from the store
    assert {path for _, path, _ in http_server.requests} == {"/v1/traces"}
    assert {span.name for span in everything.get_finished_spans()} == {"work", "execution"}
