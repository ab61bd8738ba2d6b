"""How a program under ``phasetrace run`` ends other than by itself: by a signal, or by its time.

A handler of Python's runs in the main thread between any two bytecodes, so the main thread may hold
any lock just then: one of phasetrace's, of `logging`, of stdout. The handler therefore takes none.
It starts a thread that does the work, by the primitive that has no lock in Python, and then only
waits: in the ordinary case the program takes not one step more; where the work needs a lock that
the main thread holds, the wait ends and the program goes on until the work is done.

What is open when a program ends this way is ended as cancelled.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final, NoReturn

from phasetrace import faults
from phasetrace.missed_signals import InheritedHandlers, die_of

TIMED_OUT: Final = 124
"""The exit code after ``--timeout``, that of timeout(1)."""

PAUSE_S: Final = 1.5
"""How long the main thread waits in the handler.

Longer than a slow disk or a silent receiver takes, so that the program goes on only where the work
waits for a lock of the main thread's.
"""

GRACE_S = 5.0
"""How long a program has to end after ``--timeout``."""

_SIGNALS: Final = ("SIGTERM", "SIGHUP")
_SHELL_SIGNAL: Final = 128
_LAST_SIGNALS: Final = 20
_BETWEEN_SIGNALS_S: Final = 0.05
_SWITCH_S: Final = 0.0001


class TimedOut(KeyboardInterrupt):
    """Raised in the program's main thread when its time is up; unwinds it like Ctrl-C."""


class Ending:
    """Takes the signals and the time of one program.

    `write_out` is called once, in a thread of its own, when the process is to die: it ends what is
    open, writes everything and says what there is to say. In a forked child it is called as well.
    """

    def __init__(self, write_out: Callable[[], None]) -> None:
        self.program_runs = False
        """Whether an exception in the main thread reaches the program's own code."""
        self.is_writing_out: Callable[[], bool] = lambda: False
        """Tells whether the thread that asks is writing out: it must not wait for itself."""
        self._write_out = write_out
        self._masks: dict[int, Iterable[int]] = {}  # of the threads that are forking
        self._inherited = InheritedHandlers(_numbers(), self._on_signal, {}, self._without_main)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.timed_out = False
        self._over = threading.Event()
        self._at_exit = False
        self._ended_by: int | None = None
        self._ending = _thread.allocate_lock()  # taken by who ends the process, for good
        self._written = False
        self._writing = _thread.allocate_lock()  # held until everything is written
        self._writing.acquire()

    def install(self) -> None:
        """Take over the signals that would end the program, where nobody else has."""
        if os.getpid() == 1:
            return  # to this process the kernel does not even deliver them
        for number in _numbers():
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._on_signal)
        # Of hooks before a fork the one registered last runs first, of those after it last.
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork_in_parent,
            after_in_child=self._after_fork_in_child,
        )

    def before_first_span(self) -> None:
        """Take the signals over in a forked child, too."""
        self._inherited.take_again()

    def watch(self, seconds: float) -> None:
        """End the program when this time has passed."""
        threading.Thread(
            target=self._watch, args=(seconds,), name="phasetrace-timeout", daemon=True
        ).start()

    def at_exit(self, write_out: Callable[[], None]) -> None:
        """Write out because the program has ended by itself; die of what comes meanwhile."""
        self._over.set()
        self._at_exit = True
        if not self._ending.acquire(blocking=False):
            threading.Event().wait()  # a thread is ending the process
        write_out()
        for number in _numbers():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, signal.SIG_DFL)
        if self._ended_by is not None:
            os.kill(os.getpid(), self._ended_by)

    def _before_fork(self) -> None:
        """Hold signals back until the child has locks of its own.

        A thread that was started earlier could wait for ever for one of the parent's.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _numbers())
        self._masks[_thread.get_ident()] = mask

    def _after_fork_in_parent(self) -> None:
        mask = self._masks.pop(_thread.get_ident(), None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _after_fork_in_child(self) -> None:
        self._start_afresh()
        self._inherited.give_back()
        self._after_fork_in_parent()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._inherited.called()
        if self.timed_out and self.program_runs:
            raise TimedOut
        if self._ending.acquire(blocking=False):
            self._ended_by = number
            try:
                _thread.start_new_thread(self._end, ())
            except RuntimeError:  # the interpreter is shutting down: there is no thread to be had
                if self.timed_out:
                    self._ending.release()  # the watching thread will end it
                    return
                with contextlib.suppress(Exception):
                    self._write_out()
                self._written = True
        elif self._at_exit:
            self._ended_by = number
            return
        if not self._written:
            self._writing.acquire(timeout=0.0 if self.is_writing_out() else PAUSE_S)
        if self._written and self._ended_by is not None:
            signal.signal(self._ended_by, signal.SIG_DFL)
            os.kill(os.getpid(), self._ended_by)

    def _without_main(self, number: int) -> None:
        """Write out and die where the main thread is in a call that no signal interrupts."""
        if self._ending.acquire(blocking=False):
            self._ended_by = number
            _thread.start_new_thread(self._end, ())

    def _end(self) -> None:
        """Write out and die; not in the main thread, which goes on meanwhile."""
        # PERF: every call of SQLite gives the interpreter lock away, and each busy thread of the
        # program keeps it for this long before it comes back: 2 to 10 s with four of them at the
        # usual 5 ms.
        sys.setswitchinterval(_SWITCH_S)
        try:
            self._write_out()
        except BaseException as error:
            faults.report("writing out before the end", error)
        number = self._ended_by
        if self.timed_out or number is None:
            leave(TIMED_OUT)
        self._written = True
        self._writing.release()
        # Only the main thread can put the signal's default back. It waits for that in the handler,
        # or is brought there once more: by a signal of its own, since one that another thread gets
        # does not interrupt what it is stuck in. One that comes just before a call that blocks does
        # not either, hence more than one.
        main = threading.main_thread().ident
        for _ in range(_LAST_SIGNALS):
            if main is not None:
                signal.pthread_kill(main, number)
            time.sleep(_BETWEEN_SIGNALS_S)
        die_of(number)
        os._exit(_SHELL_SIGNAL + number)

    def _watch(self, seconds: float) -> None:
        if self._over.wait(seconds):
            return
        self.timed_out = True
        for number in (signal.SIGTERM, signal.SIGINT):
            # Only where there is a handler: the program may have switched the signal off, or would
            # die of it without a word.
            if callable(signal.getsignal(number)):
                os.kill(os.getpid(), number)
                break
        if not self._over.wait(GRACE_S) and self._ending.acquire(blocking=False):
            self._end()


def leave(code: int) -> NoReturn:
    """End the process at once, whatever its other threads do."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
