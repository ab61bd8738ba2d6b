"""What Jaeger's user interface lets download, as OTLP's JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phasetrace.errors import SourceError
from phasetrace.identity import root_span_id_of
from phasetrace.recordings.jaeger_json import is_jaeger_json, otlp_of_jaeger
from phasetrace.recordings.otlp_file import file_source, spans_of_file
from tests.phasetrace.recordings.made import trace_of

US = 1_700_000_000_000_000
"""When things begin, in microseconds."""


def tag(key: str, value: Any, kind: str = "string") -> dict[str, Any]:
    """Return a tag."""
    return {"key": key, "type": kind, "value": value}


def span(span_id: str, name: str = "p", **fields: Any) -> dict[str, Any]:
    """Return a span that took a millisecond."""
    return {
        "traceID": trace_of("e"),
        "spanID": span_id,
        "operationName": name,
        "references": [],
        "startTime": US,
        "duration": 1_000,
        "tags": [],
        "logs": [],
        "processID": "p1",
        "warnings": None,
        **fields,
    }


def download(*spans: Any, **fields: Any) -> dict[str, Any]:
    """Return what is downloaded."""
    process = {"serviceName": "program", "tags": [tag("host.name", "h")]}
    return {
        "data": [{"traceID": trace_of("e"), "spans": list(spans), "processes": {"p1": process}}],
        "total": 0,
        **fields,
    }


def converted(one: Any) -> dict[str, Any]:
    """Return a span in OTLP's JSON."""
    (group,) = otlp_of_jaeger(download(one))["resourceSpans"]
    (scope,) = group["scopeSpans"]
    (found,) = scope["spans"]
    return dict(found)


def pairs(attributes: Any) -> dict[str, Any]:
    """Return attributes by their keys."""
    return {one["key"]: one["value"] for one in attributes}


def test_an_execution_is_found_in_a_download() -> None:
    """Its name, its nodes, its times in whole microseconds."""
    root = span(
        f"{root_span_id_of('e'):016x}",
        "run",
        duration=5_000,
        tags=[tag("exec_id", "e"), tag("phasetrace.type", "execution")],
    )
    below = [{"refType": "CHILD_OF", "traceID": trace_of("e"), "spanID": root["spanID"]}]
    phase = span(
        "00000000000000aa",
        references=below,
        startTime=US + 7,
        tags=[tag("exec_id", "e"), tag("node_id", "n"), tag("depends_on", '["a","b"]')],
    )
    source = file_source("f", json.dumps(download(root, phase), indent=1).encode())
    (execution,) = source.executions()
    assert (execution.exec_id, execution.name, execution.status) == ("e", "run", "ok")
    assert (execution.started_ns, execution.duration_ns) == (US * 1_000, 5_000_000)
    (one,) = [one for one in source.recording(execution).spans if one.name == "p"]
    assert (one.node_id, one.depends_on) == ("n", ("a", "b"))
    assert (one.start_ns, one.end_ns) == (US * 1_000 + 7_000, US * 1_000 + 1_007_000)
    assert one.parent_id == root_span_id_of("e")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (download(span("1")), True),
        ({"data": [{"traceID": "1"}]}, False),
        ({"data": []}, False),
        ({"data": 1}, False),
        ({"resourceSpans": []}, False),
        ([], False),
    ],
)
def test_it_is_known_by_its_traces(document: Any, expected: bool) -> None:
    """Other answers of Jaeger have data as well."""
    assert is_jaeger_json(document) is expected


def test_values_keep_their_types() -> None:
    """Large integers come as strings, bytes as base64; what is not known is text."""
    made = converted(
        span(
            "1",
            tags=[
                tag("flag", True, "bool"),
                tag("n", 5, "int64"),
                tag("big", "1152921504606846976", "int64"),
                tag("f", 1.5, "float64"),
                tag("by", "eHl6", "binary"),
                tag("odd", "x", "odd"),
                tag("none", None),
            ],
        )
    )
    assert pairs(made["attributes"]) == {
        "flag": {"boolValue": True},
        "n": {"intValue": 5},
        "big": {"intValue": "1152921504606846976"},
        "f": {"doubleValue": 1.5},
        "by": {"bytesValue": "eHl6"},
        "odd": {"stringValue": "x"},
        "none": {},
    }


def test_what_a_node_depends_on_is_a_list_again() -> None:
    """As it was recorded; a single name is one as well."""
    for written, expected in (('["a","b"]', ["a", "b"]), ("a", ["a"])):
        made = converted(span("1", tags=[tag("depends_on", written)]))
        values = pairs(made["attributes"])["depends_on"]["arrayValue"]["values"]
        assert [one["stringValue"] for one in values] == expected


