"""Whatever JSON is in the place of another value, a reader reads it or says what it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasetrace.errors import SourceError
from phasetrace.recordings.details import details_in
from phasetrace.recordings.otlp_file import file_source
from phasetrace.store.importing import import_file
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import document, phase, root
from tests.phasetrace.recordings.test_jaeger_json import US, download, span, tag

Path_ = tuple[Any, ...]

_FULL = {
    "kind": 3,
    "traceState": "a=b",
    "flags": 257,
    "droppedAttributesCount": 1,
    "events": [
        {"timeUnixNano": "5", "name": "e", "attributes": made.attributes({"k": [1, {"a": "b"}]})}
    ],
    "links": [{"traceId": "5b" * 16, "spanId": "5b" * 8, "attributes": [], "flags": 1}],
    "status": {"code": 2, "message": "no"},
}
OTLP = document(
    [
        root("e", "nightly", parent=3),
        {
            **phase(1, "e", node_type="io", iteration=2, depends_on=["a"], model="m", by=1.5),
            **_FULL,
        },
    ],
    **{"service.name": "program", "host": {"name": "h"}},
)
OTLP["resourceSpans"][0]["schemaUrl"] = "http://s/1"
OTLP["resourceSpans"][0]["resource"]["entityRefs"] = [
    {"schemaUrl": "u", "type": "t", "idKeys": ["a"], "descriptionKeys": ["b"]}
]
JAEGER = download(
    span(
        "1",
        references=[{"refType": "CHILD_OF", "traceID": made.trace_of("e"), "spanID": "2"}],
        tags=[
            tag("exec_id", "e"),
            tag("depends_on", '["a"]'),
            tag("span.kind", "client"),
            tag("error", True, "bool"),
            tag("n", 5, "int64"),
            tag("f", 5.5, "float64"),
            tag("by", "eHl6", "binary"),
            tag("otel.scope.name", "lib"),
        ],
        logs=[{"timestamp": US, "fields": [tag("event", "x"), tag("k", "v")]}],
        warnings=["clock skew"],
        flags=1,
        parentSpanID="7",
    )
)

VALUES: Any = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-2, 2),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["", "0", "-1", "NaN", "5b" * 8, "\ud800", 10**400, [[]], [{}], {}]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=2),
    st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.integers()), max_size=2),
)


def paths(value: Any, here: Path_ = ()) -> Iterator[Path_]:
    """Give the way to each value within another one."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*here, key)
        yield from paths(item, (*here, key))


def replaced(value: Any, path: Path_, by: Any) -> Any:
    """Return a document with another value in one place."""
    result = copy.deepcopy(value)
    holder = result
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = by
    return result


@pytest.mark.parametrize("good", [OTLP, JAEGER], ids=["otlp", "jaeger"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_another_value_is_read_or_said(
    good: Any, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By all that read files: never as another error, which would be a traceback."""
    path = data.draw(st.sampled_from(list(paths(good))))
    by = data.draw(VALUES)
    content = json.dumps(replaced(good, path, by)).encode()
    try:
        source = file_source("f", content)
        for execution in source.executions():
            documents = list(source.traces(execution, rolled_up=True))
            assert details_in(documents) or not execution.spans
            source.breakdown(execution).to_dict()
    except SourceError as error:
        assert str(error).startswith("f, line 1: ")
        return
    import_file(tmp_path_factory.mktemp("any") / "s.db", "f", content)


def test_the_documents_are_good() -> None:
    """Otherwise all of them would be refused."""
    for good in (OTLP, JAEGER):
        assert file_source("f", json.dumps(good).encode()).executions()
