"""One shipper at a time for a store and destination, by a lock that dies with its holder.

The lock is ``flock(2)`` on a file beside the store. It belongs to the open file, so it goes when
the process does, however it ends. A forked child inherits the open file, and would keep the lock
after its parent's end: it closes its copy at once, and programs that are started do not inherit it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path


def lock_path(store: Path, key: str) -> Path:
    """Return the lock's file for a store and the key of a destination."""
    store = store.resolve()  # one lock, by whichever name the file is known
    digest = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()
    return store.with_name(f"{store.name}-{digest[:12]}.lock")


class ServingLock:
    """The right to serve one destination. Not thread-safe; not reentrant."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._file is not None

    def acquire(self) -> bool:
        """Take the lock if nobody has it; return whether it is held now.

        Raises:
            OSError: if there cannot be such a file.
        """
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return True

    def release(self) -> None:
        """Let go of it. The file stays: removing it would let two have the lock."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def after_fork(self) -> None:
        """Leave it to the parent, in a forked child."""
        self.release()


def is_free(path: Path) -> bool:
    """Tell whether nobody holds the lock just now.

    Raises:
        OSError: if there cannot be such a file.
    """
    lock = ServingLock(path)
    try:
        return lock.acquire()
    finally:
        lock.release()
