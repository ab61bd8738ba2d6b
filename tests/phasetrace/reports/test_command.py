"""Test ``phasetrace report``: which execution it is of, where it goes, and what is said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phasetrace.cli import main
from tests.golden.cases import EXECUTIONS
from tests.phasetrace.cli.stored_runs import Run, put

ITERATIONS = str(EXECUTIONS / "iterations.jsonl")
FAN_OUT = str(EXECUTIONS / "fan_out.jsonl")


def document_in(file: Path) -> Any:
    """Return the document that is in a page."""
    found = re.search(
        r'<script id="document" type="application/json">(.*?)</script>', file.read_text(), re.S
    )
    assert found is not None
    return json.loads(found[1])


def test_a_page_is_written_where_it_is_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was done is said in a line on stderr, and nothing on stdout."""
    file = tmp_path / "a page.html"
    assert main(["report", ITERATIONS, "-o", str(file)]) == 0
    assert [run["exec_id"] for run in document_in(file)["runs"]] == ["iterations"]
    said = capsys.readouterr()
    assert said.out == ""
    size = round(file.stat().st_size / 1000)
    assert said.err == f"phasetrace: iterations: 21 spans in '{file}' ({size} kB)\n"


def test_it_is_report_html_unless_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the working directory."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", ITERATIONS]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_dash_is_stdout(tmp_path: Path) -> None:
    """The page alone, in UTF-8 whatever the terminal has."""
    file = tmp_path / "page.html"
    main(["report", ITERATIONS, "-o", str(file)])
    done = subprocess.run(
        [sys.executable, "-m", "phasetrace", "report", ITERATIONS, "-o", "-"],
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == file.read_bytes()
    assert done.stderr == b""


def test_an_execution_is_called_as_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The latest one by itself, others by name and place."""
    monkeypatch.setenv("PHASETRACE_STORE", str(tmp_path / "traces.db"))
    put([Run("exec_1", "nightly", ago_s=100), Run("exec_2", "other", ago_s=50)])
    file = tmp_path / "page.html"
    for reference, exec_id in (((), "exec_2"), (("nightly",), "exec_1"), (("latest~1",), "exec_1")):
        assert main(["report", *reference, "-o", str(file)]) == 0
        assert document_in(file)["runs"][0]["exec_id"] == exec_id
    assert main(["report", "--source", FAN_OUT, "-o", str(file)]) == 0
    assert document_in(file)["runs"][0]["exec_id"] == "fan_out"


def test_it_is_compared_with_another_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which may be anywhere, too; both are said."""
    file = tmp_path / "page.html"
    assert main(["report", ITERATIONS, "--compare", FAN_OUT, "-o", str(file)]) == 0
    document = document_in(file)
    assert [run["exec_id"] for run in document["runs"]] == ["iterations", "fan_out"]
    assert document["diff"]["a"]["executions"][0]["exec_id"] == "fan_out"
    assert capsys.readouterr().err.startswith(
        "phasetrace: iterations compared with fan_out: 62 spans in "
    )


def test_costs_are_by_the_prices(tmp_path: Path) -> None:
    """As with metrics."""
    file = tmp_path / "page.html"
    prices = str(EXECUTIONS / "prices.toml")
    main(["report", ITERATIONS, "--prices", prices, "-o", str(file)])
    assert document_in(file)["runs"][0]["usage"]["cost"] == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 3, "no execution 'nowhere'"),
        (["--source", "nowhere.jsonl"], 4, "there is no file nowhere.jsonl"),
        ([ITERATIONS, "--compare", "nowhere"], 3, "no execution 'nowhere'"),
        ([ITERATIONS, "-o", "no/such/folder.html"], 2, "cannot write no/such/folder.html: No such"),
        ([ITERATIONS, "--prices", "nowhere.toml"], 2, "cannot read nowhere.toml"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And nothing is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHASETRACE_STORE", str(tmp_path / "traces.db"))
    put([Run("exec_1")])
    assert main(["report", *arguments]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.glob("*.html")) == []


def test_the_working_directory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page is named that cannot be written; elsewhere it can."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["report", ITERATIONS]) == 2
    assert capsys.readouterr().err == (
        "phasetrace: cannot write report.html: No such file or directory\n"
    )
    assert main(["report", ITERATIONS, "-o", str(tmp_path / "page.html")]) == 0


def test_the_store_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor what belongs to it."""
    store = tmp_path / "traces.db"
    monkeypatch.setenv("PHASETRACE_STORE", str(store))
    put([Run("exec_1")])
    for name in (store, f"{store}-wal"):
        assert main(["report", "-o", str(name)]) == 2
        said = capsys.readouterr().err
        assert "the store; name another file" in said
        assert said.count("cannot write") == 1
    assert main(["report", "-o", str(tmp_path / "a.html")]) == 0


def test_where_nothing_is_recorded_it_says_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every command does."""
    monkeypatch.setenv("PHASETRACE_STORE", str(tmp_path / "traces.db"))
    assert main(["report"]) == 3
    assert "record with: phasetrace run script.py" in capsys.readouterr().err


def test_it_needs_no_opentelemetry() -> None:
    """Nor rich, as no reading command does."""
    code = (
        "import sys; from phasetrace.cli import main;"
        f"main(['report', {ITERATIONS!r}, '-o', '/dev/null']);"
        "roots = {name.partition('.')[0] for name in sys.modules};"
        "print(roots & {'opentelemetry', 'rich'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"
