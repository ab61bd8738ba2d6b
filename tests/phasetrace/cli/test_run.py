"""``phasetrace run``: its options, and what it says at the end."""

from __future__ import annotations

import http.server
import os
import pty
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasetrace.identity import trace_id_of
from phasetrace.store.reader import StoreReader
from tests.phasetrace.cli.programs import (
    COMMAND,
    Ended,
    environment,
    latest,
    phases,
    run,
    stored,
    traced,
    write,
)

ONE_PHASE = "from phasetrace import phase\nwith phase('p'):\n    pass\n"
TWO_EXECUTIONS = """
from phasetrace import execution, timing_collector
with execution("first"):
    pass
timing_collector.record("second", "n", "p", 60_000.0)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return where the program's store is."""
    return tmp_path / "traces.db"


def run_text(text: str, folder: Path, store: Path | str, *options: str, **variables: str) -> Ended:
    """Run a program of this text under tracing."""
    write(folder, {"prog.py": text})
    return run(traced(*options, "prog.py"), folder, store, **variables)


def test_prints_the_command_to_look_again(tmp_path: Path, store: Path) -> None:
    """The command works as it is printed."""
    ended = run_text(ONE_PHASE, tmp_path, store, "--exec-id", "it's mine")
    command = ended.said[-1].removeprefix("look again: ")
    again = run(shlex.split(command), tmp_path, store)
    assert again.code == 0
    assert "it's mine" in again.out


def test_the_command_names_a_store_of_the_programs_own(tmp_path: Path, store: Path) -> None:
    """Where the program configured another store, the command would not find it by itself."""
    other = tmp_path / "other.db"
    text = f"import phasetrace\nphasetrace.configure(store={str(other)!r})\n{ONE_PHASE}"
    ended = run_text(text, tmp_path, store)
    assert ended.said[-1].startswith(f"look again: PHASETRACE_STORE={other} ")
    assert phases(other) == ["p"]
    assert not store.exists()


def test_says_so_when_there_was_nothing_to_record(tmp_path: Path, store: Path) -> None:
    """A program without phases leaves no execution behind."""
    (said,) = run_text("print(1)", tmp_path, store).said
    assert said.startswith("no phases were recorded in this process; time some: with phasetrace.")
    assert not store.exists() or stored(store) == {}


def test_what_a_program_has_taken_out_was_recorded_all_the_same(tmp_path: Path) -> None:
    """With the store off, nobody has the numbers after `pop`."""
    text = (
        "from phasetrace import time_phase, timing_collector\n"
        "with time_phase('e', 'n', 'p'):\n    pass\ntiming_collector.pop('e')\n"
    )
    assert run_text(text, tmp_path, "off").said == [
        "e: recorded, but in no store and no longer held"
    ]


def test_says_that_opentelemetry_is_disabled(tmp_path: Path, store: Path) -> None:
    """That is why there is nothing."""
    ended = run_text(ONE_PHASE, tmp_path, store, OTEL_SDK_DISABLED="true")
    assert ended.said == ["nothing was recorded: OTEL_SDK_DISABLED is set"]


def test_what_only_a_child_process_recorded_is_told(tmp_path: Path, store: Path) -> None:
    """The store knows of it; what others record at the same time is not of this run."""
    run_text(ONE_PHASE, tmp_path, store)
    write(tmp_path, {"child.py": TWO_EXECUTIONS})
    text = "import subprocess, sys\nsubprocess.run([sys.executable, 'child.py'], check=True)\n"
    ended = run_text(text, tmp_path, store)
    assert ended.said[0].startswith("second: 2 spans in ")
    assert ended.said[-1].startswith("and 1 more execution: ")
    ended = run_text(ONE_PHASE + text, tmp_path, store, "--exec-id", "own")
    assert ended.said[0].startswith("own: 2 spans in ")
    assert ended.said[-1].startswith("and 2 more executions: ")


def test_says_that_the_numbers_are_of_two_runs(tmp_path: Path, store: Path) -> None:
    """Where the same id was there before."""
    said = [run_text(ONE_PHASE, tmp_path, store, "--exec-id", "e").said for _ in range(2)]
    assert len(said[0]) == 2
    assert re.fullmatch(r"e was there before \(.*\): its numbers are of both runs", said[1][1])


