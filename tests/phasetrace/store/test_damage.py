"""A damaged store: set aside with all that belongs to it, reported once, never overwritten."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from phasetrace.store import placement, session
from phasetrace.store.file import open_for_writing
from phasetrace.store.placement import held_still, identity_of, set_aside
from phasetrace.store.reader import StoreReader
from tests.phasetrace.store.conftest import PATIENCE_S, Recording, query, start_program

GARBAGE = b"this was never a database " * 1_000


def asides(path: Path) -> list[Path]:
    """Return the stores that were set aside."""
    return sorted(
        one
        for one in path.parent.glob(f"{path.name}.damaged-*")
        if not one.name.endswith(("-wal", "-shm"))
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, which must be warnings of ours."""
    assert {(record.name, record.levelno) for record in caplog.records} <= {
        ("phasetrace", logging.WARNING)
    }
    return [record.getMessage() for record in caplog.records]


def damage(path: Path) -> None:
    """Overwrite the middle of a store, as a failing disk would."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def test_a_damaged_store_is_set_aside(
    recording: Recording, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept as it was, a new one is begun, and one line says so."""
    path.parent.mkdir()
    path.write_bytes(GARBAGE)
    recording.phase("e")
    assert recording.writer.flush()
    (aside,) = asides(path)
    assert aside.read_bytes() == GARBAGE
    assert query(path, "SELECT count(*) FROM spans") == [1]
    (line,) = warnings(caplog)
    assert f"{path} is damaged" in line
    assert f"set aside as {aside}" in line


def test_somebodys_file_is_never_moved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even by a link of another name: the program runs on, and one line says so."""
    victim, link = tmp_path / "victim.py", tmp_path / "traces.db"
    victim.write_bytes(GARBAGE)
    link.symlink_to(victim)
    for path in (victim, link):
        caplog.clear()
        recording = Recording(path)
        recording.phase("e")
        recording.close()
        (line,) = warnings(caplog)
        assert line == (
            f"phasetrace: {victim} is no store: set PHASETRACE_STORE elsewhere;"
            " this run is not stored"
        )
    assert victim.read_bytes() == GARBAGE
    assert sorted(tmp_path.iterdir()) == [link, victim]


@pytest.mark.usefixtures("without_thread")
@pytest.mark.parametrize("is_found_while_writing", [True, False])
def test_a_store_that_becomes_somebodys_file_is_left_alone(
    path: Path, caplog: pytest.LogCaptureFixture, is_found_while_writing: bool
) -> None:
    """An editor may save into it while a program records."""
    path = path.with_suffix(".txt")
    recording = Recording(path)
    recording.phase("before")
    assert recording.writer.flush()
    own = recording.writer._session
    own.disconnect()
    path.write_bytes(GARBAGE)
    if is_found_while_writing:
        error = sqlite3.DatabaseError("file is not a database")
        assert own._failed(error) is session.Outcome.NEVER
    recording.phase("after")
    recording.writer.flush()
    recording.close()
    assert path.read_bytes() == GARBAGE
    assert asides(path) == []
    assert "is no store" in warnings(caplog)[0]


@pytest.mark.usefixtures("without_thread")
def test_damage_found_while_writing_costs_no_span(
    recording: Recording, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was to be written is written to the new store."""
    for number in range(200):
        recording.phase("before", f"phase {number}")
    assert recording.writer.flush()
    recording.writer._session.disconnect()
    damage(path)
    recording.phase("after")
    recording.writer.flush()
    assert recording.writer.flush()
    assert query(path, "SELECT name FROM spans") == ["phase"]
    assert len(asides(path)) == 1
    assert "set aside as" in warnings(caplog)[0]


