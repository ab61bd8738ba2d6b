"""Delivery by a process of its own: it costs a program nothing but the rows.

The first program that has something to deliver starts the process, with its own environment and
search path; it serves all programs that deliver from the same store to the same destinations. Locks
tell whether there is one: somebody serves a destination, or one is there that gets to it by the
same way, and fails just now (`phasetrace.delivery.turns`). It outlives the programs, until nothing
is left to be delivered.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from phasetrace import faults
from phasetrace.clock import now_ns
from phasetrace.delivery.lock import is_free, lock_path, presence_path
from phasetrace.errors import StoreError
from phasetrace.store.destinations import DestinationSpec
from phasetrace.store.forks import watch
from phasetrace.store.ledger import Ledger
from phasetrace.verdict import shortened
from phasetrace.worker import Worker

_LOOK_S: Final = 1.0
_MOST_S: Final = 60.0
_POLL_S: Final = 0.02
_FORK_TIMEOUT_S: Final = 1.0
_DETACHED: Final = '"$@" </dev/null >/dev/null &'
"""For the shell, which ends at once: what is started becomes nobody's child, so that no program
finds a process among its children that it did not start."""
_LAST_WORDS: Final = 4_096
"""Bytes at the end of what a process has said, in which its last line is looked for."""
_STORE_TIMEOUT_S: Final = 0.5


def can_start() -> bool:
    """Tell whether there is an interpreter that another process can be started with.

    In an application that was packed into one file (PyInstaller and its like) the only program is
    the application, and it would be started again.
    """
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class Starter:
    """Sees to it that there is a process that delivers. Thread-safe; never raises.

    It looks when it is told to, and then once a second until one is there, for it may not be told
    again. One that does not come to serve is started again, less and less often. What it has said
    last is noted as what is wrong with its destinations.
    """

    def __init__(
        self, store: Path, specs: Sequence[DestinationSpec], environment: Mapping[str, str]
    ) -> None:
        self._store = store
        self._specs = specs
        self._environment = environment
        self._reset()
        watch(self)

    def _reset(self) -> None:
        self._worker = Worker("phasetrace-starter", self._step)
        self._is_there = False
        self._looking = threading.Lock()
        self._looking_held_by = 0  # the thread that is forking, if any
        self._look_at = self._start_at = 0.0  # not before
        self._wait_s = _LOOK_S
        self._said: int | None = None  # the file with what the last process said, until it serves

    def wake(self, at_once: bool = False) -> None:
        """Look now, as `look` does, and go on until there is one."""
        self.look(at_once)
        if not self._is_there:
            self._worker.wake()

    def close(self) -> None:
        """Look for the last time."""
        self._worker.stop()
        self.look(at_once=True)

    def look(self, at_once: bool = False) -> None:
        """Start the process if there is none; look once a second at most, but `at_once`."""
        now = time.monotonic()
        if now < self._start_at or (now < self._look_at and not at_once):
            return
        if not self._looking.acquire(blocking=False):
            return
        try:
            if not self._store.exists():  # it may be there a moment later
                return
            self._look_at = now + _LOOK_S
            missing = [spec for spec in self._specs if self._is_missing(spec)]
            self._is_there = not missing
            alone = [spec for spec in missing if is_free(lock_path(self._store, spec.key))]
            if alone:
                self._note_last_words(alone)
                self._start_at = now + self._wait_s
                self._wait_s = min(2 * self._wait_s, _MOST_S)
                self._start()
            else:
                self._wait_s = _LOOK_S
                self._forget_words()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            faults.report("starting a process that delivers", error)
        finally:
            self._looking.release()

    def before_fork(self) -> None:
        """Wait for a look to end: a child would inherit the lock that it takes to look."""
        self._worker.before_fork(0.0)
        if self._looking.acquire(timeout=_FORK_TIMEOUT_S):
            self._looking_held_by = threading.get_ident()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._looking_held_by == threading.get_ident():
            self._looking_held_by = 0
            self._looking.release()
        self._worker.after_fork_in_parent()
        if not self._is_there and self._look_at:  # the thread was told to go on
            self._worker.wake()

    def after_fork(self) -> None:
        """Start afresh in a forked child."""
        self._forget_words()
        self._reset()

    def _step(self) -> float | None:
        self.look()
        return None if self._is_there else _LOOK_S

    def _is_missing(self, spec: DestinationSpec) -> bool:
        """Tell whether no process is there for a destination that gets to it by the same way.

        Somebody else may deliver to it, or may only be trying.
        """
        return is_free(presence_path(self._store, spec.key, spec.way))

    def _note_last_words(self, specs: Sequence[DestinationSpec]) -> None:
        """Note why the last process did not come to serve, where people look for the reason."""
        words = self._last_words()
        if not words:
            return
        reason = (
            f"the process that delivers has ended: {words}; PHASETRACE_DELIVERY=thread needs none"
        )
        faults.tell(reason)
        for spec in specs:
            with (
                suppress(LookupError, StoreError, sqlite3.Error, OSError),
                closing(Ledger(self._store, spec.key, _STORE_TIMEOUT_S)) as ledger,
            ):
                ledger.failed(reason, now_ns())

    def _last_words(self) -> str:
        said = self._said
        if said is None:
            return ""
        start = max(0, os.fstat(said).st_size - _LAST_WORDS)
        text = os.pread(said, _LAST_WORDS, start).decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return shortened(lines[-1]) if lines else ""

    def _forget_words(self) -> None:
        said, self._said = self._said, None
        if said is not None:
            os.close(said)

    def _start(self) -> None:
        self._forget_words()
        # The file has no name, and is gone when nobody has it open any more.
        with suppress(OSError), tempfile.TemporaryFile(dir=self._store.parent) as file:
            self._said = os.dup(file.fileno())
        command = [sys.executable, "-m", "phasetrace.delivery", str(self._store)]
        subprocess.run(  # noqa: S603 - our own module, by the interpreter that runs us
            ["/bin/sh", "-c", _DETACHED, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if self._said is None else self._said,
            start_new_session=True,
            cwd=os.sep,
            env={**self._environment, "PYTHONPATH": _python_path(self._environment)},
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
    is_put_off = False

    def __init__(self, spec: DestinationSpec, starter: Starter) -> None:
        self.spec = spec
        self.kept = True
        self._starter = starter

    def wake(self) -> None:
        """Have the process started if there is none."""
        self._starter.wake()

    def hurry(self) -> None:
        """Do the same at once."""
        self._starter.wake(at_once=True)

    def calm(self) -> None:
        """Do nothing."""

    def wait_for_position(self, target: int, deadline: float) -> bool:
        """Wait for a moment: the store tells how far it has come."""
        time.sleep(max(0.0, min(deadline - time.monotonic(), _POLL_S)))
        return False

    def close(self, deadline: float) -> None:
        """Leave the rest to the process."""
        self._starter.close()


def _python_path(environment: Mapping[str, str]) -> str:
    """Return a search path on which the process finds what this one has found.

    A program may have set its own up, as those do that pex, shiv and Bazel make. Python's own
    modules come first all the same: one of the program's may be called like one of them, and what
    this path names is found before what Python has when it starts.
    """
    own = Path(os.__file__).parent
    python = {str(own), str(own / "lib-dynload")}
    folders = list(dict.fromkeys(_folders(environment)))
    folders.sort(key=lambda folder: folder not in python)  # the others keep their order
    return os.pathsep.join(folders)


def _folders(environment: Mapping[str, str]) -> Iterator[str]:
    ours = str(Path(__file__).resolve().parents[2])
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    for entry in [*sys.path, *filter(None, given), ours]:
        with suppress(OSError, TypeError):  # the working folder is gone; anything may be in there
            folder = str(Path(entry).absolute())
            if os.pathsep not in folder:
                yield folder
