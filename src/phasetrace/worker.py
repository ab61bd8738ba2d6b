"""Doing what is due, in a thread that nobody has to think of.

The thread is started by the first `wake`, sleeps on a bell while nothing is due, and does not keep
the program from ending. A fork ends it, and the next `wake` starts another. Where no thread can be
started any more, because the interpreter shuts down, whoever waits for something does it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from phasetrace.threads import join_for_good

_START_AGAIN_S: Final = 1.0
_FORK_TIMEOUT_S: Final = 1.0


class Worker:
    """Calls `step` again and again, by one thread at a time. Thread-safe.

    A step does one thing that is due and returns for how many seconds nothing else will be: 0 for
    "look at once", None for "until you are woken". It must not raise.
    """

    def __init__(self, name: str, step: Callable[[], float | None]) -> None:
        self._name = name
        self._step = step
        self._reset()

    def _reset(self) -> None:
        self.changed = threading.Condition()
        """Notified, by steps too, of whatever somebody may `wait_for`. Guards what is below, and
        what a step shares with others; reentrant."""
        self.stopped = False
        self._forking = False
        self._thread: threading.Thread | None = None
        # SimpleQueue.put is atomic and reentrant (documented): a signal handler or a finalizer may
        # ring while its own thread does, or while it listens, where an Event would deadlock.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        self._starting_held_by = 0  # the thread that is forking, if any
        self._start_again_at = 0.0
        self.lent_until: float | None = None
        """Until when (monotonic seconds) steps are done in the thread of whoever waits for them,
        where no other can be had; None if there is no such hurry."""

    def wake(self) -> None:
        """Have somebody look what is due. Never waits for a step."""
        if self._bell.empty():  # else the last ring has not been heard: it is looked after this
            self._bell.put(None)
        if self._thread is None:
            self._start()

    def wait_for(self, done: Callable[[], bool], deadline: float) -> bool:
        """Wait until something is done, and return whether it is; do it if nobody else can."""
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if self._is_missing():
                self._start()
                self._work_here(deadline)
            with self.changed:
                self.changed.wait_for(
                    lambda: done() or self._is_missing(), min(remaining, threading.TIMEOUT_MAX)
                )
        return True

    def stop(self) -> None:
        """Begin no step any more."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.wake()

    def before_fork(self, busy_s: float) -> None:
        """End the thread: Python 3.12 and later warn a program that forks while it has some.

        A thread whose present step takes long goes on. `busy_s` tells for how many seconds it has
        been waited for already, so that many forks together wait for one step no longer than one.
        """
        # Not for ever: a signal handler may fork where its own thread holds the lock.
        if self._starting.acquire(timeout=_FORK_TIMEOUT_S):
            self._starting_held_by = threading.get_ident()
        with self.changed:
            self._forking = True
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self.wake()
            join_for_good(thread, max(0.0, _FORK_TIMEOUT_S - busy_s))

    def after_fork_in_parent(self) -> None:
        """Let a thread be started again."""
        with self.changed:
            self._forking = False
            self.changed.notify_all()
        if self._starting_held_by == threading.get_ident():
            self._starting_held_by = 0
            self._starting.release()

    def after_fork(self) -> None:
        """Begin no step in a forked child."""
        self._reset()
        self.stopped = True

    def _is_missing(self) -> bool:
        return self._thread is None and not self._forking and not self.stopped

    def _start(self) -> None:
        if time.monotonic() < self._start_again_at or not self._starting.acquire(blocking=False):
            return  # the latter: another thread is at it, or a fork is
        try:
            if self._is_missing():
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        except RuntimeError:  # the interpreter is shutting down, or there are too many threads
            self._thread = None
            self._start_again_at = time.monotonic() + _START_AGAIN_S
        finally:
            self._starting.release()

    def _work_here(self, deadline: float) -> None:
        """Do what is due in this thread, unless another one does."""
        if not self._starting.acquire(blocking=False):
            return
        try:
            if not self._is_missing():
                return
            self._thread = threading.current_thread()
        finally:
            self._starting.release()
        self.lent_until = deadline
        try:
            self._work(deadline)
        finally:
            self.lent_until = None

    def _work(self, deadline: float | None = None) -> None:
        """Step, to the end; with a deadline, until then or until nothing is due."""
        try:
            while not self._leaves(deadline):
                rest_s = self._step()
                if rest_s == 0:
                    continue
                if deadline is not None:
                    break
                with suppress(Empty):
                    self._bell.get(
                        timeout=min(rest_s, threading.TIMEOUT_MAX) if rest_s is not None else None
                    )
        finally:
            with self.changed:
                if self._thread is threading.current_thread():
                    self._thread = None
                self.changed.notify_all()

    def _leaves(self, deadline: float | None) -> bool:
        """Tell whether to stop stepping; then nobody takes this thread for a working one."""
        with self.changed:
            is_over = deadline is not None and time.monotonic() > deadline
            if self.stopped or self._forking or is_over:
                self._thread = None
            return self._thread is None
