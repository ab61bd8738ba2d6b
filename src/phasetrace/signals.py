"""Writing out when a signal ends the program, before the program's own handling of it happens.

A handler of Python's runs in the main thread between any two bytecodes, so the main thread may hold
any lock just then. The handler therefore takes none: it starts a thread that writes, and waits for
a moment. In the ordinary case that is enough, and the program takes not one step more. Where the
writing needs a lock that the main thread holds, the program goes on until it has been written, and
is sent the signal once more.

Nobody's signals are handled unless that was asked for, but for those that end a child process of
multiprocessing: a pool terminates its workers as soon as it has their last result, and what they
have just finished would go with them.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from phasetrace import faults
from phasetrace.missed_signals import InheritedHandlers, die_of

_SIGNALS: Final = ("SIGTERM", "SIGHUP")
_PAUSE_S: Final = 1.5
_AGAIN: Final = 40
_BETWEEN_S: Final = 0.05


class SignalHandling:
    """Takes the signals that would end this process, and hands them on.

    `write_out` is told whether the process dies of the signal (nobody else handles it), and is
    called in a thread of its own. `is_writing_out` tells whether the thread that asks is doing that
    already: it is not made to wait for itself, then.
    """

    def __init__(
        self, write_out: Callable[[bool], None], is_writing_out: Callable[[], bool] = lambda: False
    ) -> None:
        self._write_out = write_out
        self._is_writing_out = is_writing_out
        self._previous: dict[int, Any] = {}
        self._inherited = InheritedHandlers(
            _numbers(), self._on_signal, self._previous, self._without_main
        )
        self._start_afresh()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork_in_child)

    def _start_afresh(self) -> None:
        self._writing = _thread.allocate_lock()  # held from a signal until it is handed on
        self._written = _thread.allocate_lock()  # held until everything is written
        self._is_written = False

    def _after_fork_in_child(self) -> None:
        self._start_afresh()
        self._inherited.give_back()

    def before_first_span(self) -> None:
        """Take the signals over in a forked child, too."""
        self._inherited.take_again()

    def install(self) -> None:
        """Take the signals over, but those that are ignored. Idempotent.

        Raises:
            ValueError: if this is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("signals are handled in the main thread")
        if os.getpid() == 1:
            return  # to this process the kernel delivers none that it does not handle
        for number in _numbers():
            previous = signal.getsignal(number)
            # None: handled by something that is not Python.
            if previous not in (signal.SIG_IGN, None, self._on_signal):
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def install_in_child(self) -> None:
        """Take over the signals that nobody handles, in a child that may be sent them but once.

        Does nothing outside of the main thread.
        """
        unhandled = [one for one in _numbers() if signal.getsignal(one) is signal.SIG_DFL]
        if not unhandled or threading.current_thread() is not threading.main_thread():
            return
        for number in unhandled:
            self._previous[number] = signal.SIG_DFL
            signal.signal(number, self._on_signal)
        self._inherited.listen()

    def remove(self) -> None:
        """Give the signals back, where nobody else has taken them since; in the main thread."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)
        self._previous.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._inherited.called()
        self._begin(number)
        wait_s = 0.0 if self._is_writing_out() else _PAUSE_S
        if not self._is_written and self._written.acquire(timeout=wait_s):
            self._written.release()
        if self._is_written:
            self._hand_on(number, frame)

    def _without_main(self, number: int) -> None:
        """Write out and die where the main thread is in a call that no signal interrupts."""
        if not callable(self._previous.get(number)):
            self._begin(number)

    def _begin(self, number: int) -> None:
        if self._writing.acquire(blocking=False):
            self._is_written = False
            self._written.acquire(blocking=False)
            try:
                _thread.start_new_thread(self._write, (number,))
            except RuntimeError:  # the interpreter is shutting down: there is no thread to be had
                self._write(number, is_thread=False)

    def _write(self, number: int, is_thread: bool = True) -> None:
        try:
            self._write_out(not callable(self._previous.get(number)))
        except BaseException as error:
            faults.report("writing out at a signal", error)
        self._is_written = True
        self._written.release()
        if not is_thread:
            return
        # The main thread may have stopped waiting. One that comes just before a call that blocks
        # does not interrupt it, hence more than one.
        main = threading.main_thread().ident
        for _ in range(_AGAIN):
            time.sleep(_BETWEEN_S)
            if not self._is_written or main is None:
                return
            signal.pthread_kill(main, number)
        if not callable(self._previous.get(number)):
            die_of(number)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        """Let happen what would have happened."""
        self._is_written = False
        self._writing.release()
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