@pytest.mark.parametrize("on_path", [True, False])
def test_the_command_is_the_one_that_was_called(on_path: bool, tmp_path: Path, store: Path) -> None:
    """By its name if that finds it, else by the way to it."""
    text = f"#!{sys.executable}\n{COMMAND.read_text()}"
    write(tmp_path, {"bin/phasetrace": text, "prog.py": ONE_PHASE})
    (tmp_path / "bin" / "phasetrace").chmod(0o700)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin" if on_path else "/usr/bin:/bin"
    called = "phasetrace" if on_path else "bin/phasetrace"
    ended = run(["env", called, "run", "prog.py"], tmp_path, store, PATH=path)
    assert ended.said[-1].startswith(f"look again: {called} metrics ")


def test_stdout_is_the_programs(tmp_path: Path, store: Path) -> None:
    """Without --breakdown nothing of ours is on it."""
    assert run_text(f"{ONE_PHASE}print('mine')", tmp_path, store).out == "mine\n"


def test_the_id_given_is_that_of_an_execution_without_one(tmp_path: Path, store: Path) -> None:
    """``execution()`` and the phases outside of it are one execution."""
    text = f"from phasetrace import execution\nwith execution():\n    pass\n{ONE_PHASE}"
    run_text(text, tmp_path, store, "--exec-id", "mine")
    assert list(stored(store)) == ["mine"]


def test_without_an_id_every_run_is_an_execution_of_its_own(tmp_path: Path, store: Path) -> None:
    """Its id begins with the program's name."""
    for _ in range(2):
        run_text(ONE_PHASE, tmp_path, store)
    first, second = stored(store)
    assert first != second
    assert first.startswith("prog_")


def test_a_program_with_ids_gets_no_execution_besides(tmp_path: Path, store: Path) -> None:
    """Only its own are there, with or without an id for the others."""
    ended = run_text(TWO_EXECUTIONS, tmp_path, store, "--exec-id", "unused")
    assert ended.said[-1] == "--exec-id unused was not used: all executions have ids of their own"
    assert set(stored(store)) == {"first", "second"}


def test_the_execution_lasts_as_long_as_the_program(tmp_path: Path, store: Path) -> None:
    """It begins before the program does and ends after it: time without a phase is in it."""
    text = "import time\nbefore = time.time_ns()\n" + ONE_PHASE + "print(before, time.time_ns())"
    before_ns, after_ns = map(int, run_text(text, tmp_path, store).out.split())
    execution = latest(store)
    assert execution.started_ns <= before_ns
    assert execution.started_ns + execution.duration_ns >= after_ns


def test_a_failed_program_is_a_failed_execution(tmp_path: Path, store: Path) -> None:
    """The exception is on the root span."""
    run_text(f"{ONE_PHASE}1/0\n", tmp_path, store)
    assert latest(store).status == "error"


def test_the_timing_log_has_a_line_a_phase(tmp_path: Path, store: Path) -> None:
    """``grep phasetrace.timing .logs/phasetrace.log`` shows them; --debug has no part in it."""
    ended = run_text(ONE_PHASE, tmp_path, store, "--timing")
    lines = (tmp_path / ".logs" / "phasetrace.log").read_text().splitlines()
    assert [bool(re.search(r"phasetrace\.timing .* phase=p dur_ms=", line)) for line in lines] == [
        True
    ]
    assert ended.err == ""


def test_debugging_writes_no_timing_log(tmp_path: Path, store: Path) -> None:
    """--debug alone leaves the folder as it is."""
    run_text(ONE_PHASE, tmp_path, store, "--debug")
    assert not (tmp_path / ".logs").exists()


def test_the_breakdown_is_that_of_the_longest_execution(tmp_path: Path, store: Path) -> None:
    """Not of the one that started last; the others are counted."""
    text = f'{TWO_EXECUTIONS}with execution("last"):\n    pass\n'
    ended = run_text(text, tmp_path, store, "--breakdown")
    assert "Execution ID: second" in ended.out
    assert ended.said[0].startswith("second: 2 spans in ")


