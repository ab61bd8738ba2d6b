"""Every way to a real Jaeger brings a whole execution there, exactly as it was recorded.

The ways: whose provider makes the spans, the protocol, the compression, and who delivers. Each is a
program of its own, set up by environment variables alone; all send to one Jaeger.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.recordings.comparison import compare
from phasetrace.recordings.opening import open_source
from phasetrace.store.reader import StoreReader

from .conftest import COUNTED
from .everything_program import CHECKED_NODE, NAME, SPANS, VALUES
from .jaeger import Jaeger, require_binary
from .kept import installed, read_kept
from .otlp_spans import OtlpSpan, otlp_spans, plain, plain_json, warnings_in

PROGRAM: Final = Path(__file__).with_name("everything_program.py")
FOLLOWS: Final = ("stringValue", "follows_from")
DEADLINE_S: Final = 30.0
POLL_S: Final = 0.02

PROVIDERS: Final[dict[str, dict[str, str]]] = {
    "own": {},
    "stock": {"OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider"},
}
PROTOCOLS: Final = ("http/protobuf", "grpc")
COMPRESSIONS: Final[dict[str, dict[str, str]]] = {
    "plain": {},
    "gzip": {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
}
DELIVERIES: Final = ("direct", "thread", "process")


class Way(NamedTuple):
    """How spans get to Jaeger."""

    provider: str
    protocol: str
    compression: str
    delivery: str

    def __str__(self) -> str:
        return ", ".join(self)

    def run(self, jaeger: Jaeger, exec_id: str, folder: Path) -> list[OtlpSpan]:
        """Run the program to its end, and return the spans that it recorded."""
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": (
                jaeger.otlp_grpc if self.protocol == "grpc" else jaeger.otlp_http
            ),
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol,
            "OTEL_SERVICE_NAME": str(self),
            **PROVIDERS[self.provider],
            **COMPRESSIONS[self.compression],
        }
        if self.delivery == "direct":
            kept = folder / "kept"
            variables |= {"PHASETRACE_STORE": "off", "OTEL_TRACES_EXPORTER": "otlp,kept"}
            run(exec_id, folder, **variables, **installed(folder / "installed", kept))
            return otlp_spans([plain_json(read_kept(kept))])
        store = folder / "traces.db"
        variables |= {"PHASETRACE_STORE": str(store), "PHASETRACE_DELIVERY": self.delivery}
        run(exec_id, folder, **variables)
        with StoreReader(store) as reader:
            wait_until_delivered(reader)
            return otlp_spans(reader.traces(reader.find(exec_id), rolled_up=True))


WAYS: Final = [
    Way(provider, protocol, compression, delivery)
    for provider in PROVIDERS
    for protocol in PROTOCOLS
    for compression in COMPRESSIONS
    for delivery in DELIVERIES
]


@pytest.fixture(scope="module")
def jaeger() -> Iterator[Jaeger]:
    """Run one Jaeger for all programs."""
    require_binary()
    with Jaeger() as server:
        yield server


class Sent(NamedTuple):
    """An execution that was recorded, and sent on some way; its spans as they were recorded."""

    way: Way
    exec_id: str
    spans: list[OtlpSpan]

    @property
    def trace_id(self) -> str:
        """The id of its trace in hex, as it follows from the `exec_id`."""
        return f"{trace_id_of(self.exec_id):032x}"


@pytest.fixture(scope="module", params=WAYS, ids=str)
def sent(
    request: pytest.FixtureRequest, jaeger: Jaeger, tmp_path_factory: pytest.TempPathFactory
) -> Sent:
    """Run the program once for each way."""
    way: Way = request.param
    exec_id = f"everything by {way}"
    return Sent(way, exec_id, way.run(jaeger, exec_id, tmp_path_factory.mktemp("sent")))


def test_an_execution_arrives_exactly_as_it_was_recorded(
    sent: Sent, jaeger: Jaeger, record_property: Callable[[str, object], None]
) -> None:
    """Whole: ids, parents, nanoseconds, attributes, events, links and statuses of every span."""
    assert len(sent.spans) == SPANS
    assert otlp_spans([jaeger.trace(sent.trace_id).json()["result"]]) == sent.spans
    record_property(COUNTED, SPANS)


def test_jaeger_has_no_remark(sent: Sent, jaeger: Jaeger) -> None:
    """About clocks, parents that are missing, or spans without duration; in either API."""
    assert warnings_in(jaeger.trace(sent.trace_id).json()["result"]) == []
    (shown,) = jaeger.traces_v1(sent.trace_id).json()["data"]
    assert len(shown["spans"]) == SPANS
    assert [one["warnings"] for one in (shown, *shown["spans"]) if one["warnings"]] == []


def test_an_execution_is_found_by_what_it_is_called(sent: Sent, jaeger: Jaeger) -> None:
    """In the search of the user interface: by its id, and by that of a node."""
    for attributes in ({"exec_id": sent.exec_id}, {"node_id": CHECKED_NODE}):
        (found,) = jaeger.search_v1(str(sent.way), **attributes).json()["data"]
        assert int(found["traceID"], 16) == trace_id_of(sent.exec_id)
        assert len(found["spans"]) == SPANS


def test_what_is_compared_is_what_the_program_says(jaeger: Jaeger, tmp_path: Path) -> None:
    """Not only the same on both sides: a few things that the program's text tells."""
    recorded = WAYS[0].run(jaeger, "told", tmp_path)
    spans = {span.name: span for span in recorded}
    root = spans[NAME]
    assert (int(root.span_id, 16), root.parent_id) == (root_span_id_of("told"), "")
    assert {span.trace_id for span in recorded} == {f"{trace_id_of('told'):032x}"}
    values = spans["values"].attributes
    assert values.keys() - {"exec_id", "node_id", "node_type"} == VALUES.keys()
    assert values["raw"] == ("bytesValue", "AP8gcmF3")
    assert values["large"] == ("intValue", 2**63 - 1)
    assert values["tiny"] == ("doubleValue", 5e-324)
    assert values["long"] == ("stringValue", VALUES["long"])
    assert values["truths"] == ("arrayValue", [("boolValue", True), ("boolValue", False)])
    assert [name for _, name, _ in spans["boom"].events] == ["exception"]
    assert spans["boom"].status == (2, "ValueError: two\nlines ü")
    assert spans["wait longer"].attributes["phasetrace.cancelled"] == ("boolValue", True)
    assert spans["GET"].kind == 3  # a client
    assert spans["GET"].scope[:2] == ("a.library", "1.2")
    latest = max((one for one in recorded if one.name == "transform"), key=lambda one: one.start_ns)
    linked = [span_id for _, span_id, _ in spans["load"].links]
    assert linked == [latest.span_id, spans["threads"].span_id]


