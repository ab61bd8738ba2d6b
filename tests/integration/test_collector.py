"""What forwards spans to a Jaeger brings a whole execution there, exactly as it was recorded.

An OpenTelemetry Collector, with the configuration of docs/backends.md, and rotel. The Collector's
receiver, processor, queue and exporters are parts of Jaeger's program as well, which runs them here
in front of a second Jaeger. The configuration needs no more than a place that says it is up.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from phasetrace.identity import trace_id_of
from phasetrace.store.reader import StoreReader

from .everything_program import SPANS
from .jaeger import DEADLINE_S, POLL_S, Jaeger, require_binary
from .otlp_spans import OtlpSpan, otlp_spans, warnings_in
from .rotel import Rotel

PROGRAM: Final = Path(__file__).with_name("everything_program.py")
PAGE: Final = Path(__file__).parents[2] / "docs" / "backends.md"
SECTION: Final = "## Receivers of one's own\n"
YAML: Final = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)

FORWARDERS: Final = ("Collector by gRPC", "Collector by HTTP", "rotel by gRPC", "rotel by HTTP")
PROTOCOLS: Final = ("http/protobuf", "grpc")


class Forwarder(NamedTuple):
    """Where something takes OTLP that forwards it."""

    http: str
    grpc: str

    def variables(self, protocol: str) -> dict[str, str]:
        """Return those by which a program sends to it."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.grpc if protocol == "grpc" else self.http,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }


@contextmanager
def forwarder(which: str, jaeger: Jaeger, folder: Path) -> Iterator[Forwarder]:
    """Run one of `FORWARDERS` in front of a Jaeger, which may be away."""
    if which.startswith("rotel"):
        with Rotel(exporter_of_rotel(which, jaeger)) as rotel:
            yield Forwarder(rotel.http_endpoint, rotel.grpc_endpoint)
        return
    file = folder / "collector.yaml"
    file.write_text(yaml.safe_dump(collector(which)))
    address = jaeger.otlp_http if which == "Collector by HTTP" else bare(jaeger.otlp_grpc)
    with Jaeger(file, {"TO": address}) as server:
        yield Forwarder(server.otlp_http, server.otlp_grpc)


def collector(which: str) -> dict[str, Any]:
    """Return the page's configuration, sending to `$TO`, with what says that it is up."""
    (text,) = YAML.findall(PAGE.read_text("utf-8").partition(SECTION)[2].partition("\n## ")[0])
    parts: dict[str, Any] = yaml.safe_load(text)
    pipeline = parts["service"]["pipelines"]["traces"]
    (name,) = pipeline["exporters"]
    exporter = parts["exporters"].pop(name)
    # As in the page, but for the pause after a failure, which is of 5 s unless it is given.
    exporter |= {"endpoint": "${env:TO}"}
    exporter["retry_on_failure"] |= {"initial_interval": "50ms", "max_interval": "50ms"}
    if which == "Collector by HTTP":
        del exporter["tls"]
        name = "otlphttp"
        pipeline["exporters"] = [name]
    parts["exporters"][name] = exporter
    parts["extensions"] = {"healthcheckv2": {"use_v2": True}}
    parts["service"]["extensions"] = ["healthcheckv2"]
    return parts


def exporter_of_rotel(which: str, jaeger: Jaeger) -> list[str]:
    """Return the options by which rotel sends to a Jaeger."""
    by_http = which == "rotel by HTTP"
    return [
        "--exporter=otlp",
        f"--otlp-exporter-protocol={'http' if by_http else 'grpc'}",
        f"--otlp-exporter-endpoint={jaeger.otlp_http if by_http else jaeger.otlp_grpc}",
        "--otlp-exporter-retry-initial-backoff=50ms",
        "--otlp-exporter-retry-max-backoff=50ms",
    ]


def bare(address: str) -> str:
    """Return host and port."""
    return address.partition("://")[2]


@pytest.fixture
def jaeger() -> Iterator[Jaeger]:
    """Run the Jaeger that is forwarded to."""
    require_binary()
    with Jaeger() as server:
        yield server


@pytest.mark.parametrize("which", FORWARDERS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_forwarded_execution_is_whole(
    which: str, protocol: str, jaeger: Jaeger, tmp_path: Path
) -> None:
    """Ids, parents, nanoseconds, attributes, events, links and statuses, as in the store."""
    with forwarder(which, jaeger, tmp_path) as between:
        recorded = record(tmp_path, "forwarded", between.variables(protocol))
        assert arrived(jaeger, "forwarded") == recorded
        verify(tmp_path, "forwarded", jaeger)


@pytest.mark.parametrize("which", FORWARDERS)
def test_what_is_forwarded_to_may_be_away(which: str, jaeger: Jaeger, tmp_path: Path) -> None:
    """The forwarder has taken everything before it comes back, and brings it then."""
    jaeger.stop()
    with forwarder(which, jaeger, tmp_path) as between:
        recorded = record(tmp_path, "waited", between.variables("http/protobuf"))
        with StoreReader(tmp_path / "traces.db") as reader:
            (destination,) = reader.standing().destinations
        assert (destination.waiting, destination.delivered) == (0, SPANS)
        jaeger.start()
        assert arrived(jaeger, "waited") == recorded
        verify(tmp_path, "waited", jaeger)


def record(folder: Path, exec_id: str, variables: dict[str, str]) -> list[OtlpSpan]:
    """Run the program to its end, which has to say nothing; return the spans in its store."""
    done = python(folder, "-W", "error", str(PROGRAM), exec_id, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with StoreReader(folder / "traces.db") as reader:
        recorded = otlp_spans(reader.traces(reader.find(exec_id), rolled_up=True))
    assert len(recorded) == SPANS
    return recorded


def arrived(jaeger: Jaeger, exec_id: str) -> list[OtlpSpan]:
    """Wait until a Jaeger has as many spans as were recorded; return them."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        answer = jaeger.trace(f"{trace_id_of(exec_id):032x}", raw=True)
        spans = otlp_spans([answer.json()["result"]]) if answer.status == 200 else []
        if len(spans) >= SPANS:
            assert warnings_in(answer.json()["result"]) == []
            return spans
        assert time.monotonic() < deadline, f"{len(spans)} of {SPANS} spans"
        time.sleep(POLL_S)


def verify(folder: Path, exec_id: str, jaeger: Jaeger) -> None:
    """Have the command line compare the store with a Jaeger."""
    done = python(
        folder, "-m", "phasetrace", "verify", exec_id, "--source", jaeger.query_url, "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"] == "identical"


def python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end, with the store in the folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PHASETRACE_STORE": str(folder / "traces.db"),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
