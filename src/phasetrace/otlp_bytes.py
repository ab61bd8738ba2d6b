"""Handing the official OTLP exporters bytes in place of spans.

Their encoder takes 20 to 30 µs a span, and phasetrace has each span encoded already. Everything
else about them is wanted: configuration, TLS, headers, compression, transport, retries. So they go
on doing all of that, and where they would encode they are given what is encoded.

This runs their methods on a view of them, so they stay as they are, for whoever else uses them.
What they look like inside may change with any release. A release that looks different gets no
sender, and one that looks the same and does not take the bytes is found out before anything is
sent: the caller then has its spans to hand over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from opentelemetry.sdk.trace.export import SpanExportResult

from phasetrace.views import View, run_on, runs_anywhere

ByteSender = Callable[[bytes, int], SpanExportResult]
"""Takes a serialized ExportTraceServiceRequest and the number of spans in it."""

HTTP: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
GRPC: Final = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"


class BytesNotTakenError(Exception):
    """The exporter has not looked at the bytes, so nothing was sent: give it the spans."""


def byte_sender(exporter: Any) -> ByteSender | None:
    """Return what exports bytes through an exporter; None if it is not one that is known inside.

    The sender answers or raises what the exporter does, and raises `BytesNotTakenError` if it turns
    out not to be as known.
    """
    transport = transport_of(exporter)
    if transport == HTTP:
        return partial(_send_over_http, exporter)
    if transport == GRPC:
        return partial(_send_over_grpc, exporter, GrpcClient(exporter))
    return None


def transport_of(exporter: Any) -> str | None:
    """Return `HTTP` or `GRPC`; None if the exporter is not one that is known inside."""
    cls = type(exporter)
    module = cls.__module__
    if getattr(sys.modules.get(module), "OTLPSpanExporter", None) is not cls:
        return None
    if module == HTTP:
        is_known = runs_anywhere(exporter, "export", "encode_spans", "SerializePartialToString")
    else:
        is_known = (
            module == GRPC
            and runs_anywhere(exporter, "export", "_export")
            and runs_anywhere(exporter, "_export", "_client", "Export", "_translate_data")
            and callable(getattr(exporter, "_stub", None))
            and hasattr(getattr(exporter, "_channel", None), "unary_unary")
        )
    return module if is_known else None


class _Request:
    """What stands for the spans on their way through an exporter, and for their message."""

    def __init__(self, payload: bytes, spans: int) -> None:
        self._payload = payload
        self._spans = spans
        self.is_taken = False

    def __len__(self) -> int:
        return self._spans

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        self.is_taken = True
        return self._payload

    SerializePartialToString = SerializeToString


def send(export: Callable[[Any], Any], payload: bytes, spans: int) -> SpanExportResult:
    """Call an `export` whose "encoding" leaves what it is given as it is.

    Raises:
        BytesNotTakenError: if it has not asked for the bytes, whatever else it did.
    """
    request = _Request(payload, spans)
    try:
        result: SpanExportResult = export(request)
    except Exception as error:
        if request.is_taken:
            raise
        raise BytesNotTakenError from error
    if not request.is_taken:
        raise BytesNotTakenError
    return result


def itself(request: Any) -> Any:
    """Encode a request that is encoded."""
    return request


def _send_over_http(exporter: Any, payload: bytes, spans: int) -> SpanExportResult:
    return send(run_on(View(exporter), "export", encode_spans=itself), payload, spans)


def _send_over_grpc(
    exporter: Any, client: GrpcClient, payload: bytes, spans: int
) -> SpanExportResult:
    view = View(exporter, _client=client, _translate_data=itself)
    run_on(view, "_export")
    return send(run_on(view, "export"), payload, spans)


class GrpcClient:
    """The client of an exporter's present channel, but one that takes bytes."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self._made: tuple[Any, Any] = None, None  # the channel, and its client

    def Export(self, *args: Any, **more: Any) -> Any:  # noqa: N802 - the service's name
        """Call the receiver, and return its response."""
        channel = self._exporter._channel  # another one after the exporter has reconnected
        made_for, client = self._made
        if made_for is not channel:
            client = self._exporter._stub(_Channel(channel))
            self._made = channel, client
        return client.Export(*args, **more)


class _Channel:
    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def unary_unary(
        self, method: str, request_serializer: Any = None, *rest: Any, **more: Any
    ) -> Any:
        return self._channel.unary_unary(method, _serialized, *rest, **more)


def _serialized(message: Any) -> bytes:
    payload: bytes = message.SerializeToString()
    return payload
