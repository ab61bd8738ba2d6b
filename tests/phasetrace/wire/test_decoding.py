"""What was encoded is read back as it was, and what is no message is refused."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as Scope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from phasetrace.attributes import NESTED_VALUES
from phasetrace.errors import PhasetraceError
from phasetrace.protobuf.writing import delimited, tag, varint
from phasetrace.wire import (
    EncodedSpan,
    MalformedMessage,
    encode,
    encode_readable,
    encode_span,
    frame,
    unframe,
)
from phasetrace.wire.decoding import decode_resource, decode_scope, decode_span
from tests.phasetrace.wire.strategies import (
    official,
    resources,
    scopes,
    span_with,
    spans,
)

thorough = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
everyday = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

NO_RESOURCE = Resource({})
NO_SCOPE = Scope("")


def exact(value: Any) -> Any:
    """Return a value in which everything that differs is unequal: types, NaN, -0.0, order."""
    if isinstance(value, Mapping):
        return "mapping", [(key, exact(item)) for key, item in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return "sequence", [exact(item) for item in value]
    if isinstance(value, float):
        return "float", struct.pack("<d", value)
    return type(value).__name__, value


def content(span: ReadableSpan) -> dict[str, Any]:
    """Return all of a span that its message tells."""
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    return {
        "name": span.name,
        "trace_id": context.trace_id,
        "span_id": context.span_id,
        "remote": context.is_remote,
        "flags": context.trace_flags,
        "trace_state": list(context.trace_state.items()),
        "parent": parent and (parent.trace_id, parent.span_id, parent.is_remote),
        "kind": span.kind,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": exact(span.attributes),
        "events": [
            (event.name, event.timestamp, exact(event.attributes), event.dropped_attributes)
            for event in span.events
        ],
        "links": [
            (
                link.context.trace_id,
                link.context.span_id,
                link.context.is_remote,
                exact(link.attributes),
                link.dropped_attributes,
            )
            for link in span.links
        ],
        "status": (span.status.status_code, span.status.description),
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
    }


def told(span: ReadableSpan) -> dict[str, Any]:
    """Return what can be expected of a span that was written and read."""
    expected = content(span)
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    expected["remote"] = False  # the span's own context never is
    if parent is not None:
        expected["parent"] = (context.trace_id, parent.span_id, parent.is_remote)
    expected["status"] = (span.status.status_code, span.status.description or None)
    return expected


def flags_of(span: ReadableSpan) -> TraceFlags:
    """Return a span's flags, which the official message does not tell."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_flags


def check_round_trip(span: ReadableSpan) -> None:
    """Write a span, and read it from both encoders' bytes."""
    for message in (encode_readable(span), official(span).span):
        read = decode_span(message, span.resource, span.instrumentation_scope, flags_of(span))
        assert content(read) == told(span)
        assert read.resource is span.resource
        assert read.instrumentation_scope is span.instrumentation_scope


@everyday
@given(span=spans)
def test_a_span_is_read_as_it_was(span: ReadableSpan) -> None:
    """Values with their types and their order, to the nanosecond; whoever encoded it."""
    check_round_trip(span)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@thorough
@given(span=spans)
def test_ten_thousand_spans_are_read_as_they_were(span: ReadableSpan) -> None:
    """The same, for longer than one waits for a test."""
    check_round_trip(span)


@everyday
@given(span=spans)
def test_what_was_read_is_encoded_to_the_same_bytes(span: ReadableSpan) -> None:
    """By us and, message for message, by the official encoder."""
    message = encode_readable(span)
    read = decode_span(message, span.resource, span.instrumentation_scope)
    assert encode_readable(read) == message
    assert official(read).span == official(span).span


