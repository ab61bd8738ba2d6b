"""Many programs on many machines, one Jaeger: everything arrives, once, and as it was recorded.

A machine is a store of its own. Each execution is opened by one process, which hands work on to
another one, on another machine, in a message: a file in a folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from phasetrace.recordings.opening import open_source
from phasetrace.spans import SpanRecord
from phasetrace.store.reader import StoreReader

from .jaeger import Jaeger

WORKER = """
import json, os, pathlib, sys, time
from phasetrace import execution, node, phase, propagate, time_phase

own, others, owned, added = json.loads(sys.argv[1])
machine, folder = sys.argv[2], pathlib.Path(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for exec_id in own:
    with execution(exec_id, name="fleet job"):
        (folder / f"{exec_id}.part").write_text(json.dumps(propagate.inject()))
        os.rename(folder / f"{exec_id}.part", folder / exec_id)
        spans = 1
        while spans < owned:
            with node(f"step {spans % 7}", "io", iteration=spans):
                spans += 1
                for at in range(min(9, owned - spans)):
                    with phase("work", at=at, host=machine):
                        spans += 1
for exec_id in others:
    while not (folder / exec_id).exists():
        time.sleep(0.02)
    with propagate.attached(json.loads((folder / exec_id).read_text())):
        for at in range(added):
            with time_phase(exec_id, "elsewhere", "part", at=at, host=machine):
                pass
"""


# A program that ends while the receiver is busy closes a connection that is in use.
PYTHON = (sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c")


class Fleet(NamedTuple):
    """How many there are of each; of the spans of an execution a quarter is added elsewhere."""

    processes: int
    machines: int
    executions: int
    spans: int

    def exec_ids(self) -> list[str]:
        """Return the ids of all executions."""
        return [f"fleet_{number}" for number in range(self.executions)]

    def owner(self, number: int) -> int:
        """Return the process that opens an execution."""
        return number % self.processes

    def guest(self, number: int) -> int:
        """Return the process that adds to it, which is on another machine."""
        return (number + 1) % self.processes

    def machine(self, process: int) -> int:
        """Return the machine that a process is on."""
        return process % self.machines


@contextmanager
def running(fleet: Fleet, folder: Path, endpoint: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start all processes, half of which have their spans delivered by a process of its own."""
    ids = fleet.exec_ids()
    messages = folder / "messages"
    messages.mkdir()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for process in range(fleet.processes):
            own = [ids[at] for at in range(fleet.executions) if fleet.owner(at) == process]
            others = [ids[at] for at in range(fleet.executions) if fleet.guest(at) == process]
            added = fleet.spans // 4
            work = json.dumps([own, others, fleet.spans - added, added])
            machine = fleet.machine(process)
            processes.append(
                subprocess.Popen(
                    [*PYTHON, WORKER, work, f"machine {machine}", messages],
                    env=variables(folder, machine, endpoint),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
        yield processes
    finally:
        for one in processes:
            one.kill()
            one.communicate()


def variables(folder: Path, machine: int, endpoint: str) -> dict[str, str]:
    """Return the environment of a program on a machine."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PHASETRACE_STORE": str(store(folder, machine)),
        "PHASETRACE_RETENTION": "5000 executions, 2GB",
        "PHASETRACE_DELIVERY": "process" if machine % 2 else "thread",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": "fleet",
    }


def store(folder: Path, machine: int) -> Path:
    """Return the store of a machine."""
    return folder / f"machine{machine}.db"


def command(folder: Path, machine: int, endpoint: str, *arguments: str) -> str:
    """Run a command on a machine, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "phasetrace", *arguments],
        env=variables(folder, machine, endpoint),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def line(stream: IO[bytes] | None) -> bytes:
    """Return the next line of a stream."""
    assert stream is not None
    return stream.readline()


def recorded(fleet: Fleet, folder: Path) -> dict[str, dict[int, SpanRecord]]:
    """Return the spans of each execution by their ids, from the stores of all machines."""
    found: dict[str, dict[int, SpanRecord]] = {exec_id: {} for exec_id in fleet.exec_ids()}
    for machine in range(fleet.machines):
        with StoreReader(store(folder, machine)) as reader:
            for execution in reader.executions():
                for span in reader.recording(execution).spans:
                    found[execution.exec_id][span.span_id] = comparable(span)
    return found


def comparable(span: SpanRecord) -> SpanRecord:
    """Return a span without what means something within one source only."""
    return span._replace(process=0, metadata=None)


@pytest.mark.parametrize(
    "fleet",
    [
        pytest.param(Fleet(10, 5, 40, 40), id="10 processes"),
        pytest.param(
            Fleet(200, 20, 1_000, 200),
            id="200 processes",
            marks=[pytest.mark.slow, pytest.mark.timeout(1_800)],
        ),
    ],
)
def test_everything_arrives_as_it_was_recorded(
    fleet: Fleet, tmp_path: Path, jaeger: Jaeger
) -> None:
    """Of every execution each span, whichever machine and process it is from; nothing differs."""
    began = time.monotonic()
    with running(fleet, tmp_path, jaeger.otlp_http) as processes:
        for process in processes:
            assert line(process.stdout) == b"ready\n", process.communicate()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.close()
            process.stdin = None
        for process in processes:
            _, err = process.communicate(timeout=900)
            assert (process.returncode, err) == (0, b"")
    took_s = time.monotonic() - began
    counts: Counter[str] = Counter()
    for machine in range(fleet.machines):
        command(tmp_path, machine, jaeger.otlp_http, "ship")
        status = json.loads(command(tmp_path, machine, jaeger.otlp_http, "status", "--json"))
        for destination in status["destinations"]:
            counts.update({name: destination[name] for name in ("delivered", "waiting", "refused")})
    known = recorded(fleet, tmp_path)
    received = unique = differing = 0
    with open_source(jaeger.query_url) as source:
        for exec_id, spans in known.items():
            got = [comparable(one) for one in source.recording(source.find(exec_id)).spans]
            received += len(got)
            by_id = {one.span_id: one for one in got}
            unique += len(by_id)
            differing += sum(by_id.get(span_id) != span for span_id, span in spans.items())
    print(  # noqa: T201 - what the run came to
        f"\n{fleet.processes} processes on {fleet.machines} machines in {took_s:.1f} s:"
        f" {counts['delivered']:,} spans sent, {received:,} received, {unique:,} unique,"
        f" {differing:,} differing"
    )
    total = fleet.executions * fleet.spans
    assert {len(spans) for spans in known.values()} == {fleet.spans}
    assert (counts["delivered"], counts["waiting"], counts["refused"]) == (total, 0, 0)
    assert (received, unique, differing) == (total, total, 0)
    for exec_id in fleet.exec_ids()[:: fleet.executions // 10]:
        options = ("--source", jaeger.query_url, "--json")
        answer = json.loads(command(tmp_path, 0, jaeger.otlp_http, "metrics", exec_id, *options))
        assert answer["spans"] == fleet.spans
        assert {node["node_id"] for node in answer["nodes"]} >= {"step 1", "elsewhere"}
