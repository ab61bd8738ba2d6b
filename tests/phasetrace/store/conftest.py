"""What the tests of the store share: recordings into a store of their own, and programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from phasetrace import clock
from phasetrace.collector import TimingCollector
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.names import CANCELLED, EXEC_ID, IMPLICIT, NODE_ID, TYPE
from phasetrace.planned_ids import PlannedIds
from phasetrace.processor import TimingSpanProcessor
from phasetrace.spans import EXECUTION
from phasetrace.store.processor import StoreSpanProcessor
from phasetrace.store.reader import StoreReader
from phasetrace.store.retention import Retention
from phasetrace.store.writer import StoreWriter
from tests import stored_spans

PATIENCE_S = 20.0


class Recording:
    """A process's way into a store, in small: a provider, a collector and a writer."""

    def __init__(
        self,
        path: Path,
        limits: Retention | None = None,
        now_ns: clock.NowNs = clock.now_ns,
        routed: bool = False,
    ) -> None:
        self.elsewhere: list[str] = []
        self.collector = TimingCollector(now_ns=now_ns)
        self.writer = StoreWriter(
            path,
            limits or Retention(),
            lambda last: self.collector.unsaved(running=last),
            self.elsewhere.append,
            now_ns,
        )
        self.provider = TracerProvider(shutdown_on_exit=False, id_generator=PlannedIds())
        self.provider.add_span_processor(TimingSpanProcessor(self.collector))
        self.provider.add_span_processor(StoreSpanProcessor(self.writer, routed))
        self.tracer = self.provider.get_tracer("tests", "1")

    def start(
        self, exec_id: str, name: str = "phase", node: str | None = "node", **options: Any
    ) -> Span:
        """Start a span of an execution; ``parent`` is a span, ``start`` a time."""
        parent = options.pop("parent", None)
        attributes = {EXEC_ID: exec_id, **options.pop("attributes", {})}
        if node is not None:
            attributes[NODE_ID] = node
        return self.tracer.start_span(
            name,
            set_span_in_context(parent) if parent is not None else None,
            attributes=attributes,
            start_time=options.pop("start", None),
        )

    def phase(self, exec_id: str, name: str = "phase", **options: Any) -> None:
        """Record a finished phase; ``end`` is a time, ``error`` makes it fail."""
        end, error = options.pop("end", None), options.pop("error", False)
        span = self.start(exec_id, name, **options)
        (self.fail if error else self.end)(span, end)

    def root(self, exec_id: str, implicit: bool = False, start: int | None = None) -> Span:
        """Start the root span of an execution."""
        attributes = {EXEC_ID: exec_id, TYPE: EXECUTION}
        if implicit:
            attributes[IMPLICIT] = True  # type: ignore[assignment]
        generator: Any = self.provider.id_generator
        with generator.plan(trace_id_of(exec_id), root_span_id_of(exec_id)):
            return self.tracer.start_span(exec_id, attributes=attributes, start_time=start)

    def execution(self, exec_id: str, start: int | None = None, end: int | None = None) -> None:
        """Record a finished execution without anything in it."""
        self.root(exec_id, start=start).end(end)

    def cancel(self, span: Span) -> None:
        """End a span as the one of a cancelled task."""
        span.set_attribute(CANCELLED, True)
        span.end()

    def fail(self, span: Span, end: int | None = None) -> None:
        """End a span as the one of work that failed."""
        span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def end(self, span: Span, end: int | None = None) -> None:
        """End a span."""
        span.end(end)

    def close(self) -> bool:
        """Write everything and stop."""
        return self.writer.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store is to be; there is nothing yet."""
    return tmp_path / "state" / "traces.db"


@pytest.fixture
def without_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have writers write only when a test tells them to."""
    monkeypatch.setattr(StoreWriter, "_start", lambda self: None)


@pytest.fixture
def record(path: Path) -> Iterator[Callable[..., Recording]]:
    """Return a function that makes recordings, closed after the test."""
    made: list[Recording] = []

    def make(*args: Any, **options: Any) -> Recording:
        made.append(Recording(path, *args, **options))
        return made[-1]

    yield make
    for recording in made:
        recording.close()


@pytest.fixture
def recording(record: Callable[..., Recording]) -> Recording:
    """Return a recording into the store."""
    return record()


def query(path: Path, sql: str, *arguments: object) -> list[Any]:
    """Return the rows of a query, plain values where a row has one; ``spans`` is a table to it."""
    with closing(stored_spans.connect(path)) as connection:
        rows = connection.execute(sql, arguments).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def read(path: Path, exec_id: str) -> Any:
    """Return what the reader says of an execution."""
    with StoreReader(path) as store:
        return store.find(exec_id)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition to hold; fail if it does not in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def start_program(source: str, path: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a Python program that records into the store at `path`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error::ResourceWarning", "-c", source],
        env={**os.environ, "PHASETRACE_STORE": str(path), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_program(source: str, path: Path, timeout_s: float = 60, **environment: str) -> str:
    """Run a program to its end, which must be a quiet and successful one; return its output."""
    with start_program(source, path, **environment) as program:
        out, errors = program.communicate(timeout=timeout_s)
    assert (program.returncode, errors) == (0, "")
    return out


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; return its exit code (1 if it raised)."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
