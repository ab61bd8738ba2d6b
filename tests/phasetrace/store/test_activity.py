"""Test looking at a store again and again: what goes on, what has just ended, what was left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from phasetrace.history import FEWEST
from phasetrace.live import ABANDONED_NS, EARLIER_NS, FADE_NS, Activity, Known, LastCall
from phasetrace.names import INPUT_TOKENS, OUTPUT_TOKENS, TYPE
from phasetrace.spans import NODE
from phasetrace.store.activity import Memory
from phasetrace.store.reader import StoreReader
from tests.conftest import FakeClock
from tests.phasetrace.store.conftest import PATIENCE_S, Recording, start_program

S = 1_000_000_000

pytestmark = pytest.mark.usefixtures("without_thread")
Record = Callable[..., Recording]


def look(path: Path, clock: FakeClock, memory: Memory | None = None) -> Activity:
    """Look at the store once, or once more."""
    with StoreReader(path, clock) as store:
        return store.activity(memory if memory is not None else Memory())


def test_the_deepest_open_calls_are_told_with_their_age(
    record: Record, fake_clock: FakeClock, path: Path
) -> None:
    """Of an execution that runs."""
    recording = record(now_ns=fake_clock)
    root = recording.root("e", start=fake_clock())
    outer = recording.start("e", "outer", parent=root, start=fake_clock())
    fake_clock.advance(1_000)
    recording.start("e", "inner", parent=outer, start=fake_clock())
    fake_clock.advance(1_500)
    recording.writer.flush()
    (found,) = look(path, fake_clock).executions
    assert (found.exec_id, found.status, found.ended_ns) == ("e", "running", None)
    assert found.duration_ns == 2_500_000_000
    assert [(one.phase, one.age_ns, one.alive) for one in found.open] == [
        ("inner", 1_500_000_000, True)
    ]


def test_an_open_node_tells_its_last_phase(
    record: Record, fake_clock: FakeClock, path: Path
) -> None:
    """The one that ended last, if that was since the node started; a phase tells none."""
    recording = record(now_ns=fake_clock)
    root = recording.root("e", start=fake_clock())
    kind = {TYPE: NODE}
    for at in range(2):
        now = fake_clock()
        recording.start("e", "work", "work", parent=root, start=now, attributes=kind)
        recording.start("e", "wait", "other", parent=root, start=now)
        recording.phase("e", "earlier", node="late", parent=root, start=now, end=now + S)
        fake_clock.advance(2_000)
        if at == 1:
            for name, length in (("b", 300), ("a", 200)):
                end = now + length
                recording.phase("e", name, node="work", parent=root, start=now, end=end)
        recording.start("e", "late", "late", parent=root, start=fake_clock(), attributes=kind)
    fake_clock.advance(2_000)
    recording.writer.flush()
    (found,) = look(path, fake_clock).executions
    told = {(call.node_id, call.phase): call.last for call in found.open}
    assert told["other", "wait"] is None
    assert told["late", None] is None
    assert {call.last for call in found.open if call.node_id == "work"} == {
        LastCall("work", "b", fake_clock() - 4 * S + 300)
    }


def test_an_execution_fades_when_it_has_ended(
    record: Record, fake_clock: FakeClock, path: Path
) -> None:
    """For some seconds it is still there."""
    recording = record(now_ns=fake_clock)
    recording.execution("e", start=fake_clock(), end=fake_clock() + S)
    recording.writer.flush()
    fake_clock.now_ns += S + FADE_NS
    (found,) = look(path, fake_clock).executions
    assert (found.status, found.ended_ns) == ("ok", fake_clock() - FADE_NS)
    fake_clock.now_ns += 1
    assert look(path, fake_clock).executions == ()


def test_only_what_is_new_is_read_again(record: Record, fake_clock: FakeClock, path: Path) -> None:
    """And is added to what was known: tokens, the last call, the longest."""
    recording, memory = record(now_ns=fake_clock), Memory()
    recording.root("e", start=fake_clock())
    tokens = {INPUT_TOKENS[0]: 10, OUTPUT_TOKENS[0]: 3}
    for at in range(2):
        for _ in range(FEWEST):
            now = fake_clock()
            recording.phase("e", "call", start=now - S, end=now, attributes=tokens)
        recording.start("e", "call", start=fake_clock())
        fake_clock.advance(1_200)
        recording.writer.flush()
        (found,) = look(path, fake_clock, memory).executions
        assert (found.input_tokens, found.output_tokens) == (50 * (at + 1), 15 * (at + 1))
        assert found.last == LastCall("node", "call", fake_clock() - 1_200_000_000)
        assert found.open[-1].known == Known(FEWEST * (at + 1), S)
        assert found.open[-1].is_longer_than_usual
    assert found.spans_per_s == pytest.approx(FEWEST / 1.2)
    assert len(memory.executions) == 1


def test_earlier_runs_of_the_same_name_tell_what_is_usual(
    record: Record, fake_clock: FakeClock, path: Path
) -> None:
    """Those that ended well, of the whole and of each phase."""
    recording = record(now_ns=fake_clock)
    for at in range(FEWEST + 1):
        exec_id, now = f"run_{at}", fake_clock()
        root = recording.root(exec_id, start=now)
        root.update_name("nightly")
        length_ns = 100 * S if at == FEWEST else S  # the one that fails does not count
        span = recording.start(exec_id, "call", parent=root, start=now)
        span.end(now + length_ns)
        (recording.fail if at == FEWEST else recording.end)(root, now + length_ns)
        fake_clock.now_ns += 200 * S
    root = recording.root("now", start=fake_clock())
    root.update_name("nightly")
    recording.start("now", "call", parent=root, start=fake_clock())
    fake_clock.advance(3_000)
    recording.writer.flush()
    (found,) = look(path, fake_clock).executions
    assert found.usual is not None
    assert (found.usual.runs, found.usual.median_ns) == (FEWEST, S)
    assert found.open[0].known == Known(FEWEST, S)
    assert found.open[0].is_longer_than_usual


def test_implicit_executions_that_nobody_ends_are_only_counted(
    record: Record, fake_clock: FakeClock, path: Path
) -> None:
    """When nothing has happened in them for some time; what comes then brings them back."""
    recording, memory = record(now_ns=fake_clock), Memory()
    now = fake_clock()
    recording.phase("request", start=now, end=now + S, attributes={OUTPUT_TOKENS[0]: 1})
    recording.writer.flush()
    fake_clock.now_ns += S
    assert [one.exec_id for one in look(path, fake_clock, memory).executions] == ["request"]
    fake_clock.now_ns += FADE_NS + 1
    activity = look(path, fake_clock, memory)
    assert (activity.executions, activity.quiet) == ((), 1)
    assert len(memory.executions) == 1
    now = fake_clock()
    recording.phase("request", start=now - S, end=now, attributes={OUTPUT_TOKENS[0]: 1})
    recording.writer.flush()
    (found,) = look(path, fake_clock, memory).executions
    assert (found.spans, found.output_tokens) == (2, 2)


KILLED = """
import os, signal, time
import phasetrace
from phasetrace import execution, node, phase
with execution("e", name="nightly"), node("load"):
    with phase("read"):
        pass
    with phase("insert"):
        time.sleep(1.1)
        phasetrace.force_flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_left_tells_the_phase_it_died_in(path: Path) -> None:
    """For a minute, from when somebody has last seen it run; then for a day it is counted."""
    with start_program(KILLED, path) as program:
        program.communicate(timeout=PATIENCE_S)
    assert program.returncode == -signal.SIGKILL
    with StoreReader(path) as store:
        now_ns = store.find("e").started_ns
    clock = FakeClock(now_ns + 5 * S)
    (found,) = look(path, clock).executions
    assert (found.status, found.spans) == ("abandoned", 1)
    assert [(one.node_id, one.phase, one.alive) for one in found.open] == [
        ("load", "insert", False)
    ]
    assert found.last is not None and found.last.phase == "read"
    assert found.spans_per_s is None
    memory = Memory()
    look(path, clock, memory).executions[0]
    (watched,) = memory.executions.values()
    clock.now_ns += ABANDONED_NS
    assert (look(path, clock).executions, look(path, clock).abandoned) == ((), 1)
    watched.ran_ns = clock() - S
    for seconds, number in ((59, 1), (1, 1), (0, 0)):
        assert len(look(path, clock, memory).executions) == number
        clock.now_ns += seconds * S
    assert look(path, clock, memory).abandoned == 1
    clock.now_ns += EARLIER_NS
    activity = look(path, clock, memory)
    assert (activity.executions, activity.abandoned, activity.quiet) == ((), 0, 0)
