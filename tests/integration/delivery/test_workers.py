"""Eight workers that are recycled, and their parent: every span once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .figures import figure
from .programs import environment, run, ship_all, status
from .receivers import Counting
from .workers import RECYCLED_AFTER

TASKS = 320


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "by hand"])
def test_every_span_of_recycled_workers_arrives_once(
    counting: Counting, store: Path, method: str
) -> None:
    """However the workers are made."""
    env = environment(store, counting.endpoint)
    done = run(env, method, TASKS, program="workers.py")
    processes, spans = (int(line.split()[0]) for line in done.words)
    ship_all(env)
    arrivals = counting.arrivals("phasetrace")
    figure(f"{method}: {processes} processes, {spans} spans, {len(arrivals.seqs)} arrived")
    assert processes >= TASKS / RECYCLED_AFTER
    assert arrivals.seqs == set(range(spans))
    assert not arrivals.doubled
    assert not arrivals.repeated
    assert status(env)["waiting"] == 0
    assert done.stderr == ""
