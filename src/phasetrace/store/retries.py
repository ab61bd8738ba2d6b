"""When a destination that has failed is to be tried again: one pace for all who deliver to it.

There is a row for each *way* to it: the settings, but for its key, by which a process gets there (a
certificate, a proxy; `phasetrace.store.destinations.DestinationSpec`). Those who go the same way
keep to what the last of them has noted. Another way may work, and has a row of its own. A success
makes all of them void.

No OpenTelemetry in here: the reading commands ask, too.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Final, NamedTuple

from phasetrace.store.process import birth_of, host_name, is_alive

_SECOND_NS: Final = 1_000_000_000
_OVERDUE_NS: Final = 60 * _SECOND_NS
"""One who waits for a try tries long before; who did not is gone, or has nothing to do."""
_STALE_NS: Final = 3600 * _SECOND_NS
HURRIED_NS: Final = _SECOND_NS // 2
"""However many are in a hurry, a receiver that fails is tried no more often than this."""
MOST_NS: Final = 300 * _SECOND_NS
"""Nobody waits for longer, whatever is noted."""


class Retry(NamedTuple):
    """What was noted when a try failed. Times are Unix nanoseconds."""

    failures: int
    """How many have failed in a row."""
    failed_ns: int
    retry_ns: int
    """Not before, unless somebody is in a hurry."""
    asked_ns: int = 0
    """Not before in any case: the receiver has asked for it."""

    def rest_ns(self, now_ns: int, is_hurried: bool) -> int:
        """Return for how long to wait still; 0 for not at all."""
        if now_ns < self.failed_ns:  # the clock was set back: nobody knows
            return 0
        until_ns = self.retry_ns
        if is_hurried:
            until_ns = min(until_ns, self.failed_ns + HURRIED_NS)
        return min(max(0, max(until_ns, self.asked_ns) - now_ns), MOST_NS)


def noted_retry(connection: sqlite3.Connection, destination: int, way: str) -> Retry | None:
    """Return what was noted last for a way; None if it has not failed since the last success."""
    row = connection.execute(
        "SELECT failures, failed_ns, retry_ns, asked_ns FROM retries"
        " WHERE destination = ? AND way = ?",
        (destination, way),
    ).fetchone()
    return Retry(*row) if row is not None else None


def note_retry(connection: sqlite3.Connection, destination: int, way: str, retry: Retry) -> None:
    """Note that this process has failed; the caller is in a transaction."""
    connection.execute(
        "DELETE FROM retries WHERE destination = ? AND failed_ns < ?",
        (destination, retry.failed_ns - _STALE_NS),
    )
    pid = os.getpid()
    connection.execute(
        "INSERT OR REPLACE INTO retries"
        " (destination, way, failures, failed_ns, retry_ns, asked_ns, pid, birth, host)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (destination, way, *retry, pid, birth_of(pid), host_name()),
    )


def leave_retry(connection: sqlite3.Connection, destination: int, way: str) -> None:
    """Note that this process is not going to try again; the caller is in a transaction."""
    pid = os.getpid()
    connection.execute(
        "UPDATE retries SET pid = NULL"
        " WHERE destination = ? AND way = ? AND pid = ? AND birth = ? AND host = ?",
        (destination, way, pid, birth_of(pid), host_name()),
    )


def forget_retries(connection: sqlite3.Connection, destination: int) -> None:
    """Note that the receiver takes spans; the caller is in a transaction."""
    connection.execute("DELETE FROM retries WHERE destination = ?", (destination,))


def is_to_be_retried(connection: sqlite3.Connection, destination: int, now_ns: int) -> bool:
    """Tell whether a process that has failed is there still, to try again."""
    rows = connection.execute(
        "SELECT pid, birth, host FROM retries"
        " WHERE destination = ? AND pid IS NOT NULL AND max(retry_ns, asked_ns) > ?",
        (destination, now_ns - _OVERDUE_NS),
    ).fetchall()
    return any(is_alive(*row) for row in rows)
