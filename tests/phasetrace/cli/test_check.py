"""Test `phasetrace check`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import phasetrace
from phasetrace import execution, timing_collector
from phasetrace.analysis.recording import Recording
from phasetrace.cli import main
from phasetrace.rendering import cells
from phasetrace.store.reader import StoreReader
from tests.conftest import FakeClock
from tests.phasetrace.described import wrong
from tests.phasetrace.store.conftest import Recording as Spans
from tests.phasetrace.store.conftest import path, without_thread
from tests.phasetrace.store.conftest import record as record_spans

__all__ = ["path", "record_spans", "without_thread"]

Check = Callable[..., tuple[int, str, str]]


def record(
    exec_id: str, *phases: tuple[str, str, float], name: str | None = "nightly", fails: bool = False
) -> None:
    """Put an execution into the store, with phases of nodes that took so many milliseconds."""
    try:
        with execution(exec_id, name=name):
            for node_id, phase, dur_ms in phases:
                timing_collector.record(exec_id, node_id, phase, dur_ms)
            if fails:
                raise RuntimeError("as it was meant to")
    except RuntimeError:
        pass
    assert phasetrace.force_flush()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def check(project: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Return a function that checks, by the budgets given; it returns what came of it."""

    def run(budgets: str | None, *args: str) -> tuple[int, str, str]:
        if budgets is not None:
            text = f"[tool.phasetrace.budgets]\n{budgets}\n"
            (project / "pyproject.toml").write_text(text, encoding="utf-8")
        capsys.readouterr()
        code = main(["check", *args])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_a_budget_that_is_kept(check: Check) -> None:
    """Of the latest execution, by the project's file."""
    record("exec_1", ("fetch", "download", 9_000))
    record("exec_2", ("fetch", "download", 1_500))
    code, shown, errors = check('"fetch/download:p95" = "2s"')
    assert (code, errors) == (0, "")
    heading, _, line, _, last = shown.splitlines()
    assert heading.startswith("exec_2 (nightly): ")
    assert line == "  ok    fetch/download:p95  1.50s within 2s"
    assert last == "1 budget: 1 ok"


def test_a_budget_that_is_exceeded(check: Check) -> None:
    """Exit code 1, and by how much."""
    record("exec_1", ("fetch", "download", 2_430), ("fetch", "parse", 10))
    code, shown, errors = check('"fetch/*:p95" = "2s"\n"fetch/parse" = "1s"', "exec_1")
    assert (code, errors) == (1, "")
    assert "  FAIL  fetch/*:p95  fetch/download: 2.43s, 430ms (21.5%) over 2s; 1 of 2 over" in shown
    assert shown.endswith("2 budgets: 1 FAIL, 1 ok\n")


def test_a_warning_fails_nothing(check: Check) -> None:
    """Neither one that is exceeded, nor a phase that was renamed."""
    record("exec_1", ("fetch", "download", 2_430))
    code, shown, _ = check('fetch = { limit = "1s", severity = "warn" }\n"fetch/get" = "9s"')
    assert code == 0
    assert "warn  fetch      2.43s" in shown
    assert "warn  fetch/get  no match: there is no phase fetch/get" in shown
    assert check('"fetch/get" = { limit = "9s", required = true }')[0] == 1


def test_budgets_of_another_file(check: Check, project: Path) -> None:
    """With prices of its own."""
    with execution("exec_1"), phasetrace.node("llm"), phasetrace.phase("call") as span:
        span.set_attribute("gen_ai.usage.input_tokens", 1_000_000)
        span.set_attribute("gen_ai.request.model", "m-1")
    assert phasetrace.force_flush()
    file = project / "limits.toml"
    file.write_text('[budgets]\ncost = "2"\n[prices]\n"m-*" = { input = 2.5 }\n')
    code, shown, _ = check('cost = "9"', "--budgets", str(file))
    assert code == 1
    assert "cost  2.50, 0.50 (25.0%) over 2" in shown
    cheap = project / "prices.json"
    cheap.write_text('{"m-1": {"input": 1.5}}')
    assert check(None, "--budgets", str(file), "--prices", str(cheap))[0] == 0


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        (None, "there are no budgets: write some into [tool.phasetrace.budgets]"),
        ("", "there are no budgets"),
        (
            'a = "soon"\n"b:x" = "1s"',
            "toml [tool.phasetrace.budgets]: 2 budgets are wrong",
        ),
    ],
)
def test_budgets_that_make_no_sense(budgets: str | None, message: str, check: Check) -> None:
    """Wrong usage, in one line, before anything is read."""
    code, shown, errors = check(budgets)
    assert (code, shown) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1