APPLICATION: Final = f"""
import runpy
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.{{}}.trace_exporter import OTLPSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
runpy.run_path({str(PROGRAM)!r}, run_name="__main__")
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_applications_own_exporter_brings_the_same(
    protocol: str, jaeger: Jaeger, tmp_path: Path
) -> None:
    """On the provider that it has set up itself; phasetrace sends nothing then."""
    exec_id = f"everything of an application, {protocol}"
    text = APPLICATION.format("grpc" if protocol == "grpc" else "http")
    endpoint = jaeger.otlp_grpc if protocol == "grpc" else jaeger.otlp_http
    store = tmp_path / "traces.db"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "PHASETRACE_STORE": str(store)}
    run(exec_id, tmp_path, "-c", text, **variables)
    with StoreReader(store) as reader:
        assert reader.standing().destinations == []
        recorded = otlp_spans(reader.traces(reader.find(exec_id), rolled_up=True))
    assert len(recorded) == SPANS
    answer = jaeger.trace(f"{trace_id_of(exec_id):032x}").json()["result"]
    assert otlp_spans([answer]) == recorded
    assert warnings_in(answer) == []


def test_a_trace_outlives_a_restart_of_jaeger(tmp_path: Path) -> None:
    """Where it is kept in files: it is there again, and is found again, with all that Badger keeps.

    Which is enough for phasetrace to have the same numbers.
    """
    require_binary()
    way = Way("own", "http/protobuf", "plain", "thread")
    with Jaeger(badger=tmp_path / "badger") as jaeger:
        recorded = way.run(jaeger, "kept", tmp_path)
        jaeger.stop()
        jaeger.start()
        (found,) = jaeger.search_v1(str(way), exec_id="kept").json()["data"]
        assert int(found["traceID"], 16) == trace_id_of("kept")
        answer = jaeger.trace(f"{trace_id_of('kept'):032x}").json()["result"]
        assert warnings_in(answer) == []
        assert otlp_spans([answer]) == [in_badger(span) for span in recorded]
        with StoreReader(tmp_path / "traces.db") as store, open_source(jaeger.query_url) as other:
            assert compare(store, store.find("kept"), other).is_same


def in_badger(span: OtlpSpan) -> OtlpSpan:
    """Return a span as Badger keeps it: in the model of Jaeger v1, lists and mappings as JSON."""

    def kept(attributes: dict[str, Any]) -> dict[str, Any]:
        return {name: as_text(value) for name, value in attributes.items()}

    def as_text(value: Any) -> Any:
        if value is None or value[0] not in ("arrayValue", "kvlistValue"):
            return value
        return "stringValue", json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))

    return span._replace(
        remote=0,
        attributes=kept(span.attributes),
        events=[(at_ns, name, kept(values)) for at_ns, name, values in span.events],
        links=[(*link[:2], {"opentracing.ref_type": FOLLOWS}) for link in span.links],
        scope=(*span.scope[:2], {}),
    )


def run(exec_id: str, folder: Path, *program: str, **variables: str) -> None:
    """Run the program, or another one that runs it, which has to say nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *(program or [str(PROGRAM)]), exec_id],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def wait_until_delivered(reader: StoreReader) -> None:
    """Wait until nothing waits any more; a process of its own may be at it."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        (destination,) = reader.standing().destinations
        if not destination.waiting and destination.delivered:
            return
        assert time.monotonic() < deadline, destination
        time.sleep(POLL_S)
