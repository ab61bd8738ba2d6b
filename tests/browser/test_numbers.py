"""The numbers on a page are those of ``metrics --json`` and ``diff --json``."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from phasetrace.cli import main
from phasetrace.rendering import human, safe
from tests.golden.cases import EXECUTIONS, NAMES

Show = Callable[..., Page]

_ROWS = """table => [...table.tBodies[0].rows].map(row => Object.fromEntries([
    ['class', row.className],
    ['name', row.cells[0].querySelector('.label').textContent],
    ...[...row.cells].slice(1).map(cell => [cell.dataset.key, [cell.innerText, cell.title]]),
]))"""


def printed(*command: str) -> Any:
    """Return what a command prints as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main([*command, "--json"])
    return json.loads(out.getvalue())


def metrics(name: str) -> Any:
    """Return what ``metrics`` has of one of the recorded executions."""
    prices = str(EXECUTIONS / "prices.toml")
    return printed("metrics", str(EXECUTIONS / f"{name}.jsonl"), "--prices", prices)


def nanoseconds(title: str) -> int:
    """Return the exact number that stands behind a cell."""
    return int(title.removesuffix(" ns").replace(",", ""))


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_is_that_of_metrics(show: Show, name: str) -> None:
    """Every figure, and every finding in its words."""
    known = metrics(name)
    page = show(name)
    figures = {
        item.get_attribute("data-key"): item.locator("dd").inner_text()
        for item in page.locator("#summary .figures > div").all()
    }
    at_once = known["analysis"]["concurrency"]
    assert figures["Duration"] == human(known["duration_ns"])
    assert figures["Status"].endswith(known["status"])
    assert figures["Spans"] == f"{known['spans']:,}"
    assert figures["Nodes"] == f"{len(known['nodes'])}"
    assert figures["At once"] == f"{at_once['average']:.3g} avg, {at_once['maximum']} max"
    assert re.sub(r"\D", "", figures["Errors"]) == f"{known['errors']}"
    assert re.sub(r"\D", "", figures.get("Cancelled", "0")) == f"{known['cancelled']}"
    assert figures["Unattributed"] == f"{known['unattributed']:.1%}"
    usage = known["analysis"]["groups"]["usage"]
    if usage["input_tokens"]:
        tokens = f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
        assert figures["Tokens"] == tokens
        assert float(figures["Cost"]) == pytest.approx(usage["cost"], rel=1e-3)
    sentences = page.locator("#summary .findings .sentence").all_inner_texts()
    for sentence, one in zip(sentences, known["findings"], strict=True):
        assert sentence.removesuffix("Show").strip() == f"{one['text']}."


@pytest.mark.parametrize("name", NAMES)
def test_the_breakdown_is_that_of_metrics(show: Show, name: str) -> None:
    """Every row, as it reads and to the nanosecond; and the shares add up to all."""
    known = metrics(name)
    groups = {(row["node_id"], row["phase"]): row for row in known["analysis"]["groups"]["rows"]}
    rows = show(name).locator("#breakdown table").evaluate(_ROWS)
    expected = [
        (safe(row["phase"]) if "phase" in row else safe(node["node_id"]), row, node, "phase" in row)
        for node in known["nodes"]
        for row in (node, *node["phases"])
    ]
    assert [row["name"] for row in rows if "last" not in row["class"]] == [
        name for name, *_ in expected
    ]
    shares = 0
    for row, (_, of, node, is_phase) in zip(rows, expected, strict=False):
        assert row["calls"][0] == (f"{of['count']:,}" if of["count"] else "")
        for column in ("total", "self"):
            assert row[column][0] == human(of[f"{column}_ns"])
            assert nanoseconds(row[column][1]) == of[f"{column}_ns"]
        assert row["share"][0] == f"{of['share']:.1%}"
        assert nanoseconds(row["share"][1]) == of["share_ns"]
        of_phases = () if is_phase else node["phases"]  # which have rows of their own
        errors = of["errors"] - sum(phase["errors"] for phase in of_phases)
        assert re.sub(r"\D", "", row.get("errors", ["", ""])[0]) == (str(errors or ""))
        if of["count"]:
            assert row["p95"][0] == human(of["p95_ns"])
        if is_phase:
            group = groups[node["node_id"], of["phase"]]
            assert row["max"][0] == human(group["max_ns"])
            assert nanoseconds(row["critical"][1]) == group["critical_ns"]
            shares += of["share_ns"]
    last = {row["name"]: row for row in rows if "last" in row["class"]}
    assert last["unattributed"]["share"][0] == f"{known['unattributed']:.1%}"
    assert nanoseconds(last["unattributed"]["share"][1]) == known["unattributed_ns"]
    nodes = sum(node["share_ns"] for node in known["nodes"])
    assert nodes + known["unattributed_ns"] == nanoseconds(last["all"]["share"][1])
    assert shares <= nodes


def test_the_comparison_is_that_of_diff(show: Show) -> None:
    """From the other execution to this one; small rows are there when they are asked for."""
    known = printed("diff", str(EXECUTIONS / "fan_out.jsonl"), str(EXECUTIONS / "iterations.jsonl"))
    page = show("iterations and fan_out")
    page.get_by_role("button", name=re.compile("more with less")).click()
    rows = page.locator("#comparison table").evaluate(
        _ROWS.replace("querySelector('.label')", "querySelector('.name')")
    )
    every = [*known["rows"], known["unattributed"]]
    *rows, all_of_these, duration = rows
    assert len(rows) == len(every)
    assert nanoseconds(duration["change"][1]) == known["change_ns"]
    for side in "ab":
        assert nanoseconds(all_of_these[side][1]) == sum(of[side]["self_ns"] for of in every)
    assert nanoseconds(all_of_these["change"][1]) == sum(of["change_ns"] for of in every)
    for row, of in zip(rows, every, strict=True):
        assert nanoseconds(row["change"][1]) == of["change_ns"]
        for side in "ab":
            has_any = of[side]["runs"] > 0
            assert row[side][0] == (human(of[side]["self_ns"]) if has_any else "\u2013")
    said = page.locator("#comparison .verdict strong")
    assert said.get_attribute("title") == f"{known['change_ns']:,} ns"
    for number, name in enumerate(("iterations", "fan_out")):
        duration = page.locator("#comparison .side").nth(number).locator("[data-key=Duration] dd")
        assert duration.inner_text() == human(metrics(name)["duration_ns"])


def test_no_digit_is_lost(show: Show) -> None:
    """Of more nanoseconds than numbers in a browser are exact for."""
    page = show("ages")
    duration = page.locator("#summary [data-key=Duration] dd")
    assert duration.get_attribute("title") == "946,080,000,000,000,007 ns"
    page.get_by_role("tree").focus()
    page.keyboard.press("ArrowDown")
    took = page.locator(".timeline .details dd").first
    assert took.get_attribute("title") == "946,080,000,000,000,001 ns"
