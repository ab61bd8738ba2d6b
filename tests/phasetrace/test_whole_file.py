"""A file is written whole or not at all, and never over a database."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from phasetrace.errors import UsageError
from phasetrace.whole_file import whole_file


def written(path: Path, content: bytes = b"new") -> None:
    """Write a file."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """Have no file become longer than so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_it_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """With its mode, when it is complete."""
    file = tmp_path / "f"
    file.write_bytes(b"old")
    file.chmod(0o640)
    with whole_file(file) as new:
        new.write(b"new")
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_the_one_before(tmp_path: Path) -> None:
    """And nothing else."""
    file = tmp_path / "f"
    file.write_bytes(b"old")
    with no_room(1_000), pytest.raises(OSError, match="File too large"):
        written(file, b"x" * 1_000_000)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    """In bytes, of which a character may have four."""
    for name in ("x" * 255, "\N{OPEN BOOK}" * 63):
        written(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"new"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Have a database that is not the store."""
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (a)")
    return file


@pytest.mark.parametrize("name", ["other.db", "other.db-wal", "other.db-shm", "other.db-journal"])
def test_a_database_is_not_replaced(database: Path, name: str) -> None:
    """Nor what SQLite has beside it, whether that is there or not."""
    before = database.read_bytes()
    for there in (False, True):
        if there and name != "other.db":
            database.with_name(name).write_bytes(b"there")
        with pytest.raises(UsageError, match="SQLite database; name another file"):
            written(database.with_name(name))
    assert database.read_bytes() == before


def test_a_link_to_a_database_is_one(database: Path) -> None:
    """Of either kind."""
    (database.parent / "soft").symlink_to(database)
    os.link(database, database.parent / "hard")
    for name in ("soft", "hard"):
        with pytest.raises(UsageError, match="SQLite database"):
            written(database.parent / name)


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_the_store_is_not_replaced_whatever_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """Also where there is none yet: nothing could be recorded any more."""
    store = tmp_path / "folder" / "s.db"
    store.parent.mkdir()
    (tmp_path / "link").symlink_to("folder")
    monkeypatch.setenv("PHASETRACE_STORE", str(store))
    if content is not None:
        store.write_bytes(content)
    for name in ("folder/s.db", "folder/s.db-wal", "link/s.db"):
        with pytest.raises(UsageError, match=r"it is (part of )?the store; name another file"):
            written(tmp_path / name)
    written(tmp_path / "folder" / "s.db.csv")
    monkeypatch.setenv("PHASETRACE_STORE", "off")
    written(store)


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """By whom it is read gets all, and it stays a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    written(pipe)
    reader.join()
    assert read == [b"new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_what_is_open_under_a_number_is_gone_on_with(tmp_path: Path, name: str) -> None:
    """Where it is, and not from its beginning; a file is not replaced below it."""
    file = tmp_path / "f"
    with file.open("wb") as opened:
        opened.write(b"old")
        opened.flush()
        path = Path(name.format(opened.fileno()))
        if name == "link":
            path = tmp_path / "link"
            path.symlink_to(f"/dev/fd/{opened.fileno()}")
        written(path)
        opened.write(b", more")
    assert file.read_bytes() == b"oldnew, more"


def test_a_folder_is_none(tmp_path: Path) -> None:
    """And says so."""
    with pytest.raises(IsADirectoryError):
        written(tmp_path)
