"""Opening the file: made with care, shared with others, refused where it is not ours."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from phasetrace.errors import StoreError, StoreMissing
from phasetrace.store import file, placement, schema
from phasetrace.store.file import DamagedStore, open_for_reading, open_for_writing
from phasetrace.store.reader import StoreReader
from tests.phasetrace.store.conftest import Recording, in_child, query, run_program

NOBODY = 65_534


def make_store(path: Path) -> None:
    """Make a store with an execution in it."""
    recording = Recording(path)
    recording.execution("e")
    assert recording.close()


def as_nobody(work: Callable[[], object]) -> int:
    """Run `work` in a child without the rights of root; return its exit code."""

    def drop_rights_and_work() -> None:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()

    return in_child(drop_rights_and_work)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Return a folder that others can reach, which pytest's own are not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def test_a_new_store_is_the_owners_alone(recording: Recording, path: Path) -> None:
    """The file, its log and its folder: names and metadata may be secrets."""
    recording.phase("e")
    assert recording.writer.flush()
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert modes == dict.fromkeys(("traces.db", "traces.db-wal", "traces.db-shm"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_store_is_in_wal_mode_and_marked(path: Path) -> None:
    """Readers and writers do not wait for each other, and `file` can tell what it is."""
    make_store(path)
    assert query(path, "PRAGMA journal_mode") == ["wal"]
    assert query(path, "PRAGMA auto_vacuum") == [2]
    assert query(path, "PRAGMA application_id") == [schema.APPLICATION_ID]


@pytest.mark.parametrize("name", ["a b#c?d%e", "ünï", "\udcff"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    """The name goes into a URI, and comes out as it was."""
    path = tmp_path / name
    make_store(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [name]
    with StoreReader(path) as store:
        assert store.latest().exec_id == "e"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    """The store is where the link leads."""
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "real.db")
    make_store(link)
    assert link.is_symlink()
    assert (tmp_path / "real.db").is_file()


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    """With what to do about it; the file stays as it is."""
    make_store(path)
    query(path, f"PRAGMA user_version = {schema.VERSION + 1}")
    before = path.read_bytes()
    for opening in (open_for_writing, open_for_reading):
        with pytest.raises(StoreError, match=r"has version 8.*knows up to 7.*upgrade phasetrace"):
            opening(path)
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    """It is neither used nor set aside."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="a database of something else"):
        open_for_writing(path)
    assert query(path, "SELECT name FROM sqlite_master") == ["theirs"]


@pytest.mark.parametrize("opening", [open_for_writing, open_for_reading])
def test_what_is_not_a_file_is_refused(tmp_path: Path, opening: Callable[[Path], object]) -> None:
    """A folder or a pipe at the path: one clear error, and no waiting for a pipe's other end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(StoreError, match="not a regular file"):
            opening(path)


@pytest.mark.parametrize("opening", [open_for_writing, open_for_reading])
def test_a_loop_of_links_is_an_error_of_the_store(
    tmp_path: Path, opening: Callable[[Path], object]
) -> None:
    """Whatever Python calls it."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(StoreError):
        opening(loop)


def test_a_missing_store_is_told_apart(path: Path) -> None:
    """Nothing was recorded yet: no folder, no file, or nothing in it."""
    with pytest.raises(StoreMissing):
        open_for_reading(path)
    path.parent.mkdir()
    with pytest.raises(StoreMissing):
        open_for_reading(path)
    path.touch()
    with pytest.raises(StoreMissing):
        open_for_reading(path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "content", [b"not a database" * 1_000, b"\0" * 5_000, b"SQLite format 3\0"]
)
def test_a_damaged_file_is_told_apart(path: Path, content: bytes) -> None:
    """By readers and writers; neither changes it."""
    path.parent.mkdir()
    path.write_bytes(content)
    for opening in (open_for_writing, open_for_reading):
        with pytest.raises(DamagedStore, match="is damaged"):
            opening(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["victim.py", "notes", "traces.db.bak", "pictures.png"])
@pytest.mark.parametrize("content", [b"import os\n" * 1_000, b"x", b"\n", b"\0" * 5_000])
def test_what_is_no_database_is_somebodys_file(tmp_path: Path, name: str, content: bytes) -> None:
    """It is refused as a database of something else is, and stays as it is."""
    path = tmp_path / name
    path.write_bytes(content)
    for opening in (open_for_writing, open_for_reading):
        message = f"^{re.escape(str(path))} is no store: set PHASETRACE_STORE elsewhere$"
        with pytest.raises(StoreError, match=message) as error:
            opening(path)
        assert not isinstance(error.value, DamagedStore)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.db", "a.sqlite", "a.SQLite3"])
