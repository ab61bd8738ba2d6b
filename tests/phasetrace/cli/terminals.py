"""Programs in a terminal of their own, and what is to be seen there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyte

from tests.phasetrace.cli.programs import environment

PATIENCE_S = 40.0
_ROWS_KEPT = 2_000


class _Screen(pyte.HistoryScreen):
    """A screen whose cursor stands *on* the last character of a full row, as xterm's does.

    That of pyte stands behind it, so that what erases from there on, or moves, would do no harm.
    """

    def _stand(self) -> None:
        self.cursor.x = min(self.cursor.x, self.columns - 1)

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        self._stand()
        super().erase_in_display(how, *args, **kwargs)

    def cursor_up(self, count: int | None = None) -> None:
        self._stand()
        super().cursor_up(count)

    def save_cursor(self) -> None:
        self._stand()
        super().save_cursor()


class Terminal:
    """A terminal with one program in it that has it for itself; `pyte` is what draws it.

    ``raw`` is all that was written to it so far, with the escape sequences. `is_sizeless` has it
    say that it has no columns and rows, as in a container.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        store: Path,
        columns: int = 80,
        rows: int = 24,
        is_sizeless: bool = False,
        **variables: str,
    ) -> None:
        self.raw = b""
        self._screen = _Screen(columns, rows, history=_ROWS_KEPT)
        self._stream = pyte.ByteStream(self._screen)
        self._parent, self.child = pty.openpty()
        size = (0, 0) if is_sizeless else (rows, columns)
        fcntl.ioctl(self.child, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment(store), "TERM": "xterm", "LC_ALL": "C.UTF-8", **variables},
            stdin=self.child,
            stdout=self.child,
            stderr=self.child,
            start_new_session=True,
            preexec_fn=_take_the_terminal,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._parent)
        os.close(self.child)

    @property
    def display(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def everything(self) -> list[str]:
        """What has gone off the screen at its top, and what is on it, up to the last of it."""
        gone: list[Any] = list(self._screen.history.top)
        columns = self._screen.columns
        lines = ["".join(row[x].data for x in range(columns)).rstrip() for row in gone]
        lines += self.display
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._parent, text.encode())

    def until(self, condition: Callable[[], object]) -> None:
        """Take in what the program writes until a condition holds; fail if it never does."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "\n".join(["not seen:", *self.everything])
            assert self._take_in(0.1) or self.process.poll() is None or condition(), "\n".join(
                ["it has ended:", *self.everything]
            )

    def shows(self, text: str) -> None:
        """Wait until a text is on the screen."""
        self.until(lambda: any(text in line for line in self.display))

    def shows_no_more(self, text: str) -> None:
        """Wait until it is not there any more."""
        self.until(lambda: not any(text in line for line in self.display))

    def writes(self, data: bytes, after: int) -> None:
        """Wait until this has been written, after so many bytes."""
        self.until(lambda: data in self.raw[after:])

    def end(self) -> int:
        """Wait for the program to end, and take in all that it wrote; return its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "\n".join(["it goes on:", *self.everything])
            self._take_in(0.05)
        while self._take_in(0.05):
            pass
        return self.process.returncode

    def modes(self) -> list[Any]:
        """Return how the terminal is set."""
        return termios.tcgetattr(self.child)

    def _take_in(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._parent], [], [], seconds)
        if not ready:
            return False
        data = os.read(self._parent, 65_536)
        self.raw += data
        self._stream.feed(data)
        return True


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
