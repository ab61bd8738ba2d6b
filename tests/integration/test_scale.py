"""The profile `scale`, with a real Kafka, a real Cassandra and the configurations as they are.

Each program sends to the collector, and what it sent is asked of the query part, which knows only
what has been through Kafka, the ingester and Cassandra.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from .jaeger import Jaeger, knows_span_metrics, require_binary
from .scale_parts import Cassandra, Kafka, require_parts

DEPLOY: Final = Path(__file__).parents[2] / "deploy" / "jaeger"
POLL_S: Final = 0.2
DEADLINE_S: Final = 120.0

PROGRAM: Final = """
import sys
from phasetrace import execution, node, phase

first, last, prefix = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for number in range(first, last):
    with execution(f"{prefix}-{number}", name="job"):
        for iteration in range(3):
            with node("fetch", iteration=iteration), phase("download", number=number):
                pass
"""
SPANS: Final = 1 + 3 * 2

LONG_NAME: Final = """
from phasetrace import execution, node, phase

with execution("long", name="job"), node("n"), phase("x" * 70_000):
    pass
"""

LARGE: Final = """
from phasetrace import execution, phase

with execution("large", name="job"):
    with phase("small"):
        pass
    with phase("large", document="x" * 9_000_000):
        pass
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Scale(NamedTuple):
    """The parts that a test talks to."""

    collector: Jaeger
    query: Jaeger
    cassandra: Cassandra


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scale]:
    """Run all five parts, in Compose's order."""
    require_binary()
    require_parts()
    folder = tmp_path_factory.mktemp("scale")
    kafka, cassandra = Kafka(folder / "kafka"), Cassandra(folder / "cassandra")
    addresses = {
        # The first of each is not there, as may happen to one of three.
        "KAFKA_BROKERS": f"127.0.0.1:1,{kafka.address}",
        "CASSANDRA_SERVERS": f"127.0.0.1:1,{cassandra.address}",
    }
    with (
        kafka,
        cassandra,
        Jaeger(DEPLOY / "ingester.yaml", addresses),
        Jaeger(DEPLOY / "collector.yaml", addresses) as collector,
        Jaeger(DEPLOY / "query.yaml", addresses) as query,
    ):
        yield Scale(collector, query, cassandra)


def test_an_execution_arrives_whole(scale: Scale, tmp_path: Path) -> None:
    """With every span as it was recorded, and is found by its exec_id and by a node's id."""
    user = User(scale, tmp_path, "whole")
    user.run(PROGRAM, "0", "20", "whole")
    for number in range(20):
        assert user.wait_for(SPANS, exec_id=f"whole-{number}") == SPANS
    assert user.wait_for(SPANS, exec_id="whole-7", node_id="fetch") == SPANS
    for number in (0, 19):
        user.phasetrace("verify", f"whole-{number}", "--source", scale.query.query_url)


def test_a_span_that_cassandra_cannot_have_stops_nothing(scale: Scale, tmp_path: Path) -> None:
    """Its name is too long for a key: it alone is missing, and what comes after it arrives."""
    user = User(scale, tmp_path, "long-name")
    user.run(LONG_NAME)
    user.run(PROGRAM, "0", "20", "after-long")
    for number in range(20):
        assert user.wait_for(SPANS, exec_id=f"after-long-{number}") == SPANS
    assert user.wait_for(2, exec_id="long") == 2


def test_a_span_that_kafka_cannot_have_is_put_aside(scale: Scale, tmp_path: Path) -> None:
    """It is larger than a message: it alone is refused, and what comes after it arrives."""
    user = User(scale, tmp_path, "large")
    user.run(LARGE, OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT="10000000")
    user.run(PROGRAM, "0", "20", "after-large")
    assert user.wait_for(2, exec_id="large") == 2
    for number in range(20):
        assert user.wait_for(SPANS, exec_id=f"after-large-{number}") == SPANS
    (destination,) = json.loads(user.phasetrace("status", "--json"))["destinations"]
    assert (destination["waiting"], destination["refused"]) == (0, 1)
    assert destination["delivered"] == destination["recorded"] - 1 == 2 + 20 * SPANS


def test_cassandra_may_crash(scale: Scale, tmp_path: Path) -> None:
    """What is sent before, meanwhile and after is all there in the end."""
    if not knows_span_metrics():
        pytest.skip("a Jaeger as old as this one sets a partition aside until it is started again")
    user = User(scale, tmp_path, "crash")
    user.run(PROGRAM, "0", "20", "crash")
    scale.cassandra.kill()
    try:
        user.run(PROGRAM, "20", "40", "crash")
        (destination,) = json.loads(user.phasetrace("status", "--json"))["destinations"]
        assert destination["waiting"] == 0
    finally:
        scale.cassandra.start()
    user.run(PROGRAM, "40", "60", "crash")
    for number in range(60):
        assert user.wait_for(SPANS, exec_id=f"crash-{number}") == SPANS


class User:
    """Somebody who runs programs as one service, and looks for their executions."""

    def __init__(self, scale: Scale, folder: Path, service: str) -> None:
        self._query = scale.query
        self._service = service
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PHASETRACE_STORE": str(folder / "traces.db"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": scale.collector.otlp_http,
            "OTEL_SERVICE_NAME": service,
        }

    def run(self, program: str, *arguments: str, **variables: str) -> None:
        """Run a program, and have sent what it left: the first request of all finds no topic."""
        self._run("-c", program, *arguments, **variables)
        deadline = time.monotonic() + DEADLINE_S
        while self._call("-m", "phasetrace", "ship").returncode and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def phasetrace(self, *arguments: str) -> str:
        """Call the command line, which has to succeed; return what it prints."""
        return self._run("-m", "phasetrace", *arguments)

    def wait_for(self, spans: int, **attributes: str) -> int:
        """Return how many spans the traces have that are found, at once when they are enough."""
        deadline = time.monotonic() + DEADLINE_S
        while (found := self._found(attributes)) < spans and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return found

    def _found(self, attributes: dict[str, str]) -> int:
        answer = self._query.search_v1(self._service, **attributes)
        traces: list[Any] = (answer.json().get("data") if answer.status == 200 else None) or []
        return sum(len(trace["spans"]) for trace in traces)

    def _run(self, *command: str, **variables: str) -> str:
        done = self._call(*command, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _call(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            env=self._environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
