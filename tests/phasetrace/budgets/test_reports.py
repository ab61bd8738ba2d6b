"""Test what a check says to people, to programs, to build servers and in pull requests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from phasetrace.analysis.usage import Price
from phasetrace.budgets.baseline import baseline_of
from phasetrace.budgets.evaluation import Report
from phasetrace.budgets.reports import check_document, junit, markdown
from phasetrace.budgets.text import report_text
from phasetrace.rendering import cells, safe
from tests.phasetrace.budgets.executions import PIPELINE, checked, measured, recording

GOLDEN = Path(__file__).parents[2] / "golden"
BUDGETS: dict[str, Any] = {
    "duration": "30s",
    "plan/*:p95": "2s",
    "fetch/download:max": {"limit": "3s", "severity": "warn"},
    "fetch": "+10%",
    "llm_*:total": "+10%",
    "cost": "0.10",
    "errors": {"limit": 0, "severity": "warn"},
    "unattributed": "10%",
}
HOSTILE = "a|b`c``\n\x1b[31m<img src=x>&]]>\u202e@all \udcff\uffff\x00*_[x](y)"
NAMES = st.text(
    st.characters() | st.sampled_from("|`\\*_<>&[]()@#\n\t \x00\x1b\ud800\uffff"),
    min_size=1,
    max_size=20,
)
NO_XML = re.compile("[\ufffe\uffff]")
"""What XML cannot tell of a text that is safe for a terminal."""


def report() -> Report:
    """Return a check of the pipeline in which everything happens."""
    before = recording(("fetch", None, 0, 4_000), ("plan", None, 4_000, 9_000), exec_id="exec_0")
    prices = {"gpt-*": Price(2.5, 10.0)}
    return checked(PIPELINE, BUDGETS, baseline_of([measured(before)]), prices)


def hostile(name: str, limit: str = "1ms") -> Report:
    """Return a check of an execution in which everything has a bad name."""
    of = recording((name, None, 0, 10), (name, name, 0, 10), exec_id=name, name=name)
    every = "*" * 21  # longer than any name: it is not told twice what is called as its budget
    return checked(of, {every: limit, "*/*": limit, f"{name}:total": limit, "nothing": "1s"})


def test_text() -> None:
    """To the letter."""
    assert report_text(report()) + "\n" == (GOLDEN / "check_report.txt").read_text("utf-8")


def test_junit() -> None:
    """To the letter."""
    assert junit(report()) + "\n" == (GOLDEN / "check_report.xml").read_text("utf-8")


def test_markdown() -> None:
    """To the letter."""
    assert markdown(report()) + "\n" == (GOLDEN / "check_report.md").read_text("utf-8")


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40])
def test_text_in_a_terminal(width: int) -> None:
    """It is no wider, and says the same."""
    plain, drawn = report_text(report()), report_text(report(), width=width)
    assert max(map(cells, drawn.splitlines())) <= width
    assert drawn.split() == plain.split()


def test_a_long_budget_has_its_explanation_below() -> None:
    """Neither is cut."""
    key = "a_node_with_a_long_name/*a_phase_with_a_long_name*:p95"
    lines = report_text(checked(PIPELINE, {key: "2s"}), width=80).splitlines()
    assert lines[2] == f"  warn  {key}"
    assert lines[3].startswith("          no match: there is no phase")


def test_colours_are_not_all() -> None:
    """What is coloured is the same text."""
    coloured = report_text(report(), colour=True)
    assert "\x1b[1;31mFAIL\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == report_text(report())


@given(NAMES)
@example(HOSTILE)
def test_names_do_nothing_to_a_terminal(name: str) -> None:
    """They are escaped, and each budget stays on its line."""
    lines = report_text(hostile(name)).split("\n")
    assert len(lines) == 8
    assert all(line == safe(line) for line in lines)


def test_json() -> None:
    """Versioned, integer nanoseconds, every match with its figures."""
    document = json.loads(json.dumps(check_document(report())))
    assert document["schema"] == "phasetrace.check/1"
    assert (document["exec_id"], document["passed"]) == ("exec_1", False)
    assert document["duration_ns"] == 10_000_000_000
    assert document["baseline"] == ["exec_0"]
    assert document["levels"] == {"ok": 3, "warn": 3, "fail": 2}
    by_key = {one["budget"]: one for one in document["budgets"]}
    assert list(by_key) == list(BUDGETS)
    plan = by_key["plan/*:p95"]
    assert (plan["level"], plan["outcome"], plan["unit"]) == ("fail", "exceeded", "ns")
    assert plan["worst"] == {
        "node_id": "plan",
        "phase": "draft",
        "outcome": "exceeded",
        "figure": 2_430_000_000,
        "limit": 2_000_000_000,
        "over": 430_000_000,
        "baseline": None,
        "unpriced_tokens": 0,
    }
    assert [match["figure"] for match in plan["matches"]] == [2_430_000_000, 1_000_000_000]
    assert by_key["fetch"]["worst"]["baseline"] == 4_000_000_000
    assert by_key["llm_*:total"]["worst"] is None
    assert by_key["unattributed"]["worst"]["figure"] == 0.1


def test_junit_has_the_shape_that_build_servers_read() -> None:
    """As in Jenkins' junit-10.xsd: which elements, where, with which attributes."""
    root = ElementTree.fromstring(junit(report()))  # noqa: S314 - our own
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    cases = suite.findall("testcase")
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    failures = suite.findall("testcase/failure")
    assert counts == {"tests": len(cases), "failures": len(failures), "errors": 0, "skipped": 0}
    assert [child.tag for child in suite] == ["properties"] + ["testcase"] * len(BUDGETS)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        assert float(case.attrib["time"]) >= 0
        assert {child.tag for child in case} <= {"failure", "system-out"}
    assert [case.attrib["name"] for case in cases] == list(BUDGETS)
    assert {failure.attrib["type"] for failure in failures} == {"exceeded"}
    assert all(failure.text == failure.attrib["message"] for failure in failures)
    warnings = [
        case.findtext("system-out") for case in cases if case.find("system-out") is not None
    ]
    assert len(warnings) == 3
    assert all(text is not None and text.startswith("warning: ") for text in warnings)


