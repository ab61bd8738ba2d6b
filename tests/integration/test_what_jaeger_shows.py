"""What the page of a real Jaeger has to show an execution with: the answers to its own questions.

The same program has run twice. What the page works out in the browser (statistics, critical path,
comparison) is worked out here from these answers, as it does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from phasetrace.analysis.execution import Examination
from phasetrace.breakdowns import ExecutionBreakdown
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.spans import PHASE, SpanRecord
from phasetrace.store.reader import StoreReader
from tests.phasetrace.analysis.published import jaegers_path

from .everything_program import CHECKED_NODE, NAME, SPANS
from .jaeger import Jaeger, require_binary

PROGRAM: Final = Path(__file__).with_name("everything_program.py")
SERVICE: Final = "what-jaeger-shows"
RUNS: Final = ("first-7f3a", "second-91bc")
ON_A_PATH: Final = "on-a-path"
OPEN: Final = ("-m", "phasetrace", "open")
SHIP: Final = ("-m", "phasetrace", "ship")
CUT_US: Final = 2
"""Start and duration of a span are cut to microseconds, so its end may be so much earlier."""

PATH_PROGRAM: Final = """
import asyncio, sys, time
from phasetrace import execution, node, phase

def work(us):
    until_ns = time.perf_counter_ns() + us * 1_000
    while time.perf_counter_ns() < until_ns:
        pass

async def part(name, ms):
    with phase(name):
        await asyncio.sleep(ms / 1_000)
        with phase("finish"):
            work(300)
        work(100)

async def main():
    with execution(sys.argv[1], name="a path"):
        work(200)
        with node("first"):
            work(100)
            with phase("read"):
                work(500)
            work(200)
            with phase("sort"):
                work(400)
            work(200)
        work(200)
        with node("parts"):
            work(100)
            await asyncio.gather(part("slow", 30), part("fast", 5))
            work(100)
        work(200)
        with node("last"):
            work(500)
        work(200)

asyncio.run(main())
"""


class Shown(NamedTuple):
    """A Jaeger, and the store of what it was sent."""

    jaeger: Jaeger
    store: Path

    def trace(self, exec_id: str) -> dict[str, Any]:
        """Return the trace of an execution, as the page gets it."""
        (trace,) = self.jaeger.traces_v1(f"{trace_id_of(exec_id):032x}").json()["data"]
        return dict(trace)

    def spans(self, exec_id: str = RUNS[0], name: str | None = None) -> list[dict[str, Any]]:
        """Return the spans of an execution's trace in the order of their starts; or those named."""
        spans = sorted(self.trace(exec_id)["spans"], key=lambda span: span["startTime"])
        return [span for span in spans if name is None or span["operationName"] == name]

    def found(self, **query: str) -> list[str]:
        """Return the ids of the traces that a search of the service finds."""
        answer = self.jaeger.get("/api/traces", service=SERVICE, **query).json()
        return sorted(trace["traceID"] for trace in answer["data"])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Run the programs, and return the Jaeger that they sent to."""
    require_binary()
    folder = tmp_path_factory.mktemp("shown")
    with Jaeger() as jaeger:
        shown = Shown(jaeger, folder / "traces.db")
        for exec_id in RUNS:
            assert run(shown, folder, str(PROGRAM), exec_id) == ""
        assert run(shown, folder, "-c", PATH_PROGRAM, ON_A_PATH) == ""
        yield shown


def run(shown: Shown, folder: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    """Run Python to its end, with Jaeger for the destination; return what it prints and says."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PHASETRACE_STORE": str(shown.store),
            "OTEL_EXPORTER_OTLP_ENDPOINT": shown.jaeger.otlp_http,
            "OTEL_SERVICE_NAME": SERVICE,
            "PHASETRACE_TRACE_URL": f"{shown.jaeger.query_url}/trace/{{trace_id}}",
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def tags(span: dict[str, Any]) -> dict[str, Any]:
    """Return the tags of a span, or the fields of a log."""
    return {tag["key"]: tag["value"] for tag in span.get("tags", span.get("fields", []))}


def references(span: dict[str, Any], kind: str) -> list[str]:
    """Return the ids of the spans that a span refers to."""
    return [one["spanID"] for one in span["references"] if one["refType"] == kind]


