"""The harness reads back what the stock OpenTelemetry SDK and exporters send."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from . import rotel as harness
from .rotel import ReceivedEvent, ReceivedLink, ReceivedSpan, Rotel, UnexpectedOutputError, parse

AWKWARD_TEXTS = [
    "",
    " ",
    "two\nlines",
    "\n",
    "ends with a newline\n",
    "\r\n and \t tabs",
    "a \"double\" and 'single' \\quote\\",
    "é 日本 😀 e\u0301 \u2028 \x85 \x0b \x1c",
    "\x00 \x1b[31mred\x1b[0m",
    "a -> b",
    "\n     -> key",
    "     -> key: Str(value)",
    "brackets ) and ))",
    ")\n",
    "Str(x) Int(1)",
    "Empty",
    "first\nEvents:\nLinks:\nAttributes:\nSpan #1\nScopeSpans #0\nResourceSpans #0\n",
    "(first)\nEvents:\nSpanEvent #1\nSpanLink #1\nSpan #1\nScopeSpans #1\nResourceSpans #1\n",
    "first\n     -> key: Str(value",
    "first\n          -> key: Str(value",
    "first\nStart time: 1\nsecond\n    Kind           : x",
]


class Sender:
    """The stock SDK in front of rotel, keeping what it sent to compare."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._sent = InMemorySpanExporter()
        self._provider = TracerProvider(
            resource=Resource({"service.name": "seeds\nand weeds", "replicas": 3, "zones": ("a",)}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(SimpleSpanProcessor(self._sent))
        self._provider.add_span_processor(SimpleSpanProcessor(exporter))

    def tracer(self, name: str = "orchard.trees") -> Tracer:
        """Return a tracer with everything a scope can have."""
        return self._provider.get_tracer(name, "1.2.3", attributes={"scoped": True})

    def sent(self) -> list[ReceivedSpan]:
        """Return what rotel should have got, in the order the spans ended."""
        return [expected(span) for span in self._sent.get_finished_spans()]

    def close(self) -> None:
        """Close the exporters."""
        self._provider.shutdown()


def expected(span: ReadableSpan) -> ReceivedSpan:
    """Say how a span should come back."""
    scope, parent, context = span.instrumentation_scope, span.parent, span.context
    assert scope is not None
    assert context is not None
    return ReceivedSpan(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_span_id=f"{parent.span_id:016x}" if parent else "",
        name=span.name,
        kind=f"SPAN_KIND_{span.kind.name}",
        trace_state=context.trace_state.to_header(),
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status_code=f"STATUS_CODE_{span.status.status_code.name}",
        status_message=span.status.description or "",
        attributes=lists(span.attributes),
        events=[ReceivedEvent(e.name, e.timestamp, lists(e.attributes)) for e in span.events],
        links=[expected_link(link) for link in span.links],
        resource=lists(span.resource.attributes),
        scope_name=scope.name,
        scope_version=scope.version or "",
        scope_attributes=lists(scope.attributes),
    )


def expected_link(link: Link) -> ReceivedLink:
    """Say how a link should come back; the stock encoder does not send a link's trace state."""
    ids = f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}"
    return ReceivedLink(*ids, "", lists(link.attributes))


def lists(attributes: Any) -> dict[str, Any]:
    """Turn the SDK's tuples into lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in (attributes or {}).items()}


@contextmanager
def sending(exporter: SpanExporter) -> Iterator[Sender]:
    """Close what was opened to send."""
    sender = Sender(exporter)
    try:
        yield sender
    finally:
        sender.close()


@pytest.fixture
def sender(rotel: Rotel) -> Iterator[Sender]:
    """Send over HTTP, uncompressed."""
    with sending(over_http(rotel)) as sender:
        yield sender


def over_http(server: Rotel) -> SpanExporter:
    """Send with the official http/protobuf exporter."""
    return HttpExporter(f"{server.http_endpoint}/v1/traces")


def over_grpc(server: Rotel) -> SpanExporter:
    """Send with the official gRPC exporter."""
    return GrpcExporter(server.grpc_endpoint, insecure=True)


def make_a_full_trace(tracer: Tracer) -> None:
    """Use every part of a span that OTLP has a field for and the SDK can set."""
    remote = SpanContext(7, 9, True, TraceFlags(1), TraceState([("vendor", "x"), ("other", "y")]))
    links = [Link(remote, {"why": "retry", "tries": 2}), Link(remote)]
    caller = set_span_in_context(NonRecordingSpan(remote))
    tracer.start_span("called", caller, SpanKind.CONSUMER).end()
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER, links=links) as root:
        root.set_attributes(
            {
                "text": "plain",
                "int": -5,
                "bool": True,
                "float": 0.1,
                "whole": 2.0,
                "bytes": b"\x00\xff",
                "texts": ["a", "b, c", ""],
                "ints": [1, -2],
                "bools": [True, False],
                "floats": [1.0, 2.5],
                "nothing": [],
            }
        )
        root.add_event("sown", {"rows": 4, "kinds": ["oak", "elm"]}, 1_234_567_890_123_456_789)
        root.add_event("watered")
        with pytest.raises(ValueError), tracer.start_as_current_span("child"):
            raise ValueError("frost\nand hail")
        tracer.start_span("sibling", kind=SpanKind.CLIENT, start_time=1).end(2)
        root.set_status(StatusCode.OK)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("exporter", [over_http, over_grpc])
def test_stock_spans_read_back_equal(
    rotel: Rotel,
    monkeypatch: pytest.MonkeyPatch,
    exporter: Callable[[Rotel], SpanExporter],
    compression: str | None,
) -> None:
    """Every field of a trace arrives as sent, over both protocols, plain and compressed."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_COMPRESSION", raising=False)
    if compression is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    with sending(exporter(rotel)) as sender:
        make_a_full_trace(sender.tracer())
        make_a_full_trace(sender.tracer("another.scope"))
        assert rotel.wait_for(8) == sender.sent()


