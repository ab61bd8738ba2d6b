"""Test `phasetrace diff`."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.analysis.comparison import ExecutionDiff, Run, Significance, compare
from phasetrace.analysis.recording import Recording
from phasetrace.cli import main
from phasetrace.cli.diff_text import _probability, diff_lines
from phasetrace.rendering import cells
from phasetrace.store.reader import StoreReader
from phasetrace.store.stored import StoredExecution
from phasetrace.testing import forget_everything
from tests.phasetrace.analysis.test_comparison import MS, USUAL, noisy, run_of

GOLDEN = Path(__file__).parents[2] / "golden"


def record(*exec_ids: str, name: str | None = "nightly", fails: bool = False) -> None:
    """Put executions of one node with one phase into the store."""
    for exec_id in exec_ids:
        try:
            with execution(exec_id, name=name), node("n"), phase("work"):
                if fails:
                    raise ValueError(exec_id)
        except ValueError:
            pass
    phasetrace.force_flush()


def ids(plain: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the executions on each side."""
    a, b = ([one["exec_id"] for one in plain[side]["executions"]] for side in "ab")
    return a, b


def diffed(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    """Return what the command prints as JSON."""
    assert main(["diff", *args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], code: int, *args: str) -> str:
    """Return the one line that the command says in place of an answer."""
    assert main(["diff", *args]) == code
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    return error


def named(run: Run, exec_id: str, name: str | None = "nightly", status: str = "ok") -> Run:
    """Return a run as that of another execution."""
    return run._replace(execution=replace(run.execution, exec_id=exec_id, name=name, status=status))


def one_and_one() -> ExecutionDiff:
    """Return the difference of two runs."""
    before = run_of({**USUAL, "compress": 5 * MS, "index": 2 * MS})
    after = run_of({**USUAL, "parse": 120 * MS, "index": 28 * MS, "retry": 7 * MS})
    return compare([named(before, "exec_1")], [named(after, "exec_2")])


def twenty_and_twenty() -> ExecutionDiff:
    """Return the difference of two series, of which one takes longer in one phase."""
    random = Random(1)
    slow = {**USUAL, "parse": 120 * MS}
    before = [named(noisy(USUAL, random), f"exec_{at}") for at in range(20)]
    after = [named(noisy(slow, random), f"exec_{at}", "nightly-new") for at in range(20, 40)]
    return compare(before, after)


def few() -> ExecutionDiff:
    """Return the difference of series too short for a test, with the smallest of rows."""
    random = Random(2)
    runs = [named(noisy(USUAL, random), f"exec_{at}") for at in range(5)]
    return compare(runs[:3], runs[3:])


def same(name: str, lines: list[str]) -> None:
    """Compare lines with what is kept of them."""
    assert "\n".join(lines) + "\n" == (GOLDEN / name).read_text()


def test_two_runs_read_like_this() -> None:
    """What is more, what is gone, and that nothing is tested."""
    same("diff_two_runs.txt", diff_lines(one_and_one()))


def test_two_series_read_like_this() -> None:
    """With a verdict on each row."""
    same("diff_two_series.txt", diff_lines(twenty_and_twenty()))


def test_short_series_read_like_this() -> None:
    """Without one, and how many runs it would take; with all rows."""
    same("diff_short_series.txt", diff_lines(few(), everything=True))


def test_a_terminal_of_80_columns_reads_like_this() -> None:
    """With the columns that there is room for."""
    lines = diff_lines(twenty_and_twenty(), width=80)
    same("diff_80_columns.txt", lines)


@pytest.mark.parametrize("width", [60, 80, 90, 100, 110, 130, 200])
def test_the_table_is_no_wider_than_the_terminal(width: int) -> None:
    """However wide that is, the verdicts stay."""
    lines = diff_lines(twenty_and_twenty(), width=width)
    start = next(at for at, line in enumerate(lines) if "self A" in line)
    assert max(map(cells, lines[start:])) <= width
    assert lines[start].endswith("verdict")


def five_and_five(slowed: int = 0) -> ExecutionDiff:
    """Return the difference of five runs and five, which took so many milliseconds longer."""
    random = Random(4)
    slow = {**USUAL, "parse": (100 + slowed) * MS}
    before = [named(noisy(USUAL, random), f"exec_{at}") for at in range(5)]
    return compare(before, [named(noisy(slow, random), f"exec_{at}") for at in range(5, 10)])


def test_the_headline_has_a_verdict() -> None:
    """From five runs on a side on, with its p, and without saying more than it knows."""
    assert "  Change: +31.0ms (+20.1%), slower (p=0.0079)" in diff_lines(five_and_five(30))
    same_again = diff_lines(five_and_five())
    assert "  Change: +1.13ms (+0.7%), cannot be told from noise (p=0.84)" in same_again
    assert not any(line.endswith((" ~", "verdict")) for line in same_again)
    changed = replace(five_and_five(), test=Significance(0.0001, 0.0001))
    assert "too little to count (p<0.001)" in "\n".join(diff_lines(changed))


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.84, "0.84"),
        (0.0101, "0.0101"),
        (0.01004, "0.01004"),
        (0.01, "0.01"),
        (0.00996, "0.00996"),
        (0.0079, "0.0079"),
        (0.0005, "<0.001"),
        (1.0, "1"),
    ],
)
def test_a_p_is_on_the_side_that_it_is_on(p: float, shown: str) -> None:
    """What is not below the level does not look as if it was at it."""
    assert _probability(p) == shown


