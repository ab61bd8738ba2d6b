"""Delivering what waits in the store for one destination, in a thread that nobody waits for.

The thread looks when it is woken (something has been written) and once a second (so may have other
processes). What it finds goes out when a request is full, or when the first span of it has waited
for ``OTEL_BSP_SCHEDULE_DELAY``; a flush and the end of the program hurry it. While the exporter
fails it is tried again after a while, and everything waits in the store.

Of all shippers of a store, in all processes, one at a time serves a destination
(`phasetrace.delivery.turns`). The others look once a second whether it still does. Whoever waits
for what they have recorded says so in the store.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Final

from phasetrace import clock, faults
from phasetrace.delivery.backoff import Backoff
from phasetrace.delivery.lock import ServingLock, lock_path
from phasetrace.delivery.notices import Notices
from phasetrace.delivery.request import STOPPED, Request
from phasetrace.delivery.turns import Turns
from phasetrace.destination import Destination
from phasetrace.errors import StoreError
from phasetrace.settings import BatchLimits
from phasetrace.store.destinations import DestinationSpec
from phasetrace.store.forks import watch
from phasetrace.store.ledger import Incarnation, Ledger, Settlement
from phasetrace.verdict import Outcome, Verdict
from phasetrace.worker import Worker

_ENOUGH: Final = 512
_MOST: Final = 2_048
_MOST_BYTES: Final = 2 * 2**20
"""Bytes of spans in one request: half of what gRPC receivers take if nobody told them otherwise."""
_DELAY_MS: Final = 5_000
_LOOK_S: Final = 1.0
_SHORT_LOOK_S: Final = 0.1
_SHORTLY_S: Final = 10.0
"""For so long after somebody elsewhere has waited for a flush, one looks sooner for the next."""
_SERVED_EVERY_S: Final = 600.0
_STORE_TIMEOUT_S: Final = 1.0
_FORK_TIMEOUT_S: Final = 1.0

_abandoned: list[Ledger | None] = []


class Shipper:
    """Serves one destination of one store. Thread-safe; never raises.

    `make` makes the exporter, at the first need; in a forked child, again, and after a failure that
    only another configuration can mend: its files may have changed. A destination that only
    this process can serve (``is_local``) is not served by its children. `explain` says in one line
    why a request was not taken. With `elsewhere` the exporter is for another address, to which the
    spans go in place of the destination's. `by_hand`: a person has asked for it (`Turns`).
    """

    def __init__(
        self,
        store: Path,
        spec: DestinationSpec,
        make: Callable[[], Destination],
        limits: BatchLimits | None = None,
        now_ns: clock.NowNs = clock.now_ns,
        backoff: Callable[[], Backoff] = Backoff,
        explain: Callable[[Verdict], str] = attrgetter("reason"),
        elsewhere: bool = False,
        by_hand: bool = False,
    ) -> None:
        limits = limits or BatchLimits()
        self.spec = spec
        self.kept = False
        """The exporter is somebody else's to shut down."""
        self._store = store
        self._make = make
        self._now_ns = now_ns
        self._explain = explain
        self._elsewhere = elsewhere
        self._enough = limits.max_export_batch_size or _ENOUGH
        self._most = limits.max_export_batch_size or _MOST
        self._delay_s = min((limits.schedule_delay_ms or _DELAY_MS) / 1000, threading.TIMEOUT_MAX)
        # How another address fares is nothing to those who deliver to the destination itself.
        way = f"elsewhere {spec.way}" if elsewhere else spec.way
        lock = ServingLock(lock_path(store, spec.key))
        self._turns = Turns(lock, way, now_ns, backoff, by_hand)
        self._destination: Destination | None = None
        self._closing = False
        self._reset()
        watch(self)

    def _reset(self) -> None:
        self._worker = Worker(f"phasetrace-{self.spec.name}", self._step)
        self._is_wanted = False  # somebody has woken it
        self._hurries: list[None] = []  # one for each caller that waits
        self._asked_at: float | None = None  # when somebody has last asked
        self._books = threading.RLock()  # guards the ledger; not held while the exporter works
        self._books_held_by = 0  # the thread that is forking, if any
        self._ledger: Ledger | None = None
        self._incarnation: Incarnation | None = None
        self._request: Request | None = None
        self._after = 0  # the cursor behind which the request begins
        self._unsettled: Settlement | None = None
        self._since: float | None = None  # when something was first seen to wait
        self._is_late = False  # the last try failed, whose ever it was: what waits has waited
        self._served_at: float | None = None
        self._notices = Notices(self.spec.endpoint or self.spec.name)
        self.position = 0
        """Every block up to this one has been dealt with, as far as this process knows."""
        self.delivered = 0
        """Spans that this process has delivered."""
        self.refused = 0
        """Spans that it could not deliver and never will."""
        self.failures = 0
        """How often it has failed."""
        self.failing: str | None = None
        """Why the last try failed; None if it did not."""

    def wake(self) -> None:
        """Look for something to deliver, soon."""
        self._is_wanted = True
        self._worker.wake()

    @property
    def unanswered_s(self) -> float:
        """For how many seconds the receiver has owed an answer; 0 if it owes none."""
        destination = self._destination
        return destination.busy_s if destination is not None else 0.0

    @property
    def serves(self) -> bool:
        """Whether this process is the one that serves the destination."""
        return self._turns.is_mine

    @property
    def is_served_elsewhere(self) -> bool:
        """Whether another process was seen to serve it."""
        return self._turns.is_elsewhere

    @property
    def is_put_off(self) -> bool:
        """Whether nothing is tried just now, since the receiver was found to take nothing."""
        return self._turns.is_put_off

    def hurry(self) -> None:
        """Send what waits, from now on, without delay, and soon, should it have failed."""
        self._hurries.append(None)
        self._turns.hurry()
        self.wake()

    def calm(self) -> None:
        """Take one `hurry` back."""
        self._hurries.pop()

    def wait_for_position(self, target: int, deadline: float) -> bool:
        """Wait until everything up to a block is dealt with; return whether it is.

        The deadline is in monotonic seconds.
        """
        return self._worker.wait_for(lambda: self.position >= target, deadline)

    def close(self, deadline: float) -> None:
        """Stop delivering; what waits stays in the store. Idempotent.

        A call of the exporter that goes on past the deadline (monotonic seconds) is not waited for.
        When it ends, another shipper can take over.
        """
        self._closing = True
        self._worker.wake()
        self._worker.wait_for(lambda: self._worker.stopped, deadline)

    def before_fork(self) -> None:
        """Let go of the file and end the thread, so that a child inherits neither; see `forks`."""
        destination = self._destination
        self._worker.before_fork(destination.busy_s if destination is not None else 0.0)
        if self._books.acquire(timeout=_FORK_TIMEOUT_S):
            self._books_held_by = threading.get_ident()
            self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._books_held_by == threading.get_ident():
            self._books_held_by = 0
            self._books.release()
        self._worker.after_fork_in_parent()
        if self._is_wanted and not self._turns.is_elsewhere:
            self._worker.wake()

    def after_fork(self) -> None:
        """Start afresh in a forked child, with an exporter of its own when it comes to serve."""
        self._turns.after_fork()
        # Something is left only where the fork could not wait for it. Then it is abandoned, not
        # closed: closing would drop the locks that the parent holds.
        _abandoned.append(self._ledger)
        self._destination = None
        self._reset()
        if self.spec.is_local:
            self._worker.stopped = True

    def _step(self) -> float | None:
        """Do one thing that is due; return when there will be something else, for the worker."""
        try:
            return self._next()
        except (sqlite3.Error, StoreError, OSError, LookupError) as error:
            # The writer tells of a store that cannot be used; here it is waited for.
            if isinstance(error, OSError):
                faults.report(f"delivering to {self.spec.name}", error)
            with self._books:
                self._disconnect()
        except Exception as error:
            faults.report(f"delivering to {self.spec.name}", error)
            self._request = None
        return _LOOK_S

    def _next(self) -> float | None:
        if self._closing:
            self._end()
            return None
        rest_s = self._turns.rest_s
        if rest_s > 0:
            return rest_s
        if not self._store.exists():
            return _LOOK_S
        if not self._turns.take():
            return _SHORT_LOOK_S if self._hurries else _LOOK_S
        with self._books:
            ledger = self._open()
            if not self._turns.has_begun:
                self._catch_up(ledger)
                self._is_late = ledger.problem() is not None
                if not self._turns.begin(ledger):
                    return self._turns.rest_s
            self._serve(ledger)
            self._settle(ledger)
            rest_s = self._rest_s(ledger)
            if rest_s > 0:
                return rest_s
            if self._request is None:
                self._request = self._next_request(ledger)
            request = self._request
        if request is not None:
            self._send(request)
        return 0

    def _catch_up(self, ledger: Ledger) -> None:
        """Find out what others have delivered since the last turn."""
        if ledger.reread() != self._after:
            self._request = self._since = None
        self._moved(ledger.cursor)

    def _rest_s(self, ledger: Ledger) -> float:
        """Return for how long there is nothing to be sent."""
        if self._request is not None and self._request.is_begun:
            return 0
        latest = ledger.latest()
        spans = ledger.waiting_spans(self.position, self._enough)
        if not spans:
            self._since = None
            self._moved(latest)
            return self._look_s()
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if spans >= self._enough or self._hurries or self._is_late:
            return 0
        if ledger.wanted() > self.position:
            self._asked_at = now
            return 0
        return min(max(0.0, self._since + self._delay_s - now), self._look_s())

    def _look_s(self) -> float:
        """Return for how many seconds it need not be looked what others have written."""
        asked_at = self._asked_at
        is_soon = asked_at is not None and time.monotonic() - asked_at < _SHORTLY_S
        return _SHORT_LOOK_S if is_soon else _LOOK_S

    def _next_request(self, ledger: Ledger) -> Request | None:
        blocks = ledger.waiting_blocks(self.position, self._most, _MOST_BYTES)
        if not blocks:
            return None
        is_trusted = self.delivered > 0 and self.failing is None
        is_trusted = is_trusted or ledger.has_delivered()
        self._after = ledger.cursor
        return Request(blocks, is_trusted, self._most, self._explain)

    def _send(self, request: Request) -> None:
        destination = self._destination
        if destination is None:
            destination = self._destination = self._make()
        verdict = request.advance(destination, lambda: self._closing or self._worker.stopped)
        if verdict is not None:
            if request.is_restarted:
                # Nothing of it has arrived, so it need not stay the same; the next one has what was
                # recorded since beside it, which may be what the receiver takes.
                self._request = None
            if verdict is not STOPPED:
                self._failed(verdict)
            return
        self._request = self._since = None
        settlement = request.settlement()._replace(elsewhere=self._elsewhere, after=self._after)
        self._unsettled = settlement
        self.delivered += settlement.delivered
        if settlement.delivered:
            self._turns.succeeded()
            self._is_late = False
            self.failing = None
        refused = request.refused()
        self.refused += refused.total() + settlement.rejected
        self._notices.refused(refused)
        self._notices.remarked(settlement)
        with self._books:
            self._settle(self._open())

    def _failed(self, verdict: Verdict) -> None:
        self.failing = reason = self._explain(verdict)
        self.failures += 1
        is_hopeless = verdict.outcome not in (Outcome.UNAVAILABLE, Outcome.UNKNOWN)
        retry = self._turns.failed(verdict.retry_after_s, is_hopeless)
        self._notices.failed(reason)
        if verdict.outcome is Outcome.MISCONFIGURED:
            self._discard()
        try:
            with self._books:
                self._open().failed(reason, self._now_ns(), self._turns.way, retry)
            self._turns.noted()
        finally:
            self._turns.give_up()
        self._moved(self.position)

    def _settle(self, ledger: Ledger) -> None:
        """Write down what has been delivered, also if that could not be done before."""
        settlement = self._unsettled
        if settlement is not None:
            is_settled = ledger.settle(settlement, self._now_ns())
            self._unsettled = None
            self._served_at = time.monotonic()
            self._moved(settlement.cursor if is_settled else ledger.cursor)

    def _serve(self, ledger: Ledger) -> None:
        now = time.monotonic()
        if self._served_at is None or now - self._served_at > _SERVED_EVERY_S:
            ledger.serve(self._now_ns())
            self._served_at = now

    def _moved(self, position: int) -> None:
        with self._worker.changed:
            self.position = max(self.position, position)
            self._worker.changed.notify_all()

    def _open(self) -> Ledger:
        if self._ledger is not None and not self._ledger.is_current:
            self._disconnect()
        if self._ledger is None:
            ledger = self._ledger = Ledger(self._store, self.spec.key, _STORE_TIMEOUT_S)
            if self._incarnation not in (None, ledger.incarnation):
                self._request = self._unsettled = self._since = None  # they were another file's
                self.position = 0
            self._incarnation = ledger.incarnation
            if self._unsettled is None:
                self.position = max(self.position, ledger.cursor)
        return self._ledger

    def _disconnect(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            with suppress(sqlite3.Error):
                ledger.close()

    def _end(self) -> None:
        with self._books:
            with suppress(sqlite3.Error, StoreError, OSError, LookupError):
                if self._unsettled is not None:
                    self._settle(self._open())
                if self.failing is not None:
                    self._open().leave(self._turns.way)
            self._disconnect()
        self._discard()
        self._turns.give_up()
        self._worker.stop()

    def _discard(self) -> None:
        """Let go of the exporter."""
        destination, self._destination = self._destination, None
        if destination is not None and not self.kept:
            destination.shutdown()
