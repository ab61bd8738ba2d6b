"""How much the store keeps: the oldest finished executions go first, never a running one.

Nor one of which something waits for a destination that is still being served: when such executions
alone are more than the limit, the writer has to do without room (`is_exceeded`). What waits only
for destinations that have lapsed goes like everything else, and is counted there.

What receivers have refused is kept for people to look at, the latest of it. It has been counted
when it was refused, so that the account stays right without it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from phasetrace import clock
from phasetrace.store.destinations import (
    NO_EXECUTION,
    NOT_SERVED,
    StoredDestination,
    awaited_after,
    count,
    routes,
    stored_destinations,
)
from phasetrace.store.process import is_alive
from phasetrace.store.totals import MAX_INTEGER

INTERVAL_S: Final = 5.0
_AT_ONCE: Final = 64
"""Executions that one transaction removes: other processes have to wait for its end."""
_VACUUM_PAGES: Final = 2_048
_MAX_ORPHANS: Final = 1_000
_MAX_WITHOUT_SPANS: Final = 1_000
_MAX_DEAD_LETTERS: Final = 1_000
"""As many as are told of, `standing.MAX_REFUSED`."""
_DEAD_LETTERS_SHARE: Final = 8
"""They may take one part in so many of the bytes."""


class Retention(NamedTuple):
    """The most that is kept; None is no limit."""

    executions: int | None = 500
    bytes: int | None = 512 * 1024 * 1024


def apply(connection: sqlite3.Connection, limits: Retention, now_ns: int | None = None) -> int:
    """Remove executions until the store is within its limits; return how many went.

    And what belonged to no execution, once it has been delivered. Of refused spans the latest
    thousand are kept, whatever the limits are, in no more than an eighth of the bytes.

    Raises:
        sqlite3.Error: what was removed before it stays removed.
    """
    now_ns = clock.now_ns() if now_ns is None else now_ns
    removed = 0
    freed = _remove_dealt_with(connection, now_ns)
    freed |= _remove_dead_letters(connection, limits.bytes)
    if limits.executions is not None:
        excess = _count(connection) - limits.executions
        while excess > removed:
            gone = _remove_oldest(connection, min(_AT_ONCE, excess - removed), now_ns)
            removed += gone
            if not gone:
                break
    if limits.bytes is not None:
        while _size(connection) > limits.bytes:
            # An eighth at a time: sizes differ, and deleting one by one is slow. Executions without
            # a span, for which there was no room, take little; they are kept for their totals.
            there = _count(connection)
            number = min(_AT_ONCE, max(1, there // 8))
            gone = _remove_oldest(connection, number, now_ns, there <= _MAX_WITHOUT_SPANS)
            removed += gone
            if not gone:
                break
    if removed:
        _remove_orphans(connection)
    if removed or freed:
        _shrink(connection)
    return removed


def is_exceeded(connection: sqlite3.Connection, limits: Retention) -> bool:
    """Tell whether the store is larger than it may be, after `apply` has done what it can."""
    return limits.bytes is not None and _size(connection) > limits.bytes


def _count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM executions").fetchone()
    return int(count)


def _size(connection: sqlite3.Connection) -> int:
    """Return the bytes in use; free pages are reused, so they do not count."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_size)


