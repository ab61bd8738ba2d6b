"""Signals that the main thread of a child process does not get to handle.

Python's handler of a signal runs in the main thread between two bytecodes. A signal that arrives
after the last look for one, and before a system call that blocks, interrupts nothing, and its
handler waits for as long as the call does. A pool's worker that waits for its next task is often in
that instant when the pool terminates it, once, and then waits for its end for ever. Nor does a
signal interrupt a library in C that goes on all the same.

That a signal has come is noted at once in a pipe (`signal.set_wakeup_fd`). The thread that
writes spans looks there, ten times a second, and has the main thread interrupted once more; where
that has been of no use for a second or two, it does without that thread. A child without a thread
that writes has nothing to write, and is better off without a handler.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

_INTERRUPTIONS: Final = 5
_KERNEL_S: Final = 0.05

watchers: list[Callable[[], None]] = []
"""What the thread that writes spans calls whenever it wakes."""


class InheritedHandlers:
    """The handlers that a forked child has from its parent.

    `previous` tells what handled a signal before; where it does not, that was the default. Whoever
    handles a signal says so by `called`. `stuck` is called, in another thread, with a signal that
    the main thread does not come to handle.
    """

    def __init__(
        self,
        numbers: Iterable[int],
        handler: Any,
        previous: Mapping[int, Any],
        stuck: Callable[[int], None],
    ) -> None:
        self._numbers = frozenset(numbers)
        self._handler = handler
        self._previous = previous
        self._stuck = stuck
        self._given_back: dict[int, Any] = {}
        self._reading = self._writing = -1
        self._called_at = 0.0
        self._looked_at = 0.0
        self._missed: int | None = None
        self._interruptions = 0

    def called(self) -> None:
        """Note that the handler has been called."""
        self._called_at = time.monotonic()

    def give_back(self) -> None:
        """In a child that has just been forked: handle nothing until there are spans."""
        self._stop_listening()  # this child's parent may itself have been a child
        for number in self._numbers:
            if signal.getsignal(number) == self._handler:
                previous = self._previous.get(number, signal.SIG_DFL)
                signal.signal(number, previous)
                self._given_back[number] = previous

    def take_again(self) -> None:
        """Before the first span of a child: handle the signals again, where that can be done."""
        if not self._given_back or threading.current_thread() is not threading.main_thread():
            return
        # Not where the child has set a handler of its own meanwhile.
        ours = [
            number
            for number, previous in self._given_back.items()
            if signal.getsignal(number) == previous
        ]
        for number in ours:
            signal.signal(number, self._handler)
        self._given_back.clear()
        if ours:
            self.listen()

    def listen(self) -> None:
        """Have the thread that writes spans look out for signals that are missed."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        if before != -1:  # somebody else's, who learns of signals in this way already
            signal.set_wakeup_fd(before)
            os.close(reading)
            os.close(writing)
            return
        self._reading, self._writing, self._missed = reading, writing, None
        self._interruptions = 0
        self._looked_at = time.monotonic()
        watchers.append(self._look)

    def _stop_listening(self) -> None:
        """Close the pipe that was inherited: what is written there is the parent's to read."""
        if self._reading == -1:
            return
        if self._look in watchers:
            watchers.remove(self._look)
        before = signal.set_wakeup_fd(-1)
        if before not in (-1, self._writing):
            signal.set_wakeup_fd(before)
        for end in (self._reading, self._writing):
            with contextlib.suppress(OSError):  # a daemon closes everything it has inherited
                os.close(end)
        self._reading = self._writing = -1
        self._missed = None

    def _look(self) -> None:
        before, self._looked_at = self._looked_at, time.monotonic()
        try:
            noted = os.read(self._reading, 512)
        except OSError:  # nothing, or the program has closed what it does not know
            noted = b""
        if self._called_at >= before:
            self._missed, self._interruptions = None, 0
            return
        # Not at the first sight, when it may be about to be handled; and once: the main thread is
        # interrupted in its call, or else is about to look for signals by itself.
        main = threading.main_thread().ident
        missed, self._missed = self._missed, None
        if missed is None:
            self._missed = next((one for one in noted if one in self._numbers), None)
        elif main is not None and signal.getsignal(missed) == self._handler:
            self._interruptions += 1
            if self._interruptions <= _INTERRUPTIONS:
                signal.pthread_kill(main, missed)
            else:
                self._interruptions = 0
                self._stuck(missed)


def die_of(number: int) -> None:
    """End the process by a signal, from any thread; return if that cannot be done.

    For a main thread that waits where no handler of Python's can run: in a library in C, or for the
    lock of stdout, which a thread holds that writes to a full pipe.
    """
    with contextlib.suppress(Exception):
        import ctypes

        # Python lets only the main thread change what a signal does, the C library any thread.
        ctypes.CDLL(None).signal(number, int(signal.SIG_DFL))
        os.kill(os.getpid(), number)
        time.sleep(_KERNEL_S)  # which may deliver it to another thread