@pytest.mark.parametrize("where", ["traces.db", "off"])
def test_the_breakdown_is_that_of_the_runs_own_execution(where: str, tmp_path: Path) -> None:
    """If it has recorded anything, however long another one took."""
    ended = run_text(ONE_PHASE + TWO_EXECUTIONS, tmp_path, where, "--breakdown", "--exec-id", "own")
    assert "Execution ID: own" in ended.out
    assert ended.said[0].startswith("own: 2 spans in ")


IN_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from phasetrace import execution, node, propagate, timed
both = Barrier(2)
@timed
def work(number):
    both.wait()
with execution("main"), node("n"), ThreadPoolExecutor(2) as pool:
    list({pool}.map(work, range(4)))
"""


@pytest.mark.parametrize("where", ["traces.db", "off"])
def test_phases_without_context_do_not_hide_the_programs_execution(
    where: str, tmp_path: Path
) -> None:
    """It was open all the time that they took."""
    text = IN_THREADS.replace("{pool}", "pool")
    ended = run_text(text, tmp_path, str(tmp_path / where) if where != "off" else where)
    assert ended.said[0].startswith("main: 2 spans in ")
    strays = [line for line in ended.said if "propagate" in line]
    line = "4 calls of 'work' ran outside of main while it was open, and belong to the run's own"
    assert [one.partition(" execution")[0] for one in strays] == [line] * (where != "off")


def test_the_context_that_is_carried_brings_phases_home(tmp_path: Path, store: Path) -> None:
    """What the line advises helps."""
    ended = run_text(IN_THREADS.replace("{pool}", "propagate.executor(pool)"), tmp_path, store)
    assert ended.said[0].startswith("main: 6 spans in ")
    assert len(ended.said) == 2


def test_phases_in_workers_without_context(tmp_path: Path, store: Path) -> None:
    """Processes of their own, which the program has started."""
    text = """
from multiprocessing import get_context
from phasetrace import execution, node, phase
def work(number):
    with phase("work"):
        pass
if __name__ == "__main__":
    with execution("main"), node("n"), get_context("spawn").Pool(1) as pool:
        pool.map(work, range(4))
        pool.close()
        pool.join()
"""
    said = run_text(text, tmp_path, store).said
    assert said[0].startswith("main: 2 spans in ")
    assert said[-1].startswith("4 calls of 'work' ran outside of main while it was open, and ")


def test_a_stray_phase_does_not_hide_the_programs_executions(tmp_path: Path, store: Path) -> None:
    """The breakdown is of the one with the most work in it."""
    text = """
import time
from phasetrace import execution, node, phase
with phase("stray"):
    pass
for number in range(3):
    with execution(f"e{number}"), node("n"):
        time.sleep(0.02 * (number == 1))
"""
    ended = run_text(text, tmp_path, store, "--breakdown")
    assert "Execution ID: e1" in ended.out
    assert [line.partition(":")[0] for line in ended.said] == [
        "e1",
        "look again",
        "and 3 more executions",
    ]


SPANS = """
from opentelemetry import trace
with trace.get_tracer("of the program").start_as_current_span("x"):
    with trace.get_tracer("of the program").start_as_current_span("y"):
        pass
