"""How much the store keeps: the oldest finished executions go first, never a running one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from phasetrace.store.process import is_alive

INTERVAL_S: Final = 5.0
_AT_ONCE: Final = 64
"""Executions that one transaction removes: other processes have to wait for its end."""
_VACUUM_PAGES: Final = 2_048
_MAX_ORPHANS: Final = 1_000


class Retention(NamedTuple):
    """The most that is kept; None is no limit."""

    executions: int | None = 500
    bytes: int | None = 512 * 1024 * 1024


def apply(connection: sqlite3.Connection, limits: Retention) -> int:
    """Remove executions until the store is within its limits; return how many went.

    Raises:
        sqlite3.Error: what was removed before it stays removed.
    """
    removed = 0
    if limits.executions is not None:
        excess = _count(connection) - limits.executions
        while excess > removed:
            gone = _remove_oldest(connection, min(_AT_ONCE, excess - removed))
            removed += gone
            if not gone:
                break
    if limits.bytes is not None:
        while _size(connection) > limits.bytes:
            # An eighth at a time: sizes differ, and deleting one by one is slow.
            gone = _remove_oldest(connection, min(_AT_ONCE, max(1, _count(connection) // 8)))
            removed += gone
            if not gone:
                break
    if removed:
        _remove_orphans(connection)
        _shrink(connection)
    return removed


def _count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM executions").fetchone()
    return int(count)


def _size(connection: sqlite3.Connection) -> int:
    """Return the bytes in use; free pages are reused, so they do not count."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_size)


def _remove_oldest(connection: sqlite3.Connection, number: int) -> int:
    with _transaction(connection):
        ids = []
        alive: dict[int, bool] = {}
        for execution, ended_ns, process, pid, birth, host, closed_ns in connection.execute(
            "SELECT e.id, e.ended_ns, p.id, p.pid, p.birth, p.host, p.closed_ns"
            " FROM executions e JOIN processes p ON p.id = e.process ORDER BY e.started_ns, e.id"
        ):
            if ended_ns is None and process not in alive:
                alive[process] = closed_ns is None and is_alive(pid, birth, host)
            if ended_ns is not None or not alive[process]:
                ids.append((execution,))
            if len(ids) >= number:
                break
        for statement in (
            "DELETE FROM spans WHERE stream IN (SELECT id FROM streams WHERE execution = ?)",
            "DELETE FROM streams WHERE execution = ?",
            "DELETE FROM open_spans WHERE execution = ?",
            "DELETE FROM aggregates WHERE part IN"
            " (SELECT id FROM aggregate_parts WHERE execution = ?)",
            "DELETE FROM aggregate_parts WHERE execution = ?",
            "DELETE FROM executions WHERE id = ?",
        ):
            connection.executemany(statement, ids)
    return len(ids)


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
        gone = [
            (process,)
            for process, pid, birth, host, closed_ns in connection.execute(
                "SELECT id, pid, birth, host, closed_ns FROM processes WHERE id NOT IN"
                " (SELECT process FROM executions UNION SELECT process FROM aggregate_parts"
                " UNION SELECT process FROM open_spans)"
            )
            if closed_ns is not None or not is_alive(pid, birth, host)
        ]
        connection.executemany("DELETE FROM processes WHERE id = ?", gone)


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
