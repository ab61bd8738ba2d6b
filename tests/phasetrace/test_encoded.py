"""Messages of plain spans, which are put together from longer pieces than those of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from phasetrace import encoded, redaction, wire
from phasetrace.encoded import belonging_of, message_of
from phasetrace.redaction import Redaction
from phasetrace.redaction_rules import Rules
from phasetrace.span import Span
from phasetrace.wire import encode_plain, encode_span, encoding, plain_end

texts = st.text(max_size=20) | st.text("x", min_size=100, max_size=300)
plain = st.dictionaries(
    texts.filter(bool),
    texts | st.integers() | st.integers(0, 20_000) | st.floats() | st.booleans(),
    max_size=4,
)
ids = st.integers(1, 2**64 - 1)
moments = st.none() | st.integers(-5, 2**64 + 5)


def span_with(**fields: Any) -> Span:
    """Return a finished phase of a node, with other fields where some are given."""
    span = Span("phase", SpanContext(5, 7, is_remote=False, trace_flags=TraceFlags(1)))
    span._exec_id, span._node_id, span._trace_state = "e", "n", None
    span._start_time, span._end_time = 10, 20
    for name, value in fields.items():
        setattr(span, name, value)
    return span


@given(
    trace_id=st.integers(1, 2**128 - 1),
    span_id=ids,
    parent_id=st.none() | ids,
    name=texts,
    times=st.tuples(moments, moments),
    attributes=st.none() | plain,
    last=plain.filter(bool),
    flags=st.integers(1, 3),
)
def test_a_plain_message_is_that_of_the_whole_encoder(
    trace_id: int,
    span_id: int,
    parent_id: int | None,
    name: str,
    times: tuple[int | None, int | None],
    attributes: dict[str, Any] | None,
    last: dict[str, Any],
    flags: int,
) -> None:
    """To the byte, whether its pieces were seen before or not."""
    expected = encode_span(
        trace_id,
        span_id,
        parent_id,
        False,
        None,
        name,
        SpanKind.INTERNAL,
        *times,
        None if attributes is None else dict(attributes),
        trace_flags=flags,
    )
    end = plain_end(last, flags)
    for _ in range(2):
        message = encode_plain(trace_id, span_id, parent_id, name, *times, attributes, end)
        assert message.endswith(end)
        assert message.removesuffix(b"\x4a" + end) == expected.removesuffix(
            b"\x7a\x00\x85\x01" + (0x100 | flags).to_bytes(4, "little")
        )


@given(
    exec_id=texts.filter(bool),
    node_id=texts,
    name=texts,
    parent_id=st.none() | ids,
    flags=st.integers(0, 3),
    attributes=st.none() | plain,
)
def test_a_span_has_the_same_message_either_way(
    exec_id: str,
    node_id: str,
    name: str,
    parent_id: int | None,
    flags: int,
    attributes: dict[str, Any] | None,
) -> None:
    """The ids come after the attributes."""
    fields: dict[str, Any] = {"_exec_id": exec_id, "_node_id": node_id, "_name": name}
    fields |= {"_parent_id": parent_id, "_flags": flags, "_plain": attributes}
    for _ in range(2):
        span = span_with(**fields)
        assert encoded._plain_message(span) is not None
        assert message_of(span) == encoded._message(span)


@pytest.mark.parametrize(
    "fields",
    [
        {"_exec_id": None},
        {"_node_id": None},
        {"_node_details": ("type", 3)},
        {"_plain": {"exec_id": "other"}},
        {"_plain": {"node_id": 5}},
        {"_status": Status(StatusCode.ERROR, "why")},
        {"_kind": SpanKind.CLIENT},
        {"_trace_state": TraceState([("a", "b")])},
        {"_parent_given": SpanContext(5, 6, is_remote=True), "_parent_id": 6},
        {"_name": type("Name", (str,), {})("phase")},
    ],
)
def test_a_span_with_more_to_it_has_all_of_it_in_its_message(fields: dict[str, Any]) -> None:
    """It goes the long way, and says something else than a plain one."""
    span = span_with(**fields)
    assert encoded._plain_message(span) is None
    assert message_of(span) == encoded._message(span)
    if "_name" not in fields:
        assert message_of(span) != message_of(span_with())


def test_events_links_and_bounded_attributes_are_not_plain() -> None:
    """Each of them is in the message."""
    for touch in ("_events", "_links", "_attributes"):
        span = span_with()
        assert encoded._plain_message(span) is not None
        getattr(span, touch)
        assert encoded._plain_message(span) is None


@pytest.fixture
def tables() -> Iterator[list[dict[Any, bytes]]]:
    """Return the tables of pieces, empty before and after."""
    found: list[dict[Any, bytes]] = [encoded._ends, encoding._heads]
    for table in found:
        table.clear()
    yield found
    for table in found:
        table.clear()


def test_what_is_kept_of_executions_and_traces_is_bounded(
    tables: list[dict[Any, bytes]],
) -> None:
    """However many there are, and however long their ids."""
    for number in range(5_000):
        message_of(span_with(_exec_id=f"e{number}", _trace_id=number + 1))
    message_of(span_with(_exec_id="e" * 1_000))
    ends, heads = tables
    assert 0 < len(ends) <= 4_096
    assert 0 < len(heads) <= 1_024
    assert max(map(len, ends.values())) <= 256


def test_a_message_is_made_once() -> None:
    """The store and an exporter share it."""
    span = span_with()
    assert message_of(span) is message_of(span)
    (both,) = encoded.encoded([span])
    assert both is not None
    assert both.span is message_of(span)
    assert isinstance(both, wire.EncodedSpan)


def test_a_resource_is_written_again_under_another_policy() -> None:
    """Its message is kept with what makes spans, which goes on making them."""
    resource = Resource({"deploy.token": "hunter2"})
    origin = Span("phase", SpanContext(5, 7, is_remote=False), resource=resource)._origin
    assert b"hunter2" not in belonging_of(origin)[0]
    redaction.put_in_force(Redaction(Rules(secrets=False)))
    assert b"hunter2" in belonging_of(origin)[0]
    redaction.put_in_force(Redaction(Rules()))
    assert b"hunter2" not in belonging_of(origin)[0]
    assert belonging_of(origin) is belonging_of(origin)
