"""One process's stay in the store: opening it, writing to it, and what to do when that fails."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from phasetrace import faults
from phasetrace.clock import NowNs
from phasetrace.errors import StoreError
from phasetrace.store import destinations, retention
from phasetrace.store.batch import SpanGroup
from phasetrace.store.destinations import DestinationSpec, Registered
from phasetrace.store.entry import Entry, FirstSpan
from phasetrace.store.file import (
    BusyStore,
    DamagedStore,
    FullStore,
    as_store_error,
    is_busy,
    is_damage,
    open_for_writing,
)
from phasetrace.store.placement import Identity, identity_of, set_aside
from phasetrace.store.process import birth_of, host_name
from phasetrace.store.rows import RowWriter
from phasetrace.tally import ExecutionTotals

_MAX_DAMAGE: Final = 3
_PATIENCE_S: Final = 1.0
_SLICE_S: Final = 0.02
"""How long SQLite waits for other processes before we look whether a fork has come up."""
_SET_ASIDE_TIMEOUT_S: Final = 1.0


class Outcome(Enum):
    """What became of a batch."""

    WRITTEN = "written"
    LATER = "later"
    """Nothing of it was written; another try may do."""
    REFUSED = "refused"
    """Nothing of it was written: something in it cannot be."""
    NEVER = "never"
    """The store cannot be used in this process."""


class StoreSession:
    """Writes to the store for this process. Not thread-safe: the caller holds a lock.

    Opens the file when there is something to write, and again when it has been moved or removed.
    Every kind of failure is said once, in one line; nothing raises.
    """

    def __init__(
        self,
        path: Path,
        limits: retention.Retention,
        rooted_elsewhere: Callable[[str], None],
        now_ns: NowNs,
    ) -> None:
        self.path = path
        self._limits = limits
        self._rooted_elsewhere = rooted_elsewhere
        self._now_ns = now_ns
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._process = 0
        self._patience_ms = -1  # how long the connection waits for another process's lock
        self._damage_seen = 0
        self._retained_at: float | None = None
        self._registered_specs: Sequence[DestinationSpec] | None = None
        self.registered: Registered = destinations.NONE
        """The destinations in the file that was opened last."""
        self.destinations: Sequence[DestinationSpec] = ()
        """Where to deliver what is written from now on, if it is to be delivered."""
        self.is_full = False
        """The store is beyond its limit, and nothing in it can be removed."""
        self._said_full = False
        self.broken = False
        """The store cannot be used in this process."""
        self.complained = False
        """A failure has been said."""
        self.file_changes = 0
        """How often a new file was begun, with nothing in it of what was written before."""

    def write(
        self,
        groups: Sequence[SpanGroup],
        totals: Iterable[ExecutionTotals],
        opened: Iterable[Entry],
        closed: Iterable[int],
        lost: Mapping[str, int],
        routed_lost: Mapping[str, int],
        timeout_s: float,
        in_a_hurry: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Write a batch in one transaction, or nothing of it.

        While another process keeps the file locked, `in_a_hurry` tells whether to give up early.
        """
        try:
            deadline = time.monotonic() + timeout_s
            connection = self._connected(timeout_s)
            if connection is None:
                return Outcome.NEVER
            while True:
                left_s = deadline - time.monotonic()
                self._wait_for_lock(connection, min(left_s, _SLICE_S))
                try:
                    self._register_destinations(connection)
                    writer = RowWriter(connection, self._process, self.registered)
                    elsewhere = writer.write(groups, totals, opened, closed, lost, routed_lost)
                    break
                except sqlite3.OperationalError as error:
                    if not is_busy(error) or left_s <= _SLICE_S or in_a_hurry():
                        raise
        except BusyStore:
            return Outcome.LATER
        except FullStore as error:
            return self._later(str(error))
        except sqlite3.Error as error:
            return self._failed(error)
        except Exception as error:
            faults.report("turning spans into rows", error)
            return Outcome.REFUSED
        for exec_id in elsewhere:
            self._rooted_elsewhere(exec_id)
        return Outcome.WRITTEN

    def is_open(self, timeout_s: float) -> bool:
        """Open the file, if it is not open; return whether it is."""
        try:
            return self._connected(timeout_s) is not None
        except StoreError:
            return False

    def claim(self, spans: Sequence[FirstSpan], timeout_s: float) -> bool:
        """Make this process the owner of the spans' executions; return whether that is done.

        A failure is left for the writing to tell.
        """
        try:
            connection = self._connected(timeout_s)
            if connection is None:
                return False
            self._wait_for_lock(connection, timeout_s)
            elsewhere = RowWriter(connection, self._process).claim(spans)
        except (StoreError, sqlite3.Error):
            return False
        for exec_id in elsewhere:
            self._rooted_elsewhere(exec_id)
        return True

    def retain(self) -> None:
        """Remove the oldest executions beyond the limits, at most every few seconds."""
        now = time.monotonic()
        due = self._retained_at is None or now - self._retained_at >= retention.INTERVAL_S
        if self._connection is None or not due:
            return
        self._retained_at = now
        try:
            self._wait_for_lock(self._connection, _PATIENCE_S)
            retention.apply(self._connection, self._limits, self._now_ns())
            self.is_full = retention.is_exceeded(self._connection, self._limits)
        except sqlite3.Error as error:
            self._failed(error)
            return
        if self.is_full and not self._said_full:
            self._said_full = True
            faults.logger.warning(
                "phasetrace: the store %s is full (PHASETRACE_RETENTION), and all that is in it is"
                " running or waits for delivery; spans are only counted until there is room",
                self.path,
            )

    def disconnect(self) -> None:
        """Let go of the file until there is something to write again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                faults.report("closing the store", error)

    def close(self) -> None:
        """Note that this process writes no more, and let go of the file."""
        try:
            if self._connection is not None:
                self._wait_for_lock(self._connection, _PATIENCE_S)
                self._connection.execute(
                    "UPDATE processes SET closed_ns = ? WHERE id = ?",
                    (self._now_ns(), self._process),
                )
        except sqlite3.Error as error:
            if not self.complained:
                faults.report("closing the store", error)
        self.disconnect()

    def abandon(self) -> sqlite3.Connection | None:
        """Return the connection without closing it; the caller keeps it from being collected."""
        return self._connection

    def _connected(self, timeout_s: float) -> sqlite3.Connection | None:
        if self.broken:
            return None
        if self._connection is not None and identity_of(self.path) != self._identity:
            self.disconnect()  # somebody removed it, or set it aside
        if self._connection is None:
            try:
                try:
                    self._connect(timeout_s)
                except DamagedStore as error:
                    self._set_aside(str(error), error.identity)
                    if not self.broken:
                        self._connect(timeout_s)
            except (BusyStore, FullStore):
                raise
            except (StoreError, OSError) as error:
                self._give_up(error)
        return self._connection

    def _connect(self, timeout_s: float) -> None:
        connection, identity = open_for_writing(self.path, timeout_s)
        try:
            # A file system gives a number again: a new file may have that of the one before it.
            if identity != self._identity or not _is_registered(connection, self._process):
                self._process = _register(connection, self._now_ns())
                self._registered_specs, self.registered = None, destinations.NONE
                self.is_full = False
                self.file_changes += 1
        except sqlite3.Error as error:
            connection.close()
            raise as_store_error(error, self.path, identity) from error
        self._connection, self._identity = connection, identity
        self._patience_ms = -1

    def _wait_for_lock(self, connection: sqlite3.Connection, seconds: float) -> None:
        # PERF: asked only if it changes. Whoever calls SQLite lets the interpreter go, and gets it
        # back after 5 ms where other threads have work to do.
        milliseconds = max(0, int(seconds * 1000))
        if milliseconds != self._patience_ms:
            connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self._patience_ms = milliseconds

    def _register_destinations(self, connection: sqlite3.Connection) -> None:
        specs = self.destinations
        if specs is self._registered_specs:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            registered = destinations.register(connection, specs, self._process, self._now_ns())
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._registered_specs, self.registered = specs, registered

    def _failed(self, error: sqlite3.Error) -> Outcome:
        if is_busy(error):
            return Outcome.LATER
        if is_damage(error):
            self.disconnect()
            if self._identity is not None:
                found = as_store_error(error, self.path, self._identity)
                if isinstance(found, DamagedStore):
                    self._set_aside(str(found), found.identity)
                else:
                    self._give_up(found)
            return Outcome.NEVER if self.broken else Outcome.LATER
        if not isinstance(error, sqlite3.OperationalError):  # not the file, but what is written
            faults.report("turning spans into rows", error)
            return Outcome.REFUSED
        return self._later(f"cannot write the store {self.path}: {error}")

    def _later(self, reason: str) -> Outcome:
        if not self.complained:
            self.complained = True
            faults.logger.warning("phasetrace: %s; trying again", reason)
        return Outcome.LATER

    def _set_aside(self, reason: str, identity: Identity) -> None:
        self._damage_seen += 1
        if self._damage_seen > _MAX_DAMAGE:  # it is not the file, then
            self._give_up(StoreError(f"{reason}, again"))
            return
        try:
            aside = set_aside(self.path, identity, _SET_ASIDE_TIMEOUT_S)
        except OSError as error:
            self._give_up(StoreError(f"{reason} and cannot be set aside: {error.strerror}"))
            return
        if aside is not None:  # else another process has done it, and said so
            faults.logger.warning(
                "phasetrace: %s; set aside as %s, starting a new one", reason, aside
            )

    def _give_up(self, error: Exception) -> None:
        self.broken = self.complained = True
        self.disconnect()
        faults.logger.warning("phasetrace: %s; this run is not stored", error)


def _is_registered(connection: sqlite3.Connection, process: int) -> bool:
    """Tell whether a row is the one of this process."""
    row = connection.execute(
        "SELECT pid, birth, host FROM processes WHERE id = ?", (process,)
    ).fetchone()
    pid = os.getpid()
    return row is not None and row == (pid, birth_of(pid), host_name())


def _register(connection: sqlite3.Connection, now_ns: int) -> int:
    """Make the row of this process, which everything it writes refers to.

    One that this process has closed before (another configuration followed) is opened again.
    """
    pid, host = os.getpid(), host_name()
    birth = birth_of(pid)
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute(
            "SELECT id FROM processes WHERE pid = ? AND birth = ? AND host = ? AND birth <> ''"
            " AND closed_ns IS NOT NULL ORDER BY id DESC LIMIT 1",
            (pid, birth, host),
        ).fetchone()
        if found is not None:
            process = found[0]
            connection.execute("UPDATE processes SET closed_ns = NULL WHERE id = ?", (process,))
        else:
            process = connection.execute(
                "INSERT INTO processes (pid, birth, host, started_ns, parent)"
                " VALUES (?, ?, ?, ?, ?)",
                (pid, birth, host, now_ns, os.getppid()),
            ).lastrowid
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return int(process)
