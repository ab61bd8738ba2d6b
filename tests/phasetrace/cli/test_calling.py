"""Commands that name an execution do so whatever its id is: they are run as they are shown."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.cli import _parse
from phasetrace.cli.calling import call, replay
from phasetrace.identity import trace_id_of
from phasetrace.recordings.references import open_reference
from phasetrace.rendering import safe
from tests.phasetrace.cli.stored_runs import Run, put

OTHER = "the latest"
ODD = [
    "-dash",
    "--json",
    "-1",
    "--",
    "-\n",
    "latest",
    "latest~1",
    "latest~x",
    "run~1",
    "a b",
    "it's",
    "$HOME",
    "\x1b[31m",
    "two\nlines",
    "\u202eright",
    "été",
    "file",
    "there.db",
    "a/b",
    "a#b",
    "file#x",
    "#",
    "*",
    f"{trace_id_of(OTHER):032x}",
]


def is_found(exec_id: str) -> bool:
    """Tell whether what is shown, pasted, means the execution."""
    shown = call("phasetrace metrics", exec_id, f"{trace_id_of(exec_id):032x}", "--breakdown")
    assert safe(shown) == shown
    args = _parse(shlex.split(shown)[1:])
    assert args.breakdown
    source, found = open_reference(args.exec_id)
    source.close()
    (again,) = _parse(shlex.split(replay("phasetrace", exec_id, found.trace_id))[1:]).replay
    assert again == args.exec_id
    return found.exec_id == exec_id


@pytest.mark.parametrize("exec_id", ODD)
def test_an_odd_id(exec_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is found among others, where files are called like it."""
    monkeypatch.chdir(tmp_path)
    for name in ("file", "there.db"):
        Path(name).touch()
    put([Run(OTHER, ago_s=1), Run("b", name=exec_id, ago_s=5), Run(exec_id, ago_s=60)])
    assert is_found(exec_id)


def test_any_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an execution that is not the latest, nor the one before."""
    monkeypatch.chdir(tmp_path)
    numbers = iter(range(10**6))

    @given(st.text(min_size=1, max_size=12) | st.from_regex(r"-?(latest)?(~\d)?.?", fullmatch=True))
    def check(exec_id: str) -> None:
        exec_id = exec_id.encode("utf-8", "backslashreplace").decode() or "x"
        monkeypatch.setenv("PHASETRACE_STORE", str(tmp_path / f"{next(numbers)}.sqlite"))
        put([Run(f"{OTHER} {number}", ago_s=number) for number in range(2)])
        put([Run(exec_id, ago_s=60)])
        assert is_found(exec_id)

    check()


def test_an_ordinary_id_comes_first() -> None:
    """As people would write it."""
    assert call("p metrics", "exec_1", "0" * 32, "--breakdown") == "p metrics exec_1 --breakdown"
    assert call("p metrics", "exec_1", "0" * 32) == "p metrics exec_1"
    assert replay("p", "a b", "0" * 32) == "p ship --replay 'a b'"


def test_a_dash_comes_last() -> None:
    """Behind what tells that there are no more options."""
    assert call("p metrics", "-x", "0" * 32, "--breakdown") == "p metrics --breakdown -- -x"
    assert replay("p", "-x", "0" * 32) == "p ship --replay=-x"
