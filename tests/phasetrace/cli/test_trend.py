"""Test `phasetrace trend`."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.cli import main
from phasetrace.cli.trend_text import drawn, plain_lines, terminal
from phasetrace.recordings.series import MILLION, QUANTITIES, Run, Series
from phasetrace.rendering import cells
from phasetrace.store.stored import StoredExecution
from tests.phasetrace.cli import stored_runs
from tests.phasetrace.cli.stored_runs import put

GOLDEN = Path(__file__).parents[2] / "golden"
S = 1_000_000_000
NOW_NS = 1_795_792_993 * S


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the same local time everywhere."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def run(at: int, value: int | None, status: str = "ok") -> Run:
    """Return the run that started so many half hours before now."""
    execution = StoredExecution(
        row=at,
        exec_id=f"near-duplicates_20261126_{at:06}_ad9650",
        name="near-duplicates",
        trace_id="0" * 32,
        root_span_id=1,
        parent_exec_id=None,
        status=status,
        started_ns=NOW_NS - (at + 1) * 1_800 * S,
        duration_ns=value or S,
        spans=100,
        errors=0,
        openings=1,
    )
    return Run(execution, value)


def series(runs: list[Run], phase: str | None = None, of: str = "total") -> Series:
    """Return the series of some runs."""
    return Series("near-duplicates", phase, QUANTITIES[of], tuple(runs))


def slowed() -> Series:
    """Return thirty runs, the last six of which were slower; some did not end well."""
    random = Random(7)
    runs = []
    for at in range(30):
        steady_ns = round(4.1 * S * random.gauss(1, 0.02))
        runs.append(run(at, steady_ns * 6 // 5 if at < 6 else steady_ns))
    runs[0] = run(0, 5_700_000_000)
    runs[3] = run(3, 1_400_000_000, "error")
    runs[12] = run(12, 8_000_000_000)
    runs[17] = run(17, 2_500_000_000, "cancelled")
    runs[21] = run(21, 3_000_000_000, "abandoned")
    return series(runs)


def shares() -> Series:
    """Return four runs of a phase, which one of them did without."""
    parts = [215_000, 198_000, None, 204_000]
    return series([run(at, part) for at, part in enumerate(parts)], "compare/verify", "share")


@pytest.mark.parametrize(
    ("file", "make", "width", "in_ascii"),
    [
        ("trend_80.txt", slowed, 80, False),
        ("trend_200.txt", slowed, 200, False),
        ("trend_ascii.txt", slowed, 80, True),
        ("trend_share.txt", shares, 80, False),
    ],
)
def test_the_chart(file: str, make: Callable[[], Series], width: int, in_ascii: bool) -> None:
    """As people see it."""
    lines = drawn(make(), width, in_ascii=in_ascii, now_ns=NOW_NS)
    assert "\n".join([*lines, ""]) == (GOLDEN / file).read_text(encoding="utf-8")
    assert max(map(cells, lines)) <= width


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("number", [1, 2, 40, 300])
def test_any_number_of_runs_fits(width: int, number: int) -> None:
    """The last of them if there are more than columns; the id is never cut."""
    lines = drawn(series([run(at, (at % 7 + 1) * S) for at in range(number)]), width, now_ns=NOW_NS)
    assert max(map(cells, lines)) <= max(width, cells(f"  {run(0, 1).execution.exec_id}"))
    title = lines[0]
    assert title.startswith("near")
    if number == 300:
        shown = int(re.search(r"the last (\d+) of 300 runs", title)[1])  # type: ignore[index]
        assert width - 10 < shown < width
    assert run(0, 1).execution.exec_id in "\n".join(lines)


def test_in_ascii_nothing_else_is_drawn() -> None:
    """Not even the sign of microseconds."""
    lines = drawn(series([run(0, 12_300)]), 80, in_ascii=True, now_ns=NOW_NS)
    assert "\n".join(lines).isascii()
    assert "12.3us" in "\n".join(lines)


def test_names_are_escaped() -> None:
    """Of workflows and phases."""
    hostile = series([run(0, None)], "a\x1b[31m/b", "self")._replace(name="x\ny")
    text = "\n".join(drawn(hostile, 80, now_ns=NOW_NS))
    assert r"x\ny: self time of a\x1b[31m/b" in text
    assert "\x1b" not in text


def test_colour_is_never_all_that_tells() -> None:
    """The same text, with some colour in it."""
    coloured = drawn(slowed(), 80, colour=True, now_ns=NOW_NS)
    plain = [re.sub("\x1b\\[[0-9]*m", "", line).rstrip() for line in coloured]
    assert plain == drawn(slowed(), 80, now_ns=NOW_NS)
    assert plain != coloured


def test_a_line_a_run() -> None:
    """Where it is no terminal: the latest first, nothing cut."""
    assert plain_lines(series([run(0, 6_040_000_000, "error"), run(1, 12_300)])) == [
        "started                    duration  status  id",
        "2026-11-27T14:53:13+00:00     6.04s  error   near-duplicates_20261126_000000_ad9650",
        "2026-11-27T14:23:13+00:00    12.3µs  ok      near-duplicates_20261126_000001_ad9650",
    ]


def steady(number: int, name: str = "nightly") -> list[stored_runs.Run]:
    """Return runs of a name that took about 4 s, the latest first."""
    return [
        stored_runs.Run(f"{name}_{at}", name, ago_s=100 * (at + 1), duration_s=4 + (at % 5) / 100)
        for at in range(number)
    ]


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[list[list[str]], list[str]]:
    """Return the words of each line of a trend without its titles, and what is said beside it."""
    assert main(["trend", *args]) == 0
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines()[1:]]
    return rows, [line.removeprefix("phasetrace: ") for line in captured.err.splitlines()]


def document(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    """Return a trend as JSON."""
    assert main(["trend", "--json", *args]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    return json.loads(text)


def test_the_last_runs_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty, unless another number is given; and what is usual, and what the latest is."""
    put([*steady(40), stored_runs.Run("other", "import", ago_s=1, duration_s=9)])
    rows, said = shown(capsys, "nightly")
    assert [row[-1] for row in rows] == [f"nightly_{at}" for at in range(30)]
    assert rows[1][1:3] == ["4.01s", "ok"]
    assert said == [
        "median 4.02s, 4.00s to 4.04s; 30 runs that ended well",
        "the latest is as usual: 4.00s, the last 20 runs took 4.02s (4.00s to 4.04s)",
    ]
    assert len(shown(capsys, "nightly", "-n", "7")[0]) == 7


