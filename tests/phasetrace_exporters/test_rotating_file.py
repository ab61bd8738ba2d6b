"""A file that several processes append lines to."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from phasetrace_exporters import rotating_file
from phasetrace_exporters.rotating_file import RotatingFile


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_lines_are_appended(tmp_path: Path) -> None:
    """Also to what was there before."""
    (tmp_path / "a.log").write_bytes(b"before\n")
    file = RotatingFile(tmp_path / "a.log")
    file.append(b"one\n")
    file.append(b"two\n")
    assert contents(tmp_path) == {"a.log": b"before\none\ntwo\n"}


def test_the_file_stays_the_same_when_the_program_changes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it has not been opened yet."""
    monkeypatch.chdir(tmp_path)
    file = RotatingFile(Path("a.log"))
    monkeypatch.chdir("/")
    file.append(b"one\n")
    assert contents(tmp_path) == {"a.log": b"one\n"}


def test_a_full_file_makes_room_and_the_oldest_goes(tmp_path: Path) -> None:
    """No more than so many are kept."""
    file = RotatingFile(tmp_path / "a.log", max_bytes=8, files=3)
    for number in range(9):
        file.append(b"%d..\n" % number)
    assert contents(tmp_path) == {
        "a.log": b"8..\n",
        "a.1.log": b"6..\n7..\n",
        "a.2.log": b"4..\n5..\n",
    }


def test_a_single_file_begins_anew(tmp_path: Path) -> None:
    """There is nowhere to keep the old one."""
    file = RotatingFile(tmp_path / "a.log", max_bytes=4)
    for line in (b"one\n", b"two\n"):
        file.append(line)
    assert contents(tmp_path) == {"a.log": b"two\n"}


def test_a_line_that_is_too_long_has_a_file_to_itself(tmp_path: Path) -> None:
    """It is not cut."""
    file = RotatingFile(tmp_path / "a.log", max_bytes=4, files=9)
    for line in (b"a\n", b"longer than that\n", b"b\n"):
        file.append(line)
    assert contents(tmp_path) == {
        "a.2.log": b"a\n",
        "a.1.log": b"longer than that\n",
        "a.log": b"b\n",
    }


def test_what_another_one_has_renamed_is_not_written_to(tmp_path: Path) -> None:
    """Nor what has been removed."""
    first, second = (RotatingFile(tmp_path / "a.log", max_bytes=8, files=2) for _ in range(2))
    first.append(b"one\n")
    second.append(b"two\n")
    second.append(b"three\n")
    first.append(b"4\n")
    assert contents(tmp_path) == {"a.1.log": b"one\ntwo\n", "a.log": b"three\n4\n"}
    (tmp_path / "a.log").unlink()
    first.append(b"5\n")
    assert contents(tmp_path)["a.log"] == b"5\n"


def test_half_a_line_that_a_crash_has_left_is_ended(tmp_path: Path) -> None:
    """The next one begins a line of its own."""
    (tmp_path / "a.log").write_bytes(b"half")
    RotatingFile(tmp_path / "a.log").append(b"whole\n")
    assert contents(tmp_path) == {"a.log": b"half\nwhole\n"}


def test_a_line_for_which_there_is_no_room_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the error says so."""
    file = RotatingFile(tmp_path / "a.log")
    file.append(b"one\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:2]))
    with pytest.raises(OSError, match="No space left") as error:
        file.append(b"two\n")
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    file.append(b"three\n")
    assert contents(tmp_path) == {"a.log": b"one\nthree\n"}


def test_who_does_not_get_its_turn_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process holds nobody up; only renaming has to wait."""
    monkeypatch.setattr(rotating_file, "_PATIENCE_S", 0.0)
    file = RotatingFile(tmp_path / "a.log", max_bytes=4, files=2)
    file.append(b"one\n")
    with (tmp_path / "a.log").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        file.append(b"two\n")
    assert contents(tmp_path) == {"a.log": b"one\ntwo\n"}
    file.append(b"6\n")
    assert contents(tmp_path) == {"a.1.log": b"one\ntwo\n", "a.log": b"6\n"}


def test_a_file_system_without_locks_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without renaming."""

    def flock(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    file = RotatingFile(tmp_path / "a.log", max_bytes=1)
    file.append(b"one\n")
    file.append(b"two\n")
    assert contents(tmp_path) == {"a.log": b"one\ntwo\n"}


def test_a_fork_ends_nobodys_turn(tmp_path: Path) -> None:
    """A child that lets the file go has the parent's lock stay."""
    file = RotatingFile(tmp_path / "a.log")
    file.append(b"one\n")
    assert file._descriptor is not None
    fcntl.flock(file._descriptor, fcntl.LOCK_EX)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = int(file._descriptor is not None)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with (tmp_path / "a.log").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


WRITER = """
import sys
from pathlib import Path
from phasetrace_exporters.rotating_file import RotatingFile
file = RotatingFile(Path(sys.argv[1]), max_bytes=20_000, files=1_000)
for number in range(200):
    more = b"x" * (number % 97)
    file.append(b'{"writer": %d, "number": %d, "more": "%s"}\\n' % (int(sys.argv[2]), number, more))
"""


def test_processes_and_threads_lose_no_line_and_break_none(tmp_path: Path) -> None:
    """While they rename the file under each other's hands."""
    file = RotatingFile(tmp_path / "a.jsonl", max_bytes=20_000, files=1_000)

    def write(writer: int) -> None:
        for number in range(200):
            file.append(b'{"writer": %d, "number": %d}\n' % (writer, number))

    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "a.jsonl", str(writer)])
        for writer in range(3)
    ]
    threads = [threading.Thread(target=write, args=(writer,)) for writer in (10, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0, 0]
    found = [
        (one["writer"], one["number"])
        for content in contents(tmp_path).values()
        for one in map(json.loads, content.splitlines())
    ]
    assert sorted(found) == [(writer, n) for writer in (0, 1, 2, 10, 11) for n in range(200)]
    assert len(contents(tmp_path)) > 2
