"""opentelemetry-instrumentation-requests."""

from __future__ import annotations

from contextlib import suppress

import requests
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.trace import SpanKind, StatusCode

from phasetrace import execution, node, phase, time_phase
from tests.conftest import Spans

from .attribution import EXEC_ID, NODE_ID, assert_attributed, phase_calls, the
from .conftest import Instrument
from .http_server import HTTPServer


def test_a_request_is_a_child_of_the_phase_around_it(
    spans: Spans, instrument: Instrument, http_server: HTTPServer
) -> None:
    """Its span has the phase's ids, and is counted beside it."""
    instrument(RequestsInstrumentor())
    with time_phase(EXEC_ID, NODE_ID, "fetch"):
        assert requests.get(http_server.url, timeout=10).text == "ok"
    finished = spans.get_finished_spans()
    request = the("GET", finished)
    assert request.kind is SpanKind.CLIENT
    assert_attributed(request, the("fetch", finished))
    assert phase_calls() == {"fetch": 1, "GET": 1}


def test_the_server_is_told_of_the_trace_of_the_execution(
    spans: Spans, instrument: Instrument, http_server: HTTPServer
) -> None:
    """Propagation goes on from the instrumentation's span, in the execution's trace."""
    instrument(RequestsInstrumentor())
    with execution(EXEC_ID), node(NODE_ID), phase("fetch") as span:
        requests.get(http_server.url, timeout=10)
    request = the("GET", spans.get_finished_spans()).context
    assert request is not None
    [(_, _, headers)] = http_server.requests
    told = headers["traceparent"].split("-")[1:3]
    assert told == [f"{span.get_span_context().trace_id:032x}", f"{request.span_id:016x}"]


def test_every_request_counts(
    spans: Spans, instrument: Instrument, http_server: HTTPServer
) -> None:
    """A session's requests are so many calls of one phase."""
    instrument(RequestsInstrumentor())
    with execution(EXEC_ID), node(NODE_ID), phase("fetch"), requests.Session() as session:
        for _ in range(3):
            session.post(http_server.url, data=b"x", timeout=10)
    assert phase_calls() == {"fetch": 1, "POST": 3}


def test_a_failed_request_is_an_error_of_its_own(spans: Spans, instrument: Instrument) -> None:
    """What the instrumentation makes of an exception arrives, and the phase that coped is fine."""
    instrument(RequestsInstrumentor())
    with HTTPServer() as gone:
        pass
    with time_phase(EXEC_ID, NODE_ID, "fetch"), suppress(requests.ConnectionError):
        requests.get(gone.url, timeout=10)
    finished = spans.get_finished_spans()
    assert the("GET", finished).status.status_code is StatusCode.ERROR
    assert the("fetch", finished).status.status_code is StatusCode.UNSET
    assert_attributed(the("GET", finished), the("fetch", finished))
