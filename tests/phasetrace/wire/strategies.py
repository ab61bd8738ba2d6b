"""Random spans with all that a span can hold, and what the official encoder makes of them."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
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

from phasetrace.attributes import NESTED_VALUES


def span_with(**fields: Any) -> ReadableSpan:
    """Return a span with these fields, and defaults for the rest."""
    context = SpanContext(1, 2, is_remote=False)
    return ReadableSpan(**{"name": "name", "context": context, "resource": Resource({}), **fields})


class Official(NamedTuple):
    """What the official encoder makes of one span: each message, serialized."""

    span: bytes
    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str


def official(span: ReadableSpan) -> Official:
    """Encode a span officially."""
    (resource_spans,) = encode_spans([span]).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    return Official(
        scope_spans.spans[0].SerializeToString(),
        resource_spans.resource.SerializeToString(),
        resource_spans.schema_url,
        scope_spans.scope.SerializeToString(),
        scope_spans.schema_url,
    )


def _encodes_none() -> bool:
    # Early releases leave out an attribute that holds a None, and log a traceback.
    logging.disable()
    try:
        return b"key" in official(span_with(attributes={"key": [None]})).span
    finally:
        logging.disable(logging.NOTSET)


ENCODES_NONE = _encodes_none()

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
edges = [0, 1, -1, 127, 128, 2**14 - 1, 2**14, 2**21 - 1, 2**21, 2**31, 2**63 - 1, -(2**63)]
numbers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(edges)
plain_values: st.SearchStrategy[Any] = st.one_of(
    text,
    text.map(lambda short: short * 50),
    numbers,
    st.booleans(),
    st.floats(),
    st.sampled_from([1, 1.0, True, 0, 0.0, -0.0, False, "", "1"]),
    st.binary(max_size=8),
    *([st.none()] if ENCODES_NONE else []),
)
values = st.recursive(
    plain_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
few_keys = st.sampled_from(["exec_id", "node_id", "iteration", "é", "k" * 200])
attributes = st.dictionaries(few_keys | text, values, max_size=5)
counts = st.sampled_from([0, 0, 0, 1, 300, 2**32 - 1])
times = st.integers(0, 2**64 - 1) | st.integers(1_700_000_000 * 10**9, 1_800_000_000 * 10**9)


@st.composite
def bounded_attributes(draw: st.DrawFn) -> BoundedAttributes:
    """Attributes as the SDK keeps them, of which some were dropped."""
    bounded = BoundedAttributes(immutable=False)
    bounded._dict = draw(attributes)
    bounded.dropped = draw(counts)
    return bounded


def bounded_lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[BoundedList[Any]]:
    """Events or links as the SDK keeps them, of which some were dropped."""

    def make(kept: list[Any], dropped: int) -> BoundedList[Any]:
        bounded: BoundedList[Any] = BoundedList(None)
        bounded.extend(kept)
        bounded.dropped = dropped
        return bounded

    return st.builds(make, st.lists(items, max_size=2), counts)


some_attributes = attributes | bounded_attributes()
trace_states = st.builds(
    TraceState,
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z][a-z0-9_*/-]{0,4}", fullmatch=True),
            st.from_regex(r"[ -+\--<>-~]{0,4}[!-+\--<>-~]", fullmatch=True),
        ),
        max_size=3,
        unique_by=lambda entry: entry[0],
    ),
)
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.sampled_from([0, 1, 2, 3]).map(TraceFlags),
    st.none() | trace_states,
)
events = st.builds(Event, text, some_attributes, times)
links = st.builds(Link, contexts, some_attributes)
statuses = st.one_of(
    st.just(Status()),
    st.just(Status(StatusCode.OK)),
    st.builds(Status, st.just(StatusCode.ERROR), st.none() | text),
)
schema_urls = st.sampled_from(["", "https://example.org/schema"])
# What resources and scopes do not take, they drop; the rest they keep.
resource_values: st.SearchStrategy[Any] = st.one_of(
    text, numbers, st.booleans(), st.floats(), st.lists(text, max_size=2).map(tuple)
)
if NESTED_VALUES:
    resource_values = values
resource_attributes = st.dictionaries(text.filter(bool), resource_values, max_size=3)
resources = st.builds(Resource, resource_attributes, schema_urls)
scopes = st.builds(Scope, text, text, schema_urls, resource_attributes)
spans = st.builds(
    ReadableSpan,
    name=text | st.sampled_from(["llm_completion", "node_1", "n" * 300]),
    context=contexts,
    parent=st.none() | contexts,
    resource=resources,
    attributes=some_attributes,
    events=st.lists(events, max_size=2) | bounded_lists(events),
    links=st.lists(links, max_size=2) | bounded_lists(links),
    kind=st.sampled_from(SpanKind),
    status=statuses,
    start_time=times,
    end_time=times,
    instrumentation_scope=st.none() | scopes,
)
