"""Opening the store's file, for writing and for reading; telling what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from phasetrace.errors import StoreError, StoreMissing
from phasetrace.store import schema
from phasetrace.store.placement import Identity, held_still

BUSY_TIMEOUT_S = 5.0
_RETRY_S = 0.01
_HEADER = b"SQLite format 3\0"
_SMALLEST = 512
"""A database has at least one page, and a page so many bytes ("Database File Format", 1.2)."""
_OF_DATABASES = (".db", ".sqlite", ".sqlite3")
_ELSEWHERE = ": set PHASETRACE_STORE elsewhere"


class BusyStore(StoreError):
    """Other processes kept the file locked; another try will do."""


class FullStore(StoreError):
    """There is no room for it, or its disk fails; that may pass."""


class UnusableStore(StoreError):
    """The file is no store that can be used; ``found`` is what it is, without what to do then."""

    def __init__(self, found: str, advice: str = "") -> None:
        super().__init__(f"{found}{advice}")
        self.found = found


class DamagedStore(UnusableStore):
    """The file is not a SQLite database, or its pages are inconsistent; ``identity`` is which."""

    def __init__(self, found: str, identity: Identity, advice: str = "") -> None:
        super().__init__(found, advice)
        self.identity = identity


class OpenStore(NamedTuple):
    """A connection for writing, and the file that it leads to."""

    connection: sqlite3.Connection
    identity: Identity


def open_for_writing(path: Path, timeout_s: float = BUSY_TIMEOUT_S) -> OpenStore:
    """Open the store, creating and migrating it as needed; mode 0600, WAL.

    The connection is in autocommit mode and may be used from any one thread at a time.

    Raises:
        DamagedStore: if the file is there and is not a sound store.
        BusyStore: if other processes kept it locked for `timeout_s`.
        StoreError: if it cannot be created or opened, or a newer version wrote it.
    """
    try:
        path = path.resolve()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held_still(path, timeout_s):
            identity = _create(path)
            return OpenStore(_open_existing(path, identity, timeout_s), identity)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write the store {path}: {reason}") from error


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the store for queries only. One of an older version is brought up to date first.

    Raises:
        StoreMissing: if there is no file yet, or nothing in it.
        StoreError: if it cannot be read (`DamagedStore` if it is damaged).
    """
    try:
        path = path.resolve()
        status = path.stat()
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot read the store {path}: {reason}") from error
    _check_file(path, status, os.R_OK)
    identity = Identity(status.st_dev, status.st_ino)
    connection = _open_read_only(path, identity)
    if schema.version_of(connection) == schema.VERSION:
        return connection
    connection.close()
    open_for_writing(path).connection.close()
    return _open_read_only(path, identity)


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file's content is broken."""
    message = str(error)
    return "not a database" in message or "malformed" in message or "corrupt" in message


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether an error means that another process was using the file just then."""
    message = str(error)
    return "locked" in message or "busy" in message


def as_store_error(error: sqlite3.Error, path: Path, identity: Identity) -> StoreError:
    """Return what an error of SQLite means for a store.

    What never was one, by its content and its name, is somebody's file, and not damaged.
    """
    if is_damage(error):
        if path.suffix.lower() not in _OF_DATABASES and not _is_database(path):
            return UnusableStore(f"{path} is no store", _ELSEWHERE)
        return DamagedStore(f"the store {path} is damaged ({error})", identity)
    message = f"cannot use the store {path}: {error}"
    if is_busy(error):
        return BusyStore(message)
    if "full" in str(error) or "disk I/O" in str(error):
        return FullStore(message)
    return StoreError(message)


def _create(path: Path) -> Identity:
    # One that is there must not be opened and closed just to look: closing any descriptor of a file
    # drops the locks that this process has on it (SQLite, "How To Corrupt", section 2.2).
    with suppress(FileExistsError):
        # SQLite gives the WAL and shared-memory files the mode of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    status = path.stat()
    _check_file(path, status, os.R_OK | os.W_OK)
    return Identity(status.st_dev, status.st_ino)


def _check_file(path: Path, status: os.stat_result, access: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"cannot use the store {path}: it is not a regular file")
    if not os.access(path, access):
        verb = "write" if access & os.W_OK else "read"
        raise StoreError(f"cannot {verb} the store {path}: permission denied")
    if 0 < status.st_size < _SMALLEST:
        # SQLite takes one of a single byte for a new one, and writes over it.
        error = sqlite3.DatabaseError("file is not a database")
        raise as_store_error(error, path, Identity(status.st_dev, status.st_ino))


def _open_existing(path: Path, identity: Identity, timeout_s: float) -> sqlite3.Connection:
    connection = _connect(path, "mode=rw", identity, timeout_s)
    try:
        # SQLite does not wait where waiting could be a deadlock, as in the change to WAL mode when
        # several processes create the store at once.
        _retry_busy(lambda: _prepare(connection, path), timeout_s)
    except sqlite3.Error as error:
        connection.close()
        raise as_store_error(error, path, identity) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = _check_content(connection, path)
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has effect on a new file only
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL survives the death of the process at any moment; FULL would add an fsync a batch.
    connection.execute("PRAGMA synchronous = NORMAL")
    if version < schema.VERSION:
        schema.migrate(connection)


def _open_read_only(path: Path, identity: Identity) -> sqlite3.Connection:
    with held_still(path, timeout_s=1.0):
        try:
            return _open_to_query(path, "mode=ro", identity)
        except sqlite3.OperationalError as error:
            # A database in WAL mode is only opened where its log can be created. Without a log
            # nothing can be missed by not looking for one, and nobody can be writing.
            if _size_of(Path(f"{path}-wal")) or is_busy(error):
                raise as_store_error(error, path, identity) from error
        except sqlite3.Error as error:
            raise as_store_error(error, path, identity) from error
        try:
            return _open_to_query(path, "mode=ro&immutable=1", identity)
        except sqlite3.Error as error:
            raise as_store_error(error, path, identity) from error


def _open_to_query(path: Path, options: str, identity: Identity) -> sqlite3.Connection:
    connection = _connect(path, options, identity, BUSY_TIMEOUT_S)
    try:
        connection.execute("PRAGMA query_only = ON")
        if _check_content(connection, path) == 0:
            raise _missing(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, options: str, identity: Identity, timeout_s: float) -> sqlite3.Connection:
    try:
        # Not by connect(), which instrumentations replace: this is no work of the program's.
        return sqlite3.Connection(
            f"{path.as_uri()}?{options}",
            uri=True,
            timeout=timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise as_store_error(error, path, identity) from error


def _check_content(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a store; raise StoreError if it is not one that can be used."""
    # In one transaction: another process may be creating the tables between two looks.
    connection.execute("BEGIN")
    try:
        version = schema.version_of(connection)
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if version > schema.VERSION:
        raise UnusableStore(
            f"the store {path} has version {version}, this phasetrace knows up to {schema.VERSION}"
            ": upgrade phasetrace",
            ", or set PHASETRACE_STORE to another file",
        )
    if version == 0 and tables:
        raise UnusableStore(f"{path} is a database of something else", _ELSEWHERE)
    return version


def _retry_busy(action: Callable[[], None], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_S)


def _is_database(path: Path) -> bool:
    """Tell whether a file begins as all databases do (SQLite, "Database File Format", 1.3.1).

    To be asked of a damaged one only: closing the file drops this process's locks on it.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:
        return False


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _missing(path: Path) -> StoreMissing:
    return StoreMissing(f"there is no store at {path} yet: run a program that records first")
