"""What phasetrace sends is in a real Jaeger, and how that tells of it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.store.reader import StoreReader

from . import jaeger as harness
from .jaeger import Jaeger, require_binary

PROGRAM = """
from phasetrace import node, phase

for iteration in range(2):
    with node("agent", "llm", iteration=iteration):
        with phase("plan", tokens=12, ratio=0.5, cached=True, tags=["a", "b"], raw=b"\\x00\\xff"):
            with phase("llm_completion", nested={"deep": [1, "x", None]}):
                pass
try:
    with node("fails"), phase("boom"):
        raise ValueError("two\\nlines")
except ValueError:
    pass
"""
SPANS = ["boom", "fails", *["agent", "llm_completion", "plan"] * 2, "program"]
TRACE = "5b" * 16
NOON_NS = 1_700_000_000_123_456_789


# --- what phasetrace sends ------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_execution_is_found_by_its_exec_id(
    jaeger: Jaeger, tmp_path: Path, protocol: str
) -> None:
    """Every span of it, with the ids, names, parents and nanoseconds that are in the store."""
    run_program(jaeger, tmp_path, "run_1", protocol)
    spans = jaeger.trace(f"{trace_id_of('run_1'):032x}", raw=True).spans()
    assert sorted(span["name"] for span in spans) == sorted(SPANS)
    (root,) = (span for span in spans if "parentSpanId" not in span)
    assert int(root["spanId"], 16) == root_span_id_of("run_1")
    with StoreReader(tmp_path / "traces.db") as reader:
        assert {
            (span.span_id, span.name, span.start_ns, span.end_ns)
            for span in reader.spans(reader.find("run_1"))
        } == {(int(span["spanId"], 16), span["name"], *times(span)) for span in spans}


def test_attributes_status_and_events_are_shown(jaeger: Jaeger, tmp_path: Path) -> None:
    """In OTLP's JSON, where each value tells its type."""
    run_program(jaeger, tmp_path, "run_1")
    spans = jaeger.trace(f"{trace_id_of('run_1'):032x}", raw=True).spans()
    plans = [attributes(span) for span in spans if span["name"] == "plan"]
    assert plans == [
        {
            "exec_id": {"stringValue": "run_1"},
            "node_id": {"stringValue": "agent"},
            "node_type": {"stringValue": "llm"},
            "iteration": {"intValue": str(iteration)},
            "tokens": {"intValue": "12"},
            "ratio": {"doubleValue": 0.5},
            "cached": {"boolValue": True},
            "tags": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}},
            "raw": {"bytesValue": "AP8="},
        }
        for iteration in range(2)
    ]
    nested = next(attributes(span) for span in spans if span["name"] == "llm_completion")["nested"]
    values = [{"intValue": "1"}, {"stringValue": "x"}, {}]
    deep = {"key": "deep", "value": {"arrayValue": {"values": values}}}
    assert nested == {"kvlistValue": {"values": [deep]}}
    (boom,) = (span for span in spans if span["name"] == "boom")
    assert boom["status"] == {"code": 2, "message": "ValueError: two\nlines"}
    (event,) = boom["events"]
    assert event["name"] == "exception"
    assert attributes(event)["exception.message"] == {"stringValue": "two\nlines"}


def test_the_user_interface_finds_an_execution_by_attribute(jaeger: Jaeger, tmp_path: Path) -> None:
    """A search for an `exec_id` gives its trace and no other."""
    for exec_id in ("run_1", "run_2"):
        run_program(jaeger, tmp_path, exec_id)
    (found,) = jaeger.search_v1("programs", exec_id="run_2").json()["data"]
    assert int(found["traceID"], 16) == trace_id_of("run_2")
    assert len(found["spans"]) == len(SPANS)
    assert jaeger.search_v1("programs", exec_id="run_3").json()["data"] == []


# --- what the API v3 makes of it ------------------------------------------------------------


def test_an_unknown_trace_is_not_found(jaeger: Jaeger) -> None:
    """In both APIs, each in its own words; what is no id is a bad request."""
    answer = jaeger.trace(TRACE)
    assert answer.status == http.client.NOT_FOUND
    assert answer.json() == {"error": {"httpCode": 404, "message": "No traces found"}}
    answer = jaeger.traces_v1(TRACE)
    assert answer.status == http.client.NOT_FOUND
    assert answer.json()["errors"] == [{"code": 404, "msg": "trace not found"}]
    assert jaeger.trace("no-id").status == http.client.BAD_REQUEST


def test_v3_keeps_nanoseconds_and_v1_does_not(jaeger: Jaeger) -> None:
    """Hence v3 for reading durations."""
    send(jaeger, span("p", NOON_NS, NOON_NS + 1_001))
    (shown,) = jaeger.trace(TRACE).spans()
    assert times(shown) == (NOON_NS, NOON_NS + 1_001)
    (shown,) = jaeger.traces_v1(TRACE).json()["data"][0]["spans"]
    assert (shown["startTime"], shown["duration"]) == (1_700_000_000_123_456, 1)


def test_a_span_without_duration_gets_one(jaeger: Jaeger) -> None:
    """Of a nanosecond, and a remark; so it is stored."""
    send(jaeger, span("p", NOON_NS, NOON_NS))
    (shown,) = jaeger.trace(TRACE, raw=True).spans()
    assert times(shown) == (NOON_NS, NOON_NS + 1)
    assert "@jaeger@warnings" in attributes(shown)


