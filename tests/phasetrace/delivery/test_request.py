"""A request: the same bytes every time, or the spans as they were; what is refused, put aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from phasetrace.delivery.request import STOPPED, Request
from phasetrace.destination import Destination
from phasetrace.store.ledger import Ledger, Settlement, StoredBlock
from phasetrace.store.processor import StoreSpanProcessor
from phasetrace.verdict import Outcome
from tests.phasetrace.delivery.conftest import HERE, Routed, Taking, fail, names_in
from tests.phasetrace.receivers import Receiver, grpc_receiver, http_receiver, respond
from tests.phasetrace.receivers import fail as fail_with

Record = Callable[..., Routed]


@contextmanager
def receiving() -> Iterator[tuple[Receiver, Destination]]:
    """Run a receiver; give it, and what sends to it."""
    with http_receiver() as receiver:
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{receiver.port}/v1/traces")
        yield receiver, Destination("otlp", exporter)
        exporter.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture
def blocks(path: Path, recording: Routed) -> list[StoredBlock]:
    """Return two blocks, of three spans and of two."""
    recording.block("a", "b", "c")
    recording.block("d", "e")
    return read(path)


def read(path: Path) -> list[StoredBlock]:
    """Return all blocks that wait."""
    with closing(Ledger(path, HERE.key)) as ledger:
        return ledger.waiting_blocks(0, 2**62, 2**62)


def never() -> bool:
    """Go on."""
    return False


def refuse(receiver: Receiver, *names: str, status: int = 400) -> None:
    """Have a receiver refuse requests with a span of one of these names."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        is_wanted = set(names_in(receiver.bodies[-1])).isdisjoint(names)
        respond(200 if is_wanted else status)(handler)

    receiver.answer = answer


def test_it_goes_out_as_the_bytes_that_are_stored(blocks: list[StoredBlock]) -> None:
    """One request with everything in it."""
    with receiving() as (receiver, destination):
        request = Request(blocks, False)
        assert request.advance(destination, never) is None
    assert [names_in(body) for body in receiver.bodies] == [list("abcde")]
    assert request.settlement() == Settlement(2, 5, 0, [])
    assert request.last_seq == 2


def test_what_is_sent_again_is_the_same(path: Path, blocks: list[StoredBlock]) -> None:
    """Byte for byte, also by whoever comes after a crash: nobody was told that it arrived."""
    with receiving() as (receiver, destination):
        receiver.answer = respond(503)
        request = Request(blocks, False)
        assert not request.is_begun
        verdict = request.advance(destination, never)
        assert verdict is not None
        assert verdict.outcome is Outcome.UNAVAILABLE
        assert request.is_begun
        receiver.answer = respond(200)
        assert request.advance(destination, never) is None
        assert Request(read(path), True).advance(destination, never) is None
    assert len(receiver.bodies) == 3
    assert len(set(receiver.bodies)) == 1


def test_a_lost_answer_is_no_answer(blocks: list[StoredBlock]) -> None:
    """The receiver has taken it, and hung up; it gets it once more."""

    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    with receiving() as (receiver, destination):
        receiver.answer = hang_up
        request = Request(blocks, False)
        verdict = request.advance(destination, never)
        assert verdict is not None
        assert verdict.outcome is Outcome.UNAVAILABLE
        receiver.answer = respond(200)
        assert request.advance(destination, never) is None
    assert len(set(receiver.bodies)) == 1
    assert request.settlement().delivered == 5


LONG_KEY = "0123456789abcdef" * 19


@pytest.mark.parametrize("padding", [0, 4_096 - 60])
def test_a_key_that_a_receiver_repeats_is_in_no_reason(padding: int) -> None:
    """Neither a part of it: it is longer than a reason, or lies where the answer is cut."""
    answer = b" " * padding + f"invalid token: Bearer {LONG_KEY}".encode()
    with http_receiver() as receiver:
        exporter = OTLPSpanExporter(
            f"http://127.0.0.1:{receiver.port}/v1/traces",
            headers={"authorization": f"Bearer {LONG_KEY}"},
        )
        receiver.answer = respond(401, answer)
        verdict = Destination("otlp", exporter).send(b"", 1)
        exporter.shutdown()  # type: ignore[no-untyped-call]
    assert verdict.reason == "HTTP 401 Unauthorized: invalid token: …"


def test_a_key_that_a_receiver_repeats_over_grpc_is_in_no_reason() -> None:
    """Nor is a part of it."""
    details = f"invalid token: Bearer {LONG_KEY}"
    with grpc_receiver() as receiver:
        exporter = GrpcExporter(
            f"127.0.0.1:{receiver.port}",
            insecure=True,
            headers=(("authorization", f"Bearer {LONG_KEY}"),),
        )
        receiver.answer = fail_with(grpc.StatusCode.UNAUTHENTICATED, details)
        verdict = Destination("otlp", exporter).send(b"", 1)
        exporter.shutdown()
    assert verdict.reason == "gRPC UNAUTHENTICATED: invalid token: …"


