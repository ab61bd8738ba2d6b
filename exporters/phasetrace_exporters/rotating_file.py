"""A file that several processes append lines to, and that makes room when it is full.

    traces.jsonl  traces.1.jsonl  traces.2.jsonl  …      the latest first, the oldest goes

A line is one call of ``write(2)`` on a descriptor opened with ``O_APPEND``, which on a local file
system no other one gets into. The processes take turns by ``flock(2)``, for as long as a line
takes: so that one of them renames the file, and the others see that they have an old one; and so
that a line for which the disk had no room is taken back, and not left as a half.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_NEW_FILE: Final = 0o666
"""Less what the umask takes away, as for any file that a program writes."""
_PATIENCE_S: Final = 1.0
"""How long the others may take; then a line is written all the same, and only renaming is not."""
_POLL_S: Final = 0.001
_TRIES: Final = 100


class RotatingFile:
    """Appends to the file at `path`; past `max_bytes` (None: never) it begins another one.

    `files` is how many there are then at most. A line that is longer than that has a file to
    itself. The folder and the file are made when the first line comes. Thread-safe; a forked child
    opens the file anew.
    """

    def __init__(self, path: Path, max_bytes: int | None = None, files: int = 1) -> None:
        self.path = path.absolute()  # the program may change its folder
        self._max_bytes = max_bytes
        self._files = max(1, files)
        self._start()
        _all.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()  # guards the descriptor
        self._descriptor: int | None = None

    def append(self, line: bytes) -> None:
        """Write a line, all of it or nothing.

        Raises:
            OSError: if it cannot be written.
        """
        with self._lock:
            for _ in range(_TRIES):
                descriptor = self._opened()
                with _turn(descriptor) as is_ours:
                    if not self._is_current(descriptor):  # another process has renamed it
                        self._close()
                        continue
                    size = os.fstat(descriptor).st_size
                    if is_ours and self._is_full(size, len(line)):
                        self._rotate()
                        self._close()
                        continue
                    self._write(descriptor, line, size if is_ours else None)
                    return
            raise OSError(errno.EBUSY, "it is being renamed all the time", str(self.path))

    def close(self) -> None:
        """Let go of the file; a further line opens it again."""
        with self._lock:
            self._close()

    def _is_full(self, size: int, more: int) -> bool:
        return self._max_bytes is not None and size > 0 and size + more > self._max_bytes

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            try:
                self._descriptor = os.open(self.path, flags, _NEW_FILE)
            except FileNotFoundError:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self.path, flags, _NEW_FILE)
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        try:
            there = self.path.stat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(descriptor))

    def _rotate(self) -> None:
        """Give each file the name of the one before it; the oldest one goes."""
        names = [self.path, *(self._older(number) for number in range(1, self._files))]
        with suppress(FileNotFoundError):
            names[-1].unlink()
        for newer, older in zip(names[-2::-1], names[:0:-1], strict=True):
            with suppress(FileNotFoundError):
                newer.replace(older)

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")

    @staticmethod
    def _write(descriptor: int, line: bytes, size: int | None) -> None:
        """Write a line after `size` bytes, which is None if others may be writing."""
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a machine has died in the middle of the last one
        written = os.write(descriptor, line)
        if written < len(line):
            if size is not None:
                os.ftruncate(descriptor, size)
            else:
                os.write(descriptor, b"\n")  # a broken line, and not two
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _turn(descriptor: int) -> Iterator[bool]:
    """Keep other processes from writing; tell whether that is so."""
    is_ours = _taken(descriptor)
    try:
        yield is_ours
    finally:
        # Closing would do, were there no forked child that has the descriptor, too.
        if is_ours:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)


def _taken(descriptor: int) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        except OSError:  # the file system has no locks
            return False
        else:
            return True
        time.sleep(_POLL_S)


_all: Final[weakref.WeakSet[RotatingFile]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for file in _all:
        # Only closed: to unlock it would end the parent's turn.
        file._close()
        file._start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
