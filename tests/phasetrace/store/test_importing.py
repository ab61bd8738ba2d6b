"""What was recorded elsewhere, in the store."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.errors import SourceError, StoreError
from phasetrace.recordings.otlp_file import file_source
from phasetrace.store import importing
from phasetrace.store.importing import Import, import_file
from phasetrace.store.reader import StoreReader
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import S, line, root, span
from tests.phasetrace.recordings.otlp_files import lines

STORE = "s.db"


def brought(folder: Path, *contents: bytes) -> Import:
    """Import files; return what became of the last one."""
    for content in contents:
        done = import_file(folder / STORE, "f", content)
    return done


def news(done: Import) -> dict[str, tuple[int, int]]:
    """Return how many spans of each execution a file had, and how many were new."""
    return {one.execution.exec_id: (one.spans, one.new) for one in done.executions}


def same_as_the_file(folder: Path, content: bytes) -> None:
    """Check that executions are in the store what they are in a file."""
    source = file_source("f", content)
    with StoreReader(folder / STORE) as store:
        stored = {one.exec_id: one for one in store.executions()}
        for one in source.executions():
            assert stored[one.exec_id]._replace(row=0) == one._replace(row=0)
            assert store.breakdown(stored[one.exec_id]) == source.breakdown(one)
            assert store.summary(stored[one.exec_id]) == source.summary(one)


def test_an_execution_is_in_the_store_what_it_is_in_the_file(tmp_path: Path) -> None:
    """Its row, its summary and its breakdown, to the nanosecond."""
    content = line(
        root("e", "nightly", user="a"),
        made.phase(1, "e", node="a", end=3),
        made.phase(2, "e", node="b", start=2, end=9, status={"code": 2}),
        **{"service.name": "program"},
    )
    assert news(brought(tmp_path, content)) == {"e": (3, 3)}
    same_as_the_file(tmp_path, content)


def test_to_import_it_again_adds_nothing(tmp_path: Path) -> None:
    """Not a row."""
    content = line(root("e"), made.phase(1, "e"))
    assert news(brought(tmp_path, content, content)) == {"e": (2, 0)}
    same_as_the_file(tmp_path, content)
    with closing(sqlite3.connect(tmp_path / STORE)) as connection:
        for table, rows in (("executions", 1), ("blocks", 1), ("processes", 1)):
            query = f"SELECT count(*) FROM {table}"  # noqa: S608 - constants
            assert connection.execute(query).fetchone() == (rows,)


def test_what_a_file_has_twice_is_stored_once(tmp_path: Path) -> None:
    """As it was sent twice."""
    content = line(root("e"), made.phase(1, "e"))
    assert news(brought(tmp_path, content + content)) == {"e": (2, 2)}
    same_as_the_file(tmp_path, content)


def test_what_is_new_of_an_execution_is_added(tmp_path: Path) -> None:
    """And the rest is not counted twice."""
    first, rest = made.phase(1, "e"), [made.phase(2, "e", start=5, end=7), root("e")]
    assert news(brought(tmp_path, line(first), line(first, *rest))) == {"e": (3, 2)}
    same_as_the_file(tmp_path, line(first, *rest))


def test_times_cut_to_microseconds_are_no_other_spans(tmp_path: Path) -> None:
    """As when a run is recorded here and downloaded from Jaeger."""
    exact = [root("e", start=1_234), made.phase(1, "e", start=2_345)]
    cut = [root("e", start=1_000), made.phase(1, "e", start=2_000)]
    assert news(brought(tmp_path, line(*exact), line(*cut))) == {"e": (2, 0)}


def test_roots_of_the_same_id_are_told_by_their_start(tmp_path: Path) -> None:
    """Several processes may open one execution."""
    implicit = {"phasetrace.implicit": True}
    first = root("e", start=0, end=S, **implicit)
    second = root("e", start=5 * S, end=6 * S, **implicit)
    assert news(brought(tmp_path, line(first), line(first, second))) == {"e": (2, 1)}
    same_as_the_file(tmp_path, line(first, second))


def test_what_was_recorded_here_is_known(tmp_path: Path) -> None:
    """Its totals answer as before."""
    with execution("e"), node("n"), phase("p"):
        pass
    phasetrace.force_flush()
    store = tmp_path / "store" / "traces.db"
    before = phasetrace.breakdown("e")
    content = "".join(json.dumps(one) + "\n" for one in lines(store)).encode()
    done = import_file(store, "f", content)
    assert news(done) == {"e": (3, 0)}
    with StoreReader(store) as reader:
        assert reader.breakdown(reader.find("e")) == before


def test_what_a_recorded_execution_lacks_is_added_to_its_numbers(tmp_path: Path) -> None:
    """Totals that do not count it no longer answer."""
    with execution("e"), node("n"), phase("p"):
        pass
    phasetrace.force_flush()
    store = tmp_path / "store" / "traces.db"
    import_file(store, "f", line(made.phase(1, "e", "elsewhere", end=S)))
    with StoreReader(store) as reader:
        answer = reader.breakdown(reader.find("e"))
    phases = {row.phase: row.total_ns for one in answer.nodes for row in one.phases}
    assert phases["elsewhere"] == S
    assert "p" in phases


def test_an_execution_without_an_end_is_abandoned(tmp_path: Path) -> None:
    """Nobody is there to end it."""
    content = line(made.phase(1, "e"))
    done = brought(tmp_path, content)
    assert done.executions[0].execution.status == "abandoned"
    same_as_the_file(tmp_path, content)


def test_somebody_elses_traces_are_executions(tmp_path: Path) -> None:
    """By the name and the status of their roots, with services for nodes."""
    spans = [
        span(1, "GET /", end=9, trace="11" * 16),
        span(2, "sql", start=1, end=4, parent=1, trace="11" * 16, status={"code": 2}),
    ]
    content = line(*spans, **{"service.name": "shop"})
    (one,) = brought(tmp_path, content).executions
    assert (one.execution.name, one.execution.status) == ("GET /", "ok")
    same_as_the_file(tmp_path, content)


def test_the_root_of_somebody_elses_trace_may_come_later(tmp_path: Path) -> None:
    """Then it says what the trace is called, and when it began and ended."""
    below = span(2, "sql", start=3, end=4, parent=1, trace="11" * 16, status={"code": 2})
    above = span(1, "GET /", start=1, end=9, trace="11" * 16)
    brought(tmp_path, line(below), line(below, above))
    same_as_the_file(tmp_path, line(below, above))


def test_each_resource_is_a_process(tmp_path: Path) -> None:
    """Told apart as in the file."""
    content = line(root("e"), made.phase(1, "e"), pid=1) + line(made.phase(2, "e"), pid=2)
    brought(tmp_path, content)
    with StoreReader(tmp_path / STORE) as store:
        spans = store.recording(store.find("e")).spans
    assert len({one.process for one in spans}) == 2
    same_as_the_file(tmp_path, content)


def test_nothing_is_to_be_delivered(tmp_path: Path) -> None:
    """It was sent from where it was recorded, if anywhere."""
    brought(tmp_path, line(root("e")))
    with closing(sqlite3.connect(tmp_path / STORE)) as connection:
        assert connection.execute("SELECT DISTINCT route FROM streams").fetchall() == [(0,)]


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    """Whatever it is called."""
    assert news(brought(tmp_path, gzip.compress(line(root("e"))))) == {"e": (1, 1)}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (line({**span(9), "spanId": "x"}), "f, line 2: resourceSpans[0].scopeSpans[0].spans[0]"),
        (line({**span(9), "events": 5}), "f, line 2: events is 5 and no list of objects"),
    ],
)
def test_a_file_is_imported_whole_or_not_at_all(
    tmp_path: Path, broken: bytes, message: str
) -> None:
    """What is broken is said with its line, and what came before it is not kept."""
    with pytest.raises(SourceError) as error:
        brought(tmp_path, line(root("e")) + broken)
    assert str(error.value).startswith(message)
    assert not (tmp_path / STORE).exists()


def test_a_line_that_is_torn_is_left_out_and_noted(tmp_path: Path) -> None:
    """What is before and behind it is brought in."""
    content = line(root("e")) + b'{"resourceSp\n' + line(made.phase(1, "e"))
    done = brought(tmp_path, content)
    assert news(done) == {"e": (2, 2)}
    assert done.notes == ("line 2 cannot be read, and is left out",)
    same_as_the_file(tmp_path, content)


def test_what_cannot_be_written_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the executions before it."""
    brought(tmp_path, line(root("before")))
    process_of = importing._process
    calls = []

    def breaks(*arguments: Any) -> int:
        calls.append(arguments)
        if len(calls) > 1:
            raise sqlite3.OperationalError("database or disk is full")
        return process_of(*arguments)

    monkeypatch.setattr(importing, "_process", breaks)
    with pytest.raises(StoreError, match="disk is full"):
        brought(tmp_path, line(root("a")) + line(root("b", start=1)))
    with StoreReader(tmp_path / STORE) as store:
        assert [one.exec_id for one in store.executions()] == ["before"]


