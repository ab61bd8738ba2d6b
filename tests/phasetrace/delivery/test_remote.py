"""The process that delivers: started once, recovered, and nobody's child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from phasetrace import faults
from phasetrace.delivery import remote
from phasetrace.delivery.fleet import Fleet
from phasetrace.delivery.lock import ServingLock, is_free, lock_path, presence_path
from phasetrace.delivery.remote import Remote, Starter, can_start
from phasetrace.delivery.shipper import Shipper
from phasetrace.delivery.shipping import make_fleet
from phasetrace.exporting import make_outlets
from phasetrace.sending import shipping_environment
from phasetrace.settings import settings_from
from phasetrace.store.ledger import Ledger, Settlement
from tests.phasetrace.delivery.conftest import (
    HERE,
    THERE,
    Routed,
    counts,
    names_in,
    query,
    soon,
    wait_until,
)
from tests.phasetrace.receivers import Receiver, http_receiver, respond
from tests.phasetrace.store.conftest import in_child, run_program, start_program

PROGRAM = """
import os, sys, phasetrace
for line in sys.stdin:
    with phasetrace.execution(line.strip(), name=line.strip()): pass
    print(phasetrace.force_flush(20.0), flush=True)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child", flush=True)
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have no process started; return when one would have been."""
    times: list[float] = []
    monkeypatch.setattr(Starter, "_start", lambda self: times.append(self._wait_s))
    return times


@pytest.fixture
def starter(path: Path) -> Starter:
    """Return what starts the process for two destinations, of a store that is there."""
    path.parent.mkdir()
    path.touch()
    return Starter(path, [HERE, THERE], {})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver that takes everything."""
    with http_receiver() as receiver:
        yield receiver


def environment(receiver: Receiver) -> dict[str, str]:
    """Return what has a program deliver to a receiver by a process of its own."""
    return {
        "PHASETRACE_DELIVERY": "process",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
    }


def names(receiver: Receiver) -> list[str]:
    """Return the names of all spans that have arrived."""
    return [name for body in receiver.bodies for name in names_in(body)]