def test_without_a_name_it_is_that_of_the_latest(capsys: pytest.CaptureFixture[str]) -> None:
    """Which has just run."""
    put([*steady(3), stored_runs.Run("one", "import", ago_s=1), *steady(2, "older")])
    assert [row[-1] for row in shown(capsys)[0]] == ["one"]


def test_a_latest_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Has no other runs: a usage error that says which names there are."""
    put([stored_runs.Run("nameless", ago_s=1), *steady(3)])
    assert main(["trend"]) == 2
    assert capsys.readouterr().err == (
        "phasetrace: the latest execution, 'nameless', has no name that others could have;"
        " say which: phasetrace trend NAME, there is 'nightly'\n"
    )


def test_a_pattern_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    """For those that are made unique by a time; a name that looks like one goes before."""
    put(
        [
            stored_runs.Run("a", "nightly_1126", ago_s=3),
            stored_runs.Run("b", "nightly_1125", ago_s=4),
            stored_runs.Run("c", "import [all]", ago_s=5),
            stored_runs.Run("d", "import a", ago_s=6),
        ]
    )
    assert [row[-1] for row in shown(capsys, "nightly_*")[0]] == ["a", "b"]
    assert [row[-1] for row in shown(capsys, "import [all]")[0]] == ["c"]


def test_what_changed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With how probably it is chance."""
    runs = [run._replace(duration_s=run.duration_s + at / 1e6) for at, run in enumerate(steady(15))]
    put(run._replace(duration_s=run.duration_s + (at < 5)) for at, run in enumerate(runs))
    rows, said = shown(capsys, "nightly")
    since = rows[4][0][:16].replace("T", " ")
    assert said[1] == (
        f"since {since} (5 runs): 5.02s, before that 4.02s (+24.9%, Mann-Whitney p=0.004)"
    )
    found = document(capsys, "nightly")
    assert found["change"] == {
        "recent": {"runs": 5, "median": 5_020_002_000},
        "before": {"runs": 10, "median": 4_020_009_500},
        "p": pytest.approx(6 * 2 / 3_003),
        "since_ns": found["runs"][4]["started_ns"],
    }


