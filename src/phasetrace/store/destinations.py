"""Where stored spans are to be delivered, as the store knows it.

A destination has a row, with a cursor: every block up to it is dealt with. Which destinations the
spans of a stream are for is its route. Counts say what became of the spans that were: for each
destination, at any time, what was stored is what was delivered, refused or dropped, and what waits
behind the cursor. What was lost on the way to the store comes on top.

No OpenTelemetry in here: the reading commands ask, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from phasetrace.store.process import is_alive

STORED: Final = "stored"
DELIVERED: Final = "delivered"
REFUSED: Final = "refused"
ELSEWHERE: Final = "elsewhere"
"""Those of the delivered that went to another address in place of this one."""
LOST: Final = "lost: "
"""Before the reason for which spans never came into the store."""
DROPPED: Final = "dropped: "
"""Before the reason for which spans went from the store undelivered."""
NOT_SERVED: Final = DROPPED + "not served"

NOWHERE: Final = 0
"""The route of what is not to be delivered."""
NO_EXECUTION: Final = 0
"""What streams have in place of an execution, where their spans belong to none."""
LAPSES_AFTER_NS: Final = 7 * 24 * 3600 * 1_000_000_000
"""What waits for a destination that nobody has served for so long is not kept for it."""


class DestinationSpec(NamedTuple):
    """A destination, as the process that feeds it describes it.

    ``key`` tells it from all others; ``name`` and ``endpoint`` are for people. A local one can be
    served by this process only.
    """

    key: str
    name: str
    endpoint: str | None
    is_local: bool
    way: str = ""
    """A digest of the settings by which this process gets there, beside those that are in the key:
    where one way fails, another may not."""


class Registered(NamedTuple):
    """The rows of some destinations: their ids by their keys, and the route to all of them."""

    ids: dict[str, int]
    route: int


class StoredDestination(NamedTuple):
    """A destination's row: what has been dealt with, and whether anybody is going to do the rest.

    One has lapsed that was not served for a week, or whose only process is gone.
    """

    cursor: int
    has_lapsed: bool


NONE: Final = Registered({}, NOWHERE)


def register(
    connection: sqlite3.Connection, specs: Iterable[DestinationSpec], process: int, now_ns: int
) -> Registered:
    """Make the rows of some destinations, or find them; the caller is in a transaction.

    A new one gets what is stored from now on.

    Raises:
        sqlite3.Error: as the connection does.
    """
    ids = {}
    for spec in specs:
        row = (spec.key, spec.name, spec.endpoint, process if spec.is_local else None)
        connection.execute(
            "INSERT OR IGNORE INTO destinations (key, name, endpoint, process, cursor, created_ns)"
            " VALUES (?, ?, ?, ?,"
            " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'blocks'), 0), ?)",
            (*row, now_ns),
        )
        connection.execute(
            "UPDATE destinations SET name = ?, endpoint = ?, process = ? WHERE key = ?",
            (*row[1:], spec.key),
        )
        (ids[spec.key],) = connection.execute(
            "SELECT id FROM destinations WHERE key = ?", (spec.key,)
        ).fetchone()
    if not ids:
        return NONE
    route = ",".join(map(str, sorted(set(ids.values()))))
    connection.execute("INSERT OR IGNORE INTO routes (destinations) VALUES (?)", (route,))
    (row_id,) = connection.execute(
        "SELECT id FROM routes WHERE destinations = ?", (route,)
    ).fetchone()
    return Registered(ids, row_id)


def count(
    connection: sqlite3.Connection, destinations: Iterable[int], counts: Mapping[str, int]
) -> None:
    """Add to the counts of some destinations; the caller is in a transaction."""
    connection.executemany(
        "INSERT INTO destination_counts (destination, what, value) VALUES (?, ?, ?)"
        " ON CONFLICT (destination, what) DO UPDATE SET value = value + excluded.value",
        [
            (destination, what, number)
            for destination in destinations
            for what, number in counts.items()
            if number
        ],
    )


def routes(connection: sqlite3.Connection) -> dict[int, tuple[int, ...]]:
    """Return the ids of the destinations of every route.

    Raises:
        ValueError: where a route is not made of ids.
    """
    return {
        route: tuple(map(int, destinations.split(",")))
        for route, destinations in connection.execute("SELECT id, destinations FROM routes")
    }


def stored_destinations(
    connection: sqlite3.Connection, now_ns: int
) -> dict[int, StoredDestination]:
    """Return the destinations of a store by their ids."""
    found = {}
    for row, cursor, process, served_ns, pid, birth, host in connection.execute(
        "SELECT d.id, d.cursor, d.process, coalesce(d.served_ns, d.created_ns),"
        " p.pid, p.birth, p.host"
        " FROM destinations d LEFT JOIN processes p ON p.id = d.process"
    ):
        # Not by whether the process has closed the store: it may be delivering its last spans.
        is_gone = process is not None and (pid is None or not is_alive(pid, birth, host))
        found[row] = StoredDestination(cursor, is_gone or now_ns - served_ns > LAPSES_AFTER_NS)
    return found


def waiting(connection: sqlite3.Connection, destination: int) -> int:
    """Return how many spans have still to be delivered to a destination."""
    spans = 0
    for route, ids in routes(connection).items():
        if destination in ids:
            (number,) = connection.execute(
                "SELECT coalesce(sum(b.spans), 0) FROM streams t JOIN blocks b ON b.stream = t.id"
                " WHERE t.route = ?"
                " AND b.seq > (SELECT cursor FROM destinations WHERE id = ?)",
                (route, destination),
            ).fetchone()
            spans += number
    return spans


def awaited_after(
    route: Sequence[int], destinations: Mapping[int, StoredDestination]
) -> int | None:
    """Return the number behind which the blocks of a route are waited for; None: none is."""
    cursors = [
        destinations[one].cursor
        for one in route
        if one in destinations and not destinations[one].has_lapsed
    ]
    return min(cursors, default=None)
