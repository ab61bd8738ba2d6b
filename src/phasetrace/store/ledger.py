"""What is still to be delivered to a destination, and what has been: the store's side of delivery.

A destination has a cursor: every block up to it is dealt with. It moves in the transaction that
counts what became of the spans, after the exporter has answered, so that whoever comes next goes on
from there. What a receiver will not take is put aside, as the request that would carry it.

For each destination, at any time:

    recorded = stored + lost        lost: for a limit's or the disk's sake, before it was in a block
    stored = delivered + refused + dropped + waiting
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from phasetrace.errors import StoreMissing
from phasetrace.store import blocks
from phasetrace.store.destinations import DELIVERED, ELSEWHERE, REFUSED, count, routes
from phasetrace.store.file import BUSY_TIMEOUT_S, open_for_writing
from phasetrace.store.placement import Identity, identity_of
from phasetrace.store.retries import (
    Retry,
    forget_retries,
    leave_retry,
    note_retry,
    noted_retry,
)
from phasetrace.store.totals import MAX_INTEGER
from phasetrace.wire.framing import Block, frame_blocks

_AT_ONCE: Final = 64
_BLOCKS: Final = (
    # CROSS JOIN has SQLite take the blocks in their order, and look their stream up.
    "SELECT b.seq, e.exec_id, b.spans, b.labels, b.columns, b.payload, t.trace_id,"
    " r.payload, r.schema_url, s.payload, s.schema_url, t.sampled"
    " FROM blocks b CROSS JOIN streams t ON t.id = b.stream"
    " JOIN resources r ON r.id = t.resource JOIN scopes s ON s.id = t.scope"
    " LEFT JOIN executions e ON e.id = t.execution"
)


class StoredBlock(NamedTuple):
    """A block that is to be delivered."""

    seq: int
    exec_id: str | None
    spans: int
    labels: str
    columns: bytes
    payload: bytes
    trace_id: bytes
    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str
    sampled: int
    """Its spans' trace flag."""

    def cut(self, start: int, stop: int) -> Block:
        """Return the part of it from one span to another, to be framed."""
        records = self.payload
        if (start, stop) != (0, self.spans):
            records = blocks.select(self.spans, self.columns, self.payload, start, stop)
        return Block(
            self.resource, self.resource_schema_url, self.scope, self.scope_schema_url, records
        )


class DeadLetter(NamedTuple):
    """A span that a receiver will not take, and why."""

    reason: str
    exec_id: str | None
    trace_id: bytes
    span_id: bytes
    name: str
    request: bytes


class Settlement(NamedTuple):
    """What has become of the spans up to a block."""

    cursor: int
    delivered: int = 0
    rejected: int = 0
    """Refused by the receiver without a word on which of them."""
    dead_letters: Sequence[DeadLetter] = ()
    remark: str | None = None
    """What the receiver said of a request that it took."""
    elsewhere: bool = False
    """They were delivered to another address, in place of this destination's."""
    after: int | None = None
    """The cursor behind which they waited; None is what the ledger knows."""


class Incarnation(NamedTuple):
    """What tells the books of a destination from those in a file that came in its place.

    The time is there because a file system gives a number again as soon as its file is gone.
    """

    file: Identity
    created_ns: int


