"""Do the destinations take what is sent to them? They are asked, the way that delivery sends.

By a request without spans: OTLP has a receiver answer that with success ("OTLP/HTTP Response",
"Full Success"), after it has looked at the address, the protocol, TLS and the headers, and nothing
stays behind in a backend. A span would, and the name of its service in a list of them. One is sent
where it is asked for, or where a receiver finds fault with the request itself, which may be that it
is empty.
"""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from phasetrace import clock, exporting
from phasetrace._version import __version__
from phasetrace.checks.finding import Finding, Level
from phasetrace.destination import Destination
from phasetrace.environment import service_is_named
from phasetrace.errors import ConfigError
from phasetrace.exporting import Outlet
from phasetrace.remedies import remedy
from phasetrace.rendering import human
from phasetrace.sending import otlp_endpoint, otlp_variables
from phasetrace.settings import Settings
from phasetrace.variables import redacted
from phasetrace.verdict import Outcome, Verdict
from phasetrace.wire import encode, frame

SPAN_NAME: Final = "phasetrace doctor"
_GRPC: Final = "otlp_proto_grpc"
_OTLP: Final = frozenset({"otlp_proto_http", _GRPC})
_TIMEOUT_S: Final = 5.0
_ABOUT_THE_REQUEST: Final = (Outcome.REFUSED, Outcome.TOO_LARGE, Outcome.UNKNOWN)


def findings(settings: Settings, sends_spans: bool = False) -> list[Finding]:
    """Send to each destination that the settings name; say what became of it.

    With `sends_spans` that is a span. Exporters that are not OTLP's get nothing without: it would
    be printed, or stay in a file.
    """
    if not settings.exporters:
        return [Finding(Level.OK, "exporters", "none: nothing is sent anywhere")]
    with redirect_stdout(sys.stderr):  # what an exporter prints is not the doctor's answer
        return [_finding(settings, str(name), sends_spans) for name in settings.exporters]


def configured_keys(settings: Settings) -> set[str]:
    """Return what the store knows the destinations by that the settings name."""
    keys: set[str] = set()
    for name in settings.exporters:
        try:
            outlets = exporting.make_outlets(settings._replace(exporters=(name,)), makes=False)
        except ConfigError:
            continue
        keys.update(outlet.spec.key for outlet in outlets if outlet.spec is not None)
    return keys


def doctors_span() -> ReadableSpan:
    """Return a finished span in a trace of its own, with the resource that the SDK makes."""
    ids, now_ns = RandomIdGenerator(), clock.now_ns()
    context = SpanContext(
        ids.generate_trace_id(), ids.generate_span_id(), False, TraceFlags(TraceFlags.SAMPLED)
    )
    return ReadableSpan(
        SPAN_NAME,
        context,
        resource=Resource.create({SERVICE_NAME: SPAN_NAME} if not service_is_named() else None),
        instrumentation_scope=InstrumentationScope("phasetrace", __version__),
        start_time=now_ns,
        end_time=now_ns,
    )


def _finding(settings: Settings, name: str, sends_spans: bool) -> Finding:
    try:
        (outlet,) = exporting.make_outlets(settings._replace(exporters=(name,)))
    except ConfigError as error:
        advice = "is its name spelt right, is its package installed, are its variables right?"
        return Finding(Level.PROBLEM, name, str(error), advice)
    destination = Destination(outlet.name, outlet.exporter)
    try:
        return _tried(settings, outlet, destination, sends_spans)
    finally:
        destination.shutdown()


def _tried(
    settings: Settings, outlet: Outlet, destination: Destination, sends_spans: bool
) -> Finding:
    is_otlp = outlet.name in _OTLP or destination.takes_bytes
    if not is_otlp and not sends_spans:
        return Finding(
            Level.OK, outlet.name, "made; not OTLP, so nothing was sent (--send sends a span)"
        )
    is_grpc = outlet.name == _GRPC
    endpoint = redacted(otlp_endpoint(settings, is_grpc)) if outlet.name in _OTLP else ""
    began = time.monotonic_ns()
    verdict = None if sends_spans else _without_spans(destination)
    is_empty = verdict is not None
    if verdict is None:
        verdict = _send(destination)
    took = human(time.monotonic_ns() - began)
    whither = f"{endpoint}: " if endpoint else ""
    if verdict.outcome is not Outcome.DELIVERED:
        text = f"{whither}{verdict.reason or verdict.outcome.value} (after {took})"
        advice = remedy(verdict, endpoint, is_grpc, otlp_variables(settings))
        return Finding(Level.PROBLEM, outlet.name, text, advice)
    remark = f", and remarks: {verdict.reason}" if verdict.reason else ""
    if verdict.rejected:
        text = f"{whither}it answers success but kept nothing{remark}"
        return Finding(Level.PROBLEM, outlet.name, text, "the receiver's own log should say more")
    what = "a request without spans" if is_empty else f"a span {SPAN_NAME!r}"
    more = " (--send sends one with a span)" if is_empty else ""
    text = f"{whither}took {what} in {took}{more}{remark}"
    return Finding(Level.WARNING if remark else Level.OK, outlet.name, text)


def _without_spans(destination: Destination) -> Verdict | None:
    """Return the answer to an empty request; None where it takes a span to know more."""
    if not destination.takes_bytes:
        return None
    verdict = destination.send(b"", 0, _TIMEOUT_S)
    is_about_it = verdict.outcome in _ABOUT_THE_REQUEST
    return None if is_about_it or not destination.takes_bytes else verdict


def _send(destination: Destination) -> Verdict:
    span = doctors_span()
    (message,) = encode([span])
    if destination.takes_bytes and message is not None:
        verdict = destination.send(frame([message]), 1, _TIMEOUT_S)
        if verdict.outcome is Outcome.TOO_LARGE:  # no span is smaller
            verdict = verdict._replace(outcome=Outcome.REFUSED)
        if destination.takes_bytes:  # else nothing was sent
            return verdict
    return destination.export_spans([span])
