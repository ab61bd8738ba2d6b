"""Delivering for other programs: what ``phasetrace ship`` and the process of its own do."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from phasetrace.delivery.lock import ServingLock
from phasetrace.delivery.shipper import Shipper
from phasetrace.errors import StoreError, StoreMissing
from phasetrace.store.ledger import Ledger
from phasetrace.store.process import is_alive

IDLE_S: Final = 2.0
GIVE_UP_S: Final = 600.0
_LOOK_S: Final = 0.5
START_S: Final = 3.0
_STORE_TIMEOUT_S: Final = 1.0


class Service:
    """Delivers from a store for as long as there is somebody to do it for. Not thread-safe.

    It ends when no program records any more and nothing waits; when nothing could be delivered for
    ten minutes after the last program ended; and when others serve all of its destinations, or are
    there to do so by the same way. `presences` are the locks that tell the latter
    (`phasetrace.delivery.lock.presence_path`), in the order of the shippers.
    """

    def __init__(
        self,
        store: Path,
        shippers: Sequence[Shipper],
        idle_s: float = IDLE_S,
        give_up_s: float = GIVE_UP_S,
        start_s: float = START_S,
        presences: Sequence[ServingLock] = (),
    ) -> None:
        self._store = store
        self._presences = presences or (None,) * len(shippers)
        self._shippers = shippers
        self._idle_s = idle_s
        self._give_up_s = give_up_s
        self._start_s = start_s

    def run(self) -> None:
        """Deliver, until there is nobody to do it for."""
        needed_at = busy_at = moved_at = time.monotonic()
        delivered = 0
        for shipper in self._shippers:
            shipper.wake()
        self._own()
        while True:
            # Woken by each answer, and at least twice a second.
            for shipper in self._shippers:
                shipper.wait_for_position(shipper.position + 1, time.monotonic() + _LOOK_S)
            now = time.monotonic()
            own = self._own()
            if not own:
                if now - needed_at > self._start_s:
                    return
                continue
            needed_at = now
            total = sum(shipper.delivered for shipper in own)
            if total > delivered:
                delivered, moved_at = total, now
            is_recorded, is_waiting = self._look(own)
            if is_recorded:
                busy_at = moved_at = now
            elif is_waiting:
                busy_at = now
                if now - moved_at > self._give_up_s:
                    return
            elif now - busy_at > self._idle_s:
                return

    def close(self) -> None:
        """Stop delivering."""
        deadline = time.monotonic() + _LOOK_S
        for shipper in self._shippers:
            shipper.close(deadline)
        for presence in self._presences:
            if presence is not None:
                presence.release()

    def _own(self) -> list[Shipper]:
        """Return those that nobody else sees to: they serve, or have failed and try again."""
        return [
            shipper
            for shipper, presence in zip(self._shippers, self._presences, strict=True)
            if _is_there(presence) and not shipper.is_served_elsewhere
        ]

    def _look(self, own: Sequence[Shipper]) -> tuple[bool, bool]:
        """Tell whether a program records to the store, and whether something waits."""
        is_recorded = is_waiting = False
        for shipper in own:
            try:
                with closing(Ledger(self._store, shipper.spec.key, _STORE_TIMEOUT_S)) as ledger:
                    is_recorded |= any(is_alive(*one) for one in ledger.recording())
                    is_waiting |= ledger.waiting_spans(ledger.cursor, 1) > 0
            except (LookupError, StoreMissing):
                pass  # there is nothing for it
            except (sqlite3.Error, StoreError, OSError):
                is_waiting = True  # perhaps: the store is busy
        return is_recorded, is_waiting


def _is_there(presence: ServingLock | None) -> bool:
    """Take the lock that tells of this process, if there is one; return whether it is held."""
    try:
        return presence is None or presence.acquire()
    except OSError:  # where there are no locks, nothing is served either
        return False
