"""How much is measured: all of it, or a shorter run that shows the order of magnitude."""

from __future__ import annotations

from typing import NamedTuple


class Effort(NamedTuple):
    """Numbers of rounds and spans."""

    rounds: int
    counted: int
    """Phases over eight threads whose counts are checked."""
    waiting: int
    """Spans that wait for an exporter."""
    cpu_rounds: int
    cpu_spans: int
    """Spans a round of which the whole process's CPU time is taken."""
    bursts: tuple[int, ...]


FULL = Effort(31, 1_000_000, 100_000, 11, 10_000, (100_000, 1_000_000))
QUICK = Effort(7, 100_000, 20_000, 3, 3_000, ())