def test_nothing_to_check(check: Check) -> None:
    """No such execution."""
    assert check('duration = "1s"')[0] == 3
    record("exec_1", ("a", "b", 1))
    code, _, errors = check('duration = "1s"', "exec_7")
    assert code == 3
    assert "exec_7" in errors


def test_against_the_one_before(check: Check) -> None:
    """Or any other that can be named."""
    record("exec_1", ("fetch", "download", 1_000))
    record("exec_2", ("fetch", "download", 1_200))
    code, shown, _ = check('fetch = "+10%"', "--baseline", "latest~1")
    assert code == 1
    assert ", against exec_1\n" in shown
    assert "1.20s, 100ms (9.1%) over 1.10s (+10% on 1.00s)" in shown
    assert check('fetch = "+10%"', "exec_1", "--baseline", "exec_2")[0] == 0


def test_without_a_baseline(check: Check) -> None:
    """A relative budget is a warning."""
    record("exec_1", ("fetch", "download", 1_000))
    code, shown, _ = check('fetch = "+10%"')
    assert code == 0
    assert "warn  fetch  no baseline: 1.00s; none was given" in shown


def test_against_the_last_successful_runs(check: Check) -> None:
    """The latest of that name before this one; medians of several. Failures do not count."""
    record("other", ("fetch", "download", 9_000), name="weekly")
    for number, dur_ms in enumerate((5_000, 1_000, 1_100, 2_000)):
        record(f"exec_{number}", ("fetch", "download", dur_ms))
    record("failed", ("fetch", "download", 10), fails=True)
    record("latest", ("fetch", "download", 1_300))
    code, shown, _ = check('fetch = "+20%"', "--baseline", "nightly")
    assert code == 0
    assert ", against exec_3\n" in shown
    code, shown, _ = check('fetch = "+20%"', "--baseline", "nightly", "--last", "3")
    assert code == 0
    assert ", against the medians of 3 executions\n" in shown
    assert "1.30s within 1.32s (+20% on 1.10s)" in shown
    code, shown, _ = check('fetch = "+20%"', "exec_2", "--baseline", "n*ly", "--last", "9")
    assert "1.10s within 3.60s (+20% on 3.00s)" in shown


def test_a_run_that_failed_is_judged_and_said_to_have_failed(check: Check) -> None:
    """A warning of its own, before the others; an error if that is a budget."""
    record("exec_1", ("fetch", "download", 10), fails=True)
    code, shown, errors = check('fetch = "1s"')
    assert (code, errors) == (0, "")
    assert shown.splitlines()[2:4] == [
        "  warn  status  the execution ended in error: it is judged by how far it came",
        "  ok    fetch   10.0ms within 1s",
    ]
    code, shown, _ = check('fetch = "1s"\nstatus = "ok"')
    assert code == 1
    assert shown.splitlines()[3].startswith("  FAIL  status  the execution ended in error")
    code, shown, _ = check(None, "--json")
    document = json.loads(shown)
    assert [one["budget"] for one in document["budgets"]] == ["fetch", "status"]
    assert wrong(document) == []