def _remove_oldest(
    connection: sqlite3.Connection, number: int, now_ns: int, with_spans: bool = False
) -> int:
    """Remove finished executions, of those `with_spans` only; return how many there were."""
    with _transaction(connection):
        known = stored_destinations(connection, now_ns)
        undelivered = _undelivered(connection, known)
        ids = []
        alive: dict[int, bool] = {}
        for execution, ended_ns, process, pid, birth, host, closed_ns in connection.execute(
            "SELECT e.id, e.ended_ns, p.id, p.pid, p.birth, p.host, p.closed_ns"
            " FROM executions e JOIN processes p ON p.id = e.process"
            " WHERE NOT ? OR EXISTS (SELECT 1 FROM streams t WHERE t.execution = e.id)"
            " ORDER BY e.started_ns, e.id",
            (with_spans,),
        ):
            if execution in undelivered:
                continue
            if ended_ns is None and process not in alive:
                alive[process] = closed_ns is None and is_alive(pid, birth, host)
            if ended_ns is not None or not alive[process]:
                ids.append((execution,))
            if len(ids) >= number:
                break
        _count_dropped(connection, [execution for (execution,) in ids], known)
        for statement in (
            "DELETE FROM blocks WHERE stream IN (SELECT id FROM streams WHERE execution = ?)",
            "DELETE FROM streams WHERE execution = ?",
            "DELETE FROM open_spans WHERE execution = ?",
            "DELETE FROM aggregates WHERE part IN"
            " (SELECT id FROM aggregate_parts WHERE execution = ?)",
            "DELETE FROM aggregate_parts WHERE execution = ?",
            "DELETE FROM executions WHERE id = ?",
        ):
            connection.executemany(statement, ids)
    return len(ids)


def _undelivered(
    connection: sqlite3.Connection, known: Mapping[int, StoredDestination]
) -> set[int]:
    """Return the executions of which something waits for a destination that has not lapsed."""
    undelivered: set[int] = set()
    for route, ids in routes(connection).items():
        cursor = awaited_after(ids, known)
        if cursor is not None:
            undelivered.update(
                execution
                for (execution,) in connection.execute(
                    "SELECT t.execution FROM streams t WHERE t.route = ?"
                    " AND (SELECT max(seq) FROM blocks WHERE stream = t.id) > ?",
                    (route, cursor),
                )
            )
    return undelivered


def _count_dropped(
    connection: sqlite3.Connection,
    executions: Iterable[int],
    known: Mapping[int, StoredDestination],
    up_to: Mapping[int, int] | None = None,
) -> None:
    """Count what goes though a destination does not have it, because nobody serves that.

    With `up_to`, only blocks up to the number that is given for their route.
    """
    lapsed = [
        (route, one, known[one].cursor, MAX_INTEGER if up_to is None else up_to[route])
        for route, ids in routes(connection).items()
        for one in ids
        if one in known and known[one].has_lapsed
    ]
    for execution in executions if lapsed else ():
        for route, destination, after, last in lapsed:
            (spans,) = connection.execute(
                "SELECT coalesce(sum(b.spans), 0) FROM streams t JOIN blocks b ON b.stream = t.id"
                " WHERE t.execution = ? AND t.route = ? AND b.seq > ? AND b.seq <= ?",
                (execution, route, after, last),
            ).fetchone()
            count(connection, [destination], {NOT_SERVED: spans})


def _remove_dealt_with(connection: sqlite3.Connection, now_ns: int) -> bool:
    """Remove what belonged to no execution and is waited for by nobody; tell if there was any."""
    (stored,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM streams WHERE execution = ?)", (NO_EXECUTION,)
    ).fetchone()
    if not stored:
        return False
    with _transaction(connection):
        known = stored_destinations(connection, now_ns)
        up_to = {}
        for route, ids in routes(connection).items():
            cursor = awaited_after(ids, known)
            up_to[route] = MAX_INTEGER if cursor is None else cursor
        _count_dropped(connection, [NO_EXECUTION], known, up_to)
        gone = 0
        for route, last in up_to.items():
            gone += connection.execute(
                "DELETE FROM blocks WHERE seq <= ? AND stream IN"
                " (SELECT id FROM streams WHERE execution = ? AND route = ?)",
                (last, NO_EXECUTION, route),
            ).rowcount
        connection.execute(
            "DELETE FROM streams WHERE execution = ?"
            " AND NOT EXISTS (SELECT 1 FROM blocks WHERE stream = streams.id)",
            (NO_EXECUTION,),
        )
    return gone > 0


