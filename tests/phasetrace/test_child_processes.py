"""Children of multiprocessing: what they have finished is stored, however they are ended."""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path

import pytest

from tests.phasetrace.cli.programs import Ended, phases, run, traced, write

POOL = """
import multiprocessing, sys
from phasetrace import configure, time_phase
{top}
def work(number):
    with time_phase("e", "n", "p"):
        return number
if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool({workers}) as pool:
        assert pool.map(work, range(6)) == list(range(6))
"""
CHILD = """
import multiprocessing, signal, sys, time
from phasetrace import configure, time_phase
{top}
def work(ready):
    {first}
    with time_phase("e", "n", "p"):
        pass
    ready.set()
    {then}
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=work, args=(ready,))
    child.start()
    ready.wait()
    child.terminate()
    child.join()
    print(child.exitcode)
"""
SLEEP = "time.sleep(60)"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return where the program's store is."""
    return tmp_path / "traces.db"


def ended(text: str, folder: Path, store: Path, *, traces: bool = False) -> Ended:
    """Run a program to its end, which nothing was said at."""
    write(folder, {"prog.py": text})
    done = run(traced("prog.py") if traces else [sys.executable, "prog.py"], folder, store)
    assert (done.code, done.err) == (0, "")
    return done


@pytest.mark.parametrize("traces", [False, True], ids=["python", "phasetrace run"])
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_that_a_pool_terminates_lose_nothing(
    method: str, traces: bool, tmp_path: Path, store: Path
) -> None:
    """A pool that is left ends them by SIGTERM, as soon as their last result has come."""
    ended(POOL.format(method=method, top="", workers=2), tmp_path, store, traces=traces)
    assert phases(store) == ["p"] * 6


def test_a_phase_of_the_main_module_comes_first(tmp_path: Path, store: Path) -> None:
    """Which a spawned child imports before multiprocessing has made it one."""
    top = "with time_phase('e', 'n', 'imported'):\n    pass"
    ended(POOL.format(method="spawn", top=top, workers=1), tmp_path, store)
    assert phases(store) == ["imported"] * 2 + ["p"] * 6


def test_a_child_dies_of_the_signal(tmp_path: Path, store: Path) -> None:
    """As it would without phasetrace, whose handler comes before the end."""
    assert ended(CHILD.format(top="", first="", then=SLEEP), tmp_path, store).out == "-15\n"
    assert phases(store) == ["p"]


def test_a_child_that_a_library_keeps_dies_too(tmp_path: Path, store: Path) -> None:
    """Where Python's handlers cannot run: the thread that writes ends the process."""
    then = "import ctypes\n    for _ in range(2): ctypes.CDLL(None).sleep(60)"
    started = time.monotonic()
    assert ended(CHILD.format(top="", first="", then=then), tmp_path, store).out == "-15\n"
    assert time.monotonic() - started < 50
    assert phases(store) == ["p"]


def test_a_handler_of_the_childs_is_left_alone(tmp_path: Path, store: Path) -> None:
    """Whoever handles the signal decides what happens."""
    first = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    assert ended(CHILD.format(top="", first=first, then=SLEEP), tmp_path, store).out == "7\n"
    assert phases(store) == ["p"]


@pytest.mark.parametrize("top", ["configure(handle_signals=False)", "configure(store=False)"])
def test_signals_are_not_handled_where_that_is_not_wanted(
    top: str, tmp_path: Path, store: Path
) -> None:
    """Nor where nothing is stored."""
    first = """with time_phase("e", "n", "first"):
        pass
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        print("handled", flush=True)"""
    assert ended(CHILD.format(top=top, first=first, then=SLEEP), tmp_path, store).out == "-15\n"


def test_a_process_of_nobodys_is_left_alone(tmp_path: Path, store: Path) -> None:
    """Only children of multiprocessing are ended by a signal as a matter of course."""
    text = """
import signal
from phasetrace import time_phase
with time_phase("e", "n", "p"):
    pass
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    ended(text, tmp_path, store)


WRAPPED = """
import multiprocessing
from phasetrace import execution, node, propagate, time_phase, timed
@timed("work")
def work(number):
    return number + 1
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with execution("e"), node("n"):
        with context.Pool(2) as pool:
            assert pool.map(propagate.wrap(work), range(6)) == list(range(1, 7))
        process = context.Process(target=propagate.wrap(work), args=(0,))
        process.start()
        process.join()
"""


def test_a_function_takes_its_context_to_a_pool(tmp_path: Path, store: Path) -> None:
    """What `propagate.wrap` returns can be sent to other processes."""
    ended(WRAPPED, tmp_path, store)
    assert phases(store) == ["work"] * 7
