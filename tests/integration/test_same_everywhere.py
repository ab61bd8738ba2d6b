"""A run seen from the store, from a file of OTLP JSON and from a real Jaeger is the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from phasetrace.recordings.opening import open_source
from phasetrace.recordings.references import open_reference, resolve
from phasetrace.recordings.source import Source, Where
from phasetrace.spans import SpanRecord
from tests.phasetrace.recordings.otlp_files import write_otlp

from .jaeger import Jaeger, find_binary, require_binary

PROGRAM = """
import asyncio, subprocess, sys
from phasetrace import execution, node, phase, propagate, time_phase

CHILD = '''
from phasetrace import node, phase, time_phase
with node("child", "process"), phase("there", part=2):
    sum(range(50_000))
with time_phase("run_1", "named", "by id"):
    pass
'''

async def fetch(index):
    with phase("fetch", url=f"https://example.test/{index}"):
        with phase("parse"):
            await asyncio.sleep(0.001)
        with phase("nothing"):
            pass

async def wait():
    with phase("wait"):
        await asyncio.sleep(60)

async def main():
    with execution("run_1", name="same everywhere", user="a"):
        for iteration in range(3):
            async with node("gather", "io", iteration=iteration):
                await asyncio.gather(*(fetch(index) for index in range(5)))
        with node("threads", depends_on=["gather"]):
            work = phase("work", **{"gen_ai.usage.input_tokens": 5, "gen_ai.request.model": "m"})
            threads = [propagate.Thread(target=work(sum), args=[range(100_000)]) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        with node("processes"):
            command = [sys.executable, "-c", CHILD]
            subprocess.run(command, env=propagate.environ(), check=True)
        with node("fails"):
            try:
                with phase("boom"):
                    raise ValueError("two\\nlines")
            except ValueError:
                pass
        with node("cancels"):
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        with execution("inner_1", name="inner"), node("deep"), phase("p"):
            pass

asyncio.run(main())
with time_phase("run_2", "n", "p"):
    pass
"""
EXEC_IDS = ("run_1", "inner_1", "run_2")
SPANS = {"run_1": 1 + 3 + 15 * 3 + 1 + 3 + 1 + 3 + 2 + 2, "inner_1": 3, "run_2": 2}


class Recorded(NamedTuple):
    """Where the run is."""

    store: Path
    file: Path
    jaeger: str | None

    def place(self, kind: str) -> str:
        """Return a place to read it from; skip the test where there is no Jaeger."""
        if kind == "jaeger":
            require_binary()
        return str(getattr(self, kind))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Run the program once, into a store and a Jaeger, and write the store into a file."""
    folder = tmp_path_factory.mktemp("same")
    store, file = folder / "traces.db", folder / "traces.jsonl"
    if find_binary() is None:
        run(folder, ["-W", "error", "-c", PROGRAM])
        yield Recorded(store, write_otlp(store, file), None)
        return
    with Jaeger() as jaeger:
        endpoint: dict[str, Any] = {"OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http}
        run(folder, ["-W", "error", "-c", PROGRAM], **endpoint)
        run(folder, ["-m", "phasetrace", "ship"], **endpoint)
        yield Recorded(store, write_otlp(store, file), jaeger.query_url)


def run(folder: Path, arguments: list[str], code: int = 0, **variables: str) -> str:
    """Run Python to its end, with the store in the folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PHASETRACE_STORE": str(folder / "traces.db"),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def comparable(source: Source, exec_id: str, rolled_up: bool) -> list[SpanRecord]:
    """Return the spans of an execution, but for what means something within one source only."""
    spans = source.recording(source.find(exec_id), rolled_up).spans
    return sorted((one._replace(process=0, metadata=None) for one in spans), key=repr)


def processes(source: Source) -> set[frozenset[int]]:
    """Return which spans of the execution one process made."""
    found: dict[int, set[int]] = {}
    for span in source.recording(source.find("run_1")).spans:
        found.setdefault(span.process, set()).add(span.span_id)
    return {frozenset(ids) for ids in found.values()}


@pytest.mark.parametrize("kind", ["file", "jaeger"])
@pytest.mark.parametrize("exec_id", EXEC_IDS)
def test_header_spans_and_breakdown_are_the_same(
    recorded: Recorded, kind: str, exec_id: str
) -> None:
    """To the nanosecond, with what was started within it and without."""
    with open_source(recorded.place("store")) as store, open_source(recorded.place(kind)) as other:
        here, there = store.find(exec_id), other.find(exec_id)
        assert there._replace(row=here.row) == here
        assert other.summary(there) == store.summary(here)
        assert there.spans == SPANS[exec_id]
        for rolled_up in (False, True):
            expected = store.breakdown(here, rolled_up).to_dict()
            assert other.breakdown(there, rolled_up).to_dict() == expected
            assert comparable(other, exec_id, rolled_up) == comparable(store, exec_id, rolled_up)
        assert other.notes == ()


@pytest.mark.parametrize("kind", ["store", "file", "jaeger"])
def test_all_tell_of_the_same_executions_and_processes(recorded: Recorded, kind: str) -> None:
    """Newest first, found by id, by name, by what came before the latest, and by the trace."""
    with open_source(recorded.place(kind)) as source:
        assert [one.exec_id for one in source.executions()] == ["run_2", "inner_1", "run_1"]
        assert [one.exec_id for one in source.executions(1, Where(name="same*"))] == ["run_1"]
        assert resolve(source, "same everywhere").exec_id == "run_1"
        assert resolve(source, "latest~1").exec_id == "inner_1"
        assert sorted(map(len, processes(source))) == [3, SPANS["run_1"] - 3]


def test_a_trace_in_jaeger_can_be_asked_for_by_its_id(recorded: Recorded) -> None:
    """It is what the interface of Jaeger shows."""
    with open_source(recorded.place("jaeger")) as source:
        trace_id = source.find("run_1").trace_id
        assert source.find("inner_1").trace_id == trace_id
        assert resolve(source, trace_id).exec_id == "run_1"


def test_a_file_stands_for_the_execution_in_it(recorded: Recorded) -> None:
    """One of several is named behind it."""
    source, found = open_reference(f"{recorded.file}#inner", None)
    with source:
        assert found.exec_id == "inner_1"


@pytest.mark.parametrize("kind", ["store", "file", "jaeger"])
@pytest.mark.parametrize("exec_id", EXEC_IDS)
def test_verify_says_that_they_are_identical(recorded: Recorded, kind: str, exec_id: str) -> None:
    """In a process of its own."""
    folder, place = recorded.store.parent, recorded.place(kind)
    said = run(folder, ["-m", "phasetrace", "verify", exec_id, "--source", place])
    assert said.startswith(f"identical: {exec_id} in the store and in {place} (")
    found: dict[str, Any] = json.loads(
        run(folder, ["-m", "phasetrace", "verify", exec_id, "--source", place, "--json"])
    )
    assert (found["result"], found["spans"]) == ("identical", SPANS[exec_id])


def test_verify_says_what_jaeger_lacks(recorded: Recorded) -> None:
    """Of what was recorded after the last delivery, for instance."""
    folder = recorded.store.parent
    late = "from phasetrace import time_phase\nwith time_phase('run_1', 'n', 'late'): pass"
    run(folder, ["-c", late], PHASETRACE_STORE=str(folder / "late.db"))
    command = ["-m", "phasetrace", "verify", "run_1", "--source", recorded.place("jaeger")]
    said = run(folder, command, 1, PHASETRACE_STORE=str(folder / "late.db"))
    assert said.startswith("different: run_1 in the store (here) and in http://127.0.0.1:")
    assert "    n / late (" in said
