"""How far the spans of executions have got on their way to each destination.

A destination has dealt with the blocks up to its cursor: delivered them, or put aside what it would
not take (`phasetrace.store.destinations`). What `phasetrace ship --replay` has sent is in no book.

No OpenTelemetry in here: a reading command asks. The caller is in a transaction, or does not mind
that the numbers are of different moments.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from phasetrace.store.destinations import DestinationSpec, routes


class Arrival(NamedTuple):
    """What has become of the spans of one execution that were to go to one destination."""

    destination: DestinationSpec
    delivered: int
    """Those that a receiver said of how many, but not which, it rejected are among them."""
    waiting: int
    refused: int


def arrivals(connection: sqlite3.Connection, execution: int) -> list[Arrival]:
    """Return that for every destination that spans of an execution were to go to.

    `execution` is the number of its row.

    Raises:
        sqlite3.Error: as the connection does.
        ValueError: where what is stored makes no sense.
    """
    found = []
    for row, key, name, endpoint, process, cursor in connection.execute(
        "SELECT id, key, name, endpoint, process, cursor FROM destinations ORDER BY id"
    ).fetchall():
        mine = _routes_to(connection, row)
        marks = ", ".join("?" * len(mine))
        dealt_with, waiting = connection.execute(
            "SELECT coalesce(sum(b.spans * (b.seq <= ?)), 0),"  # noqa: S608
            " coalesce(sum(b.spans * (b.seq > ?)), 0)"
            " FROM streams t JOIN blocks b ON b.stream = t.id"
            f" WHERE t.execution = ? AND t.route IN ({marks})",
            (cursor, cursor, execution, *mine),
        ).fetchone()
        if not dealt_with and not waiting:
            continue
        (refused,) = connection.execute(
            "SELECT count(*) FROM dead_letters WHERE destination = ?"
            " AND exec_id = (SELECT exec_id FROM executions WHERE id = ?)",
            (row, execution),
        ).fetchone()
        spec = DestinationSpec(key, name, endpoint, process is not None)
        found.append(Arrival(spec, max(0, dealt_with - refused), waiting, refused))
    return found


def is_sampled(connection: sqlite3.Connection, execution: int) -> bool:
    """Tell whether any span of an execution may be sent, by its sampler; `execution` is its row.

    Raises:
        sqlite3.Error: as the connection does.
    """
    (sampled,) = connection.execute(
        "SELECT coalesce(max(sampled), 1) FROM streams WHERE execution = ?", (execution,)
    ).fetchone()
    return bool(sampled)


def waiting_traces(connection: sqlite3.Connection, key: str) -> list[str]:
    """Return the traces that have spans of executions which wait for a destination, in hex.

    That of the execution which started last comes first. None where there is no such destination.

    Raises:
        sqlite3.Error: as the connection does.
        ValueError: where what is stored makes no sense.
    """
    row = connection.execute("SELECT id, cursor FROM destinations WHERE key = ?", (key,)).fetchone()
    if row is None:
        return []
    destination, cursor = row
    mine = _routes_to(connection, destination)
    marks = ", ".join("?" * len(mine))
    traces = connection.execute(
        "SELECT e.trace_id FROM executions e WHERE e.id IN"  # noqa: S608
        " (SELECT t.execution FROM blocks b CROSS JOIN streams t ON t.id = b.stream"
        f" WHERE b.seq > ? AND t.route IN ({marks})) ORDER BY e.started_ns DESC, e.id DESC",
        (cursor, *mine),
    )
    # Executions within each other are in one trace.
    return list(dict.fromkeys(trace_id.hex() for (trace_id,) in traces))


def _routes_to(connection: sqlite3.Connection, destination: int) -> list[int]:
    return [route for route, ids in routes(connection).items() if destination in ids]
