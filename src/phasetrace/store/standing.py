"""Where a store and its destinations stand: how much is kept, what became of what was to go where.

Everything is read in the one transaction of the caller, so the numbers belong together. For each
destination

    recorded = stored + lost
    stored = delivered + waiting + refused + dropped

`waiting` is counted from the blocks themselves and not worked out from the others, so that an
account that is wrong shows (`DestinationStanding.unaccounted`).

No OpenTelemetry in here: a reading command asks. Text comes from spans and receivers and is
untrusted.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from phasetrace.delivery.lock import lock_path
from phasetrace.store.blocks import DamagedBlock, records
from phasetrace.store.destinations import (
    DELIVERED,
    DROPPED,
    ELSEWHERE,
    LAPSES_AFTER_NS,
    LOST,
    REFUSED,
    STORED,
    routes,
    stored_destinations,
)
from phasetrace.store.retries import is_to_be_retried

MAX_REFUSED: Final = 1_000
"""So many refused spans are told of one by one, the latest first."""


class RefusedSpan(NamedTuple):
    """A span that a destination has refused, and that was put aside."""

    at_ns: int
    destination: str
    """The key of the destination."""
    reason: str
    exec_id: str | None
    name: str
    trace_id: str
    span_id: str


class DestinationStanding(NamedTuple):
    """What became of the spans that were to go to one destination. Times are Unix nanoseconds."""

    key: str
    name: str
    endpoint: str | None
    stored: int
    delivered: int
    elsewhere: int
    """How many of those went to another address in place of this one."""
    waiting: int
    refused: int
    dropped: dict[str, int]
    """How many went from the store undelivered, by reason."""
    lost: dict[str, int]
    """How many never came into the store, by reason."""
    oldest_waiting_ns: int | None
    """The first end of a span in the first block that waits; None if none does."""
    last_error: str | None
    """Why the last try failed; None if it did not."""
    last_error_ns: int | None
    last_success_ns: int | None
    remark: str | None
    """What the receiver has said last of spans that it took, or did not keep; None if nothing."""
    is_unserved: bool
    """Nobody has served it for a week: what waits is not kept any longer than other things."""
    is_orphaned: bool
    """The only process that could serve it is gone."""
    is_served: bool | None
    """Whether a process delivers to it, or waits to try again; None where that cannot be told."""

    @property
    def recorded(self) -> int:
        """How many spans were meant for it."""
        return self.stored + sum(self.lost.values())

    @property
    def unaccounted(self) -> int:
        """How many stored spans are in none of the other numbers; 0 if the account is right."""
        dealt_with = self.delivered + self.refused + sum(self.dropped.values())
        return self.stored - dealt_with - self.waiting


class Standing(NamedTuple):
    """Where a store stands."""

    path: Path
    bytes: int
    """What is in use of the file, as retention counts it; free pages are used again."""
    executions: int
    spans: int
    lost: dict[str, int]
    """How many spans of any kind never came into the store, by reason."""
    destinations: list[DestinationStanding]
    refused_spans: list[RefusedSpan]
    """The latest `MAX_REFUSED`, newest first."""
    refused_total: int
    """How many there are in all."""


def read_standing(connection: sqlite3.Connection, path: Path, now_ns: int) -> Standing:
    """Return where the store at `path` stands; the caller is in a transaction.

    Raises:
        sqlite3.Error: as the connection does.
        ValueError: where what is stored makes no sense.
    """
    (executions,) = _row(connection, "SELECT count(*) FROM executions")
    (spans,) = _row(connection, "SELECT coalesce(sum(spans), 0) FROM blocks")
    (refused_total,) = _row(connection, "SELECT count(*) FROM dead_letters")
    counters = dict(connection.execute("SELECT name, value FROM counters").fetchall())
    return Standing(
        path,
        _bytes_in_use(connection),
        executions,
        spans,
        _by_reason(counters, LOST),
        _destinations(connection, path, now_ns),
        _refused_spans(connection),
        refused_total,
    )


def is_held(path: Path) -> bool | None:
    """Tell whether a process has the lock on a file; None where that cannot be told.

    Nothing is created, unlike by asking for the lock as its users do.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        # Shared: two who look at once do not take each other for somebody who delivers.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(file)
    return False


