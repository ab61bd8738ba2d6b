"""One attempt through the official exporters: what is learned, and that nobody else notices."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as over_grpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import trace_exporter as over_http
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from phasetrace.otlp_attempt import attempts, configured_timeout_s
from phasetrace.otlp_bytes import BytesNotTakenError
from phasetrace.otlp_clients import Seen, WatchedGrpcClient
from phasetrace.remedies import explained
from phasetrace.verdict import DELIVERED, Outcome, Verdict
from tests.phasetrace.receivers import (
    SELF_SIGNED,
    Receiver,
    fail,
    grpc_receiver,
    hang_up,
    http_receiver,
    raw,
    reset,
    respond,
)

PAYLOAD = b"\x0a\x03any\xff\x00"
UNAVAILABLE, REFUSED, MISCONFIGURED = Outcome.UNAVAILABLE, Outcome.REFUSED, Outcome.MISCONFIGURED
PARTIAL = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
).SerializeToString()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach the servers themselves, by the certificates that the tests name."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def http_server() -> Iterator[Receiver]:
    """Return a receiver over HTTP."""
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def grpc_server() -> Iterator[Receiver]:
    """Return a receiver over gRPC."""
    with grpc_receiver() as receiver:
        yield receiver


HTTP_TRANSPORTS = ["http"]
if find_spec("opentelemetry.exporter.http"):
    HTTP_TRANSPORTS.append("urllib3")


class Exporters:
    """Makes exporters, and shuts them down at the end."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def urllib3(self, port: int, **more: Any) -> Any:
        """Return the official exporter over HTTP, with another transport (since 1.45)."""
        from opentelemetry.exporter.http.transport._urllib3 import Urllib3HTTPTransport

        return self.http(port, _transport=Urllib3HTTPTransport(), **more)

    def http(self, port: int, *, scheme: str = "http", **more: Any) -> Any:
        """Return the official exporter over HTTP."""
        address = f"{scheme}://user:secret@127.0.0.1:{port}/v1/traces"
        return self._kept(over_http.OTLPSpanExporter(address, **more))

    def grpc(self, port: int, **more: Any) -> Any:
        """Return the official exporter over gRPC."""
        more = {"insecure": True, **more}
        return self._kept(over_grpc.OTLPSpanExporter(f"127.0.0.1:{port}", **more))

    def _kept(self, exporter: Any) -> Any:
        self.made.append(exporter)
        return exporter


@pytest.fixture
def exporters() -> Iterator[Exporters]:
    """Return what makes exporters."""
    made = Exporters()
    yield made
    for exporter in made.made:
        exporter.shutdown()


