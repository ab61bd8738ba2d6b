"""What spans say beside their records: attributes, events, and the message of their status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from phasetrace.analysis.findings import FAILED, RETRIES, Finding
from phasetrace.names import TYPE
from phasetrace.recordings.json_values import (
    attributes_of,
    field,
    integer,
    message_in,
    messages,
    text_of,
)
from phasetrace.recordings.originals import Original, key_of, originals
from phasetrace.recordings.otlp_json import WARNINGS
from phasetrace.spans import PhaseKey, SpanRecord
from phasetrace.spans import key_of as phase_key_of

EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACK: Final = "exception.stacktrace"
"""An event and its attributes (https://opentelemetry.io/docs/specs/otel/trace/exceptions/)."""
_OWN: Final = frozenset({TYPE, WARNINGS})
"""Attributes that say nothing to people; what they mean is told otherwise."""


class SpanEvent(NamedTuple):
    """Something that happened at a moment (Unix ns) within a span."""

    time_ns: int
    name: str
    attributes: Mapping[str, Any]


class Details(NamedTuple):
    """What a span says beside its record; ``message`` is of its status."""

    trace_id: str = ""
    attributes: Mapping[str, Any] = {}
    events: tuple[SpanEvent, ...] = ()
    message: str = ""


NOTHING: Final = Details()

SpanKey = tuple[int, int]
"""The id of a span and its start: the roots of an execution that was opened twice have one id."""


def details_in(documents: Iterable[Any]) -> dict[SpanKey, Details]:
    """Return what the spans of some ``TracesData`` say.

    Raises:
        MalformedJson: if one is something else.
    """
    found: dict[SpanKey, Details] = {}
    for document in documents:
        for original in originals(document):
            trace_id, span_id, start_ns, _ = key_of(original.span)
            found[span_id, start_ns] = _details_of(trace_id, original)
    return found


def failure_of(details: Details) -> str:
    """Return what a failed span failed with, ``ValueError: bad row 7``; empty if it does not say.

    That is the exception which was recorded last, the one that left it; otherwise the message of
    its status.
    """
    for event in reversed(details.events):
        if event.name == EXCEPTION:
            parts = (event.attributes.get(name) for name in (EXCEPTION_TYPE, EXCEPTION_MESSAGE))
            said = ": ".join(text_of(part) for part in parts if part)
            if said:
                return said
    return details.message


def failed_key(finding: Finding) -> PhaseKey | None:
    """Return the phase or node of which a finding says that it failed; None if it does not."""
    if finding.kind not in (FAILED, RETRIES) or finding.node_id is None:
        return None
    return PhaseKey(finding.node_id, finding.phase)


def first_failures(
    findings: Iterable[Finding], spans: Iterable[SpanRecord | None]
) -> dict[PhaseKey, SpanRecord]:
    """Return the call that failed first of each phase and node that findings say failed."""
    keys = {failed_key(one) for one in findings} - {None}
    found: dict[PhaseKey, SpanRecord] = {}
    for span in spans if keys else ():
        if span is None or span.status != "error":
            continue
        key = phase_key_of(span)
        if key is not None and key in keys:
            known = found.get(key)
            if known is None or span.start_ns < known.start_ns:
                found[key] = span
    return found


def _details_of(trace_id: str, original: Original) -> Details:
    span = original.span
    attributes = attributes_of(span)
    return Details(
        trace_id,
        {name: value for name, value in attributes.items() if name not in _OWN},
        tuple(
            SpanEvent(
                integer(field(event, "timeUnixNano", "time_unix_nano"), "its time"),
                text_of(event.get("name") or ""),
                attributes_of(event),
            )
            for event in messages(span, "events", "events")
        ),
        text_of(message_in(span, "status").get("message") or ""),
    )
