"""What `phasetrace metrics` shows beyond the breakdown."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.analysis.execution import Examination
from phasetrace.analysis.groups import BY
from phasetrace.analysis.recording import Recording
from phasetrace.breakdowns import ExecutionHeader
from phasetrace.cli import main
from phasetrace.cli.group_columns import COLUMNS, DEFAULT, groups_lines
from phasetrace.spans import PhaseKey, SpanRecord

from .stored_runs import Run, put

CALL: dict[str, Any] = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1_000_000,
    "gen_ai.usage.output_tokens": 10,
}


@pytest.fixture
def recorded() -> None:
    """Record an execution: a plan, then a loop of two turns that wait for it."""
    with execution("exec_1", name="agent"):
        with node("plan", node_type="llm"), phase("call", **CALL):
            pass
        for turn in range(2):
            with node("act", node_type="tool", iteration=turn, depends_on=["plan"]):
                with phase("fetch", url="http://example.com"):
                    pass
                with phase("call", **CALL):
                    pass
    phasetrace.shutdown()


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return what the command prints."""
    assert main(["metrics", *options]) == 0
    return capsys.readouterr().out


def rows(text: str) -> list[list[str]]:
    """Return the cells of the first table below the header."""
    table = text.split("\n\n")[1]
    return [line.split() for line in table.splitlines()]


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("by", "first", "keys"),
    [
        ("node", ["node"], {"plan", "act", "unattributed", "all"}),
        ("phase", ["phase"], {"call", "fetch", "(self)", "unattributed", "all"}),
        ("type", ["type"], {"llm", "tool", "unattributed", "all"}),
        ("iteration", ["node", "iteration"], {"plan", "act", "unattributed", "all"}),
    ],
)
def test_spans_are_added_up_by_what_is_asked_for(
    by: str, first: list[str], keys: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A row each, then what is unattributed, what is waiting, and the sum."""
    titles, *groups = rows(shown(capsys, "--by", by))
    assert titles[: len(first)] == first
    assert {row[0] for row in groups} - {"(waiting)"} == keys
    assert groups[-1][0] == "all"


@pytest.mark.usefixtures("recorded")
def test_columns_are_those_that_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """In that order."""
    titles, *_ = rows(shown(capsys, "--by", "node", "--columns", "p99,calls"))
    assert titles == ["node", "p99", "calls"]


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("column", COLUMNS)
def test_any_column_sorts(column: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that is not shown; a table without --by has nodes and phases."""
    titles, *_ = rows(shown(capsys, "--sort", column, "--columns", "calls"))
    assert titles == ["node", "phase", "calls"]


@pytest.mark.usefixtures("recorded")
def test_a_column_sorts_the_most_first(capsys: pytest.CaptureFixture[str]) -> None:
    """And not by its text."""
    _, *groups = rows(shown(capsys, "--by", "phase", "--sort", "calls", "--columns", "calls"))
    calls = [int(row[1]) for row in groups if len(row) > 1]
    assert calls == sorted(calls, reverse=True)


@pytest.mark.parametrize(
    "options",
    [("--sort", "size"), ("--columns", "calls,size"), ("--columns", ","), ("--by", "size")],
)
def test_what_there_is_not_is_a_usage_error(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Which says what there is, before anything is read."""
    assert main(["metrics", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "calls" in error or "'node'" in error or "node" in error


@pytest.mark.usefixtures("recorded")
def test_tokens_are_shown_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    """Added up; the cost only where prices are known."""
    text = shown(capsys, "--by", "node")
    assert "tokens in" in text
    assert "2,000,000" in text
    assert rows(text)[-1][-2:] == ["3,000,000", "30"]
    assert "cost" not in text


@pytest.mark.usefixtures("recorded")
def test_what_is_asked_for_is_shown_also_if_it_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A column that is gone would look like a mistake."""
    assert rows(shown(capsys, "--by", "node", "--columns", "cost"))[0] == ["node", "cost"]


@pytest.mark.usefixtures("recorded")
def test_calls_are_added_up_by_model(capsys: pytest.CaptureFixture[str]) -> None:
    """What called none is a row, too."""
    groups = rows(shown(capsys, "--by", "model", "--columns", "calls,input_tokens"))
    assert ["gpt-4o", "3", "3,000,000"] in groups
    assert "(none)" in {row[0] for row in groups}


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_terminal_gets_as_many_columns_as_fit(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left out is what tells least; tokens stay."""
    import argparse

    from phasetrace.cli.answers_text import sections
    from phasetrace.cli.metrics import _examined, _found  # as the command does

    args = argparse.Namespace(exec_id=None, source=None, rolled_up=False, prices=None, latest=True)
    with _found(args) as (source, found):
        examination = _examined(source, found, args, with_metadata=False)
    (lines,) = sections(examination, (), (), "node", (), None, width, False)
    assert max(map(len, lines)) <= width
    assert "tokens in" in lines[0]


@pytest.mark.usefixtures("recorded")
def test_prices_make_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a file of the user's."""
    prices = tmp_path / "prices.toml"
    prices.write_text('"gpt-4*" = { input = 2.5, output = 10 }\n')
    text = shown(capsys, "--by", "type", "--columns", "cost", "--prices", str(prices))
    assert rows(text)[0] == ["type", "cost"]
    assert ["tool", "5"] in rows(text)


@pytest.mark.usefixtures("recorded")
def test_sections_come_in_one_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever order they are asked for in; the header once."""
    text = shown(capsys, "--optimizations", "--critical-path", "--bottlenecks", "--by", "node")
    places = [text.index(word) for word in ("tokens in", "Bottlenecks", "Critical path", "faster")]
    assert places == sorted(places)
    assert text.count("Execution ID") == 1


@pytest.mark.usefixtures("recorded")
def test_the_breakdown_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    """With its own header."""
    text = shown(capsys, "--breakdown", "--critical-path")
    assert text.index("Breakdown") < text.index("Critical path")
    assert text.count("Execution ID") == 1


@pytest.mark.usefixtures("recorded")
def test_the_critical_path_goes_from_turn_to_turn(capsys: pytest.CaptureFixture[str]) -> None:
    """Through what each waited for."""
    steps = json.loads(shown(capsys, "--json"))["analysis"]["critical_path"]
    nodes = [step["node_id"] for step in steps if step["node_id"] and not step["waiting"]]
    order = [name for at, name in enumerate(nodes) if not at or nodes[at - 1] != name]
    assert order == ["plan", "act"]


@pytest.mark.usefixtures("recorded")
def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """The breakdown, the analysis, the findings in the order of what they save."""
    answer = json.loads(shown(capsys, "--json"))
    assert answer["schema"] == "phasetrace.breakdown/1"
    assert {
        "concurrency",
        "critical_path",
        "critical_path_left_out",
        "bottlenecks",
        "nodes",
        "groups",
        "lost_spans",
    } == set(answer["analysis"])
    assert (
        sum(step["duration_ns"] for step in answer["analysis"]["critical_path"])
        == (answer["duration_ns"])
    )
    savings = [finding["saving_ns"] for finding in answer["findings"]]
    assert savings == sorted(savings, reverse=True)
    assert all(finding["text"] and finding["evidence"] for finding in answer["findings"])
    assert answer["usual"] is None


@pytest.mark.usefixtures("recorded")
def test_json_groups_by_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Named by the fields that its rows have."""
    groups = json.loads(shown(capsys, "--json", "--by", "iteration"))["analysis"]["groups"]
    assert groups["by"] == ["node_id", "iteration"]
    assert {(row["node_id"], row["iteration"]) for row in groups["rows"]} == {
        ("plan", None),
        ("act", 0),
        ("act", 1),
    }
    assert groups["usage"]["input_tokens"] == 3_000_000


def test_slower_than_usual_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """By the last runs of the same name; in JSON, too, and among the findings."""
    usual = [Run(f"run_{n}", "nightly", ago_s=100 + n, duration_s=1) for n in range(6)]
    put([*usual, Run("slow", "nightly", ago_s=1, duration_s=3)])
    assert "slower than usual: 3.00s" in shown(capsys, "slow")
    assert "slower than usual: 3.00s" in shown(capsys, "slow", "--breakdown")
    answer = json.loads(shown(capsys, "slow", "--json"))
    assert answer["usual"]["what"] == "slower"
    assert [one["kind"] for one in answer["findings"]] == ["slower_than_usual"]


def test_as_usual_is_not_worth_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is what there are too few runs to tell of."""
    put([Run(f"run_{n}", "nightly", ago_s=100 + n, duration_s=1) for n in range(7)])
    put([Run(f"other_{n}", "new", ago_s=100 + n, duration_s=1 + n) for n in range(3)])
    assert "usual" not in shown(capsys, "run_0")
    assert "usual" not in shown(capsys, "other_2")
    assert json.loads(shown(capsys, "run_0", "--json"))["usual"]["what"] == "as usual"


def test_an_execution_of_nothing_has_sections(capsys: pytest.CaptureFixture[str]) -> None:
    """They say that there is nothing."""
    with execution("empty"):
        pass
    phasetrace.shutdown()
    text = shown(capsys, "--bottlenecks", "--critical-path", "--optimizations", "--by", "node")
    assert "(no nodes)" in text


def test_every_default_column_is_one() -> None:
    """And no name is there twice."""
    assert set(DEFAULT) <= set(COLUMNS)
    assert len(set(DEFAULT)) == len(DEFAULT)


def test_what_an_execution_started_is_no_gap(capsys: pytest.CaptureFixture[str]) -> None:
    """Advice goes into the executions within it, whatever else is shown."""
    with execution("outer", name="batch"), node("before"):
        pass
    with execution("outer"), execution("inner", name="item"), node("work"), phase("p"):
        time.sleep(0.05)
    phasetrace.shutdown()
    text = shown(capsys, "outer", "--optimizations")
    assert "item/work / p" in text
    findings = json.loads(shown(capsys, "outer", "--json"))["findings"]
    assert "item/work" in {one["node_id"] for one in findings}
    assert "item/work" not in {
        row["node_id"]
        for row in json.loads(shown(capsys, "outer", "--json"))["analysis"]["groups"]["rows"]
    }


@pytest.mark.usefixtures("recorded")
def test_spans_that_could_not_be_stored_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """By what has to do without them; the breakdown has them, and says nothing."""
    with sqlite3.connect(os.environ["PHASETRACE_STORE"]) as connection:
        connection.execute("UPDATE aggregate_parts SET spans = spans + 3")
    connection.close()
    assert main(["metrics", "--by", "node"]) == 0
    assert "3 spans of this execution could not be stored" in capsys.readouterr().err
    assert main(["metrics", "--breakdown"]) == 0
    assert capsys.readouterr().err == ""
    assert json.loads(shown(capsys, "--json"))["analysis"]["lost_spans"] == 3


@pytest.mark.parametrize("options", [["--optimizations"], ["--by", "node"], ["--breakdown"]])
def test_how_it_ended_is_said_above_every_section(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """If it did not end well."""
    with pytest.raises(ValueError, match="no"), execution("failed"), node("n"), phase("p"):
        raise ValueError("no")
    phasetrace.shutdown()
    lines = shown(capsys, *options).splitlines()
    assert lines[3:5] == ["  Status: error", ""]


@pytest.mark.parametrize("options", [[], ["--breakdown"], ["--by", "node"], ["--bottlenecks"]])
def test_executions_within_it_are_told_of(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """At the end, unless they are among its nodes, and never in what programs read."""
    with execution("outer"), execution("inner"), execution("innermost"), phase("p"):
        pass
    phasetrace.shutdown()
    said = "  2 executions within it: --rolled-up"
    assert shown(capsys, "outer", *options).splitlines()[-1] == said
    assert "within it" not in shown(capsys, "innermost", *options)
    assert "within it" not in shown(capsys, "outer", *options, "--rolled-up")
    assert "within it" not in shown(capsys, "outer", "--json")


def test_what_has_not_ended_has_no_times_yet() -> None:
    """But a share of what there is so far, among the groups as in a breakdown."""
    span = SpanRecord(1, None, "phase", "done", "n", None, 0, 60, "ok")
    waiting = (2, None, 10, PhaseKey("n", "waits"))
    header = ExecutionHeader("e", None, "running", "0" * 32, 0, 100)
    examination = Examination(Recording(header, [span], None, [waiting], 100))
    lines = groups_lines(examination.groups(BY["phase"]), (), None, width=0, colour=False)
    (row,) = [line.split() for line in lines if "waits" in line]
    assert row[:3] == ["waits", "0", "(open)"]
    assert "0s" not in row
