"""What commands say of the place that they read from, and of what is no recording in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import phasetrace
from phasetrace.cli import main
from tests.phasetrace.recordings.made import line, phase, root
from tests.phasetrace.recordings.query_service import running

READING = (
    ["metrics"],
    ["metrics", "--breakdown"],
    ["metrics", "--json"],
    ["list"],
    ["list", "--json"],
    ["tree"],
    ["trend", "run"],
    ["check", "--budgets", "budgets.toml"],
    ["check", "--budgets", "budgets.toml", "--format", "junit"],
)
"""Commands, each with an execution to find."""
HIDDEN = "hunter2"
Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that calls a command, and returns its exit code and what it complains."""
    monkeypatch.chdir(tmp_path)
    Path("budgets.toml").write_text('duration = "2s"\n')

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(list(arguments)), capsys.readouterr().err

    return call


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("start", [10**30, -1, 10**400, "-5"])
def test_a_time_that_is_none_is_one_line(say: Say, command: list[str], start: object) -> None:
    """Of whatever command, and with its place."""
    Path("f").write_bytes(line({**root("e"), "startTimeUnixNano": start}))
    code, said = say(*command, "--source", "f")
    assert code == 4
    assert said.startswith("phasetrace: f, line 1: resourceSpans[0].scopeSpans[0].spans[0]: its s")
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("start", [0, 1, 2**63, 2**64 - 2])
def test_any_time_can_be_shown(say: Say, command: list[str], start: int) -> None:
    """That 64 bits can tell."""
    times = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 1)}
    Path("f").write_bytes(line({**root("e"), **times}, {**phase(7, "e"), **times}))
    code, said = say(*command, "--source", "f")
    assert code == 0
    assert "Error" not in said


@pytest.mark.parametrize(
    "command",
    [["metrics"], ["list"], ["tree"], ["trend"], ["check", "--budgets", "budgets.toml"]],
    ids=" ".join,
)
def test_of_a_place_with_nothing_in_it_that_is_said(say: Say, command: list[str]) -> None:
    """How to record is not the question."""
    Path("empty.jsonl").touch()
    code, said = say(*command, "--source", "empty.jsonl")
    assert code == (0 if command == ["list"] else 3)
    assert said == "phasetrace: there is no execution in empty.jsonl\n"
    assert "record with: phasetrace run" in say(*command)[1]


def test_what_there_is_in_a_place_is_said_how_to_see(say: Say) -> None:
    """In the place that was named, and in no other."""
    Path("f 1.jsonl").write_bytes(line(root("exec_1")))
    for command in (["metrics"], ["tree"]):
        _, said = say(*command, "exec_2", "--source", "f 1.jsonl")
        assert said.endswith("did you mean exec_1? See phasetrace list --source 'f 1.jsonl'\n")
        _, said = say(*command, "f 1.jsonl#x")
        assert said.endswith("recorded; see phasetrace list --source 'f 1.jsonl'\n")
    with phasetrace.execution("exec_1"):
        pass
    phasetrace.shutdown()
    assert say("metrics", "zzz")[1].endswith("recorded; see phasetrace list\n")
    assert say("verify", "zzz", "--source", "f 1.jsonl")[1].endswith("; see phasetrace list\n")


def test_a_file_that_is_no_trace(say: Say) -> None:
    """A script, say."""
    Path("agent.py").write_text('"""Do it."""\nimport os\n')
    code, said = say("metrics", "--source", "agent.py")
    assert code == 4
    assert said.startswith("phasetrace: agent.py, line 1: no JSON (")
    assert "; expected OTLP JSON lines" in said


def test_no_secret_of_an_address_is_printed(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    """By whatever command."""
    with running() as service:
        place = service.url.replace("//", f"//me:{HIDDEN}@") + f"/search?x={HIDDEN}"
        said = [say(*command, "--source", place)[1] for command in READING]
        with phasetrace.execution("e"):
            pass
        phasetrace.shutdown()
        service.add(root("e"))
        main(["verify", "--source", place, "--json"])
        out = capsys.readouterr().out
        assert json.loads(out)["source"] == service.url
        said += [out, say("metrics", "zzz", "--source", place)[1]]
        main(["verify", "--source", place])
        said += capsys.readouterr()
    assert f"--source {service.url}\n" in said[-3]
    assert HIDDEN not in "".join(said)


def test_a_store_that_is_somebodys_file(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """All commands say the same."""
    victim = Path("victim.py").absolute()
    victim.write_text("import os\n")
    monkeypatch.setenv("PHASETRACE_STORE", str(victim))
    expected = f"phasetrace: {victim} is no store: set PHASETRACE_STORE elsewhere\n"
    for command in (["metrics"], ["list"], ["status"], ["import", "f"]):
        Path("f").write_bytes(line(root("e")))
        assert say(*command) == (4, expected)
    assert main(["doctor", "--json"]) == 1
    assert victim.read_text() == "import os\n"