def test_a_damaged_store_is_said_to_be_one(tmp_path: Path) -> None:
    """It is not the file's fault."""
    brought(tmp_path, line(root("e")))
    with closing(sqlite3.connect(tmp_path / STORE)) as connection:
        connection.execute("UPDATE blocks SET columns = x'00'")
        connection.commit()
    with pytest.raises(StoreError, match="cannot read the store"):
        brought(tmp_path, line(root("e")))


made_spans = st.lists(
    st.tuples(
        st.sampled_from(["root", "implicit", "node", "phase", "none"]),
        st.sampled_from(["a", "b"]),
        st.integers(1, 6),
        st.integers(0, 20),
        st.integers(0, 10),
        st.sampled_from([0, 2]),
        st.integers(1, 2),
    ),
    max_size=8,
    unique_by=lambda one: (one[0] in ("root", "implicit"), one[1], one[2]),
)


@settings(max_examples=25)
@given(made_spans, st.data())
def test_whatever_is_in_a_file_is_the_same_in_the_store(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Any], data: st.DataObject
) -> None:
    """In one file or in two that share some of it; spans start microseconds apart."""
    content = [line(_span(*one[:-1]), pid=one[-1]) for one in drawn]
    folder = tmp_path_factory.mktemp("import")
    cut = data.draw(st.integers(0, len(content)))
    brought(folder, b"".join(content[cut:]) or b"{}", b"".join(content))
    with StoreReader(folder / STORE) as store:
        source = file_source("f", b"".join(content))
        for one in source.executions():
            stored = store.find(one.exec_id)
            assert stored.spans == one.spans
            assert stored.errors == one.errors
            assert store.breakdown(stored).nodes == source.breakdown(one).nodes


def _span(kind: str, exec_id: str, number: int, start: int, length: int, code: int) -> Any:
    more: dict[str, Any] = {"start": start * 1_000, "end": (start + length) * 1_000}
    more["status"] = {"code": code}
    if kind in ("root", "implicit"):  # those of one id start apart
        more |= {"start": number * 1_000, "end": (number + length) * 1_000}
    if kind == "root":
        return root(exec_id, **more)
    if kind == "implicit":
        return root(exec_id, **more, **{"phasetrace.implicit": True})
    if kind == "none":
        return span(number + 100, "elsewhere", **more)
    number += 10 if kind == "node" else 0
    more |= {"phasetrace.type": "node"} if kind == "node" else {}
    return made.phase(number, exec_id, node=f"n{number % 2}", **more)
