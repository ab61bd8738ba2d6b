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


def presence_path(store: Path, key: str, way: str) -> Path:
    """Return the file of the lock that a process of its own holds, for as long as it is there.

    It is there for the programs that get to the destination by the same way
    (`phasetrace.store.destinations.DestinationSpec`), also while nobody serves it.
    """
    return lock_path(store, f"{key} by {way}")


class ServingLock:
    """The right to serve one destination. Not thread-safe; not reentrant."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._file is not None

    @property
    def is_current(self) -> bool:
        """Whether the file that it is held on is still the one at the path.

        Somebody may have removed it; then another process can have the lock as well.
        """
        return self._file is not None and self._is_at_path(self._file)

    def acquire(self) -> bool:
        """Take the lock if nobody has it; return whether it is held now.

        Raises:
            OSError: if there cannot be such a file.
        """
        if self._file is not None:
            if self.is_current:
                return True
            self.release()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except BaseException:
            os.close(file)
            raise
        if not self._is_at_path(file):  # it was removed before it could be locked
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let go of it. The file stays: removing it would let two have the lock."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _is_at_path(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except OSError:
            return False

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
