"""Spans in a file of OTLP JSON lines, from the SDK's own provider and from phasetrace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import phasetrace
from phasetrace import execution, faults, node, phase
from phasetrace.errors import ConfigError
from phasetrace.recordings.opening import open_source
from phasetrace_exporters import JsonLinesExporter
from tests.phasetrace.recordings.otlp_files import as_json, spans_of

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    """Begin and end without faults that another test has met."""
    faults.forget()
    yield
    faults.forget()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the path of a file that is not there, nor its folder."""
    return tmp_path / "logs" / "traces.jsonl"


def some_spans(count: int = 3) -> tuple[ReadableSpan, ...]:
    """Return spans of the stock SDK."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "s"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("tests", "1")
    for number in range(count):
        with tracer.start_as_current_span("a\nb", attributes={"number": number}) as span:
            span.add_event("hello", {"f": 1.5})
    return memory.get_finished_spans()


def lines(file: Path) -> list[Any]:
    """Return what is in a file, a line each."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_call_is_a_line_with_what_the_official_encoder_makes_of_it(file: Path) -> None:
    """Its JSON is what protobuf's own printer writes, but for the ids."""
    spans = some_spans()
    exporter = JsonLinesExporter(file)
    assert exporter.export(spans) is SUCCESS
    assert exporter.export(spans[:1]) is SUCCESS
    official = as_json(encode_spans(spans).SerializeToString())
    for span in spans_of(official):
        span.pop("status", None)
    both = lines(file)
    assert both[0] == official
    assert len(list(spans_of(both[1]))) == 1
    exporter.shutdown()


def test_the_official_parser_takes_it(file: Path) -> None:
    """With the ids in base64, as protobuf has bytes in JSON."""
    import base64

    JsonLinesExporter(file).export(some_spans())
    (document,) = lines(file)
    for span in spans_of(document):
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    parsed = json_format.ParseDict(document, TracesData())
    assert parsed.resource_spans[0].scope_spans[0].spans[0].name == "a\nb"


def test_it_is_found_by_its_name() -> None:
    """As ``OTEL_TRACES_EXPORTER=phasetrace_jsonl`` does."""
    (entry,) = entry_points(group="opentelemetry_traces_exporter", name="phasetrace_jsonl")
    assert entry.load() is JsonLinesExporter


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By default below the working directory; a later one is no other file."""
    monkeypatch.chdir(tmp_path)
    exporter = JsonLinesExporter()
    monkeypatch.chdir("/")
    exporter.export(some_spans(1))
    assert (tmp_path / ".logs" / "traces.jsonl").exists()
    monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / "own.jsonl"))
    JsonLinesExporter().export(some_spans(1))
    assert (tmp_path / "own.jsonl").exists()


def test_it_begins_another_file_when_one_is_full(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    """As large and as many as the environment says."""
    monkeypatch.setenv("PHASETRACE_JSONL", str(file))
    monkeypatch.setenv("PHASETRACE_JSONL_ROTATION", "1KB, 3 files")
    exporter = JsonLinesExporter()
    for _ in range(9):
        assert exporter.export(some_spans(1)) is SUCCESS
    assert sorted(os.listdir(file.parent)) == [  # noqa: PTH208
        "traces.1.jsonl",
        "traces.2.jsonl",
        "traces.jsonl",
    ]


def test_a_bad_setting_is_said_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not with every span."""
    monkeypatch.setenv("PHASETRACE_JSONL_ROTATION", "often")
    with pytest.raises(ConfigError, match="PHASETRACE_JSONL_ROTATION='often': expected like"):
        JsonLinesExporter()


def test_what_cannot_be_written_is_a_fault_and_no_error(tmp_path: Path) -> None:
    """The measured program goes on; afterwards, too."""
    (tmp_path / "a").touch()
    exporter = JsonLinesExporter(tmp_path / "a" / "b.jsonl")
    assert exporter.export(some_spans()) is FAILURE
    assert exporter.force_flush() is True
    exporter.shutdown()
    assert exporter.export(some_spans()) is FAILURE
    assert len(faults.counts()) == 2


def test_nothing_to_write_makes_no_file(file: Path) -> None:
    """Nor a line."""
    assert JsonLinesExporter(file).export([]) is SUCCESS
    assert not file.exists()


def test_it_goes_on_after_a_fork(file: Path) -> None:
    """In the child and in the parent, a line each."""
    exporter = JsonLinesExporter(file)
    spans = some_spans(1)
    exporter.export(spans)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = int(exporter.export(spans) is not SUCCESS)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert exporter.export(spans) is SUCCESS
    assert len(lines(file)) == 3


def test_what_phasetrace_records_can_be_read_again(file: Path) -> None:
    """With the same numbers."""
    phasetrace.configure(exporters=[JsonLinesExporter(file)])
    with execution("e", name="nightly"), node("n"), phase("p", model="m"):
        pass
    expected = phasetrace.breakdown("e")
    assert phasetrace.force_flush()
    with open_source(str(file)) as source:
        assert source.breakdown(source.find("e")) == expected


def test_a_program_writes_it_by_the_environment_alone(tmp_path: Path) -> None:
    """Through phasetrace, and through the SDK that ``opentelemetry`` sets up itself."""
    ours = "from phasetrace import time_phase\nwith time_phase('e', 'n', 'p'): pass"
    sdks = (
        "from opentelemetry.sdk._configuration import _OTelSDKConfigurator as C; C().configure()\n"
        "from opentelemetry import trace\n"
        "with trace.get_tracer('t').start_as_current_span('p', attributes={'exec_id': 'e'}): pass"
    )
    for number, program in enumerate((ours, sdks)):
        file = tmp_path / f"{number}.jsonl"
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "OTEL_TRACES_EXPORTER": "phasetrace_jsonl",
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "none",
                "PHASETRACE_JSONL": str(file),
            },
            check=True,
        )
        with open_source(str(file)) as source:
            assert source.latest().exec_id == "e"
