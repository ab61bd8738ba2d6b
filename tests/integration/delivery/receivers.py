"""What the workloads send to, and what has arrived there.

`Counting` is a small HTTP server of ours, for what rotel cannot do: be killed at any moment without
forgetting what it acknowledged, refuse, hang, and keep a million spans. `Collector` is rotel.
"""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.rotel import Rotel, _free_ports

from .receiver_program import HEADER

_PROGRAM = Path(__file__).with_name("receiver_program.py")


class Arrivals:
    """The spans of one service that a receiver has acknowledged, known by their attribute seq."""

    def __init__(self) -> None:
        self.span_ids: dict[int, object] = {}
        """The id of the span of each number."""
        self.repeated = 0
        """How often a span came again; that is allowed, readers de-duplicate by its id."""
        self.doubled: set[int] = set()
        """The numbers that came with more than one id: duplicates that no reader can tell."""

    @property
    def seqs(self) -> set[int]:
        """The numbers that have arrived."""
        return set(self.span_ids)

    def add(self, seq: int, span_id: object) -> None:
        """Note a span."""
        known = self.span_ids.setdefault(seq, span_id)
        if known is span_id:
            return
        if known == span_id:
            self.repeated += 1
        else:
            self.doubled.add(seq)


class Receiver(Protocol):
    """What can be sent to, and go away."""

    protocol: str

    @property
    def endpoint(self) -> str:
        """What ``OTEL_EXPORTER_OTLP_ENDPOINT`` is to be."""

    def start(self) -> None:
        """Come (back) up at the same endpoint."""

    def vanish(self) -> None:
        """Go away as abruptly as it can without forgetting what it acknowledged."""

    def arrivals(self, service: str) -> Arrivals:
        """Return what has arrived from a service until now."""


class Counting:
    """Our own server, a process; use as a context manager."""

    protocol = "http/protobuf"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts = 0
        self._port = _free_ports()[0]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()

    @property
    def endpoint(self) -> str:
        """Where it takes OTLP; known before it is started."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The endpoint's port."""
        return self._port

    def start(self, behaviour: str = "answer") -> None:
        """Run the server; it is up when this returns."""
        self.vanish()
        self._starts += 1
        kept = self._folder / f"requests_{self._starts:03}"
        command = [sys.executable, "-S", str(_PROGRAM), str(self._port), str(kept), behaviour]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"open\n", "the counting receiver does not start"

    def vanish(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def arrivals(self, service: str) -> Arrivals:
        """Return what has been acknowledged from a service until now."""
        found = Arrivals()
        for request in self._requests():
            for resource_spans in request.resource_spans:
                names = {a.key: a.value.string_value for a in resource_spans.resource.attributes}
                if names.get("service.name") != service:
                    continue
                for scope_spans in resource_spans.scope_spans:
                    for span in scope_spans.spans:
                        for attribute in span.attributes:
                            if attribute.key == "seq":
                                found.add(attribute.value.int_value, span.span_id)
        return found

    def _requests(self) -> Iterator[ExportTraceServiceRequest]:
        for path in sorted(self._folder.glob("requests_*")):
            with path.open("rb") as file:
                while len(header := file.read(HEADER.size)) == HEADER.size:
                    length, is_compressed = HEADER.unpack(header)
                    body = file.read(length)
                    if len(body) < length:
                        break  # killed while it wrote: never acknowledged
                    yield ExportTraceServiceRequest.FromString(
                        gzip.decompress(body) if is_compressed else body
                    )


class Collector:
    """rotel, taking gRPC or HTTP; use as a context manager."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self._rotel = Rotel()

    def __enter__(self) -> Collector:
        self._rotel.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._rotel.close()

    @property
    def endpoint(self) -> str:
        """Where it takes OTLP; known after the first start."""
        rotel = self._rotel
        return rotel.grpc_endpoint if self.protocol == "grpc" else rotel.http_endpoint

    def start(self) -> None:
        """Come back up."""
        self._rotel.start()

    def vanish(self) -> None:
        """Stop in order: killed, it forgets what it acknowledged and has not printed yet."""
        self._rotel.stop()

    def arrivals(self, service: str) -> Arrivals:
        """Return what has arrived from a service until now."""
        found = Arrivals()
        for span in self._rotel.spans():
            if span.resource.get("service.name") == service and "seq" in span.attributes:
                found.add(span.attributes["seq"], span.span_id)
        return found


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """Let connections to the port neither succeed nor fail.

    Linux drops a connection's first packet, as a firewall would, while the queue of connections
    that nobody has accepted is full.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        waiting: list[socket.socket] = []
        try:
            while True:
                waiting.append(socket.socket())
                waiting[-1].settimeout(0.2)
                with suppress(TimeoutError):
                    waiting[-1].connect(("127.0.0.1", port))
                    continue
                break
            yield
        finally:
            for connection in waiting:
                connection.close()
