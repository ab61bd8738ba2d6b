"""More spans at once than anybody can send at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .figures import figure
from .programs import environment, run, ship_all, status
from .receivers import Counting

MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    "spans",
    [
        100_000,
        pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_a_burst_loses_nothing_in_bounded_memory(
    counting: Counting, store: Path, spans: int
) -> None:
    """At full speed, to a receiver that answers."""
    env = environment(store, counting.endpoint, PHASETRACE_RETENTION="500 executions, 4GB")
    report = run(env, "phasetrace", "--spans", spans, "--per-execution", 10_000).report
    at_exit = len(counting.arrivals("phasetrace").seqs)
    ship_all(env, 200)
    arrivals = counting.arrivals("phasetrace")
    grown = report["peak_rss"] - report["rss_at_start"]
    figure(
        f"{spans} spans in {report['wall_s']:.1f} s; {at_exit} delivered at exit;"
        f" {grown / MEGABYTE:.0f} MB above the start"
    )
    assert arrivals.seqs == set(range(spans))
    assert not arrivals.doubled
    assert status(env)["waiting"] == 0
    assert grown <= 256 * MEGABYTE


@pytest.mark.slow
def test_the_stock_sdk_in_a_burst(counting: Counting, store: Path) -> None:
    """The control: it drops what exceeds its queue."""
    spans = 100_000
    report = run(environment(store, counting.endpoint), "stock", "--spans", spans).report
    lost = spans - len(counting.arrivals("phasetrace").seqs)
    grown = report["peak_rss"] - report["rss_at_start"]
    figure(f"stock SDK: {lost} of {spans} lost, {grown / MEGABYTE:.0f} MB above")
    assert lost > 0