class Ledger:
    """One destination's books, in one open store. Not thread-safe.

    Every method raises `sqlite3.Error` where the store cannot be used just then.
    """

    def __init__(self, path: Path, key: str, timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Open the store, which must exist.

        Raises:
            StoreMissing: if it does not.
            StoreError: if it cannot be opened.
            LookupError: if it knows no such destination.
        """
        if not path.exists():  # opening would make one
            raise StoreMissing(f"there is no store at {path}")
        self._path = path
        self._connection, self._identity = open_for_writing(path, timeout_s)
        try:
            row = self._connection.execute(
                "SELECT id, cursor, created_ns FROM destinations WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                raise LookupError(key)
        except BaseException:
            self._connection.close()
            raise
        self.destination = int(row[0])
        self.cursor = int(row[1])
        self.incarnation = Incarnation(self._identity, int(row[2]))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @property
    def is_current(self) -> bool:
        """Whether the file is still the one at its path."""
        return identity_of(self._path) == self._identity

    def waiting_blocks(self, after: int, at_most: int, at_most_bytes: int) -> list[StoredBlock]:
        """Return the next blocks after one; at least one if there are any, and no more than that.

        `at_most` counts spans.
        """
        found: list[StoredBlock] = []
        spans = size = 0
        for block in self._blocks(after):
            spans += block.spans
            size += len(block.payload)
            if found and (spans > at_most or size > at_most_bytes):
                break
            found.append(block)
            if spans >= at_most or size >= at_most_bytes:
                break
        return found

    def waiting_spans(self, after: int, at_most: int, until: int | None = None) -> int:
        """Return how many spans wait after a block; counted up to `at_most` or a little more.

        Those after the block `until` do not count.
        """
        mine = self._routes()
        if not mine:
            return 0
        marks = ", ".join("?" * len(mine))
        spans = 0
        for (number,) in self._connection.execute(
            "SELECT b.spans FROM blocks b CROSS JOIN streams t ON t.id = b.stream"  # noqa: S608
            f" WHERE b.seq > ? AND b.seq <= ? AND t.route IN ({marks}) ORDER BY b.seq",
            (after, MAX_INTEGER if until is None else until, *mine),
        ):
            spans += number
            if spans >= at_most:
                break
        return spans

    def latest(self) -> int:
        """Return the number of the last block, 0 if there is none."""
        (seq,) = self._connection.execute("SELECT coalesce(max(seq), 0) FROM blocks").fetchone()
        return int(seq)

    def reread(self) -> int:
        """Return the cursor as it is by now: another process may have moved it."""
        row = self._connection.execute(
            "SELECT cursor FROM destinations WHERE id = ?", (self.destination,)
        ).fetchone()
        self.cursor = max(self.cursor, int(row[0])) if row is not None else self.cursor
        return self.cursor

    def recording(self) -> list[tuple[int, str, str]]:
        """Return the pid, birth and host of the processes that have not said that they ended."""
        return self._connection.execute(
            "SELECT pid, birth, host FROM processes WHERE closed_ns IS NULL"
        ).fetchall()

    def has_delivered(self) -> bool:
        """Tell whether the last thing that happened here was a success."""
        row = self._connection.execute(
            "SELECT coalesce(succeeded_ns, 0) > coalesce(failed_ns, 0)"
            " FROM destinations WHERE id = ?",
            (self.destination,),
        ).fetchone()
        return row is not None and bool(row[0])

    def problem(self) -> str | None:
        """Return why the last try failed; None if it did not."""
        row = self._connection.execute(
            "SELECT error FROM destinations WHERE id = ?", (self.destination,)
        ).fetchone()
        return str(row[0]) if row is not None and row[0] is not None else None

    def serve(self, now_ns: int) -> None:
        """Note that somebody is there to deliver."""
        with self._transaction():
            self._connection.execute(
                "UPDATE destinations SET served_ns = ? WHERE id = ?", (now_ns, self.destination)
            )

    def settle(self, settlement: Settlement, now_ns: int) -> bool:
        """Note what has become of the spans up to a block; return whether that was done.

        It is not where the cursor has moved meanwhile. Then somebody else has delivered them as
        well, and counted them, which only those do who have no lock in common.
        """
        letters = settlement.dead_letters
        after = self.cursor if settlement.after is None else settlement.after
        with self._transaction():
            moved = self._connection.execute(
                "UPDATE destinations SET cursor = max(cursor, ?), served_ns = ?"
                " WHERE id = ? AND cursor = ?",
                (settlement.cursor, now_ns, self.destination, after),
            )
            if not moved.rowcount:
                self.reread()
                return False
            if settlement.delivered:
                # A success elsewhere says nothing of this address.
                succeeded_ns = None if settlement.elsewhere else now_ns
                self._connection.execute(
                    "UPDATE destinations SET succeeded_ns = coalesce(?, succeeded_ns), error = NULL"
                    " WHERE id = ?",
                    (succeeded_ns, self.destination),
                )
                if not settlement.elsewhere:
                    forget_retries(self._connection, self.destination)
            if settlement.remark is not None:
                self._connection.execute(
                    "UPDATE destinations SET remark = ? WHERE id = ?",
                    (settlement.remark, self.destination),
                )
            counts = {
                DELIVERED: settlement.delivered,
                REFUSED: settlement.rejected + len(letters),
                ELSEWHERE: settlement.delivered if settlement.elsewhere else 0,
            }
            count(self._connection, [self.destination], counts)
            self._connection.executemany(
                "INSERT INTO dead_letters"
                " (destination, at_ns, reason, exec_id, trace_id, span_id, name, request)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(self.destination, now_ns, *letter) for letter in letters],
            )
        self.cursor = max(self.cursor, settlement.cursor)
        return True

    def failed(self, reason: str, now_ns: int, way: str = "", retry: Retry | None = None) -> None:
        """Note why delivery has to wait, and when it is tried again by the same way."""
        with self._transaction():
            self._connection.execute(
                "UPDATE destinations SET error = ?, failed_ns = ?, served_ns = ? WHERE id = ?",
                (reason, now_ns, now_ns, self.destination),
            )
            if retry is not None:
                note_retry(self._connection, self.destination, way, retry)

    def retry(self, way: str) -> Retry | None:
        """Return when to try again by a way; None if the last try did not fail."""
        return noted_retry(self._connection, self.destination, way)

    def leave(self, way: str) -> None:
        """Note that this process, which may have failed, does not try again."""
        with self._transaction():
            leave_retry(self._connection, self.destination, way)

    def want(self, block: int) -> None:
        """Ask whoever delivers to send everything up to a block, without waiting for more."""
        with self._transaction():
            self._connection.execute(
                "UPDATE destinations SET wanted = ? WHERE id = ? AND wanted < ?",
                (block, self.destination, block),
            )

    def wanted(self) -> int:
        """Return the block up to which somebody waits for everything to be sent."""
        row = self._connection.execute(
            "SELECT wanted FROM destinations WHERE id = ?", (self.destination,)
        ).fetchone()
        return int(row[0]) if row is not None else 0

    def _blocks(self, after: int) -> Iterator[StoredBlock]:
        mine = self._routes()
        if not mine:
            return
        marks = ", ".join("?" * len(mine))
        while True:
            # One by one: the caller may have enough after the first, and a block may be large.
            number = 0
            for row in self._connection.execute(
                f"{_BLOCKS} WHERE b.seq > ? AND t.route IN ({marks})"
                f" ORDER BY b.seq LIMIT {_AT_ONCE}",
                (after, *mine),
            ):
                number += 1
                after = row[0]
                yield StoredBlock(*row)
            if number < _AT_ONCE:
                return

    def _routes(self) -> list[int]:
        known = routes(self._connection)
        return [route for route, destinations in known.items() if self.destination in destinations]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def blocks_of_execution(connection: sqlite3.Connection, execution: int) -> list[StoredBlock]:
    """Return all blocks of an execution, whether they were to be delivered or not.

    `execution` is its row.

    Raises:
        sqlite3.Error: as the connection does.
    """
    rows = connection.execute(
        _BLOCKS + " WHERE b.stream IN (SELECT id FROM streams WHERE execution = ?) ORDER BY b.seq",  # noqa: S608 - constants
        (execution,),
    )
    return [StoredBlock(*row) for row in rows]


def dead_letter(block: StoredBlock, index: int, reason: str) -> DeadLetter:
    """Return what is kept of a span that a receiver will not take; of a damaged one, little."""
    letter = DeadLetter(reason, block.exec_id, block.trace_id, b"", "", b"")
    with suppress(blocks.DamagedBlock):
        record = next(islice(blocks.records(block.spans, block.labels, block.columns), index, None))
        letter = letter._replace(span_id=record.span_id.to_bytes(8, "big"), name=record.name)
        letter = letter._replace(request=frame_blocks([block.cut(index, index + 1)]))
    return letter


def frame(parts: Iterable[tuple[StoredBlock, int, int]]) -> bytes:
    """Return the request that carries parts of blocks: each from one span to another."""
    return frame_blocks(block.cut(start, stop) for block, start, stop in parts)
