"""Running programs in processes of their own, by Python itself and by ``phasetrace run``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from phasetrace.spans import SpanRecord
from phasetrace.store.reader import StoreReader
from phasetrace.store.stored import StoredExecution

COMMAND = Path(__file__).with_name("command.py")
"""Stands for the installed command; ``python -m phasetrace`` would have the folder on its path."""
OURS = "phasetrace: "
LIMIT_S = 60
"""No program takes this long; a test fails rather than hangs."""


class Ended(NamedTuple):
    """A process that has ended; `said` are the lines that phasetrace wrote to stderr."""

    code: int
    out: str
    err: str
    said: list[str]


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a program's files, and make the folder for it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def traced(*arguments: str, python: Sequence[str] = ()) -> list[str]:
    """Return the command that runs a program under tracing."""
    return [sys.executable, *python, str(COMMAND), "run", *arguments]


def environment(store: Path | str, **variables: str) -> dict[str, str]:
    """Return this process's environment without settings, but for the store's and those given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "PHASETRACE_", "PYTHON"))
    }
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PHASETRACE_STORE": str(store), **variables}


def run(
    command: Sequence[str], folder: Path, store: Path | str, stdin: str = "", **variables: str
) -> Ended:
    """Run a command to its end."""
    process = subprocess.run(
        command,
        cwd=folder,
        env=environment(store, **variables),
        input=stdin.encode(),
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    return ended(process.returncode, process.stdout, process.stderr)


def start(
    command: Sequence[str], folder: Path, store: Path | str, **variables: str
) -> subprocess.Popen[bytes]:
    """Start a command; its output is piped."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(store, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for a process that was started; kill it past the limit."""
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return ended(process.returncode, out, err)


def ended(code: int, out: bytes, err: bytes) -> Ended:
    """Tell what phasetrace said from what the program did."""
    lines = err.decode(errors="replace").splitlines(keepends=True)
    return Ended(
        code,
        out.decode(errors="replace"),
        "".join(line for line in lines if not line.startswith(OURS)),
        [line.removeprefix(OURS).rstrip("\n") for line in lines if line.startswith(OURS)],
    )


def stored(store: Path) -> dict[str, list[SpanRecord]]:
    """Return the spans in a store by their execution."""
    with StoreReader(store) as reader:
        return {found.exec_id: list(reader.spans(found)) for found in reader.executions()}


def phases(store: Path) -> list[str]:
    """Return the names of the phases in a store, in order."""
    return sorted(
        span.name for spans in stored(store).values() for span in spans if span.type == "phase"
    )


def latest(store: Path) -> StoredExecution:
    """Return the execution that started last."""
    with StoreReader(store) as reader:
        return reader.latest()