@pytest.mark.usefixtures("without_thread")
def test_a_run_that_goes_on_is_not_fast(
    record_spans: Callable[..., Spans], fake_clock: FakeClock, path: Path, check: Check
) -> None:
    """Its open calls have taken what they have taken so far."""
    spans = record_spans(now_ns=fake_clock)
    root = spans.root("exec_1", start=fake_clock())
    hung = spans.start("exec_1", "hung", parent=root, start=fake_clock())
    fake_clock.advance(3_000)
    spans.writer.flush()
    code, shown, _ = check('"*/hung" = "2s"\n"*/hung:max" = "2s"', "--source", str(path))
    assert code == 1
    assert shown.count("  FAIL  ") == 2
    assert re.search("warn  status +the execution goes on: it is judged by how far", shown)
    hung.end(fake_clock())
    root.end(fake_clock())


def test_no_baseline_is_saved_of_a_run_that_failed(check: Check, project: Path) -> None:
    """It has taken what it took until then."""
    record("exec_1", ("fetch", "download", 10))
    record("exec_2", ("fetch", "download", 10), fails=True)
    code, shown, errors = check(None, "--save-baseline", "base.json")
    assert (code, shown) == (2, "")
    assert errors == (
        "phasetrace: no baseline is saved: exec_2 ended in error and is no measure;"
        " name a run that ended well\n"
    )
    assert not (project / "base.json").exists()


def test_against_a_run_that_failed(check: Check) -> None:
    """Refused, unless it only says of which name the last runs are meant."""
    for number, dur_ms in enumerate((1_000, 3_000, 2_000)):
        record(f"exec_{number}", ("fetch", "download", dur_ms))
    record("failed", ("fetch", "download", 10), fails=True)
    record("later", ("fetch", "download", 2_100))
    code, shown, errors = check('fetch = "+10%"', "--baseline", "latest~1")
    assert (code, shown) == (2, "")
    assert "--baseline latest~1: failed ended in error and is no measure" in errors
    code, shown, errors = check(None, "--baseline", "latest~1", "--last", "3")
    assert (code, errors) == (0, "")
    assert ", against the medians of 3 executions\n" in shown
    assert "2.10s within 2.20s (+10% on 2.00s)" in shown


def test_the_last_runs_up_to_the_one_that_is_named(check: Check) -> None:
    """It among them, and not what came after; that there are too few is said."""
    for number, dur_ms in enumerate((1_000, 1_000, 9_000, 9_000)):
        record(f"exec_{number}", ("fetch", "download", dur_ms))
    record("exec_4", ("fetch", "download", 1_050))
    code, shown, errors = check('fetch = "+10%"', "--baseline", "exec_1", "--last", "5")
    assert code == 0
    assert "1.05s within 1.10s (+10% on 1.00s)" in shown
    assert errors == "phasetrace: the baseline has only 2 of the 5 runs asked for\n"
    code, shown, _ = check(None, "--baseline", "latest", "--last", "2")
    assert "(+10% on 9.00s)" in shown


def test_the_last_runs_of_what_has_no_name(check: Check) -> None:
    """There are no others of it."""
    record("exec_1", ("fetch", "download", 1_000), name=None)
    record("exec_2", ("fetch", "download", 1_000))
    code, _, errors = check('fetch = "+10%"', "--baseline", "exec_1", "--last", "3")
    assert code == 2
    assert "exec_1 has no name" in errors


def test_a_baseline_of_another_workflow_is_said(check: Check) -> None:
    """Whether it comes from the store or from a file; as is what a file has of failed runs."""
    record("exec_1", ("fetch", "download", 1_000), name="weekly")
    check(None, "--save-baseline", "base.json")
    record("exec_2", ("fetch", "download", 1_000))
    said = "phasetrace: the baseline is of weekly, and exec_2 of nightly\n"
    for baseline in ("weekly", "exec_1", "base.json"):
        code, _, errors = check('fetch = "+10%"', "--baseline", baseline)
        assert (code, errors) == (0, said)
    file = Path("base.json")
    file.write_text(file.read_text().replace('"status": "ok"', '"status": "error"'))
    assert check(None, "--baseline", "base.json")[2] == (
        said + "phasetrace: the baseline has runs that did not end well: exec_1\n"
    )