"""
OWN_PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""


@pytest.mark.parametrize(
    ("provider", "start"),
    [
        ("", "2 spans of OpenTelemetry outside of any execution; they count from inside one: "),
        (
            OWN_PROVIDER,
            "spans of OpenTelemetry count from inside an execution: when the provider is set, ",
        ),
    ],
)
def test_spans_of_opentelemetry_alone_count_nowhere(
    provider: str, start: str, tmp_path: Path, store: Path
) -> None:
    """Which is said, with what to do about it; and that helps."""
    (said,) = run_text(provider + SPANS, tmp_path, store).said
    assert said.startswith(start)
    around = said.removeprefix(start).split("'")[1]
    inside = "".join(f"    {line}\n" for line in SPANS.splitlines())
    text = f"{provider}import phasetrace\n{around}\n{inside}"
    said, _ = run_text(text, tmp_path, store).said
    assert re.match(r"main_\d{8}_\d{6}_\w{6}: 3 spans in ", said)


def test_a_provider_that_is_set_within_the_execution(tmp_path: Path, store: Path) -> None:
    """Too late for its spans to be counted, which is said."""
    inside = "".join(f"    {line}\n" for line in (OWN_PROVIDER + SPANS).splitlines())
    text = f"from phasetrace import execution\nwith execution('main'):\n{inside}"
    said = run_text(text, tmp_path, store).said
    assert said[0].startswith("main: 1 span in ")
    assert said[-1].endswith("set it before the execution begins")


def test_ids_that_are_made_need_no_quotes(tmp_path: Path, store: Path) -> None:
    """White space in a name is none in the id; the name stays as it is."""
    text = f"{ONE_PHASE}from phasetrace import execution\nwith execution(name='two  words'): pass\n"
    write(tmp_path, {"agent loop.py": text})
    run(traced("agent loop.py"), tmp_path, store)
    with StoreReader(store) as reader:
        found = {one.name: one.exec_id for one in reader.executions()}
    assert found["agent loop"].startswith("agent_loop_2")
    assert found["two  words"].startswith("two_words_2")


def test_says_how_to_see_the_other_executions(tmp_path: Path, store: Path) -> None:
    """The command works as it is printed."""
    said = run_text(TWO_EXECUTIONS, tmp_path, store).said
    before, command = said[-1].split(": ")
    assert before == "and 1 more execution"
    assert "first" in run(shlex.split(command), tmp_path, store).out


def test_says_how_many_executions_to_list(tmp_path: Path, store: Path) -> None:
    """Where there are more than are listed unless another number is asked for."""
    text = """
from phasetrace import execution
for number in range(25):
    with execution(f"exec_{number}"):
        pass
"""
    said = run_text(text, tmp_path, store).said
    assert said[-1].startswith("and 24 more executions: ")
    assert said[-1].endswith(" list -n 25")


@pytest.mark.parametrize("where", ["off", "/dev/null/traces.db", "."])
def test_the_breakdown_needs_no_store(where: str, tmp_path: Path) -> None:
    """With the store off or unwritable it comes from memory, and no command is promised."""
    text = f'{TWO_EXECUTIONS}with execution("last"):\n    pass\n'
    ended = run_text(text, tmp_path, where, "--breakdown")
    assert ended.code == 0
    assert "Execution ID: second" in ended.out
    assert not [line for line in ended.said if "look again" in line]
    assert len(ended.said) == (2 if where == "off" else 3)
    assert ended.said[-1] == "and 2 more executions"
    assert ended.err == ""


def test_the_breakdown_comes_after_the_programs_output(tmp_path: Path, store: Path) -> None:
    """Also when the program has put something else in the place of stdout."""
    text = f"{ONE_PHASE}import io, sys\nprint('mine')\nsys.stdout = io.StringIO()\n"
    out = run_text(text, tmp_path, store, "--breakdown").out
    assert out.startswith("mine\n")
    assert "└─ p" in out


def test_the_breakdown_can_be_printed_in_any_encoding(tmp_path: Path, store: Path) -> None:
    """What the encoding does not have is replaced."""
    ended = run_text(ONE_PHASE, tmp_path, store, "--breakdown", PYTHONIOENCODING="ascii")
    assert "?? p" in ended.out.replace("└─", "??")
    assert ended.code == 0


def test_a_program_without_streams_is_not_disturbed(tmp_path: Path, store: Path) -> None:
    """Nothing can be said then; the exit code and the store are as always."""
    write(tmp_path, {"prog.py": f"{ONE_PHASE}raise SystemExit(3)"})
    shell = '"$@" >&- 2>&-'
    ended = run(["sh", "-c", shell, "sh", *traced("--breakdown", "prog.py")], tmp_path, store)
    assert ended.code == 3
    assert phases(store) == ["p"]


def test_a_program_may_shut_phasetrace_down(tmp_path: Path, store: Path) -> None:
    """What came before is stored with its root, and is what the last lines are about."""
    text = f"import phasetrace\n{ONE_PHASE}phasetrace.shutdown()\nwith phase('late'):\n    pass\n"
    ended = run_text(text, tmp_path, store, "--breakdown")
    assert phases(store) == ["p"]
    assert latest(store).status == "ok"
    assert "└─ p" in ended.out
    assert ended.said[-1].startswith("look again: ")


def test_a_program_may_configure_another_store(tmp_path: Path, store: Path) -> None:
    """What came before is in the first one, with a root of its own in each."""
    other = tmp_path / "other.db"
    text = f"""
