"""What is running, as it is seen in a terminal: the line of ``run``, and ``top``.

Programs wait for a key, so that nothing here waits for a time of day.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.store.blocks import MAX_SPANS, Row, pack
from phasetrace.store.reader import StoreReader
from tests.phasetrace.cli.programs import COMMAND, run, start, traced, write
from tests.phasetrace.cli.stored_runs import Run, put
from tests.phasetrace.cli.terminals import Terminal

TOP = [sys.executable, str(COMMAND), "top"]
TREE = [sys.executable, str(COMMAND), "tree"]
SGR = re.compile(rb"\x1b\[[\d;]*m")

WAITS = """
import sys
from phasetrace import execution, node, phase
with execution("exec_1", name="nightly"):
    print("begin")
    with node("fetch"), phase("download"):
        sys.stdin.readline()
    with node("load"), phase("insert"):
        sys.stdin.readline()
print("end")
"""


@pytest.fixture
def store() -> Path:
    """Return where the programs' store is."""
    return Path(os.environ["PHASETRACE_STORE"])


def in_terminal(
    text: str, folder: Path, store: Path, *options: str, **settings: object
) -> Terminal:
    """Start a program of this text under tracing in a terminal."""
    write(folder, {"prog.py": text})
    return Terminal(traced(*options, "prog.py"), folder, store, **settings)  # type: ignore[arg-type]


def of_program(terminal: Terminal) -> list[str]:
    """Return what is left of a run, without what phasetrace says at its end."""
    lines = terminal.everything
    return lines[: next(at for at, line in enumerate(lines) if line.startswith("phasetrace: "))]


# The line of progress


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("rows", [5, 24])
def test_the_line_is_there_and_goes_without_a_trace(
    columns: int, rows: int, tmp_path: Path, store: Path
) -> None:
    """It tells what is open; at the end the terminal is as it would be without it."""
    with in_terminal(WAITS, tmp_path, store, columns=columns, rows=rows) as terminal:
        terminal.shows("nightly")
        terminal.shows("fetch / download")
        (line,) = [one for one in terminal.display if "fetch / download" in one]
        assert re.fullmatch(r"nightly [\d.]+m?s · fetch / download [\d.]+m?s · 0 spans", line)
        terminal.type("\n")
        terminal.shows("load / insert")
        terminal.type("\n")
        assert terminal.end() == 0
        assert of_program(terminal) == ["begin", "", "", "end"]


def test_what_is_left_is_told_by_what_is_usual(tmp_path: Path, store: Path) -> None:
    """From earlier runs of the same workflow."""
    put([Run(f"old_{at}", "nightly", duration_s=600) for at in range(5)])
    with in_terminal(WAITS, tmp_path, store, columns=120) as terminal:
        terminal.shows("0 spans · about 9m")
        terminal.type("\n\n")
        assert terminal.end() == 0


MANY = """
import sys, threading
from phasetrace import execution, node, phase, time_phase
over = threading.Event()
def call(at, name):
    with time_phase("exec_1", f"node_{at}", name):
        over.wait()
with execution("exec_1", name="nightly"), node("n"):
    try:
        with phase("llm_completion", **{"gen_ai.usage.input_tokens": 1_000}) as span:
            span.set_attribute("gen_ai.usage.output_tokens", 234)
            raise ValueError
    except ValueError:
        pass
    names = 5 * ["llm_completion"] + 3 * ["tool"]
    threads = [threading.Thread(target=call, args=one) for one in enumerate(names)]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    over.set()
    for thread in threads:
        thread.join()
"""


def test_many_calls_are_summed_by_name(tmp_path: Path, store: Path) -> None:
    """With what failed, and the tokens that were used."""
    with in_terminal(MANY, tmp_path, store, columns=120) as terminal:
        terminal.shows("1,234 tokens")
        (line,) = [one for one in terminal.display if "tokens" in one]
        assert re.fullmatch(
            r"nightly \S+ · n \S+, 5 x llm_completion up to \S+, 3 x tool up to \S+"
            r" · 1 span · 1 error · 1,234 tokens",
            line,
        )
        terminal.type("\n")
        assert terminal.end() == 0


