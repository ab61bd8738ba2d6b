"""Reading OTLP's JSON: every way in which a span is written, and what is no span."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from phasetrace.identity import root_span_id_of
from phasetrace.recordings.json_values import MalformedJson, attributes_of, hashable
from phasetrace.recordings.otlp_json import DecodedSpan, SpanDecoder
from phasetrace.spans import SpanRecord, Usage
from tests.phasetrace.recordings.made import S, T, document, phase, root, span


def decoded(*spans: Any, **resource: Any) -> list[DecodedSpan]:
    """Return what spans are read as."""
    return SpanDecoder().decode(document(spans, **resource))


def read(given: Any) -> SpanRecord:
    """Return what one span is read as."""
    (found,) = decoded(given)
    return found.span


def test_a_phase_is_read_with_all_that_it_says() -> None:
    """Times, ids, node, iteration, use of models."""
    found = phase(
        7,
        "e",
        "ask",
        start=5,
        end=8,
        parent=3,
        **{
            "node_type": "llm",
            "iteration": 2,
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.request.model": "m",
        },
    )
    assert read(found) == SpanRecord(
        7, 3, "phase", "ask", "n", "llm", T + 5, T + 8, "ok", 2, (), Usage(12, 0, "m")
    )
    (one,) = decoded(found, **{"service.name": "s"})
    assert (one.exec_id, one.service, one.implicit, one.parent_exec_id) == ("e", "s", False, None)


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        ({"node_id": "n"}, "phase"),
        ({"node_id": "n", "phasetrace.type": "node"}, "node"),
        ({"phasetrace.type": "execution"}, "execution"),
        ({}, "phase"),
    ],
)
def test_what_a_span_is_its_attributes_say(pairs: dict[str, Any], kind: str) -> None:
    """A phase, where they say nothing."""
    assert read(span(7, exec_id="e", **pairs)).type == kind


def test_a_root_without_a_type_is_known_by_its_id() -> None:
    """As programs mark it that set attributes by hand; but not if it is a node's."""
    assert read(span(root_span_id_of("e"), exec_id="e")).type == "execution"
    assert read(span(root_span_id_of("e"), exec_id="e", node_id="n")).type == "phase"


@pytest.mark.parametrize(
    ("code", "cancelled", "status"),
    [
        (2, False, "error"),
        ("STATUS_CODE_ERROR", True, "error"),
        ("Error", False, "error"),
        (1, False, "ok"),
        (0, True, "cancelled"),
        (None, False, "ok"),
    ],
)
def test_how_a_span_ended(code: Any, cancelled: bool, status: str) -> None:
    """A failure counts for more than a cancellation."""
    marks = {"phasetrace.cancelled": True} if cancelled else {}
    assert read(phase(7, "e", status={"code": code}, **marks)).status == status


def in_snake_case(given: Any) -> Any:
    """Return a message with its keys as in the .proto files."""
    if isinstance(given, list):
        return [in_snake_case(item) for item in given]
    if not isinstance(given, dict):
        return given
    return {
        re.sub("[A-Z]", lambda c: f"_{c[0].lower()}", k): in_snake_case(v) for k, v in given.items()
    }


def with_numbers(given: Any) -> Any:
    """Return a message with 64-bit integers as numbers."""
    if isinstance(given, list):
        return [with_numbers(item) for item in given]
    if not isinstance(given, dict):
        return given
    return {
        key: int(item) if key.endswith("UnixNano") or key == "intValue" else with_numbers(item)
        for key, item in given.items()
    }


def with_base64(given: Any) -> Any:
    """Return a message with ids as protobuf's own printer writes them."""
    if isinstance(given, list):
        return [with_base64(item) for item in given]
    if not isinstance(given, dict):
        return given
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode()
        if key in ("traceId", "spanId", "parentSpanId")
        else with_base64(item)
        for key, item in given.items()
    }