def processes(path: Path) -> list[int]:
    """Return the processes that deliver from a store."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"phasetrace.delivery" in words and str(path).encode() in words:
                found.append(int(folder.name))
    return found


def test_one_is_started_where_nobody_serves(starter: Starter, started: list[float]) -> None:
    """Once, until it has had its time to start, even for somebody in a hurry."""
    starter.look()
    starter.look()
    starter.look(at_once=True)
    assert len(started) == 1


def test_none_is_started_where_all_destinations_are_served(
    path: Path, starter: Starter, started: list[float]
) -> None:
    """One that is not is enough to start it."""
    locks = [ServingLock(lock_path(path, spec.key)) for spec in (HERE, THERE)]
    for lock in locks:
        assert lock.acquire()
    starter.look()
    assert started == []
    locks[1].release()
    starter.look()
    assert started == []
    starter.look(at_once=True)
    assert len(started) == 1
    locks[0].release()


def test_none_is_started_without_a_store(path: Path, started: list[float]) -> None:
    """There is nothing to be delivered yet, and no folder for a lock."""
    starter = Starter(path, [HERE], {})
    starter.look()
    assert started == []
    assert not path.parent.exists()


def test_one_is_started_as_soon_as_there_is_a_store(path: Path, started: list[float]) -> None:
    """A look in vain does not put the next one off: the program may write nothing more."""
    starter = Starter(path, [HERE], {})
    starter.look()
    path.parent.mkdir()
    path.touch()
    starter.look()
    assert len(started) == 1


def test_it_goes_on_looking_until_one_is_there(
    starter: Starter, path: Path, started: list[float]
) -> None:
    """Somebody delivers just then, and stops; nobody tells it to look again."""
    locks = [ServingLock(lock_path(path, spec.key)) for spec in (HERE, THERE)]
    for lock in locks:
        assert lock.acquire()
    starter.wake()
    assert started == []
    for lock in locks:
        lock.release()
    wait_until(lambda: len(started) == 2)
    presences = [ServingLock(presence_path(path, spec.key, "")) for spec in (HERE, THERE)]
    for presence in presences:
        assert presence.acquire()
    wait_until(lambda: starter._is_there)
    for presence in presences:
        presence.release()
    starter.close()


def test_one_that_goes_the_same_way_is_enough(
    starter: Starter, path: Path, started: list[float]
) -> None:
    """It fails just now, and has no turn; one that goes another way is no help."""
    presences = [ServingLock(presence_path(path, spec.key, "")) for spec in (HERE, THERE)]
    for presence in presences:
        assert presence.acquire()
    starter.look()
    assert started == []
    Starter(path, [HERE._replace(way="new")], {}).look()
    assert len(started) == 1
    for presence in presences:
        presence.release()


def test_it_finds_what_the_program_finds(
    starter: Starter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program may have set its search path up by itself; the process has another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/bundle.pex", "relative", "/a:b"])
    environments: list[dict[str, str]] = []
    monkeypatch.setattr("subprocess.run", lambda *_, env, **options: environments.append(env))
    starter.look()
    (environment,) = environments
    *given, ours = environment["PYTHONPATH"].split(":")
    assert given == [str(tmp_path), "/bundle.pex", str(tmp_path / "relative")]
    assert (Path(ours) / "phasetrace").is_dir()


def test_a_programs_modules_hide_none_of_pythons(
    starter: Starter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They may be called alike; Python would find them before it has begun."""
    (tmp_path / "types.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    environments: list[dict[str, str]] = []
    with monkeypatch.context() as patch:
        patch.setattr("subprocess.run", lambda *_, env, **options: environments.append(env))
        starter.look()
    (environment,) = environments
    assert str(tmp_path) in environment["PYTHONPATH"].split(os.pathsep)
    asked = "import types; print(types.GenericAlias)"
    done = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_it_has_said_last_is_what_is_wrong(
    path: Path, recording: Routed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It cannot begin, and nobody would know why."""
    recording.block("a")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho a line >&2\necho no module of that name >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    starter = Starter(path, [HERE], {})
    starter.wake()
    wait_until(lambda: query(path, "SELECT error FROM destinations") != [None])
    starter.close()
    assert query(path, "SELECT error FROM destinations") == [
        "the process that delivers has ended: no module of that name;"
        " PHASETRACE_DELIVERY=thread needs none"
    ]


@pytest.mark.parametrize(
    ("exporters", "said"),
    [("nonesuch", "ConfigError: OTEL_TRACES_EXPORTER='nonesuch'"), ("otlp", "")],
)
def test_only_why_it_cannot_begin_is_said(path: Path, exporters: str, said: str) -> None:
    """Not what it warns about: whoever has started it would take that for the reason."""
    done = subprocess.run(
        [sys.executable, "-m", "phasetrace.delivery", str(path)],
        env={
            **os.environ,
            "OTEL_TRACES_EXPORTER": exporters,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",  # there is a warning about that
            "OTEL_EXPORTER_OTLP_HEADERS": "nothing",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == (1 if said else 0), done.stderr


def test_an_application_that_is_its_own_interpreter(
    path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started again it would do its work again; a thread delivers."""
    assert can_start()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not can_start()
    assert isinstance(courier(path, receiver, monkeypatch), Shipper)
    monkeypatch.delattr(sys, "frozen")
    assert isinstance(courier(path, receiver, monkeypatch), Remote)
    monkeypatch.setattr(sys, "executable", "")
    assert not can_start()


def courier(path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return what delivers from a store, of a program that wants a process for it."""
    for name, value in environment(receiver).items():
        monkeypatch.setenv(name, value)
    settings = settings_from(store=path)
    (courier,) = make_fleet(settings, path, make_outlets(settings, makes=False)).couriers
    return courier


def test_one_that_does_not_come_to_serve_is_started_less_often(
    path: Path, starter: Starter, started: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at once, as with an exporter that cannot be made; until there is one that serves."""
    now = [100.0]
    monkeypatch.setattr("phasetrace.delivery.remote.time.monotonic", lambda: now[0])

    def starts_in(seconds: int) -> list[float]:
        begun = len(started), now[0]
        found: list[float] = []
        for _ in range(seconds):
            now[0] += 1
            starter.look(at_once=True)
            if len(started) > begun[0] + len(found):
                found.append(now[0] - begun[1])
        return found

    assert starts_in(300) == [1, 2, 4, 8, 16, 32, 64, 124, 184, 244]
    locks = [ServingLock(lock_path(path, spec.key)) for spec in (HERE, THERE)]
    for lock in locks:
        assert lock.acquire()
    assert starts_in(120) == []
    for lock in locks:
        lock.release()
    assert starts_in(5) == [1, 2, 4]


def test_what_cannot_be_started_is_a_fault(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once; the program goes on."""
    monkeypatch.setattr(sys, "executable", "a\0b")
    starter.look()
    assert faults.counts() == {"starting a process that delivers": 1}


def test_a_fork_waits_for_a_look(
    path: Path, starter: Starter, started: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that inherits the lock taken to look would keep everybody from serving."""
    looking, may_go_on = threading.Event(), threading.Event()

    def is_free_slowly(path: Path) -> bool:
        lock = ServingLock(path)
        assert lock.acquire()
        looking.set()
        may_go_on.wait(20)
        lock.release()
        return True

    monkeypatch.setattr(remote, "is_free", is_free_slowly)
    thread = threading.Thread(target=starter.look)
    thread.start()
    looking.wait(20)
    threading.Timer(0.1, may_go_on.set).start()
    (go_on, end) = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.read(go_on, 1)
        os._exit(0)
    thread.join()
    assert is_free(lock_path(path, HERE.key))
    os.close(end)
    os.close(go_on)
    os.waitpid(child, 0)


def test_a_child_looks_for_itself(starter: Starter, started: list[float]) -> None:
    """Whatever its parent was doing."""
    starter.look()

    def work() -> None:
        starter.look()
        assert len(started) == 2

    assert in_child(work) == 0


def test_a_remote_delivery_is_followed_in_the_store(
    path: Path, recording: Routed, started: list[float]
) -> None:
    """A flush waits for the process; the end of the program does not."""
    recording.block("a")
    starter = Starter(path, [HERE], {})
    fleet = Fleet(path, [Remote(HERE, starter)], [HERE])
    assert not fleet.flush(time.monotonic() + 0.1)
    before = time.monotonic()
    fleet.finish(10, 10)
    assert time.monotonic() - before < 1
    ledger = Ledger(path, HERE.key)
    ledger.settle(Settlement(1, 1), now_ns=1)
    ledger.close()
    assert fleet.flush(soon())


def test_the_process_has_the_same_destinations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a call gave, too; and it records nothing itself."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    settings = settings_from(endpoint="http://h:4318", exporters="otlp", protocol="http/protobuf")
    environment = shipping_environment(settings)
    assert environment["OTEL_TRACES_EXPORTER"] == "otlp"
    assert environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://h:4318/v1/traces"
    assert environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "http/protobuf"
    assert environment["OTEL_SDK_DISABLED"] == "true"


def test_two_programs_have_one_process(path: Path, receiver: Receiver) -> None:
    """It is no child of theirs, has nothing of theirs open, and ends after them."""
    programs = [start_program(PROGRAM, path, **environment(receiver)) for _ in range(2)]
    said = []
    for number, program in enumerate(programs):
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(f"e{number}\n")
        program.stdin.flush()
        said += [program.stdout.readline(), program.stdout.readline()]
    assert said == ["True\n", "no child\n"] * 2
    assert sorted(names(receiver)) == ["e0", "e1"]
    wait_until(lambda: len(processes(path)) == 1)
    (process,) = processes(path)
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) not in {os.getpid(), *(program.pid for program in programs)}
    assert int(stat[3]) not in {os.getsid(0), os.getsid(programs[0].pid)}
    files = [str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir()]
    pipes = [file for file in files if file.startswith("pipe:")]
    assert pipes == []
    for program in programs:
        assert program.communicate(timeout=60)[1] == ""
    wait_until(lambda: processes(path) == [])
    key = f"otlp_proto_http http://127.0.0.1:{receiver.port}/v1/traces"
    assert counts(path, HERE._replace(key=key)) == {"stored": 2, "delivered": 2, "waiting": 0}


BUNDLED = """
import sys
sys.path[:0] = {path!r}
import phasetrace
with phasetrace.execution("bundled", name="bundled"): pass
print(phasetrace.force_flush(20.0))
"""


def test_a_bundled_program_is_delivered_for(path: Path, receiver: Receiver) -> None:
    """Its interpreter knows of nothing that is not in the bundle."""
    program = BUNDLED.format(path=[folder for folder in sys.path if folder])
    base: str = sys._base_executable  # type: ignore[attr-defined]
    done = subprocess.run(
        [base, "-c", program],
        env={"PATH": os.environ["PATH"], "PHASETRACE_STORE": str(path), **environment(receiver)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert names(receiver) == ["bundled"]
    wait_until(lambda: processes(path) == [])


IDLE = """
import sys, phasetrace
with phasetrace.execution("idle", name="idle"): pass
sys.stdin.read()
"""


def test_a_program_that_records_once_and_idles_is_delivered_for(
    path: Path, receiver: Receiver
) -> None:
    """Also where the store is new, as it is in a container."""
    with start_program(IDLE, path, **environment(receiver)) as program:
        wait_until(lambda: names(receiver) == ["idle"])
        program.communicate(timeout=60)
    wait_until(lambda: processes(path) == [])


def test_in_an_outage_there_is_one_process(path: Path, receiver: Receiver) -> None:
    """It has no turn for most of the time; no other is started in its place."""
    receiver.answer = respond(503)
    source = PROGRAM.replace("20.0", "5.0")
    with start_program(source, path, **environment(receiver), NO_PROXY="127.0.0.1") as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("first\n")
        program.stdin.flush()
        assert program.stdout.readline() == "False\n"
        assert len(processes(path)) == 1
        receiver.answer = respond(200)
        program.communicate(timeout=60)
    wait_until(lambda: processes(path) == [])
    assert set(names(receiver)) == {"first"}


def test_the_next_program_recovers_it(path: Path, receiver: Receiver) -> None:
    """Its process was killed; what waits is delivered with what comes."""
    with start_program(PROGRAM, path, **environment(receiver)) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("first\n")
        program.stdin.flush()
        assert program.stdout.readline() == "True\n"
        for process in processes(path):
            os.kill(process, signal.SIGSTOP)  # it delivers nothing any more
        program.communicate(timeout=60)
    for process in processes(path):
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: processes(path) == [])
    out = run_program(
        "import phasetrace\nwith phasetrace.execution('second', name='second'): pass\n"
        "print(phasetrace.force_flush(20.0))",
        path,
        60.0,
        **environment(receiver),
    )
    assert out == "True\n"
    assert names(receiver) == ["first", "second"]
    wait_until(lambda: processes(path) == [])


def test_it_ends_in_order_when_it_is_told_to(path: Path, receiver: Receiver) -> None:
    """SIGTERM: the lock is free then."""
    with start_program(PROGRAM, path, **environment(receiver)) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("first\n")
        program.stdin.flush()
        assert program.stdout.readline() == "True\n"
        wait_until(lambda: len(processes(path)) == 1)
        (process,) = processes(path)
        os.kill(process, signal.SIGTERM)
        wait_until(lambda: process not in processes(path))
        program.communicate(timeout=60)
    wait_until(lambda: processes(path) == [])
