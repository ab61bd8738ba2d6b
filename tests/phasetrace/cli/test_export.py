"""Test `phasetrace export`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.cli import main
from phasetrace.exports.formats import FORMATS, NAMES
from phasetrace.recordings.opening import open_source
from tests.phasetrace.recordings.made import line, root

Called = tuple[int, str, str]
Export = Callable[..., Called]


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str]) -> Export:
    """Call the command; give its code, and what it printed."""

    def call(*arguments: str | Path) -> Called:
        code = main(["export", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def recorded() -> None:
    """Have two executions in the store."""
    for exec_id in ("first", "second"):
        with execution(exec_id, name="nightly"), node("n"), phase("p", model="m"):
            pass
    phasetrace.force_flush()


@pytest.mark.usefixtures("recorded")
def test_the_latest_execution_is_written_in_the_format_of_the_ending(
    export: Export, tmp_path: Path
) -> None:
    """It is said on stderr."""
    file = tmp_path / "a.jsonl"
    assert export("-o", file) == (0, "", f"phasetrace: second written to {file}\n")
    with open_source(str(file)) as source:
        assert source.latest().exec_id == "second"
        assert source.breakdown(source.latest()).nodes == phasetrace.breakdown("second").nodes


@pytest.mark.usefixtures("recorded")
def test_any_execution_can_be_named(export: Export, tmp_path: Path) -> None:
    """As for every command: by its id, its name, what came before it, and a file."""
    for reference in ("first", "nightly~1", "latest~1"):
        _, out, _ = export(reference, "--format", "folded")
        assert out.startswith("nightly ")
    file = tmp_path / "f.jsonl"
    file.write_bytes(line(root("e", "of a file")))
    for arguments in ([file], ["--source", file]):
        assert export(*arguments, "--format", "folded")[1] == "of a file 10000000000\n"


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("name", [form.name for form in FORMATS if not form.is_binary])
def test_every_text_goes_to_stdout_as_well(export: Export, name: str, tmp_path: Path) -> None:
    """The same as into a file, and nothing else; - is stdout, too."""
    code, out, err = export("--format", name)
    assert (code, err) == (0, "")
    assert export("--format", name, "-o", "-")[1] == out
    file = tmp_path / "whatever"
    assert export("--format", name, "-o", file)[0] == 0
    assert file.read_text() == out


@pytest.mark.usefixtures("recorded")
def test_what_a_number_means_is_said(export: Export, tmp_path: Path) -> None:
    """Where the format does not."""
    _, _, err = export("-o", tmp_path / "a.folded")
    assert "self times in nanoseconds" in err


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-o", "a.json"],
            "-o a.json: its ending tells no format; expected .jsonl .jsonl.gz (otlp)",
        ),
        ([], "say in what format: --format otlp|chrome|"),
        (["--format", "parquet"], "parquet is no text, so say where to: -o FILE.parquet"),
        (
            ["-o", "no/such/folder/a.md"],
            "cannot write no/such/folder/a.md: No such file or directory",
        ),
        (["-o", "a\0.md"], "cannot write a\\x00.md: "),
    ],
)
def test_what_cannot_be_is_a_line(export: Export, arguments: list[str], message: str) -> None:
    """That one can act on."""
    code, out, err = export(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"phasetrace: {message}")
    assert err.count("\n") == 1


def test_an_unknown_execution_is_a_line(export: Export, recorded: None, tmp_path: Path) -> None:
    """And no file."""
    code, _, err = export("thirt", "-o", tmp_path / "a.md")
    assert code == 3
    assert "did you mean first" in err
    assert not (tmp_path / "a.md").exists()


def test_without_a_recording_nothing_is_exported(export: Export, tmp_path: Path) -> None:
    """And how to make one is said."""
    code, _, err = export("-o", tmp_path / "a.md")
    assert code == 3
    assert "phasetrace run" in err


def test_executions_that_were_started_within_are_there_on_demand(export: Export) -> None:
    """As in the breakdown."""
    with execution("outer"), node("n"), execution("inner", name="sub"), phase("deep"):
        pass
    phasetrace.force_flush()
    assert "deep" not in export("outer", "--format", "otlp")[1]
    documents = map(json.loads, export("outer", "--format", "otlp", "--rolled-up")[1].splitlines())
    names = {
        span["name"]
        for one in documents
        for group in one["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    }
    assert names == {"outer", "n", "sub", "deep"}
    assert "deep" in export("outer", "--format", "folded", "--rolled-up")[1]


def test_every_format_and_ending_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has to guess."""
    assert main(["export", "--help"]) == 0
    text = "".join(capsys.readouterr().out.split())
    for form in FORMATS:
        assert "".join(form.endings) in text
    assert all(name in text for name in NAMES)


def test_exporting_imports_no_opentelemetry(recorded: None) -> None:
    """It is a reading command; only Parquet takes another library."""
    source = (
        "import sys; from phasetrace.cli import main;"
        f"[main(['export', '--format', name]) for name in {NAMES!r} if name != 'parquet'];"
        "loaded = {name.partition('.')[0] for name in sys.modules};"
        "assert not loaded & {'opentelemetry', 'rich', 'pyarrow', 'google'}, loaded"
    )
    subprocess.run([sys.executable, "-c", source], check=True, stdout=subprocess.DEVNULL)