@everyday
@given(resource=resources, scope=scopes)
def test_resources_and_scopes_are_read_as_they_were(resource: Resource, scope: Scope) -> None:
    """With their attributes and schema URLs."""
    (encoded,) = encode([span_with(resource=resource, instrumentation_scope=scope)])
    assert encoded is not None
    read_resource = decode_resource(encoded.resource, encoded.resource_schema_url)
    assert exact(read_resource.attributes) == exact(resource.attributes)
    assert read_resource.schema_url == resource.schema_url
    read_scope = decode_scope(encoded.scope, encoded.scope_schema_url)
    assert exact(read_scope.attributes) == exact(scope.attributes)
    assert (read_scope.name, read_scope.version or "") == (scope.name, scope.version)
    assert read_scope.schema_url == scope.schema_url
    (again,) = encode([span_with(resource=read_resource, instrumentation_scope=read_scope)])
    assert again == encoded


@pytest.mark.parametrize("flags", range(4))
@pytest.mark.parametrize("remote", [False, True])
def test_flags_are_read_where_a_message_has_them(flags: int, remote: bool) -> None:
    """Sampled, random, and whether the parent is remote."""
    state = TraceState([("vendor", " value with spaces")])
    message = encode_span(
        1, 2, 3, remote, state, "name", SpanKind.CLIENT, 4, 5, None, trace_flags=flags
    )
    span = decode_span(message, NO_RESOURCE, NO_SCOPE)
    assert span.context == SpanContext(1, 2, False, TraceFlags(flags), state)
    assert span.parent == SpanContext(1, 3, remote)
    assert isinstance(flags_of(span), TraceFlags)


def test_a_link_of_another_encoder_has_flags_and_a_trace_state() -> None:
    """OTLP has room for both; the official encoder for Python leaves it empty."""
    message = SpanMessage(trace_id=bytes(15) + b"\1", span_id=bytes(7) + b"\2")
    message.links.add(
        trace_id=bytes(15) + b"\3", span_id=bytes(7) + b"\4", trace_state="a=b", flags=0x301
    )
    (link,) = decode_span(message.SerializeToString(), NO_RESOURCE, NO_SCOPE).links
    assert link.context == SpanContext(3, 4, True, TraceFlags(1), TraceState([("a", "b")]))


def test_the_least_span_is_read() -> None:
    """Ids are all that must be there."""
    message = SpanMessage(trace_id=bytes(16), span_id=bytes(8)).SerializeToString()
    expected = span_with(
        name="", context=SpanContext(0, 0, is_remote=False), start_time=0, end_time=0
    )
    assert content(decode_span(message, NO_RESOURCE, None)) == content(expected)


def test_a_scope_of_which_nothing_is_told_has_no_name() -> None:
    """As the specification has it."""
    assert decode_scope(b"") == Scope("")


def test_what_was_read_can_be_exported(caplog: pytest.LogCaptureFixture) -> None:
    """To exporters that expect what the SDK hands to them."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tracer")
    span = tracer.start_span("name", attributes={"list": ["x", "y"], "n": 1})
    span.add_event("event", {"n": 1})
    span.end()
    assert isinstance(span, ReadableSpan)
    (encoded,) = encode([span])
    assert encoded is not None
    resource = decode_resource(encoded.resource)
    read = decode_span(encoded.span, resource, decode_scope(encoded.scope))
    assert json.loads(read.to_json()) == json.loads(span.to_json())
    with pytest.raises(TypeError):
        read._attributes["n"] = 2  # type: ignore[index]
    assert caplog.records == []


@pytest.mark.skipif(NESTED_VALUES, reason="this SDK takes nested values")
def test_a_resource_of_a_later_sdk_is_read_by_an_earlier_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it does not take is written out instead of being dropped."""
    found = delimited(2, delimited(6, delimited(1, delimited(1, b"a") + delimited(2, b"\x18\x01"))))
    resource = decode_resource(delimited(1, delimited(1, b"nested") + found))
    assert resource.attributes == {"nested": '{"a": 1}'}
    assert caplog.records == []


# What a later version may add, and what was damaged.

