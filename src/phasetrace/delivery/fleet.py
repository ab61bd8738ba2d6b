"""All destinations that one configuration of this process delivers to."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from phasetrace.clock import now_ns
from phasetrace.errors import StoreError, StoreMissing
from phasetrace.store.destinations import DestinationSpec
from phasetrace.store.forks import watch
from phasetrace.store.ledger import Ledger
from phasetrace.store.totals import MAX_INTEGER

_SLICE_S: Final = 0.05
_LAST_CALL_S: Final = 0.1
"""What a call of an exporter gets to come back, for what it delivered not to be sent again."""
_STORE_TIMEOUT_S: Final = 0.5
_POLL_S: Final = 0.02


class Delivery(NamedTuple):
    """How far delivery to one destination has got."""

    spec: DestinationSpec
    is_delivered: bool
    """Whether anything was delivered by this process, or nothing is left to be."""
    waiting: int
    """Spans that wait in the store, of all programs."""
    problem: str | None = None
    """Why the last try failed; None if it did not."""
    is_elsewhere: bool = False
    """Another process delivers, and goes on when this one ends."""
    refused: int = 0
    """Spans that this process could not deliver and never will."""


class Courier(Protocol):
    """Whoever sees to it that one destination gets what waits for it."""

    spec: DestinationSpec
    kept: bool
    position: int
    refused: int
    """Spans that it could not deliver and never will."""
    failures: int
    """How often it has failed."""
    delivered: int
    """Spans that it has delivered."""

    @property
    def unanswered_s(self) -> float:
        """For how many seconds the receiver has owed an answer; 0 if it owes none."""

    @property
    def serves(self) -> bool:
        """Whether it delivers itself, so that `position` tells how far that has come."""

    @property
    def is_served_elsewhere(self) -> bool:
        """Whether another process delivers, and goes on when this one ends."""

    @property
    def is_put_off(self) -> bool:
        """Whether nothing is tried just now, in spite of a `hurry`: it has failed a moment ago."""

    def wake(self) -> None:
        """Look for something to deliver, soon."""

    def hurry(self) -> None:
        """Deliver what waits without delay, from now on."""

    def calm(self) -> None:
        """Take one `hurry` back."""

    def wait_for_position(self, target: int, deadline: float) -> bool:
        """Wait until it has got as far as a block; return whether it has."""

    def close(self, deadline: float) -> None:
        """Stop delivering."""


class Fleet:
    """Couriers of one store, and waiting for them. Thread-safe; never raises."""

    def __init__(
        self, store: Path, couriers: Sequence[Courier], specs: Sequence[DestinationSpec]
    ) -> None:
        self._books = _Books(store)
        self.couriers = tuple(couriers)
        self.specs = tuple(specs)
        """The destinations, also those that nobody of this process delivers to."""
        self._refused = 0  # at the last flush

    def wake(self) -> None:
        """Look for something to deliver, soon."""
        for courier in self.couriers:
            courier.wake()

    def flush(self, deadline: float, patience_s: float | None = None) -> bool:
        """Have everything delivered that is in the store by now.

        Gives up at the deadline (monotonic seconds), and with `patience_s` when `finish` would.

        Returns:
            Whether all of it was delivered, and nothing was lost or refused since the last time.
        """
        return self._flush(self.couriers, deadline, patience_s)

    def finish(self, timeout_s: float, patience_s: float) -> None:
        """Deliver what can be delivered at a program's end, and stop.

        Gives up when for `patience_s` nothing has been delivered, and at the first failure. What
        somebody else delivers anyway is not waited for. Idempotent.
        """
        mine = [courier for courier in self.couriers if not courier.is_served_elsewhere]
        self._flush(mine, time.monotonic() + timeout_s, patience_s)
        deadline = time.monotonic() + _LAST_CALL_S
        for courier in self.couriers:
            courier.close(deadline)
            self._note_silence(courier)

    def outcome(self) -> list[Delivery]:
        """Return how far delivery has got, in the order of the destinations."""
        deliveries = []
        couriers = {courier.spec.key: courier for courier in self.couriers}
        for spec in self.specs:
            courier = couriers.get(spec.key)
            delivered = courier.delivered if courier is not None else 0
            refused = courier.refused if courier is not None else 0
            is_elsewhere = courier is not None and courier.is_served_elsewhere
            with (
                suppress(LookupError, sqlite3.Error, StoreError, OSError, ValueError),
                self._books.opened(spec, _STORE_TIMEOUT_S) as ledger,
            ):
                waiting = ledger.waiting_spans(ledger.cursor, MAX_INTEGER)
                is_delivered = delivered > 0 or not waiting
                problem = ledger.problem()
                deliveries.append(
                    Delivery(spec, is_delivered, waiting, problem, is_elsewhere, refused)
                )
        return deliveries

    def _note_silence(self, courier: Courier) -> None:
        """Write down that the end of the program did not wait for an answer any longer."""
        silent_s = courier.unanswered_s
        if not silent_s:
            return
        reason = f"the receiver had not answered after {silent_s:.1f} s, when the program ended"
        with (
            suppress(LookupError, sqlite3.Error, StoreError, OSError),
            self._books.opened(courier.spec, _STORE_TIMEOUT_S) as ledger,
        ):
            ledger.failed(reason, now_ns())

    def _flush(
        self, couriers: Sequence[Courier], deadline: float, patience_s: float | None
    ) -> bool:
        if not couriers:
            return True
        is_last = patience_s is not None
        waits = [_Wait(self._books, courier, is_last) for courier in couriers]
        try:
            for wait in waits:
                wait.begin(deadline)
            return self._wait_for(waits, deadline, patience_s)
        finally:
            for wait in waits:
                wait.end()

    def _wait_for(self, waits: list[_Wait], deadline: float, patience_s: float | None) -> bool:
        all_waits, moved_at = waits, time.monotonic()
        while True:
            for wait in waits:
                until = min(time.monotonic() + _SLICE_S, deadline)
                if wait.look(until):
                    moved_at = time.monotonic()
            now = time.monotonic()
            waits = [wait for wait in waits if not wait.is_over]
            if not waits or now >= deadline:
                break
            if patience_s is not None and now - moved_at >= patience_s:
                break
        refused = sum(courier.refused for courier in self.couriers)
        refused_before, self._refused = self._refused, refused
        return refused == refused_before and all(wait.is_delivered for wait in all_waits)


class _Wait:
    """Waiting for one destination."""

    def __init__(self, books: _Books, courier: Courier, is_last: bool) -> None:
        self.courier = courier
        self._is_last = is_last  # then there is no time to wait for a better one
        self._failures = courier.failures
        self.is_over = False
        self.is_delivered = False
        self._books = books
        self._target = 0
        self._position = -1
        self._has_asked = False
        self._hurries = False

    def begin(self, deadline: float) -> None:
        """Find out how far it has to go, and have that begun."""
        timeout_s = max(0.0, min(_STORE_TIMEOUT_S, deadline - time.monotonic()))
        try:
            with self._books.opened(self.courier.spec, timeout_s) as ledger:
                self._target = ledger.latest()
        except (LookupError, StoreMissing):  # nothing was written for it
            self.is_over = self.is_delivered = True
        except (StoreError, sqlite3.Error, OSError):
            self.is_over = True
        else:
            self._hurries = True
            self.courier.hurry()

    def look(self, until: float) -> bool:
        """Look whether it is over, not waiting longer than that; return whether it moved on."""
        if self.is_over:
            return False
        courier, before = self.courier, self._position
        is_there = courier.wait_for_position(self._target, until)
        self._position = courier.position
        if is_there or not courier.serves:
            self._read_on()
            if is_there and not self.is_delivered:  # its position was in another file
                time.sleep(max(0.0, min(_POLL_S, until - time.monotonic())))
        has_failed = courier.failures > self._failures or courier.is_put_off
        goes_on_without = has_failed or courier.is_served_elsewhere
        self.is_over = self.is_delivered or (self._is_last and goes_on_without)
        return self._position > before >= 0

    def end(self) -> None:
        """Hurry it no more."""
        if self._hurries:
            self.courier.calm()

    def _read_on(self) -> None:
        """Look it up in the store, and ask whoever delivers there to hurry."""
        with (
            suppress(LookupError, StoreError, sqlite3.Error, OSError, ValueError),
            self._books.opened(self.courier.spec, _POLL_S) as ledger,
        ):
            self._position = max(self._position, ledger.cursor)
            self.is_delivered = not ledger.waiting_spans(ledger.cursor, 1, self._target)
            if not (self.is_delivered or self.courier.serves or self._has_asked):
                ledger.want(self._target)
                self._has_asked = True


class _Books:
    """Short looks into the store, between which the process can fork; see `forks`."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._reading = threading.RLock()
        self._held_by = 0  # the thread that is forking, if any
        watch(self)

    @contextmanager
    def opened(self, spec: DestinationSpec, timeout_s: float) -> Iterator[Ledger]:
        """Open the books of a destination; errors are those of `Ledger`."""
        with self._reading, closing(Ledger(self._store, spec.key, timeout_s)) as ledger:
            yield ledger

    def before_fork(self) -> None:
        """Wait until nobody looks: a child must not inherit an open file."""
        if self._reading.acquire(timeout=_STORE_TIMEOUT_S):
            self._held_by = threading.get_ident()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._held_by == threading.get_ident():
            self._held_by = 0
            self._reading.release()

    def after_fork(self) -> None:
        """Start afresh in a forked child."""
        self._reading = threading.RLock()
        self._held_by = 0