@pytest.mark.parametrize("text", AWKWARD_TEXTS)
def test_awkward_text_reads_back(rotel: Rotel, sender: Sender, text: str) -> None:
    """Text that looks like the print-out around it is told from it, wherever a span has text."""
    tracer = sender.tracer(text)
    with tracer.start_as_current_span(text, attributes={"before": text, "after": text}) as span:
        span.set_attribute("all", [text, "between", text])
        span.add_event(text, {"before": text, "all": [text], "after": text})
        span.set_status(Status(StatusCode.ERROR, text))
    tracer.start_span("next").end()
    assert rotel.wait_for(2) == sender.sent()


@pytest.mark.parametrize("key", ["a -> b", "a: b", "exec id", "é", "Str(", "     -> ", ""])
def test_awkward_keys_read_back(rotel: Rotel, sender: Sender, key: str) -> None:
    """A key of one line may hold the characters that separate keys from values."""
    sender.tracer().start_span("keyed", attributes={key: "a: Str(b)", "other": 1}).end()
    assert rotel.wait_for(1) == sender.sent()


@pytest.mark.parametrize(
    "number",
    [2**63 - 1, -(2**63), 0, 0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, -math.inf, math.nan],
)
def test_numbers_keep_type_and_value(rotel: Rotel, sender: Sender, number: float) -> None:
    """Integers and doubles come back as themselves, the extremes too."""
    sender.tracer().start_span("number", attributes={"one": number, "many": [number]}).end()
    attributes = rotel.wait_for(1)[0].attributes
    assert repr(attributes) == repr({"one": number, "many": [number]})


def request(*spans: Span, scope: InstrumentationScope | None = None) -> bytes:
    """Encode spans the SDK would not make."""
    scope_spans = ScopeSpans(scope=scope, spans=spans)
    resource_spans = ResourceSpans(scope_spans=[scope_spans])
    return bytes(ExportTraceServiceRequest(resource_spans=[resource_spans]).SerializeToString())


