"""Test `phasetrace metrics`, and what it shares with the other reading commands."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import sqlite3
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest

import phasetrace
from phasetrace import execution, node, phase, timing_collector
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionHeader, OpenSpan, breakdown_of
from phasetrace.cli import main, split_program
from phasetrace.cli.table import breakdown_table, console, shortened
from phasetrace.rendering import cells
from phasetrace.spans import PHASE, PhaseKey, SpanRecord, Status

GOLDEN = Path(__file__).parents[2] / "golden"
METRICS = [sys.executable, "-m", "phasetrace", "metrics"]
MS = 1_000_000

RECORD_THE_SEED = """
from phasetrace import timing_collector

STRATEGY = {"llm_selection": 1500, "scoring": 300, "filtering": 150, "deduplication": 50}
NODE = {
    "llm_completion": 3500, "memory_selection": 2000, "output_building": 350,
    "prompt_building": 100, "input_extraction": 50,
}
for node_id, phases in {"node_1": NODE, "memory_strategy": STRATEGY}.items():
    for phase, duration_ms in phases.items():
        timing_collector.record("exec_abc123", node_id, phase, duration_ms)
"""


def store_file() -> Path:
    """Return the store that tests are configured with."""
    return Path(os.environ["PHASETRACE_STORE"])


def record(*exec_ids: str, name: str | None = None) -> None:
    """Put executions into the store, of a node with two phases each."""
    for exec_id in exec_ids:
        with execution(exec_id, name=name), node("node_1"):
            with phase("first"):
                pass
            with phase("second"):
                pass
    phasetrace.shutdown()


def run(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `phasetrace metrics` with stdout and stderr as pipes."""
    return subprocess.run(
        [*METRICS, *args],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environ},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def run_in_terminal(columns: int, *args: str, **environ: str) -> str:
    """Run `phasetrace metrics` in a terminal; return what appears in it."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    names = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environ}
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [*METRICS, *args], env={**kept, **names}, stdin=end, stdout=end, stderr=end
    ):
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end was closed
            while chunk := os.read(terminal, 65_536):
                shown += chunk
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


def without_escapes(text: str) -> str:
    """Return a text without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def answer(*phases: tuple[str, str, float, float, Status]) -> ExecutionBreakdown:
    """Return a breakdown of an execution of 100 ms, from (node, phase, start, end, status)."""
    header = ExecutionHeader("exec_1", None, "ok", "0" * 32, 0, 100 * MS)
    spans = [SpanRecord(1, None, "execution", "exec_1", None, None, 0, 100 * MS, "ok")]
    for number, (node_id, name, start, end, status) in enumerate(phases, start=2):
        start_ns, end_ns = round(start * MS), round(end * MS)
        spans.append(SpanRecord(number, 1, PHASE, name, node_id, None, start_ns, end_ns, status))
    return breakdown_of(header, spans, root_id=1)


