"""opentelemetry-instrumentation-logging: records know the span they were made in."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.trace import Span

from phasetrace import execution, node, phase, time_phase
from tests.conftest import Spans

from .attribution import EXEC_ID, NODE_ID
from .conftest import Instrument

logger = logging.getLogger("a program")


def test_a_record_carries_the_ids_of_the_phase(
    spans: Spans, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    """The trace and the span that a backend files the record under are the phase's."""
    # Releases before 0.61 do this in any case, and take no notice of the option.
    instrument(LoggingInstrumentor(), inject_trace_context=True)
    with time_phase(EXEC_ID, NODE_ID, "talk") as span:
        logger.warning("inside")
    logger.warning("outside")
    inside, outside = (ids_of(record) for record in caplog.records)
    context = span.get_span_context()
    assert inside == (f"{context.trace_id:032x}", f"{context.span_id:016x}", True)
    assert outside == ("0", "0", False)


def test_a_hook_gets_the_span_of_the_phase(
    spans: Spans, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    """The application can put the execution's id into its log."""

    def name_the_execution(span: Span, record: logging.LogRecord) -> None:
        record.exec_id = getattr(span, "attributes", {})["exec_id"]

    instrument(LoggingInstrumentor(), log_hook=name_the_execution)
    with execution(EXEC_ID), node(NODE_ID), phase("talk"):
        logger.warning("inside")
    (record,) = caplog.records
    assert vars(record)["exec_id"] == EXEC_ID


def ids_of(record: logging.LogRecord) -> tuple[Any, Any, Any]:
    """Return what the instrumentation has put on a record: trace, span, whether it is exported."""
    attributes = vars(record)
    return tuple(attributes[f"otel{name}"] for name in ("TraceID", "SpanID", "TraceSampled"))
