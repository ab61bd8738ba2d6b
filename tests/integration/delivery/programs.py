"""Running the workloads and phasetrace's own commands as a user would: as processes."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .workload import END

_HERE = Path(__file__).parent
_PATIENCE_S = 240.0


class Finished(NamedTuple):
    """A program that has ended."""

    returncode: int
    report: dict[str, Any]
    """What it said of itself; empty if it was killed."""
    words: list[str]
    """Every other line of its output."""
    stderr: str
    ended_ns: int
    """When it was gone (`time.monotonic_ns`)."""

    @property
    def exit_s(self) -> float:
        """How long it took to end after its last line of code."""
        return (self.ended_ns - int(self.report["ended_ns"])) / 1e9


class Running:
    """A program that runs."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stderr: list[str] = []
        self._said = threading.Condition()  # guards _stderr while it is read along
        # Read along, so that a program which writes much is never held up by a full pipe.
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        self._words: list[str] = []

    def wait_for(self, word: str) -> None:
        """Wait until it says a word."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._words.append(line.rstrip("\n"))
            if self._words[-1] == word:
                return
        raise AssertionError(f"it ended without a {word!r}: {self.finished()}")

    def wait_for_complaint(self, text: str) -> None:
        """Wait until it has said a text on stderr."""
        deadline = time.monotonic() + _PATIENCE_S
        with self._said:
            while not any(text in line for line in self._stderr):
                left_s = deadline - time.monotonic()
                assert left_s > 0 and self._said.wait(left_s), self._stderr

    def wait_for_report(self, timeout_s: float) -> None:
        """Give it so much time to end, then kill it."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def go_on(self) -> None:
        """Let it go on after a pause."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finished(self) -> Finished:
        """Wait for its end."""
        killer = threading.Timer(_PATIENCE_S, self.process.kill)
        killer.start()
        try:
            # Not until its pipes are closed: a child of its own may keep them open for longer.
            returncode = self.process.wait()
            ended_ns = time.monotonic_ns()
            assert self.process.stdout is not None
            self._words += self.process.stdout.read().splitlines()
        finally:
            killer.cancel()
        self._reader.join(_PATIENCE_S)
        reports = [line for line in self._words if line.startswith("{")]
        words = [line for line in self._words if not line.startswith("{")]
        report = json.loads(reports[-1]) if reports else {}
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return Finished(returncode, report, words, "".join(self._stderr), ended_ns)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self._stderr.append(line)
                self._said.notify_all()


def environment(
    store: Path,
    endpoint: str | None = None,
    protocol: str = "http/protobuf",
    service: str = "phasetrace",
    **more: str,
) -> dict[str, str]:
    """Return a program's whole environment; without an endpoint it has no exporter."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PHASETRACE_STORE": str(store),
        "OTEL_SERVICE_NAME": service,
    }
    if endpoint is not None:
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        variables["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    return {**variables, **more}


def start(
    env: dict[str, str],
    *arguments: object,
    program: str = "workload.py",
    under: Sequence[str] = (sys.executable,),
) -> Running:
    """Start a program of this folder."""
    return Running([*under, str(_HERE / program), *map(str, arguments)], env)


def run(env: dict[str, str], *arguments: object, program: str = "workload.py") -> Finished:
    """Run a program of this folder to its end, which has to be a good one."""
    done = start(env, *arguments, program=program).finished()
    assert done.returncode == 0, done.stderr
    return done


UNDER_RUN = (sys.executable, "-m", "phasetrace", "run")


def ship(env: dict[str, str], *arguments: object) -> Finished:
    """Run ``phasetrace ship``, whatever comes of it."""
    return Running(
        [sys.executable, "-m", "phasetrace", "ship", *map(str, arguments)], env
    ).finished()


def ship_all(env: dict[str, str], timeout_s: float = 60) -> None:
    """Have everything delivered that waits in the store."""
    done = ship(env, "--timeout", timeout_s)
    assert done.returncode == 0, f"phasetrace ship: exit code {done.returncode}: {done.stderr}"


def status(env: dict[str, str]) -> dict[str, Any]:
    """Return the only destination of ``phasetrace status --json``, whose numbers must add up."""
    command = [sys.executable, "-m", "phasetrace", "status", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    answer = json.loads(done.stdout)
    assert answer["version"] == 1
    (destination,) = answer["destinations"]
    assert isinstance(destination, dict)
    lost, dropped = sum(destination["lost"].values()), sum(destination["dropped"].values())
    assert destination["recorded"] == destination["stored"] + lost, destination
    told_apart = (destination[key] for key in ("delivered", "waiting", "refused"))
    assert destination["stored"] == sum(told_apart) + dropped, destination
    return destination


def make_ends(path: Path, count: int) -> Path:
    """Make the file that a workload writes the time of its ends to."""
    path.write_bytes(bytes(END.size * count))
    return path


def read_ends(path: Path) -> list[int]:
    """Return the time of each end, 0 for spans that have not ended."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as ends:
        return [time_ns for (time_ns,) in END.iter_unpack(ends)]
