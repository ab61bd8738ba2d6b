"""How much the store keeps: the oldest finished executions go first, never a running one."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from phasetrace.store.process import is_alive

INTERVAL_S: Final = 5.0


class Retention(NamedTuple):
    """The most that is kept; None is no limit."""

    executions: int | None = 500
    bytes: int | None = 512 * 1024 * 1024


def apply(connection: sqlite3.Connection, limits: Retention) -> int:
    """Remove executions until the store is within its limits; return how many went."""
    removed = 0
    if limits.executions is not None:
        (count,) = connection.execute("SELECT count(*) FROM executions").fetchone()
        removed += _remove_oldest(connection, count - limits.executions)
    if limits.bytes is not None:
        while _size(connection) > limits.bytes:
            (count,) = connection.execute("SELECT count(*) FROM executions").fetchone()
            # An eighth at a time: sizes differ, and deleting one by one is slow.
            gone = _remove_oldest(connection, max(1, count // 8))
            removed += gone
            if not gone:
                break
    if removed:
        connection.execute("PRAGMA incremental_vacuum").fetchall()
    return removed


def _size(connection: sqlite3.Connection) -> int:
    """Return the bytes in use; free pages are reused, so they do not count."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_size)


def _remove_oldest(connection: sqlite3.Connection, number: int) -> int:
    if number <= 0:
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        ids = []
        for execution, ended_ns, pid, birth, host, closed_ns in connection.execute(
            "SELECT e.id, e.ended_ns, p.pid, p.birth, p.host, p.closed_ns"
            " FROM executions e JOIN processes p ON p.id = e.process ORDER BY e.started_ns"
        ):
            if ended_ns is not None or closed_ns is not None or not is_alive(pid, birth, host):
                ids.append((execution,))
            if len(ids) == number:
                break
        for statement in (
            "DELETE FROM spans WHERE execution = ?",
            "DELETE FROM open_spans WHERE execution = ?",
            "DELETE FROM aggregates WHERE part IN"
            " (SELECT id FROM aggregate_parts WHERE execution = ?)",
            "DELETE FROM aggregate_parts WHERE execution = ?",
            "DELETE FROM executions WHERE id = ?",
        ):
            connection.executemany(statement, ids)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return len(ids)
