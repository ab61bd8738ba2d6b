"""One holder at a time, in all processes; the lock goes with its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from phasetrace.delivery.lock import ServingLock, is_free, lock_path

HOLDER = """
import sys
from pathlib import Path
from phasetrace.delivery.lock import ServingLock
lock = ServingLock(Path(sys.argv[1]))
assert lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_store_has_one_lock_by_whichever_name(tmp_path: Path) -> None:
    """Two programs may know it by a link and by its own name."""
    (tmp_path / "link.db").symlink_to(tmp_path / "traces.db")
    assert lock_path(tmp_path / "link.db", "d") == lock_path(tmp_path / "traces.db", "d")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the lock is."""
    return lock_path(tmp_path / "traces.db", "otlp http://localhost:4318/v1/traces")


def test_there_is_one_holder(path: Path) -> None:
    """Also of two in one process."""
    first, second = ServingLock(path), ServingLock(path)
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    assert not is_free(path)
    first.release()
    assert is_free(path)
    assert second.acquire()
    second.release()


def test_a_file_that_was_removed_is_no_lock(path: Path) -> None:
    """Another process can have the one that comes in its place."""
    first, second = ServingLock(path), ServingLock(path)
    assert first.acquire()
    assert first.is_current
    path.unlink()
    assert not first.is_current
    assert second.acquire()
    assert not first.acquire()
    assert not first.is_held
    second.release()
    assert first.acquire()
    first.release()


def test_the_file_is_the_users_own(path: Path) -> None:
    """As the store is."""
    lock = ServingLock(path)
    lock.acquire()
    assert path.stat().st_mode & 0o777 == 0o600
    lock.release()


def test_destinations_do_not_share_a_lock(path: Path) -> None:
    """Nor do stores."""
    folder = path.parent
    assert lock_path(folder / "traces.db", "other").name != path.name
    assert lock_path(folder / "other.db", "other") != lock_path(folder / "traces.db", "other")


def test_it_dies_with_its_holder(path: Path) -> None:
    """However that dies."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not is_free(path)
        holder.send_signal(signal.SIGKILL)
    assert is_free(path)


def test_a_child_does_not_keep_it(path: Path) -> None:
    """It outlives its parent's lock, not the other way round."""
    lock = ServingLock(path)
    assert lock.acquire()
    ready, go_on = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        lock.after_fork()
        os.write(ready[1], b".")
        os.read(go_on[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert not is_free(path)
    lock.release()
    assert is_free(path)
    os.write(go_on[1], b".")
    os.waitpid(child, 0)
    for end in (*ready, *go_on):
        os.close(end)