def test_no_color_is_no_colour(tmp_path: Path, store: Path) -> None:
    """The line is there all the same."""
    for no_color in ("1", ""):
        with in_terminal(WAITS, tmp_path, store, NO_COLOR=no_color) as terminal:
            terminal.shows("fetch / download")
            assert bool(SGR.search(terminal.raw)) != bool(no_color)
            terminal.type("\n\n")
            terminal.end()


@pytest.mark.parametrize("option", ["--quiet", "TERM", "piped"])
def test_where_no_line_is_wanted_there_is_none(option: str, tmp_path: Path, store: Path) -> None:
    """Neither by the option, nor where nothing can be drawn, nor where stderr goes elsewhere."""
    write(tmp_path, {"prog.py": f"import time\n{WAITS}"})
    command = traced(*(["--quiet"] if option == "--quiet" else []), "prog.py")
    if option == "piped":
        command = ["sh", "-c", f"{' '.join(command)} 2> errors"]
    term = "dumb" if option == "TERM" else "xterm"
    with Terminal(command, tmp_path, store, TERM=term) as terminal:
        terminal.shows("begin")
        time.sleep(1.6)  # after which it would be there
        terminal.type("\n\n")
        assert terminal.end() == 0
        assert b"\x1b" not in terminal.raw
        assert "fetch / download" not in "\n".join(terminal.everything)


TALKS = """
import os, subprocess, sys, time
from phasetrace import execution, node, phase

def wait():
    open("waiting", "w").close()
    while os.path.exists("waiting"):
        time.sleep(0.01)

with execution("exec_1", name="nightly"), node("fetch"), phase("download"):
    print("a half,", end="", flush=True)
    wait()
    print(" and a whole")
    wait()
    subprocess.run("for i in 1 2 3 4 5 6 7 8; do echo child $i; done", shell=True)
    wait()
    sys.stderr.write("error\\n" * 3)
    wait()
    print("two\\nlines")
    wait()
    name = input("name? ")
    print("hello", name)
    wait()
    os.system("printf 'system 1\\nsystem 2\\nsystem 3\\n'")
    wait()
    sys.stdout.buffer.write(b"bytes\\nand bytes\\n")
    sys.stdout.flush()
    wait()
print("end")
"""
TALKED = [
    "a half, and a whole",
    *(f"child {at}" for at in range(1, 9)),
    *["error"] * 3,
    "two",
    "lines",
    "name? Ann",
    "hello Ann",
    *(f"system {at}" for at in range(1, 4)),
    "bytes",
    "and bytes",
    "end",
]


@pytest.mark.parametrize("rows", [6, 40])
def test_what_a_program_prints_is_not_disturbed(rows: int, tmp_path: Path, store: Path) -> None:
    """Half lines, children, both streams, prompts: it is all there as without the line."""
    with in_terminal(TALKS, tmp_path, store, rows=rows) as terminal:
        for turn in range(8):
            if turn == 5:
                terminal.shows("name?")
                terminal.type("Ann\n")
            waiting = tmp_path / "waiting"
            terminal.until(waiting.exists)
            terminal.shows("nightly")
            waiting.unlink()
        assert terminal.end() == 0
        assert of_program(terminal) == TALKED


def test_a_program_that_draws_is_left_alone(tmp_path: Path, store: Path) -> None:
    """As a bar of progress does; and one that has children, or has forked, for as long."""
    for text in (
        "print('50 %', end='\\r', flush=True)",
        "if os.fork() == 0: os._exit(0)\nos.wait()",
    ):
        source = f"import os\n{text}\n{WAITS}"
        with in_terminal(source, tmp_path, store) as terminal:
            terminal.shows("begin")
            time.sleep(1.6)  # after which the line would be there
            terminal.type("\n\n")
            assert terminal.end() == 0
            assert "nightly ·" not in terminal.raw.decode()
            assert b"\x1b" not in terminal.raw


