"""Opening the store's file: for writing, for reading, and when it is damaged."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from phasetrace.errors import StoreError, StoreMissing
from phasetrace.store import schema

_BUSY_TIMEOUT_S = 5.0
_COMPANIONS = ("", "-wal", "-shm")


class DamagedStore(StoreError):
    """The file is not a SQLite database, or its pages are inconsistent."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the store, creating and migrating it as needed; mode 0600, WAL.

    The connection is in autocommit mode and may be used from any one thread at a time.

    Raises:
        DamagedStore: if the file is there and is not a sound store.
        StoreError: if it cannot be created or opened, or a newer version wrote it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the WAL and shared-memory files the mode of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"cannot write the store {path}: {error.strerror or error}") from error
    connection = _connect(f"{path.resolve().as_uri()}?mode=rw", path)
    try:
        _check_version(connection, path)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has effect on a new file only
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL survives the death of the process at any moment; FULL would add an fsync a batch.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        schema.migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise _as_store_error(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the store for queries only.

    Raises:
        StoreMissing: if there is no file yet.
        StoreError: if it cannot be read (`DamagedStore` if it is damaged).
    """
    if not path.exists():
        raise StoreMissing(f"there is no store at {path} yet: run a program that records first")
    if not os.access(path, os.R_OK):
        raise StoreError(f"cannot read the store {path}: permission denied")
    connection = _connect(f"{path.resolve().as_uri()}?mode=ro", path)
    try:
        _check_version(connection, path)
        if schema.version_of(connection) < schema.VERSION:
            connection.close()
            connection = open_for_writing(path)  # an older store is brought up to date first
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        raise _as_store_error(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


def set_aside(path: Path) -> Path:
    """Move a damaged store and its companions away; return where it is now."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    for suffix in _COMPANIONS:
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.replace(f"{aside}{suffix}")
    return aside


def _connect(uri: str, path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _as_store_error(error, path) from error


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    version = schema.version_of(connection)
    if version > schema.VERSION:
        raise StoreError(
            f"the store {path} has version {version}, this phasetrace knows up to "
            f"{schema.VERSION}: upgrade phasetrace, or set PHASETRACE_STORE to another file"
        )
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path} is a database of something else: set PHASETRACE_STORE elsewhere")


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file's content is broken."""
    message = str(error)
    return "not a database" in message or "malformed" in message or "corrupt" in message


def _as_store_error(error: sqlite3.Error, path: Path) -> StoreError:
    if is_damage(error):
        return DamagedStore(f"the store {path} is damaged ({error})")
    return StoreError(f"cannot use the store {path}: {error}")
