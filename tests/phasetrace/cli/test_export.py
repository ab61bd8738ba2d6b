"""Test `phasetrace export`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.cli import main
from phasetrace.cli.leaving import signals_exit
from phasetrace.exports.formats import FORMATS, NAMES
from phasetrace.recordings.opening import open_source
from tests.conftest import FakeClock
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import line, root
from tests.phasetrace.store.conftest import Recording, path, record, without_thread

__all__ = ["path", "record", "without_thread"]
"""Fixtures."""

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
    assert names == {"execution", "n", "sub", "deep"}
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


@pytest.mark.usefixtures("recorded")
def test_the_store_is_not_overwritten(export: Export, tmp_path: Path) -> None:
    """Nor what belongs to it; what is in it is there afterwards."""
    store = tmp_path / "store" / "traces.db"
    for name in (store, f"{store}-wal", f"{store}-shm"):
        code, out, err = export("first", "--format", "csv", "-o", name)
        assert (code, out) == (2, "")
        assert "the store; name another file" in err
        assert err.count("\n") == 1
    assert export("first", "--format", "csv")[0] == 0


@pytest.mark.usefixtures("recorded")
def test_a_file_by_the_name_of_stdout_is_stdout(tmp_path: Path) -> None:
    """Also where that is a pipe, or a file that is added to."""
    called = [sys.executable, "-m", "phasetrace", "export", "first", "--format", "csv", "-o"]
    piped = subprocess.run([*called, "/dev/stdout"], check=True, capture_output=True).stdout
    file = tmp_path / "log"
    file.write_bytes(b"before\n")
    with file.open("ab") as log:
        subprocess.run([*called, "/dev/stdout"], check=True, stdout=log)
    assert file.read_bytes() == b"before\n" + piped
    assert piped.count(b"\n") == 4
    subprocess.run([*called, "/dev/null"], check=True)


@pytest.mark.usefixtures("recorded")
def test_that_nobody_reads_a_pipe_is_no_news() -> None:
    """As with every command that prints."""
    reader, writer = os.pipe()
    os.close(reader)
    called = [sys.executable, "-m", "phasetrace", "export", "--format", "csv", "-o", "/dev/stdout"]
    done = subprocess.run(called, check=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "1 span had not ended and is not"), (2, "2 spans had not ended and are not")],
)
def test_what_had_not_ended_is_said_where_it_is_left_out(
    export: Export,
    record: Callable[..., Recording],
    fake_clock: FakeClock,
    path: Path,
    without_thread: None,
    number: int,
    said: str,
) -> None:
    """The other formats draw it."""
    recorded = record(now_ns=fake_clock)
    recorded.end(recorded.start("e", "over", start=fake_clock()), fake_clock() + 1)
    for _ in range(number):
        recorded.start("e", "waiting", start=fake_clock())
    fake_clock.advance(2_000)
    recorded.writer.flush()
    _, out, err = export("e", "--source", path, "--format", "otlp")
    assert err == f"phasetrace: {said} in the file\n"
    assert out.count('"spanId"') == 1
    assert export("e", "--source", path, "--format", "csv")[2] == ""


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "1 execution within it is not in the file: --rolled-up"),
        (2, "2 executions within it are not in the file: --rolled-up"),
    ],
)
def test_what_was_started_within_is_said_where_it_is_left_out(
    export: Export, number: int, said: str
) -> None:
    """In every format."""
    with execution("outer"):
        for at in range(number):
            with execution(f"inner {at}"):
                pass
    phasetrace.force_flush()
    for name in ("otlp", "csv"):
        assert export("outer", "--format", name)[2] == f"phasetrace: {said}\n"
        assert export("outer", "--format", name, "--rolled-up")[2] == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    """What was there stays, and the exit code is that of a shell."""
    file = tmp_path / "out" / "a.csv"
    file.parent.mkdir()
    file.write_text("before")
    recording = tmp_path / "f.jsonl"
    recording.write_bytes(line(root("e")))
    source = f"""
import os, sys
from phasetrace.cli import main
from phasetrace.exports import csv_file

def lines(exported):
    yield "half"
    assert len(os.listdir({str(file.parent)!r})) == 2
    os.kill(os.getpid(), {int(number)})
    yield "more"

csv_file.csv_lines = lines
sys.exit(main(["export", {str(recording)!r}, "-o", {str(file)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", source], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (128 + number, b"")
    assert file.read_text() == "before"
    assert list(file.parent.iterdir()) == [file]


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As ``nohup`` has it; and all are as before afterwards."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_exit():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_line_that_is_torn_is_said(export: Export, tmp_path: Path) -> None:
    """The rest is exported."""
    file = tmp_path / "f.jsonl"
    file.write_bytes(line(root("e")) + b'{"resource\n' + line(made.phase(1, "e")))
    code, out, err = export(file, "--format", "csv")
    assert (code, err) == (0, "phasetrace: line 2 cannot be read, and is left out\n")
    assert out.count("\n") == 3


def test_what_is_no_otlp_is_a_line_on_stdout_too(export: Export, tmp_path: Path) -> None:
    """What was not looked at before is when it is written."""
    file = tmp_path / "f.jsonl"
    file.write_bytes(line({**root("e"), "events": 5}))
    code, _, err = export(file, "--format", "otlp")
    assert code == 4
    assert err.startswith(f"phasetrace: {file}, line 1: events is 5 and no list of objects")


def test_stdout_needs_a_format_and_the_help_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no ending."""
    main(["export", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "without one, and with -, it is stdout, which needs --format" in said