STREAMS = """
import io, sys
for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
    print(type(stream), repr(stream), stream.encoding, stream.errors, stream.newlines, stream.mode)
    print(stream.name, stream.line_buffering, stream.write_through, stream.isatty())
    print(stream.fileno(), isinstance(stream.buffer, io.FileIO), stream.buffer.mode, stream.closed)
    print(isinstance(stream.buffer, io.BufferedWriter))
print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)
"""


@pytest.mark.parametrize("python", [(), ("-u",), ("-X", "utf8")])
def test_the_streams_are_what_they_are_without_it(
    python: tuple[str, ...], tmp_path: Path, store: Path
) -> None:
    """Whatever a program may ask of them."""
    write(tmp_path, {"prog.py": STREAMS})
    found = []
    for command in ([sys.executable, *python, "prog.py"], traced("prog.py", python=python)):
        with Terminal(command, tmp_path, store, columns=200) as terminal:
            terminal.end()
            lines = [one for one in terminal.everything if not one.startswith("phasetrace: ")]
            found.append(lines)
    assert found[0] == found[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_line_is_gone_when_the_program_is_ended(
    number: signal.Signals, tmp_path: Path, store: Path
) -> None:
    """By a signal."""
    with in_terminal(WAITS, tmp_path, store) as terminal:
        terminal.shows("fetch / download")
        os.kill(terminal.process.pid, number)
        assert terminal.end() == -number
        assert not [one for one in terminal.everything if "fetch / download" in one]


EDGES = """
import os, time
from phasetrace import execution, node, phase

def wait():
    open("waiting", "w").close()
    while os.path.exists("waiting"):
        time.sleep(0.01)

with execution("exec_1", name="nightly"), node("fetch"), phase("download"):
    full = "A" * 79 + "Z"
    for text in (full, "A" * 80 + full, f"\\x1b[31m{full}\\x1b[0m", "\u6f22" * 40):
        print(text, end="", flush=True)
        wait()
        print("BCD")
        wait()
"""


def test_the_last_character_of_a_full_row_is_kept(tmp_path: Path, store: Path) -> None:
    """The line waits until the cursor is elsewhere."""
    waiting = tmp_path / "waiting"
    with in_terminal(EDGES, tmp_path, store, rows=40) as terminal:
        for _ in range(4):
            terminal.until(waiting.exists)
            time.sleep(1.6)  # after which the line would be there
            waiting.unlink()
            terminal.shows("BCD")
            terminal.until(waiting.exists)
            terminal.shows("nightly")  # and comes back
            waiting.unlink()
        assert terminal.end() == 0
        full = f"{'A' * 79}Z"
        rows = [full, "BCD", "A" * 80, full, "BCD", full, "BCD", "\u6f22" * 40, "BCD"]
        assert of_program(terminal) == rows


SHELL = ["bash", "--norc", "--noprofile", "-i"]
PROMPT = "prompt> "
needs_shell = pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with jobs")


def in_shell(command: Sequence[str], folder: Path, store: Path) -> Terminal:
    """Start a shell in a terminal, and a command in that."""
    terminal = Terminal(SHELL, folder, store, 200, PS1=PROMPT, HISTFILE="")
    terminal.shows(PROMPT.strip())
    terminal.type(f"clear; {shlex.join(command)}\n")
    return terminal


@needs_shell
def test_the_line_is_gone_while_the_program_is_stopped(tmp_path: Path, store: Path) -> None:
    """By Ctrl-Z; it comes back with the program."""
    long = f"{'download ' * 16}to its end"  # longer than what the shell prints there
    write(tmp_path, {"prog.py": WAITS.replace("download", long)})
    with in_shell(traced("prog.py"), tmp_path, store) as terminal:
        for _ in range(2):
            terminal.shows("to its end")
            terminal.type("\x1a")
            terminal.shows("Stopped")
            terminal.shows(PROMPT.strip())
            assert not [one for one in terminal.everything if "to its end" in one]
            terminal.type("clear; fg\n")
        terminal.shows("to its end")
        terminal.type("\n\n")
        terminal.shows("phasetrace: exec_1: 5 spans")
        terminal.type("exit\n")
        assert terminal.end() == 0


HANDLES = """
import os, signal, sys
from phasetrace import execution, node, phase
signal.signal(signal.SIGTSTP, lambda *_: print("mine"))
with execution("exec_1", name="nightly"), node("fetch"), phase("download"):
    os.kill(os.getpid(), signal.SIGTSTP)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGTSTP)
"""
FORKS = """
import os, signal
import multiprocessing
def work():
    print(signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL, os._exit)
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
work()
"""


def test_what_a_program_does_at_ctrl_z_is_its_own(tmp_path: Path, store: Path) -> None:
    """Its handlers are called as ever, and children it forks have none of ours."""
    with in_terminal(HANDLES, tmp_path, store) as terminal:
        terminal.shows("fetch / download")
        terminal.type("\n")
        assert terminal.end() == 0
        assert of_program(terminal) == ["mine", "", "mine"]
    with in_terminal(FORKS, tmp_path, store) as terminal:
        assert terminal.end() == 0
        assert terminal.everything[:2] == ["True <built-in function _exit>"] * 2


EXITS = """
import os, sys
from phasetrace import execution, node, phase
with execution("exec_1", name="nightly"), node("fetch"), phase("download"):
    sys.stdin.readline()
    os._exit(3)
"""


def test_the_line_is_gone_after_an_exit_at_once(tmp_path: Path, store: Path) -> None:
    """By ``os._exit``, of which nobody else is told."""
    with in_terminal(EXITS, tmp_path, store) as terminal:
        terminal.shows("fetch / download")
        terminal.type("\n")
        assert terminal.end() == 3
        assert terminal.everything == []


CHILDREN = """
import multiprocessing, os, subprocess, sys, time
from phasetrace import execution, node, phase

def wait():
    open("waiting", "w").close()
    while os.path.exists("waiting"):
        time.sleep(0.01)

def work():
    sys.stdout.write("one\\ntwo\\nthree\\n")
    sys.stdout.flush()
    wait()

if __name__ == "__main__":
    with execution("exec_1", name="nightly"), node("fetch"), phase("download"):
        wait()
        pipe = subprocess.PIPE
        child = subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)
        wait()
        child.communicate()
        wait()
        process = multiprocessing.get_context("spawn").Process(target=work)
        process.start()
        process.join()
"""


def test_children_that_may_print_are_made_way_for(tmp_path: Path, store: Path) -> None:
    """Those whose output goes elsewhere are not in the way of the line."""
    waiting = tmp_path / "waiting"
    with in_terminal(CHILDREN, tmp_path, store) as terminal:
        for _ in ("alone", "with a child that is piped", "alone again"):
            terminal.until(waiting.exists)
            seen = len(terminal.raw)
            terminal.writes(b"nightly", after=seen)
            waiting.unlink()
        terminal.shows("three")
        terminal.until(waiting.exists)
        time.sleep(1)  # after which the line would be there
        waiting.unlink()
        assert terminal.end() == 0
        assert terminal.everything[:3] == ["one", "two", "three"]
        assert b"nightly" not in terminal.raw[terminal.raw.index(b"three") :]


def test_a_terminal_without_columns_has_the_usual_ones(tmp_path: Path, store: Path) -> None:
    """As in a container: the line is there, and no view is wider."""
    with in_terminal(WAITS, tmp_path, store, is_sizeless=True) as terminal:
        terminal.shows("nightly")
        terminal.shows("fetch / download")
        terminal.type("\n\n")
        assert terminal.end() == 0
    with execution("long"), node("n" * 300), phase("p" * 300):
        pass
    phasetrace.shutdown()
    for view in (["tree"], ["metrics", "--breakdown"], ["top", "--once"]):
        command = [sys.executable, str(COMMAND), *view]
        with Terminal(command, tmp_path, store, columns=81, is_sizeless=True) as terminal:
            assert terminal.end() == 0
            assert all(len(line) <= 80 for line in terminal.everything)
            assert "n" * 10 in "".join(terminal.everything) or view[0] == "top"


# What is running, from another terminal


@pytest.mark.parametrize("columns", [80, 200])
def test_top_shows_what_runs_until_it_has_ended(columns: int, tmp_path: Path, store: Path) -> None:
    """The phase that is open, its age, the end, and then nothing; q leaves."""
    write(tmp_path, {"prog.py": WAITS})
    with Terminal(TOP, tmp_path, store, columns) as terminal:
        terminal.shows("nothing has been recorded yet")
        before = terminal.modes()
        program = start([sys.executable, "prog.py"], tmp_path, store)
        assert program.stdin is None
        program.kill()
        program.communicate()
        with Terminal([sys.executable, "prog.py"], tmp_path, store) as other:
            terminal.shows("1 running")
            terminal.shows("● nightly  running for ")
            terminal.shows("    fetch / download  ")
            assert any("exec_1" in line for line in terminal.display)
            other.type("\n\n")
            assert other.end() == 0
        terminal.shows("✓ nightly  ok after ")
        assert b"\x1b[?1049h" in terminal.raw
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.raw.rstrip().endswith(b"\x1b[?1049l")
        assert b"\x1b[?25h" in terminal.raw  # the cursor is there again
        assert terminal.modes()[3] != before[3]  # keys came one by one, as long as it was there
        assert all(len(line) <= columns for line in terminal.display)


@pytest.mark.parametrize("way", ["q", "\x03", "SIGTERM", "\x1c"])
def test_top_leaves_the_terminal_as_it_was(way: str, tmp_path: Path, store: Path) -> None:
    """Whichever way it is left."""
    put([Run("exec_1", "nightly", "running")])
    with Terminal(TOP, tmp_path, store) as terminal:
        before = terminal.modes()
        terminal.shows("● nightly  running for ")
        assert terminal.modes() != before
        if way == "SIGTERM":
            terminal.process.terminate()
        else:
            terminal.type(way)
        assert terminal.end() == {"SIGTERM": 143, "\x1c": 131}.get(way, 0)
        assert terminal.modes() == before
        assert terminal.raw.count(b"\x1b[?1049l") == terminal.raw.count(b"\x1b[?1049h") == 1


@needs_shell
@pytest.mark.parametrize("way", ["\x1a", "SIGSTOP"])
def test_top_can_be_stopped_and_goes_on(way: str, tmp_path: Path, store: Path) -> None:
    """The shell has its terminal as it was; then it is drawn again, and keys do what they did."""
    put([Run("exec_1", "nightly", "running")])
    with in_shell(TOP, tmp_path, store) as terminal:
        terminal.shows("● nightly  running for ")
        for turn in range(2):
            if way == "\x1a":
                terminal.type(way)
            else:
                (top,) = children_of(terminal.process.pid)
                os.kill(top, signal.SIGSTOP)
            terminal.shows("Stopped")
            if way == "\x1a":
                assert terminal.raw.count(b"\x1b[?1049l") == turn + 1
                assert terminal.raw.rindex(b"\x1b[?25h") > terminal.raw.rindex(b"\x1b[?25l")
            terminal.type("clear; echo $((6 * 7))\n")
            terminal.shows("42")
            seen = len(terminal.raw)
            terminal.type("clear; fg\n")
            terminal.writes(b"\x1b[?1049h", after=seen)
            terminal.shows("● nightly  running for ")
        terminal.type("q")
        terminal.shows(PROMPT.strip())
        terminal.type("clear; echo $((6 * 8)) $(stty -a | grep -o ' icanon')\n")
        terminal.shows("48 icanon")
        terminal.type("exit\n")
        terminal.end()


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_top_without_colour(tmp_path: Path, store: Path) -> None:
    """NO_COLOR has it drawn without; so it is said in words what is wrong."""
    put([Run("exec_1", "nightly", "running"), Run("exec_2", "weekly", "abandoned", ago_s=5)])
    for no_color in ("1", ""):
        with Terminal(TOP, tmp_path, store, NO_COLOR=no_color) as terminal:
            terminal.shows("● nightly")
            terminal.shows("✗ weekly  abandoned")
            assert bool(re.search(rb"\x1b\[[\d;]*3\dm", terminal.raw)) != bool(no_color)
            terminal.type("q")
            terminal.end()


@pytest.mark.parametrize("arguments", [[], ["--once"]])
def test_top_in_a_pipe_is_one_picture(arguments: list[str], tmp_path: Path, store: Path) -> None:
    """In plain lines."""
    put([Run("exec_1", "nightly", "running")])
    ended = run([*TOP, *arguments], tmp_path, store)
    assert (ended.code, ended.err, ended.said) == (0, "", [])
    assert ended.out.splitlines()[0] == "1 running"
    assert "\x1b" not in ended.out
    with Terminal([*TOP, "--once"], tmp_path, store, TERM="xterm") as terminal:
        assert terminal.end() == 0
        assert "● nightly  running for " in "\n".join(terminal.everything)
    with Terminal(TOP, tmp_path, store, TERM="dumb") as terminal:
        assert terminal.end() == 0
        assert b"\x1b" not in terminal.raw


DIES = """
import sys, time
import phasetrace
from phasetrace import execution, node, phase
with execution("exec_1", name="nightly"), node("load"):
    for at in range(5):
        with phase("read"):
            pass
    with phase("insert"):
        time.sleep(1.2)
        phasetrace.force_flush()
        print("ready", flush=True)
        sys.stdin.readline()
        time.sleep(60)
"""


def test_what_a_killed_program_did_is_told(tmp_path: Path, store: Path) -> None:
    """``top`` and ``tree`` have the phases that ended, and the one in which it died."""
    write(tmp_path, {"prog.py": DIES})
    program = start([sys.executable, "prog.py"], tmp_path, store)
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    program.kill()
    program.communicate()
    top = run([*TOP, "--once"], tmp_path, store).out
    assert "✗ nightly  abandoned, last heard of " in top
    assert "5 spans" in top
    assert re.search(r"^    died in load / insert  begun .* after the start$", top, re.M)
    tree = run([*TREE, "nightly"], tmp_path, store).out
    assert "Status: abandoned" in tree
    assert re.search(r"read .5 .*\n.* insert .* not ended$", tree, re.M)
    with Terminal([*TREE, "nightly"], tmp_path, store) as terminal:
        assert terminal.end() == 0
        assert [one for one in terminal.everything if one.endswith("not ended")]


def fill(path: Path, number: int) -> None:
    """Record an execution, and add spans of phases to it: nested, and of some hundred names."""
    with execution("large"), node("n"):
        pass
    phasetrace.shutdown()
    with StoreReader(path) as reader:
        found = reader.latest()
        root, first = sorted(reader.spans(found), key=lambda one: one.type)[:2]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    for first_at in range(0, number, MAX_SPANS):
        rows: list[Row] = []
        for at in range(first_at, min(first_at + MAX_SPANS, number)):
            parent_id = first.span_id if at % 5 == 0 else 1_000_000 + at - 1
            label = ("phase", f"p{at % 700}", "n", None, None, "ok")
            rows.append((1_000_000 + at, parent_id, root.start_ns, root.end_ns, label, b""))
        connection.execute(
            "INSERT INTO blocks (stream, spans, labels, columns, payload) VALUES (1, ?, ?, ?, ?)",
            pack(rows),
        )
    connection.execute("UPDATE executions SET spans = spans + ?", (number,))
    connection.execute("COMMIT")
    connection.close()


def test_a_large_tree_takes_some_seconds(tmp_path: Path, store: Path) -> None:
    """Of 200,000 spans."""
    fill(store, 200_000)
    started = time.monotonic()
    ended = run(TREE, tmp_path, store)
    taken_s = time.monotonic() - started
    print(f"tree: {taken_s:.1f} s, {ended.out.count(chr(10)):,} lines")  # noqa: T201
    assert ended.code == 0
    folded = re.findall(r"\N{MULTIPLICATION SIGN}([\d,]+)", ended.out)
    assert sum(int(number.replace(",", "")) for number in folded) == 200_000
    assert taken_s < 30
