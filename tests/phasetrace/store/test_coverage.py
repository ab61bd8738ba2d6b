"""How much of executions nodes and phases account for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from phasetrace.store.coverage import Coverage
from phasetrace.store.reader import StoreReader
from tests.phasetrace.store.conftest import Recording, in_child

S = 1_000_000_000


def covered(path: Path, *exec_ids: str, most_read: int = 1_000) -> list[int]:
    """Return the covered time of executions in seconds, one after the other."""
    with StoreReader(path) as store:
        coverage = Coverage(store, most_read)
        return [coverage.of(store.find(one)) // S for one in exec_ids]


@pytest.fixture
def several(recording: Recording, path: Path) -> Path:
    """Return a store with two executions of two processes: covered for 4 and 6 of 9 seconds."""
    for exec_id, until in (("four", 4), ("six", 6)):
        root = recording.root(exec_id, start=0)
        recording.phase(exec_id, "mine", start=0, end=3 * S)

        def work(exec_id: str = exec_id, until: int = until) -> None:
            child = Recording(path)
            child.phase(exec_id, "theirs", start=1 * S, end=until * S)
            assert child.close()

        assert in_child(work) == 0
        root.end(9 * S)
    assert recording.close()
    return path


def test_one_process_has_counted_it(recording: Recording, path: Path) -> None:
    """No span has to be read; nested and parallel ones count once."""
    root = recording.root("e", start=0)
    outer = recording.start("e", start=1 * S, parent=root)
    recording.phase("e", start=2 * S, end=3 * S, parent=outer)
    recording.phase("e", start=2 * S, end=5 * S, parent=root)
    outer.end(4 * S)
    root.end(9 * S)
    recording.execution("empty", start=0, end=S)
    assert recording.close()
    assert covered(path, "e", "empty", most_read=0) == [4, 0]


def test_of_several_processes_the_spans_are_read(several: Path) -> None:
    """What they did at the same time counts once."""
    assert covered(several, "four", "six") == [4, 6]


def test_too_many_spans_are_not_read(several: Path) -> None:
    """Then it is as much as one process counted at least."""
    assert covered(several, "four", "six", most_read=3) == [4, 5]


def test_what_was_opened_twice(recording: Recording, path: Path) -> None:
    """What lies between counts for nothing."""
    recording.execution("e", start=0, end=S)
    root = recording.start("e", node=None, start=2 * S, attributes={"phasetrace.type": "execution"})
    recording.phase("e", start=2 * S, end=3 * S, parent=root)
    root.end(4 * S)
    assert recording.close()
    assert covered(path, "e", most_read=0) == [1]


def test_where_nobody_has_counted(recording: Recording, path: Path) -> None:
    """Its spans tell, if they may be read; else it may be all of it."""
    root = recording.root("e", start=0)
    recording.phase("e", start=1 * S, end=2 * S, parent=root)
    root.end(4 * S)
    assert recording.close()
    with sqlite3.connect(path) as connection:  # as of a process that was killed
        connection.execute("DELETE FROM aggregates")
        connection.execute("DELETE FROM aggregate_parts")
    connection.close()
    assert covered(path, "e") == [1]
    assert covered(path, "e", most_read=1) == [4]