@pytest.mark.usefixtures("without_thread")
def test_open_spans_get_rows_in_the_new_store(
    recording: Recording, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A running execution goes on to be seen."""
    root = recording.root("running")
    recording.phase("other")
    assert recording.writer.flush()
    recording.writer._session.disconnect()
    path.write_bytes(GARBAGE)
    for _ in range(3):
        recording.phase("other")
        recording.writer.flush()
    assert query(path, "SELECT exec_id FROM executions ORDER BY exec_id") == ["other", "running"]
    root.end()


@pytest.mark.usefixtures("without_thread")
def test_a_store_that_somebody_removes_is_begun_again(
    recording: Recording, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is recorded from then on is not written into a file without a name."""
    recording.phase("before")
    assert recording.writer.flush()
    for one in path.parent.iterdir():
        one.unlink()
    recording.phase("after")
    assert recording.writer.flush()
    assert query(path, "SELECT exec_id FROM executions") == ["after"]
    assert warnings(caplog) == []


def test_the_log_of_a_damaged_store_goes_with_it(path: Path) -> None:
    """Else the new store would take it for its own."""
    path.parent.mkdir()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").write_text(f"old{suffix}")
    identity = identity_of(path)
    assert identity is not None
    aside = set_aside(path, identity, 1.0)
    assert aside is not None
    assert [Path(f"{aside}{suffix}").read_text() for suffix in ("", "-wal", "-shm")] == [
        "old",
        "old-wal",
        "old-shm",
    ]
    assert {one.name for one in path.parent.iterdir()} == {
        f"{aside.name}{suffix}" for suffix in ("", "-wal", "-shm")
    }


def test_only_the_file_that_was_judged_is_set_aside(path: Path) -> None:
    """A healthy one that took its place stays."""
    path.parent.mkdir()
    path.write_bytes(GARBAGE)
    judged = identity_of(path)
    assert judged is not None
    path.rename(path.with_name("moved"))
    path.write_text("healthy")
    assert set_aside(path, judged, 1.0) is None
    assert path.read_text() == "healthy"


def test_nothing_that_was_set_aside_is_overwritten(path: Path) -> None:
    """Not even within the same second."""
    path.parent.mkdir()
    for number in range(5):
        path.write_text(str(number))
        identity = identity_of(path)
        assert identity is not None
        set_aside(path, identity, 1.0)
    assert {one.read_text() for one in asides(path)} == {"0", "1", "2", "3", "4"}


def test_setting_aside_waits_for_whoever_is_opening(path: Path) -> None:
    """And does not wait for ever."""
    path.parent.mkdir()
    path.write_bytes(GARBAGE)
    with held_still(path, 1.0):
        folder = os.open(path.parent, os.O_RDONLY)
        assert not placement._locked(folder)
        os.close(folder)
        with held_still(path, 0.05):
            pass


def test_a_store_damaged_again_and_again_is_given_up(
    recording: Recording,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then it is not the file, and a folder full of set-aside stores helps nobody."""

    def rotten(self: session.StoreSession, timeout_s: float) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(GARBAGE)
        open_for_writing(path)

    monkeypatch.setattr(session.StoreSession, "_connect", rotten)
    for _ in range(10):
        recording.phase("e")
        assert not recording.writer.flush()
    assert len(asides(path)) <= 3
    assert recording.writer.lost == {"unwritable": 10}
    assert "this run is not stored" in warnings(caplog)[-1]


def record_into(path: Path, number: int, barrier: Callable[[], object]) -> None:
    """Record in a process of its own."""
    recording = Recording(path)
    barrier()
    for _ in range(20):
        recording.phase(f"execution {number}")
        recording.writer.flush()
    os._exit(0 if recording.close() else 1)


@pytest.mark.parametrize("found", ["on opening", "in use"])
def test_processes_that_find_the_damage_at_once_share_the_new_store(path: Path, found: str) -> None:
    """One of them sets it aside; none takes the healthy new one for the damaged."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(5)
    path.parent.mkdir()
    if found == "on opening":
        path.write_bytes(GARBAGE)
    else:
        recording = Recording(path)
        for number in range(200):
            recording.phase("before", f"phase {number}")
        assert recording.close()
        damage(path)
    processes = [
        context.Process(target=record_into, args=(path, number, barrier.wait))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    for process in processes:
        process.join(PATIENCE_S)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(asides(path)) == 1
    assert query(path, "SELECT exec_id, spans FROM executions ORDER BY 1") == [
        (f"execution {number}", 20) for number in range(4)
    ]


def test_a_program_whose_store_is_damaged_in_the_middle_runs_on(path: Path) -> None:
    """Its pages are overwritten under it; one line, and the rest goes to a new store."""
    source = """
import phasetrace
for number in range(500):
    with phasetrace.time_phase("before", "node", f"phase {number}"): pass
phasetrace.force_flush()
print("written", flush=True)
input()
for number in range(500):
    with phasetrace.time_phase("after", "node", f"phase {number}"): pass
phasetrace.force_flush()
"""
    with start_program(source, path) as program:
        assert program.stdout is not None
        program.stdout.readline()
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(path)
        _, errors = program.communicate("\n", timeout=60)
    assert program.returncode == 0
    (line,) = errors.splitlines()
    assert "damaged" in line
    assert len(asides(path)) == 1
    with StoreReader(path) as store:
        assert store.find("after").spans == 501
