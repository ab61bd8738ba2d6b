"""Stored spans become the request that the official encoder would have made of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as Scope
from opentelemetry.trace import SpanContext

from phasetrace.protobuf.writing import delimited, tag
from phasetrace.wire import (
    Block,
    EncodedSpan,
    MalformedMessage,
    encode,
    frame,
    frame_blocks,
    unframe,
)
from tests.phasetrace.wire.strategies import span_with

everyday = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

URL = "https://example.org/schema"
RESOURCES = [
    Resource({}),
    Resource({}, URL),
    Resource({"service.name": "a"}),
    Resource({"service.name": "b"}, URL),
]
SCOPES = [
    None,
    Scope("a"),
    Scope("a", "1"),
    Scope("a", "1", URL),
    Scope("b", None, URL, {"k": "v"}),
]


small_spans = st.builds(
    span_with,
    name=st.sampled_from(["", "a", "b" * 200]),
    attributes=st.dictionaries(st.sampled_from("abc"), st.integers(-1, 2**40), max_size=2),
    resource=st.sampled_from(RESOURCES),
    instrumentation_scope=st.sampled_from(SCOPES),
)
batches = st.lists(small_spans, max_size=12)


def stored(batch: list[ReadableSpan]) -> list[EncodedSpan]:
    """Encode spans, all of which can be."""
    return [encoded for encoded in encode(batch) if encoded is not None]


@everyday
@given(batch=batches)
def test_a_request_is_the_official_one(batch: list[ReadableSpan]) -> None:
    """Grouped by resource and by scope, in the order of the spans."""
    request = ExportTraceServiceRequest.FromString(frame(stored(batch)))
    assert request.SerializeToString() == encode_spans(batch).SerializeToString()


@everyday
@given(batch=batches)
def test_a_request_is_the_same_bytes_each_time(batch: list[ReadableSpan]) -> None:
    """What is sent again can be told from what is new."""
    assert frame(stored(batch)) == frame(iter(stored(batch)))


@everyday
@given(batch=batches)
def test_what_was_framed_can_be_taken_apart(batch: list[ReadableSpan]) -> None:
    """The official request as well as ours; spans of a kind keep their order."""
    expected: dict[Any, dict[Any, list[EncodedSpan]]] = {}
    for span in stored(batch):
        scopes = expected.setdefault((span.resource, span.resource_schema_url), {})
        scopes.setdefault((span.scope, span.scope_schema_url), []).append(span)
    grouped = [span for scopes in expected.values() for group in scopes.values() for span in group]
    assert unframe(frame(grouped)) == grouped
    assert frame(grouped) == frame(stored(batch))
    officially = encode_spans(batch).SerializeToString()
    # As their messages, because not every encoder writes the fields of one in the same order.
    assert frame(unframe(officially)) == officially
    assert TracesData.FromString(frame(grouped)).SerializeToString() == officially


@everyday
@given(batch=batches, sizes=st.lists(st.integers(0, 4), max_size=12))
def test_blocks_make_the_request_that_their_spans_make(
    batch: list[ReadableSpan], sizes: list[int]
) -> None:
    """However the spans are cut into blocks, and whether a resource or a scope comes again."""
    spans = stored(batch)
    assert frame_blocks(blocks_of(spans, sizes)) == frame(spans)


def blocks_of(spans: list[EncodedSpan], sizes: list[int]) -> list[Block]:
    """Cut spans into blocks of at most the given sizes, then of any."""
    blocks: list[Block] = []
    wanted = iter(sizes)
    left = 0
    for span in spans:
        belonging = span[1:]
        if not left or blocks[-1][:4] != belonging:
            blocks.append(Block(*belonging, b""))
            left = next(wanted, len(spans))
        blocks[-1] = blocks[-1]._replace(records=blocks[-1].records + delimited(2, span.span))
        left = max(0, left - 1)
    return blocks


def test_a_block_without_spans_adds_nothing() -> None:
    """Nor does it decide which resource comes first."""
    empty = Block(b"other", "", b"", "", b"")
    span = EncodedSpan(b"a span", b"a resource", URL, b"a scope", "")
    block = Block(*span[1:], delimited(2, span.span))
    assert frame_blocks([empty, block]) == frame([span])
    assert frame_blocks([empty]) == b""


def test_stored_bytes_are_not_looked_into() -> None:
    """They are sent as they are, whatever they are."""
    span = EncodedSpan(b"a span", b"a resource", URL, b"a scope", "")
    assert unframe(frame([span, span])) == [span, span]
    assert frame([span, span]).count(b"a span") == 2
    assert frame([span, span]).count(b"a resource") == 1


def test_nothing_makes_an_empty_request() -> None:
    """Which says that there are no spans."""
    assert frame([]) == b""
    assert unframe(b"") == []


def test_large_requests_keep_their_lengths_right() -> None:
    """Lengths of one, two, three and four bytes."""
    for length in (127, 128, 2**14 - 1, 2**14, 2**21, 2**21 + 1):
        (encoded,) = stored([span_with(attributes={"text": "x" * length})])
        request = ExportTraceServiceRequest.FromString(frame([encoded]))
        (span,) = request.resource_spans[0].scope_spans[0].spans
        assert len(span.attributes[0].value.string_value) == length


def test_requests_may_be_put_behind_each_other() -> None:
    """Fields of the same number concatenate."""
    first, second = stored(
        [span_with(name="first"), span_with(name="second", context=SpanContext(3, 4, False))]
    )
    assert unframe(frame([first]) + frame([second])) == [first, second]


def test_fields_that_are_not_known_are_passed_over() -> None:
    """At every level of a request, wherever they stand."""
    more = delimited(99, b"?") + tag(98, 0) + b"\1"
    scope_spans = more + delimited(2, b"span") + more + delimited(1, b"scope")
    resource_spans = delimited(2, scope_spans) + more + delimited(3, URL.encode())
    request = more + delimited(1, resource_spans) + more
    assert unframe(request) == [EncodedSpan(b"span", b"", URL, b"scope", "")]


@pytest.mark.parametrize(
    "request_bytes", [b"\x0a", b"\x0a\x05\x12\x00", b"{}", b"\x0a\x03\x1a\x01\xff"]
)
def test_what_is_no_request_is_refused(request_bytes: bytes) -> None:
    """With our own error."""
    with pytest.raises(MalformedMessage):
        unframe(request_bytes)
