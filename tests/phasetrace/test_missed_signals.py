"""Test signals that come in the instant before a call that blocks, in forked children."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.phasetrace.cli.programs import phases, run, traced, write

PROGRAM = """
import os, signal, threading
import phasetrace
from phasetrace import time_phase
{setup}

def hit(main):
    # Python's handlers run in the main thread. A signal that another thread gets leaves that one in
    # its call, as one does that comes just before the call.
    stat = f"/proc/self/task/{{main}}/stat"
    while open(stat).read().rsplit(")", 1)[1].split()[0] != "S":
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

with time_phase("e", "n", "parent"):
    pass
child = os.fork()
if not child:
    {work}
    threading.Thread(target=hit, args=(threading.get_native_id(),), daemon=True).start()
    os.read(os.pipe()[0], 1)
    os._exit(1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM, status
"""
SPAN = 'with time_phase("e", "n", "child"): pass'


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what a thread does")
@pytest.mark.parametrize("how", ["run", "configure"])
@pytest.mark.parametrize("work", [SPAN, "pass"])
def test_a_child_that_is_stuck_in_a_call_ends(tmp_path: Path, how: str, work: str) -> None:
    """Its spans are written first; without any, it dies at once."""
    store = tmp_path / "traces.db"
    setup = "phasetrace.configure(handle_signals=True)" if how == "configure" else ""
    write(tmp_path, {"prog.py": PROGRAM.format(setup=setup, work=work)})
    command = traced("prog.py") if how == "run" else [sys.executable, "prog.py"]
    ended = run(command, tmp_path, store)
    assert (ended.code, ended.err) == (0, "")
    assert phases(store) == (["child"] if work == SPAN else []) + ["parent"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what a thread does")
def test_a_handler_of_the_programs_is_called_once(tmp_path: Path) -> None:
    """What was handled in time is not taken for missed."""
    store = tmp_path / "traces.db"
    setup = """
calls = []
signal.signal(signal.SIGTERM, lambda *_: calls.append(1))
phasetrace.configure(handle_signals=True)
"""
    work = f"""{SPAN}
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(0.5)  # for what must not come
    with time_phase("e", "n", "after"):
        pass
    phasetrace.force_flush()
    assert calls == [1], calls
    signal.signal(signal.SIGTERM, signal.SIG_DFL)"""
    write(tmp_path, {"prog.py": PROGRAM.format(setup=setup, work=work)})
    ended = run([sys.executable, "prog.py"], tmp_path, store)
    assert (ended.code, ended.err) == (0, "")
    assert phases(store) == ["after", "child", "parent"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what a thread does")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_that_the_child_sets_is_left_alone(tmp_path: Path, when: str) -> None:
    """It is called for the signals that come, and for no others."""
    store = tmp_path / "traces.db"
    setup = "phasetrace.configure(handle_signals=True)\ncalls = []"
    handle = "signal.signal(signal.SIGTERM, lambda *_: calls.append(1))"
    work = f"""{handle if when == "before" else "pass"}
    {SPAN}
    {handle if when == "after" else "pass"}
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(0.5)  # for what must not come
    phasetrace.force_flush()
    assert calls == [1], calls
    signal.signal(signal.SIGTERM, signal.SIG_DFL)"""
    write(tmp_path, {"prog.py": PROGRAM.format(setup=setup, work=work)})
    ended = run([sys.executable, "prog.py"], tmp_path, store)
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what a thread does")
def test_a_grandchild_s_signal_is_not_the_child_s(tmp_path: Path) -> None:
    """The pipe in which signals are noted is not shared."""
    store = tmp_path / "traces.db"
    setup = "phasetrace.configure(handle_signals=True)"
    work = f"""{SPAN}
    grandchild = os.fork()
    if not grandchild:
        with time_phase("e", "n", "grandchild"): pass
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)
    _, status = os.waitpid(grandchild, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM, status
    threading.Event().wait(0.5)  # for what must not come
    with time_phase("e", "n", "later"): pass"""
    write(tmp_path, {"prog.py": PROGRAM.format(setup=setup, work=work)})
    ended = run([sys.executable, "prog.py"], tmp_path, store)
    assert (ended.code, ended.err) == (0, "")
    assert phases(store) == ["child", "grandchild", "later", "parent"]
