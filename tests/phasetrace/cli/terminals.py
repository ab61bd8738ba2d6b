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


class Terminal:
    """A terminal with one program in it that has it for itself; `pyte` is what draws it.

    ``raw`` is all that was written to it so far, with the escape sequences.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        store: Path,
        columns: int = 80,
        rows: int = 24,
        **variables: str,
    ) -> None:
        self.raw = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=_ROWS_KEPT)
        self._stream = pyte.ByteStream(self._screen)
        self._parent, self.child = pty.openpty()
        fcntl.ioctl(self.child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
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