def test_an_execution_that_has_lost_spans(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is judged by what was counted, and is not said to be fast by what is left."""
    record("exec_1", ("fetch", "download", 1_000))
    whole = StoreReader.recording

    def without_phases(*args: Any, **kwargs: Any) -> Recording:
        found = whole(*args, **kwargs)
        left = [span for span in found.spans if span.type != "phase"]
        return found._replace(spans=left, lost=len(found.spans) - len(left))

    monkeypatch.setattr(StoreReader, "recording", without_phases)
    code, shown, _ = check('"fetch/download" = "900ms"\nduration = "1h"\nspans = 2')
    assert code == 1
    assert ": 1 span was not stored\n" not in shown
    assert ", 1 span was not stored\n" in shown
    assert "FAIL  fetch/download  1.00s" in shown
    assert "ok    spans           2 within 2" in shown
    code, shown, _ = check('"fetch:critical" = "1h"')
    assert code == 1
    assert "FAIL  fetch:critical  no figure: 1 span was not stored" in shown


def test_an_execution_is_not_its_own_baseline(check: Check) -> None:
    """It would always pass."""
    record("exec_1", ("fetch", "download", 1_000))
    for reference in ("exec_1", "latest"):
        code, _, errors = check('fetch = "+10%"', "--baseline", reference)
        assert code == 2
        assert "cannot be its own baseline" in errors


def test_the_first_run_of_a_name(check: Check) -> None:
    """There is nothing yet to hold it against, nor is a failure or a later run; that is said."""
    record("failed", ("fetch", "download", 1), fails=True)
    record("exec_1", ("fetch", "download", 1_000))
    record("exec_2", ("fetch", "download", 1_000))
    code, shown, errors = check('fetch = "+10%"', "exec_1", "--baseline", "nightly")
    assert code == 0
    assert "warn  fetch  no baseline: " in shown
    assert errors == (
        "phasetrace: there is no baseline: no earlier run of nightly has ended well\n"
    )
    budget = 'fetch = { limit = "+10%", required = true }'
    assert check(budget, "exec_1", "--baseline", "nightly")[0] == 1


def test_an_id_is_no_name(check: Check) -> None:
    """A later execution is a baseline if it is asked for by its id."""
    record("exec_1", ("fetch", "download", 1_000), name=None)
    record("exec_2", ("fetch", "download", 1_000), name=None)
    code, shown, _ = check('fetch = "+10%"', "exec_1", "--baseline", "exec_2")
    assert code == 0
    assert ", against exec_2\n" in shown


def test_a_baseline_that_is_not_there(check: Check) -> None:
    """Neither as an execution nor as a file."""
    record("exec_1", ("fetch", "download", 1_000))
    code, _, errors = check('fetch = "+10%"', "--baseline", "exec_0")
    assert code == 3
    assert "exec_0" in errors
    code, _, errors = check('fetch = "+10%"', "--baseline", "base.json")
    assert code == 2
    assert "--save-baseline writes one" in errors


def test_a_baseline_that_is_saved(check: Check, project: Path) -> None:
    """For later, when the store has long forgotten the execution; no budgets are needed for it."""
    record("exec_1", ("fetch", "download", 1_000))
    code, shown, errors = check(None, "--save-baseline", "base.json")
    assert (code, shown) == (0, "")
    assert errors == "phasetrace: baseline saved as base.json\n"
    record("exec_2", ("fetch", "download", 1_200))
    code, shown, _ = check('"fetch/*" = "+100ms"', "--baseline", "base.json")
    assert code == 1
    assert "fetch/download: 1.20s, 100ms (9.1%) over 1.10s (+100ms on 1.00s)" in shown
    assert ", against exec_1\n" in shown


def test_a_baseline_of_several_runs(check: Check, project: Path) -> None:
    """This one, and the successful ones of its name before it."""
    for number, dur_ms in enumerate((9_000, 3_000, 1_000, 2_000)):
        record(f"exec_{number}", ("fetch", "download", dur_ms))
    record("failed", ("fetch", "download", 10), fails=True)
    _, _, errors = check(None, "exec_3", "--save-baseline", "base.json", "--last", "3")
    assert errors == "phasetrace: baseline of 3 runs saved as base.json\n"
    document = json.loads((project / "base.json").read_text())
    assert [one["exec_id"] for one in document["executions"]] == ["exec_3", "exec_2", "exec_1"]
    assert document["nodes"][0]["total_ns"] == 2_000_000_000


def test_json(check: Check) -> None:
    """In ASCII, on stdout."""
    record("exec_é", ("fetch", "download", 2_430))
    code, shown, _ = check('fetch = "2s"', "--json")
    assert code == 1
    assert shown.isascii()
    document = json.loads(shown)
    assert document["schema"] == "phasetrace.check/1"
    assert document["exec_id"] == "exec_é"
    assert document["budgets"][0]["worst"]["over"] == 430_000_000
    assert check(None, "--format", "json")[1] == shown
    assert check(None, "--format", "junit", "--json")[0] == 2


def test_a_report_in_a_file(check: Check, project: Path) -> None:
    """In the format of its ending; people read the text beside it."""
    record("exec_1", ("fetch", "download", 2_430))
    shown = {}
    for name in ("r.txt", "r.json", "r.xml", "r.MD"):
        code, out, errors = check('fetch = "2s"', "-o", name)
        assert (code, out) == (1, "")
        assert "FAIL  fetch  2.43s, 430ms (21.5%) over 2s" in errors
        shown[name] = (project / name).read_text("utf-8")
    assert shown["r.txt"] == errors
    assert json.loads(shown["r.json"])["passed"] is False
    failures = ElementTree.fromstring(shown["r.xml"]).findall(".//failure")  # noqa: S314
    assert len(failures) == 1
    assert "| ❌ FAIL | `fetch` |" in shown["r.MD"]
    check(None, "--format", "markdown", "-o", "r.txt")
    assert (project / "r.txt").read_text("utf-8") == shown["r.MD"]


def test_a_report_that_has_nowhere_to_go(check: Check) -> None:
    """Wrong usage."""
    record("exec_1", ("fetch", "download", 1))
    code, _, errors = check('fetch = "2s"', "-o", "report.html")
    assert code == 2
    assert "report.html: its ending tells no format; expected .txt, .json, .xml, .md" in errors
    code, _, errors = check(None, "-o", "nowhere/report.xml")
    assert code == 2
    assert "cannot write nowhere/report.xml: No such file or directory" in errors


@pytest.mark.parametrize("number", ["0", "-1", "some"])
def test_a_bad_number_of_runs(number: str, check: Check) -> None:
    """A usage error that names it."""
    code, _, errors = check('fetch = "2s"', f"--last={number}")
    assert code == 2
    assert repr(number) in errors


def test_a_number_of_runs_of_nothing(check: Check) -> None:
    """It would be taken for a baseline that there is not."""
    code, _, errors = check('fetch = "+2%"', "--last=3")
    assert code == 2
    assert "give --baseline NAME" in errors


def test_in_a_terminal(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fits, in colours if they are asked for."""
    record("exec_1", ("fetch", "download_of_everything", 2_430))
    monkeypatch.setattr("phasetrace.cli.table.terminal_width", lambda: 60)
    code, shown, _ = check('"fetch/*:p95" = "2s"')
    assert code == 1
    assert max(map(cells, shown.splitlines())) <= 60
    assert "\x1b" not in shown
    assert "\x1b[1;31mFAIL\x1b[0m" in check(None, "--color", "always")[1]


def test_names_are_escaped(check: Check) -> None:
    """They come from the program."""
    record("exec_1", ("fetch\x1b[31m", "a\nb", 2_430))
    _, shown, _ = check('"*" = "2s"')
    assert "\x1b" not in shown
    assert r"fetch\x1b[31m: 2.43s" in shown


def test_from_another_store(check: Check, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """Or whatever executions can be read from."""
    monkeypatch.setenv("PHASETRACE_STORE", str(project / "other.db"))
    record("exec_1", ("fetch", "download", 2_430))
    monkeypatch.setenv("PHASETRACE_STORE", str(project / "none.db"))
    assert check('fetch = "3s"', "--source", str(project / "other.db"))[0] == 0
