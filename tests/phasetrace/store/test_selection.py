"""Which executions are asked for: what SQL leaves out, and what has to be looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.recordings import usual
from phasetrace.recordings.source import EVERYTHING, Where
from phasetrace.store import reader
from phasetrace.store.file import open_for_writing
from phasetrace.store.process import birth_of, host_name
from phasetrace.store.reader import StoreReader
from phasetrace.store.selection import is_pattern, literally, matcher
from phasetrace.store.stored import StoredExecution, stored_execution

S = 1_000_000_000
NOW_NS = 10_000 * S
NAMES = [None, "nightly", "nightly", "nightly import", "Nightly", "[x]*", "a\nb", "été", ""]
ALIVE, GONE = 1, 2


def fill(path: Path, number: int = 800) -> None:
    """Put executions into a store, in every state that one can be in; one a second."""
    random = Random(5)
    connection = open_for_writing(path).connection
    processes = ((ALIVE, os.getpid(), birth_of(os.getpid())), (GONE, 2**22 + 1, "gone"))
    for row, pid, birth in processes:
        connection.execute(
            "INSERT INTO processes (id, pid, birth, host, started_ns) VALUES (?, ?, ?, ?, 0)",
            (row, pid, birth, host_name()),
        )
    connection.execute("BEGIN")
    for at in range(number):
        started_ns = at * S
        last_ns = started_ns + random.randrange(8) * S // 2
        ended_ns = random.choice([None, last_ns, last_ns, last_ns + S, started_ns - S])
        explicit = random.randrange(2)
        connection.execute(
            "INSERT INTO executions (exec_id, name, trace_id, process, explicit, started_ns,"
            " last_ns, ended_ns, status, spans, errors, openings)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
            (
                f"exec_{at}",
                f"exec_{at}" if random.random() < 0.1 else random.choice(NAMES),
                (0xAB00 + at % 50).to_bytes(16, "big"),
                random.choice([ALIVE, GONE]),
                explicit,
                started_ns,
                last_ns,
                ended_ns,
                random.choice(["ok", "ok", "ok", "error", "cancelled"]),
                random.randrange(2),
                random.randrange(3),
            ),
        )
    connection.execute("COMMIT")
    connection.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreReader]:
    """Open a store with executions of all kinds, at a time at which nothing happens."""
    path = tmp_path_factory.mktemp("selection") / "traces.db"
    fill(path)
    with StoreReader(path, now_ns=lambda: NOW_NS) as store:
        yield store


def is_meant(execution: StoredExecution, where: Where) -> bool:
    """Tell whether an execution is one of those, by what the fields are documented to mean."""
    if where.name is not None:
        if execution.name is None:
            return False
        if not any(one in where.name for one in "*?[") and execution.name != where.name:
            return False
        if any(one in where.name for one in "*?[") and not fnmatchcase(execution.name, where.name):
            return False
    if where.status is not None and execution.status != where.status:
        return False
    if where.since_ns is not None and execution.started_ns < where.since_ns:
        return False
    if where.trace_id is not None and execution.trace_id != where.trace_id:
        return False
    return where.longer_than_ns is None or execution.duration_ns >= where.longer_than_ns


WHERE = st.builds(
    Where,
    name=st.sampled_from(
        [None, *NAMES, "night*", "?ightly", "[Nn]ightly", "[!n]*", "[[]x[]]*", "[x", "*", "exec_7"]
    ),
    status=st.sampled_from([None, "ok", "error", "cancelled", "running", "abandoned", "odd"]),
    since_ns=st.none() | st.integers(-1, 801).map(lambda at: at * S) | st.integers(0, 10**30),
    longer_than_ns=st.none() | st.integers(-1, 9).map(lambda at: at * S // 2) | st.just(10**30),
    trace_id=st.none() | st.sampled_from([f"{0xAB00:032x}", f"{0xAB07:032x}", "ab", "", "\ud800"]),
)


@given(WHERE, st.none() | st.integers(0, 20))
def test_all_that_is_meant_and_nothing_else(
    store: StoreReader, where: Where, limit: int | None
) -> None:
    """In its order, and no more than is asked for."""
    meant = [one for one in store.executions() if is_meant(one, where)]
    assert store.executions(limit, where) == meant[:limit]


def test_the_store_has_all_kinds(store: StoreReader) -> None:
    """Or the test above would say little."""
    executions = store.executions()
    assert len(executions) == 800
    assert {one.status for one in executions} == {
        "ok",
        "error",
        "cancelled",
        "running",
        "abandoned",
    }
    assert min(one.duration_ns for one in executions) == 0
    assert store.executions(where=EVERYTHING) == executions


@pytest.mark.parametrize(
    ("where", "most"),
    [
        (EVERYTHING, 3),
        (Where(name="nightly"), 3),
        (Where(name="n*"), 3),
        (Where(status="error", longer_than_ns=2 * S), 3),
        # Whether it is running has to be looked up for all that have not ended.
        (Where(status="running"), 20),
    ],
)
def test_no_more_is_read_than_is_shown(
    store: StoreReader, where: Where, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQL knows is left to it, and it stops with the last one."""
    read = []

    def counted(now_ns: int, *row: Any) -> StoredExecution:
        read.append(row)
        return stored_execution(now_ns, *row)

    monkeypatch.setattr(reader, "stored_execution", counted)
    assert len(store.executions(3, where)) == 3
    assert 3 <= len(read) <= most


@pytest.mark.parametrize("name", ["\ud800", "\ud800*"])
def test_a_name_that_cannot_be_stored(store: StoreReader, name: str) -> None:
    """Bytes of an argument that are no UTF-8 are looked for as they are recorded."""
    assert store.executions(where=Where(name=name)) == []
    assert matcher(name)("\\ud800")


@given(st.text("ab*?[]!^-\n", max_size=8), st.text("ab*?[]!^-\n", max_size=8))
def test_a_name_taken_literally(name: str, other: str) -> None:
    """Asks for that very name."""
    assert matcher(literally(name))(name)
    assert matcher(literally(name))(other) == (name == other)
    assert is_pattern(name) == (literally(name) != name)


class Elsewhere:
    """What answers as a store does, and is none."""

    is_remote = False

    def __init__(self, store: StoreReader) -> None:
        self.executions = store.executions


def test_the_short_way_to_what_is_usual(store: StoreReader) -> None:
    """One query says what going through the list says, of every execution."""
    found = 0
    for execution in store.executions():
        short = store.usual_of(execution)
        assert usual.usual_of(store, execution) == short
        assert usual.usual_of(Elsewhere(store), execution) == short  # type: ignore[arg-type]
        found += short is not None
    assert 400 < found < 800


def test_what_is_usual_of_an_execution(store: StoreReader) -> None:
    """The runs of its name that ended well and started before it, the last twenty."""
    execution = next(one for one in store.executions() if one.name == "nightly")
    before = [
        one.duration_ns
        for one in store.executions()
        if (one.name, one.status) == ("nightly", "ok") and one.started_ns < execution.started_ns
    ]
    usual = store.usual_of(execution)
    assert usual is not None
    assert (usual.runs, usual.min_ns, usual.max_ns) == (20, min(before[:20]), max(before[:20]))


def test_an_id_is_no_name(store: StoreReader) -> None:
    """What has no name, or is called by its id, has nothing to be held against."""
    nameless = [one for one in store.executions() if one.name in (None, one.exec_id)]
    assert nameless
    assert all(store.usual_of(one) is None for one in nameless)
    assert all(usual.verdict_of(store, one) is None for one in nameless)
