"""What the tests of delivery share: real stores with something in them, and exporters at hand."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from phasetrace import faults
from phasetrace.delivery.shipper import Shipper
from phasetrace.destination import Destination
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.settings import BatchLimits
from phasetrace.store.destinations import DestinationSpec
from phasetrace.store.ledger import Ledger
from phasetrace.store.processor import StoreSpanProcessor
from phasetrace.store.retention import Retention
from phasetrace.store.writer import StoreWriter
from tests.phasetrace.store.conftest import Recording, wait_until

HERE = DestinationSpec("otlp http://here", "otlp", "http://here", False)
THERE = DestinationSpec("otlp http://there", "otlp", "http://there", False)
PATIENCE_S = 20.0
UNLIMITED = Retention(None, None)

__all__ = ["wait_until"]


class Taking(SpanExporter):
    """An exporter that keeps what it takes; ``answer`` can be changed at any time."""

    def __init__(self) -> None:
        self.requests: list[list[ReadableSpan]] = []
        """What it was called with, also what it did not take."""
        self.taken: list[ReadableSpan] = []
        self.answer: Callable[[Sequence[ReadableSpan]], SpanExportResult | None] = take
        self.called = threading.Semaphore(0)
        """Released at the beginning of each call."""
        self.shutdowns = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans, or not."""
        self.requests.append(list(spans))
        self.called.release()
        result = self.answer(spans)
        if result is SpanExportResult.SUCCESS:
            self.taken += spans
        return result  # type: ignore[return-value]

    def shutdown(self) -> None:
        """Count it."""
        self.shutdowns += 1

    @property
    def names(self) -> list[str]:
        """The names of the spans that it took, in order."""
        return [span.name for span in self.taken]


def take(spans: Sequence[ReadableSpan]) -> SpanExportResult:
    """Take everything."""
    return SpanExportResult.SUCCESS


def fail(spans: Sequence[ReadableSpan]) -> SpanExportResult:
    """Take nothing."""
    return SpanExportResult.FAILURE


class Gate:
    """An answer that does not come before it is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def __call__(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take everything, when it is opened."""
        self._opened.wait(PATIENCE_S)
        return SpanExportResult.SUCCESS

    def open(self) -> None:
        """Let the answer come."""
        self._opened.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate, which is open after the test."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store is to be; there is nothing yet."""
    return tmp_path / "state" / "traces.db"


class Routed(Recording):
    """A process's way into a store, for what is to be delivered."""

    def __init__(self, path: Path, *specs: DestinationSpec) -> None:
        super().__init__(path, UNLIMITED)
        processors = self.provider._active_span_processor
        *others, _ = processors._span_processors
        processor = StoreSpanProcessor(self.writer, routed=True)
        processors._span_processors = (*others, processor)
        self.writer.destinations = specs

    def block(self, *names: str, exec_id: str = "e") -> None:
        """Record some phases of one trace, and write them: one block."""
        ids = trace_id_of(exec_id), root_span_id_of(exec_id)
        parent = NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(1)))
        for name in names:
            self.phase(exec_id, name, parent=parent)
        assert self.writer.flush()


@pytest.fixture
def record(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Routed]]:
    """Return a function that makes recordings for destinations; they write when they are told."""
    monkeypatch.setattr(StoreWriter, "_start", lambda self: None)
    made: list[Routed] = []

    def make(*specs: DestinationSpec) -> Routed:
        made.append(Routed(path, *specs))
        return made[-1]

    yield make
    for recording in made:
        recording.close()


@pytest.fixture
def recording(record: Callable[..., Routed]) -> Routed:
    """Return a recording for one destination."""
    return record(HERE)


@pytest.fixture
def ship(path: Path) -> Iterator[Callable[..., Shipper]]:
    """Return a function that makes shippers, closed after the test."""
    made: list[Shipper] = []

    def make(
        exporter: Any, spec: DestinationSpec = HERE, delay_ms: int = 1, size: int | None = None
    ) -> Shipper:
        limits = BatchLimits(None, size, delay_ms)
        made.append(Shipper(path, spec, lambda: Destination("test", exporter), limits))
        return made[-1]

    yield make
    for shipper in made:
        shipper.close(time.monotonic() + 1)


def soon() -> float:
    """Return a deadline that is far enough for everything."""
    return time.monotonic() + PATIENCE_S


def deliver(shipper: Shipper, path: Path) -> None:
    """Have everything delivered that is in the store."""
    shipper.hurry()
    try:
        wait_until(lambda: waiting(path, shipper.spec) == 0)
        assert shipper.wait_for_position(latest(path), soon()), (shipper.failing, faults.counts())
    finally:
        shipper.calm()


def latest(path: Path) -> int:
    """Return the number of the last block."""
    (seq,) = query(path, "SELECT coalesce(max(seq), 0) FROM blocks")
    return int(seq)


def cursor(path: Path, spec: DestinationSpec = HERE) -> int:
    """Return how far a destination has been served."""
    (found,) = query(path, "SELECT cursor FROM destinations WHERE key = ?", spec.key)
    return int(found)


def counts(path: Path, spec: DestinationSpec = HERE) -> dict[str, int]:
    """Return what became of the spans for a destination; they add up."""
    found = dict(
        query(
            path,
            "SELECT what, value FROM destination_counts c"
            " JOIN destinations d ON d.id = c.destination WHERE d.key = ?",
            spec.key,
        )
    )
    left = waiting(path, spec)
    assert found.get("stored", 0) == left + sum(
        value for what, value in found.items() if what != "stored" and "lost" not in what
    )
    return {**found, "waiting": left}


def waiting(path: Path, spec: DestinationSpec = HERE) -> int:
    """Return how many spans a destination has still to get."""
    with closing(Ledger(path, spec.key)) as ledger:
        return ledger.waiting_spans(ledger.cursor, 2**62)


def query(path: Path, sql: str, *arguments: object) -> list[Any]:
    """Return the rows of a query, plain values where a row has one."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(sql, arguments).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def hold(path: Path) -> sqlite3.Connection:
    """Return a connection that keeps everybody else from writing, until it is closed."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def names_in(body: bytes) -> list[str]:
    """Return the names of the spans in a request."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        span.name
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
