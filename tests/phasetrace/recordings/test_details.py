"""What spans say beside their records, read out of OTLP's JSON."""

from __future__ import annotations

from typing import Any

import pytest

from phasetrace.analysis.findings import FAILED, GAP, RETRIES, Finding
from phasetrace.recordings.details import (
    Details,
    SpanEvent,
    details_in,
    failed_key,
    failure_of,
    first_failures,
)
from phasetrace.spans import PhaseKey
from tests.phasetrace.analysis.timelines import ROOT
from tests.phasetrace.analysis.timelines import span as record
from tests.phasetrace.recordings.made import T, attributes, document, span


def exception(type_: Any = None, message: Any = None) -> SpanEvent:
    """Return the event of an exception."""
    said = {"exception.type": type_, "exception.message": message}
    return SpanEvent(0, "exception", {name: value for name, value in said.items() if value})


def test_a_span_says_attributes_events_and_the_message_of_its_status() -> None:
    """By its id and its start; what is told otherwise is not among them."""
    event = {"timeUnixNano": str(T + 7), "name": "seen", "attributes": attributes({"n": 1})}
    made = span(
        1, start=5, status={"code": 2, "message": "no"}, a=[1, 2], **{"phasetrace.type": "x"}
    )
    [(key, details)] = details_in([document([{**made, "events": [event]}])]).items()
    assert key == (1, T + 5)
    assert details == Details("5b" * 16, {"a": (1, 2)}, (SpanEvent(T + 7, "seen", {"n": 1}),), "no")


@pytest.mark.parametrize(
    ("details", "said"),
    [
        (Details(), ""),
        (Details(message="no"), "no"),
        (Details(events=(SpanEvent(0, "seen", {}),), message="no"), "no"),
        (Details(events=(exception("E", "m"),), message="no"), "E: m"),
        (Details(events=(exception("E"),)), "E"),
        (Details(events=(exception(None, "m"),)), "m"),
        (Details(events=(exception("E", "m"), exception("F", "n"))), "F: n"),
        (Details(events=(exception("E", "m"), exception())), "E: m"),
    ],
)
def test_a_failure_is_the_exception_that_left_the_span(details: Details, said: str) -> None:
    """The last one that says anything; without one, the message of the status."""
    assert failure_of(details) == said


def finding(kind: str, node_id: str | None, phase: str | None) -> Finding:
    """Return a finding of a kind."""
    return Finding(kind, node_id, phase, 0, 0.0)


def test_only_findings_about_failures_are_of_something_that_failed() -> None:
    """What failed for good, and what was tried again."""
    assert failed_key(finding(FAILED, "a", "p")) == PhaseKey("a", "p")
    assert failed_key(finding(RETRIES, "a", None)) == PhaseKey("a", None)
    assert failed_key(finding(GAP, None, None)) is None


def test_the_first_failure_is_the_earliest_of_its_phase() -> None:
    """Whatever the order of the spans; others than those of findings are not looked for."""
    spans = [
        record(ROOT, None, 0, 30),
        record(2, ROOT, 20, 25, "a", "p")._replace(status="error"),
        record(3, ROOT, 10, 15, "a", "p")._replace(status="error"),
        record(4, ROOT, 0, 5, "a", "p"),
        record(5, ROOT, 0, 5, "a", "q")._replace(status="error"),
    ]
    found = first_failures([finding(FAILED, "a", "p"), finding(GAP, None, None)], [*spans, None])
    assert {key: one.span_id for key, one in found.items()} == {PhaseKey("a", "p"): 3}
