"""What all tests share: a process that nothing is configured in, and a clock of their own."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import phasetrace
from phasetrace.testing import forget_everything

# No deadline for a single example: what else the machine does would decide. Developers' runs draw
# other examples each time; CI draws the same ones of the same commit, so that it can be repeated.
settings.register_profile("own", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("few", deadline=None, derandomize=True, max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "own"))

OTHERS = ("TRACEPARENT", "TRACESTATE", "GRPC_VERBOSITY")


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> None:
    """Have the garbage collector look only at what a module's tests make.

    What was there before, pytest's own and what thousands of tests have left, takes it a tenth of a
    second to half a second each time, and tests that hold time to a bound have less to spare.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Have it look at everything again, before pytest collects what was left unclosed."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def clean_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Give every test an environment without settings, and take its configuration back."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "OTLP_", "PHASETRACE")) or name in OTHERS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PHASETRACE_STORE", str(tmp_path / "store" / "traces.db"))
    yield
    forget_everything()


Spans = InMemorySpanExporter


class _Fed(InMemorySpanExporter):
    """An exporter that phasetrace feeds, in batches."""

    def get_finished_spans(self) -> tuple[ReadableSpan, ...]:
        phasetrace.force_flush()
        return super().get_finished_spans()

    def clear(self) -> None:
        phasetrace.force_flush()
        super().clear()


@pytest.fixture(params=["short way", "own", "stock"])
def spans(request: pytest.FixtureRequest) -> Spans:
    """Configure phasetrace without a store, and return what is exported of its spans.

    Runs a test three times: on phasetrace's provider, where phases take the short way; on that with
    a span processor, of which they are to tell; and on a stock SDK provider that the application
    installed first.
    """
    if request.param == "short way":
        fed = _Fed()
        phasetrace.configure(store=False, exporters=[fed])
        return fed
    exported = InMemorySpanExporter()
    if request.param == "stock":
        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    phasetrace.configure(store=False)
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return exported


class FakeClock:
    """A clock that stands still until it is told to go on; nanoseconds."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """Return the present."""
        return self.now_ns

    def advance(self, milliseconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(milliseconds * 1_000_000)


@pytest.fixture
def fake_clock() -> FakeClock:
    """Return a clock that a test owns."""
    return FakeClock()


@pytest.fixture
def by_name(spans: Spans) -> Callable[[], dict[str, object]]:
    """Return a function that gives the exported spans by their name."""
    return lambda: {span.name: span for span in spans.get_finished_spans()}
