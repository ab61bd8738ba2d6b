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
from tests.phasetrace.cli.stored_runs import Run, put

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
        (80, "id status duration spans errors"),
        (60, "id status duration spans errors"),
        (50, "id status"),
        (42, "id"),
    ],
)
def test_in_a_terminal(
    width: int, titles: str, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table fits: how it went is there, and the id as long as there is room for some of it."""
    terminal.setattr("phasetrace.cli.table.terminal_width", lambda: width)
    record(ID, name="a [bold]name\x1b[0m that goes on and on and on and on and on")
    assert main(["list"]) == 0
    heading, rule, line = capsys.readouterr().out.splitlines()
    assert heading.split() == titles.split()
    assert max(cells(heading), cells(rule), cells(line)) <= width
    assert line.split(" ")[0] == (ID if width != 60 else "near-duplicates_2…43_ad9650")
    assert ("just now" in line) == ("started" in titles)
    assert "\x1b" not in line
    assert ("a [bold]" in line) == (width > 90)


def test_the_name_is_the_first_to_go_where_the_id_begins_with_it(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And when it started is there longer than that."""
    record(ID, name="near-duplicates")
    for width, titles in ((100, "id name status started"), (90, "id status started")):
        terminal.setattr("phasetrace.cli.table.terminal_width", lambda width=width: width)
        assert main(["list"]) == 0
        heading = capsys.readouterr().out.splitlines()[0]
        assert heading.split() == [*titles.split(), "duration", "spans", "errors"]


@pytest.mark.parametrize("ending", ["2", "_2"])
def test_ids_that_are_wider_than_the_terminal(
    ending: str, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lose their middle if they can be told apart without it; else the terminal is to wrap them."""
    terminal.setattr("phasetrace.cli.table.terminal_width", lambda: 80)
    ids = [LONG_ID, LONG_ID + ending if ending == "_2" else f"{LONG_ID[:50]}{ending}{LONG_ID[50:]}"]
    record(*ids)
    assert main(["list"]) == 0
    found = [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]]
    if ending == "_2":
        assert found[0] != found[1]
        assert all(len(one) == 47 and one.startswith(LONG_ID[:25]) for one in found)
    else:
        assert found == ids[::-1]


def test_what_was_opened_within_another_one_is_marked(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal before the id, elsewhere before the name: there, lines begin with the id."""
    with execution("outer"), execution("inner", name="shard"):
        pass
    phasetrace.shutdown()
    assert [row[:3] for row in listed(capsys)] == [
        ["inner", "↳", "shard"],
        ["outer", "outer", "ok"],
    ]
    terminal.setattr("phasetrace.cli.table.terminal_width", lambda: 80)
    assert main(["list"]) == 0
    assert [line[:7] for line in capsys.readouterr().out.splitlines()[2:]] == ["↳ inner", "outer  "]


HOUR_S = 3_600
RUNS = [
    Run("quick", "nightly", ago_s=HOUR_S, duration_s=0.35),
    Run("slow", "nightly", ago_s=2 * HOUR_S, duration_s=6.04),
    Run("failed", "nightly", "error", ago_s=3 * HOUR_S, duration_s=2),
    Run("other", "import orders", ago_s=50 * HOUR_S, duration_s=90),
    Run("nameless", ago_s=51 * HOUR_S, duration_s=3),
    Run("cut off", "import items", "cancelled", ago_s=52 * HOUR_S, duration_s=1),
    Run("dead", "import items", "abandoned", ago_s=53 * HOUR_S, duration_s=1),
    Run("alive", "import items", "running", ago_s=54 * HOUR_S),
]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--name", "nightly"], ["quick", "slow", "failed"]),
        (["--name", "import *"], ["other", "cut off", "dead", "alive"]),
        (["--name", "nameless"], ["nameless"]),
        (["--status", "ok"], ["quick", "slow", "other", "nameless"]),
        (["--status", "error"], ["failed"]),
        (["--status", "cancelled"], ["cut off"]),
        (["--status", "abandoned"], ["dead"]),
        (["--status", "running"], ["alive"]),
        (["--since", "150m"], ["quick", "slow"]),
        (["--since", "2d"], ["quick", "slow", "failed"]),
        # What runs has taken as long as it runs.
        (["--slower-than", "1m"], ["other", "alive"]),
        (["--slower-than", "350ms", "--name", "nightly"], ["quick", "slow", "failed"]),
        (["--slower-than", "351ms", "--name", "nightly"], ["slow", "failed"]),
        (["--slower-than", "2s", "--status", "ok", "-n", "2"], ["slow", "other"]),
    ],
)
def test_filters(options: list[str], ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each leaves what it says, together they leave what all of them do; newest first."""
    put(RUNS)
    assert main(["list", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "phasetrace.executions/1"
    assert [one["exec_id"] for one in found["executions"]] == ids


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--slower-than", "100d"],
            "none of the 8 executions is slower than 100d00h; the slowest took 2d06h",
        ),
        (
            ["--name", "nightl"],
            "none of the 8 executions is called 'nightl'; did you mean 'nightly'[?]",
        ),
        (
            ["--name", "x"],
            "none of the 8 executions is called 'x'; there are 'nightly', 'import items',"
            " 'import orders'",
        ),
        (
            ["--name", "nightly", "--status", "running"],
            "none of the 3 executions called 'nightly' is running; there are 2 ok, 1 error",
        ),
        (
            ["--since", "90m", "--status", "error"],
            r"the only execution since 2\S+ \d\d:\d\d did not fail; it is ok",
        ),
        (
            ["--name", "import*", "--since", "1d"],
            r"none of the 4 executions called 'import\*' started since .{16};"
            r" the latest started .{16}",
        ),
        (
            ["--name", "nightly", "--status", "ok", "--slower-than", "1m30s"],
            "none of the 2 successful executions called 'nightly' is slower than 1m30s;"
            " the slowest took 6.04s",
        ),
    ],
)
def test_nothing_is_left(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the empty list it is said what left nothing, and what there is instead."""
    put(RUNS)
    assert main(["list", *options]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(f"phasetrace: {said}\n", shown.err)
    assert main(["list", "--json", *options]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["executions"] == []
    assert shown.err == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "x"], "is not called 'x'; there is 'nightly'"),
        (["--since", "5m"], r"has not started since .{16}; it started 59 min ago"),
        (["--status", "running"], "is not running; it is ok"),
        (["--slower-than", "2s"], "is not slower than 2.00s; it took 350ms"),
    ],
)
def test_the_only_execution(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is spoken of as one."""
    put([Run("quick", "nightly", ago_s=HOUR_S - 1, duration_s=0.35)])
    assert main(["list", *options]) == 0
    assert re.fullmatch(f"phasetrace: the only execution {said}\n", capsys.readouterr().err)


def test_nothing_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Then none can be the one that was meant."""
    put([Run("one"), Run("two")])
    assert main(["list", "--name", "on"]) == 0
    assert capsys.readouterr().err == (
        "phasetrace: none of the 2 executions is called 'on'; they have no names but their ids\n"
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("--since", "tomorrow"), ("--slower-than", "2"), ("--status", "fine"), ("--slower-than", "")],
)
def test_a_bad_filter(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error that names it, and says what is expected."""
    assert main(["list", option, value]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert option in error
    assert repr(value) in error


def test_another_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As any place that executions can be read from."""
    put(RUNS)
    elsewhere = str(Path(os.environ["PHASETRACE_STORE"]).rename(tmp_path / "other.db"))
    assert main(["list", "--json", "--source", elsewhere, "--status", "error"]) == 0
    (failed,) = json.loads(capsys.readouterr().out)["executions"]
    assert failed["exec_id"] == "failed"


def test_a_place_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Is an error, though a store that is not there yet is none."""
    assert main(["list", "--source", "/no/such/file.jsonl"]) != 0
    assert "/no/such/file.jsonl" in capsys.readouterr().err
