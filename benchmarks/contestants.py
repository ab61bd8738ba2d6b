"""Who takes part, each set up in the process that measures it.

phasetrace is configured by its public `configure`, with a store in a temporary folder; everybody
else is a local object. logfire and ddtrace take part where they are installed; neither talks to
anybody here.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry import trace

import phasetrace
from benchmarks import plain_collector
from benchmarks.program import PhaseApi, PhaseProgram, Program, SpanProgram
from benchmarks.rounds import Work
from benchmarks.stock import AggregatingProcessor, NullExporter, batching, stock_provider


class Contestant(NamedTuple):
    """A program with its instrumentation in place."""

    program: Program
    flush: Callable[[], object] = lambda: None
    """Does all background work that is waiting."""
    forget: Callable[[str], object] = lambda exec_id: None
    """Frees what is kept of an execution."""

    def clear(self, exec_id: str) -> None:
        """End an execution, and do the background work of that too."""
        self.forget(exec_id)
        self.flush()


class FlushFailed(Exception):
    """A contestant could not write out what was recorded, so that its time means nothing."""


@contextmanager
def set_up(keys: Iterable[str]) -> Iterator[dict[str, Contestant]]:
    """Set contestants up, by key of `CONTESTANTS`, and take them down again."""
    with ExitStack() as stack:
        yield {key: CONTESTANTS[key][1](stack) for key in keys}


def configured(stack: ExitStack, **settings: Any) -> Contestant:
    """Return phasetrace with its store in a temporary folder, unless the settings name one."""
    if "store" not in settings:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-"))
        settings["store"] = Path(folder) / "traces.db"
    phasetrace.configure(**settings)
    stack.callback(phasetrace.shutdown)
    return Contestant(_PHASETRACE, _flush_phasetrace, phasetrace.timing_collector.pop)


def available() -> list[str]:
    """Return the keys of all contestants whose package is installed."""
    return [
        key
        for key in CONTESTANTS
        if key not in _FOREIGN or importlib.util.find_spec(key) is not None
    ]


def _flush_phasetrace() -> None:
    if not phasetrace.force_flush():
        raise FlushFailed("phasetrace.force_flush() returned False")


def _phasetrace(stack: ExitStack) -> Contestant:
    return configured(stack, exporters=[NullExporter()])


def _phasetrace_tracer(stack: ExitStack) -> Contestant:
    # To be set up after `phasetrace`, which has installed the provider.
    program = SpanProgram(trace.get_tracer("benchmarks"))
    return Contestant(program, _flush_phasetrace, phasetrace.timing_collector.pop)


def _phasetrace_bare(stack: ExitStack) -> Contestant:
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    stack.callback(provider.shutdown)
    return Contestant(SpanProgram(provider.get_tracer("benchmarks")))


def _sdk_bare(stack: ExitStack) -> Contestant:
    provider = stock_provider()
    stack.callback(provider.shutdown)
    return Contestant(SpanProgram(provider.get_tracer("benchmarks")))


def _sdk_aggregating(stack: ExitStack) -> Contestant:
    aggregation = AggregatingProcessor()
    provider = stock_provider(aggregation)
    stack.callback(provider.shutdown)
    program = SpanProgram(provider.get_tracer("benchmarks"))
    return Contestant(program, forget=aggregation.collector.pop)


def _sdk_batch(stack: ExitStack) -> Contestant:
    aggregation = AggregatingProcessor()
    provider = stock_provider(aggregation, batching(NullExporter()))
    stack.callback(provider.shutdown)
    program = SpanProgram(provider.get_tracer("benchmarks"))
    return Contestant(program, provider.force_flush, aggregation.collector.pop)


def _plain(stack: ExitStack) -> Contestant:
    api = PhaseApi(plain_collector.time_phase, plain_collector.atime_phase, plain_collector.timed)
    return Contestant(PhaseProgram(api), forget=plain_collector.timing_collector.pop)


def _nothing(stack: ExitStack) -> Contestant:
    scope = nullcontext()
    api = PhaseApi(
        lambda exec_id, node_id, phase, **metadata: scope,
        lambda exec_id, node_id, phase, **metadata: scope,
        lambda phase: lambda function: function,
    )
    return Contestant(PhaseProgram(api))


class _NoOpProgram(SpanProgram):
    def disabled(self, exec_id: str, operations: int) -> Work:
        """Make spans that are none."""
        return self.bare(exec_id, operations)


def _noop(stack: ExitStack) -> Contestant:
    return Contestant(_NoOpProgram(trace.NoOpTracer()))


class _LogfireTracer:
    """logfire's way to make a span, under the name that a tracer gives it."""

    def __init__(self, logfire: Any) -> None:
        self._span = logfire.span

    def start_as_current_span(self, name: str, *, attributes: Any = None) -> Any:
        return self._span(name, **(attributes or {}))


def _logfire(stack: ExitStack) -> Contestant:
    aggregation = AggregatingProcessor()
    local = importlib.import_module("logfire").configure(
        local=True,
        send_to_logfire=False,
        console=False,
        metrics=False,
        inspect_arguments=False,
        additional_span_processors=[aggregation, batching(NullExporter())],
    )
    stack.callback(local.shutdown)
    return Contestant(
        SpanProgram(_LogfireTracer(local)), local.force_flush, aggregation.collector.pop
    )


class _DatadogTracer:
    """ddtrace's way to make a span, under the name that OpenTelemetry gives it."""

    def __init__(self, tracer: Any) -> None:
        self._trace = tracer.trace

    def start_as_current_span(self, name: str, *, attributes: Any = None) -> Any:
        span = self._trace(name)
        if attributes:
            span.set_tags(attributes)
        return span


class _DropTraces:
    """A filter of ddtrace's that lets nothing be sent."""

    def process_trace(self, trace: Any) -> None:
        """Return None in place of the trace."""


def _ddtrace(stack: ExitStack) -> Contestant:
    for switch in ("INSTRUMENTATION_TELEMETRY", "REMOTE_CONFIGURATION"):
        os.environ[f"DD_{switch}_ENABLED"] = "false"
    tracer = importlib.import_module("ddtrace.trace").tracer
    tracer.configure(trace_processors=[_DropTraces()])
    return Contestant(SpanProgram(_DatadogTracer(tracer)), tracer.flush)


_PHASETRACE = PhaseProgram(
    PhaseApi(phasetrace.time_phase, phasetrace.atime_phase, phasetrace.timed)
)
_FOREIGN = ("logfire", "ddtrace")

CONTESTANTS: dict[str, tuple[str, Callable[[ExitStack], Contestant]]] = {
    "phasetrace": ("phasetrace", _phasetrace),
    "phasetrace_tracer": ("phasetrace by a tracer", _phasetrace_tracer),
    "phasetrace_bare": ("phasetrace's provider, bare", _phasetrace_bare),
    "nothing": ("nothing", _nothing),
    "plain": ("plain collector", _plain),
    "noop": ("no-op tracer", _noop),
    "sdk_bare": ("SDK, bare", _sdk_bare),
    "sdk_aggregating": ("SDK, aggregating", _sdk_aggregating),
    "sdk_batch": ("SDK, aggregating + batch", _sdk_batch),
    "logfire": ("logfire", _logfire),
    "ddtrace": ("ddtrace", _ddtrace),
}
"""Title and set-up of every contestant."""
