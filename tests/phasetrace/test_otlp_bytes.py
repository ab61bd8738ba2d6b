"""Bytes through the official exporters: sent as they are, and found out if they would not be."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import requests
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as over_grpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import trace_exporter as over_http
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from requests.adapters import BaseAdapter

from phasetrace.otlp_bytes import BytesNotTakenError, byte_sender

PAYLOAD = b"\x0a\x03any\xff\x00"
SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


class Receiver:
    """What both transports bring: bodies and headers; refuses from now on if told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, Any]] = []
        self.refuses = False


class Adapter(BaseAdapter):
    """Answers in place of an HTTP server."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> Any:
        """Keep a request and answer it."""
        assert isinstance(request.body, bytes)
        self._receiver.bodies.append(request.body)
        self._receiver.headers.append({key.lower(): v for key, v in request.headers.items()})
        response = requests.Response()
        response.status_code = 400 if self._receiver.refuses else 200
        response._content = b""
        response.url = str(request.url)
        return response

    def close(self) -> None:
        """Do nothing."""


def http_exporter(receiver: Receiver, **more: Any) -> SpanExporter:
    """Return the official exporter, in front of a receiver."""
    session = requests.Session()
    session.mount("http://", Adapter(receiver))
    return over_http.OTLPSpanExporter(
        "http://h/v1/traces", headers={"tenant": "a"}, session=session, **more
    )


@pytest.fixture
def port(receiver: Receiver) -> Iterator[int]:
    """Run a gRPC server and return its port."""

    def export(body: bytes, context: Any) -> bytes:
        receiver.bodies.append(body)
        receiver.headers.append(dict(context.invocation_metadata()))
        if receiver.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    methods = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def grpc_exporter(port: int) -> SpanExporter:
    """Return the official exporter, in front of a server."""
    return over_grpc.OTLPSpanExporter(
        f"http://127.0.0.1:{port}", headers={"tenant": "a"}, insecure=True
    )


@pytest.fixture
def receiver() -> Receiver:
    """Return what exporters send to."""
    return Receiver()


@pytest.fixture(params=["http", "grpc"])
def exporter(request: pytest.FixtureRequest, receiver: Receiver) -> Iterator[Any]:
    """Return an official exporter of either transport."""
    if request.param == "http":
        exporter = http_exporter(receiver)
    else:
        exporter = grpc_exporter(request.getfixturevalue("port"))
    yield exporter
    exporter.shutdown()


def sender_of(exporter: Any) -> Callable[[bytes, int], SpanExportResult]:
    """Return the sender that there has to be."""
    send = byte_sender(exporter)
    assert send is not None
    return send


def spans(number: int) -> list[ReadableSpan]:
    """Return that many finished spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    made = [tracer.start_span(f"s{index}") for index in range(number)]
    for span in made:
        span.end()
    return made  # type: ignore[return-value]


def test_bytes_are_sent_as_they_are(exporter: Any, receiver: Receiver) -> None:
    """They are not decoded, so they need not even be a message; headers are the exporter's."""
    send = sender_of(exporter)
    assert [send(PAYLOAD, 2), send(b"\0", 0)] == [SUCCESS, SUCCESS]
    assert receiver.bodies == [PAYLOAD, b"\0"]
    assert [headers["tenant"] for headers in receiver.headers] == ["a", "a"]


def test_the_exporter_compresses(receiver: Receiver) -> None:
    """What is configured of it holds for bytes."""
    exporter: Any = http_exporter(receiver, compression=Compression.Gzip)
    assert sender_of(exporter)(PAYLOAD, 1) is SUCCESS
    assert gzip.decompress(receiver.bodies[0]) == PAYLOAD
    exporter.shutdown()


def test_a_refusal_is_a_failure(exporter: Any, receiver: Receiver) -> None:
    """The sender answers what the exporter does."""
    receiver.refuses = True
    assert sender_of(exporter)(PAYLOAD, 1) is FAILURE
    assert receiver.bodies == [PAYLOAD]


def test_spans_can_still_be_exported(exporter: Any, receiver: Receiver) -> None:
    """The exporter may be in use elsewhere, and may be given a second sender."""
    some = spans(3)
    sender_of(exporter)
    send = sender_of(exporter)
    assert exporter.export(some) is SUCCESS
    assert send(PAYLOAD, 1) is SUCCESS
    assert receiver.bodies == [encode_spans(some).SerializeToString(), PAYLOAD]


