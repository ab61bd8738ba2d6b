"""Row 6: eight threads at once, their throughput, and whether they are counted exactly."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phasetrace
from benchmarks import isolated
from benchmarks.caller import measured
from benchmarks.effort import Effort
from benchmarks.lines import Bar, Line, Quantity, line_of
from benchmarks.program import THREADS, in_threads
from benchmarks.resident import peak_resident, resident
from benchmarks.rounds import Work, compare
from benchmarks.stock import NullExporter

_WARM_UP = 100_000
_PHASES_PER_BLOCK = 100
"""Of so many phases one may leave a block of memory behind."""


def counted(phases: int) -> dict[str, Any]:
    """Record phases in eight threads, each under a name of its own, and count them.

    Returns the deviations from what each thread recorded, added up, and what is left of the memory
    when all is written out and freed: in blocks of Python's allocator, which are exact, and in
    resident bytes, of which the allocators keep some 10 to 30 MB that are free again. Before the
    start it has done the same with enough phases to fill every queue.
    """
    exporter = NullExporter()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        phasetrace.configure(store=Path(folder) / "traces.db", exporters=[exporter])
        _run("warm_up", min(phases, _WARM_UP))
        _free("warm_up")
        exported, started, blocks = exporter.spans, resident(), sys.getallocatedblocks()
        _run("measured", phases)
        peak = peak_resident()
        breakdown = phasetrace.breakdown("measured")
        counts = {row.phase: row.count for node in breakdown.nodes for row in node.phases}
        del breakdown
        _free("measured")
        left, blocks = resident() - started, sys.getallocatedblocks() - blocks
        exported = exporter.spans - exported
        phasetrace.shutdown()
    wrong = sum(abs(counts.pop(f"work_{index}", 0) - phases // THREADS) for index in range(THREADS))
    return {
        "wrong": wrong + sum(counts.values()),
        "left": left,
        "blocks": blocks,
        "peak": peak - started,
        "exported": exported,
    }


def row_6(effort: Effort) -> Iterator[Line]:
    """Compare the throughput of eight threads to that of one; check counts and memory."""
    pairs = [("phasetrace", "many_in_one"), ("phasetrace", "many_threads")]
    samples = isolated.call(measured, pairs, effort.cpu_rounds)
    one, eight = ([1e9 / ns for ns in samples[shape]["phasetrace"]] for _, shape in pairs)
    bar = Bar(1, "≥ 1", at_least=True)
    yield line_of("6", "phases a second, 8 threads", "1 thread", compare(eight, one), bar, "/s")
    result = isolated.call(counted, effort.counted)
    many = f"{effort.counted:,} over 8 threads"
    yield Line(
        "6",
        f"{many}: miscounted",
        figure=Quantity(result["wrong"], ""),
        bar=Bar(0, "0"),
    )
    yield Line(
        "6",
        f"{many}: blocks of memory left",
        figure=Quantity(result["blocks"], ""),
        bar=Bar(effort.counted // _PHASES_PER_BLOCK, f"≤ 1 in {_PHASES_PER_BLOCK} phases"),
        note=f"resident: {result['left'] / 1e6:.0f} MB more, {result['peak'] / 1e6:.0f} MB at most;"
        f" {result['exported']:,} spans exported",
    )


def _run(exec_id: str, phases: int) -> None:
    in_threads([_work(exec_id, f"work_{index}", phases // THREADS) for index in range(THREADS)])()


def _work(exec_id: str, name: str, phases: int) -> Work:
    def work() -> None:
        for _ in range(phases):
            with phasetrace.time_phase(exec_id, "node_1", name):
                pass

    return work


def _free(exec_id: str) -> None:
    phasetrace.timing_collector.pop(exec_id)
    phasetrace.force_flush(300)
    gc.collect()