def test_remarks_are_as_wide_as_the_terminal() -> None:
    """And whole lines where there is none."""
    for width in (60, 80):
        lines = diff_lines(twenty_and_twenty(), width=width)
        assert max(map(cells, lines)) <= width
    (remark,) = [line for line in diff_lines(twenty_and_twenty()) if line.startswith("  ~")]
    assert remark.startswith("  ~ cannot be told from noise")
    assert remark.endswith(" can be told.")


def test_two_workflows_are_said_to_be_two() -> None:
    """Executions without a name are of none that could be another."""
    said = "  A is of nightly, B of weekly: what differs may be what they do."
    one = named(run_of(USUAL), "exec_1")
    for name, is_said in (("weekly", True), ("nightly", False), (None, False), ("exec_2", False)):
        lines = diff_lines(compare([one], [named(run_of(USUAL), "exec_2", name)]))
        assert [line for line in lines if "what differs" in line] == [said] * is_said


def test_spans_that_were_not_stored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said that they are missing; the others are compared."""
    record("exec_1", "exec_2")
    whole = StoreReader.recording

    def incomplete(self: StoreReader, stored: StoredExecution) -> Recording:
        return whole(self, stored)._replace(lost=3 if stored.exec_id == "exec_1" else 0)

    monkeypatch.setattr(StoreReader, "recording", incomplete)
    assert main(["diff", "exec_1", "exec_2", "--json"]) == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["a"]["n"] == 1
    assert error == (
        "phasetrace: 3 spans of exec_1 were not stored; only what there is of it is compared\n"
    )


def test_the_same_run_on_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error, also within lists; another file's execution of the same id is another."""
    record("exec_1", "exec_2")
    assert "exec_2 is on both sides; name other runs" in refused(capsys, 2, "exec_2", "latest")
    assert "exec_1 is on both" in refused(capsys, 2, "exec_1,exec_2", "exec_1")


def test_colours_are_not_alone() -> None:
    """Without them the lines are the same."""
    plain = diff_lines(twenty_and_twenty())
    coloured = diff_lines(twenty_and_twenty(), colour=True)
    text = "\n".join(coloured)
    for escape in ("\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"):
        assert escape in text
        text = text.replace(escape, "")
    assert text == "\n".join(plain)


def test_text_is_escaped() -> None:
    """Whatever it is called."""
    evil = "\x1b[2J\n\u202e"
    run = named(run_of({evil: MS}), evil, evil, evil)
    other = named(run_of({evil: MS}), evil + "1", evil)
    one, many = compare([run], [other]), compare([other, other], [other, other])
    for lines in (diff_lines(one), diff_lines(many)):
        assert not any("\x1b" in line or "\n" in line or "\u202e" in line for line in lines)