def way_to(span: dict[str, Any], spans: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the names from the root of the trace down to a span."""
    by_id = {one["spanID"]: one for one in spans}
    names = [span["operationName"]]
    while above := references(span, "CHILD_OF"):
        span = by_id[above[0]]
        names.append(span["operationName"])
    return tuple(reversed(names))


# --- the list of traces, and the head of one ------------------------------------------------------


def test_each_execution_is_a_trace_of_the_service(shown: Shown) -> None:
    """Found under the execution's name, which is that of the root."""
    ids = sorted(f"{trace_id_of(exec_id):032x}" for exec_id in RUNS)
    assert shown.found(operation=NAME) == ids
    assert shown.jaeger.get("/api/services").json()["data"] == [SERVICE]
    for exec_id in RUNS:
        (root,) = (span for span in shown.spans(exec_id) if not span["references"])
        assert root["operationName"] == NAME
        assert int(root["spanID"], 16) == root_span_id_of(exec_id)
        assert tags(root)["exec_id"] == exec_id
        processes = shown.trace(exec_id)["processes"].values()
        assert [process["serviceName"] for process in processes] == [SERVICE]
        assert len(shown.spans(exec_id)) == SPANS


@pytest.mark.parametrize(
    "tag",
    [
        '{"exec_id": "first-7f3a"}',
        '{"exec_id": "first-7f3a within"}',
        '{"exec_id": "first-7f3a", "node_id": "load", "node_type": "io"}',
        '{"exec_id": "first-7f3a", "error": "true"}',
        '{"exec_id": "first-7f3a", "iteration": "2"}',
        '{"exec_id": "first-7f3a", "phasetrace.cancelled": "true"}',
    ],
)
def test_a_search_by_tags_finds_the_execution(shown: Shown, tag: str) -> None:
    """By what one span of it has, those of an execution within it, too."""
    assert shown.found(tags=tag) == [f"{trace_id_of(RUNS[0]):032x}"]


def test_names_of_spans_are_few(shown: Shown) -> None:
    """They are those of the execution, of nodes and of phases; what differs by run is in tags."""
    names = [{span["operationName"] for span in shown.spans(exec_id)} for exec_id in RUNS]
    assert names[0] == names[1]
    of_path = {span["operationName"] for span in shown.spans(ON_A_PATH)}
    offered = shown.jaeger.get(f"/api/services/{SERVICE}/operations").json()["data"]
    assert sorted(offered) == sorted(names[0] | of_path)
    assert not [name for name in offered for exec_id in RUNS if exec_id in name]


# --- the timeline ---------------------------------------------------------------------------------


def test_nodes_and_phases_are_nested(shown: Shown) -> None:
    """As they were in the program, across tasks, threads and an execution within."""
    spans = shown.spans()
    ways = Counter(way_to(span, spans) for span in spans)
    assert ways[(NAME, "extract", "fetch", "parse")] == 5
    assert ways[(NAME, "transform", "shape", "clean", "trim")] == 3
    assert ways[(NAME, "threads", "compute", "add")] == 3
    assert ways[(NAME, "calls", "GET", "send")] == 1
    assert ways[(NAME, "within", "deep", "deeper")] == 1
    assert ways[(NAME, "by id")] == 2


def test_a_node_has_its_type_and_iteration(shown: Shown) -> None:
    """And its phases have them, too."""
    for name in ("transform", "trim"):
        seen = [tags(span) for span in shown.spans(name=name)]
        assert [(one["node_id"], one["node_type"], one["iteration"]) for one in seen] == [
            ("transform", "cpu", number) for number in range(3)
        ]


def test_a_failure_is_an_error_with_its_exception(shown: Shown) -> None:
    """On the spans that it went through; those around them are none."""
    failed = [span for span in shown.spans() if tags(span).get("error")]
    assert [span["operationName"] for span in failed] == ["attempt", "boom"]
    for span in failed:
        assert tags(span)["otel.status_description"] == "ValueError: two\nlines ü"
        (log,) = span["logs"]
        assert log["timestamp"] <= span["startTime"] + span["duration"] + CUT_US
        said = tags(log)
        assert (said["event"], said["exception.type"]) == ("exception", "ValueError")
        assert said["exception.message"] == "two\nlines ü"
        assert "raise ValueError" in said["exception.stacktrace"]


def test_what_was_cancelled_says_so_and_is_no_error(shown: Shown) -> None:
    """The phases that were cut short, and nothing else."""
    cancelled = [span for span in shown.spans() if "phasetrace.cancelled" in tags(span)]
    assert [span["operationName"] for span in cancelled] == ["wait", "wait longer"]
    assert not [span for span in cancelled if "error" in tags(span) or span["logs"]]


def test_dependencies_lead_from_node_to_node(shown: Shown) -> None:
    """Each is a reference that can be followed, and is named in a tag."""
    names = {span["spanID"]: span["operationName"] for span in shown.spans()}
    followed = {
        span["operationName"]: [names[one] for one in references(span, "FOLLOWS_FROM")]
        for span in shown.spans()
        if "depends_on" in tags(span)
    }
    assert followed == {
        "transform": ["extract"],
        "threads": ["extract"],
        "load": ["transform", "threads"],
    }
    assert tags(shown.spans(name="load")[0])["depends_on"] == '["transform","threads"]'


def test_there_are_no_warnings(shown: Shown) -> None:
    """Of clocks, of parents that are missing, of spans without duration."""
    for exec_id in (*RUNS, ON_A_PATH):
        trace = shown.trace(exec_id)
        assert not [one["warnings"] for one in (trace, *trace["spans"]) if one["warnings"]]


# --- statistics, critical path, comparison --------------------------------------------------------


def test_statistics_by_node_are_those_of_the_breakdown(shown: Shown) -> None:
    """All have an `exec_id`, and all but executions' own a `node_id` to be grouped by."""
    spans = [span for span in shown.spans() if tags(span).get("phasetrace.type") != "execution"]
    assert {tags(span)["exec_id"] for span in spans} == {RUNS[0], f"{RUNS[0]} within"}
    count: Counter[tuple[str, str]] = Counter()
    total_us: Counter[tuple[str, str]] = Counter()
    for span in spans:
        if tags(span)["exec_id"] == RUNS[0] and tags(span).get("phasetrace.type") != "node":
            row = (tags(span)["node_id"], span["operationName"])
            count[row] += 1
            total_us[row] += span["duration"]
    assert count[(CHECKED_NODE, "value")] == 5
    phases = {
        (node.node_id, phase.phase): phase
        for node in breakdown(shown, RUNS[0]).nodes
        for phase in node.phases
    }
    assert phases.keys() == count.keys()
    for row, phase in phases.items():
        assert phase.count == count[row]
        assert 0 <= phase.total_ns / 1_000 - total_us[row] < count[row]


def test_the_critical_path_is_ours(shown: Shown) -> None:
    """Jaeger's way of finding it, with the times that it has, goes through the same stretches."""
    with StoreReader(shown.store) as store:
        recording = store.recording(store.find(ON_A_PATH))
    examination = Examination(recording)
    ours = [
        (owner.name, segment.start_ns, segment.end_ns)
        for segment in examination.path
        if (owner := examination.network.spans[segment.place]) is not None
    ]
    spans = [record_of(span) for span in shown.spans(ON_A_PATH)]
    (root,) = (span for span in spans if span.parent_id is None)
    names = {span.span_id: span.name for span in spans}
    theirs = [
        (names[section.span_id], section.start_ns, section.end_ns)
        for section in jaegers_path(spans, root)
    ]
    assert [name for name, *_ in theirs] == [name for name, *_ in ours]
    assert [name for name, *_ in theirs if name != "a path"] == [
        *("first", "read", "first", "sort", "first"),
        *("parts", "slow", "finish", "slow", "parts"),
        "last",
    ]
    for (_, *their_times), (_, *our_times) in zip(theirs, ours, strict=True):
        for their_ns, our_ns in zip(their_times, our_times, strict=True):
            assert 0 <= our_ns - their_ns < CUT_US * 1_000


def test_two_runs_can_be_compared(shown: Shown) -> None:
    """The comparison goes by service and names from the root down: the runs are alike."""
    shapes = []
    for exec_id in RUNS:
        spans = shown.spans(exec_id)
        shapes.append(Counter(way_to(span, spans) for span in spans))
    assert shapes[0] == shapes[1]


# --- from the command line to the page ------------------------------------------------------------


def test_open_leads_to_the_trace(shown: Shown, tmp_path: Path) -> None:
    """To the page of what a program or `ship` has delivered, or sent once more; else to none."""
    here = Shown(shown.jaeger, tmp_path / "traces.db")

    def address(exec_id: str) -> str:
        return f"{shown.jaeger.query_url}/trace/{trace_id_of(exec_id):032x}\n"

    assert run(shown, tmp_path, *OPEN, RUNS[0]) == address(RUNS[0])
    run(here, tmp_path, "-c", PATH_PROGRAM, "late", PHASETRACE_DELIVERY="off")
    assert "late is not there yet: 10 spans wait" in run(here, tmp_path, *OPEN, "late", code=1)
    assert f"trace: {address('late')}" in run(here, tmp_path, *SHIP)
    assert run(here, tmp_path, *OPEN, "late") == address("late")
    assert len(shown.spans("late")) == 10
    run(here, tmp_path, "-c", PATH_PROGRAM, "kept", OTEL_TRACES_EXPORTER="none")
    assert "kept was not to go to " in run(here, tmp_path, *OPEN, "kept", code=1)
    assert f"trace: {address('kept')}" in run(here, tmp_path, *SHIP, "--replay", "kept")
    assert run(here, tmp_path, *OPEN, "kept") == address("kept")
    assert len(shown.spans("kept")) == 10


def breakdown(shown: Shown, exec_id: str) -> ExecutionBreakdown:
    """Return what the store says."""
    with StoreReader(shown.store) as store:
        return store.breakdown(store.find(exec_id))


def record_of(span: dict[str, Any]) -> SpanRecord:
    """Return a span of the page's with as much as the critical path goes by; times in ns."""
    above = references(span, "CHILD_OF")
    start_ns = span["startTime"] * 1_000
    return SpanRecord(
        int(span["spanID"], 16),
        int(above[0], 16) if above else None,
        PHASE,
        span["operationName"],
        None,
        None,
        start_ns,
        start_ns + span["duration"] * 1_000,
        "ok",
    )
