"""`phasetrace diff` on runs of a real program: it finds what was made slower, and nothing else.

What it is asked about are 20 + 20 runs of the example, of which every second one waits within the
phase ``minhash`` for a fifth of the time that the phase takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

import pytest

from phasetrace.analysis.comparison import Run, compare
from phasetrace.analysis.execution import Examination
from phasetrace.analysis.groups import BY
from phasetrace.store.reader import StoreReader

EXAMPLE = Path(__file__).parents[2] / "examples" / "simple_iter.py"
FILES = "30"
SIDE = 20
EQUAL = 120
COMPARISONS = 20
SLOWED = ("fingerprint", "minhash")
MOST_SPREAD = 0.2
"""How much the quartiles of equal runs may differ for a change of a fifth to be told at all."""

RUNNER = """
import asyncio, sys, time
from importlib.util import module_from_spec, spec_from_file_location

path, factor, files = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
spec = spec_from_file_location("simple_iter", path)
example = sys.modules["simple_iter"] = module_from_spec(spec)
spec.loader.exec_module(example)
minhash = example.minhash  # what is done in the phase "minhash", function by function

def slowed(shingles):
    start_ns = time.perf_counter_ns()
    found = minhash(shingles)
    end_ns = time.perf_counter_ns()
    while time.perf_counter_ns() < end_ns + factor * (end_ns - start_ns):
        pass
    return found

example.minhash = slowed
asyncio.run(example.main(files, 0.85))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return an environment in which 20 normal and 20 slowed runs and some more were recorded.

    Normal and slowed runs take turns, so that what else goes on in the machine comes over both.
    """
    folder = tmp_path_factory.mktemp("runs")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PHASETRACE_STORE": str(folder / "traces.db"),
    }
    runner = folder / "runner.py"
    runner.write_text(RUNNER)
    for factor in [*("0", "0.2") * SIDE, *["0"] * (EQUAL - SIDE)]:
        command = [sys.executable, str(runner), str(EXAMPLE), factor, FILES]
        subprocess.run(command, env=environment, capture_output=True, check=True)
    return environment


def recorded(environment: Mapping[str, str]) -> list[Run]:
    """Return all runs in the order in which they were made."""
    with StoreReader(Path(environment["PHASETRACE_STORE"])) as store:
        recordings = [store.recording(one) for one in reversed(store.executions())]
    return [Run(one.execution, Examination(one).groups(BY["phase of node"])) for one in recordings]


def spread(runs: list[Run]) -> float:
    """Return how far the quartiles of the phase's times are apart, as a part of the median."""
    times = [row.self_ns for run in runs for row in run.groups.rows if row.key == SLOWED]
    low, middle, high = quantiles(times)
    return (high - low) / middle


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_slowed_phase_is_found_and_nothing_else(environment: Mapping[str, str]) -> None:
    """By its self time; of the others, and of the node that it is in, none is said to change."""
    runs = recorded(environment)[: 2 * SIDE]
    if spread(runs[::2]) > MOST_SPREAD:
        pytest.fail(f"equal runs differ by {spread(runs[::2]):.0%}: too restless a machine to tell")
    sides = [",".join(run.execution.exec_id for run in runs[side::2]) for side in (0, 1)]
    command = [sys.executable, "-m", "phasetrace", "diff", *sides]
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["is_tested"]
    assert (found["a"]["n"], found["b"]["n"]) == (SIDE, SIDE)
    rows = [*found["rows"], found["unattributed"]]
    changed = {
        (row["node_id"], row["phase"]): row for row in rows if row["verdict"] not in (None, "noise")
    }
    assert list(changed) == [SLOWED]
    assert changed[SLOWED]["verdict"] == "slower"
    assert 0.1 < changed[SLOWED]["change"] < 0.35


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_equal_runs_give_no_alarms(environment: Mapping[str, str]) -> None:
    """At most one in 20 comparisons of 20 + 20, drawn anew for each from 120 runs, none twice."""
    runs = recorded(environment)
    equal = [*runs[: 2 * SIDE : 2], *runs[2 * SIDE :]]
    assert len(equal) == EQUAL
    random = Random(1)
    alarms = []
    for _ in range(COMPARISONS):
        drawn = random.sample(equal, 2 * SIDE)
        diff = compare(drawn[:SIDE], drawn[SIDE:])
        assert diff.is_tested
        changed = [row for row in (*diff.rows, diff.unattributed) if row.has_changed]
        if changed or diff.verdict != "noise":
            alarms.append((diff.verdict, changed))
    assert len(alarms) <= 1, alarms
