"""A server of somebody else's on loopback, for as long as some tests last."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from tests.integration.rotel import _free_ports

POLL_S: Final = 0.05
DEADLINE_S: Final = 90.0
"""Some of them take half a minute to start."""
END_S: Final = 20.0


def require(name: str, package: str) -> Path:
    """Find a program beside Python or on ``PATH``; skip the test if there is none."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"there is no {name} beside Python or on PATH: pip install {package}")
    return Path(found)


def free_ports() -> tuple[int, int]:
    """Pick two ports that nobody listens on now."""
    return _free_ports()


@contextmanager
def serving(
    command: list[str], folder: Path, port: int, health: str, variables: Mapping[str, str]
) -> Iterator[None]:
    """Run a server in a folder, with nothing of our environment, and end all that it started.

    Args:
        command: What to run.
        folder: Where it runs and keeps what it keeps; it is its home as well.
        port: Where it answers over HTTP.
        health: The path that it answers as soon as it is up.
        variables: What its environment has besides.

    Raises:
        AssertionError: It does not come up.
    """
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # some start others, which are ended by their group
        )
    try:
        wait_until_up(process, port, health, log)
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_up(process: subprocess.Popen[bytes], port: int, health: str, log: Path) -> None:
    """Return when a server answers."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with suppress(OSError, http.client.HTTPException):
            if ask(port, health)[0] == http.client.OK:
                return
        said = log.read_text(errors="replace")[-2_000:]
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(POLL_S)


def ask(port: int, path: str, **parameters: str) -> tuple[int, Any]:
    """Get a path; return the status and the JSON, or the text where it is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", f"{path}?{urlencode(parameters)}" if parameters else path)
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    try:
        return response.status, json.loads(text)
    except json.JSONDecodeError:
        return response.status, text