import phasetrace
from phasetrace import phase
with phase("before"):
    pass
phasetrace.configure(store={str(other)!r})
with phase("after"):
    pass
"""
    run_text(text, tmp_path, store)
    assert (phases(store), phases(other)) == (["before"], ["after"])
    assert [latest(one).status for one in (store, other)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "run: which program? phasetrace run script.py"),
        (("--exec-id", "", "prog.py"), "argument --exec-id: an id must not be empty"),
        (("--timeout", "soon", "prog.py"), "argument --timeout: 'soon' is not a number of seconds"),
        (("--timeout", "-1", "prog.py"), "argument --timeout: '-1' is not a number of seconds"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, store: Path
) -> None:
    """It names what is wrong, and the program does not run."""
    ended = run(traced(*arguments), tmp_path, store)
    assert ended.code == 2
    assert [line[: len(message)] for line in ended.said] == [message]
    assert ended.err == ""


def test_a_wrong_setting_is_one_line(tmp_path: Path, store: Path) -> None:
    """The program does not run with settings that were not meant."""
    ended = run_text("print(1)", tmp_path, store, PHASETRACE_RETENTION="much")
    assert (ended.code, ended.out, ended.err) == (2, "", "")
    assert len(ended.said) == 1


def test_an_interrupt_at_the_keyboard_reaches_the_program(tmp_path: Path, store: Path) -> None:
    """On a terminal, Ctrl-C ends it by SIGINT, with its traceback and our last lines."""
    write(tmp_path, {"prog.py": f"{ONE_PHASE}import time\nprint('ready')\ntime.sleep(60)\n"})
    parent, child = pty.openpty()
    process = subprocess.Popen(
        traced("prog.py"),
        cwd=tmp_path,
        env=environment(store),
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
        preexec_fn=_take_the_terminal,
    )
    os.close(child)
    text = _read_until(parent, b"ready")
    os.write(parent, b"\x03")
    text += _read_until(parent, None)
    os.close(parent)
    assert process.wait(30) == -2
    assert b"KeyboardInterrupt" in text
    assert b"look again" in text
    assert phases(store) == ["p"]


def _take_the_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(terminal: int, what: bytes | None) -> bytes:
    text = b""
    while what is None or what not in text:
        try:
            more = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        text += more
    return text


class _Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take whatever is sent."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Return the address of an OTLP receiver that accepts everything."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_prints_the_address_of_the_trace_it_exported(
    endpoint: str, tmp_path: Path, store: Path
) -> None:
    """It holds the trace id that the execution has in the store."""
    ended = run_text(
        ONE_PHASE,
        tmp_path,
        store,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        PHASETRACE_TRACE_URL="http://jaeger.test/trace/{trace_id}",
    )
    assert ended.said[-1] == f"trace: http://jaeger.test/trace/{latest(store).trace_id}"


def test_prints_no_address_when_nothing_was_delivered(tmp_path: Path, store: Path) -> None:
    """Spans that nobody took have no page; they are counted."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    ended = run_text(
        ONE_PHASE,
        tmp_path,
        store,
        OTEL_EXPORTER_OTLP_ENDPOINT=nobody,
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        PHASETRACE_TRACE_URL="http://jaeger.test/trace/{trace_id}",
    )
    assert ended.code == 0
    assert not [line for line in ended.said if line.startswith("trace: ")]
    waiting = f"2 spans wait for {nobody}/v1/traces: cannot connect to "
    assert [line for line in ended.said if line.startswith(waiting) and "ship" in line]


def test_spans_that_nobody_answered_for_are_not_delivered(tmp_path: Path, store: Path) -> None:
    """The program does not wait for ever for a destination that says nothing."""
    text = f"from phasetrace import tracing\ntracing.EXIT_TIMEOUT_S = 0.5\n{ONE_PHASE}"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = run_text(text, tmp_path, store, OTEL_EXPORTER_OTLP_ENDPOINT=address)
    assert [line for line in ended.said if line.startswith(f"2 spans wait for {address}")]