def test_an_outage_that_answers_500_costs_no_span(blocks: list[StoredBlock]) -> None:
    """However often it is tried, and though the receiver has taken spans before."""
    with receiving() as (receiver, destination):
        receiver.answer = respond(500)
        request = Request(blocks, True)
        for _ in range(12):
            assert request.advance(destination, never) is not None
        assert not request.refused()
        receiver.answer = respond(200)
        assert request.advance(destination, never) is None
    assert request.settlement() == Settlement(2, 5, 0, [])


def test_a_span_that_breaks_the_receiver_does_not_keep_the_others(
    blocks: list[StoredBlock],
) -> None:
    """Whatever answers 500 to it for ever, and takes what is beside it."""
    with receiving() as (receiver, destination):
        refuse(receiver, "c", status=500)
        request = Request(blocks, False)
        waits = 0
        while request.advance(destination, never) is not None:
            waits += 1
            assert waits < 50
    assert waits >= 4
    settlement = request.settlement()
    assert (settlement.delivered, len(settlement.dead_letters)) == (4, 1)
    assert list(request.refused()) == ["HTTP 500 Internal Server Error"]


def test_what_is_refused_is_put_aside(blocks: list[StoredBlock]) -> None:
    """As the request of that span; the others have gone, across the edges of blocks."""
    with receiving() as (receiver, destination):
        refuse(receiver, "c")
        request = Request(blocks, False)
        assert request.advance(destination, never) is None
    settlement = request.settlement()
    (letter,) = settlement.dead_letters
    assert (settlement.cursor, settlement.delivered, settlement.rejected) == (2, 4, 0)
    assert (letter.name, letter.exec_id) == ("c", "e")
    assert letter.reason.startswith("HTTP 400")
    ((resource,),) = [ExportTraceServiceRequest.FromString(letter.request).resource_spans]
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.span_id) == ("c", letter.span_id)
    assert sum(request.refused().values()) == 1


def test_a_receiver_may_take_a_part_and_not_say_which(blocks: list[StoredBlock]) -> None:
    """Partial success: nothing is sent again, and they count as refused."""
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    with receiving() as (receiver, destination):
        receiver.answer = respond(200, body, content_type="application/x-protobuf")
        request = Request(blocks, False)
        assert request.advance(destination, never) is None
    assert len(receiver.bodies) == 1
    assert request.settlement() == Settlement(2, 3, 2, [], "too old")


def test_nothing_is_sent_when_it_is_over(blocks: list[StoredBlock]) -> None:
    """Neither at the beginning nor between two parts; what went stays gone."""
    exporter = Taking()
    destination = Destination("t", exporter)
    request = Request(blocks, False, most=2)
    assert request.advance(destination, lambda: True) is STOPPED
    assert request.advance(destination, lambda: len(exporter.requests) == 2) is STOPPED
    assert exporter.names == list("abcd")
    assert request.advance(destination, never) is None
    assert exporter.names == list("abcde")
    assert request.settlement().delivered == 5


def test_an_exporter_that_never_tells_why_is_not_believed_at_once(
    blocks: list[StoredBlock],
) -> None:
    """The request waits, whole."""
    exporter = Taking()
    exporter.answer = fail
    request = Request(blocks, False)
    for _ in range(4):
        verdict = request.advance(Destination("t", exporter), never)
        assert verdict is not None
        assert verdict.outcome is Outcome.UNKNOWN
    assert [len(one) for one in exporter.requests] == [5] * 4


def test_it_says_when_all_of_it_was_refused(blocks: list[StoredBlock]) -> None:
    """Then nothing of it has arrived; a receiver that is away says nothing of the kind."""
    with receiving() as (receiver, destination):
        request = Request(blocks, False)
        receiver.answer = respond(503)
        assert request.advance(destination, never) is not None
        assert not request.is_restarted
        receiver.answer = respond(400)
        assert request.advance(destination, never) is not None
        assert request.is_restarted
        receiver.answer = respond(200)
        assert request.advance(destination, never) is None
        assert not request.is_restarted
    assert request.settlement() == Settlement(2, 5, 0, [])


