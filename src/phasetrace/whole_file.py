"""Writing a file whole or not at all, in the place of one that is there.

That one stays as it is until the new one is complete, and for good if that is never. What is no
plain file is written to: a pipe, a device, and what the process has open under a number
(``/dev/stdout``, ``/dev/fd/3``). Databases are not replaced, and least of all the store.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from phasetrace.errors import ConfigError, UsageError
from phasetrace.settings import store_path

_SQLITE: Final = b"SQLite format 3\0"
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite has beside a database (https://www.sqlite.org/tempfiles.html)."""
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/(?:self|thread-self))/fd/(\d+)")
_MOST_LINKS: Final = 40
_MOST_OF_NAME: Final = 40
"""Characters: with what is put around them, they are within the 255 bytes of a name."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which is at `path` when all is well.

    Raises:
        UsageError: if a database is there, or something that belongs to one.
        OSError: if it cannot be written.
    """
    descriptor = _descriptor(path)
    if descriptor is not None:
        # Opened by its name, what stdout was sent to would be cut off, or replaced below it.
        with os.fdopen(os.dup(descriptor), "wb") as file:
            yield file
        return
    mode = _mode_of(path)
    if mode is not None and not stat.S_ISREG(mode):
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()  # a link goes on to lead to the file
    _refuse_databases(path)
    waiting = path.with_name(f".{path.name[:_MOST_OF_NAME]}.{secrets.token_hex(4)}.part")
    try:
        with waiting.open("xb") as file:
            yield file
        if mode is not None:
            waiting.chmod(stat.S_IMODE(mode))
        waiting.replace(path)
    except BaseException:
        with suppress(OSError):
            waiting.unlink()
        raise


def _descriptor(path: Path) -> int | None:
    """Return the number under which the process has a file open, if that is what a path says."""
    name = os.path.abspath(path)  # noqa: PTH100 - which follows no links
    for _ in range(_MOST_LINKS):
        found = _DESCRIPTOR.fullmatch(name)
        if found is not None:
            return int(found[1])
        try:
            target = os.readlink(name)  # noqa: PTH115
        except OSError:
            return None
        name = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120
    return None


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _refuse_databases(path: Path) -> None:
    beside = next((end for end in _COMPANIONS if path.name.endswith(end)), "")
    database = path.with_name(path.name.removesuffix(beside)) if beside else path
    if _is_store(database):
        what = "the store"
    elif _is_database(database):
        what = "an SQLite database"
    else:
        return
    raise UsageError(
        f"cannot write {path}: it is {f'part of {what}' if beside else what}; name another file"
    )


def _is_store(path: Path) -> bool:
    try:
        store = store_path()
    except ConfigError:
        return False  # then there is none
    if store is None:
        return False
    try:
        return path.samefile(store)
    except OSError:  # one of them is not there
        return path == store.resolve()


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:  # not there, or not readable
        return False
