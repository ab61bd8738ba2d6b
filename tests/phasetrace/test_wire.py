"""The stored bytes are those that the official encoder makes, for everything it can encode."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as Scope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from phasetrace import faults, wire
from phasetrace.attributes import NESTED_VALUES
from phasetrace.wire import EncodedSpan, encode

carried_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1)
plain_values = st.one_of(carried_text, numbers, st.booleans(), st.floats(allow_nan=False))
values = st.one_of(
    plain_values,
    *(st.lists(one, max_size=3) for one in (carried_text, numbers, st.booleans())),
    *([st.dictionaries(carried_text, plain_values, max_size=2)] if NESTED_VALUES else []),
)
attributes = st.dictionaries(carried_text.filter(bool), values, max_size=5)
times = st.integers(0, 2**64 - 1)
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.just(TraceFlags(1)),
    st.just(TraceState([("vendor", "value")])),
)
resources = st.builds(Resource, attributes, st.sampled_from(["", "https://example.org/schema"]))
scopes = st.none() | st.builds(Scope, carried_text, carried_text, carried_text, attributes)
spans = st.builds(
    ReadableSpan,
    name=carried_text,
    context=contexts,
    parent=st.none() | contexts,
    resource=resources,
    attributes=attributes,
    events=st.lists(st.builds(Event, carried_text, attributes, times), max_size=2),
    links=st.lists(st.builds(Link, contexts, attributes), max_size=2),
    kind=st.sampled_from(SpanKind),
    status=st.just(Status(StatusCode.OK))
    | st.builds(Status, st.just(StatusCode.ERROR), carried_text),
    start_time=times,
    end_time=times,
    instrumentation_scope=scopes,
)


def span_with(**fields: Any) -> ReadableSpan:
    """Return a span with these fields, and defaults for the rest."""
    context = SpanContext(1, 2, is_remote=False)
    return ReadableSpan(**{"name": "name", "context": context, "resource": Resource({}), **fields})


def decoded(encoded: EncodedSpan | None) -> SpanMessage:
    """Return the message of an encoded span."""
    assert encoded is not None
    message: SpanMessage = SpanMessage.FromString(encoded.span)
    return message


def attributes_of(message: Any) -> dict[str, Any]:
    """Return the attributes of a message."""

    def plain(value: Any) -> Any:
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [plain(one) for one in value.array_value.values]
        if kind == "kvlist_value":
            return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
        return getattr(value, kind) if kind else None

    pairs: list[KeyValue] = list(message.attributes)
    return {pair.key: plain(pair.value) for pair in pairs}


@given(span=spans)
def test_a_span_is_encoded_as_officially(span: ReadableSpan) -> None:
    """Message for message: span, resource and scope, and both schema URLs."""
    (resource_spans,) = encode_spans([span]).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    (encoded,) = encode([span])
    assert encoded is not None
    assert SpanMessage.FromString(encoded.span) == scope_spans.spans[0]
    assert ResourceMessage.FromString(encoded.resource) == resource_spans.resource
    assert InstrumentationScope.FromString(encoded.scope) == scope_spans.scope
    assert encoded.resource_schema_url == resource_spans.schema_url
    assert encoded.scope_schema_url == scope_spans.schema_url


@given(batch=st.lists(spans, max_size=6))
def test_a_batch_is_encoded_span_by_span(batch: list[ReadableSpan]) -> None:
    """In its order, whatever the spans have in common."""
    assert encode(batch) == [encoded for span in batch for encoded in encode([span])]


def test_spans_with_the_same_ids_are_not_mixed_up() -> None:
    """Another id generator may give them twice, and an execution may be given its root twice."""
    first, second = encode([span_with(name="first"), span_with(name="second")])
    assert (decoded(first).name, decoded(second).name) == ("first", "second")


UNCARRIED = {
    "text": ("a\ud800b", "a\\ud800b"),
    "number": (2**70, str(2**70)),
    "list": (["\ud800", "x"], ["\\ud800", "x"]),
}


@pytest.mark.parametrize("kind", UNCARRIED)
def test_an_attribute_that_protobuf_cannot_carry_is_kept(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In escaped form, beside the others, and without a traceback in the log."""
    value, kept = UNCARRIED[kind]
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("foreign")
    span = tracer.start_span("name", attributes={"before": 1, "bad": value, "after": "é"})  # type: ignore[dict-item]
    span.end()
    assert isinstance(span, ReadableSpan)
    assert attributes_of(decoded(encode([span])[0])) == {"before": 1, "bad": kept, "after": "é"}
    assert caplog.records == []