def test_a_step_that_is_older(capsys: pytest.CaptureFixture[str]) -> None:
    """Is found as well, and what is usual goes by the runs since; those that failed are no runs."""
    runs = [
        run._replace(duration_s=run.duration_s + 2 * (at < 9)) for at, run in enumerate(steady(30))
    ]
    runs[2] = runs[2]._replace(status="error", duration_s=1)
    put(runs)
    rows, said = shown(capsys, "nightly")
    since = rows[8][0][:16].replace("T", " ")
    assert said[1].startswith(f"since {since} (8 runs): 6.0")
    assert said[2].startswith("the latest is as usual: 6.00s, the last 7 runs took 6.0")


def test_a_step_of_long_ago(capsys: pytest.CaptureFixture[str]) -> None:
    """Those before it are not usual, although the last twenty have some of them."""
    put(
        run._replace(duration_s=run.duration_s + 2 * (at < 18)) for at, run in enumerate(steady(30))
    )
    assert "the last 17 runs took 6.02s (6.00s to 6.04s)" in shown(capsys, "nightly")[1][2]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Versioned, in whole nanoseconds, the latest first; what did not end well is no measure."""
    put([stored_runs.Run("failed", "nightly", "error", 1, 9), *steady(6)])
    found = document(capsys)
    first, second, *rest = found.pop("runs")
    assert len(rest) == 5
    assert (first["exec_id"], first["name"], first["status"]) == ("failed", "nightly", "error")
    assert first["value"] == first["duration_ns"] == 9 * S
    assert second["started_ns"] < first["started_ns"]
    usual = {"runs": 6, "median_ns": 4_015_000_000, "mad_ns": 15_000_000}
    extremes = {"min_ns": 4 * S, "max_ns": 4_040_000_000}
    assert found == {
        "schema": "phasetrace.trend/1",
        "name": "nightly",
        "phase": None,
        "of": "total",
        "unit": "ns",
        "summary": {
            "runs": 6,
            "median": 4_015_000_000,
            "mad": 15_000_000,
            "min": 4 * S,
            "max": 4_040_000_000,
        },
        "change": None,
        "latest": {"what": "slower", "duration_ns": 9 * S, "usual": {**usual, **extremes}},
    }


def record() -> None:
    """Record three runs of a node with a phase, which the first of them is without."""
    for number in range(3):
        with execution(f"run_{number}", name="nightly"), node("fetch"):
            if number:
                with phase("download"):
                    pass
                with phase("download"):
                    pass
    phasetrace.shutdown()


@pytest.mark.parametrize("of", QUANTITIES)
def test_a_phase(of: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As the breakdown of each run has it; None where it did not run."""
    record()
    found = document(capsys, "--phase", "fetch/download", "--of", of)
    assert (found["phase"], found["of"]) == ("fetch/download", of)
    assert found["unit"] == ("part" if of == "share" else "ns")
    for at, one in enumerate(found["runs"]):
        assert main(["metrics", "--json", one["exec_id"]]) == 0
        breakdown = json.loads(capsys.readouterr().out)
        rows = breakdown["nodes"][0]["phases"]
        if at == 2:
            assert rows == []
            assert one["value"] is None
        elif of == "share":
            assert one["value"] == pytest.approx(rows[0]["share"], abs=1 / MILLION)
        elif of == "critical":  # one after the other: all that they took
            assert one["value"] == rows[0]["self_ns"]
        else:
            assert one["value"] == rows[0][f"{of}_ns"]


