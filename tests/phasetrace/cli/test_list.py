"""Test `phasetrace list`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

import phasetrace
from phasetrace import execution, phase
from phasetrace.cli import main
from phasetrace.rendering import cells

ID = "near-duplicates_20261123_180743_ad9650"
LONG_ID = "nightly-import-of-everything_2026-11-23T17:56:50.123456+01:00_" + "0123456789abcdef" * 4


def record(*exec_ids: str, name: str | None = None) -> None:
    """Put executions into the store, with one phase each."""
    for exec_id in exec_ids:
        with execution(exec_id, name=name), phase("work"):
            pass
    phasetrace.shutdown()


def listed(capsys: pytest.CaptureFixture[str], *args: str) -> list[list[str]]:
    """Return the words of each line that is listed, without the titles."""
    assert main(["list", *args]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make the command believe that it prints to a terminal without colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    return monkeypatch


def test_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The one that started last is in the first line."""
    record("exec_1", "exec_2", "exec_3")
    assert [row[0] for row in listed(capsys)] == ["exec_3", "exec_2", "exec_1"]


def test_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Titles, then what is known of each execution; its start as local time."""
    record("exec_1", name="nightly")
    assert main(["list"]) == 0
    titles, row = capsys.readouterr().out.splitlines()
    assert titles.split() == ["id", "name", "status", "started", "duration", "spans", "errors"]
    assert re.fullmatch(
        r"exec_1  nightly  ok      \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
        r" +\d\S+      2       0",
        row,
    )


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where characters take two columns."""
    record("exec_1", name="日本語")
    record("exec_two", name="a name")
    assert main(["list"]) == 0
    titles, *rows = capsys.readouterr().out.splitlines()
    for row in rows:
        before = row[: re.search(r" ok ", row).start() + 1]  # type: ignore[union-attr]
        assert cells(before) == titles.index("status")


def test_failures_show(capsys: pytest.CaptureFixture[str]) -> None:
    """In the status and in the number of errors."""
    with pytest.raises(ValueError, match="no"), execution("exec_1"), phase("work"):
        raise ValueError("no")
    phasetrace.shutdown()
    (row,) = listed(capsys)
    assert row[2] == "error"
    assert int(row[-1]) >= 1


def test_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """20 unless another one is given."""
    record(*(f"exec_{i}" for i in range(25)))
    assert len(listed(capsys)) == 20
    assert [row[0] for row in listed(capsys, "-n", "2")] == ["exec_24", "exec_23"]
    assert len(listed(capsys, "--limit=100")) == 25


@pytest.mark.parametrize("limit", ["0", "-1", "many", ""])
def test_a_bad_limit(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error that names it."""
    assert main(["list", f"--limit={limit}"]) == 2
    error = capsys.readouterr().err
    assert repr(limit) in error
    assert error.count("\n") == 1


def test_ids_are_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """However long they are."""
    record(LONG_ID)
    assert listed(capsys)[0][0] == LONG_ID


def test_text_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """One execution is one line, and no colours of its own."""
    record("exec_\x1b[31m", name="a\nb\u202e")
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") == 2
    assert r"exec_\x1b[31m  a\nb\u202e" in text


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Versioned, whole nanoseconds, in ASCII."""
    record("exec_1", "exec_é", name="nightly")
    assert main(["list", "--json"]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    found = json.loads(text)
    assert found["schema"] == "phasetrace.executions/1"
    newest, oldest = found["executions"]
    assert (newest["exec_id"], oldest["exec_id"]) == ("exec_é", "exec_1")
    assert newest["started_ns"] >= oldest["started_ns"] > 10**18
    assert isinstance(newest["duration_ns"], int)
    assert re.fullmatch("[0-9a-f]{32}", newest["trace_id"])
    assert {name: newest[name] for name in ("name", "status", "spans", "errors")} == {
        "name": "nightly",
        "status": "ok",
        "spans": 2,
        "errors": 0,
    }


def test_nothing_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is an answer; how to fill it is said beside it."""
    assert main(["list"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "phasetrace run" in shown.err
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["executions"] == []


def test_a_store_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4, in one line."""
    store = Path(os.environ["PHASETRACE_STORE"])
    store.parent.mkdir()
    store.write_bytes(b"not a database" * 100)
    assert main(["list"]) == 4
    assert re.fullmatch(r"phasetrace: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (200, "id name status started duration spans errors"),
        (96, "id name status started duration spans errors"),
        (80, "id name status started duration"),
        (70, "id status started duration"),
        (60, "id status started"),
        (42, "id"),
    ],
)
def test_in_a_terminal(
    width: int, titles: str, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table fits, and the id is in one piece to be copied; other columns go before it does."""
    terminal.setattr("phasetrace.cli.table.terminal_width", lambda: width)
    record(ID, name="a [bold]name\x1b[0m that goes on and on and on and on and on")
    assert main(["list"]) == 0
    heading, rule, line = capsys.readouterr().out.splitlines()
    assert heading.split() == titles.split()
    assert max(cells(heading), cells(rule), cells(line)) <= width
    assert line.split(" ")[0] == ID
    assert ("just now" in line) == ("started" in titles)
    assert "\x1b" not in line
    assert ("a [bold]" in line) == (width > 90)


def test_an_id_that_is_wider_than_the_terminal(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is left to the terminal to wrap, which copies it as one line."""
    terminal.setattr("phasetrace.cli.table.terminal_width", lambda: 80)
    record(LONG_ID)
    assert listed(capsys)[0][0] == LONG_ID