def _destinations(
    connection: sqlite3.Connection, path: Path, now_ns: int
) -> list[DestinationStanding]:
    counts: dict[int, dict[str, int]] = {}
    for destination, what, value in connection.execute(
        "SELECT destination, what, value FROM destination_counts"
    ):
        counts.setdefault(destination, {})[what] = value
    known = stored_destinations(connection, now_ns)
    known_routes = routes(connection)
    standings = []
    rows = connection.execute(
        "SELECT id, key, name, endpoint, coalesce(served_ns, created_ns), error, failed_ns,"
        " succeeded_ns, remark FROM destinations ORDER BY id"
    ).fetchall()
    for row, key, name, endpoint, served_ns, error, failed_ns, succeeded_ns, remark in rows:
        mine = [route for route, destinations in known_routes.items() if row in destinations]
        waiting, oldest_ns = _waiting(connection, mine, known[row].cursor)
        counted = counts.get(row, {})
        is_unserved = now_ns - served_ns > LAPSES_AFTER_NS
        standings.append(
            DestinationStanding(
                key,
                name,
                endpoint,
                counted.get(STORED, 0),
                counted.get(DELIVERED, 0),
                counted.get(ELSEWHERE, 0),
                waiting,
                counted.get(REFUSED, 0),
                _by_reason(counted, DROPPED),
                _by_reason(counted, LOST),
                oldest_ns,
                error,
                failed_ns,
                succeeded_ns,
                remark,
                is_unserved,
                known[row].has_lapsed and not is_unserved,
                is_to_be_retried(connection, row, now_ns) or is_held(lock_path(path, key)),
            )
        )
    return standings


def _waiting(
    connection: sqlite3.Connection, mine: list[int], cursor: int
) -> tuple[int, int | None]:
    """Return how many spans wait on some routes behind a cursor, and since when the oldest does."""
    if not mine:
        return 0, None
    marks = ", ".join("?" * len(mine))
    # CROSS JOIN has SQLite take the blocks in their order, and look their stream up.
    waiting = (
        " FROM blocks b CROSS JOIN streams t ON t.id = b.stream"
        f" WHERE b.seq > ? AND t.route IN ({marks})"
    )
    (number,) = _row(connection, f"SELECT coalesce(sum(b.spans), 0) {waiting}", cursor, *mine)
    if not number:
        return 0, None
    block = _row(
        connection,
        f"SELECT b.spans, b.labels, b.columns {waiting} ORDER BY b.seq LIMIT 1",
        cursor,
        *mine,
    )
    try:
        return number, min(record.end_ns for record in records(*block))
    except DamagedBlock:  # the rest can still be told
        return number, None


def _refused_spans(connection: sqlite3.Connection) -> list[RefusedSpan]:
    return [
        RefusedSpan(
            at_ns, key, reason, exec_id, name or "", (trace_id or b"").hex(), (span_id or b"").hex()
        )
        for at_ns, key, reason, exec_id, name, trace_id, span_id in connection.execute(
            "SELECT l.at_ns, d.key, l.reason, l.exec_id, l.name, l.trace_id, l.span_id"
            " FROM dead_letters l JOIN destinations d ON d.id = l.destination"
            " ORDER BY l.id DESC LIMIT ?",
            (MAX_REFUSED,),
        )
    ]


def _bytes_in_use(connection: sqlite3.Connection) -> int:
    (pages,) = _row(connection, "PRAGMA page_count")
    (free,) = _row(connection, "PRAGMA freelist_count")
    (page_size,) = _row(connection, "PRAGMA page_size")
    return int((pages - free) * page_size)


def _by_reason(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    found = {
        what.removeprefix(prefix): number
        for what, number in counts.items()
        if what.startswith(prefix) and number
    }
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _row(connection: sqlite3.Connection, query: str, *values: object) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(query, values).fetchone()
    return row