def test_what_is_called_a_database_is_a_damaged_one(tmp_path: Path, name: str) -> None:
    """Whatever is in it now."""
    (tmp_path / name).write_bytes(b"x" * 5_000)
    with pytest.raises(DamagedStore):
        open_for_writing(tmp_path / name)


def test_what_begins_like_a_database_is_a_damaged_one(tmp_path: Path) -> None:
    """Whatever it is called."""
    (tmp_path / "traces").write_bytes(b"SQLite format 3\0" + b"x" * 5_000)
    with pytest.raises(DamagedStore):
        open_for_writing(tmp_path / "traces")


def test_a_folder_that_cannot_be_written_is_an_error_of_the_store(shared_folder: Path) -> None:
    """Said with the reason."""
    shared_folder.chmod(0o555)

    def work() -> None:
        with pytest.raises(StoreError, match=r"cannot write the store .*Permission denied"):
            open_for_writing(shared_folder / "new" / "traces.db")

    assert as_nobody(work) == 0


def test_a_file_that_cannot_be_read_is_an_error_of_the_store(shared_folder: Path) -> None:
    """The same for its folder."""
    path = shared_folder / "traces.db"
    make_store(path)
    path.chmod(0o000)

    def work() -> None:
        with pytest.raises(StoreError, match=r"cannot read the store .*ermission denied"):
            open_for_reading(path)

    assert as_nobody(work) == 0
    shared_folder.chmod(0o600)
    assert as_nobody(work) == 0


@pytest.mark.parametrize("folder_mode", [0o555, 0o755])
def test_a_read_only_store_can_be_read(shared_folder: Path, folder_mode: int) -> None:
    """In a folder where no log can be made: an artifact of CI, a read-only mount."""
    path = shared_folder / "traces.db"
    make_store(path)
    path.chmod(0o444)
    shared_folder.chmod(folder_mode)

    def work() -> None:
        with StoreReader(path) as store:
            assert store.latest().exec_id == "e"

    assert as_nobody(work) == 0


def test_a_read_only_store_that_a_crash_left_can_be_read(shared_folder: Path) -> None:
    """What is only in its log is not passed over."""
    path = shared_folder / "traces.db"
    run_program(
        "import os, phasetrace\n"
        "with phasetrace.execution('e'): pass\n"
        "assert phasetrace.force_flush()\n"
        "os._exit(0)",
        path,
    )
    for one in shared_folder.iterdir():
        one.chmod(0o444)
    shared_folder.chmod(0o555)

    def work() -> None:
        with StoreReader(path) as store:
            assert store.latest().exec_id == "e"

    assert as_nobody(work) == 0


def test_opening_drops_no_locks_of_this_process(path: Path) -> None:
    """Closing any descriptor of a file drops the process's locks on it, so none is opened to look.

    Another process may else take the store to be unused, and remove the log that is in use.
    """
    first = open_for_writing(path)
    first.connection.execute("BEGIN IMMEDIATE")
    open_for_writing(path).connection.close()
    open_for_reading(path).close()
    locks = Path("/proc/locks")
    if not locks.exists():
        pytest.skip("only Linux tells which locks there are")
    inode = f":{path.stat().st_ino} "
    assert [line for line in locks.read_text().splitlines() if inode in line]
    first.connection.execute("ROLLBACK")
    first.connection.close()


@pytest.mark.parametrize("folder_locks", [True, False])
def test_threads_may_create_a_store_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_locks: bool
) -> None:
    """Whoever comes first, all of them get to use it; also on a file system without locks."""
    if not folder_locks:
        monkeypatch.setattr(placement, "_locked", lambda folder: True)
    errors: list[Exception] = []

    def work(path: Path, barrier: threading.Barrier) -> None:
        barrier.wait()
        try:
            open_for_writing(path).connection.close()
        except Exception as error:
            errors.append(error)

    for round_ in range(10):
        arguments = (tmp_path / f"{round_}.db", threading.Barrier(8))
        threads = [threading.Thread(target=work, args=arguments) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def test_opening_waits_where_sqlite_does_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says at once that the file is locked where waiting could be a deadlock."""
    tries: list[Path] = []
    plain = file._prepare

    def locked_at_first(connection: sqlite3.Connection, path: Path) -> None:
        tries.append(path)
        if len(tries) < 3:
            raise sqlite3.OperationalError("database is locked")
        plain(connection, path)

    monkeypatch.setattr(file, "_prepare", locked_at_first)
    open_for_writing(path).connection.close()
    assert len(tries) == 3