@pytest.mark.parametrize("of", QUANTITIES)
def test_a_node(of: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As a whole: on the critical path it is there with its phases."""
    record()
    for one in document(capsys, "--phase", "fetch", "--of", of)["runs"]:
        assert main(["metrics", "--json", one["exec_id"]]) == 0
        (row,) = json.loads(capsys.readouterr().out)["nodes"]
        if of == "share":
            assert one["value"] == pytest.approx(row["share"], abs=1 / MILLION)
        else:
            name = "total" if of == "critical" else of
            assert one["value"] == row[f"{name}_ns"]


def test_a_phase_that_no_run_has(capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error with those that come near."""
    record()
    assert main(["trend", "--phase", "fetch/donwload"]) == 2
    assert capsys.readouterr().err == (
        "phasetrace: 'fetch/donwload' is not in the last 3 runs of 'nightly';"
        " did you mean 'fetch/download' or 'fetch'?\n"
    )


def test_a_quantity_is_that_of_a_phase(capsys: pytest.CaptureFixture[str]) -> None:
    """Which has to be named."""
    assert main(["trend", "nightly", "--of", "self"]) == 2
    assert "--phase NODE/PHASE" in capsys.readouterr().err


def test_a_name_that_nothing_has(capsys: pytest.CaptureFixture[str]) -> None:
    """No such execution, and the names that come near."""
    put(steady(3))
    assert main(["trend", "nihgtly"]) == 3
    assert capsys.readouterr().err == (
        "phasetrace: no execution is called 'nihgtly'; did you mean 'nightly'?\n"
    )


def test_nothing_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """As for the other commands."""
    assert main(["trend"]) == 3
    assert "phasetrace run" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_bad_limit(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error that names it."""
    assert main(["trend", f"--limit={limit}"]) == 2
    assert repr(limit) in capsys.readouterr().err


def test_another_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any place that executions can be read from."""
    record()
    elsewhere = tmp_path / "other.db"
    store = tmp_path / "store" / "traces.db"
    store.rename(elsewhere)
    found = document(capsys, "--source", str(elsewhere))
    assert [one["exec_id"] for one in found["runs"]] == ["run_2", "run_1", "run_0"]


@pytest.mark.parametrize(("encoding", "glyph"), [("utf-8", "█"), ("ascii", "#")])
def test_in_a_terminal(
    encoding: str, glyph: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chart, in what the terminal can show."""
    put(steady(6))
    monkeypatch.setattr("phasetrace.cli.trend_text.terminal", lambda: (80, encoding == "ascii"))
    assert main(["trend", "--color=never"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("nightly: duration, the last 6 runs\n")
    assert glyph in captured.out
    assert captured.err == ""
    assert main(["trend", "--color=always"]) == 0
    assert "\x1b[32m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("columns", "encoding", "expected"),
    [
        (80, "utf-8", (80, False)),
        (200, "UTF-8", (200, False)),
        (80, "ascii", (80, True)),
        (80, "iso-8859-1", (80, True)),
        (59, "utf-8", (0, False)),
        (None, "utf-8", (0, False)),
    ],
)
def test_what_the_terminal_can_do(
    columns: int | None,
    encoding: str,
    expected: tuple[int, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its columns, unless they are too few or it does not tell; and whether it shows but ASCII."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return 1

    def size(descriptor: int) -> os.terminal_size:
        if columns is None:
            raise OSError("no such device")
        return os.terminal_size((columns, 24))

    stdout = Terminal()
    monkeypatch.setattr(Terminal, "encoding", encoding, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", size)
    monkeypatch.setattr("sys.stdout", stdout)
    assert terminal() == expected
