"""An execution of 1,000,000 spans: how long its answers take, and how much memory."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.store.blocks import MAX_SPANS, Label, Row, messages, pack

SPANS: Final = 1_000_000
PHASES: Final = 9
"""In each run of a node."""
LASTING_NS: Final = 1_000
AT_ONCE: Final = 4
"""Runs of nodes that go on at the same time."""
SECONDS: Final = 10
KILOBYTES: Final = 1_000_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("totals", [True, False], ids=["ended well", "killed"])
def test_a_million_spans_are_answered_in_seconds(totals: bool) -> None:
    """With the totals of the process that ran it, and without, where it was killed."""
    fill_execution(Path(os.environ["PHASETRACE_STORE"]), totals)
    options = ["--latest", "--breakdown", "--critical-path"]
    script = str(Path(sys.executable).with_name("phasetrace"))
    started = time.perf_counter()
    command = [script, "metrics", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    taken = time.perf_counter() - started
    print(f"{taken:.1f} s, {usage.ru_maxrss / 1e6:.2f} GB")  # noqa: T201
    assert status == 0
    assert "Critical path" in printed
    assert taken < SECONDS
    assert usage.ru_maxrss < KILOBYTES


def fill_execution(path: Path, totals: bool) -> None:
    """Record an execution, and put a million spans in the place of its few."""
    with execution("large"), node("n", iteration=0), phase("p", table="orders", rows=5):
        pass
    phasetrace.shutdown()
    connection = sqlite3.connect(path, isolation_level=None)
    spans, columns, payload, started_ns = connection.execute(
        "SELECT b.spans, columns, payload, started_ns FROM blocks b, executions"
    ).fetchone()
    message = messages(spans, columns, payload)[0]
    connection.execute("BEGIN")
    connection.execute("DELETE FROM blocks")
    block: list[Row] = []
    for row in rows(started_ns, message):
        block.append(row)
        if len(block) == MAX_SPANS:
            insert(connection, block)
    insert(connection, block)
    (last_ns,) = (started_ns + SPANS // (PHASES + 1) // AT_ONCE * (PHASES + 1) * LASTING_NS,)
    connection.execute(
        "UPDATE executions SET spans = ?, openings = 1, last_ns = ?, ended_ns = ?,"
        " root_span_id = ?",
        (SPANS, last_ns, last_ns, (1).to_bytes(8, "big")),
    )
    if totals:
        connection.execute("UPDATE aggregate_parts SET spans = ?", (SPANS,))
    else:
        connection.execute("DELETE FROM aggregate_parts")
    connection.execute("COMMIT")
    assert connection.execute("SELECT sum(spans) FROM blocks").fetchone() == (SPANS,)
    connection.close()


def insert(connection: sqlite3.Connection, block: list[Row]) -> None:
    """Write a block, and empty the list."""
    connection.execute(
        "INSERT INTO blocks (stream, spans, labels, columns, payload) VALUES (1, ?, ?, ?, ?)",
        pack(block),
    )
    block.clear()


def rows(started_ns: int, message: bytes) -> Iterator[Row]:
    """Give a million spans: a root, and below it runs of nodes with nine phases each."""
    ended_ns = started_ns
    span_id = 1
    run = 0
    while span_id < SPANS:
        node_id, parent = f"node_{run % 10}", span_id + 1
        start_ns = started_ns + run // AT_ONCE * (PHASES + 1) * LASTING_NS
        inner = min(PHASES, SPANS - span_id - 1)
        end_ns = start_ns + inner * LASTING_NS + LASTING_NS // 2
        label = Label("node", node_id, node_id, "cpu", run, "ok")
        yield parent, 1, start_ns, end_ns, label, message
        span_id += 1
        for number in range(inner):
            span_id += 1
            label = Label("phase", f"phase_{number}", node_id, "cpu", run, "ok")
            begin_ns = start_ns + number * LASTING_NS
            yield span_id, parent, begin_ns, begin_ns + LASTING_NS, label, message
        ended_ns = max(ended_ns, end_ns)
        run += 1
    yield 1, 0, started_ns, ended_ns, Label("execution", "large", None, None, None, "ok"), message
