"""One run seen three ways: in the collector, in the store, and by a real OTLP receiver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.names import name_of_execution
from phasetrace.store.reader import StoreReader

from .rotel import ReceivedSpan, Rotel

PROGRAM = """
import asyncio, json, sys
import phasetrace
from phasetrace import execution, node, phase, time_phase, timing_collector

async def fetch(index):
    with phase("fetch", index=index, url=f"https://example.test/{index}"):
        await asyncio.sleep(0.001)

async def main():
    async with execution("run_1", "three ways", user="a"):
        for iteration in range(3):
            async with node("gather", "io", iteration=iteration):
                await asyncio.gather(*(fetch(index) for index in range(5)))
        with node("fails"):
            try:
                with phase("boom", ratio=0.5, flags=[True, False], nested={"a": [1, "x", None]}):
                    raise ValueError("two\\nlines")
            except ValueError:
                pass
    with time_phase("run_2", "n", "p", big=10**30, nothing=None, raw=b"\\x00\\xff"):
        pass
    timing_collector.record("run_2", "n", "q", 12.5)

asyncio.run(main())
answer = {name: phasetrace.breakdown(name).to_dict() for name in ("run_1", "run_2")}
phasetrace.shutdown()
json.dump(answer, sys.stdout)
"""

SPANS = 1 + 3 + 15 + 2 + 3


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_all_three_have_the_same_numbers(
    rotel: Rotel, tmp_path: Path, protocol: str, compression: str
) -> None:
    """Ids, times and attributes agree, whatever the protocol and the compression."""
    store = tmp_path / "traces.db"
    endpoint = rotel.grpc_endpoint if protocol == "grpc" else rotel.http_endpoint
    collected = run(
        PHASETRACE_STORE=str(store),
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_COMPRESSION=compression,
        OTEL_SERVICE_NAME="three-ways",
    )
    received = rotel.spans()

    assert len(received) == SPANS
    assert {span.resource["service.name"] for span in received} == {"three-ways"}
    with StoreReader(store) as reader:
        for exec_id in ("run_1", "run_2"):
            here = [span for span in received if span.attributes["exec_id"] == exec_id]
            assert stored_times(reader, exec_id) == {
                (
                    int(span.span_id, 16),
                    name_of_execution(span.name, exec_id),
                    span.start_ns,
                    span.end_ns,
                )
                for span in here
            }
            printed = command_line(store, "metrics", exec_id, "--json")
            for beyond in ("analysis", "findings", "usual"):  # what only the command works out
                del printed[beyond]
            assert without_header(printed) == without_header(collected[exec_id])
            assert totals(collected[exec_id]) == totals_received(here)
            (root,) = (span for span in here if not span.parent_span_id)
            assert int(root.trace_id, 16) == trace_id_of(exec_id)
            assert int(root.span_id, 16) == root_span_id_of(exec_id)
            assert {span.trace_id for span in here} == {root.trace_id}


def test_attributes_arrive_as_they_were_given(rotel: Rotel, tmp_path: Path) -> None:
    """Metadata of every type, in the most faithful form that OTLP has."""
    run(PHASETRACE_STORE=str(tmp_path / "t.db"), OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http_endpoint)
    spans = {span.name: span for span in rotel.spans()}
    boom = spans["boom"].attributes
    assert boom["ratio"] == 0.5
    assert boom["flags"] == [True, False]
    assert boom["nested"] == {"a": [1, "x", None]}
    assert spans["p"].attributes["big"] == str(10**30)
    assert spans["p"].attributes["raw"] == b"\x00\xff"
    assert spans["boom"].status_code == "STATUS_CODE_ERROR"
    assert spans["boom"].events[0].attributes["exception.message"] == "two\nlines"


def run(**environment: str) -> dict[str, Any]:
    """Run the program with these variables and return what its collector says."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


def command_line(store: Path, *arguments: str) -> dict[str, Any]:
    """Return what a reading command prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "phasetrace", *arguments],
        env={"PATH": "/usr/bin:/bin", "PHASETRACE_STORE": str(store)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(json.loads(done.stdout))


def stored_times(reader: StoreReader, exec_id: str) -> set[tuple[int, str, int, int]]:
    """Return id, name, start and end of the stored spans of an execution."""
    spans = reader.spans(reader.find(exec_id))
    return {(span.span_id, span.name, span.start_ns, span.end_ns) for span in spans}


def without_header(breakdown: dict[str, Any]) -> Any:
    """Return a breakdown's numbers in a form that JSON does not change.

    An implicit execution gets its root span, and with it one more span and its final status, only
    when the program ends.
    """
    numbers = json.loads(json.dumps(breakdown))
    if numbers["exec_id"] == "run_2":
        numbers.pop("spans")
        numbers.pop("status")
    return numbers


def totals(breakdown: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return count and total of every phase of a breakdown."""
    return {
        (node["node_id"], row["phase"]): (row["count"], row["total_ns"])
        for node in breakdown["nodes"]
        for row in node["phases"]
    }


def totals_received(spans: list[ReceivedSpan]) -> dict[tuple[str, str], tuple[int, int]]:
    """Add up what a receiver got, by node and phase."""
    added: dict[tuple[str, str], tuple[int, int]] = {}
    for span in spans:
        if "phasetrace.type" not in span.attributes:
            key = (span.attributes["node_id"], span.name)
            count, total = added.get(key, (0, 0))
            added[key] = (count + 1, total + span.end_ns - span.start_ns)
    return added
