"""Do the destinations take spans? A real one is sent, the way that delivery sends."""

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
from phasetrace.errors import ConfigError
from phasetrace.exporting import Outlet
from phasetrace.remedies import remedy
from phasetrace.rendering import human
from phasetrace.settings import Settings, otlp_endpoint, otlp_variables, service_is_named
from phasetrace.variables import redacted
from phasetrace.verdict import Outcome, Verdict
from phasetrace.wire import encode, frame

SPAN_NAME: Final = "phasetrace doctor"
_GRPC: Final = "otlp_proto_grpc"
_OTLP: Final = frozenset({"otlp_proto_http", _GRPC})
_TIMEOUT_S: Final = 5.0


def findings(settings: Settings, sends_to_all: bool = False) -> list[Finding]:
    """Send a span to each destination that the settings name; say what became of it.

    Exporters that are not OTLP's get one with `sends_to_all` only: it would be printed, or stay in
    a file.
    """
    if not settings.exporters:
        return [Finding(Level.OK, "exporters", "none: nothing is sent anywhere")]
    with redirect_stdout(sys.stderr):  # what an exporter prints is not the doctor's answer
        return [_finding(settings, str(name), sends_to_all) for name in settings.exporters]


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


def _finding(settings: Settings, name: str, sends_to_all: bool) -> Finding:
    try:
        (outlet,) = exporting.make_outlets(settings._replace(exporters=(name,)))
    except ConfigError as error:
        advice = "is its name spelt right, is its package installed, are its variables right?"
        return Finding(Level.PROBLEM, name, str(error), advice)
    destination = Destination(outlet.name, outlet.exporter)
    try:
        return _tried(settings, outlet, destination, sends_to_all)
    finally:
        destination.shutdown()


def _tried(
    settings: Settings, outlet: Outlet, destination: Destination, sends_to_all: bool
) -> Finding:
    is_otlp = outlet.name in _OTLP or destination.takes_bytes
    if not is_otlp and not sends_to_all:
        return Finding(
            Level.OK, outlet.name, "made; not OTLP, so no span was sent (--send sends one)"
        )
    is_grpc = outlet.name == _GRPC
    endpoint = redacted(otlp_endpoint(settings, is_grpc)) if outlet.name in _OTLP else ""
    began = time.monotonic_ns()
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
    text = f"{whither}took a span {SPAN_NAME!r} in {took}{remark}"
    return Finding(Level.WARNING if remark else Level.OK, outlet.name, text)


def _send(destination: Destination) -> Verdict:
    span = doctors_span()
    (message,) = encode([span])
    if destination.takes_bytes and message is not None:
        verdict = destination.send(frame([message]), 1, _TIMEOUT_S)
        if destination.takes_bytes:  # else nothing was sent
            return verdict
    return destination.export_spans([span])
