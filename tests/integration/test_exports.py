"""A run goes out in one place and comes in at another, and has the same numbers there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from phasetrace.breakdowns import ExecutionBreakdown
from phasetrace.identity import trace_id_of
from phasetrace.recordings.comparison import compare
from phasetrace.recordings.opening import open_source
from phasetrace.store.reader import StoreReader
from tests.phasetrace.recordings.otlp_files import as_json, spans_of

from .jaeger import Jaeger, find_binary, require_binary
from .test_same_everywhere import PROGRAM

EXEC_IDS = ("run_1", "inner_1", "run_2")


class Place(NamedTuple):
    """A folder with a store in it, of a person of their own."""

    folder: Path

    @property
    def store(self) -> Path:
        """The store."""
        return self.folder / "traces.db"

    def call(self, *arguments: str | Path, **variables: str) -> str:
        """Call Python to its end; return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "PHASETRACE_STORE": str(self.store),
                **variables,
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def phasetrace(self, *arguments: str | Path) -> str:
        """Call the command."""
        return self.call("-m", "phasetrace", *arguments)

    def breakdown(self, exec_id: str) -> ExecutionBreakdown:
        """Return the breakdown of an execution, worked out from its spans."""
        with StoreReader(self.store) as store:
            return store.recording(store.find(exec_id)).breakdown()

    def new(self, name: str) -> Place:
        """Return another one, with nothing in it."""
        folder = self.folder / name
        folder.mkdir()
        return Place(folder)


class Recorded(NamedTuple):
    """Where the run was recorded, and the traces that a Jaeger had of it."""

    here: Place
    downloads: dict[str, Any] | None


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Run the program once, into a store and, where there is one, a Jaeger."""
    here = Place(tmp_path_factory.mktemp("exports"))
    if find_binary() is None:
        here.call("-W", "error", "-c", PROGRAM)
        yield Recorded(here, None)
        return
    with Jaeger() as jaeger:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http}
        here.call("-W", "error", "-c", PROGRAM, **endpoint)
        here.call("-m", "phasetrace", "ship", **endpoint)
        downloads = {
            exec_id: jaeger.traces_v1(f"{trace_id_of(exec_id):032x}").json()
            for exec_id in ("run_1", "run_2")
        }
        yield Recorded(here, downloads)


@pytest.mark.parametrize("exec_id", EXEC_IDS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_what_is_exported_and_imported_has_the_same_numbers(
    recorded: Recorded, tmp_path: Path, exec_id: str, name: str
) -> None:
    """To the nanosecond: a colleague sees what was seen here."""
    recorded.here.phasetrace("export", exec_id, "-o", tmp_path / name)
    there = Place(tmp_path)
    assert f"{exec_id} " in there.phasetrace("import", tmp_path / name)
    assert there.breakdown(exec_id) == recorded.here.breakdown(exec_id)


def test_executions_within_others_come_along_rolled_up(recorded: Recorded, tmp_path: Path) -> None:
    """Each an execution again, in the place that it had."""
    recorded.here.phasetrace("export", "run_1", "--rolled-up", "-o", tmp_path / "a.jsonl")
    there = Place(tmp_path)
    there.phasetrace("import", "a.jsonl")
    rolled_up = []
    for place in (recorded.here, there):
        with StoreReader(place.store) as store:
            rolled_up.append(store.breakdown(store.find("run_1"), rolled_up=True))
            assert store.find("inner_1").parent_exec_id == "run_1"
    assert rolled_up[0] == rolled_up[1]


def test_the_official_parser_has_the_spans_back(recorded: Recorded, tmp_path: Path) -> None:
    """Each line is a ``TracesData``, and together they are what is in the store."""
    recorded.here.phasetrace("export", "run_1", "-o", tmp_path / "a.jsonl")
    found = []
    for line in (tmp_path / "a.jsonl").read_text().splitlines():
        document = json.loads(line)
        for span in spans_of(document):
            for holder in (span, *span.get("links", ())):
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in holder:
                        holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()
        parsed = json_format.ParseDict(document, TracesData())
        found += list(spans_of(as_json(parsed.SerializeToString())))
    with StoreReader(recorded.here.store) as store:
        given = [one for part in store.traces(store.find("run_1")) for one in spans_of(part)]
        assert len(found) == store.find("run_1").spans
    assert found == given


@pytest.mark.parametrize("exec_id", EXEC_IDS)
def test_what_jaeger_lets_download_has_the_same_numbers(
    recorded: Recorded, tmp_path: Path, exec_id: str
) -> None:
    """But for what is cut off behind the microsecond."""
    require_binary()
    assert recorded.downloads is not None
    file = tmp_path / "download.json"
    file.write_text(json.dumps(recorded.downloads[exec_id.replace("inner", "run")], indent=1))
    there = Place(tmp_path)
    there.phasetrace("import", file)
    with StoreReader(recorded.here.store) as ours, open_source(str(there.store)) as theirs:
        comparison = compare(ours, ours.find(exec_id), theirs)
        assert comparison.is_cut
        assert comparison.is_same, comparison
    with open_source(str(file)) as source, StoreReader(there.store) as store:
        of_file = source.breakdown(source.find(exec_id))
        assert store.breakdown(store.find(exec_id)) == of_file


def test_a_download_adds_nothing_to_what_was_recorded_here(
    recorded: Recorded, tmp_path: Path
) -> None:
    """Its spans are known, though their times are cut."""
    require_binary()
    assert recorded.downloads is not None
    file = tmp_path / "download.json"
    file.write_text(json.dumps(recorded.downloads["run_1"]))
    before = recorded.here.breakdown("run_1")
    rows = recorded.here.phasetrace("import", file).splitlines()[1:]
    assert [row.split()[-1] for row in rows] == ["0"] * len(rows)
    assert recorded.here.breakdown("run_1") == before


def test_the_exporter_writes_what_export_would(recorded: Recorded, tmp_path: Path) -> None:
    """``OTEL_TRACES_EXPORTER=phasetrace_jsonl``, in as many files as it takes."""
    place = Place(tmp_path)
    place.call(
        "-W",
        "error",
        "-c",
        PROGRAM,
        OTEL_TRACES_EXPORTER="phasetrace_jsonl",
        PHASETRACE_JSONL_ROTATION="8KB, 99 files",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
    )
    files = sorted((tmp_path / ".logs").iterdir())
    assert len(files) > 1
    there = place.new("there")
    there.phasetrace("import", *files)
    for exec_id in EXEC_IDS:
        assert there.breakdown(exec_id) == place.breakdown(exec_id)