def drawn(breakdown: ExecutionBreakdown, width: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the wide form of a breakdown, without colours."""
    console(width, colour=False).print(breakdown_table(breakdown, width))
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"


def test_the_seed_as_ever() -> None:
    """What one process recorded another one prints, to the letter."""
    subprocess.run([sys.executable, "-c", RECORD_THE_SEED], check=True)
    shown = run("exec_abc123", "--breakdown")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == (GOLDEN / "seed_breakdown.txt").read_text(encoding="utf-8")


def test_the_latest_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """With or without saying so; another one by its id."""
    record("exec_1", "exec_2")
    shown = []
    for args in ([], ["--latest"], ["exec_2"], ["exec_1"]):
        assert main(["metrics", *args]) == 0
        shown.append(capsys.readouterr().out)
    assert "Execution ID: exec_2" in shown[0]
    assert shown[0] == shown[1] == shown[2]
    assert "Execution ID: exec_1" in shown[3]


def test_the_summary_has_no_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --breakdown there are a few lines about the execution."""
    record("exec_1", name="nightly")
    assert main(["metrics"]) == 0
    shown = capsys.readouterr()
    assert [line.split(":")[0] for line in shown.out.splitlines()[1:]] == [
        "  Execution ID",
        "  Total Duration",
        "  Name",
        "  Status",
        "  Started",
        "  Nodes",
        "  Spans",
    ]
    assert shown.err == ""


def test_json_is_the_breakdown(capsys: pytest.CaptureFixture[str]) -> None:
    """Versioned, whole nanoseconds, in ASCII."""
    record("exec_é\x1b")
    assert main(["metrics", "--json"]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    assert "\x1b" not in text
    found = json.loads(text)
    assert found["schema"] == "phasetrace.breakdown/1"
    assert found["exec_id"] == "exec_é\x1b"
    assert [row["phase"] for row in found["nodes"][0]["phases"]]
    assert all(
        isinstance(value, int)
        for row in (found, *found["nodes"], *found["nodes"][0]["phases"])
        for name, value in row.items()
        if name.endswith("_ns")
    )


def test_an_id_and_latest_contradict(capsys: pytest.CaptureFixture[str]) -> None:
    """That is a usage error, told in one line."""
    assert main(["metrics", "exec_1", "--latest"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("phasetrace: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [[], ["nonsense"], ["metrics", "--nonsense"], ["metrics", "a", "b"]]
)
def test_usage_errors(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line that says where to read on."""
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"phasetrace: .*--help\n", shown.err)


def test_an_unknown_execution(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, the ids that come nearest, and where all of them are."""
    record("import-2026", "import-2025")
    assert main(["metrics", "import-2027"]) == 3
    error = capsys.readouterr().err
    assert "import-2025" in error
    assert "import-2026" in error
    assert error.endswith("phasetrace list\n")
    assert error.count("\n") == 1


def test_ids_in_messages_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """A recorded id must not reach the terminal through a suggestion."""
    record("exec_\x1b[31m1")
    assert main(["metrics", "exec_\x1b[31m2"]) == 3
    error = capsys.readouterr().err
    assert r"exec_\x1b[31m1" in error
    assert "\x1b" not in error


def test_an_id_that_is_no_text() -> None:
    """Bytes that are no UTF-8 are looked up as they would have been recorded."""
    record("exec_\udcff")
    assert main(["metrics", "exec_\udcff"]) == 0
    assert main(["metrics", "other_\udcff"]) == 3


def test_nothing_recorded_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """No store, or an empty one: exit code 3, and how to record."""
    assert main(["metrics"]) == 3
    assert "phasetrace run" in capsys.readouterr().err
    record("exec_1")
    with contextlib.closing(sqlite3.connect(store_file())) as store, store:
        for table in ("blocks", "aggregates", "aggregate_parts", "executions"):
            store.execute(f"DELETE FROM {table}")  # noqa: S608
    assert main(["metrics", "--latest"]) == 3
    assert "phasetrace run" in capsys.readouterr().err


def test_a_store_that_is_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to read: exit code 4."""
    monkeypatch.setenv("PHASETRACE_STORE", "off")
    assert main(["metrics"]) == 4
    assert "PHASETRACE_STORE" in capsys.readouterr().err


def test_a_damaged_store(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4, and the file stays as it is."""
    store_file().parent.mkdir()
    store_file().write_bytes(b"not a database" * 100)
    assert main(["metrics"]) == 4
    assert re.fullmatch(
        r"phasetrace: .*damaged.*; the next program that records sets it aside .*\n",
        capsys.readouterr().err,
    )
    assert store_file().read_bytes() == b"not a database" * 100


def test_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command in the overview, every option in the command's own help."""
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(command in overview for command in ("run", "metrics", "list", "--version"))
    assert main(["metrics", "--help"]) == 0
    options = capsys.readouterr().out
    assert all(f"--{name}" in options for name in ("latest", "breakdown", "json", "plain", "color"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The package's, once."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"phasetrace {phasetrace.__version__}\n"


def test_reading_imports_neither_opentelemetry_nor_rich() -> None:
    """They would take ten times as long as the answer."""
    record("exec_1")
    program = (
        "import sys\n"
        "from phasetrace.cli import main\n"
        "for args in (['metrics', '--latest'], ['metrics', '--breakdown'], ['list']):\n"
        "    assert main(args) == 0\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not names & {'opentelemetry', 'rich', 'google', 'requests'}, names\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_a_reader_that_stops_reading() -> None:
    """`phasetrace metrics | true` ends without a word."""
    record("exec_1")
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*METRICS, "--breakdown"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("python", [(), ("-u",)])
@pytest.mark.parametrize("arguments", [("metrics",), ("check", "--budgets", "b.toml"), ("--help",)])
def test_a_full_disk(arguments: tuple[str, ...], python: tuple[str, ...], tmp_path: Path) -> None:
    """One line, as for every other error; it is not taken for a check that failed."""
    record("exec_1")
    (tmp_path / "b.toml").write_text("total = '1h'\n", encoding="utf-8")
    command = [sys.executable, *python, "-m", "phasetrace", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr == b"phasetrace: cannot write to stdout: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_errors_that_nobody_can_be_told_of() -> None:
    """The exit code is the same."""
    record("exec_1")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*METRICS, "unknown"], stderr=full, check=False)
    assert ended.returncode == 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "a\nfile"), "a\\nfile: Permission denied"),
        (OSError(5, "Input/output error"), "cannot read or write: Input/output error"),
    ],
)
def test_what_else_the_system_refuses(
    error: OSError,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What it is about is named; stdout has nothing to do with it."""

    def refuse() -> None:
        print("printed before")  # noqa: T201
        raise error

    monkeypatch.setattr("phasetrace.cli.metrics.open_store", refuse)
    assert main(["metrics"]) == 4
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("printed before\n", f"phasetrace: {said}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("metrics", "--latest"),
        ("metrics", "--breakdown"),
        ("metrics", "--bottlenecks", "--optimizations", "--critical-path"),
        ("metrics", "--by", "phase"),
        ("tree",),
        ("top", "--once"),
        ("list",),
        ("diff", "exec_0", "exec_1", "--all"),
        ("trend", "N" * 3_000),
    ],
)
def test_no_name_makes_lines_of_thousands_of_columns(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in a pipe; JSON has them whole."""
    node_id, name = "n" * 3_000, "p" * 3_000
    for at in range(2):
        with execution(f"exec_{at}", name="N" * 3_000), node(node_id), phase(name):
            pass
    phasetrace.shutdown()
    assert main(arguments) == 0
    assert all(len(line) < 1_400 for line in capsys.readouterr().out.splitlines())
    if arguments[0] in ("metrics", "tree") and "--latest" not in arguments:
        assert main([*arguments, "--json"]) == 0
        shown = capsys.readouterr().out
        assert name in shown


def test_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is exit code 130."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("phasetrace.cli.metrics.open_store", interrupt)
    assert main(["metrics"]) == 130


def test_an_encoding_without_emojis() -> None:
    """What stdout cannot write is replaced."""
    record("exec_1")
    shown = run("--breakdown", PYTHONIOENCODING="latin-1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "? Execution Metrics" in shown.stdout
    assert "    ?? first" in shown.stdout


def test_colour_where_it_is_asked_for() -> None:
    """In a pipe only then; the text is the same."""
    record("exec_1")
    plain = run("--breakdown")
    coloured = run("--breakdown", "--color", "always")
    assert "\x1b" not in plain.stdout
    assert "\x1b[1m" in coloured.stdout
    assert without_escapes(coloured.stdout) == plain.stdout


@pytest.mark.parametrize("options", [(), ("--plain",)])
def test_a_narrow_terminal_wraps_nothing(options: tuple[str, ...]) -> None:
    """Long names are shortened there."""
    with execution("exec_1"), node("n"), phase("phase_" * 20):
        pass
    phasetrace.shutdown()
    shown = run_in_terminal(80, "--breakdown", *options, NO_COLOR="1")
    (row,) = (line for line in shown.splitlines() if "phase_" in line)
    assert "…" in row
    assert cells(row) <= 80


def test_a_wide_terminal_gets_the_table() -> None:
    """From 100 columns on; the plain form when asked for, or below."""
    record("exec_1")
    wide = run_in_terminal(100, "--breakdown")
    assert "node / phase" in wide
    assert "\x1b[" in wide
    assert "node / phase" not in run_in_terminal(99, "--breakdown")
    plain = run_in_terminal(100, "--breakdown", "--plain", "--color=never")
    assert plain == run("--breakdown").stdout


@pytest.mark.parametrize(
    ("args", "environ"),
    [(["--color=never"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})],
)
def test_a_terminal_without_colour(args: list[str], environ: dict[str, str]) -> None:
    """By the flag or by the environment: not a single escape sequence."""
    record("exec_1")
    assert "\x1b" not in run_in_terminal(120, "--breakdown", *args, **environ)


def test_the_flag_wins_over_the_environment() -> None:
    """Whoever types it knows what they want."""
    record("exec_1")
    for width in (80, 120):
        shown = run_in_terminal(width, "--breakdown", "--color=always", NO_COLOR="1")
        assert "\x1b[1m" in shown


def test_the_next_command_in_a_terminal() -> None:
    """It works as it is printed, whatever the id."""
    record("an id")
    assert "phasetrace metrics 'an id' --breakdown\n" in run_in_terminal(120)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Nodes and phases, calls, errors, shares with bars, and the unattributed rest."""
    breakdown = answer(
        ("parse", "build_trees", 0, 40, "ok"),
        ("parse", "build_trees", 0, 40, "error"),
        ("parse", "collect_functions", 40, 41.5, "ok"),
        ("compare", "verify[bold]", 41.5, 90, "cancelled"),
    )
    golden = GOLDEN / "wide_breakdown.txt"
    assert drawn(breakdown, 100, capsys) == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [100, 120, 200])
def test_the_table_fits(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Names give way, in their middle; numbers never do."""
    name = "a.module.with.a.very.long.path." * 8 + "and_a_function"
    lines = drawn(
        answer(("日本語" * 20, name, 0, 50, "error"), ("b", "c\x1b[2J", 50, 60, "cancelled")),
        width,
        capsys,
    ).splitlines()
    assert max(map(cells, lines)) == width
    assert any("…" in line and "function" in line and "50.0%" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_shares_add_up_to_a_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    """As they are shown, not only before rounding: 3 x 33.3 is not enough."""
    third = 100 / 3
    phases = [(str(i), "work", third * i, third * (i + 1)) for i in range(3)]
    table = drawn(answer(*((*phase, "ok") for phase in phases)), 100, capsys)
    shown = re.findall(r"^(\S+).* (\d+\.\d)%", table, re.MULTILINE)
    assert sorted(name for name, _ in shown) == ["0", "1", "2", "unattributed"]
    assert sum(round(float(share) * 10) for _, share in shown) == 1_000


def test_running_rows_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """What has not ended has no numbers yet, but has its share."""
    whole = answer(("node_1", "work", 0, 50, "ok"))
    node_1 = whole.nodes[0]
    running = replace(node_1.phases[0], count=0)
    table = drawn(replace(whole, nodes=(replace(node_1, phases=(running,)),)), 100, capsys)
    row = next(line for line in table.splitlines() if "work" in line)
    assert row.split()[:2] == ["work", "(running)"]
    assert "50.0%" in row


def test_long_names_lose_their_middle() -> None:
    """Both ends tell more than the middle; wide characters are counted as two columns."""
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijkl", 10) == "abcdef…jkl"
    assert cells(shortened("日本語" * 9, 10)) <= 10
    assert shortened("abc", 0) == "…"


@pytest.mark.parametrize(
    ("argv", "options", "program", "as_module"),
    [
        (["a.py"], [], ["a.py"], False),
        (["a.py", "--breakdown", "-m", "--"], [], ["a.py", "--breakdown", "-m", "--"], False),
        (["--breakdown", "a.py", "x"], ["--breakdown"], ["a.py", "x"], False),
        (["--exec-id", "i", "a.py"], ["--exec-id", "i"], ["a.py"], False),
        (["--exec-id=i", "a.py"], ["--exec-id=i"], ["a.py"], False),
        (["--breakdown", "-m", "mod", "-m", "x"], ["--breakdown"], ["mod", "-m", "x"], True),
        (["-mmod", "--timing"], [], ["mod", "--timing"], True),
        (["--", "-odd.py", "--"], [], ["-odd.py", "--"], False),
        (["-", "x"], [], ["-", "x"], False),
        (["--breakdown"], ["--breakdown"], [], False),
        (["-m"], [], [], True),
        (["--exec-id"], ["--exec-id"], [], False),
        ([], [], [], False),
    ],
)
def test_the_program_keeps_its_arguments(
    argv: list[str], options: list[str], program: list[str], as_module: bool
) -> None:
    """What comes before the script or module is ours, what follows is the program's."""
    assert split_program(argv, {"--exec-id"}) == (options, program, as_module)


def test_measurements_of_this_process_are_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    """`record` in the program that also reads: as soon as it is flushed."""
    timing_collector.record("exec_1", "node_1", "measured", 4.7)
    phasetrace.force_flush()
    assert main(["metrics", "exec_1", "--breakdown"]) == 0
    assert "└─ measured                   4.70ms (100.0%)" in capsys.readouterr().out


def test_a_running_execution_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """An open phase has its share so far, and no total."""
    header = ExecutionHeader("exec_1", None, "running", "0" * 32, 0, 100 * MS)
    open_spans: list[OpenSpan] = [(1, None, 0, "execution"), (2, 1, 50 * MS, PhaseKey("n", "wait"))]
    table = drawn(breakdown_of(header, [], 1, open_spans, 100 * MS), 100, capsys)
    assert re.search(r"  wait +\(running\) .* 50\.0%", table)


def test_two_runs_of_one_execution(capsys: pytest.CaptureFixture[str]) -> None:
    """In processes some time apart: the whole from first to last, and percentages of that."""
    source = (
        "import sys\nfrom phasetrace import clock, phase\n"
        "later = int(sys.argv[1])\nplain = clock.now_ns\n"
        "clock.now_ns = lambda: plain() + later\n"
        "from phasetrace import execution, node\n"
        "with execution('e'), node('n'):\n    pass\n"
    )
    for seconds in (0, 86_400):
        subprocess.run([sys.executable, "-c", source, str(seconds * 1000 * MS)], check=True)
    assert main(["metrics", "e", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 86_400_000 * MS <= found["duration_ns"] < 86_500_000 * MS
    (row,) = found["nodes"]
    assert row["count"] == 2
    assert row["share_ns"] + found["unattributed_ns"] == found["duration_ns"]
    assert found["unattributed"] > 0.99
    assert main(["metrics", "e"]) == 0
    assert f"Total Duration: {found['duration_ns'] / MS:.2f}ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("exec_id", "arguments", "following"),
    [
        ("exec_1", [], "exec_1 --breakdown"),
        ("-dash", [], "--breakdown -- -dash"),
        ("-dash", ["--source", "a copy.db"], "--source 'a copy.db' --breakdown -- -dash"),
        ("exec_1", ["a copy.db"], "--breakdown -- 'a copy.db'"),
    ],
)
def test_what_comes_next_can_be_pasted(
    exec_id: str,
    arguments: list[str],
    following: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a terminal; it asks the same place for the same execution."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("phasetrace.cli.table.on_terminal", lambda: True)
    record(exec_id)
    with sqlite3.connect(store_file()) as store, sqlite3.connect("a copy.db") as other:
        store.backup(other)
    store.close()
    other.close()
    if arguments:
        record("another")
    assert main(["metrics", *arguments]) == 0
    line = capsys.readouterr().err
    assert line.startswith("phasetrace: next: ")
    assert line.endswith(f" metrics {following}\n")
    words = shlex.split(line)
    assert main(words[words.index("metrics") :]) == 0
    assert exec_id in capsys.readouterr().out