def test_what_has_a_place_of_its_own_in_otlp_gets_there() -> None:
    """Kind, status, scope and trace state are no attributes there."""
    tags = [
        tag("span.kind", "client"),
        tag("otel.status_code", "ERROR"),
        tag("otel.status_description", "no"),
        tag("error", True, "bool"),
        tag("otel.scope.name", "lib"),
        tag("otel.scope.version", "2"),
        tag("w3c.tracestate", "a=b"),
        tag("own", "x"),
    ]
    (group,) = otlp_of_jaeger(download(span("1", tags=tags)))["resourceSpans"]
    (scope,) = group["scopeSpans"]
    (made,) = scope["spans"]
    assert scope["scope"] == {"name": "lib", "version": "2"}
    assert (made["kind"], made["traceState"]) == (3, "a=b")
    assert made["status"] == {"code": 2, "message": "no"}
    assert pairs(made["attributes"]) == {"own": {"stringValue": "x"}}
    assert pairs(group["resource"]["attributes"]) == {
        "service.name": {"stringValue": "program"},
        "host.name": {"stringValue": "h"},
    }


def test_an_error_of_opentracing_is_one() -> None:
    """It had nothing but the tag, which stays."""
    made = converted(span("1", tags=[tag("error", True, "bool")]))
    assert made["status"]["code"] == 2
    assert pairs(made["attributes"]) == {"error": {"boolValue": True}}


def test_the_parent_is_of_the_same_trace_and_the_rest_are_links() -> None:
    """A child comes before what only follows; ids of 64 bits are filled up."""

    def reference(kind: str, trace: str, to: str) -> dict[str, str]:
        return {"refType": kind, "traceID": trace, "spanID": to}

    own = trace_of("e")
    made = converted(
        span(
            "ab",
            references=[
                reference("FOLLOWS_FROM", own, "1"),
                reference("CHILD_OF", "5", "2"),
                reference("CHILD_OF", own, "3"),
            ],
        )
    )
    assert (made["spanId"], made["parentSpanId"]) == (f"{0xAB:016x}", f"{3:016x}")
    assert made["links"] == [
        {"traceId": own, "spanId": f"{1:016x}"},
        {"traceId": f"{5:032x}", "spanId": f"{2:016x}"},
    ]
    follows = converted(span("ab", references=[reference("FOLLOWS_FROM", own, "1")]))
    assert (follows["parentSpanId"], follows["links"]) == (f"{1:016x}", [])
    assert converted(span("ab", parentSpanID="7"))["parentSpanId"] == f"{7:016x}"


def test_logs_are_events() -> None:
    """Named by their field ``event``, or by what they say."""
    made = converted(
        span(
            "1",
            logs=[
                {"timestamp": US + 1, "fields": [tag("event", "exception"), tag("k", "v")]},
                {"timestamp": US + 2, "fields": [tag("message", "hello")]},
            ],
        )
    )
    first, second = made["events"]
    assert (first["name"], first["timeUnixNano"]) == ("exception", str((US + 1) * 1_000))
    assert pairs(first["attributes"]) == {"k": {"stringValue": "v"}}
    assert second["name"] == "hello"


def test_a_span_that_jaeger_has_given_a_duration_has_none() -> None:
    """It says so in its warnings, as in the other API."""
    warning = "Negative duration detected, adjusting"
    content = json.dumps(download(span("1", duration=1, warnings=[warning]))).encode()
    (one,) = spans_of_file("f", content)
    assert one.span.start_ns == one.span.end_ns


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (download(5), "data[0].spans is [5] and no list of objects"),
        (download(span("1", tags=5)), "data[0].spans[0]: tags is 5 and no list of objects"),
        (
            download(span("1", warnings=5)),
            "data[0].spans[0]: warnings is 5 and no list of strings",
        ),
        (
            download(span("1", warnings="bad")),
            "data[0].spans[0]: warnings is 'bad' and no list of strings",
        ),
        (download(span("1", startTime="soon")), "data[0].spans[0]: startTime is 'soon'"),
        ({"data": [{"spans": [], "processes": []}]}, None),
        ({"data": [{"spans": [], "processes": [1]}]}, "data[0].processes is [1] and no object"),
    ],
)
def test_what_is_broken_is_said_with_its_place(document: Any, message: str | None) -> None:
    """And with the line of the file."""
    content = b"\n" + json.dumps(document).encode()
    if message is None:
        assert spans_of_file("f", content) == []
        return
    with pytest.raises(SourceError) as error:
        spans_of_file("f", content)
    assert str(error.value).startswith(f"f, line 2: {message}")
