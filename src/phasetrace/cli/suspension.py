"""Ctrl-Z: putting the terminal in order before the process stops, and going on afterwards.

Nothing that stops (SIGSTOP) or ends a process without asking can be prepared for. Nor is SIGQUIT
taken from a program: it is what ends one that does nothing else any more, and a handler of Python's
would have to wait for such a program.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType


class Suspension:
    """Calls `before` when this process is told to stop from the terminal, and `after` it goes on.

    Only while nobody else handles the signal: whoever sets a handler has it for himself, and where
    it was ignored it remains so. Both run in the main thread, between any two bytecodes; a call
    written in C that the main thread is in ends first, as with Ctrl-C.
    """

    def __init__(self, before: Callable[[], object], after: Callable[[], object]) -> None:
        self._before = before
        self._after = after

    def install(self) -> None:
        """Take the signal over; nothing is done in another thread than the main one."""
        if _is_main_thread() and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._on_signal)

    def remove(self) -> None:
        """Give it back, where nobody else has taken it since; in the main thread."""
        if _is_main_thread() and signal.getsignal(signal.SIGTSTP) == self._on_signal:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._before()
        stop_here()
        self.install()
        self._after()


def stop_here() -> None:
    """Stop this process as Ctrl-Z does, and return when it goes on; in the main thread.

    A process that no shell could bring back does not stop (POSIX, "orphaned process group"). The
    signal has its default afterwards.
    """
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)


def _is_main_thread() -> bool:
    return hasattr(signal, "SIGTSTP") and threading.current_thread() is threading.main_thread()