@pytest.fixture(params=["http", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    """Run a test over both transports."""
    name: str = request.param
    return name


@pytest.fixture
def receiver(request: pytest.FixtureRequest, transport: str) -> Receiver:
    """Return a receiver of either transport."""
    receiver: Receiver = request.getfixturevalue(f"{transport}_server")
    return receiver


@pytest.fixture
def exporter(transport: str, receiver: Receiver, exporters: Exporters) -> Any:
    """Return an exporter in front of the receiver."""
    return getattr(exporters, transport)(receiver.port)


def attempt(
    exporter: Any, payload: bytes = PAYLOAD, spans: int = 1, timeout_s: float | None = None
) -> Verdict:
    """Send once."""
    send = attempts(exporter)
    assert send is not None
    return send(payload, spans, timeout_s)


def outage(transport: str) -> Any:
    """Return the answer of a receiver that is there and has no time."""
    return respond(503) if transport == "http" else fail(grpc.StatusCode.UNAVAILABLE)


def refusal(transport: str) -> Any:
    """Return the answer of a receiver that does not like what it got."""
    return respond(400) if transport == "http" else fail(grpc.StatusCode.INVALID_ARGUMENT)


def spans(number: int) -> list[ReadableSpan]:
    """Return that many finished spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    made = [tracer.start_span(f"s{index}") for index in range(number)]
    for span in made:
        span.end()
    return made  # type: ignore[return-value]


def test_bytes_are_delivered_as_they_are(exporter: Any, receiver: Receiver) -> None:
    """Again and again, over one connection."""
    send = attempts(exporter)
    assert send is not None
    assert [send(PAYLOAD, 2, None), send(b"\0", 0, None)] == [DELIVERED, DELIVERED]
    assert receiver.bodies == [PAYLOAD, b"\0"]


def test_what_is_configured_holds(
    http_server: Receiver, grpc_server: Receiver, exporters: Exporters
) -> None:
    """Headers and compression, which is done once."""
    over_http = exporters.http(
        http_server.port, headers={"tenant": "a"}, compression=Compression.Gzip
    )
    over_grpc = exporters.grpc(
        grpc_server.port, headers={"tenant": "a"}, compression=grpc.Compression.Gzip
    )
    assert [attempt(over_http), attempt(over_grpc)] == [DELIVERED, DELIVERED]
    assert gzip.decompress(http_server.bodies[0]) == PAYLOAD
    assert http_server.headers[0]["content-encoding"] == "gzip"
    assert grpc_server.bodies == [PAYLOAD]
    assert [one.headers[0]["tenant"] for one in (http_server, grpc_server)] == ["a", "a"]


def test_there_is_one_attempt(exporter: Any, transport: str, receiver: Receiver) -> None:
    """The exporter itself would go on for ten seconds; the next one can be made at once."""
    receiver.answer = outage(transport)
    assert attempt(exporter).outcome is UNAVAILABLE
    assert len(receiver.bodies) == 1
    receiver.answer = respond(200) if transport == "http" else lambda context: b""
    assert attempt(exporter) is DELIVERED
    assert len(receiver.bodies) == 2


def test_a_receiver_that_does_not_answer_is_given_the_time_that_is_asked_for(
    exporter: Any, receiver: Receiver
) -> None:
    """It may come to life again."""
    receiver.answer = receiver.hang
    started = time.monotonic()
    verdict = attempt(exporter, timeout_s=0.2)
    assert time.monotonic() - started < 5  # the exporter's own timeout is 10
    assert verdict.outcome is UNAVAILABLE
    assert verdict.reason in (
        f"no answer from 127.0.0.1:{receiver.port} in time",
        "gRPC DEADLINE_EXCEEDED: Deadline Exceeded",
    )


@pytest.mark.parametrize("asked_s", [None, 60.0])
def test_the_exporters_own_timeout_is_kept(
    receiver: Receiver, transport: str, exporters: Exporters, asked_s: float | None
) -> None:
    """Where it is the shorter one."""
    receiver.answer = receiver.hang
    exporter = getattr(exporters, transport)(receiver.port, timeout=0.2)
    assert attempt(exporter, timeout_s=asked_s).outcome is UNAVAILABLE


def test_milliseconds_in_place_of_seconds_do_not_hold_everything_up(
    transport: str, exporters: Exporters
) -> None:
    """A minute is the most that one request is given."""
    assert configured_timeout_s(getattr(exporters, transport)(1, timeout=10_000)) == 60
    assert configured_timeout_s(getattr(exporters, transport)(1, timeout=30)) == 30


def test_nothing_is_logged(
    exporter: Any, transport: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of a failure that may pass nor of another; what there is to say is in the verdict."""
    caplog.set_level(logging.DEBUG, "opentelemetry")
    for answer in (outage(transport), refusal(transport)):
        receiver.answer = answer
        attempt(exporter)
    assert caplog.records == []


def test_what_others_export_is_logged(
    exporter: Any, transport: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Through the same exporter, by another thread, while an attempt is under way."""
    started, is_done = threading.Event(), threading.Event()
    refuse = refusal(transport)

    def answer(to: Any) -> Any:
        if len(receiver.bodies) == 1:
            started.set()
            is_done.wait()
        return refuse(to)

    receiver.answer = answer
    thread = threading.Thread(target=attempt, args=(exporter,))
    thread.start()
    assert started.wait(60)
    assert exporter.export(spans(1)) is SpanExportResult.FAILURE
    is_done.set()
    thread.join()
    assert len(caplog.records) == 1


def test_the_exporter_is_as_it_was(exporter: Any, transport: str, receiver: Receiver) -> None:
    """And so are its class, its module, and the client inside it."""
    receiver.answer = refusal(transport)
    inside = exporter._client if hasattr(exporter, "_client") else exporter._session
    parts = [exporter, inside, type(exporter), over_http, over_grpc]
    before = [dict(vars(part)) for part in parts]
    attempt(exporter)
    assert [dict(vars(part)) for part in parts] == before


def test_an_exporter_that_has_been_shut_down_says_so(transport: str, receiver: Receiver) -> None:
    """It takes nothing any more, neither bytes nor spans."""
    exporter = getattr(Exporters(), transport)(receiver.port)
    send = attempts(exporter)
    exporter.shutdown()
    assert send is not None
    assert send(PAYLOAD, 1, None) == Verdict(Outcome.UNKNOWN, "the exporter has been shut down")
    assert receiver.bodies == []


@pytest.mark.parametrize("client", HTTP_TRANSPORTS)
@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (respond(204), DELIVERED),
        (
            respond(200, PARTIAL, content_type="application/x-protobuf"),
            Verdict(Outcome.DELIVERED, "too old", rejected=3),
        ),
        (
            respond(400, b"no\nsuch \x00 field"),
            Verdict(REFUSED, "HTTP 400 Bad Request: no such \x00 field"),
        ),
        (respond(413), Verdict(Outcome.TOO_LARGE, "HTTP 413 Request Entity Too Large")),
        (
            respond(503, retry_after="7"),
            Verdict(UNAVAILABLE, "HTTP 503 Service Unavailable", retry_after_s=7.0),
        ),
        (
            respond(401, b"who?"),
            Verdict(MISCONFIGURED, "HTTP 401 Unauthorized: who?"),
        ),
        (
            respond(400, gzip.compress(b"packed"), content_encoding="gzip"),
            Verdict(REFUSED, "HTTP 400 Bad Request: packed"),
        ),
        (
            respond(302, location="/login"),
            Verdict(MISCONFIGURED, "HTTP 302 Found: to /login"),
        ),
    ],
)
def test_an_http_response_is_understood(
    http_server: Receiver, exporters: Exporters, client: str, answer: Any, verdict: Verdict
) -> None:
    """A page that one is sent to is none that has taken any spans."""
    http_server.answer = answer
    reason = verdict.reason.replace("Request Entity", "Content")  # its name since RFC 9110
    seen = attempt(getattr(exporters, client)(http_server.port))
    assert seen in (verdict, verdict._replace(reason=reason))


def test_spans_are_not_sent_on_to_where_a_receiver_says(
    http_server: Receiver, exporters: Exporters
) -> None:
    """Their headers are for this one. Releases before 1.45 would follow, later ones do not."""
    taking = respond(200)

    def send_on(handler: BaseHTTPRequestHandler) -> None:
        at_home = handler.path == "/v1/traces"
        (respond(308, location="/new") if at_home else taking)(handler)

    http_server.answer = send_on
    verdict = attempt(exporters.http(http_server.port))
    assert len(http_server.bodies) == 1
    assert verdict == Verdict(MISCONFIGURED, "HTTP 308 Permanent Redirect: to /new")


def test_a_response_that_trickles_is_not_waited_for(
    http_server: Receiver, exporters: Exporters
) -> None:
    """Its status is there; only what it says remains unread."""

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 1000000\r\n\r\n")
        while not http_server.is_over.wait(0.01):
            handler.wfile.write(b"x")

    http_server.answer = trickle
    verdict = attempt(exporters.http(http_server.port), timeout_s=0.2)
    assert verdict.outcome is REFUSED
    assert verdict.reason.startswith("HTTP 400 Bad Request: xx")


def test_a_response_without_an_end_is_not_read_to_it(
    http_server: Receiver, exporters: Exporters
) -> None:
    """Not into memory either."""
    http_server.answer = respond(400, b"x" * 20_000_000)
    started = time.monotonic()
    verdict = attempt(exporters.http(http_server.port))
    assert time.monotonic() - started < 5  # the timeout is 10
    assert verdict.reason == f"HTTP 400 Bad Request: {'x' * 200}…"
    http_server.answer = respond(200)
    assert attempt(exporters.made[0]) is DELIVERED


@pytest.mark.parametrize("client", HTTP_TRANSPORTS)
@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (reset, UNAVAILABLE, "no answer from {}: Connection reset by peer"),
        (hang_up, UNAVAILABLE, "no answer from {}: Remote end closed connection without response"),
        (raw(b"\0\0 settings\r\n"), MISCONFIGURED, "{} does not speak HTTP/1.1"),
    ],
)
def test_a_connection_that_ends_without_a_response_is_understood(
    http_server: Receiver,
    exporters: Exporters,
    client: str,
    answer: Any,
    outcome: Outcome,
    reason: str,
) -> None:
    """In the words of the operating system."""
    http_server.answer = answer
    address = f"127.0.0.1:{http_server.port}"
    verdict = attempt(getattr(exporters, client)(http_server.port))
    assert verdict == Verdict(outcome, reason.format(address))


def unused_port() -> int:
    """Return the number of a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize("client", HTTP_TRANSPORTS)
def test_nobody_there_is_understood(exporters: Exporters, client: str) -> None:
    """Whoever it is may come back."""
    port = unused_port()
    assert attempt(getattr(exporters, client)(port)) == Verdict(
        UNAVAILABLE, f"cannot connect to 127.0.0.1:{port}: Connection refused"
    )


def test_nobody_there_is_understood_over_grpc(exporters: Exporters) -> None:
    """In the same words."""
    port = unused_port()
    assert attempt(exporters.grpc(port)) == Verdict(
        UNAVAILABLE, f"cannot connect to 127.0.0.1:{port}: Connection refused"
    )


@pytest.mark.parametrize("serve", [http_receiver, grpc_receiver])
def test_a_receiver_that_comes_back_is_noticed(serve: Any, exporters: Exporters) -> None:
    """By an attempt that is made soon after; nothing is in its way but gRPC's own pause, in 1.39.

    That pause is a second at first.
    """
    with serve() as first:
        make = exporters.http if serve is http_receiver else exporters.grpc
        exporter = make(first.port)
        assert attempt(exporter) is DELIVERED
    assert attempt(exporter).outcome is UNAVAILABLE
    deadline = time.monotonic() + 60
    with serve(first.port) as second:
        while attempt(exporter) is not DELIVERED:
            assert time.monotonic() < deadline
            second.is_over.wait(0.05)
        assert second.bodies == [PAYLOAD]


@pytest.mark.parametrize(
    ("scheme", "more", "reason"),
    [
        ("https", {}, "127.0.0.1:{} does not speak TLS"),
        ("https", {"certificate_file": "/no/such"}, "invalid path: /no/such"),
        ("htp", {}, "htp:// is neither http:// nor https://"),
        ("http", {"headers": {"key": "secret\n"}}, "one of the headers cannot be sent"),
    ],
)
def test_what_cannot_work_is_a_matter_of_configuration(
    http_server: Receiver, exporters: Exporters, scheme: str, more: dict[str, Any], reason: str
) -> None:
    """Nothing is said that is secret."""
    verdict = attempt(exporters.http(http_server.port, scheme=scheme, **more))
    assert verdict.outcome is MISCONFIGURED
    assert reason.format(http_server.port) in verdict.reason
    assert "secret" not in verdict.reason
    assert http_server.bodies == []


def test_a_certificate_is_trusted_by_configuration(exporters: Exporters) -> None:
    """And only then."""
    with http_receiver(tls=True) as receiver:
        verdict = attempt(exporters.http(receiver.port, scheme="https"))
        assert verdict.outcome is MISCONFIGURED
        assert f"the certificate of 127.0.0.1:{receiver.port} is not trusted" in verdict.reason
        trusting = exporters.http(receiver.port, scheme="https", certificate_file=str(SELF_SIGNED))
        assert attempt(trusting) is DELIVERED


def test_a_proxy_that_asks_who_it_is_is_a_matter_of_configuration(
    http_server: Receiver, exporters: Exporters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it may be back soon."""
    monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{http_server.port}")
    monkeypatch.setenv("no_proxy", "")
    http_server.answer = respond(407)
    verdict = attempt(exporters.http(1, scheme="https"))
    assert verdict.outcome is MISCONFIGURED
    assert "407" in verdict.reason
    http_server.answer = respond(502)
    assert attempt(exporters.http(1, scheme="https")).outcome is UNAVAILABLE


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_not_taken_for_the_receiver(
    exporters: Exporters, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The endpoint is not what is to be changed then."""
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:secret@127.0.0.1:{unused_port()}")
    monkeypatch.setenv("no_proxy", "")
    verdict = attempt(exporters.http(1, scheme=scheme))
    why = "the proxy in front of 127.0.0.1:1 cannot be used: Connection refused"
    assert verdict == Verdict(UNAVAILABLE, why)
    what = "HTTPS_PROXY or HTTP_PROXY names the proxy; NO_PROXY names the hosts that need none"
    assert explained(verdict, "http://127.0.0.1:1", is_grpc=False) == f"{why}; {what}"


def retry_info(seconds: int, nanos: int = 0) -> bytes:
    """Return how long to wait, as gRPC says it."""
    info = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))
    return bytes(info.SerializeToString())


def status_details(code: int, info: bytes) -> bytes:
    """Return the same among the details of a status."""
    detail = AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=info)
    other = AnyMessage(type_url="type.googleapis.com/google.rpc.DebugInfo", value=b"\xff")
    return bytes(Status(code=code, message="m", details=[other, detail]).SerializeToString())


ALL_CODES = {
    "CANCELLED": UNAVAILABLE,
    "UNKNOWN": REFUSED,
    "INVALID_ARGUMENT": REFUSED,
    "DEADLINE_EXCEEDED": UNAVAILABLE,
    "NOT_FOUND": MISCONFIGURED,
    "ALREADY_EXISTS": REFUSED,
    "PERMISSION_DENIED": MISCONFIGURED,
    "RESOURCE_EXHAUSTED": UNAVAILABLE,
    "FAILED_PRECONDITION": REFUSED,
    "ABORTED": UNAVAILABLE,
    "OUT_OF_RANGE": UNAVAILABLE,
    "UNIMPLEMENTED": MISCONFIGURED,
    "INTERNAL": REFUSED,
    "UNAVAILABLE": UNAVAILABLE,
    "DATA_LOSS": UNAVAILABLE,
    "UNAUTHENTICATED": MISCONFIGURED,
}


def test_every_status_of_grpc_is_understood(grpc_server: Receiver, exporters: Exporters) -> None:
    """With what the receiver says to it."""
    exporter = exporters.grpc(grpc_server.port)
    codes = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
    seen = {}
    for code in codes:
        grpc_server.answer = fail(code, "because")
        seen[code.name] = attempt(exporter)
    assert seen == {
        name: Verdict(outcome, f"gRPC {name}: because") for name, outcome in ALL_CODES.items()
    }
    assert len(grpc_server.bodies) == len(codes)


@pytest.mark.parametrize(
    "metadata",
    [
        {"google.rpc.retryinfo_bin": retry_info(2, 500_000_000)},
        {"grpc_status_details_bin": status_details(8, retry_info(2, 500_000_000))},
    ],
)
@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
def test_how_long_to_wait_is_understood(
    grpc_server: Receiver, exporters: Exporters, code: grpc.StatusCode, metadata: dict[str, bytes]
) -> None:
    """It also says that waiting helps."""
    grpc_server.answer = fail(code, "busy", **metadata)
    verdict = attempt(exporters.grpc(grpc_server.port))
    assert verdict == Verdict(UNAVAILABLE, f"gRPC {code.name}: busy", retry_after_s=2.5)


def test_metadata_that_is_damaged_says_nothing(grpc_server: Receiver, exporters: Exporters) -> None:
    """The exporter raises at it; the status was there before."""
    grpc_server.answer = fail(
        grpc.StatusCode.UNAVAILABLE, "busy", **{"google.rpc.retryinfo_bin": b"\xff"}
    )
    verdict = attempt(exporters.grpc(grpc_server.port))
    assert verdict == Verdict(UNAVAILABLE, "gRPC UNAVAILABLE: busy")


def test_a_message_that_grpc_does_not_take_is_too_large(exporters: Exporters) -> None:
    """On the server's side, or on that of the exporter."""
    with grpc_receiver(max_receive_message_length=1_000) as receiver:
        limited = exporters.grpc(
            receiver.port, channel_options=(("grpc.max_send_message_length", 500),)
        )
        for exporter, size in ((exporters.grpc(receiver.port), 2_000), (limited, 600)):
            verdict = attempt(exporter, b"x" * size)
            assert verdict.outcome is Outcome.TOO_LARGE
            assert str(size) in verdict.reason
            assert attempt(exporter, b"x" * 400) is DELIVERED


def test_partial_success_is_understood_over_grpc(
    grpc_server: Receiver, exporters: Exporters
) -> None:
    """The rest of the spans has arrived."""
    grpc_server.answer = lambda context: PARTIAL
    verdict = attempt(exporters.grpc(grpc_server.port))
    assert verdict == Verdict(Outcome.DELIVERED, "too old", rejected=3)


def test_grpc_to_a_server_of_another_kind_is_a_matter_of_configuration(
    http_server: Receiver, grpc_server: Receiver, exporters: Exporters
) -> None:
    """One of HTTP/1.1, or one without TLS; gRPC itself calls both unavailable."""
    exporter = exporters.grpc(http_server.port)
    assert attempt(exporter).outcome is MISCONFIGURED
    exporter = exporters.grpc(grpc_server.port, insecure=False)
    assert attempt(exporter).outcome is MISCONFIGURED


def test_a_header_that_grpc_does_not_take_is_not_told(
    grpc_server: Receiver, exporters: Exporters
) -> None:
    """It tends to be a key."""
    exporter = exporters.grpc(grpc_server.port, headers=(("key", "secret\n"),))
    assert attempt(exporter) == Verdict(MISCONFIGURED, "gRPC INTERNAL: Invalid metadata")


def test_a_header_that_an_older_grpc_raises_at_is_not_told() -> None:
    """With its value, in an exception of its own."""

    class Client:
        def Export(self) -> None:  # noqa: N802 - the service's name
            raise ValueError("metadata was invalid: [('key', 'secret')]")

    seen = Seen(1.0)
    with pytest.raises(ValueError, match="secret"):
        WatchedGrpcClient(Client(), seen).Export()
    assert seen.verdict == Verdict(MISCONFIGURED, "one of the headers cannot be sent")


def test_more_than_the_exporter_sends_is_too_large(
    http_server: Receiver, exporters: Exporters
) -> None:
    """Since 1.45 it has a limit of its own."""
    exporter = exporters.http(http_server.port)
    had_one = hasattr(exporter, "_max_request_size")
    exporter._max_request_size = 5
    verdict = attempt(exporter)
    if had_one:
        assert verdict.outcome is Outcome.TOO_LARGE
        assert "max_request_size, 5" in verdict.reason
    else:
        assert verdict is DELIVERED
    assert (http_server.bodies == []) is had_one


def test_what_is_known_less_far_inside_has_no_attempts(
    receiver: Receiver, exporter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that does not try in a loop that is known; nor any exporter but the official."""

    def once(self: Any, spans: Any) -> Any:
        return self._client.Export(
            self._export(encode_spans(spans).SerializePartialToString()),
            self._translate_data(spans),
        )

    assert attempts(object()) is None
    method = "_export" if type(exporter).__module__ == over_grpc.__name__ else "export"
    monkeypatch.setattr(type(exporter), method, once)
    assert attempts(exporter) is None


def test_a_release_that_does_more_with_spans_is_found_out(
    exporter: Any, transport: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    send = attempts(exporter)
    assert send is not None

    def looking(self: Any, spans: Any) -> Any:
        return spans[0].name

    monkeypatch.setattr(type(exporter), "export", looking)
    with pytest.raises(BytesNotTakenError):
        send(PAYLOAD, 1, None)
    assert receiver.bodies == []


def test_what_an_exporter_raises_is_all_that_is_known(
    exporter: Any, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing was seen of a receiver."""
    send = attempts(exporter)
    assert send is not None

    def raising(self: Any, spans: Any) -> Any:
        raise RuntimeError(spans.SerializeToString())

    monkeypatch.setattr(type(exporter), "export", raising)
    assert send(b"no", 1, None) == Verdict(Outcome.UNKNOWN, "RuntimeError: b'no'")


@pytest.mark.parametrize("client", HTTP_TRANSPORTS)
def test_a_web_page_is_no_success(http_server: Receiver, exporters: Exporters, client: str) -> None:
    """For the exporter it is one."""
    http_server.answer = respond(200, b"<!doctype html><title>Hi</title>", content_type="text/html")
    assert attempt(getattr(exporters, client)(http_server.port)).outcome is MISCONFIGURED


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_another_bundle_is_not_in_the_way(
    exporters: Exporters, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Since 1.45 requests would prefer it to the certificate that the exporter was given."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv(name, str(other))
    with http_receiver(tls=True) as receiver:
        trusting = exporters.http(receiver.port, scheme="https", certificate_file=str(SELF_SIGNED))
        assert attempt(trusting) is DELIVERED


def test_what_the_headers_say_is_sent_whatever_the_machine_has_for_the_host(
    http_server: Receiver,
    exporters: Exporters,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """By itself requests takes an entry of ~/.netrc for better."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    address = f"http://127.0.0.1:{http_server.port}/v1/traces"
    exporter = over_http.OTLPSpanExporter(address, headers={"authorization": "Bearer mine"})
    exporters.made.append(exporter)
    assert attempt(exporter) is DELIVERED
    assert http_server.headers[-1]["authorization"] == "Bearer mine"
