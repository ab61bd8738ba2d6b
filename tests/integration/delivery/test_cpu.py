"""What a span that is exported costs in processor time, beside the stock SDK and its exporter.

A program's processor time, its end included, minus that of the same program which records only its
first span, so that neither imports nor the connection count; per span that arrived.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import NamedTuple

import pytest

from .figures import figure
from .programs import environment, run, ship_all
from .receivers import Counting

THREAD_AT_MOST = 1 / 4
PROCESS_AT_MOST = 1 / 6


class Entrant(NamedTuple):
    """A program that exports."""

    tracer: str
    options: tuple[object, ...] = ()
    delivery: str = "thread"


# Room for all, or it would drop what it is compared by.
_ENTRANTS = {
    "stock": Entrant("stock", ("--queue", 1 << 20)),
    "thread": Entrant("phasetrace"),
    "process": Entrant("phasetrace", delivery="process"),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_exported_span_costs_a_fraction_of_the_stock_one(
    counting: Counting, tmp_path: Path
) -> None:
    """All in turn, to one receiver."""
    spans, rounds = 100_000, 7
    samples: dict[str, list[float]] = {name: [] for name in _ENTRANTS}
    for number in range(rounds):
        for name, entrant in _ENTRANTS.items():
            folder = tmp_path / f"{name}_{number}"
            folder.mkdir()
            samples[name].append(cpu_ns(counting, folder, entrant, spans))
    medians = {name: statistics.median(costs) for name, costs in samples.items()}
    for name, cost in medians.items():
        figure(f"{name}: {cost / 1000:.1f} µs a span, {cost / medians['stock']:.3f} of stock")
    assert medians["thread"] / medians["stock"] <= THREAD_AT_MOST
    assert medians["process"] / medians["stock"] <= PROCESS_AT_MOST


def cpu_ns(receiver: Counting, folder: Path, entrant: Entrant, spans: int) -> float:
    """Return the processor time of an exported span."""
    seconds: list[float] = []
    for silently in ((), ("--silent",)):
        env = environment(
            folder / f"traces{len(silently)}.db",
            receiver.endpoint,
            service=folder.name,
            PHASETRACE_DELIVERY=entrant.delivery,
        )
        options = [*entrant.options, "--spans", spans, "--per-execution", spans]
        seconds.append(run(env, entrant.tracer, *options, *silently).report["cpu_s"])
        if entrant.tracer == "phasetrace":
            ship_all(env)
    arrived = len(receiver.arrivals(folder.name).seqs)
    assert arrived == spans, f"{folder.name}: {arrived} of {spans} arrived"
    recording_s, silent_s = seconds
    return (recording_s - silent_s) / arrived * 1e9