WAYS: dict[str, Callable[[Any], Any]] = {
    "snake case": in_snake_case,
    "numbers": with_numbers,
    "base64": with_base64,
    "web-safe base64": lambda given: json.loads(
        json.dumps(with_base64(given)).translate(str.maketrans("+/", "-_")).replace("=", "")
    ),
    "all of them": lambda given: in_snake_case(with_base64(with_numbers(given))),
    "in a result": lambda given: {"result": given},
    "upper case ids": lambda given: json.loads(
        re.sub('(Id": ")([0-9a-f]+)', lambda m: m[1] + m[2].upper(), json.dumps(given))
    ),
    "older scopes": lambda given: json.loads(
        json.dumps(given).replace("scopeSpans", "instrumentationLibrarySpans")
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_written_it_is_the_same(way: str) -> None:
    """Also as old writers did."""
    given = document(
        [root("e"), phase(7, "e", iteration=3, depends_on=["a", "b"], status={"code": 2}, k="v")],
        **{"service.name": "s"},
    )
    assert SpanDecoder().decode(WAYS[way](given)) == SpanDecoder().decode(given)
    assert len(SpanDecoder().decode(given)) == 2


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


def message_of(content: Any) -> AnyValue:
    """Return the official message of a value."""
    made = AnyValue()
    if isinstance(content, bool):
        made.bool_value = content
    elif isinstance(content, int):
        made.int_value = content
    elif isinstance(content, float):
        made.double_value = content
    elif isinstance(content, str):
        made.string_value = content
    elif isinstance(content, bytes):
        made.bytes_value = content
    elif isinstance(content, tuple):
        made.array_value.SetInParent()
        made.array_value.values.extend(message_of(item) for item in content)
    elif isinstance(content, dict):
        made.kvlist_value.SetInParent()
        for key, item in content.items():
            made.kvlist_value.values.add(key=key, value=message_of(item))
    return made


@given(values)
def test_values_are_those_that_the_official_json_has(content: Any) -> None:
    """Of every kind, nested, and beyond what JSON's numbers hold."""
    written = json.loads(json_format.MessageToJson(message_of(content)))
    found = attributes_of({"attributes": [{"key": "k", "value": written}]})
    assert hashable(found["k"]) == hashable(content)


def test_numbers_of_one_value_and_another_type_are_different() -> None:
    """As metadata, 1 is not 1.0 and not True; a NaN is like another."""
    assert len({hashable(1), hashable(1.0), hashable(True), hashable("1")}) == 4
    assert hashable(math.nan) == hashable(float("nan"))
    assert hashable({"a": 1, "b": 2}) == hashable({"b": 2, "a": 1})


def test_a_jaeger_without_durations_is_read_as_what_was_sent() -> None:
    """It gives a span without one a nanosecond, and says so."""
    warning = "Negative duration detected, sanitizing end timestamp. Original end timestamp: …"
    found = read(phase(7, "e", start=5, end=6, **{"@jaeger@warnings": [warning], "k": "v"}))
    assert found == read(phase(7, "e", start=5, end=5, k="v"))
    assert read(phase(7, "e", start=5, end=6, **{"@jaeger@warnings": ["else"]})).end_ns == T + 6


def test_a_list_of_dependencies_that_was_kept_as_json_is_a_list() -> None:
    """Some backends' attributes are only texts and numbers; a single name is one."""
    assert read(phase(7, "e", depends_on='["a","b"]')).depends_on == ("a", "b")
    assert read(phase(7, "e", depends_on="[a")).depends_on == ("[a",)
    assert read(phase(7, "e", depends_on=["a", 1])).depends_on == ("a",)


def test_a_span_that_ends_before_it_starts_takes_no_time() -> None:
    """As everywhere."""
    assert read(phase(7, "e", start=S, end=0)).end_ns == T + S


@pytest.mark.parametrize("exec_id", ["", None])
def test_an_empty_exec_id_is_none(exec_id: Any) -> None:
    """Such a span belongs to no execution."""
    (found,) = decoded(span(7, exec_id=exec_id, node_id="n"))
    assert (found.exec_id, found.span.type) == (None, "phase")


def test_ids_of_any_type_and_text_are_as_a_store_has_them() -> None:
    """Numbers as their text, lone surrogates escaped."""
    (found,) = decoded(span(7, "\ud800", exec_id=5, node_id=True, iteration=True))
    assert (found.exec_id, found.span.node_id, found.span.name) == ("5", "True", "\\ud800")
    assert type(found.span.iteration) is int


def test_processes_are_told_apart_by_their_resources() -> None:
    """And numbered as they come."""
    decoder = SpanDecoder()
    numbers = [
        decoder.decode(document([phase(1, "e")], **{"service.instance.id": instance}))[
            0
        ].span.process
        for instance in ("a", "b", "a")
    ]
    assert numbers == [0, 1, 0]


def test_metadata_are_the_same_where_all_of_them_are() -> None:
    """In whatever order they come; None where no text tells calls apart."""

    def metadata(**pairs: Any) -> int | None:
        return read(phase(7, "e", **pairs)).metadata

    assert metadata(a="1", b=2) == metadata(b=2, a="1") != metadata(a="1", b=3)
    assert metadata(b=2) is None
    assert metadata(model="m") is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "it is [] and no object"),
        ({"data": [], "errors": None}, 'it has "data", "errors", and no "resourceSpans"'),
        ({"resourceSpans": {}}, "resourceSpans is {} and no list of objects"),
        ({"resourceSpans": [{"resource": []}]}, "resourceSpans[0].resource is [] and no object"),
        ({"resourceSpans": [{"scopeSpans": [1]}]}, "scopeSpans is [1] and no list of objects"),
        (
            document([phase(1, "e"), {**span(2), "traceId": "xyz"}]),
            "resourceSpans[0].scopeSpans[0].spans[1]: traceId is 'xyz' and no id: 32 hex digits",
        ),
        (document([{**span(2), "spanId": "0" * 16}]), "spans[0]: it has no spanId"),
        (document([{**span(2), "traceId": ""}]), "spans[0]: it has no traceId"),
        (document([{**span(2), "startTimeUnixNano": "soon"}]), "its start is 'soon'"),
        (document([{**span(2), "attributes": {}}]), "attributes is {} and no list"),
        (document([{**span(2), "status": 2}]), "status is 2 and no object"),
        (
            document([{**span(2), "attributes": [{"key": "k", "value": 1}]}]),
            "an attribute's value is 1 and no object",
        ),
        (
            document([{**span(2), "attributes": [{"key": "k", "value": {"intValue": "x"}}]}]),
            "intValue is 'x' and no integer",
        ),
        (
            document([{**span(2), "attributes": [{"key": "k", "value": {"bytesValue": "%"}}]}]),
            "bytesValue is '%' and no base64",
        ),
        (
            document([{**span(2), "attributes": [{"key": "k", "value": {"boolValue": "yes"}}]}]),
            "boolValue is 'yes' and no boolean",
        ),
    ],
)
def test_what_is_no_span_is_said_with_its_place(given: Any, message: str) -> None:
    """And nothing of the document is read."""
    with pytest.raises(MalformedJson, match=re.escape(message)):
        SpanDecoder().decode(given)


def test_other_signals_have_no_spans() -> None:
    """They are in the same file where a collector writes all into one."""
    assert SpanDecoder().decode({"resourceMetrics": []}) == []
    assert SpanDecoder().decode({}) == []
