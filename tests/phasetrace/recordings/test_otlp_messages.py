"""Spans as OTLP's JSON and as protobuf, both ways, held against the official messages."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import EntityRef, InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from phasetrace.protobuf.reading import MalformedMessage
from phasetrace.protobuf.writing import delimited
from phasetrace.recordings.json_values import MalformedJson
from phasetrace.recordings.otlp_messages import (
    resource_json,
    scope_json,
    span_json,
    traces_json,
)
from phasetrace.recordings.otlp_writing import resource_message, scope_message, span_message
from tests.phasetrace.recordings.otlp_files import as_json
from tests.phasetrace.wire.strategies import text

MAX32, MAX64 = 2**32 - 1, 2**64 - 1
names = text.filter(bool)  # protobuf leaves an empty key out
ids = st.binary(min_size=8, max_size=8).filter(any)
trace_ids = st.binary(min_size=16, max_size=16).filter(any)
counts = st.integers(0, MAX32) | st.sampled_from([0, 1, MAX32])
times = st.integers(0, MAX64) | st.sampled_from([0, MAX64])
values = st.recursive(
    st.one_of(
        st.just({}),
        text.map(lambda value: {"string_value": value}),
        st.booleans().map(lambda value: {"bool_value": value}),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: {"int_value": value}),
        st.floats(allow_nan=False).map(lambda value: {"double_value": value}),
        st.binary(max_size=8).map(lambda value: {"bytes_value": value}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: {"array_value": {"values": items}}),
        st.dictionaries(names, inner, max_size=3).map(
            lambda pairs: {"kvlist_value": {"values": _pairs(pairs)}}
        ),
    ),
    max_leaves=6,
)


def _pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


attributes = st.dictionaries(names, values, max_size=4).map(_pairs)
events = st.builds(
    Span.Event,
    time_unix_nano=times,
    name=text,
    attributes=attributes,
    dropped_attributes_count=counts,
)
links = st.builds(
    Span.Link,
    trace_id=trace_ids,
    span_id=ids,
    trace_state=text,
    attributes=attributes,
    dropped_attributes_count=counts,
    flags=counts,
)
spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=ids,
    trace_state=text,
    parent_span_id=st.just(b"") | ids,
    flags=counts,
    name=text,
    kind=st.integers(0, 5),
    start_time_unix_nano=times,
    end_time_unix_nano=times,
    attributes=attributes,
    dropped_attributes_count=counts,
    events=st.lists(events, max_size=2),
    dropped_events_count=counts,
    links=st.lists(links, max_size=2),
    dropped_links_count=counts,
    status=st.builds(dict, message=text, code=st.integers(0, 2)),
)
entities = st.builds(
    EntityRef,
    schema_url=text,
    type=text,
    id_keys=st.lists(text, max_size=3),
    description_keys=st.lists(text, max_size=3),
)
resources = st.builds(
    Resource,
    attributes=attributes,
    dropped_attributes_count=counts,
    entity_refs=st.lists(entities, max_size=2),
)
scopes = st.builds(
    InstrumentationScope,
    name=text,
    version=text,
    attributes=attributes,
    dropped_attributes_count=counts,
)


def official_json(span: Span) -> Any:
    """Return the JSON that protobuf makes of a span, with ids as OTLP has them."""
    data = TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
    document = as_json(data.SerializeToString())
    return document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]


def without_signs_of_nothing(value: Any) -> Any:
    """Return JSON without what is there or not there alike: an empty status, an empty list."""
    if isinstance(value, dict):
        return {
            name: without_signs_of_nothing(item)
            for name, item in value.items()
            if not (name == "status" and not item)
        }
    return [without_signs_of_nothing(item) for item in value] if isinstance(value, list) else value


@given(spans)
def test_the_json_of_a_span_is_what_protobuf_prints(span: Span) -> None:
    """But for the ids, which OTLP has in hex."""
    made = span_json(span.SerializeToString())
    assert made == without_signs_of_nothing(official_json(span))
    json.dumps(made, allow_nan=False)


@given(spans)
def test_a_span_comes_back_from_its_json(span: Span) -> None:
    """As the very message; a status that says nothing may be missing."""
    message = span_message(span_json(span.SerializeToString()))
    back = Span.FromString(message)
    if not back.HasField("status"):
        back.status.SetInParent()
    assert back == span


@given(resources, scopes)
def test_a_resource_and_a_scope_come_back(resource: Resource, scope: InstrumentationScope) -> None:
    """Both ways, too."""
    about = resource_json(resource.SerializeToString())
    assert about == json_format.MessageToDict(resource)
    assert Resource.FromString(resource_message(about)) == resource
    made = scope_json(scope.SerializeToString())
    assert made == json_format.MessageToDict(scope)
    assert InstrumentationScope.FromString(scope_message(made)) == scope


def test_no_number_has_a_name() -> None:
    """JSON has none of its own for it."""
    message = span_message({"traceId": "01" * 16, "spanId": "02" * 8, **_with(float("nan"))})
    assert span_json(message)["attributes"] == [{"key": "a", "value": {"doubleValue": "NaN"}}]
    assert math.isnan(Span.FromString(message).attributes[0].value.double_value)


def _with(value: float) -> dict[str, Any]:
    return {"attributes": [{"key": "a", "value": {"doubleValue": value}}]}


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ({"kind": "SPAN_KIND_CLIENT"}, "kind", 3),
        ({"kind": "client"}, "kind", 3),
        ({"kind": 17}, "kind", 0),
        ({"kind": "elsewhere"}, "kind", 0),
        ({"start_time_unix_nano": 5}, "start_time_unix_nano", 5),
        ({"endTimeUnixNano": "-5"}, "end_time_unix_nano", 0),
        ({"droppedEventsCount": 2**40}, "dropped_events_count", MAX32),
        ({"traceId": base64.b64encode(b"\7" * 16).decode()}, "trace_id", b"\7" * 16),
        ({"name": 5}, "name", "5"),
        ({"later": {"unknown": 1}}, "name", ""),
    ],
)
def test_what_others_write_is_taken(written: dict[str, Any], field: str, value: Any) -> None:
    """Names for numbers, numbers for strings, keys as in the .proto files, ids in base64."""
    assert getattr(Span.FromString(span_message(written)), field) == value


@pytest.mark.parametrize(
    "broken",
    [{"events": 5}, {"traceId": "no id"}, {"startTimeUnixNano": "soon"}, {"flags": "x"}],
)
def test_what_is_no_span_is_refused(broken: dict[str, Any]) -> None:
    """Nothing is made up."""
    with pytest.raises(MalformedJson):
        span_message(broken)


def test_values_that_nest_without_end_are_refused_both_ways() -> None:
    """Before Python's stack is full."""
    value: dict[str, Any] = {"stringValue": "deep"}
    message = delimited(1, b"deep")
    for _ in range(150):
        value = {"arrayValue": {"values": [value]}}
        message = delimited(5, delimited(1, message))
    with pytest.raises(MalformedJson, match="deeper than 100 levels"):
        span_message({"attributes": [{"key": "a", "value": value}]})
    with pytest.raises(MalformedMessage, match="deeper than 100 levels"):
        span_json(delimited(9, delimited(1, b"a") + delimited(2, message)))


def test_bytes_that_are_no_span_are_refused() -> None:
    """As every reader of protobuf does."""
    with pytest.raises(MalformedMessage):
        span_json(b"\xff\xff")


@given(st.lists(st.tuples(spans, st.integers(0, 1), st.integers(0, 1)), max_size=5))
def test_spans_are_put_below_what_they_belong_to(known: list[tuple[Span, int, int]]) -> None:
    """Each resource and each of its scopes once, in the order in which they came first."""
    made = traces_json(
        (
            span.SerializeToString(),
            Resource(dropped_attributes_count=of).SerializeToString(),
            "url" if of else "",
            InstrumentationScope(name=f"scope {by}").SerializeToString(),
            "",
        )
        for span, of, by in known
    )
    found = [
        (span, group.get("resource", {}).get("droppedAttributesCount", 0), scope["scope"]["name"])
        for group in made["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]
    expected = [(span_json(one.SerializeToString()), of, f"scope {by}") for one, of, by in known]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert len(made["resourceSpans"]) == len({of for _, of, _ in known})