unknown_numbers = st.integers(17, 2**29 - 1)
unknown_fields = st.one_of(
    st.builds(lambda field, value: tag(field, 0) + varint(value), unknown_numbers, st.just(7)),
    st.builds(lambda field, value: tag(field, 1) + value, unknown_numbers, st.just(bytes(8))),
    st.builds(delimited, unknown_numbers, st.binary(max_size=5)),
    st.builds(lambda field, value: tag(field, 5) + value, unknown_numbers, st.just(bytes(4))),
    # Known numbers, written in another way.
    st.sampled_from(
        [tag(1, 0) + b"\1", tag(5, 1) + bytes(8), tag(7, 2) + b"\0", tag(9, 5) + bytes(4)]
    ),
)


@everyday
@given(span=spans, unknown=st.lists(unknown_fields, min_size=1, max_size=3), first=st.booleans())
def test_fields_that_are_not_known_are_passed_over(
    span: ReadableSpan, unknown: list[bytes], first: bool
) -> None:
    """A later version of OTLP may have some, anywhere."""
    message, more = encode_readable(span), b"".join(unknown)
    changed = more + message if first else message + more
    read = decode_span(changed, span.resource, span.instrumentation_scope, flags_of(span))
    assert content(read) == told(span)


def test_unknown_fields_are_passed_over_in_messages_within() -> None:
    """In events, links, the status, attributes and values."""
    more = delimited(99, b"?")
    value = delimited(1, b"v") + more
    pair = delimited(1, b"k") + delimited(2, value) + more
    ids = delimited(1, bytes(15) + b"\1") + delimited(2, bytes(7) + b"\2")
    event = delimited(2, b"event") + delimited(3, pair) + more
    status = delimited(2, b"why") + tag(3, 0) + b"\2" + more
    read = decode_span(
        b"".join(
            (
                ids,
                delimited(9, pair),
                delimited(11, event),
                delimited(13, ids + delimited(4, pair) + more),
                delimited(15, status),
            )
        ),
        NO_RESOURCE,
        NO_SCOPE,
    )
    assert read.attributes == {"k": "v"}
    assert [(one.name, one.attributes) for one in read.events] == [("event", {"k": "v"})]
    assert [one.attributes for one in read.links] == [{"k": "v"}]
    assert (read.status.status_code, read.status.description) == (StatusCode.ERROR, "why")


def test_kinds_and_values_of_a_later_version_are_the_nearest() -> None:
    """A span is not lost for a kind that is not known yet."""
    pair = delimited(1, b"k") + delimited(2, delimited(12, b"?"))
    more = tag(6, 0) + varint(77) + delimited(9, pair) + delimited(15, tag(3, 0) + varint(9))
    span = decode_span(encode_readable(span_with()) + more, NO_RESOURCE, NO_SCOPE)
    assert (span.kind, span.attributes) == (SpanKind.INTERNAL, {"k": None})
    assert span.status.is_unset


def every_kind_of_thing() -> EncodedSpan:
    """Return a span that has one of everything."""
    found: dict[str, Any] = {
        "s": "é",
        "i": -1,
        "f": 0.5,
        "b": True,
        "y": b"x",
        "l": [1, "x"],
        "m": {"k": [1]},
    }
    (encoded,) = encode(
        [
            span_with(
                context=SpanContext(1, 2, False, TraceFlags(1), TraceState([("a", "b")])),
                parent=SpanContext(1, 3, is_remote=True),
                attributes=found,
                events=[Event("event", found, 7)],
                links=[Link(SpanContext(3, 4, is_remote=True), found)],
                status=Status(StatusCode.ERROR, "why"),
                resource=Resource({"service.name": "x"}, "https://example.org/schema"),
                instrumentation_scope=Scope("scope", "1", "https://example.org/schema", {"k": "v"}),
            )
        ]
    )
    assert encoded is not None
    return encoded


def read_request(data: bytes) -> list[ReadableSpan]:
    """Read all that is in a request."""
    return [
        decode_span(
            one.span,
            decode_resource(one.resource, one.resource_schema_url),
            decode_scope(one.scope, one.scope_schema_url),
        )
        for one in unframe(data)
    ]


EVERYTHING = every_kind_of_thing()
READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "span": (lambda data: decode_span(data, NO_RESOURCE, NO_SCOPE), EVERYTHING.span),
    "resource": (decode_resource, EVERYTHING.resource),
    "scope": (decode_scope, EVERYTHING.scope),
    "request": (read_request, frame([EVERYTHING, EVERYTHING])),
}


