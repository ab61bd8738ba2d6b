"""A signal that ends the program first has everything written out."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, threading
from phasetrace.signals import SignalHandling

def write_out(dies):
    {work}
    print("written", dies, flush=True)

{before}
handling = SignalHandling(write_out)
handling.install()
handling.install()
{after}
print("ready", flush=True)
{end}
"""
WAIT = "threading.Event().wait()"


def run(
    send: int = signal.SIGTERM,
    work: str = "pass",
    before: str = "",
    after: str = "",
    end: str = WAIT,
) -> tuple[int, list[str], str]:
    """Run a program and send it a signal; return its code, its lines after "ready", its errors."""
    source = PROGRAM.format(work=work, before=before, after=after, end=end)
    with subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(send)
        out, errors = program.communicate(timeout=60)
    return program.returncode, out.splitlines(), errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_program_dies_of_the_signal_after_the_writing(number: signal.Signals) -> None:
    """Its parent sees by what."""
    assert run(number) == (-number, ["written True"], "")


def test_the_programs_own_handler_runs_after_the_writing() -> None:
    """And decides what becomes of the program."""
    before = "signal.signal(signal.SIGTERM, lambda *_: (print('theirs', flush=True), sys.exit(7)))"
    assert run(before=before) == (7, ["written False", "theirs"], "")


def test_a_handler_that_lets_the_program_go_on_is_called_every_time() -> None:
    """Each signal is one of its own."""
    before = "seen = []\nsignal.signal(signal.SIGTERM, lambda *_: seen.append(1))"
    end = (
        "while len(seen) < 3:\n"
        "    before_this = len(seen)\n"
        "    if before_this:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    while len(seen) == before_this:\n"
        "        signal.pause() if not before_this else None\n"
        "print('done')"
    )
    assert run(before=before, end=end) == (0, ["written False"] * 3 + ["done"], "")


def test_a_signal_that_is_ignored_stays_so() -> None:
    """It would not have ended the program."""
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    after = "os.kill(os.getpid(), signal.SIGHUP)"
    assert run(before=before, after=after) == (-signal.SIGTERM, ["written True"], "")


def test_a_main_thread_that_holds_a_lock_lets_it_go_first() -> None:
    """The handler interrupts the main thread wherever it is."""
    end = "import time\nwith lock:\n    time.sleep(3)\nthreading.Event().wait()"
    code, lines, errors = run(
        before="lock = threading.Lock()", work="lock.acquire(); lock.release()", end=end
    )
    assert (code, lines, errors) == (-signal.SIGTERM, ["written True"], "")


def test_a_fault_in_the_writing_does_not_keep_the_program_alive() -> None:
    """It is reported."""
    code, lines, errors = run(work="raise ValueError('disk')")
    assert (code, lines) == (-signal.SIGTERM, [])
    assert "writing out at a signal" in errors


def test_it_is_refused_in_another_thread(tmp_path: Path) -> None:
    """Where Python allows no handler to be set."""
    source = (
        "import threading\n"
        "from phasetrace.signals import SignalHandling\n"
        "def work():\n"
        "    try:\n"
        "        SignalHandling(print).install()\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    ).stdout
    assert out == "signals are handled in the main thread\n"


def test_who_writes_out_already_does_not_wait_for_itself() -> None:
    """A signal that comes while the main thread is at its end lets it finish."""
    before = "lock = threading.RLock()\nlock.acquire()"
    after = "handling._is_writing_out = lock._is_owned"
    end = f"""
import time
started = time.monotonic()
os.kill(os.getpid(), signal.SIGTERM)
print(time.monotonic() - started < 1.0, flush=True)
lock.release()
{WAIT}
"""
    source = PROGRAM.format(work="lock.acquire()", before=before, after=after, end=end)
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "ready\nTrue\nwritten True\n")
