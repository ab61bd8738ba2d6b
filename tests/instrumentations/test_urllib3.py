"""opentelemetry-instrumentation-urllib3."""

from __future__ import annotations

from typing import Any

import urllib3
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.trace import SpanKind

from phasetrace import execution, node, phase, time_phase
from tests.conftest import Spans

from .attribution import EXEC_ID, NODE_ID, assert_attributed, phase_calls, the
from .conftest import Instrument
from .http_server import HTTPServer


def test_a_request_is_a_child_of_the_phase_around_it(
    spans: Spans, instrument: Instrument, http_server: HTTPServer
) -> None:
    """Its span has the phase's ids, and is counted beside it."""
    instrument(URLLib3Instrumentor())
    with time_phase(EXEC_ID, NODE_ID, "fetch"), urllib3.PoolManager() as pool:
        assert pool.request("GET", http_server.url).data == b"ok"
    finished = spans.get_finished_spans()
    request = the("GET", finished)
    assert request.kind is SpanKind.CLIENT
    assert_attributed(request, the("fetch", finished))
    assert phase_calls() == {"fetch": 1, "GET": 1}


def test_hooks_get_the_span(spans: Spans, instrument: Instrument, http_server: HTTPServer) -> None:
    """A hook of the application's sets attributes on the instrumentation's span."""

    def on_response(span: Any, pool: object, response: urllib3.BaseHTTPResponse) -> None:
        assert span.is_recording()
        span.set_attribute("body.size", len(response.data))

    instrument(URLLib3Instrumentor(), response_hook=on_response)
    with execution(EXEC_ID), node(NODE_ID), phase("fetch"), urllib3.PoolManager() as pool:
        pool.request("GET", http_server.url)
    request = the("GET", spans.get_finished_spans())
    assert (request.attributes or {})["body.size"] == 2
