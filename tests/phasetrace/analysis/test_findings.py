"""What an execution could do without, and what that would save."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phasetrace.analysis import findings
from phasetrace.analysis.execution import Examination, analysis_of
from phasetrace.analysis.findings import Finding
from phasetrace.analysis.wording import finding_text, findings_title

from .examples import MS, examined, execution, node, phase


def found(examination: Examination, kind: str) -> list[Finding]:
    """Return the findings of a kind."""
    return [one for one in examination.findings if one.kind == kind]


def test_nodes_that_need_not_wait_for_each_other_are_found() -> None:
    """Of two that both depend on a third, the later one could have run beside the earlier one."""
    examination = examined(
        execution(100),
        node(2, "plan", 0, 10),
        node(3, "search", 10, 60, "plan"),
        node(4, "lookup", 60, 90, "plan"),
        node(5, "write", 90, 100, "search", "lookup"),
    )
    (finding,) = found(examination, findings.SEQUENTIAL)
    assert finding.evidence == {
        "nodes": ["lookup"],
        "after": ["search"],
        "at_once": 1,
        "waited_ns": 50 * MS,
    }
    assert finding.saving_ns == 30 * MS  # search, which takes longer, goes on to 60


def test_nodes_that_depend_on_nothing_could_begin_together() -> None:
    """Three sources of one sink, one after another: all but the longest are saved."""
    examination = examined(
        execution(100),
        node(2, "a", 0, 30),
        node(3, "b", 30, 50),
        node(4, "c", 50, 90),
        node(5, "sink", 90, 100, "a", "b", "c"),
    )
    (finding,) = found(examination, findings.SEQUENTIAL)
    assert finding.evidence["nodes"] == ["b", "c"]
    assert finding.saving_ns == 50 * MS


def test_nodes_that_depend_on_each_other_through_others_are_in_order() -> None:
    """A chain is a chain, also where its ends do not name each other."""
    examination = examined(
        execution(30), node(2, "a", 0, 10), node(3, "b", 10, 20, "a"), node(4, "c", 20, 30, "b")
    )
    assert found(examination, findings.SEQUENTIAL) == []


def test_nothing_is_said_of_nodes_of_which_nothing_is_known() -> None:
    """Without dependencies, one after another may be as it has to be."""
    examination = examined(execution(30), node(2, "a", 0, 10), node(3, "b", 10, 30))
    assert found(examination, findings.SEQUENTIAL) == []


def test_the_runs_of_a_loop_are_in_order() -> None:
    """A node that runs again has waited for itself."""
    examination = examined(
        execution(40),
        node(2, "a", 0, 10),
        node(3, "b", 10, 20, "a", iteration=0),
        node(4, "b", 20, 30, "a", iteration=1),
        node(5, "b", 30, 40, "a", iteration=2),
    )
    assert found(examination, findings.SEQUENTIAL) == []
    assert found(examination, findings.WAITING) == []
    assert examination.critical.waiting_ns == 0


def test_calls_with_the_same_metadata_are_repeated_work() -> None:
    """All but the first would not have been needed."""
    examination = examined(
        execution(40),
        phase(2, 1, "fetch", 0, 10, metadata=7),
        phase(3, 1, "fetch", 10, 20, metadata=8),
        phase(4, 1, "fetch", 20, 30, metadata=7),
        phase(5, 1, "other", 30, 40, metadata=7),
    )
    (finding,) = found(examination, findings.REPEATED)
    assert (finding.node_id, finding.phase) == ("n", "fetch")
    assert finding.evidence == {"calls": 2, "again": 1, "again_ns": 10 * MS}
    assert finding.saving_ns == 10 * MS


def test_calls_without_metadata_are_not_compared() -> None:
    """Nothing says that they did the same."""
    examination = examined(execution(20), phase(2, 1, "fetch", 0, 10), phase(3, 1, "fetch", 10, 20))
    assert found(examination, findings.REPEATED) == []


def test_what_failed_and_was_tried_again_is_a_retry() -> None:
    """The time in failed calls would have been saved; the last one, which nothing follows, not."""
    examination = examined(
        execution(60),
        phase(2, 1, "call", 0, 10, status="error"),
        phase(3, 1, "call", 15, 25, status="error"),
        phase(4, 1, "call", 30, 60),
    )
    (finding,) = found(examination, findings.RETRIES)
    assert finding.evidence == {"calls": 3, "again": 2, "again_ns": 20 * MS}
    assert finding.saving_ns == 20 * MS
    assert found(examination, findings.FAILED) == []  # it has been told


def test_what_all_calls_have_in_common_tells_nothing() -> None:
    """A statement with placeholders, the name of a table: each call may have done another thing."""
    examination = examined(
        execution(20),
        phase(2, 1, "insert", 0, 10, metadata=7),
        phase(3, 1, "insert", 10, 20, metadata=7),
    )
    assert found(examination, findings.REPEATED) == []


def test_another_call_is_no_retry() -> None:
    """One that failed, and the next with something else to do."""
    examination = examined(
        execution(30),
        phase(2, 1, "download", 0, 10, metadata=1, status="error"),
        phase(3, 1, "download", 10, 20, metadata=2),
        phase(4, 1, "download", 20, 30, metadata=1),
    )
    assert found(examination, findings.RETRIES) == []
    assert [one.phase for one in found(examination, findings.FAILED)] == ["download"]


def test_nodes_that_ran_some_at_a_time_are_said_to() -> None:
    """Two workers for four nodes that only depend on a fifth."""
    examination = examined(
        execution(50),
        node(2, "split", 0, 10),
        node(3, "a", 10, 30, "split"),
        node(4, "b", 10, 30, "split"),
        node(5, "c", 30, 50, "split"),
        node(6, "d", 30, 50, "split"),
    )
    (finding,) = found(examination, findings.SEQUENTIAL)
    assert finding.evidence["at_once"] == 2
    assert finding.saving_ns == 20 * MS
    assert "4 nodes that do not depend on each other" in finding_text(finding)
    assert "ran 2 at a time; all at once" in finding_text(finding)


def test_what_would_take_too_long_to_find_out_is_left_unsaid() -> None:
    """Two thousand nodes that each depend on the one before it, and on the first."""
    spans = [execution(4_000)]
    for number in range(2_000):
        depends_on = [f"n{number - 1}", "n0"] if number else []
        spans.append(node(number + 2, f"n{number}", 2 * number, 2 * number + 2, *depends_on))
    assert found(examined(*spans), findings.SEQUENTIAL) == []


def test_what_failed_for_good_is_told() -> None:
    """Not as something that would save time."""
    examination = examined(execution(10), phase(2, 1, "call", 0, 10, status="error"))
    (finding,) = found(examination, findings.FAILED)
    assert (finding.saving_ns, finding.evidence) == (0, {"errors": 1})
    assert examination.findings[-1] == finding


def test_a_stretch_in_which_nothing_goes_on_is_a_gap() -> None:
    """It says after what and before what, and would save as much as it is long."""
    examination = examined(
        execution(100), phase(2, 1, "first", 0, 40), phase(3, 1, "second", 70, 100)
    )
    (finding,) = found(examination, findings.GAP)
    assert finding.evidence == {
        "start_ns": 40 * MS,
        "duration_ns": 30 * MS,
        "before": "n / first",
        "after": "n / second",
    }
    assert finding.saving_ns == 30 * MS


def test_all_that_waited_through_a_gap_would_come_sooner() -> None:
    """Also what began a moment after the first of them."""
    examination = examined(
        execution(600),
        phase(2, 1, "first", 0, 50),
        node(3, "a", 550, 600),
        node(4, "b", 551, 600),
    )
    (finding,) = found(examination, findings.GAP)
    assert finding.evidence["duration_ns"] == 500 * MS
    assert finding.saving_ns == 500 * MS


def test_the_time_after_the_last_span_is_a_gap() -> None:
    """Nothing comes after it."""
    examination = examined(execution(100), phase(2, 1, "first", 0, 40))
    (finding,) = found(examination, findings.GAP)
    assert (finding.evidence["before"], finding.evidence["after"]) == ("n / first", None)
    assert finding.saving_ns == 60 * MS


def test_a_node_that_does_not_begin_although_it_could_is_waiting() -> None:
    """Something else went on meanwhile, that it does not depend on as far as is known."""
    examination = examined(
        execution(100),
        node(2, "a", 0, 20),
        phase(3, 1, "busy", 0, 60, node_id="other"),
        node(4, "b", 60, 100, "a"),
    )
    (finding,) = found(examination, findings.WAITING)
    assert finding.node_id == "b"
    assert finding.evidence == {"runs": 1, "waited_ns": 40 * MS}
    assert finding.saving_ns == 40 * MS


def test_a_bottleneck_is_what_would_save_most() -> None:
    """By what the execution would take without it: another branch takes its place."""
    examination = examined(
        execution(100),
        phase(2, 1, "long", 0, 90),
        phase(3, 1, "beside", 0, 60),
        phase(4, 1, "end", 90, 100),
    )
    finding = found(examination, findings.BOTTLENECK)[0]
    assert finding.phase == "long"
    assert finding.evidence["critical_ns"] == 90 * MS
    assert finding.saving_ns == 30 * MS  # `beside` goes on to 60
    assert finding.evidence["duration_ns"] == 70 * MS


def test_findings_are_ranked_by_what_they_save() -> None:
    """And what saves less than a hundredth is not told."""
    examination = examined(
        execution(1_000),
        phase(2, 1, "a", 0, 300),
        phase(3, 1, "b", 300, 900),
        phase(4, 1, "c", 909, 1_000),
    )
    savings = [one.saving_ns for one in examination.findings]
    assert savings == sorted(savings, reverse=True)
    assert savings[0] == 600 * MS
    assert found(examination, findings.GAP) == []


@pytest.mark.parametrize("kind", findings.KINDS)
def test_every_kind_has_words(kind: str) -> None:
    """Also for hostile names."""
    evidence: dict[str, Any] = {
        "calls": 3,
        "critical_ns": 5,
        "critical": 0.5,
        "duration_ns": 5,
        "nodes": ["a\x1b[31m", "b"],
        "after": "c" if kind == findings.GAP else ["c", "d", "e", "f", "g"],
        "before": "x\n",
        "waited_ns": 5,
        "at_once": 1,
        "runs": 2,
        "again": 2,
        "again_ns": 5,
        "start_ns": 5,
        "errors": 2,
        "median_ns": 3,
    }
    said = finding_text(Finding(kind, "n\x1b[31m", "p\n", 5, 0.5, evidence))
    assert said.isprintable()
    assert said != kind


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a", "b", "30.0ms between a and b, 40.0ms after the start, are"),
        (None, "b", "the first 30.0ms, before b, are"),
        ("a", None, "the last 30.0ms, after a, are"),
        (None, None, "all 30.0ms are"),
    ],
)
def test_a_gap_is_said_by_where_it_is(before: str | None, after: str | None, said: str) -> None:
    """In the midst, at an end, or everywhere."""
    evidence = {"start_ns": 40 * MS, "duration_ns": 30 * MS, "before": before, "after": after}
    assert finding_text(Finding(findings.GAP, None, None, 1, 0.1, evidence)).startswith(said)


def test_an_analysis_is_plain_values() -> None:
    """All of it can be written as JSON, and read as text."""
    examination = examined(
        execution(100), node(2, "a", 0, 40), phase(3, 2, "p", 0, 40, node_id="a")
    )
    analysis = analysis_of(examination)
    assert json.loads(json.dumps(analysis.to_dict()))["schema"] == "phasetrace.analysis/1"
    assert str(analysis).startswith("e: 100ms, 0.4 at once on average and 1 at most")
    assert "the last 60.0ms, after a, are" in str(analysis)


def test_an_execution_of_nothing_has_an_analysis() -> None:
    """No span but a root of no length."""
    analysis = analysis_of(examined(execution(0)))
    assert analysis.findings == ()
    assert analysis.critical_path == ()
    assert str(analysis).endswith("nothing stands out")


def test_what_is_waited_for_in_vain_is_a_bottleneck_too() -> None:
    """Two nodes in turns that both only depend on a third: each holds the other up."""
    examination = examined(
        execution(100),
        node(2, "plan", 0, 10),
        node(3, "search", 10, 30, "plan", iteration=0),
        phase(4, 3, "http", 10, 30, node_id="search"),
        node(5, "lookup", 30, 60, "plan", iteration=0),
        phase(6, 5, "query", 30, 60, node_id="lookup"),
        node(7, "search", 60, 70, "plan", iteration=1),
        phase(8, 7, "http", 60, 70, node_id="search"),
        node(9, "lookup", 70, 100, "plan", iteration=1),
        phase(10, 9, "query", 70, 100, node_id="lookup"),
    )
    savings = {(one.node_id, one.phase): one.saving_ns for one in examination.bottlenecks}
    assert savings["lookup", "query"] == 60 * MS
    assert savings["search", "http"] == 30 * MS


def test_findings_are_called_what_they_are() -> None:
    """That something failed makes nothing faster."""
    failed = Finding(findings.FAILED, "n", "p", 0, 0.0, {})
    gap = Finding(findings.GAP, None, None, 1, 0.1, {})
    assert findings_title([failed]) == "What went wrong"
    for found in ([failed, gap], []):
        assert findings_title(found) == "What would make it faster"
