"""Signals, time limits and forks: how a program ends otherwise, and what is then in the store."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.phasetrace.cli.programs import (
    COMMAND,
    Ended,
    finish,
    latest,
    phases,
    run,
    start,
    stored,
    traced,
    write,
)

SLEEPS = "import time\ntime.sleep(60)\n"
LOOPS = "while True:\n    pass\n"
WAITS = "import threading\nthreading.Event().wait()\n"
THREADS = """
import threading
from phasetrace import execution, node, phase, time_phase
def work(name):
    count = 0
    while True:
        with execution(f"{name}_{count}"), node("n"), phase("p"), time_phase("all", name, "q"):
            count += 1
for name in "abc":
    threading.Thread(target=work, args=(name,)).start()
print("ready", flush=True)
work("main")
"""
RECORDED = """
from phasetrace import phase
with phase("finished"):
    pass
print("ready", flush=True)
"""
SHORT_GRACE = """
import sys
from phasetrace.cli import endings, main
endings.GRACE_S = 0.2
sys.exit(main())
"""


SLOWLY = """
import os, signal, time
from phasetrace.cli.endings import Ending
def write_out():
    time.sleep(0.7)  # a slow disk
    print("written", flush=True)
ending = Ending(write_out)
ending.install()
os.kill(os.getpid(), signal.SIGTERM)
print("went on", flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return where the program's store is."""
    return tmp_path / "traces.db"


@contextlib.contextmanager
def started(text: str, folder: Path, store: Path, *options: str) -> Iterator[list[Ended]]:
    """Start a program and wait for its first line; send it SIGTERM; give its end."""
    process = start(traced(*options, "prog.py"), write(folder, {"prog.py": text}), store)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    yield [finish(process)]


@pytest.mark.parametrize("rest", [SLEEPS, LOOPS, WAITS])
def test_what_is_finished_is_stored_when_it_is_terminated(
    rest: str, tmp_path: Path, store: Path
) -> None:
    """It dies of the signal, wherever the main thread is, and loses nothing."""
    with started(RECORDED + rest, tmp_path, store) as (ended,):
        assert ended.code == -signal.SIGTERM
        assert ended.err == ""
    assert phases(store) == ["finished"]


def test_goes_no_step_further_while_it_is_written_out(tmp_path: Path, store: Path) -> None:
    """Also where that takes a while."""
    ended = run([sys.executable, "-c", SLOWLY], tmp_path, store)
    assert ended[:2] == (-signal.SIGTERM, "written\n")


def test_what_is_open_is_cancelled_when_it_is_terminated(tmp_path: Path, store: Path) -> None:
    """An open phase, its node and its execution end there and then, and say so."""
    text = """
from phasetrace import execution, node, phase
with execution("e"), node("n"), phase("p"):
    print("ready", flush=True)
    while True:
        pass
"""
    with started(text, tmp_path, store) as (ended,):
        assert ended.code == -signal.SIGTERM
    assert {span.status for span in stored(store)["e"]} == {"cancelled"}
    assert latest(store).status == "cancelled"


@pytest.mark.parametrize("end", ["signal", "timeout"])
def test_an_implicit_execution_is_cancelled_too(end: str, tmp_path: Path, store: Path) -> None:
    """Its root is made at the end, and says how it ended."""
    text = """
from phasetrace import time_phase
with time_phase("e", "n", "finished"):
    pass
with time_phase("e", "n", "p"):
    print("ready", flush=True)
    while True:
        pass
"""
    if end == "timeout":
        timed_out(text, tmp_path, store)
    else:
        with started(text, tmp_path, store) as (ended,):
            assert ended.code == -signal.SIGTERM
    assert {span.name: span.status for span in stored(store)["e"]} == {
        "finished": "ok",
        "p": "cancelled",
        "e": "cancelled",
    }
    assert latest(store).status == "cancelled"


def test_says_how_to_look_again_when_it_is_terminated(tmp_path: Path, store: Path) -> None:
    """The last lines are those of any run; the breakdown is there if asked for."""
    with started(RECORDED + SLEEPS, tmp_path, store, "--breakdown") as (ended,):
        assert ended.said[-1].startswith("look again: ")
        assert ended.said[-1].endswith(f" metrics {latest(store).exec_id} --breakdown")
        assert "finished" in ended.out


def test_many_recording_threads_do_not_keep_it_from_dying(tmp_path: Path) -> None:
    """Whatever lock a thread holds at that moment, there is no deadlock and no complaint."""

    def end(number: int) -> Ended:
        folder = tmp_path / str(number)
        folder.mkdir()
        with started(THREADS, folder, folder / "traces.db") as (ended,):
            return ended

    with ThreadPoolExecutor(2) as pool:
        for ended in pool.map(end, range(8)):
            assert (ended.code, ended.err) == (-signal.SIGTERM, "")


def test_a_program_that_nobody_reads_dies_all_the_same(tmp_path: Path, store: Path) -> None:
    """A thread that is stuck in writing to a full pipe holds stdout; the signal still ends it."""
    text = RECORDED + "import sys\nwhile True:\n    sys.stdout.write('x' * 10_000)\n"
    process = start(traced("--breakdown", "prog.py"), write(tmp_path, {"prog.py": text}), store)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    finish(process)
    assert phases(store) == ["finished"]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("1/0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_what_is_finished_is_stored_however_it_ends(
    end: str, code: int, tmp_path: Path, store: Path
) -> None:
    """Exit, exception, interrupt: nothing is lost."""
    ended = run(traced("prog.py"), write(tmp_path, {"prog.py": RECORDED + end}), store)
    assert ended.code == code
    assert phases(store) == ["finished"]


def test_what_comes_after_the_program_is_stored(tmp_path: Path, store: Path) -> None:
    """Threads that go on and exit handlers record into the execution like the program itself."""
    text = """
import atexit, threading
from phasetrace import phase
def record(name, wait=lambda: None):
    wait()
    with phase(name):
        pass
atexit.register(record, "exit handler")
threading.Thread(target=record, args=("thread", threading.main_thread().join)).start()
record("main")
"""
    ended = run(traced("prog.py"), write(tmp_path, {"prog.py": text}), store)
    assert ended.code == 0
    assert phases(store) == ["exit handler", "main", "thread"]
    (spans,) = stored(store).values()
    assert spans[-1].type == "execution"


CHILDREN = """
import os, signal, sys
from phasetrace import execution, phase
def end(how):
    if how == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(0)
with execution("e"):
    for how in ("exit", "terminated"):
        with phase("parent"):
            pid = os.fork()
            if pid == 0:
                with phase(how):
                    pass
                end(how)
            os.waitpid(pid, 0)
"""


def test_forked_children_store_their_own_phases_once(tmp_path: Path, store: Path) -> None:
    """They end none of the parent's spans, and only the parent says anything."""
    ended = run(traced("prog.py"), write(tmp_path, {"prog.py": CHILDREN}), store)
    assert phases(store) == ["exit", "parent", "parent", "terminated"]
    assert [span.name for span in stored(store)["e"] if span.type == "execution"] == ["e"]
    assert len(ended.said) == 2


@pytest.mark.parametrize("first", ["", "with phase('before'):\n    pass\n"])
def test_children_belong_to_the_execution_of_the_run(
    first: str, tmp_path: Path, store: Path
) -> None:
    """Phases outside of any execution are in one execution with one root, in whatever process."""
    text = f"""
import os
from phasetrace import phase
{first}
if os.fork() == 0:
    with phase("child"):
        pass
else:
    os.wait()
"""
    run(traced("--exec-id", "e", "prog.py"), write(tmp_path, {"prog.py": text}), store)
    assert "child" in phases(store)
    assert list(stored(store)) == ["e"]
    assert [span.name for span in stored(store)["e"] if span.type == "execution"] == ["prog"]


def test_workers_that_a_pool_terminates_lose_nothing(tmp_path: Path, store: Path) -> None:
    """A pool of forked processes ends them by SIGTERM."""
    text = """
import multiprocessing
from phasetrace import time_phase
def work(number):
    with time_phase("e", "n", "p"):
        return number
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(6)))
"""
    ended = run(traced("prog.py"), write(tmp_path, {"prog.py": text}), store)
    assert (ended.code, ended.err) == (0, "")
    assert phases(store) == ["p"] * 6


def timed_out(text: str, folder: Path, store: Path, *options: str) -> Ended:
    """Run a program until its time is up, with a short grace; check how it ended."""
    write(folder, {"prog.py": text, "short.py": SHORT_GRACE})
    ended = run(
        [sys.executable, "short.py", "run", "--timeout", "0.5", *options, "prog.py"], folder, store
    )
    assert ended.code == 124
    assert ended.said[0] == "ended after --timeout 0.5 s"
    return ended


def test_a_program_whose_time_is_up_cleans_up(tmp_path: Path, store: Path) -> None:
    """Its finally blocks run, and its open phases end as cancelled."""
    text = """
import time
from phasetrace import phase
try:
    with phase("p"):
        time.sleep(60)
finally:
    print("finally")
"""
    assert timed_out(text, tmp_path, store).out == "finally\n"
    assert {span.status for spans in stored(store).values() for span in spans} == {"cancelled"}


def test_tasks_whose_time_is_up_clean_up(tmp_path: Path, store: Path) -> None:
    """Every task of asyncio is cancelled."""
    text = """
import asyncio
from phasetrace import execution, phase
async def work(name):
    try:
        with phase(name):
            await asyncio.sleep(60)
    finally:
        print("finally")
async def main():
    async with execution("e"):
        await asyncio.gather(work("a"), work("b"))
asyncio.run(main())
"""
    assert timed_out(text, tmp_path, store).out == "finally\nfinally\n"
    assert {span.status for span in stored(store)["e"]} == {"cancelled"}
    assert phases(store) == ["a", "b"]


@pytest.mark.parametrize(
    "stuck",
    [
        # It ignores both signals.
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with phase('p'):\n    threading.Event().wait()\n",
        # It catches everything.
        "while True:\n    try:\n        with phase('p'):\n            threading.Event().wait()\n"
        "    except BaseException:\n        pass\n",
        # Its main thread has ended, another one has not.
        "def work():\n    with phase('p'):\n        threading.Event().wait()\n"
        "threading.Thread(target=work).start()\n",
        # It waits for a thread of a pool that is in a C function.
        "import time\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def work():\n    with phase('p'):\n        time.sleep(60)\n"
        "with ThreadPoolExecutor() as pool:\n    pool.submit(work)\n",
        # It is in an exit handler.
        "import atexit\n@atexit.register\ndef work():\n    with phase('p'):\n"
        "        threading.Event().wait()\n",
    ],
    ids=["ignores", "catches", "thread", "pool", "exit handler"],
)
def test_a_program_that_does_not_end_in_time_is_ended(
    stuck: str, tmp_path: Path, store: Path
) -> None:
    """After the grace it is gone, and what was open is stored as cancelled."""
    ended = timed_out(f"import threading\nfrom phasetrace import phase\n{stuck}", tmp_path, store)
    assert ended.err == ""
    assert latest(store).status == "cancelled"
    (spans,) = stored(store).values()
    assert {(span.name, span.status) for span in spans} == {
        ("p", "cancelled"),
        ("prog", "cancelled"),
    }


def test_a_handler_of_the_program_is_asked_to_end_in_time(tmp_path: Path, store: Path) -> None:
    """It gets SIGTERM as from timeout(1), and ends as it likes; the exit code says what it was."""
    text = """
import signal, sys, threading
def end(*_):
    print("asked")
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
threading.Event().wait()
"""
    assert timed_out(text, tmp_path, store).out == "asked\n"


def test_a_program_that_ends_in_time_is_left_alone(tmp_path: Path, store: Path) -> None:
    """Its exit code is its own."""
    write(tmp_path, {"prog.py": "raise SystemExit(3)"})
    assert run(traced("--timeout", "60", "prog.py"), tmp_path, store).code == 3


def test_the_command_is_what_the_tests_start() -> None:
    """The script that stands for the installed command is there."""
    assert COMMAND.is_file()
