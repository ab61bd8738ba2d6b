"""Whose turn it is to deliver to a destination, and when one that fails is tried again.

Who delivers holds the lock for as long as the receiver takes what it is sent. After a failure he
lets go of it until the next try, so that somebody else has a turn, with settings of his own: those
of a program whose certificate or proxy has been put right since. Whoever succeeds goes on.

Those whose settings are the same (their *way* to the destination) would fail alike. They keep to
one pace, however many they are, which is noted in the store (`phasetrace.store.retries`). A hurry
cuts it short, but for what the receiver has asked for (OTLP specification 1.5, "OTLP/HTTP
Throttling").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from phasetrace import clock
from phasetrace.delivery.backoff import MOST_ASKED_S, MOST_S, Backoff
from phasetrace.delivery.lock import ServingLock
from phasetrace.store.ledger import Ledger
from phasetrace.store.retries import Retry

_SECOND_NS: Final = 1_000_000_000
_LOOK_S: Final = MOST_S
"""Another one may have succeeded, or been asked for less: so one looks again before it is time."""


class Turns:
    """One courier's turns. Used by one thread at a time, but for `hurry` and what can be asked.

    `by_hand` has the first try made at once, whatever has been noted: a person has asked for it,
    who may know more than that.
    """

    def __init__(
        self,
        lock: ServingLock,
        way: str,
        now_ns: clock.NowNs,
        new_backoff: Callable[[], Backoff],
        by_hand: bool = False,
    ) -> None:
        self._lock = lock
        self.way = way
        self._now_ns = now_ns
        self._new_backoff = new_backoff
        self._by_hand = by_hand
        self._reset()

    def _reset(self) -> None:
        self._backoff = self._new_backoff()
        self._is_hurried = False  # by somebody since the last try
        self.has_begun = False
        """Whether it was found to be time for a try since the turn was taken."""
        self._unnoted: Retry | None = None  # the store could not be written
        self._look_at = 0.0  # monotonic seconds
        self._is_elsewhere = False
        self.is_put_off = False
        """Nothing is tried before a time that is noted, though somebody is in a hurry."""

    @property
    def is_mine(self) -> bool:
        """Whether it is this courier's turn."""
        return self._lock.is_held

    @property
    def is_elsewhere(self) -> bool:
        """Whether it was seen to be somebody else's."""
        return self._is_elsewhere and not self._lock.is_held

    @property
    def rest_s(self) -> float:
        """For how many seconds there is nothing to look after."""
        return max(0.0, self._look_at - time.monotonic())

    def hurry(self) -> None:
        """Have the next try made soon. Thread-safe."""
        self._is_hurried = True
        self.is_put_off = False
        self._look_at = 0.0

    def take(self) -> bool:
        """Take the turn if nobody has it; return whether it is this courier's now.

        Raises:
            OSError: if there cannot be a lock.
        """
        if self._lock.is_held and not self._lock.is_current:
            self.give_up()
        self._is_elsewhere = not self._lock.acquire()
        return not self._is_elsewhere

    def begin(self, ledger: Ledger) -> bool:
        """Return whether it is time for a try; if it is not, the turn is given up.

        Raises:
            sqlite3.Error: where the store cannot be used just then.
        """
        is_hurried = self._is_hurried
        retry = self._unnoted or ledger.retry(self.way)
        self._backoff.resume(retry.failures if retry is not None else 0)
        rest_ns = 0
        if retry is not None and not self._by_hand:
            rest_ns = retry.rest_ns(self._now_ns(), is_hurried)
        if not rest_ns:
            self.has_begun = True
            return True
        self.give_up()
        self.is_put_off = is_hurried
        if self._is_hurried == is_hurried:  # nobody has come meanwhile
            self._wait(rest_ns / _SECOND_NS)
        return False

    def failed(self, retry_after_s: float | None, is_hopeless: bool) -> Retry:
        """Return when to try again after a failure, for all who go the same way.

        `retry_after_s` is what the receiver asks for; for `is_hopeless` see `Backoff`. It is still
        to be written down, for the others, and `noted`; then the turn is to be given up.
        """
        wait_s = self._backoff.next_s(is_hopeless=is_hopeless)
        asked_s = min(max(0.0, retry_after_s or 0.0), MOST_ASKED_S)
        self._is_hurried = self._by_hand = False
        self._wait(max(wait_s, asked_s))
        now_ns = self._now_ns()
        self._unnoted = Retry(
            self._backoff.failures,
            now_ns,
            now_ns + int(wait_s * _SECOND_NS),
            now_ns + int(asked_s * _SECOND_NS) if asked_s else 0,
        )
        return self._unnoted

    def noted(self) -> None:
        """Keep to what the store says again, which others may change."""
        self._unnoted = None

    def succeeded(self) -> None:
        """Begin anew with the pace."""
        self._backoff.reset()
        self._unnoted = None

    def give_up(self) -> None:
        """Let somebody else have the turn."""
        self.has_begun = False
        self._lock.release()

    def after_fork(self) -> None:
        """Start afresh in a forked child; the turn stays its parent's."""
        self._lock.after_fork()
        self._reset()

    def _wait(self, seconds: float) -> None:
        self._look_at = time.monotonic() + min(seconds, _LOOK_S)