OFFICIAL_READERS: dict[str, Callable[[bytes], object]] = {
    "span": SpanMessage.FromString,
    "resource": ResourceMessage.FromString,
    "scope": InstrumentationScope.FromString,
    "request": TracesData.FromString,
}


def refused(read: Callable[[bytes], object], data: bytes) -> bool:
    """Read what may be no message; anything but our own error goes on up."""
    try:
        read(data)
    except MalformedMessage:
        return True
    return False


@pytest.mark.parametrize("what", READERS)
def test_a_message_that_was_cut_off_is_refused(what: str) -> None:
    """Unless that was between two fields, where protobuf itself cannot tell."""
    read, data = READERS[what]
    for length in range(len(data) + 1):
        try:
            message = OFFICIAL_READERS[what](data[:length])
            expected = isinstance(message, SpanMessage) and not message.span_id
        except DecodeError:
            expected = True
        assert refused(read, data[:length]) is expected


@pytest.mark.parametrize("what", READERS)
@everyday
@given(data=st.data())
def test_damaged_bytes_raise_nothing_but_our_error(what: str, data: st.DataObject) -> None:
    """Bytes changed, taken out and put in, anywhere."""
    read, message = READERS[what]
    changed = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        length = data.draw(st.integers(0, 3))
        changed[at : at + length] = data.draw(st.binary(max_size=3) | st.just(b"\xff"))
    refused(read, bytes(changed))


@pytest.mark.parametrize("what", READERS)
@everyday
@example(data=b"\xff" * 11)
@given(data=st.binary(max_size=60))
def test_any_bytes_raise_nothing_but_our_error(what: str, data: bytes) -> None:
    """Whatever they were meant to be."""
    refused(READERS[what][0], data)


NO_MESSAGES: dict[str, tuple[bytes, str]] = {
    "text": (b"\x2a\x04name and more", "no field is written in the way"),
    "cut off within a string": (b"\x2a\x09name", "field 5 ends at byte 11, and the message at 6"),
    "cut off within a number": (b"\x30\x80", "the message ends at byte 2, within a number"),
    "cut off within a time": (b"\x39\x01", "field 7 ends at byte 9, and the message at 2"),
    "endless number": (b"\x30" + b"\x80" * 12, "no number is longer than 10 bytes"),
    "field 0": (b"\x02\x00", "no field has the number 0"),
    "not UTF-8": (b"\x2a\x01\xff", "a string is not UTF-8"),
    "short id": (b"\x0a\x01\x01", "field 1: an id of 1 bytes instead of 16"),
    "no id": (b"", "field 1: an id of 0 bytes instead of 16"),
}


@pytest.mark.parametrize("what", NO_MESSAGES)
def test_the_error_says_what_is_wrong(what: str) -> None:
    """And is a ValueError as well as ours."""
    data, message = NO_MESSAGES[what]
    if "id" not in what:
        data = encode_readable(span_with()) + data
        message = message.partition("ends at")[0] if "cut off" in what else message
    with pytest.raises(MalformedMessage, match=message) as raised:
        decode_span(data, NO_RESOURCE, NO_SCOPE)
    assert isinstance(raised.value, PhasetraceError)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("field", [5, 6])
def test_values_that_nest_without_end_are_refused(field: int) -> None:
    """A few bytes a level could fill the stack."""
    value = b""
    for _ in range(5_000):
        item = delimited(2, value) if field == 6 else value
        value = delimited(field, delimited(1, item))
    pair = delimited(1, b"k") + delimited(2, value)
    with pytest.raises(MalformedMessage, match="nest deeper than 100 levels"):
        decode_resource(delimited(1, pair))


def test_decoding_does_not_import_protobuf() -> None:
    """A program that exports to something other than OTLP never needs it."""
    program = (
        "import sys, phasetrace.wire.decoding\n"
        "loaded = [name for name in sys.modules if name.startswith("
        "('google.protobuf', 'opentelemetry.proto'))]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