def test_only_the_exporter_itself_is_changed(exporter: Any) -> None:
    """Its class and its module are as they were, for all other exporters."""
    module = sys.modules[type(exporter).__module__]
    before = dict(vars(module)), dict(vars(type(exporter)))
    sender_of(exporter)
    assert (dict(vars(module)), dict(vars(type(exporter)))) == before


def test_a_grpc_exporter_that_reconnects_still_takes_bytes(port: int, receiver: Receiver) -> None:
    """It makes itself another client then, out of the same stub."""
    exporter: Any = grpc_exporter(port)
    send = sender_of(exporter)
    exporter._channel.close()
    if hasattr(exporter, "_initialize_channel_and_stub"):  # since 1.40
        exporter._initialize_channel_and_stub()
    else:
        exporter._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        exporter._client = exporter._stub(exporter._channel)
    assert send(PAYLOAD, 1) is SUCCESS
    assert exporter.export(spans(1)) is SUCCESS
    assert receiver.bodies[0] == PAYLOAD
    exporter.shutdown()


class Subclass(over_http.OTLPSpanExporter):
    """Somebody's own, which may do anything with spans."""


def test_no_other_exporter_takes_bytes(receiver: Receiver) -> None:
    """Neither a subclass, nor one that somebody has changed, nor one that looks the same."""
    subclass: Any = Subclass()
    patched: Any = http_exporter(receiver)
    patched.export = lambda spans: SUCCESS
    lookalike = type("OTLPSpanExporter", (), {"__module__": over_http.__name__})()
    assert [byte_sender(one) for one in (subclass, patched, lookalike, object())] == [None] * 4
    subclass.shutdown()
    patched.shutdown()


def test_no_exporter_is_imported_to_look() -> None:
    """Whoever uses none of them does not pay for them."""
    program = (
        "import sys; from phasetrace.otlp_bytes import byte_sender; byte_sender(object());"
        "print([name for name in sys.modules if 'otlp.proto' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def encoding_elsewhere(self: Any, spans: Any) -> Any:
    """Stand for a release that encodes in another way."""
    return self._client.send(spans)


def looking_at_spans(self: Any, spans: Any) -> Any:
    """Stand for a release that looks at the spans before it encodes them."""
    for span in spans:
        span.get_span_context()
    return self.send(encode_spans(spans).SerializePartialToString())


def catching(self: Any, spans: Any) -> Any:
    """Stand for a release that does so, too, and says itself what went wrong."""
    try:
        spans[0].get_span_context()
        return self.send(encode_spans(spans).SerializePartialToString())
    except TypeError:
        return FAILURE


def test_a_release_that_encodes_elsewhere_gets_none(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not as known is left alone, and says so before anything is exported."""
    for cls, method in (
        (over_http.OTLPSpanExporter, "export"),
        (over_grpc.OTLPSpanExporter, "export"),
        (over_grpc.OTLPSpanExporter, "_export"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(cls, method, encoding_elsewhere)
            exporter: Any = (
                http_exporter(receiver)
                if cls.__module__ == over_http.__name__
                else grpc_exporter(1)
            )
            before = dict(vars(exporter))
            assert byte_sender(exporter) is None
            assert dict(vars(exporter)) == before
            exporter.shutdown()


@pytest.mark.parametrize("export", [looking_at_spans, catching])
def test_a_release_that_does_more_with_spans_is_found_out(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, export: Any
) -> None:
    """Whether it raises or answers: it has not asked for the bytes, so nothing was sent."""
    monkeypatch.setattr(over_http.OTLPSpanExporter, "export", export)
    exporter = http_exporter(receiver)
    with pytest.raises(BytesNotTakenError):
        sender_of(exporter)(PAYLOAD, 1)
    assert receiver.bodies == []


def test_what_the_exporter_raises_after_it_took_the_bytes_is_raised(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """Something may have been sent then, so it is not for the spans to be sent once more."""

    def sending(self: Any, spans: Any) -> Any:
        raise OSError(encode_spans(spans).SerializePartialToString())

    monkeypatch.setattr(over_http.OTLPSpanExporter, "export", sending)
    with pytest.raises(OSError, match="any"):
        sender_of(http_exporter(receiver))(PAYLOAD, 1)
