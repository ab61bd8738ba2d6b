"""How long it takes until the first line: ratios of medians, measured in turn."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

import phasetrace
from phasetrace import execution, node, phase

ROUNDS = 9
SPANS = 200_000


def median_seconds(*commands: list[str]) -> list[float]:
    """Run the commands in turn, and return the median of the wall time of each.

    As where it is installed: what is imported has been compiled before.
    """
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    taken: list[list[float]] = [[] for _ in commands]
    for _ in range(ROUNDS):
        for command, times in zip(commands, taken, strict=True):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in taken]


def test_metrics_starts_within_eight_times_python() -> None:
    """On a store of 200,000 spans, with the console script that pip makes."""
    fill_store(Path(os.environ["PHASETRACE_STORE"]))
    script = str(Path(sys.executable).with_name("phasetrace"))
    python, latest, breakdown = median_seconds(
        [sys.executable, "-c", "pass"],
        [script, "metrics", "--latest"],
        [script, "metrics", "--latest", "--breakdown"],
    )
    print(f"metrics: {latest / python:.1f}, with breakdown: {breakdown / python:.1f}")  # noqa: T201
    assert latest / python <= 8
    assert breakdown / python <= 8


def test_the_summary_of_a_large_execution_starts_as_fast() -> None:
    """Of 200,000 spans from two processes: nothing is worked out that is not shown."""
    fill_execution(Path(os.environ["PHASETRACE_STORE"]))
    script = str(Path(sys.executable).with_name("phasetrace"))
    python, latest = median_seconds([sys.executable, "-c", "pass"], [script, "metrics", "--latest"])
    print(f"summary: {latest / python:.1f}")  # noqa: T201
    assert latest / python <= 8


def test_import_costs_little_beside_the_sdk() -> None:
    """Both the package and its first call."""
    sdk, package, call = median_seconds(
        [sys.executable, "-c", "import opentelemetry.sdk.trace"],
        [sys.executable, "-c", "import phasetrace"],
        [sys.executable, "-c", "from phasetrace import time_phase"],
    )
    print(f"import: {package / sdk:.2f}, with time_phase: {call / sdk:.2f}")  # noqa: T201
    assert package / sdk <= 1.3
    assert call / sdk <= 1.5


def fill_store(path: Path) -> None:
    """Record an execution of 2,000 spans, and multiply its blocks to a store of 200,000."""
    with execution("latest"), node("n"):
        for index in range(1_998):
            with phase(f"p{index % 20}"):
                pass
    phasetrace.shutdown()
    connection = sqlite3.connect(path, isolation_level=None)
    for number in range(SPANS // 2_000 - 1):
        cursor = connection.execute(
            "INSERT INTO executions (exec_id, trace_id, process, started_ns, last_ns, ended_ns,"
            " spans) SELECT ?, trace_id, process, started_ns - 1, last_ns, ended_ns, spans"
            " FROM executions WHERE exec_id = 'latest'",
            (f"earlier_{number}",),
        )
        stream = connection.execute(
            "INSERT INTO streams (execution, process, resource, scope, trace_id, sampled, route)"
            " SELECT ?, process, resource, scope, trace_id, sampled, route FROM streams"
            " WHERE id = 1",
            (cursor.lastrowid,),
        )
        connection.execute(
            "INSERT INTO blocks (stream, spans, labels, columns, payload)"
            " SELECT ?, spans, labels, columns, payload FROM blocks WHERE stream = 1",
            (stream.lastrowid,),
        )
    assert connection.execute("SELECT sum(spans) FROM blocks").fetchone() == (SPANS,)
    connection.close()


def fill_execution(path: Path) -> None:
    """Record an execution from two processes, and multiply its blocks to 200,000 spans."""
    source = """
from phasetrace import execution, node, phase
with execution("latest"), node("n"):
    for index in range(998):
        with phase(f"p{index % 20}"):
            pass
"""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", source], check=True)
    connection = sqlite3.connect(path, isolation_level=None)
    (spans,) = connection.execute("SELECT sum(spans) FROM blocks").fetchone()
    connection.execute(
        "INSERT INTO blocks (stream, spans, labels, columns, payload) WITH RECURSIVE n(i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " SELECT stream, spans, labels, columns, payload FROM blocks, n",
        (SPANS // spans - 1,),
    )
    connection.execute("UPDATE executions SET spans = ?", (SPANS,))
    connection.execute("UPDATE aggregate_parts SET spans = ?", (SPANS // 2,))
    assert connection.execute("SELECT sum(spans) FROM blocks").fetchone() == (SPANS,)
    assert connection.execute("SELECT count(*) FROM aggregate_parts").fetchone() == (2,)
    connection.close()
