"""Row 10: bursts at full speed to a receiver, of which nothing may get lost, in bounded memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import phasetrace
from benchmarks import isolated
from benchmarks.contestants import configured
from benchmarks.effort import Effort
from benchmarks.lines import Bar, Line, Quantity
from benchmarks.receiver import Receiver
from benchmarks.resident import peak_resident, resident

_WARM_UP = 1_000
_ROOTS = 2
"""Both executions get a root span at the end."""
_FLUSH_S = 1_800.0


def burst(endpoint: str, spans: int) -> dict[str, Any]:
    """Record spans of four attributes as fast as it goes, and deliver them.

    Returns the seconds that recording and all of it took, and by how many bytes the process grew.
    """
    with ExitStack() as stack:
        contestant = configured(stack, endpoint=endpoint)
        contestant.program.metadata("warm_up", _WARM_UP)()
        contestant.flush()
        gc.collect()
        before = resident()
        started = time.perf_counter()
        contestant.program.metadata("burst", spans)()
        recorded = time.perf_counter()
        phasetrace.force_flush(_FLUSH_S)
        delivered = time.perf_counter()
        peak = peak_resident()
    return {
        "recorded_s": recorded - started,
        "delivered_s": delivered - started,
        "peak": peak - before,
    }


def row_10_bursts(effort: Effort) -> Iterator[Line]:
    """Send bursts; count what arrives, and what memory it takes."""
    for spans in effort.bursts:
        with Receiver() as receiver:
            result = isolated.call(burst, receiver.endpoint, spans)
        arrived = receiver.spans - _WARM_UP - _ROOTS
        note = f"recorded in {result['recorded_s']:.1f} s, delivered {result['delivered_s']:.1f} s"
        if arrived > spans:
            note += f"; {arrived - spans:,} arrived twice, so that as many may have been dropped"
        yield Line(
            "10",
            f"burst of {spans:,}: dropped",
            figure=Quantity(max(0, spans - arrived), ""),
            bar=Bar(0, "0"),
            note=note,
        )
        yield Line(
            "10",
            f"burst of {spans:,}: peak above start",
            figure=Quantity(result["peak"] / 1e6, "MB"),
            bar=Bar(256, "≤ 256 MB"),
        )