def test_how_an_execution_ended_is_said() -> None:
    """If it did not end well."""
    failed = named(run_of(USUAL), "exec_1", None, "error")
    lines = diff_lines(compare([failed], [named(run_of(USUAL), "exec_2", "nightly", "running")]))
    assert lines[1:3] == ["  A: exec_1 (error): 155ms", "  B: exec_2 (nightly, running): 155ms"]


def test_two_executions(capsys: pytest.CaptureFixture[str]) -> None:
    """By what they are called."""
    record("exec_1")
    record("exec_2", "exec_3", name="other")
    assert ids(diffed(capsys, "exec_1", "latest")) == (["exec_1"], ["exec_3"])
    assert ids(diffed(capsys, "latest~1", "nightly")) == (["exec_2"], ["exec_1"])


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, without colours in a pipe, nothing on stderr."""
    record("exec_1", "exec_2")
    assert main(["diff", "exec_1", "exec_2"]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("📊 Execution Diff\n  A: exec_1 (nightly): ")
    assert "n=1, no test" in out
    assert "\x1b" not in out
    assert error == ""
    assert main(["diff", "exec_1", "exec_2", "--color=always"]) == 0
    assert "\x1b[1m" in capsys.readouterr().out


def test_in_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """There are the columns that it has room for."""
    record("exec_1", "exec_2")
    for width, is_wide in ((80, False), (200, True)):
        monkeypatch.setattr("phasetrace.cli.table.terminal_width", lambda width=width: width)
        assert main(["diff", "exec_1", "exec_2"]) == 0
        assert ("total A" in capsys.readouterr().out) is is_wide


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Versioned, in ASCII, with n, and without a p where there is no test."""
    record("exec_é", "exec_2")
    assert main(["diff", "exec_é", "exec_2", "--json"]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    plain = json.loads(text)
    assert plain["schema"] == "phasetrace.diff/1"
    assert (plain["a"]["n"], plain["b"]["n"], plain["test"]) == (1, 1, None)
    work = next(row for row in plain["rows"] if row["phase"] == "work")
    assert (work["node_id"], work["iteration"], work["test"]) == ("n", None, None)
    assert work["change_ns"] == work["b"]["self_ns"] - work["a"]["self_ns"]


def test_by_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of its own, as text, too."""
    for exec_id, rounds in (("exec_1", 2), ("exec_2", 3)):
        with execution(exec_id):
            for number in range(rounds):
                with node("n", iteration=number), phase("work"):
                    pass
    phasetrace.shutdown()
    plain = diffed(capsys, "exec_1", "exec_2", "--by=iteration")
    found = {row["iteration"]: row["verdict"] for row in plain["rows"] if row["phase"]}
    assert found == {0: None, 1: None, 2: "added"}
    assert main(["diff", "exec_1", "exec_2", "--by=iteration", "--all"]) == 0
    assert "  n #2 / work " in capsys.readouterr().out


def test_lists_of_executions(capsys: pytest.CaptureFixture[str]) -> None:
    """With commas in between, each counted once; an id with a comma in it is one."""
    record("exec_1", "exec_2", "exec_3", "exec_4", "exec_1,exec_2")
    found = diffed(capsys, "exec_1, exec_2,exec_1", "exec_3,nightly~1")
    assert ids(found) == (["exec_1", "exec_2"], ["exec_3", "exec_4"])
    assert found["test"]["p"] > 0
    assert ids(diffed(capsys, "exec_3", "exec_1,exec_2"))[1] == ["exec_1,exec_2"]


def test_the_last_runs_of_two_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Up to and including the one that each stands for, first to last."""
    record(*(f"old_{at}" for at in range(4)))
    record(*(f"new_{at}" for at in range(4)), name="nightly-new")
    found = diffed(capsys, "nightly", "nightly-new", "--last=3")
    assert ids(found) == (["old_1", "old_2", "old_3"], ["new_1", "new_2", "new_3"])
    found = diffed(capsys, "nightly~1", "new_1", "--last=2")
    assert ids(found) == (["old_1", "old_2"], ["new_0", "new_1"])


def test_the_last_runs_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Those up to the earlier one, and those after it up to the later one, whichever is A."""
    record(*(f"exec_{at}" for at in range(8)))
    record("other", name="something else")
    early, late = ["exec_1", "exec_2", "exec_3"], ["exec_5", "exec_6", "exec_7"]
    assert ids(diffed(capsys, "exec_3", "nightly", "--last=3")) == (early, late)
    assert ids(diffed(capsys, "nightly", "exec_3", "--last=3")) == (late, early)


def test_no_run_is_on_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    """There are only as many as lie between, which is said."""
    record(*(f"exec_{at}" for at in range(6)))
    assert main(["diff", "exec_3", "exec_5", "--last=5", "--json"]) == 0
    out, error = capsys.readouterr()
    assert ids(json.loads(out)) == (
        ["exec_0", "exec_1", "exec_2", "exec_3"],
        ["exec_4", "exec_5"],
    )
    assert error == (
        "phasetrace: A has only 4 of the 5 runs asked for\n"
        "phasetrace: B has only 2 of the 5 runs asked for\n"
    )
    there, back = ids(json.loads(out)), ids(diffed(capsys, "exec_5", "exec_3", "--last=5"))
    assert back == there[::-1]


def test_failed_runs_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """And counted; those before the first that is taken do not matter."""
    record("failed_0", fails=True)
    record("exec_1", "exec_2")
    record("failed_3", "failed_4", fails=True)
    record("exec_5", "exec_6", "exec_7")
    assert main(["diff", "failed_4", "exec_7", "--last=2", "--json"]) == 0
    out, error = capsys.readouterr()
    assert ids(json.loads(out)) == (["exec_1", "exec_2"], ["exec_6", "exec_7"])
    assert error == "phasetrace: A leaves 2 out that did not end well\n"


def test_no_run_ended_well(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to compare with, which is as if it was not there."""
    record("failed_1", "failed_2", fails=True)
    record("exec_1", name="other")
    error = refused(capsys, 3, "failed_2", "other", "--last=3")
    assert "no run of nightly up to failed_2 ended well" in error


@pytest.mark.parametrize("last", ["0", "-1", "many"])
def test_a_bad_number(last: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error that names it."""
    assert repr(last) in refused(capsys, 2, "exec_1", "exec_2", f"--last={last}")


def test_last_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise there are no runs of the same."""
    record("exec_1", "exec_2", name=None)
    assert "exec_1 has no name" in refused(capsys, 2, "exec_1", "exec_2", "--last=3")


def test_last_needs_two_executions(capsys: pytest.CaptureFixture[str]) -> None:
    """One and the same cannot be where both sides end; nor is a list a series."""
    record("exec_1", "exec_2")
    assert "both sides are exec_2" in refused(capsys, 2, "nightly", "latest", "--last=3")
    assert "not a list" in refused(capsys, 2, "exec_1,exec_2", "latest", "--last=3")


def test_a_name_may_be_a_pattern_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The runs are those of this very name."""
    record("exec_1", "exec_2", name="n[a]*")
    record("exec_3", name="na1")
    found = diffed(capsys, "exec_2", "exec_3", "--last=5")
    assert ids(found) == (["exec_1", "exec_2"], ["exec_3"])


def test_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """Is said, with what comes near to it, also in a list."""
    record("exec_1")
    assert "exec_1" in refused(capsys, 3, "exec_1", "exec_11")
    assert "exec_11" in refused(capsys, 3, "exec_1", "exec_1,exec_11")


def test_another_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Both are read from there; a file is read whatever the place."""
    record("exec_1", "exec_2")
    place = tmp_path / "elsewhere.db"
    forget_everything()
    shutil.move(os.environ["PHASETRACE_STORE"], place)
    found = diffed(capsys, "exec_1", "exec_2", f"--source={place}")
    assert ids(found) == (["exec_1"], ["exec_2"])
    record("exec_3")
    assert ids(diffed(capsys, f"{place}#exec_1", "exec_3")) == (["exec_1"], ["exec_3"])
