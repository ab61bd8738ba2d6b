"""A store of 10,000,000 spans in 2,000 executions: what is asked of it is answered as fast."""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.history import MOST
from phasetrace.store.reader import StoreReader
from tests.integration.test_startup import ROUNDS

EXECUTIONS: Final = 2_000
SPANS_OF_EACH: Final = 5_000
WORKFLOWS: Final = 20
NODES: Final = 10
S: Final = 1_000_000_000
MINUTE_NS: Final = 60 * S
START_BUDGET: Final = 8
"""The multiple of a bare interpreter's start that a command may take, as in `test_startup`."""
TREND_S: Final = 1.0
"""For thirty runs, and for the breakdown of each."""
USUAL_S: Final = 0.001
"""For what `metrics` says beyond one execution."""

SCRIPT: Final = str(Path(sys.executable).with_name("phasetrace"))
QUESTIONS: Final = {
    "latest": ["metrics", "--latest"],
    "breakdown": ["metrics", "--latest", "--breakdown"],
    "list": ["list"],
    "failed": ["list", "--status", "error", "-n", "100"],
    "slow": ["list", "--name", "workflow_1*", "--slower-than", "5s", "--since", "2d"],
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fill a store, once, and remove it afterwards: it takes 2 GiB."""
    path = tmp_path_factory.mktemp("large") / "traces.db"
    with pytest.MonkeyPatch.context() as context:
        context.setenv("PHASETRACE_STORE", str(path))
        fill_store(path)
    assert path.stat().st_size > 1 << 30
    yield path
    for file in path.parent.glob("traces.db*"):
        file.unlink()


@pytest.fixture
def store(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the commands read the large store; with their bytecode, as what is installed has it."""
    monkeypatch.setenv("PHASETRACE_STORE", str(filled))
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(filled.parent / "bytecode"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return filled


def record_one() -> None:
    """Record an execution of as many spans as each is to have, and what such spans carry."""
    phases = SPANS_OF_EACH // NODES - 1
    with execution("run_2000", name="workflow_00", tenant="acme"):
        for number in range(NODES):
            with node(f"node_{number}", node_type="io"):
                # The last node has one less: the root is a span, too.
                for index in range(phases - (number == NODES - 1)):
                    with phase(f"phase_{index % 8}", table=f"orders_{index}", rows=index):
                        pass
    phasetrace.shutdown()


def duration_of(number: int) -> int:
    """Return how long a run took: 4 s and up to 5 % more or less, one in a hundred twice that."""
    steady_ns = 4 * S + (number * 7_919 % 401 - 200) * S // 1_000
    return steady_ns * 2 if number % 101 == 50 else steady_ns


def fill_store(path: Path) -> None:
    """Record one execution, and copy its rows: all that the store has of an execution, each time.

    They take turns in 20 workflows, a minute apart; some failed, some took twice as long.
    """
    record_one()
    connection = sqlite3.connect(path, isolation_level=None)
    (first,) = connection.execute("SELECT id FROM executions").fetchone()
    assert connection.execute("SELECT sum(spans) FROM blocks").fetchone() == (SPANS_OF_EACH,)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for number in range(1, EXECUTIONS):
        copy_execution(connection, first, number)
    connection.execute(
        "UPDATE executions SET last_ns = started_ns + ?1, ended_ns = started_ns + ?1 WHERE id = ?2",
        (duration_of(0), first),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    assert connection.execute("SELECT sum(spans) FROM blocks").fetchone() == (
        EXECUTIONS * SPANS_OF_EACH,
    )
    connection.close()


def copy_execution(connection: sqlite3.Connection, first: int, number: int) -> None:
    """Copy an execution as another process's run, so many minutes earlier."""
    row = {
        "first": first,
        "exec_id": f"run_{EXECUTIONS - number:04}",
        "name": f"workflow_{number % WORKFLOWS:02}",
        "shift_ns": -number * MINUTE_NS,
        "duration_ns": duration_of(number),
        "status": "error" if number % 49 == 25 else "ok",
    }
    row["process"] = connection.execute(
        "INSERT INTO processes (pid, birth, host, started_ns, closed_ns, parent)"
        " SELECT pid, birth, host, started_ns + :shift_ns, closed_ns + :shift_ns, parent"
        " FROM processes WHERE id = (SELECT process FROM executions WHERE id = :first)",
        row,
    ).lastrowid
    row["execution"] = connection.execute(
        "INSERT INTO executions (exec_id, name, trace_id, root_span_id, process, explicit,"
        " root_ended, started_ns, last_ns, ended_ns, status, spans, errors, openings)"
        " SELECT :exec_id, :name, randomblob(16), root_span_id, :process, explicit, root_ended,"
        " started_ns + :shift_ns, started_ns + :shift_ns + :duration_ns,"
        " started_ns + :shift_ns + :duration_ns, :status, spans, errors, openings"
        " FROM executions WHERE id = :first",
        row,
    ).lastrowid
    row["stream"] = connection.execute(
        "INSERT INTO streams (execution, process, resource, scope, trace_id, sampled, route)"
        " SELECT :execution, :process, resource, scope, trace_id, sampled, route FROM streams"
        " WHERE execution = :first",
        row,
    ).lastrowid
    connection.execute(
        "INSERT INTO blocks (stream, spans, labels, columns, payload)"
        " SELECT :stream, spans, labels, columns, payload FROM blocks"
        " WHERE stream = (SELECT id FROM streams WHERE execution = :first)",
        row,
    )
    row["part"] = connection.execute(
        "INSERT INTO aggregate_parts (execution, process, part, spans, unattributed_ns)"
        " SELECT :execution, :process, part, spans, unattributed_ns FROM aggregate_parts"
        " WHERE execution = :first",
        row,
    ).lastrowid
    connection.execute(
        "INSERT INTO aggregates SELECT :part, type, node_id, phase, node_type, count, total_ns,"
        " self_ns, share_ns, min_ns, max_ns, first_ns, errors, cancelled, histogram"
        " FROM aggregates"
        " WHERE part = (SELECT id FROM aggregate_parts WHERE execution = :first)",
        row,
    )


def test_what_is_asked_of_a_large_store_is_answered_at_once(store: Path) -> None:
    """As soon as of a small one: nothing reads what it does not show."""
    python, *taken = least_seconds(
        [sys.executable, "-c", "pass"], *([SCRIPT, *question] for question in QUESTIONS.values())
    )
    ratios = {name: seconds / python for name, seconds in zip(QUESTIONS, taken, strict=True)}
    print({name: f"{ratio:.1f}" for name, ratio in ratios.items()})  # noqa: T201
    assert {name for name, ratio in ratios.items() if ratio > START_BUDGET} == set()


def test_a_filter_looks_at_the_whole_store(store: Path) -> None:
    """And finds all that it is to find."""
    slow = answer("list", "--json", "--name", "workflow_1*", "--slower-than", "5s", "-n", "9999")
    expected = [
        f"run_{EXECUTIONS - number:04}"
        for number in range(EXECUTIONS)
        if number % WORKFLOWS in range(10, 20) and duration_of(number) >= 5 * S
    ]
    assert [one["exec_id"] for one in slow["executions"]] == expected
    assert 5 < len(expected) < 20


@pytest.mark.parametrize("options", [[], ["--phase", "node_3/phase_2", "--of", "self"]])
def test_a_trend_takes_less_than_a_second(store: Path, options: list[str]) -> None:
    """With the breakdown of each run, too: it comes from its totals."""
    started = time.perf_counter()
    trend = answer("trend", "workflow_07", "--json", *options)
    seconds = time.perf_counter() - started
    print(f"trend {options}: {seconds:.2f} s")  # noqa: T201
    assert len(trend["runs"]) == 30
    assert all(run["value"] > 0 for run in trend["runs"])
    assert seconds < TREND_S


def test_what_is_usual_costs_next_to_nothing(store: Path) -> None:
    """Also of a name that no other execution has, for which all are looked at."""
    with StoreReader(store) as reader:
        latest = reader.latest()
        usual = reader.usual_of(latest)
        assert usual is not None
        assert usual.runs == MOST
        for execution in (latest, latest._replace(name="like no other")):
            taken = []
            for _ in range(20):
                started = time.perf_counter()
                reader.usual_of(execution)
                taken.append(time.perf_counter() - started)
            print(f"usual: {statistics.median(taken) * 1_000:.2f} ms")  # noqa: T201
            assert statistics.median(taken) < USUAL_S


def least_seconds(*commands: list[str]) -> list[float]:
    """Run the commands in turn, and return the least wall time of each.

    Not the median: the disk is still writing the store down, which takes from the longer ones more.
    """
    taken: list[list[float]] = [[] for _ in commands]
    for _ in range(ROUNDS):
        for command, times in zip(commands, taken, strict=True):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - started)
    return [min(times) for times in taken]


def answer(*command: str) -> Any:
    """Return what a command answers in JSON."""
    return json.loads(subprocess.run([SCRIPT, *command], check=True, capture_output=True).stdout)