def _remove_dead_letters(connection: sqlite3.Connection, most_bytes: int | None) -> bool:
    """Remove the oldest refused spans that are too many or too large; tell if there were any."""
    room = MAX_INTEGER if most_bytes is None else most_bytes // _DEAD_LETTERS_SHARE
    last = None
    for number, (row, size) in enumerate(
        connection.execute(
            "SELECT id, length(request) + length(reason) + coalesce(length(name), 0)"
            " FROM dead_letters ORDER BY id DESC LIMIT ?",
            (_MAX_DEAD_LETTERS + 1,),
        )
    ):
        room -= size
        if number == _MAX_DEAD_LETTERS or room < 0:
            last = row
            break
    if last is None:
        return False
    gone = _MAX_DEAD_LETTERS
    while gone == _MAX_DEAD_LETTERS:  # so many a transaction
        gone = connection.execute(
            "DELETE FROM dead_letters WHERE id IN"
            " (SELECT id FROM dead_letters WHERE id <= ? ORDER BY id LIMIT ?)",
            (last, _MAX_DEAD_LETTERS),
        ).rowcount
    return True


def _remove_orphans(connection: sqlite3.Connection) -> None:
    """Remove what only removed executions referred to, once that has become much.

    Every process has a row, and a resource of its own (``service.instance.id``).
    """
    (resources,) = connection.execute("SELECT count(*) FROM resources").fetchone()
    (processes,) = connection.execute("SELECT count(*) FROM processes").fetchone()
    if max(resources, processes) < 2 * _count(connection) + _MAX_ORPHANS:
        return
    with _transaction(connection):
        for table in ("resources", "scopes"):
            column = table.removesuffix("s")
            connection.execute(
                f"DELETE FROM {table} WHERE id NOT IN (SELECT {column} FROM streams)"  # noqa: S608 - one of two literals
            )
        _remove_unused_destinations(connection)
        gone = [
            (process,)
            for process, pid, birth, host, closed_ns in connection.execute(
                "SELECT id, pid, birth, host, closed_ns FROM processes WHERE id NOT IN"
                " (SELECT process FROM executions UNION SELECT process FROM aggregate_parts"
                " UNION SELECT process FROM open_spans UNION SELECT process FROM streams"
                " UNION SELECT process FROM destinations WHERE process IS NOT NULL)"
            )
            if closed_ns is not None or not is_alive(pid, birth, host)
        ]
        connection.executemany("DELETE FROM processes WHERE id = ?", gone)


def _remove_unused_destinations(connection: sqlite3.Connection) -> None:
    """Remove destinations whose only process is gone, and which nothing in the store is for."""
    known = routes(connection)
    used = {route for (route,) in connection.execute("SELECT DISTINCT route FROM streams")}
    in_use = {one for route in used for one in known.get(route, ())}
    in_use.update(
        one for (one,) in connection.execute("SELECT DISTINCT destination FROM dead_letters")
    )
    unused = {
        destination
        for destination, pid, birth, host in connection.execute(
            "SELECT d.id, p.pid, p.birth, p.host FROM destinations d"
            " JOIN processes p ON p.id = d.process"
        )
        if destination not in in_use and not is_alive(pid, birth, host)
    }
    for table, column in (("destination_counts", "destination"), ("destinations", "id")):
        connection.executemany(
            f"DELETE FROM {table} WHERE {column} = ?",  # noqa: S608 - one of two literals
            [(one,) for one in unused],
        )
    connection.executemany(
        "DELETE FROM routes WHERE id = ?",
        [(route,) for route, ids in known.items() if not unused.isdisjoint(ids)],
    )


def _shrink(connection: sqlite3.Connection) -> None:
    """Give free pages back to the file system, some at a time."""
    before = None
    while before != (free := connection.execute("PRAGMA freelist_count").fetchone()) and free[0]:
        before = free
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
