"""Test that a page's numbers are those of ``metrics --json`` and ``diff --json``."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phasetrace.analysis.execution import Examination
from phasetrace.cli import main
from phasetrace.history import Usual, Verdict
from phasetrace.project_file import load_prices
from phasetrace.recordings.advice import advice
from phasetrace.recordings.references import open_reference
from phasetrace.reports.document import Shown, document
from phasetrace.spans import PhaseKey
from tests.golden.cases import EXECUTIONS, NAMES
from tests.phasetrace.reports.decoding import numbers


@pytest.fixture(autouse=True)
def in_the_folder() -> Iterator[None]:
    """Have the recorded executions at hand."""
    before = Path.cwd()
    os.chdir(EXECUTIONS)
    yield
    os.chdir(before)


def printed(*command: str) -> Any:
    """Return what a command prints as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main([*command, "--json"])
    return json.loads(out.getvalue())


def shown(name: str, verdict: Verdict | None = None) -> Shown:
    """Return one of the recorded executions as it goes on a page."""
    source, execution = open_reference(f"{name}.jsonl")
    with source:
        recording = source.recording(execution, with_metadata=True)
        examination = Examination(recording, load_prices("prices.toml"))
        found = advice(source, execution, examination, rolled_up=False, verdict=verdict)
        return Shown(examination, source.breakdown(execution), found, verdict)


def run_of(name: str) -> Any:
    """Return what a page has of one of the recorded executions, as its script reads it."""
    return json.loads(json.dumps(document(shown(name))["runs"][0]))


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_are_those_of_metrics(name: str) -> None:
    """Of the execution as a whole."""
    run, metrics = run_of(name), printed("metrics", f"{name}.jsonl", "--prices", "prices.toml")
    for figure in (
        "exec_id",
        "name",
        "status",
        "trace_id",
        "duration_ns",
        "spans",
        "errors",
        "cancelled",
        "unattributed_ns",
        "unattributed",
    ):
        assert run[figure] == metrics[figure]
    assert run["started_ns"] == str(metrics["started_ns"])
    analysis = metrics["analysis"]
    del analysis["concurrency"]["busy_ns"]
    assert run["at_once"] == analysis["concurrency"]
    assert run["usage"] == analysis["groups"]["usage"]
    assert run["wall_ns"] == analysis["groups"]["wall_ns"]
    for figure in ("critical_unattributed_ns", "critical_waiting_ns"):
        assert run[figure] == analysis["groups"][figure]


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_are_those_of_metrics(name: str) -> None:
    """Of each node and phase, in the same order."""
    run, metrics = run_of(name), printed("metrics", f"{name}.jsonl", "--prices", "prices.toml")
    by_node = printed("metrics", f"{name}.jsonl", "--prices", "prices.toml", "--by", "node")
    groups = {(row["node_id"], row["phase"]): row for row in metrics["analysis"]["groups"]["rows"]}
    nodes = {row["node_id"]: row for row in by_node["analysis"]["groups"]["rows"]}
    assert [node["node_id"] for node in run["nodes"]] == [
        node["node_id"] for node in metrics["nodes"]
    ]
    for node, known in zip(run["nodes"], metrics["nodes"], strict=True):
        own = {
            figure: known[figure] - sum(phase[figure] for phase in known["phases"])
            for figure in ("errors", "cancelled")
        }
        assert_same(node, {**known, **own}, nodes[node["node_id"]])
        assert [phase["phase"] for phase in node["phases"]] == [
            phase["phase"] for phase in known["phases"]
        ]
        for phase, known_phase in zip(node["phases"], known["phases"], strict=True):
            assert_same(phase, known_phase, groups[node["node_id"], phase["phase"]])


def assert_same(row: Any, known: Any, group: Any) -> None:
    """Fail unless a row has the numbers of the breakdown, and of the group where that has none."""
    assert row["calls"] == known["count"]
    for figure in ("total_ns", "self_ns", "share_ns", "share", "of_node", "errors", "cancelled"):
        assert row[figure] == known[figure]
    assert row["p95_ns"] == (known["p95_ns"] if known["count"] else None)
    for figure in ("p50_ns", "max_ns"):
        assert row[figure] == (group[figure] if known["count"] else None)
    assert row["critical_ns"] == group["critical_ns"]
    for figure in ("input_tokens", "output_tokens", "cost"):
        assert row[figure] == group["usage"][figure]


