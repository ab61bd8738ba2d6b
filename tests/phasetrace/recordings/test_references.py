"""What executions are called by, in every source alike."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import phasetrace
from phasetrace.errors import SourceError, StoreError, UnknownExecution, UsageError
from phasetrace.identity import trace_id_of
from phasetrace.names import PARENT_EXEC_ID
from phasetrace.recordings.opening import open_source
from phasetrace.recordings.references import open_reference, resolve
from phasetrace.recordings.source import Source
from tests.phasetrace.recordings.made import S, line, phase, root, trace_of
from tests.phasetrace.recordings.query_service import QueryService

RUNS = [("a", "nightly"), ("b", "hourly"), ("c", "nightly"), ("d", "odd [eu]"), ("e~1", "back~1")]
"""Ids and names, the oldest first."""


@pytest.fixture(params=["store", "file", "jaeger"])
def source(request: pytest.FixtureRequest, tmp_path: Path, service: QueryService) -> Source:
    """Return each kind of source, with the same runs."""
    spans = [
        root(exec_id, name, number * S, (number + 1) * S)
        for number, (exec_id, name) in enumerate(RUNS)
    ]
    if request.param == "jaeger":
        service.add(*spans)
        from phasetrace.recordings.jaeger import JaegerSource
        from tests.phasetrace.recordings.made import T

        return JaegerSource(service.url, lambda: T + 20 * S)
    if request.param == "file":
        (tmp_path / "f").write_bytes(line(*spans))
        return open_source(str(tmp_path / "f"))
    for exec_id, name in RUNS:
        with phasetrace.execution(exec_id, name=name):
            pass
    phasetrace.shutdown()
    opened = open_source(None)
    request.addfinalizer(opened.close)
    return opened


@pytest.mark.parametrize(
    ("reference", "exec_id"),
    [
        (None, "e~1"),
        ("latest", "e~1"),
        ("latest~0", "e~1"),
        ("latest~2", "c"),
        ("a", "a"),
        ("nightly", "c"),
        ("nightly~1", "a"),
        ("*ly", "c"),
        ("*ly~1", "b"),
        ("odd [eu]", "d"),
        ("e~1", "e~1"),
        ("back~1", "e~1"),
        ("back~1~0", "e~1"),
        (f"{trace_id_of('b'):032x}", "b"),
        (f"{trace_id_of('b'):032X}", "b"),
    ],
)
def test_an_execution_is_meant_by_its_id_its_name_or_its_turn(
    source: Source, reference: str | None, exec_id: str
) -> None:
    """An id counts for more than a name, and a whole name for more than what looks like a turn."""
    assert resolve(source, reference).exec_id == exec_id


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("latest~5", "there are only 5 runs, so that there is no latest~5"),
        ("latest~99", "there are only 5 runs, so that there is no latest~99"),
        ("nightly~2", "'nightly' has only 2 runs, so that there is no nightly~2"),
        ("hourly~1", "'hourly' has only 1 run, so that there is no hourly~1"),
        ("*ly~3", "'*ly' has only 3 runs, so that there is no *ly~3"),
        ("nihgtly~2", "no execution 'nihgtly~2' has been recorded; did you mean nightly?"),
        ("nihgtly", "no execution 'nihgtly' has been recorded; did you mean nightly?"),
        ("e~2", "no execution 'e~2' has been recorded; did you mean e~1"),
        ("zzzzzzzz", "no execution 'zzzzzzzz' has been recorded"),
    ],
)
def test_what_means_none_is_said_with_what_comes_near(
    source: Source, reference: str, message: str
) -> None:
    """Ids and names."""
    with pytest.raises(UnknownExecution, match=re.escape(message)):
        resolve(source, reference)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that writes a file into the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: bytes) -> None:
        Path(name).write_bytes(content)

    return write


def meant(reference: str | None, place: str | None = None) -> str:
    """Return the id of the execution that a reference means."""
    source, execution = open_reference(reference, place)
    with source:
        return execution.exec_id


def test_a_file_stands_for_its_only_execution(write: Callable[..., None]) -> None:
    """Those within it do not count, and no store is needed."""
    inner = {"trace": trace_of("e"), "parent": 1, PARENT_EXEC_ID: "e"}
    write("run.jsonl", line(root("e"), phase(7, "e"), root("i", "inner", S, 2 * S, **inner)))
    assert meant("run.jsonl") == "e"
    assert meant("run.jsonl#i") == "i"
    assert meant("run.jsonl#latest") == "i"
    assert meant("run.jsonl#inner") == "i"


def test_of_several_in_a_file_one_is_to_be_named(write: Callable[..., None]) -> None:
    """It is said how."""
    write("runs#1.jsonl", line(*(root(exec_id) for exec_id in "abcd")))
    message = (
        "there are 4 executions in runs#1.jsonl (d, c, b and 1 more);"
        " say which, as in runs#1.jsonl#d"
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        open_reference("runs#1.jsonl")
    assert meant("runs#1.jsonl#b") == "b"
    write("runs#1.jsonl#b", line(root("in a file of that name")))
    assert meant("runs#1.jsonl#b") == "in a file of that name"
    with pytest.raises(UnknownExecution, match="'x'"):
        open_reference("runs#1.jsonl#x")


def test_a_file_with_nothing_in_it_means_none(write: Callable[..., None]) -> None:
    """And one with something else is said to be that."""
    write("empty", b"")
    with pytest.raises(SourceError, match="there is no execution in empty"):
        open_reference("empty")
    write("else", b"x")
    with pytest.raises(SourceError, match="else, line 1: no JSON"):
        open_reference("else")


def test_an_execution_counts_for_more_than_a_file(write: Callable[..., None]) -> None:
    """A program is often called like its runs; where none is, the file is meant."""
    for exec_id in ("one", "two"):
        with phasetrace.execution(exec_id, name="named"):
            pass
    phasetrace.shutdown()
    for name in ("one", "named", "named~1", "na?ed", "named~7"):
        write(name, b"#!/bin/sh\n")
    assert meant("one") == "one"
    assert meant("named") == meant("na?ed") == meant("two") == meant(None) == "two"
    assert meant("named~1") == "one"
    with pytest.raises(SourceError, match="named~7, line 1: no JSON"):
        open_reference("named~7")
    write("other", line(root("in the file")))
    assert meant("other") == "in the file"


@pytest.mark.parametrize(
    "reference",
    ["./run", "run#latest", "run.json", "run.jsonl", "run.ndjson", "run.jsonl.gz", "run.db"],
)
@pytest.mark.parametrize("exec_id", [None, "one"])
def test_what_looks_like_a_file_is_one(
    write: Callable[..., None], reference: str, exec_id: str | None
) -> None:
    """Whatever the name of an execution is; only its id counts for more."""
    with phasetrace.execution(exec_id or reference, name=reference):
        pass
    phasetrace.shutdown()
    write(reference.removesuffix("#latest"), line(root("in the file")))
    assert meant(reference) == (reference if exec_id is None else "in the file")


def test_the_latest_is_no_file(write: Callable[..., None]) -> None:
    """Nor are those before it."""
    for exec_id in ("one", "two"):
        with phasetrace.execution(exec_id):
            pass
    phasetrace.shutdown()
    for name in ("latest", "latest~1", "latest~2"):
        write(name, line(root("in the file")))
    assert (meant("latest"), meant("latest~1")) == ("two", "one")
    with pytest.raises(UnknownExecution, match="there are only 2 runs"):
        open_reference("latest~2")


def test_what_was_looked_for_in_is_known(write: Callable[..., None]) -> None:
    """So that it can be said how to see what is there."""
    write("f.jsonl", line(root("e")))
    for reference, place in [("x", "f.jsonl"), ("f.jsonl#x", None)]:
        with pytest.raises(UnknownExecution) as error:
            open_reference(reference, place)
        assert error.value.place == "f.jsonl"
    with phasetrace.execution("one"):
        pass
    phasetrace.shutdown()
    with pytest.raises(UnknownExecution) as error:
        open_reference("x")
    assert error.value.place is None


def test_a_place_is_where_to_look(write: Callable[..., None]) -> None:
    """For anything but a file."""
    write("f", line(root("e", "named")))
    assert meant("e", "f") == meant("named", "f") == meant(None, "f") == "e"
    write("g", line(root("other")))
    assert meant("g", "f") == "other"
    with pytest.raises(SourceError, match="there is no file nowhere"):
        open_reference("g", "nowhere")


def test_without_a_store_and_a_file_there_is_nothing(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(StoreError, match="nothing has been recorded yet"):
        open_reference(str(tmp_path))
    with pytest.raises(StoreError, match="nothing has been recorded yet"):
        open_reference("x" * 5_000)
    assert os.environ["PHASETRACE_STORE"]
