"""A line in the terminal of a running program that is never in the way of what the program prints.

The line stands *below* the cursor, in a row that the program has not reached yet: drawing it moves
down, writes and moves back, so that nothing of what has been printed is touched, be it half a line
or a prompt. Before the program prints, the row is empty again: its ``sys.stdout`` and
``sys.stderr`` are what the interpreter makes them, down to the raw file, which tells of each write.

A program writes past those as well: in C, by descriptor, from its children. Hence

- nothing is drawn while a child process is there that may print (`phasetrace.cli.sharers`), nor
  while the terminal is not in its ordinary mode (an editor, a password), nor in the background;
  starting a child, or asking for a line, clears the row first (`sys.addaudithook` tells of it);
- nothing is drawn where the cursor may be at the very edge (`phasetrace.cli.column`);
- a program that moves the cursor itself, or forks, is left alone for good.

What is left is code in C that prints several lines within the fifth of a second that the row is
drawn for: the end of the row may stand behind one of them; or one that prints, without a newline,
just as much as fills a row, and may lose the last of it. A scroll region around the last row of the
terminal would be free of that, and would leave the terminal broken after ``kill -9``, or after any
program that sets one of its own; drawing over the cursor's own row would break prompts.

Ctrl-Z and ``os._exit`` clear the row as well. A process that ends at once, of ``kill -9`` or a
fault in C, or of any signal that nobody handles but SIGTERM and SIGHUP, leaves it as it is: below
the cursor, where the shell prints next.
"""

from __future__ import annotations

import io
import os
import re
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Final, NoReturn

from phasetrace.cli.column import Column
from phasetrace.cli.sharers import children_may_print
from phasetrace.cli.suspension import Suspension
from phasetrace.cli.table import columns_of

QUIET_S: Final = 0.4
"""So long nothing has been printed before the line comes back."""

