"""Many processes at one store: beside each other, forked from each other, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from phasetrace.store import writer as writer_module
from phasetrace.store.entry import FirstSpan
from phasetrace.store.process import birth_of, host_name, is_alive
from phasetrace.store.reader import StoreReader
from phasetrace.store.session import Outcome, StoreSession
from tests.phasetrace.store.conftest import (
    Recording,
    in_child,
    query,
    read,
    run_program,
    start_program,
    wait_until,
)


def test_eight_processes_create_one_store_and_lose_nothing(path: Path) -> None:
    """They begin at the same moment, with no store there."""
    source = """
import sys, phasetrace
print("ready", flush=True)
sys.stdin.readline()
for number in range(500):
    with phasetrace.time_phase("shared", f"node {sys.argv}", f"phase {number}"): pass
with phasetrace.execution(sys.stdin.readline().strip()): pass
"""
    programs = [start_program(source, path) for _ in range(8)]
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    for number, program in enumerate(programs):
        assert program.stdin is not None
        program.stdin.write(f"\nown {number}\n")
        program.stdin.flush()
    errors = [program.communicate(timeout=60)[1] for program in programs]
    assert errors == [""] * 8
    assert query(
        path, "SELECT count(*), count(DISTINCT span_id) FROM spans WHERE type='phase'"
    ) == [(4_000, 4_000)]
    assert query(path, "SELECT count(*) FROM executions") == [9]
    assert query(path, "SELECT count(*) FROM processes WHERE closed_ns IS NOT NULL") == [8]
    assert query(path, "SELECT count(*) FROM counters") == [0]


def test_the_first_process_owns_an_implicit_execution(recording: Recording, path: Path) -> None:
    """The others are told that its root is not theirs to end."""
    recording.phase("e")
    assert recording.writer.flush()
    assert recording.elsewhere == []

    def work() -> None:
        child = Recording(path)
        child.phase("e")
        assert child.writer.flush()
        assert child.elsewhere == ["e"]
        assert child.close()

    assert in_child(work) == 0
    assert query(path, "SELECT process FROM executions") == [1]


def test_a_process_with_nothing_but_totals_is_told_of_the_owner_too(
    recording: Recording, path: Path
) -> None:
    """It may not have had a span to write since the owner came."""
    recording.phase("e")
    assert recording.writer.flush()
    query(path, "UPDATE executions SET process = 99 RETURNING id")
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO processes VALUES (99, 1, '', 'elsewhere', 0, NULL, NULL)")
        connection.execute("UPDATE executions SET process = 99")
    connection.close()
    recording.close()
    assert recording.elsewhere == ["e"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_writes_its_own_spans_only(recording: Recording, path: Path) -> None:
    """What waits in the parent's queue is the parent's; each has a row as a process."""
    recording.phase("e", "before the fork")

    def work() -> None:
        recording.phase("e", "in the child")
        assert recording.close()

    assert in_child(work) == 0
    recording.phase("e", "in the parent")
    assert recording.close()
    names = query(path, "SELECT name FROM spans ORDER BY name")
    assert names == ["before the fork", "in the child", "in the parent"]
    assert query(
        path,
        "SELECT count(DISTINCT process), count(*) FROM streams JOIN spans ON stream = streams.id",
    ) == [(2, 3)]
    pids = query(path, "SELECT pid FROM processes")
    assert len(pids) == 2
    assert os.getpid() in pids


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_a_child_writes_stays_when_its_parent_closes_the_store(
    recording: Recording, path: Path
) -> None:
    """A child that inherited the parent's connection would write into a log that is removed."""
    recording.phase("e", "parent")
    assert recording.writer.flush()
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()

    def work() -> None:
        recording.phase("e", "child, before")
        assert recording.writer.flush()
        os.write(from_child, b".")
        os.read(to_child, 1)
        recording.phase("e", "child, after")
        assert recording.writer.flush()
        os._exit(0)  # without closing anything

    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    os.read(to_parent, 1)
    recording.phase("e", "parent again")
    assert recording.close()
    os.write(from_parent, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for descriptor in (to_child, from_parent, to_parent, from_child):
        os.close(descriptor)
    assert query(path, "SELECT name FROM spans ORDER BY seq") == [
        "parent",
        "child, before",
        "parent again",
        "child, after",
    ]
    assert query(path, "PRAGMA integrity_check") == ["ok"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forks_while_the_thread_writes_lose_nothing(recording: Recording, path: Path) -> None:
    """No child is born in the middle of a transaction."""
    stop = threading.Event()
    recorded = 0

    def work() -> None:
        nonlocal recorded
        while not stop.is_set():
            recording.phase("parent")
            recording.writer.flush()
            recorded += 1

    def child() -> None:
        recording.phase("child")
        assert recording.close()

    thread = threading.Thread(target=work)
    thread.start()
    codes = [in_child(child) for _ in range(15)]
    stop.set()
    thread.join()
    assert codes == [0] * 15
    assert recording.close()
    assert query(path, "SELECT exec_id, spans FROM executions ORDER BY exec_id") == [
        ("child", 15),
        ("parent", recorded),
    ]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_parent_goes_on_as_the_same_process(recording: Recording, path: Path) -> None:
    """It opens the file again, and keeps its row."""
    recording.phase("e")
    assert recording.writer.flush()
    assert in_child(lambda: None) == 0
    recording.phase("e")
    assert recording.writer.flush()
    assert query(path, "SELECT count(*) FROM processes") == [1]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_a_closed_recording_records(recording: Recording, path: Path) -> None:
    """A child is a process of its own, with a beginning and an end."""
    recording.phase("e", "parent")
    assert recording.close()

    def work() -> None:
        recording.phase("e", "child")
        assert recording.close()

    assert in_child(work) == 0
    assert query(path, "SELECT name FROM spans ORDER BY name") == ["child", "parent"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.usefixtures("without_thread")
def test_a_fork_leaves_what_waits_where_it_is(recording: Recording, path: Path) -> None:
    """It only makes sure whose the executions are, once for each, and lets go of the file."""
    for number in range(2_000):
        recording.phase(f"e {number % 3}")
    recording.start("open")

    def work() -> None:
        assert not recording.writer._queue
        assert recording.writer._session._connection is None
        for exec_id in ("e 0", "open", "mine"):
            recording.phase(exec_id, "child")
        assert recording.close()
        assert {"e 0", "open"} <= set(recording.elsewhere)
        assert "mine" not in recording.elsewhere

    assert in_child(work) == 0
    assert len(recording.writer._queue) == 2_000
    assert recording.writer._claimed == {"e 0", "e 1", "e 2", "open"}
    assert query(path, "SELECT name FROM spans") == ["child"] * 3
    assert recording.close()
    assert query(path, "SELECT count(*) FROM spans") == [2_003]
    owners = dict(query(path, "SELECT e.exec_id, pid FROM executions e JOIN processes p"
                              " ON p.id = e.process"))  # fmt: skip
    assert {exec_id for exec_id, pid in owners.items() if pid == os.getpid()} == {
        "e 0",
        "e 1",
        "e 2",
        "open",
    }


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.usefixtures("without_thread")
def test_an_execution_is_claimed_once(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fork with the same spans waiting does not even open the file.

    There are more than are written at once before a fork.
    """
    claims: list[int] = []
    plain = StoreSession.claim

    def claim(self: StoreSession, spans: Sequence[FirstSpan], timeout_s: float) -> bool:
        claims.append(len(spans))
        return plain(self, spans, timeout_s)

    monkeypatch.setattr(StoreSession, "claim", claim)
    for _ in range(1_000):
        recording.phase("e")
    for _ in range(2):
        assert in_child(lambda: None) == 0
    recording.phase("f")
    assert in_child(lambda: None) == 0
    assert claims == [1, 1]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_does_not_wait_for_the_queue(
    recording: Recording, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for what waits, nor for a thread that is writing it; that one goes on afterwards."""
    forking = threading.Event()
    plain = StoreSession.write

    def write(self: StoreSession, *batch: Any) -> Outcome:
        forking.wait(10)  # so that there is no time to write much before
        return plain(self, *batch)

    monkeypatch.setattr(StoreSession, "write", write)
    os.register_at_fork(before=forking.set)  # runs before the writer's own hook
    for _ in range(30_000):
        recording.phase("e")
    flushed: list[bool] = []
    thread = threading.Thread(target=lambda: flushed.append(recording.writer.flush(60)))
    thread.start()
    wait_until(lambda: recording.writer._writing.locked())
    assert in_child(lambda: None) == 0
    waiting = len(recording.writer._queue)
    thread.join()
    assert waiting > 1_000
    assert flushed == [True]
    assert query(path, "SELECT count(*) FROM spans") == [30_000]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("lock", ["_starting", "_writing"])
def test_a_fork_where_its_own_thread_holds_a_lock_goes_on(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    """As in a signal handler that interrupts the writer's own steps."""
    monkeypatch.setattr(writer_module, "_FORK_TIMEOUT_S", 0.05)
    recording.phase("e")
    with getattr(recording.writer, lock):
        assert in_child(lambda: None) == 0
        assert getattr(recording.writer, lock).locked()
    assert recording.writer.flush()


OPEN_FOR_A_SECOND = """
import sys, time, phasetrace
from phasetrace import clock
with phasetrace.execution("killed"):
    with phasetrace.node("node"):
        with phasetrace.phase("done"): pass
        with phasetrace.phase("hanging"):
            print("open", flush=True)
            sys.stdin.readline()
"""


def test_a_killed_program_leaves_an_abandoned_execution(path: Path) -> None:
    """With what it had done, and with what it was doing."""
    with start_program(OPEN_FOR_A_SECOND, path) as program:
        assert program.stdout is not None
        program.stdout.readline()
        wait_until(lambda: path.exists() and _open_names(path) == ["hanging", "killed", "node"])
        assert read(path, "killed").status == "running"
        with StoreReader(path) as store:
            assert {one.running for one in store.open_spans(store.find("killed"))} == {True}
        program.kill()
    with StoreReader(path) as store:
        execution = store.find("killed")
        assert execution.status == "abandoned"
        assert [one.name for one in store.spans(execution)] == ["done"]
        left = store.open_spans(execution)
    assert [(one.name, one.running) for one in left] == [
        ("killed", False),
        ("node", False),
        ("hanging", False),
    ]
    assert left[2].parent_id == left[1].span_id


def _open_names(path: Path) -> list[str]:
    try:
        return query(path, "SELECT name FROM open_spans ORDER BY name")
    except Exception:
        return []


def test_a_terminated_child_that_nobody_waited_for_is_gone() -> None:
    """A zombie has a pid still; it runs no more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        birth = birth_of(child.pid)
        assert is_alive(child.pid, birth, host_name())
        child.send_signal(signal.SIGKILL)
        wait_until(lambda: not is_alive(child.pid, birth, host_name()))
    assert not is_alive(child.pid, birth, host_name())


def test_another_process_with_the_same_pid_is_not_the_same() -> None:
    """Pids are given again; the moment of birth is not."""
    assert is_alive(os.getpid(), birth_of(os.getpid()), host_name())
    assert not is_alive(os.getpid(), "1", host_name())


def test_a_process_of_another_host_is_taken_to_run() -> None:
    """Its pid means nothing here."""
    assert is_alive(2**22, "1", "another host")


def test_containers_with_one_host_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pids of another namespace mean nothing here either."""
    here = host_name()
    monkeypatch.setattr(Path, "readlink", lambda self: "pid:[1]")
    assert host_name() != here


def test_without_proc_a_live_pid_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux there is no cheap way to the moment of birth."""

    def nothing(self: object, **options: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nothing)
    assert birth_of(os.getpid()) == ""
    assert is_alive(os.getpid(), "", host_name())


def test_the_api_survives_a_fork(path: Path) -> None:
    """Through the public calls: the parent's queue, the child's own row, both ends."""
    source = """
import os, sys, phasetrace
with phasetrace.execution("e"):
    with phasetrace.time_phase("e", "node", "parent"): pass
    child = os.fork()
    if child == 0:
        with phasetrace.time_phase("e", "node", "child"): pass
        sys.exit(0 if phasetrace.force_flush() else 1)
    assert os.waitpid(child, 0)[1] == 0
"""
    run_program(source, path, PYTHONWARNINGS="ignore::DeprecationWarning")
    names = query(path, "SELECT name FROM spans WHERE type = 'phase' ORDER BY name")
    assert names == ["child", "parent"]
    assert query(path, "SELECT count(*) FROM executions") == [1]
    assert read(path, "e").status == "ok"


def test_the_thread_is_gone_while_the_program_forks(path: Path) -> None:
    """Python warns whoever forks with threads running, and this one is not the program's."""
    source = """
import os, threading, phasetrace
from phasetrace import time_phase
with time_phase("e", "node", "before"): pass
names = []
os.register_at_fork(after_in_parent=lambda: names.extend(t.name for t in threading.enumerate()))
if os.fork() == 0: os._exit(0)
os.wait()
assert names == ["MainThread"], names
with time_phase("e", "node", "after"): pass
assert "phasetrace-store" in [thread.name for thread in threading.enumerate()]
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        env={**os.environ, "PHASETRACE_STORE": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert query(path, "SELECT name FROM spans WHERE type = 'phase' ORDER BY seq") == [
        "before",
        "after",
    ]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_are_stored(path: Path, tmp_path: Path, method: str) -> None:
    """Whatever way they are started in."""
    script = tmp_path / "program.py"
    script.write_text(
        f"""
import multiprocessing, phasetrace
def work(number):
    with phasetrace.time_phase("e", "node", f"phase {{number}}"): pass
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with phasetrace.execution("e"):
        children = [context.Process(target=work, args=(number,)) for number in range(3)]
        for child in children: child.start()
        for child in children: child.join()
"""
    )
    environment = {**os.environ, "PHASETRACE_STORE": str(path)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True, timeout=60)
    assert query(path, "SELECT name FROM spans WHERE type = 'phase' ORDER BY name") == [
        "phase 0",
        "phase 1",
        "phase 2",
    ]


def test_a_reader_sees_a_program_that_writes(path: Path) -> None:
    """Every look is at a sound state, and the numbers only grow."""
    source = """
import sys, phasetrace
print("ready", flush=True)
for number in range(3_000):
    with phasetrace.time_phase("e", "node", f"phase {number % 10}"): pass
    if number % 100 == 0: phasetrace.force_flush()
"""
    with start_program(source, path) as program:
        assert program.stdout is not None
        program.stdout.readline()
        wait_until(lambda: path.exists() and _count(path))
        seen = []
        while program.poll() is None:
            with StoreReader(path) as store:
                seen.append(store.breakdown(store.find("e")).spans)
        assert program.communicate()[1] == ""
    assert seen == sorted(seen)
    with StoreReader(path) as store:
        assert store.breakdown(store.find("e")).spans == 3_001


def _count(path: Path) -> int:
    try:
        return int(query(path, "SELECT count(*) FROM executions")[0])
    except Exception:
        return 0
