"""Kill -9 at any moment: what had ended 300 ms before is not lost, and the store is sound."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from .figures import figure
from .programs import environment, make_ends, read_ends, ship_all, start, status
from .receivers import Counting

RATE = 4000
SPANS = 20_000
"""More than it gets to before it is killed."""
GRACE_NS = 300_000_000
LATEST_KILL_S = 1.5


@pytest.mark.parametrize(
    "kills",
    [
        5,
        pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_what_had_ended_before_a_kill_is_delivered(
    counting: Counting, store: Path, tmp_path: Path, kills: int
) -> None:
    """Each program goes on with the store that the one killed before has left."""
    seed = time.time_ns()
    figure(f"seed {seed}")
    moments = random.Random(seed)
    env = environment(store, counting.endpoint)
    owed: set[int] = set()
    ended: set[int] = set()
    for number in range(kills):
        first = number * SPANS
        killed_ns, ends = killed_under_load(env, tmp_path / "ends", first, moments)
        assert integrity(store) == "ok"
        owed |= {first + n for n, end_ns in enumerate(ends) if 0 < end_ns <= killed_ns - GRACE_NS}
        # The very last span may have ended without the file being told.
        last = sum(end_ns > 0 for end_ns in ends)
        ended |= set(range(first, first + last + 1))
    assert owed
    ship_all(env)
    arrivals = counting.arrivals("phasetrace")
    figure(
        f"{kills} kills: {len(owed)} spans owed, {len(owed - arrivals.seqs)} lost;"
        f" {len(ended)} ended, {len(ended - arrivals.seqs)} of them lost;"
        f" {arrivals.repeated} repeated"
    )
    assert not owed - arrivals.seqs
    assert arrivals.seqs <= ended
    assert not arrivals.doubled
    assert status(env)["waiting"] == 0


def killed_under_load(
    env: dict[str, str], file: Path, first: int, moments: random.Random
) -> tuple[int, list[int]]:
    """Run a program until it is killed; return when that was, and when its spans ended."""
    make_ends(file, SPANS)
    options = ["--spans", SPANS, "--rate", RATE, "--first", first, "--ends", file, "--announce"]
    program = start(env, "phasetrace", *options)
    program.wait_for("started")
    time.sleep(moments.uniform(0, LATEST_KILL_S))
    # Before the signal: what ends after this moment is owed by nobody.
    killed_ns = time.monotonic_ns()
    program.process.kill()
    program.finished()
    return killed_ns, read_ends(file)


def integrity(store: Path) -> str:
    """Return what SQLite finds."""
    with closing(sqlite3.connect(store)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
