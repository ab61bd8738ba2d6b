"""Delivery by a process of its own: it costs a program nothing but the rows.

The first program that has something to deliver starts the process, with its own environment; it
serves all programs that deliver from the same store to the same destinations. Their locks tell
whether there is one. It outlives the programs, until nothing is left to be delivered.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from phasetrace import faults
from phasetrace.delivery.lock import is_free, lock_path
from phasetrace.store.destinations import DestinationSpec
from phasetrace.store.forks import watch

_LOOK_S: Final = 1.0
_MOST_S: Final = 60.0
_POLL_S: Final = 0.02
_FORK_TIMEOUT_S: Final = 1.0
_DETACHED: Final = '"$@" </dev/null >/dev/null 2>&1 &'
"""For the shell, which ends at once: what is started becomes nobody's child, so that no program
finds a process among its children that it did not start."""


class Starter:
    """Sees to it that there is a process that delivers. Thread-safe; never raises.

    One that does not come to serve is started again, less and less often.
    """

    def __init__(self, store: Path, keys: Sequence[str], environment: Mapping[str, str]) -> None:
        self._store = store
        self._locks = [lock_path(store, key) for key in keys]
        self._environment = {**environment, "PYTHONPATH": _python_path(environment)}
        self._reset()
        watch(self)

    def _reset(self) -> None:
        self._looking = threading.Lock()
        self._looking_held_by = 0  # the thread that is forking, if any
        self._look_at = self._start_at = 0.0  # not before
        self._wait_s = _LOOK_S

    def look(self, at_once: bool = False) -> None:
        """Start the process if there is none; look once a second at most, but `at_once`."""
        now = time.monotonic()
        if now < self._start_at or (now < self._look_at and not at_once):
            return
        if not self._looking.acquire(blocking=False):
            return
        try:
            self._look_at = now + _LOOK_S
            if not self._store.exists():
                return
            if any(is_free(path) for path in self._locks):
                self._start_at = now + self._wait_s
                self._wait_s = min(2 * self._wait_s, _MOST_S)
                self._start()
            else:
                self._wait_s = _LOOK_S
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            faults.report("starting a process that delivers", error)
        finally:
            self._looking.release()

    def before_fork(self) -> None:
        """Wait for a look to end: a child would inherit the lock that it takes to look."""
        if self._looking.acquire(timeout=_FORK_TIMEOUT_S):
            self._looking_held_by = threading.get_ident()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._looking_held_by == threading.get_ident():
            self._looking_held_by = 0
            self._looking.release()

    def after_fork(self) -> None:
        """Start afresh in a forked child."""
        self._reset()

    def _start(self) -> None:
        command = [sys.executable, "-m", "phasetrace.delivery", str(self._store)]
        subprocess.run(  # noqa: S603 - our own module, by the interpreter that runs us
            ["/bin/sh", "-c", _DETACHED, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=os.sep,
            env=self._environment,
            check=False,
        )


class Remote:
    """What another process delivers. Thread-safe; never raises."""

    serves = False
    position = 0
    refused = 0
    failures = 0
    delivered = 0
    unanswered_s = 0.0
    is_served_elsewhere = True

    def __init__(self, spec: DestinationSpec, starter: Starter) -> None:
        self.spec = spec
        self.kept = True
        self._starter = starter

    def wake(self) -> None:
        """Have the process started if there is none."""
        self._starter.look()

    def hurry(self) -> None:
        """Do the same at once; the process does not wait for more to come anyway."""
        self._starter.look(at_once=True)

    def calm(self) -> None:
        """Do nothing."""

    def wait_for_position(self, target: int, deadline: float) -> bool:
        """Wait for a moment: the store tells how far it has come."""
        time.sleep(max(0.0, min(deadline - time.monotonic(), _POLL_S)))
        return False

    def close(self, deadline: float) -> None:
        """Leave the rest to the process."""
        self._starter.look(at_once=True)


def _python_path(environment: Mapping[str, str]) -> str:
    """Return a search path on which the process finds this phasetrace."""
    ours = str(Path(__file__).resolve().parents[2])
    given = environment.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, (given, ours)))