def test_nested_values_are_read(rotel: Rotel) -> None:
    """Maps, arrays of arrays and empty values are read, as OTLP allows them in attributes."""
    text, number = AnyValue(string_value="a, b:c (d)e"), AnyValue(int_value=1)
    pairs = KeyValueList(values=[KeyValue(key="k", value=text), KeyValue(key="n", value=number)])
    a_map = AnyValue(kvlist_value=pairs)
    array = AnyValue(array_value=ArrayValue(values=[a_map, AnyValue(), text]))
    values = {"map": a_map, "array": array, "empty": AnyValue(), "bytes": AnyValue(bytes_value=b"")}
    rotel.send(request(Span(attributes=[KeyValue(key=k, value=v) for k, v in values.items()])))
    plain = {"k": "a, b:c (d)e", "n": 1}
    assert rotel.wait_for(1)[0].attributes == {
        "map": plain,
        "array": [plain, None, "a, b:c (d)e"],
        "empty": None,
        "bytes": b"",
    }


def test_trace_state_of_a_link_is_read(rotel: Rotel) -> None:
    """A link's trace state, which the stock encoder leaves out, is read when it is there."""
    link = Span.Link(trace_id=b"t" * 16, span_id=b"s" * 8, trace_state="vendor=x")
    rotel.send(request(Span(name="linked", links=[link])))
    assert rotel.wait_for(1)[0].links == [ReceivedLink("74" * 16, "73" * 8, "vendor=x", {})]


def test_absent_fields_are_empty(rotel: Rotel) -> None:
    """A span with only a name, without scope, resource and status, is read as such."""
    rotel.send(request(Span(name="bare", kind=99)))  # type: ignore[arg-type]
    (span,) = rotel.wait_for(1)
    assert span == ReceivedSpan(
        trace_id="",
        span_id="",
        parent_span_id="",
        name="bare",
        kind="",
        trace_state="",
        start_ns=0,
        end_ns=0,
        status_code="",
        status_message="",
        attributes={},
        events=[],
        links=[],
        resource={},
        scope_name="",
        scope_version="",
        scope_attributes={},
    )


def test_a_scope_without_spans_is_read(rotel: Rotel, sender: Sender) -> None:
    """Requests without spans do not disturb the next ones."""
    rotel.send(request(scope=InstrumentationScope(name="idle")))
    rotel.send(b"")
    sender.tracer().start_span("busy").end()
    assert rotel.wait_for(1) == sender.sent()


def test_a_key_sent_twice_is_an_error(rotel: Rotel) -> None:
    """OTLP forbids a key twice in one set; a dict would hide it, so it is reported."""
    twice = [KeyValue(key="exec_id", value=AnyValue(int_value=n)) for n in (1, 2)]
    rotel.send(request(Span(name="twice", attributes=twice)))
    with pytest.raises(UnexpectedOutputError, match="'exec_id' was sent twice"):
        rotel.spans()


def test_unknown_output_is_an_error() -> None:
    """A print-out of another form is reported with its place, not read in part."""
    with pytest.raises(UnexpectedOutputError, match="at offset 0, around 'Received traces"):
        parse("Received traces.\n")


def test_spans_are_there_once_acknowledged(rotel: Rotel, sender: Sender) -> None:
    """`spans()` needs no waiting: it has everything whose export returned before."""
    for count in range(1, 51):
        sender.tracer().start_span("quick").end()
        assert len(rotel.spans()) == count


def test_large_requests_are_read_whole(rotel: Rotel, sender: Sender) -> None:
    """A request of a megabyte is not read before it is printed to its end."""
    for _ in range(5):
        sender.tracer().start_span("large", attributes={"text": "line (1)\n" * 100_000}).end()
        assert rotel.spans() == sender.sent()


