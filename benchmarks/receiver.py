"""A real OTLP receiver that counts: rotel, as the integration tests start it, with a short log.

Their `Rotel` reads every span back, which for a million of them takes longer than the measurement.
Here rotel's log says how many spans each request had.
"""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from benchmarks.isolated import MeasurementFailed
from tests.integration import rotel

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_RECEIVED: Final = re.compile(r"Received traces\..*\bspans=(\d+)")


def missing_receiver() -> str:
    """Tell what is missing, an empty text if nothing is."""
    return "" if rotel.find_binary() is not None else "rotel is not installed"


class Receiver:
    """A rotel process on loopback ports, for use as a context manager; once."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="benchmarks-")
        self._log = Path(self._folder.name) / "log"
        self.spans = 0
        """How many spans it has received; known once it is left."""

    def __enter__(self) -> Receiver:
        grpc_port, http_port = rotel._free_ports()
        self.endpoint = f"http://127.0.0.1:{http_port}"
        command = [
            str(rotel.find_binary()),
            "start",
            f"--otlp-grpc-endpoint=127.0.0.1:{grpc_port}",
            f"--otlp-http-endpoint=127.0.0.1:{http_port}",
            "--exporter=blackhole",
            "--debug-log=traces",
            "--debug-log-verbosity=basic",
        ]
        environ = {**rotel._environment(), "RUST_LOG": "info"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the program of the installed wheel
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ
            )
        deadline = time.monotonic() + rotel.DEADLINE_S
        while not _answers(http_port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise MeasurementFailed("rotel does not start")
            time.sleep(rotel.POLL_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(rotel.DEADLINE_S)
        log = _COLOUR.sub("", self._log.read_text())
        self.spans = sum(map(int, _RECEIVED.findall(log)))
        self._folder.cleanup()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), rotel.DEADLINE_S).close()
    except OSError:
        return False
    return True
