"""The rows of the table, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from benchmarks.burst import row_10_bursts
from benchmarks.caller import row_1, row_2, row_3, row_4, row_5, rows_of_shapes
from benchmarks.effort import Effort
from benchmarks.encoder import row_8
from benchmarks.lines import Line
from benchmarks.memory import row_7
from benchmarks.process_cpu import row_9, row_10_cpu
from benchmarks.receiver import missing_receiver
from benchmarks.threads import row_6


class Row(NamedTuple):
    """A row, which may have several lines."""

    title: str
    measure: Callable[[Effort], Iterable[Line]]


def _row_10(effort: Effort) -> Iterator[Line]:
    missing = missing_receiver()
    if missing:
        yield Line("10", "export to a receiver", note=f"left out: {missing}")
        return
    yield from row_10_cpu(effort)
    yield from row_10_bursts(effort)


ROWS = {
    "1": Row("a phase, recorded, stored and exported, against a plain collector", row_1),
    "2": Row("the same against the stock SDK, aggregating and batching", row_2),
    "3": Row("a bare span of our provider against one of the stock SDK", row_3),
    "4": Row("a phase that is switched off against the API's no-op span", row_4),
    "5": Row("@timed on four parameters against time_phase", row_5),
    "6": Row("eight threads: throughput, counts and memory", row_6),
    "7": Row("memory of spans that wait for an exporter, against the stock SDK", row_7),
    "8": Row("encoding a span against the official encoder", row_8),
    "9": Row("CPU of a stored span against one of the stock SDK that is not stored", row_9),
    "10": Row("CPU of an exported span against the stock SDK; bursts to a receiver", _row_10),
    "shapes": Row("every shape against every contestant", rows_of_shapes),
}