@pytest.mark.skipif(not NESTED_VALUES, reason="this SDK drops nested values")
def test_what_protobuf_cannot_carry_is_kept_in_nested_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Keys and values, however deep."""
    value: Any = {"\ud800": [{"x": "\ud801"}, 2**64]}
    (encoded,) = encode([span_with(attributes={"bad": value})])
    assert attributes_of(decoded(encoded)) == {"bad": {"\\ud800": [{"x": "\\ud801"}, str(2**64)]}}
    assert caplog.records == []


def test_every_string_of_a_span_may_be_hostile(caplog: pytest.LogCaptureFixture) -> None:
    """Names, keys, descriptions, events, links; nothing is lost and nothing is logged."""
    bad, kept = "\ud800", "\\ud800"
    link = Link(SpanContext(3, 4, is_remote=True), {bad: bad})
    (encoded,) = encode(
        [
            span_with(
                name=bad,
                attributes={bad: bad},
                events=[Event(bad, {bad: bad}, 7)],
                links=[link],
                status=Status(StatusCode.ERROR, bad),
                resource=Resource({bad: bad}, bad),
                instrumentation_scope=Scope(bad, bad, bad, {bad: bad}),
            )
        ]
    )
    message = decoded(encoded)
    assert encoded is not None
    assert (message.name, message.status.message) == (kept, kept)
    assert (message.events[0].name, message.events[0].time_unix_nano) == (kept, 7)
    assert message.links[0].span_id == (4).to_bytes(8, "big")
    resource = ResourceMessage.FromString(encoded.resource)
    scope = InstrumentationScope.FromString(encoded.scope)
    for one in (message, message.events[0], message.links[0], resource, scope):
        assert attributes_of(one) == {kept: kept}
    assert (scope.name, scope.version) == (kept, kept)
    assert (encoded.resource_schema_url, encoded.scope_schema_url) == (kept, kept)
    assert caplog.records == []


def test_a_hostile_resource_costs_no_plain_span_anything(caplog: pytest.LogCaptureFixture) -> None:
    """The service's name comes from the environment, where any bytes may be."""
    (encoded,) = encode([span_with(resource=Resource({"service.name": "caf\udce9"}))])
    assert encoded is not None
    resource = ResourceMessage.FromString(encoded.resource)
    assert attributes_of(resource) == {"service.name": "caf\\udce9"}
    assert caplog.records == []


def test_times_that_protobuf_cannot_carry_are_the_nearest() -> None:
    """A span with a time of its own making is kept, too."""
    (encoded,) = encode([span_with(start_time=-5, end_time=2**70)])
    message = decoded(encoded)
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == (0, 2**64 - 1)


def test_what_was_dropped_before_stays_counted() -> None:
    """Whatever else has to be replaced."""
    from opentelemetry.sdk.trace import SpanLimits

    provider = TracerProvider(span_limits=SpanLimits(max_attributes=1), shutdown_on_exit=False)
    logging.getLogger("opentelemetry.attributes").disabled = True
    span = provider.get_tracer("x").start_span("n", attributes={"a": 1, "b": "\ud800"})
    logging.getLogger("opentelemetry.attributes").disabled = False
    span.end()
    assert isinstance(span, ReadableSpan)
    assert decoded(encode([span])[0]).dropped_attributes_count == 1


def test_a_span_that_cannot_be_encoded_costs_only_itself(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of its batch are encoded, and one line says so."""
    monkeypatch.setattr(faults, "_counts", {})
    broken = span_with(kind="no kind")
    encoded = encode([span_with(name="a"), broken, span_with(name="b"), broken])
    assert [one is None for one in encoded] == [False, True, False, True]
    assert decoded(encoded[2]).name == "b"
    assert [record.name for record in caplog.records] == ["phasetrace"]


def test_plain_values_are_not_encoded_to_see_whether_they_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the common case a span is looked through by a few comparisons."""

    def refuse(value: object) -> str:
        raise AssertionError(value)

    monkeypatch.setattr(wire, "text", refuse)
    (encoded,) = encode([span_with(attributes={"a": "b", "n": 1, "l": ["x"]})])
    assert decoded(encoded).name == "name"
