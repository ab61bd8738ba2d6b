"""Where the store's file is: finding out which file that is, and moving a damaged one away.

SQLite finds a write-ahead log by the database's name. A process that opens the database while
another one moves it would join an old database to a new log. Whoever creates, opens or moves the
file therefore holds a lock on its folder meanwhile (``flock(2)``, which the death of its holder
releases, and which leaves nothing behind).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_RETRY_S = 0.005
# The log first: were it left behind by a process that dies half-way, the next store would take it
# for its own.
_COMPANIONS = ("-wal", "-shm", "-journal", "")


class Identity(NamedTuple):
    """Which file a path led to: a name can be given to another one."""

    device: int
    inode: int


def identity_of(path: Path) -> Identity | None:
    """Return which file is at `path`, None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Identity(status.st_dev, status.st_ino)


@contextmanager
def held_still(path: Path, timeout_s: float) -> Iterator[None]:
    """Keep other processes and threads from creating, opening or moving the file at `path`.

    Best effort: where the folder cannot be locked, or not within `timeout_s`, goes on without.
    Not reentrant.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + timeout_s
        while not _locked(folder) and time.monotonic() < deadline:
            time.sleep(_RETRY_S)
        yield
    finally:
        os.close(folder)


def _locked(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True


def set_aside(path: Path, identity: Identity, timeout_s: float) -> Path | None:
    """Move a damaged store and its log away, never over another file.

    The caller has no connection to it any more.

    Returns:
        Where it is now; None if the file at `path` is not (or no longer) the one judged.

    Raises:
        OSError: if it cannot be moved.
    """
    with held_still(path, timeout_s):
        if identity_of(path) != identity:
            return None
        aside = _free_name(path)
        for suffix in _COMPANIONS:
            source = Path(f"{path}{suffix}")
            if source.exists():
                source.replace(f"{aside}{suffix}")
    return aside


def _free_name(path: Path) -> Path:
    base = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    aside, number = path.with_name(base), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{base}-{number}")
    return aside