def test_an_exporter_gets_the_spans_as_they_were_recorded(path: Path, record: Record) -> None:
    """Everything that OTLP can say of a span, where the exporter takes no bytes."""
    recording = record(HERE)
    recorded: list[ReadableSpan] = []
    provider = TracerProvider(
        resource=Resource({"service.name": "shop", "n": 3}, "https://schema/resource"),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(StoreSpanProcessor(recording.writer, routed=True))
    tracer = provider.get_tracer("lib", "1.2", "https://schema/scope", {"scoped": True})
    parent = SpanContext(2**127 + 5, 2**63 + 1, is_remote=True, trace_flags=TraceFlags(1))
    linked = SpanContext(9, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState())
    with tracer.start_as_current_span(
        "whole",
        set_span_in_context(NonRecordingSpan(parent)),
        SpanKind.CONSUMER,
        {"text": "ä", "int": -(2**63), "float": 0.1, "bool": False, "texts": ["a", ""]},
        [Link(linked, {"why": "cause"})],
        start_time=1_700_000_000_123_456_789,
        end_on_exit=False,
    ) as span:
        span.set_attributes({"ints": [1, 2], "floats": [1.5], "bools": [True, False]})
        span.add_event("happened", {"k": 1}, timestamp=1_700_000_000_123_456_790)
        span.set_status(Status(StatusCode.ERROR, "broken"))
        span.end(1_700_000_000_987_654_321)
        recorded.append(span)  # type: ignore[arg-type]
    tracer.start_span("plain").end()
    assert recording.writer.flush()
    exporter = Taking()
    assert Request(read(path), False).advance(Destination("t", exporter), never) is None
    found = exporter.taken[0]
    (expected,) = recorded
    assert told(found) == told(expected)
    assert [one.name for one in exporter.taken] == ["whole", "plain"]
    assert exporter.taken[1].parent is None


def told(span: ReadableSpan) -> dict[str, Any]:
    """Return all that a span says, to be compared."""
    context, parent, scope = span.context, span.parent, span.instrumentation_scope
    assert context is not None
    assert parent is not None
    assert scope is not None
    return {
        "ids": (context.trace_id, context.span_id, context.trace_flags, context.is_remote),
        "parent": (parent.trace_id, parent.span_id, parent.is_remote),
        "name": (span.name, span.kind, span.start_time, span.end_time),
        "status": (span.status.status_code, span.status.description),
        "attributes": plain(span.attributes),
        "events": [(e.name, e.timestamp, plain(e.attributes)) for e in span.events],
        "links": [
            (
                one.context.trace_id,
                one.context.span_id,
                one.context.is_remote,
                plain(one.attributes),
            )
            for one in span.links
        ],
        "resource": (plain(span.resource.attributes), span.resource.schema_url),
        "scope": (scope.name, scope.version, scope.schema_url, plain(scope.attributes)),
    }


def plain(attributes: Any) -> dict[str, Any]:
    """Return attributes as a mapping, with the types of their values."""
    return {key: (value, type(value)) for key, value in dict(attributes or {}).items()}


def test_an_exporter_that_turns_out_to_take_no_bytes(
    blocks: list[StoredBlock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is handed the spans of the same request at once."""
    from phasetrace.otlp_bytes import BytesNotTakenError

    exporter = Taking()
    destination = Destination("t", exporter)

    def refuse_bytes(payload: bytes, spans: int) -> SpanExportResult:
        raise BytesNotTakenError from TypeError("no bytes")

    monkeypatch.setattr(destination, "_send", refuse_bytes)
    assert destination.takes_bytes
    assert Request(blocks, False).advance(destination, never) is None
    assert exporter.names == list("abcde")


def test_a_span_that_cannot_be_decoded_is_put_aside(blocks: list[StoredBlock]) -> None:
    """By itself: there is no doubt about who is to blame."""
    exporter = Taking()
    broken = blocks[0]._replace(resource=b"\xff")
    request = Request([broken, blocks[1]], False)
    assert request.advance(Destination("t", exporter), never) is None
    assert exporter.names == ["d", "e"]
    settlement = request.settlement()
    assert [letter.name for letter in settlement.dead_letters] == ["a", "b", "c"]
    assert settlement.delivered == 2


def test_damaged_blocks_alone_are_given_up(blocks: list[StoredBlock]) -> None:
    """The receiver need not have taken anything for that: it was not asked."""
    exporter = Taking()
    broken: Sequence[StoredBlock] = [block._replace(columns=b"") for block in blocks]
    request = Request(broken, False)
    assert request.advance(Destination("t", exporter), never) is None
    assert exporter.requests == []
    letters = request.settlement().dead_letters
    assert [(letter.name, letter.request) for letter in letters] == [("", b"")] * 5


def test_a_small_span_that_is_too_large_is_not_believed_alone(blocks: list[StoredBlock]) -> None:
    """What finds anything too large is a mistake: nothing is put aside, and it is told."""
    with receiving() as (receiver, destination):
        receiver.answer = respond(413)
        request = Request(blocks, is_trusted=False)
        verdict = request.advance(destination, never)
        assert verdict is not None
        assert verdict.reason.startswith("HTTP 413")
        assert request.is_restarted
        receiver.answer = respond(200)
        assert request.advance(destination, never) is None
        assert (request.settlement().delivered, request.refused()) == (5, {})


def test_why_a_single_span_is_too_large_is_explained(path: Path, recording: Routed) -> None:
    """It is put aside with the reason, whatever becomes of others."""
    recording.block("x" * 70_000)
    with receiving() as (receiver, destination):
        receiver.answer = respond(413)
        request = Request(read(path), False, explain=lambda verdict: f"{verdict.reason}; less")
        assert request.advance(destination, never) is None
        ((reason, number),) = request.refused().items()
        assert (reason.startswith("HTTP 413"), reason.endswith("; less"), number) == (True, True, 1)
