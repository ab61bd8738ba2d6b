"""Receivers of OTLP that answer what a test wants them to: real servers, on free ports."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"
"""The key and the certificate of a server on 127.0.0.1, which nobody trusts."""

HttpAnswer = Callable[[BaseHTTPRequestHandler], None]
GrpcAnswer = Callable[[Any], bytes]


class Receiver:
    """What it got; what it answers can be changed at any time."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer = answer
        self.port = 0
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, Any]] = []
        self.is_over = threading.Event()
        """Set at the end of the test, for an answer that does not come by itself."""

    def hang(self, _: Any) -> bytes:
        """Not answer."""
        self.is_over.wait()
        return b""


@contextmanager
def http_receiver(port: int = 0, *, tls: bool = False) -> Iterator[Receiver]:
    """Run a receiver over HTTP, which takes everything."""
    receiver = Receiver(respond(200))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if receiver.is_over.is_set():  # a connection that was kept open
                hang_up(self)
                return
            receiver.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.answer(self)

        def do_GET(self) -> None:
            respond(200, b"a page")(self)

        def do_CONNECT(self) -> None:
            receiver.answer(self)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing of a client that has gone."""

    with Server(("127.0.0.1", port), Handler) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(SELF_SIGNED)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.is_over.set()
            server.shutdown()
            thread.join()


def respond(status: int, body: bytes = b"", **headers: str) -> HttpAnswer:
    """Return what answers with a response; ``_`` stands for the ``-`` of a header's name."""
    lines = [f"HTTP/1.1 {status} {BaseHTTPRequestHandler.responses.get(status, ('Odd',))[0]}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return raw("\r\n".join(lines).encode() + body)


def raw(data: bytes) -> HttpAnswer:
    """Return what answers with these bytes, whatever they are."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """End the connection in order, without an answer."""
    handler.close_connection = True


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Break the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.rfile.close()
    handler.connection.close()


@contextmanager
def grpc_receiver(port: int = 0, **options: int) -> Iterator[Receiver]:
    """Run a receiver over gRPC, which takes everything that the server's options let it take."""
    receiver = Receiver(lambda context: b"")

    def export(body: bytes, context: Any) -> bytes:
        receiver.bodies.append(body)
        receiver.headers.append(dict(context.invocation_metadata()))
        answer: bytes = receiver.answer(context)
        return answer

    with ThreadPoolExecutor(2) as threads:
        named = [(f"grpc.{name}", value) for name, value in {"so_reuseport": 0, **options}.items()]
        server = grpc.server(threads, options=named)
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        methods = {"Export": grpc.unary_unary_rpc_method_handler(export)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        receiver.port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield receiver
        finally:
            receiver.is_over.set()
            server.stop(None).wait()


def fail(code: grpc.StatusCode, details: str = "", **metadata: bytes) -> GrpcAnswer:
    """Return what answers with a status, and metadata behind it; ``_`` stands for ``-``."""

    def answer(context: Any) -> bytes:
        context.set_trailing_metadata(
            tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        )
        context.abort(code, details)
        return b""

    return answer