def test_what_is_sent_twice_is_stored_twice_and_shown_once(jaeger: Jaeger) -> None:
    """Raw, both are there, until a look at the trace has put them together in the store, too."""
    for _ in range(2):
        send(jaeger, span("again", NOON_NS, NOON_NS + 1))
    assert [span["name"] for span in jaeger.trace(TRACE, raw=True).spans()] == ["again", "again"]
    answer = jaeger.trace(TRACE)
    assert [span["name"] for span in answer.spans()] == ["again"]
    assert len(answer.json()["result"]["resourceSpans"]) == 2
    assert [span["name"] for span in jaeger.trace(TRACE, raw=True).spans()] == ["again"]


def test_a_search_puts_all_traces_in_one_answer(jaeger: Jaeger) -> None:
    """It is one JSON object, of which attributes select nothing."""
    for number in range(3):
        one = span("p", NOON_NS, NOON_NS + 1)
        one.trace_id = bytes([7, number] * 8)
        send(jaeger, one)
    answer = jaeger.search(operation_name="p", attributes=json.dumps({"exec_id": "none has it"}))
    assert [s["traceId"] for s in answer.spans()] == ["0702" * 8, "0701" * 8, "0700" * 8]
    assert len(jaeger.search(limit=2).spans()) == 2
    assert jaeger.search(service_name="nobody").status == http.client.NOT_FOUND


# --- the harness ----------------------------------------------------------------------------


def test_spans_are_there_once_acknowledged(jaeger: Jaeger) -> None:
    """A query needs no waiting."""
    for count in range(1, 51):
        send(jaeger, span("quick", NOON_NS, NOON_NS + count))
        assert len(jaeger.trace(TRACE, raw=True).spans()) == count


def test_ports_survive_a_stop_and_traces_do_not(jaeger: Jaeger) -> None:
    """While it is down nothing listens; its program's end is waited for."""
    urls = jaeger.otlp_http, jaeger.otlp_grpc, jaeger.query_url
    send(jaeger, span("p", NOON_NS, NOON_NS + 1))
    jaeger.stop()
    with pytest.raises(ConnectionRefusedError):
        jaeger.trace(TRACE)
    jaeger.start()
    assert (jaeger.otlp_http, jaeger.otlp_grpc, jaeger.query_url) == urls
    assert jaeger.trace(TRACE).status == http.client.NOT_FOUND
    with pytest.raises(RuntimeError, match="runs already"):
        jaeger.start()


@pytest.mark.parametrize("purpose", harness._Ports._fields)
def test_taken_ports_are_left_for_others(
    jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch, purpose: str
) -> None:
    """A port that somebody else binds between choice and start only costs another try."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = harness._choose_ports()
        choices = iter([free._replace(**{purpose: other.getsockname()[1]}), free])
        monkeypatch.setattr(harness, "_choose_ports", lambda: next(choices))
        with Jaeger() as second:
            send(second, span("through", NOON_NS, NOON_NS + 1))
            assert [span["name"] for span in second.trace(TRACE).spans()] == ["through"]
    assert jaeger.trace(TRACE).status == http.client.NOT_FOUND


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_missing_program_fails_in_ci_only(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    """Elsewhere the tests are skipped; either way they say how to get one."""
    monkeypatch.setattr(harness, "_found", lambda: (None, "build one by running .ci/jaeger"))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"\.ci/jaeger"):
        require_binary()


def test_a_program_of_the_same_name_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that JAEGER names is an error, one on PATH is passed over."""
    impostor = tmp_path / "jaeger"
    impostor.write_text("#!/bin/sh\necho 0.1\n")
    impostor.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("JAEGER", raising=False)
    path, why = harness._found.__wrapped__()
    assert path is None
    assert "build one by running .ci/jaeger" in why
    monkeypatch.setenv("JAEGER", str(impostor))
    path, why = harness._found.__wrapped__()
    assert path is None
    assert f"JAEGER names no Jaeger v2 program: {impostor}" in why


# --- sending --------------------------------------------------------------------------------


def run_program(
    jaeger: Jaeger, folder: Path, exec_id: str, protocol: str = "http/protobuf"
) -> None:
    """Run the program under phasetrace, as a user does."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-W", "error", "-m", "phasetrace", "run", "--exec-id", exec_id]
    done = subprocess.run(
        [*command, str(program)],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PHASETRACE_STORE": str(folder / "traces.db"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": (
                jaeger.otlp_grpc if protocol == "grpc" else jaeger.otlp_http
            ),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_SERVICE_NAME": "programs",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def span(name: str, start_ns: int, end_ns: int) -> Span:
    """Make a span without a parent."""
    return Span(
        trace_id=bytes.fromhex(TRACE),
        span_id=b"\x5c" * 8,
        name=name,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=end_ns,
    )


def send(jaeger: Jaeger, *spans: Span) -> None:
    """Post spans that phasetrace would not make."""
    resource_spans = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    body = ExportTraceServiceRequest(resource_spans=[resource_spans]).SerializeToString()
    host, _, port = jaeger.otlp_http.rpartition("/")[2].partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/traces", body, headers)
        assert connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def times(shown: dict[str, Any]) -> tuple[int, int]:
    """Return start and end of a span that the API v3 shows."""
    return int(shown["startTimeUnixNano"]), int(shown["endTimeUnixNano"])


def attributes(element: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span or an event by their keys, in OTLP's JSON."""
    return {attribute["key"]: attribute["value"] for attribute in element.get("attributes", [])}