def test_repeated_spans_are_kept(rotel: Rotel) -> None:
    """What is delivered twice is returned twice, for tests of re-sending."""
    for _ in range(2):
        rotel.send(request(Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="again")))
    assert [span.name for span in rotel.wait_for(2)] == ["again", "again"]


def test_waiting_in_vain_tells_how_many_came(rotel: Rotel, sender: Sender) -> None:
    """A wait that fails says what there was."""
    sender.tracer().start_span("only").end()
    with pytest.raises(AssertionError, match=r"1 of 2 spans in 0 s: \['only'\]"):
        rotel.wait_for(2, timeout_s=0)


@pytest.mark.parametrize("end", [Rotel.stop, Rotel.kill])
def test_spans_and_ports_survive_an_end(
    rotel: Rotel, sender: Sender, end: Callable[[Rotel], None]
) -> None:
    """After stop or kill nothing listens; after the next start the same exporter gets through."""
    endpoints = rotel.http_endpoint, rotel.grpc_endpoint
    sender.tracer().start_span("before").end()
    assert rotel.wait_for(1) == sender.sent()
    end(rotel)
    with pytest.raises(ConnectionRefusedError):
        rotel.send(request())
    assert rotel.spans() == sender.sent()
    rotel.start()
    sender.tracer().start_span("after").end()
    assert rotel.wait_for(2) == sender.sent()
    assert (rotel.http_endpoint, rotel.grpc_endpoint) == endpoints


def test_stop_reads_what_was_accepted(rotel: Rotel, sender: Sender) -> None:
    """Spans nobody had asked for before an orderly restart are there after it."""
    sender.tracer().start_span("unread").end()
    rotel.restart()
    assert rotel.spans() == sender.sent()


def test_a_request_cut_by_kill_is_left_out(rotel: Rotel, sender: Sender) -> None:
    """A print-out that ends in the middle of a line costs that request and nothing else."""
    sender.tracer().start_span("whole").end()
    rotel.wait_for(1)
    with rotel._file("stdout").open("ab") as stdout:
        stdout.write(b"ResourceSpans #0\nResource SchemaURL: \nScopeSpans #0\nScopeSpans Sche")
    rotel.kill()
    rotel.start()
    sender.tracer().start_span("next").end()
    assert rotel.spans() == sender.sent()


def test_a_crash_loses_nothing_printed(rotel: Rotel, sender: Sender) -> None:
    """What a server printed before it ended by itself is there, and it can be started again."""
    sender.tracer().start_span("unread").end()
    assert rotel._process is not None
    rotel._process.terminate()
    rotel._process.wait()
    assert rotel.spans() == sender.sent()
    rotel.start()
    sender.tracer().start_span("next").end()
    assert rotel.spans() == sender.sent()


def test_taken_ports_are_left_for_others(rotel: Rotel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that somebody else binds between choice and start only costs another try."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        choices = iter([(taken, taken + 1), harness._free_ports()])
        monkeypatch.setattr(harness, "_free_ports", lambda: next(choices))
        with Rotel() as second:
            second.send(request(Span(name="through")))
            assert [span.name for span in second.spans()] == ["through"]
    assert rotel.spans() == []


def test_the_environment_does_not_configure_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's rotel settings do not reach the server under test."""
    if harness.find_binary() is None:
        pytest.skip("rotel is not installed, or has no wheel for this platform")
    monkeypatch.setenv("ROTEL_OTLP_RECEIVER_TRACES_HTTP_PATH", "/elsewhere")
    with Rotel() as server:
        assert server.spans() == []


def test_misuse_is_told(rotel: Rotel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start, endpoints before the first one, and a missing wheel are plain errors."""
    with pytest.raises(RuntimeError, match="runs already"):
        rotel.start()
    monkeypatch.setattr(harness, "find_binary", lambda: None)
    with pytest.raises(RuntimeError, match="before the first start"):
        _ = Rotel().http_endpoint
    with pytest.raises(RuntimeError, match="not installed"), Rotel():
        pass
