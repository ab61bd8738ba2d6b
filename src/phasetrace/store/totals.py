"""Turning the totals of an execution into rows, and rows into totals again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from phasetrace.histogram import Histogram
from phasetrace.spans import NODE, PHASE, PhaseKey
from phasetrace.stats import PhaseStats

MAX_INTEGER: Final = 2**63 - 1


def write_part(
    connection: sqlite3.Connection,
    execution: int,
    process: int,
    part: int,
    spans: int,
    unattributed_ns: int,
    stats: Mapping[PhaseKey, PhaseStats],
) -> None:
    """Write what one process counted, over what it wrote for the same part before."""
    connection.execute(
        "INSERT INTO aggregate_parts (execution, process, part, spans, unattributed_ns)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (execution, process, part)"
        " DO UPDATE SET spans = excluded.spans, unattributed_ns = excluded.unattributed_ns",
        (execution, process, part, spans, as_integer(unattributed_ns)),
    )
    (row,) = connection.execute(
        "SELECT id FROM aggregate_parts WHERE execution = ? AND process = ? AND part = ?",
        (execution, process, part),
    ).fetchone()
    connection.execute("DELETE FROM aggregates WHERE part = ?", (row,))
    connection.executemany(
        "INSERT INTO aggregates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                row,
                NODE if key.phase is None else PHASE,
                key.node_id,
                key.phase or "",
                stat.node_type,
                stat.count,
                as_integer(stat.total_ns),
                as_integer(stat.self_ns),
                stat.share_ns,
                as_integer(stat.min_ns),
                as_integer(stat.max_ns),
                as_integer(stat.first_ns),
                stat.errors,
                stat.cancelled,
                stat.histogram.to_bytes(),
            )
            for key, stat in stats.items()
        ],
    )


def read_parts(connection: sqlite3.Connection, parts: Iterable[int]) -> dict[PhaseKey, PhaseStats]:
    """Return the totals of several parts, added up."""
    stats: dict[PhaseKey, PhaseStats] = {}
    for part in parts:
        for type_, node_id, phase, *numbers, histogram in connection.execute(
            "SELECT type, node_id, phase, node_type, count, total_ns, self_ns, share_ns,"
            " min_ns, max_ns, first_ns, errors, cancelled, histogram"
            " FROM aggregates WHERE part = ?",
            (part,),
        ):
            stat = PhaseStats()
            (
                stat.node_type,
                stat.count,
                stat.total_ns,
                stat.self_ns,
                stat.share_ns,
                stat.min_ns,
                stat.max_ns,
                stat.first_ns,
                stat.errors,
                stat.cancelled,
            ) = numbers
            stat.histogram = Histogram.from_bytes(histogram)
            key = PhaseKey(node_id, None if type_ == NODE else phase)
            if key in stats:
                stats[key].merge(stat)
            else:
                stats[key] = stat
    return stats


def as_integer(value: int | None) -> int:
    """Return the nearest integer that SQLite can hold (64 bits)."""
    return min(max(value or 0, -MAX_INTEGER), MAX_INTEGER)