@pytest.mark.parametrize("name", NAMES)
def test_the_findings_are_those_of_metrics(name: str) -> None:
    """In the same order, and in the same words."""
    findings = printed("metrics", f"{name}.jsonl")["findings"]
    for one in findings:
        del one["evidence"]
    assert run_of(name)["findings"] == findings


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_of_the_call_tree_add_up_to_the_breakdown(name: str) -> None:
    """Calls, total, self and critical time of each phase, wherever it was called from."""
    run = run_of(name)
    rows = run["rows"]
    sums: dict[Any, list[int]] = {}
    for at, type_ in enumerate(rows["type"]):
        if type_ == "e":
            continue
        node = run["names"][rows["node"][at]]
        key = (node, run["names"][rows["name"][at]] if type_ == "p" else None)
        of = sums.setdefault(key, [0, 0, 0])
        for place, column in enumerate(("calls", "total_ns", "self_ns")):
            of[place] += rows[column][at]
    for node in run["nodes"]:
        for phase in node["phases"]:
            key = (node["node_id"], phase["phase"])
            assert sums[key] == [phase["calls"], phase["total_ns"], phase["self_ns"]]
        if node["calls"]:
            own = sums[node["node_id"], None]
            assert own == [node["calls"], node["total_ns"], node["self_ns"]]
    nobodys_ns = run["critical_unattributed_ns"] + run["critical_waiting_ns"]
    assert sum(rows["critical_ns"]) + nobodys_ns == run["wall_ns"]


def test_that_it_was_slower_than_usual_is_a_finding_and_is_said() -> None:
    """As metrics have it."""
    usual = Usual(runs=20, median_ns=50_000_000, mad_ns=1, min_ns=49_000_000, max_ns=51_000_000)
    verdict = Verdict("slower", 155_044_058, usual)
    run = document(shown("iterations", verdict))["runs"][0]
    assert run["findings"][0]["kind"] == "slower_than_usual"
    assert run["usual"] == (
        "slower than usual: 155ms, the last 20 runs took 50.0ms (49.0ms to 51.0ms)"
    )
    assert (
        document(shown("iterations", verdict._replace(what="as usual")))["runs"][0]["usual"] is None
    )


def test_the_differences_are_those_of_diff() -> None:
    """From the other execution to this one."""
    made = document(shown("iterations"), shown("fan_out"))
    diff = printed("diff", "fan_out.jsonl", "iterations.jsonl")
    del diff["schema"]
    for side in ("a", "b"):
        for one in diff[side]["executions"]:
            one["started_ns"] = str(one["started_ns"])
    assert json.loads(json.dumps(made["diff"])) == diff
    assert [run["exec_id"] for run in made["runs"]] == ["iterations", "fan_out"]


def test_without_another_one_there_is_no_difference() -> None:
    """And one run."""
    made = document(shown("iterations"))
    assert made["diff"] is None
    assert len(made["runs"]) == 1


def test_what_could_not_be_stored_is_in_the_breakdown_alone() -> None:
    """Rows of which no span is there are shown all the same, and why is said."""
    of = shown("iterations")
    recording = of.examination.recording
    kept = [one for one in recording.spans if one.name != "sql"]
    examination = Examination(recording._replace(spans=kept, lost=1))
    run = document(of._replace(examination=examination))["runs"][0]
    assert run["notes"] == [
        "1 span of this execution could not be stored; only the breakdown has all of them"
    ]
    [lookup] = [node for node in run["nodes"] if node["node_id"] == "lookup"]
    [sql] = lookup["phases"]
    assert (sql["calls"], sql["total_ns"] > 0, sql["p50_ns"]) == (1, True, None)


def test_what_has_not_ended_is_open() -> None:
    """Its bar goes up to now, and it is marked."""
    of = shown("iterations")
    recording = of.examination.recording
    open_span = (7, recording.root_id, recording.execution.started_ns, PhaseKey("late", "phase"))
    examination = Examination(recording._replace(open_spans=[open_span]))
    run = document(of._replace(examination=examination))["runs"][0]
    [number] = numbers(run["span_columns"]["open"])
    assert run["span_columns"]["id"][number] == f"{7:016x}"
