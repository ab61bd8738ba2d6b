"""An execution's spans as they came, from every source: the contract of `Source.traces`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phasetrace.errors import SourceError
from phasetrace.recordings.jaeger import JaegerSource
from phasetrace.recordings.opening import open_source
from phasetrace.recordings.source import Source
from phasetrace.store.importing import import_file
from tests.phasetrace.recordings.made import S, document, phase, root, span, trace_of
from tests.phasetrace.recordings.otlp_files import spans_of
from tests.phasetrace.recordings.query_service import QueryService

OUTER = [root("outer"), phase(1, "outer", model="m"), phase(2, "outer", node="b", start=1)]
INNER = [
    root("inner", "sub", 2, 5, trace=trace_of("outer"), **{"phasetrace.parent_exec_id": "outer"}),
    phase(3, "inner", trace=trace_of("outer")),
]
FOREIGN = [span(1, "GET /", trace="11" * 16), span(2, "sql", parent=1, trace="11" * 16)]


@contextmanager
def opened(kind: str, spans: list[Any], folder: Path, service: QueryService) -> Iterator[Source]:
    """Open a source of a kind that has some spans."""
    content = json.dumps(document(spans, **{"service.name": "program"})).encode()
    if kind == "jaeger":
        service.add(*spans)
        with JaegerSource(service.url) as source:
            yield source
        return
    file = folder / "f.jsonl"
    file.write_bytes(content)
    if kind == "store":
        file = folder / "s.db"
        import_file(file, "f", content)
    with open_source(str(file)) as source:
        yield source


def found(source: Source, exec_id: str, rolled_up: bool = False) -> list[Any]:
    """Return the spans that a source gives, by their ids."""
    documents = list(source.traces(source.find(exec_id), rolled_up))
    return sorted(
        (one for document in documents for one in spans_of(document)),
        key=lambda one: (one["traceId"], one["spanId"]),
    )


def cleaned(*spans: Any) -> list[Any]:
    """Return spans by their ids, without what says nothing."""
    return sorted(
        ({name: value for name, value in one.items() if value} for one in spans),
        key=lambda one: (one["traceId"], one["spanId"]),
    )


kinds = pytest.mark.parametrize("kind", ["file", "store", "jaeger"])


@kinds
def test_the_spans_of_an_execution_are_given_as_they_came(
    kind: str, tmp_path: Path, service: QueryService
) -> None:
    """All of them, with all they have, and no others."""
    with opened(kind, [*OUTER, *INNER], tmp_path, service) as source:
        assert found(source, "outer") == cleaned(*OUTER)
        assert found(source, "inner") == cleaned(*INNER)
        assert found(source, "outer", rolled_up=True) == cleaned(*OUTER, *INNER)


@kinds
def test_of_some_spans_only_those_are_given(
    kind: str, tmp_path: Path, service: QueryService
) -> None:
    """By their ids; ids of other executions and of none change nothing."""
    with opened(kind, [*OUTER, *INNER], tmp_path, service) as source:
        outer = source.find("outer")
        given = [
            [one["spanId"] for part in source.traces(outer, only=ids) for one in spans_of(part)]
            for ids in ({2, 3, 99}, set[int]())
        ]
    assert given == [[f"{2:016x}"], []]


@kinds
def test_resource_and_scope_come_with_them(
    kind: str, tmp_path: Path, service: QueryService
) -> None:
    """For a reader to know whose they are."""
    with opened(kind, OUTER, tmp_path, service) as source:
        for given in source.traces(source.latest()):
            for group in given["resourceSpans"]:
                assert {"key": "service.name", "value": {"stringValue": "program"}} in group[
                    "resource"
                ]["attributes"]
                assert [scope["scope"]["name"] for scope in group["scopeSpans"]] == ["tests"]


@kinds
def test_somebody_elses_trace_is_given_as_well(
    kind: str, tmp_path: Path, service: QueryService
) -> None:
    """By the id of its trace, which is its execution's."""
    others = [*FOREIGN, span(1, "other", trace="22" * 16)]
    with opened(kind, others, tmp_path, service) as source:
        assert found(source, "11" * 16) == cleaned(*FOREIGN)


@kinds
def test_what_was_sent_twice_is_given_once(
    kind: str, tmp_path: Path, service: QueryService
) -> None:
    """As it counts once."""
    with opened(kind, [*OUTER, *OUTER], tmp_path, service) as source:
        assert found(source, "outer") == cleaned(*OUTER)


def test_spans_come_in_the_form_that_otlp_asks_for(tmp_path: Path) -> None:
    """However they were written."""
    written = {
        "trace_id": "W1tbW1tbW1tbW1tbW1tbWw==",
        "span_id": "AAAAAAAAAAE=",
        "start_time_unix_nano": S,
        "end_time_unix_nano": float(2 * S),
        "kind": "SPAN_KIND_SERVER",
        "attributes": [{"key": "exec_id", "value": {"string_value": "e"}}],
    }
    file = tmp_path / "f.jsonl"
    file.write_text(json.dumps({"resource_spans": [{"scope_spans": [{"spans": [written]}]}]}))
    with open_source(str(file)) as source:
        (given,) = source.traces(source.latest())
    assert list(spans_of(given)) == [
        {
            "traceId": "5b" * 16,
            "spanId": f"{1:016x}",
            "startTimeUnixNano": str(S),
            "endTimeUnixNano": str(2 * S),
            "kind": 2,
            "attributes": [{"key": "exec_id", "value": {"stringValue": "e"}}],
        }
    ]


def test_a_schema_url_stays_where_it_was(tmp_path: Path) -> None:
    """Of the resource, and of the scope."""
    content = document(OUTER)
    (group,) = content["resourceSpans"]
    group["schemaUrl"] = "of the resource"
    group["scopeSpans"][0]["schemaUrl"] = "of the scope"
    file = tmp_path / "f.jsonl"
    file.write_text(json.dumps(content))
    import_file(tmp_path / "s.db", "f", file.read_bytes())
    for place in (file, tmp_path / "s.db"):
        with open_source(str(place)) as source:
            (given,) = source.traces(source.latest())
        (group,) = given["resourceSpans"]
        assert group["schemaUrl"] == "of the resource"
        assert group["scopeSpans"][0]["schemaUrl"] == "of the scope"


def test_a_jaeger_that_has_changed_its_mind_is_an_error(service: QueryService) -> None:
    """Not a traceback."""
    service.add(*OUTER)
    with JaegerSource(service.url) as source:
        execution = source.find("outer")
        service.spans[0][1]["events"] = 5
        with pytest.raises(SourceError, match="answers no OTLP JSON"):
            list(source.traces(execution))
