"""Test `phasetrace import`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phasetrace.cli import main
from phasetrace.recordings.opening import open_store
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import S, line, root, span

Called = tuple[int, str, str]
Import = Callable[..., Called]


@pytest.fixture
def bring(capsys: pytest.CaptureFixture[str]) -> Import:
    """Call the command; give its code, and what it printed."""

    def call(*files: str | Path) -> Called:
        code = main(["import", *map(str, files)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Have a file with an execution in it, and one without a name that began later."""
    file = tmp_path / "f.jsonl"
    file.write_bytes(
        line(
            root("e_1", "nightly", end=2 * S),
            made.phase(1, "e_1", end=S),
            made.phase(2, "e_2", start=S, end=2 * S),
        )
    )
    return file


def test_every_execution_is_a_line(bring: Import, file: Path) -> None:
    """With how long it took, and how many of its spans are new."""
    assert bring(file) == (
        0,
        "execution  name     duration  status     spans  new\n"
        "e_1        nightly     2.00s  ok             2  all\n"
        "e_2                    1.00s  abandoned      1  all\n",
        "",
    )
    with open_store() as store:
        assert [one.exec_id for one in store.executions()] == ["e_2", "e_1"]


def test_several_files_make_one_table(bring: Import, file: Path) -> None:
    """In the order in which they are named."""
    other = file.with_name("other.jsonl")
    other.write_bytes(line(root("e_0")))
    _, out, _ = bring(file, other)
    assert [row.split()[0] for row in out.splitlines()] == ["execution", "e_1", "e_2", "e_0"]


def test_what_is_there_already_is_not_new(bring: Import, file: Path) -> None:
    """It counts once."""
    bring(file)
    with file.open("ab") as more:
        more.write(line(made.phase(3, "e_1", start=S, end=2 * S)))
    _, out, _ = bring(file)
    assert [row.split()[-2:] for row in out.splitlines()[1:]] == [["3", "1"], ["1", "0"]]


def test_metrics_answer_for_what_was_imported(
    bring: Import, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for what was recorded here."""
    bring(file)
    main(["metrics", "e_1", "--breakdown"])
    here = capsys.readouterr().out
    main(["metrics", "e_1", "--breakdown", "--source", str(file)])
    assert capsys.readouterr().out == here
    assert "n - Total: 1000ms" in here


def test_stdin_will_do(bring: Import, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a dash."""
    stdin = io.TextIOWrapper(io.BytesIO(file.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert bring("-")[1].count("\n") == 3


def test_a_broken_file_is_a_line_and_leaves_nothing_but_the_others(
    bring: Import, file: Path
) -> None:
    """Each is said; the others are brought in all the same, and the exit code tells."""
    broken = file.with_name("broken.jsonl")
    broken.write_bytes(line(root("e_3")) + line({**root("e_4"), "events": 5}))
    code, out, err = bring(broken, "no such file", file)
    assert code == 4
    assert out.count("\n") == 3
    first, second = err.splitlines()
    assert first.startswith(f"phasetrace: {broken}, line 2: events is 5")
    assert second.startswith("phasetrace: cannot read no such file: ")
    with open_store() as store:
        assert len(store.executions()) == 2


def test_a_line_that_is_torn_is_said_and_left_out(bring: Import, file: Path) -> None:
    """As a program leaves it that is killed while it writes."""
    with file.open("ab") as more:
        more.write(b'{"resourceSpa\n' + line(root("e_3")))
    code, out, err = bring(file)
    assert code == 0
    assert out.count("\n") == 4
    assert err == f"phasetrace: {file}: line 2 cannot be read, and is left out\n"


@pytest.mark.parametrize("name", ["no such file", "a\0b", "."])
def test_what_is_no_file_is_a_line(bring: Import, name: str) -> None:
    """With the reason."""
    code, out, err = bring(name)
    assert (code, out) == (4, "")
    assert err.startswith("phasetrace: cannot read ")
    assert err.count("\n") == 1


def test_a_store_that_is_off_takes_nothing(
    bring: Import, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be gone again."""
    monkeypatch.setenv("PHASETRACE_STORE", "off")
    code, _, err = bring(file)
    assert code == 4
    assert "PHASETRACE_STORE" in err


def test_what_limits_the_answers_is_said(bring: Import, file: Path) -> None:
    """Spans of no execution, an empty file, and what the store will not keep."""
    file.write_bytes(line(root("e"), span(9)))
    assert bring(file)[2] == f"phasetrace: {file}: 1 span names no execution and counts for none\n"
    file.write_bytes(b"{}")
    assert bring(file)[1:] == ("", f"phasetrace: {file}: there is no execution in it\n")


def test_more_than_the_store_keeps_is_said(
    bring: Import, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported executions are often old, and the oldest go first."""
    monkeypatch.setenv("PHASETRACE_RETENTION", "1 executions")
    assert "the store has 2 executions, and PHASETRACE_RETENTION keeps 1" in bring(file)[2]


def test_hostile_names_do_nothing_to_the_terminal(bring: Import, file: Path) -> None:
    """They are escaped."""
    file.write_bytes(line(root("e\x1b[31m", "a\nb")))
    assert "e\\x1b[31m  a\\nb" in bring(file)[1]
