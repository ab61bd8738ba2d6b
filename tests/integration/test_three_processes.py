"""One execution in three processes and more: one trace, one root, one breakdown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phasetrace.identity import root_span_id_of, trace_id_of

from .rotel import ReceivedSpan, Rotel

PARENT = """
import multiprocessing, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
import phasetrace
from phasetrace import execution, node, phase, propagate, time_phase

def named(number):
    with time_phase("e", "pool", "named"):
        return number

def carried(number):
    with phase("carried"):
        return number

if __name__ == "__main__":
    method = multiprocessing.get_context(sys.argv[1])
    {opening}
        with node("n"), phase("outer"):
            with ProcessPoolExecutor(2, method) as pool:
                assert list(pool.map(named, range(4))) == [0, 1, 2, 3]
                assert list(propagate.executor(pool).map(carried, range(4))) == [0, 1, 2, 3]
            subprocess.run([sys.executable, "-c", CHILD], check=True)
            subprocess.run([sys.executable, "-c", HEIR], env=propagate.environ(), check=True)
"""
CHILD = """
from phasetrace import time_phase
with time_phase("e", "script", "knows_the_id"):
    pass
"""
HEIR = """
from phasetrace import phase
with phase("knows_nothing"):
    pass
"""
OPENINGS = {
    "explicit": 'with execution("e", name="three processes"):',
    "implicit": 'with time_phase("e", "n", "first"):',
}
PHASES = {"named": 4, "carried": 4, "outer": 1, "knows_the_id": 1, "knows_nothing": 1}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("opening", OPENINGS)
def test_many_processes_make_one_execution(
    rotel: Rotel, tmp_path: Path, method: str, opening: str
) -> None:
    """A parent, the workers of a pool, a program that has the id, and one that was given all."""
    program = tmp_path / "parent.py"
    source = PARENT.replace("{opening}", OPENINGS[opening])
    program.write_text(source.replace("CHILD", repr(CHILD)).replace("HEIR", repr(HEIR)))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PHASETRACE_STORE": str(tmp_path / "traces.db"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": rotel.http_endpoint,
    }
    run([sys.executable, "-W", "error", str(program), method], environment)
    run([sys.executable, "-m", "phasetrace", "ship"], environment)

    unique = {span.span_id: span for span in rotel.spans()}
    spans = list(unique.values())
    phases = [one for one in spans if "phasetrace.type" not in one.attributes]
    counts = {name: sum(span.name == name for span in phases) for name in PHASES}
    assert counts == PHASES
    assert {int(span.trace_id, 16) for span in spans} == {trace_id_of("e")}
    assert {span.attributes["exec_id"] for span in spans} == {"e"}
    (root,) = (span for span in spans if not span.parent_span_id)
    assert int(root.span_id, 16) == root_span_id_of("e")
    assert {span.parent_span_id for span in spans if span is not root} <= unique.keys()
    for name in ("carried", "knows_nothing"):
        assert parent_of(spans, unique, name) == {"outer"}
    assert parent_of(spans, unique, "knows_the_id") == {root.name}
    # A forked worker has its parent's context as well.
    assert parent_of(spans, unique, "named") == {"outer" if method == "fork" else root.name}

    printed = run([sys.executable, "-m", "phasetrace", "metrics", "e", "--json"], environment)
    assert counted(json.loads(printed)) == {
        key: number for key, number in received(phases).items() if key[1] is not None
    }


def test_programs_that_run_starts_take_part(rotel: Rotel, tmp_path: Path) -> None:
    """Without a word about it in either of them."""
    program = tmp_path / "prog.py"
    program.write_text(
        f"import subprocess, sys\n"
        f"from phasetrace import phase\n"
        f"subprocess.run([sys.executable, '-c', {HEIR!r}], check=True)\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PHASETRACE_STORE": str(tmp_path / "traces.db"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": rotel.http_endpoint,
    }
    command = [sys.executable, "-m", "phasetrace", "run", "--exec-id", "r", str(program)]
    run(command, environment)
    run([sys.executable, "-m", "phasetrace", "ship"], environment)
    spans = {span.span_id: span for span in rotel.spans()}
    (heir,) = (span for span in spans.values() if span.name == "knows_nothing")
    assert heir.attributes["exec_id"] == "r"
    assert parent_of([heir], spans, "knows_nothing") == {"prog"}
    assert len(spans) == 2


def run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command to its end, which must be a good one; return what it prints."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    return done.stdout


def parent_of(spans: list[ReceivedSpan], by_id: dict[str, ReceivedSpan], name: str) -> set[str]:
    """Return the names of what spans of a name are below."""
    return {by_id[span.parent_span_id].name for span in spans if span.name == name}


def counted(breakdown: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return count and total of every phase of a breakdown."""
    return {
        (node["node_id"], row["phase"]): (row["count"], row["total_ns"])
        for node in breakdown["nodes"]
        for row in node["phases"]
    }


def received(phases: list[ReceivedSpan]) -> dict[tuple[str, str], tuple[int, int]]:
    """Add up what a receiver got, by node and phase."""
    added: dict[tuple[str, str], tuple[int, int]] = {}
    for span in phases:
        key = (span.attributes["node_id"], span.name)
        count, total = added.get(key, (0, 0))
        added[key] = (count + 1, total + span.end_ns - span.start_ns)
    return added
