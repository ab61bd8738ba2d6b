"""An OTLP/HTTP receiver that keeps every request before it answers, or misbehaves on purpose.

Usage: ``receiver_program.py PORT FILE BEHAVIOUR``. What it has answered with 200 is in the file by
then, so it can be killed at any moment and nothing that was acknowledged is forgotten. It reads
nothing of what it is sent: that would take the processor time that the tests measure.
"""

from __future__ import annotations

import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEADER = struct.Struct("<QB")
"""Before each request in the file: its length, and 1 if it is compressed."""

POISON = b"poison"
"""The attribute's key that makes the behaviour ``refuse`` answer 400."""

TRICKLE_S = 0.2


class Receiver(ThreadingHTTPServer):
    """Serves requests in threads."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, kept: Path, behaviour: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.behaviour = behaviour
        self._kept = kept.open("ab", buffering=0)
        self._writing = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are killed, and give up, on purpose."""

    def keep(self, body: bytes, is_compressed: bool) -> None:
        """Append a request to the file."""
        with self._writing:
            self._kept.write(HEADER.pack(len(body), is_compressed) + body)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        """Take an ExportTraceServiceRequest and do as the behaviour says."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        behaviour = self.server.behaviour
        if behaviour == "silent":
            threading.Event().wait()
        elif behaviour == "trickle":
            self._trickle()
        elif behaviour == "busy":
            self._answer(503)
        elif behaviour == "refuse" and POISON in body:
            self._answer(400)
        else:
            self.server.keep(body, self.headers.get("Content-Encoding") == "gzip")
            self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _trickle(self) -> None:
        """Send a header that does not end, slowly enough that no wait for a byte times out."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            self.wfile.write(b".")
            time.sleep(TRICKLE_S)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


def main() -> None:
    """Serve until killed; a line on stdout says that the port is open."""
    port, kept, behaviour = sys.argv[1:]
    server = Receiver(int(port), Path(kept), behaviour)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