@given(NAMES)
@example(HOSTILE)
@example("*")
def test_junit_can_be_read_whatever_the_names(name: str) -> None:
    """It is well-formed, and tells of the name what XML can tell."""
    text = junit(hostile(name))
    assert text.isascii()
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    shown = NO_XML.sub("\ufffd", safe(name))
    properties = {one.attrib["name"]: one.attrib["value"] for one in root.iter("property")}
    assert properties["exec_id"] == shown
    messages = [failure.text or "" for failure in root.iter("failure")]
    assert any(message.startswith(f"{shown}: ") for message in messages)


@given(NAMES)
@example(HOSTILE)
@example("a\\|b")
@example("|`")
def test_markdown_shows_names_as_they_are(name: str) -> None:
    """Each row has its cells, and what is named is code in them and nothing else."""
    html = MarkdownIt("commonmark").enable("table").render(markdown(hostile(name)))
    told = NO_XML.sub("\ufffd", f"<div>{html}</div>")
    tree = ElementTree.fromstring(told)  # noqa: S314 - our own
    rows = tree.findall(".//tbody/tr")
    assert [len(row) for row in rows] == [3] * 4
    tags = {one.tag for one in tree.iter()}
    assert tags <= {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code"}
    shown = " ".join(NO_XML.sub("\ufffd", safe(name)).split())
    first = tree.findall("p")[1].find("code")
    assert first is not None
    assert " ".join("".join(first.itertext()).split()) == shown


def test_markdown_of_a_pipe_and_a_backtick() -> None:
    """As they are written."""
    shown = markdown(hostile("a|b"))
    assert "| <code>a&#124;b&#58;total</code> |" in shown
    assert "| `` a`b:total `` |" not in shown
    assert "| ``a`b:total`` |" in markdown(hostile("a`b"))


def test_how_an_execution_ended_is_a_test_case() -> None:
    """That fails, or passes with a warning, as the others do."""
    of = recording(("a", None, 0, 1), status="error")
    for severity, told in (("error", "failure"), ("warn", "system-out")):
        how = {"limit": "ok", "severity": severity}
        root = ElementTree.fromstring(junit(checked(of, {"status": how})))  # noqa: S314 - our own
        (case,) = root.iter("testcase")
        assert case.attrib["name"] == "status"
        assert "ended in error" in (case.findtext(told) or "")
    assert "| `status` | the execution ended in error" in markdown(checked(of, {"status": "ok"}))


def test_spans_that_were_not_stored_stand_in_the_heading() -> None:
    """Of whatever is reported."""
    lost = report()._replace(lost=1_200)
    assert report_text(lost).startswith("exec_1 (nightly): 10.0s, 1,200 spans were not stored, ag")
    assert "`exec_1`: 10.0s, 1,200 spans were not stored, against" in markdown(lost)
    assert check_document(lost)["lost_spans"] == 1_200


def test_a_status_that_is_not_well() -> None:
    """It stands in the heading: figures of what runs are not the last."""
    of = recording(("a", None, 0, 1), status="running", name=None)
    assert report_text(checked(of, {"a": "1s"})).startswith("exec_1: 10.0s, running\n")
    assert "`exec_1`: 10.0s, running\n" in markdown(checked(of, {"a": "1s"}))