_CLEAR: Final = "\x1b[J"  # from the cursor on, which may be in the line's row by now: by an Enter
_DOWN: Final = "\x1bD\x1b[A\x1b7\x1b[E"  # make a row below, keep the place, go there
_BACK: Final = "\x1b8"
# All that moves the cursor elsewhere than on, or keeps its place; colours do not.
_MOVES: Final = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-ln-z@`]|[78DEMc])|[\b\v\f]|\r(?!\n)")
_LOCK_S: Final = 0.05
_LAST_BYTES: Final = 4_096
_CHILD: Final = frozenset(
    (
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
        "subprocess.Popen",
    )
)
_OPENS: Final = "open"
_STARTERS: Final = ("multiprocessing.popen_spawn_posix", "multiprocessing.popen_forkserver")
"""Start children of which no event tells, and open a pipe, by its descriptor, to say what to do."""
_ASKS: Final = "builtins.input"
_ANSWERED: Final = "builtins.input/result"
_IMPORTS: Final = "import"
_DRAWS: Final = "_curses"
"""It draws, and handles Ctrl-Z only where nobody else does (ncurses, ``lib_tstp.c``)."""


class StatusLine:
    """A line below the cursor of the terminal that stderr is. Thread-safe; never raises.

    `take_streams` before the program gets hold of them; `show` and `clear`, as often as wanted;
    after `end` nothing is drawn any more. It is to be ended before a fork.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.RLock()  # guards what is drawn; a signal handler may print, too
        self._drawn = False
        self._ended = False
        self._asking = False
        self._stopping = False
        self._printed_at = 0.0
        self._column = Column()
        self._suspension = Suspension(self._stop, self._go_on)
        self._os_exit = os._exit

    @property
    def is_over(self) -> bool:
        """Whether nothing will be drawn any more."""
        return self._ended

    def take_streams(self) -> None:
        """Have ``sys.stdout`` and ``sys.stderr`` tell of what is printed, where it may matter."""
        for name in ("stdout", "stderr"):
            with suppress(Exception):
                stream = _telling(getattr(sys, name), self)
                if stream is not None:
                    setattr(sys, name, stream)
                    setattr(sys, f"__{name}__", stream)
        self._suspension.install()
        os._exit = self._exit
        sys.addaudithook(self._audit)
        os.register_at_fork(after_in_child=self._after_fork)

    def show(self, text: str) -> bool:
        """Draw the line, in place of the one before; return whether it is there.

        `text` has to fit into a row. It is not drawn where it might be in the way.
        """
        if not self._is_time():
            return False
        try:
            if not self._may_draw():
                self.clear()
                return False
            if not self._lock.acquire(timeout=_LOCK_S):
                return False
            try:
                if not self._is_time():
                    return False
                os.write(self._descriptor, f"{_CLEAR}{_DOWN}{text}{_BACK}".encode())
                self._drawn = True
                return True
            finally:
                self._lock.release()
        except Exception:
            self._ended = True
            return False

    def clear(self) -> None:
        """Take the line away."""
        held = self._lock.acquire(timeout=_LOCK_S)
        try:
            if self._drawn:
                self._drawn = False
                with suppress(Exception):
                    os.write(self._descriptor, _CLEAR.encode())
        finally:
            if held:
                self._lock.release()

    def end(self) -> None:
        """Take the line away for good."""
        self._ended = True
        self.clear()
        self._suspension.remove()
        if os._exit == self._exit:
            os._exit = self._os_exit

    def printing(self, data: Any) -> None:
        """Make way for what is about to be printed."""
        if self._ended:
            return
        self._printed_at = time.monotonic()
        self._asking = False
        self.clear()
        with suppress(Exception):
            if _MOVES.search(data):
                self._ended = True

    def printed(self, data: Any) -> None:
        """Note what has been printed."""
        if self._ended:
            return
        self._printed_at = time.monotonic()
        with suppress(Exception):  # as the streams' locks are two, they may come at one moment
            self._column.add(bytes(data[-_LAST_BYTES:]))

    def _is_time(self) -> bool:
        """Tell whether the program is busy with something else than its terminal."""
        is_quiet = time.monotonic() - self._printed_at >= QUIET_S
        return is_quiet and not (self._ended or self._asking or self._stopping)

    def _may_draw(self) -> bool:
        """Tell whether the terminal is the program's alone, and lines come one after another."""
        import termios

        if os.tcgetpgrp(self._descriptor) != os.getpgrp():
            return False
        _, output, _, local, *_ = termios.tcgetattr(self._descriptor)
        if not (local & termios.ICANON and local & termios.ECHO and output & termios.OPOST):
            return False
        if self._column.may_be_at_edge(columns_of(self._descriptor)):
            return False
        return not children_may_print(self._descriptor)

    def _stop(self) -> None:
        self._stopping = True
        self.clear()

    def _go_on(self) -> None:
        self._stopping = False

    def _exit(self, status: int) -> NoReturn:
        """Exit the process as `os._exit` does, in place of which it stands."""
        self.clear()
        self._os_exit(status)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._ended:
            return
        if event in _CHILD or (event == _OPENS and type(arguments[0]) is int and _may_start()):
            self._printed_at = time.monotonic()
            self.clear()
        elif event == _ASKS:
            self._asking = True
            self.clear()
        elif event == _ANSWERED:
            self._asking = False
            self._column.start_row()
        elif event == _IMPORTS and arguments[0] == _DRAWS:
            self.end()

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._ended, self._drawn = True, False
        self._suspension.remove()


def _may_start() -> bool:
    return any(name in sys.modules for name in _STARTERS)


class _TellingFile(io.FileIO):
    """The raw file of a standard stream; a line makes way for what is written."""

    line: StatusLine

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        self.line.printing(data)
        written = super().write(data)
        self.line.printed(data if written is None else data[:written])
        return written


def _telling(stream: Any, line: StatusLine) -> Any:
    """Return a stream in place of a standard one that tells `line`; None where that is no terminal.

    It is made as the interpreter makes its own (CPython, ``create_stdio``).
    """
    if type(stream) is not io.TextIOWrapper or not stream.isatty():
        return None
    raw = _TellingFile(stream.fileno(), "wb", closefd=False)
    raw.line = line
    raw.name = stream.name
    is_buffered = type(stream.buffer) is io.BufferedWriter
    stream.flush()
    telling = io.TextIOWrapper(
        io.BufferedWriter(raw) if is_buffered else raw,
        encoding=stream.encoding,
        errors=stream.errors,
        newline="\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    telling.mode = stream.mode  # type: ignore[misc]
    return telling