def test_the_store_is_complete_when_the_program_has_ended(tmp_path: Path, store: Path) -> None:
    """Its totals agree with its spans."""
    text = (
        "from phasetrace import phase\nfor _ in range(1000):\n    with phase('p'):\n        pass\n"
    )
    run_text(text, tmp_path, store)
    with StoreReader(store) as reader:
        assert reader.breakdown(reader.latest()).spans == 1001


def test_propagators_that_are_not_installed_keep_nobody_from_running(
    tmp_path: Path, store: Path
) -> None:
    """OpenTelemetry's own fail to be imported then."""
    write(tmp_path, {"prog.py": ONE_PHASE})
    ended = run(traced("prog.py"), tmp_path, store, OTEL_PROPAGATORS="nobody")
    assert ended.code == 0
    assert phases(store) == ["p"]
    (told,) = (line for line in ended.said if "propagator" in line)
    assert told.startswith("OTEL_PROPAGATORS='nobody': no such propagator is installed; there are")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            "abc",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT='abc': expected a whole number; the default is used",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPONT",
            "http://h",
            "OTEL_EXPORTER_OTLP_ENDPONT is no variable of OpenTelemetry's; was"
            " OTEL_EXPORTER_OTLP_ENDPOINT meant?",
        ),
    ],
)
def test_a_standard_variable_that_is_set_wrongly_is_told_in_one_line(
    name: str, value: str, told: str, tmp_path: Path, store: Path
) -> None:
    """And the program runs: by the first the SDK could not even be imported."""
    ended = run_text(ONE_PHASE, tmp_path, store, **{name: value})
    assert (ended.code, phases(store)) == (0, ["p"])
    assert [line for line in ended.said if name in line] == [told]
    assert ended.err == ""


def test_a_program_that_records_can_be_started(tmp_path: Path, store: Path) -> None:
    """Without the command as well, whatever keeps the SDK from being imported."""
    text = ONE_PHASE.replace("import phase", "import execution, phase").replace(
        "with ", "with execution('e'), "
    )
    write(tmp_path, {"prog.py": text})
    bad = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "abc"}
    ended = run([sys.executable, "prog.py"], tmp_path, store, **bad)
    assert (ended.code, phases(store)) == (0, ["p"])
    shipped = run([sys.executable, str(COMMAND), "ship"], tmp_path, store, **bad)
    assert (shipped.code, shipped.err) == (2, "")


def test_a_run_within_a_run_is_a_part_of_it(tmp_path: Path, store: Path) -> None:
    """With an execution of its own, and so are the programs that it starts."""
    inner = f"{ONE_PHASE}import subprocess, sys\nsubprocess.run([sys.executable, 'child.py'])\n"
    command = traced("--exec-id", "inner", "inner.py")
    outer = f"import subprocess\nsubprocess.run({command!r}, check=True)\n"
    write(tmp_path, {"prog.py": outer, "inner.py": inner, "child.py": ONE_PHASE})
    ended = run(traced("--exec-id", "outer", "prog.py"), tmp_path, store)
    assert ended.code == 0
    spans = stored(store)
    assert sorted(span.name for span in spans["inner"]) == ["inner", "p", "p"]
    with StoreReader(store) as reader:
        assert reader.find("inner").parent_exec_id == "outer"
        assert reader.find("inner").trace_id == f"{trace_id_of('outer'):032x}"


def test_a_trace_of_another_tool_s_keeps_children_in_the_run(tmp_path: Path, store: Path) -> None:
    """A build server, say, that traces its own steps."""
    text = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {ONE_PHASE!r}])\n"
    write(tmp_path, {"prog.py": text})
    parent = f"00-{1:032x}-{1:016x}-01"
    ended = run(traced("--exec-id", "r", "prog.py"), tmp_path, store, TRACEPARENT=parent)
    assert ended.code == 0
    assert sorted(span.name for span in stored(store)["r"]) == ["p", "prog"]
