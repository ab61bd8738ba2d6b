"""What stands in front of a receiver: a gate that lets requests through, or answers itself.

It is for answers that no receiver can be set up to give: a login page, a redirection, another
limit. What it lets through goes on to a real receiver as it came.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What it answers in place of the receiver."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Gate:
    """An HTTP server in front of a receiver; what it answers can be changed at any time."""

    def __init__(self, behind: str) -> None:
        self.behind = urlsplit(behind)
        self.answer: Answer | None = None
        """None lets requests through."""
        self.port = 0

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def respond(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Return the answer to a request."""
        if self.answer is not None:
            return self.answer
        connection = http.client.HTTPConnection(self.behind.netloc, timeout=30)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            kind = {"content-type": response.getheader("content-type", "")}
            return Answer(response.status, response.read(), kind)
        finally:
            connection.close()


@contextmanager
def gate_before(receiver: str) -> Iterator[Gate]:
    """Run a gate in front of a receiver's address, on a free port."""
    gate = Gate(receiver)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = gate.respond(self.path, dict(self.headers), body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_GET(self) -> None:
            page = b"<!DOCTYPE html><title>Log in</title>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        gate.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield gate
        finally:
            server.shutdown()
            thread.join()
