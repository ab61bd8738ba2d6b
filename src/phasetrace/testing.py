"""For the tests of programs that use phasetrace: what they recorded, by a clock of the test's own.

With pytest::

    pytest_plugins = ["phasetrace.testing"]  # in conftest.py

    def test_pipeline(captured_phases):
        run_pipeline("exec_1")
        assert [span.name for span in captured_phases.spans] == ["fetch", "parse", "exec_1"]

`capture` is the same for any other framework. Inside of it nothing is stored or exported, whatever
the environment says, ids are 1, 2, 3 …, and time passes only when the test says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from phasetrace import (
    clock,
    configuration,
    faults,
    global_provider,
    phase_span,
    scopes,
    span,
    tracer,
)
from phasetrace.current import keep_apart
from phasetrace.pipeline import pipeline
from phasetrace.provider import TracerProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phasetrace.breakdowns import ExecutionBreakdown

__all__ = ["Captured", "capture", "forget_everything"]

STARTED_NS: Final = 1_700_000_000_000_000_000
"""When time begins (Unix ns): 2023-11-14 22:13:20 UTC."""

_CLOCKS: Final = (clock, phase_span, span, tracer)
_READS_CLOCK: Final = "monotonic_ns"


class Captured:
    """What was recorded since the capture began. Thread-safe."""

    def __init__(self) -> None:
        self._kept = _Kept()
        self._now_ns = STARTED_NS

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in that order; implicit executions have ended none yet."""
        configuration.force_flush()
        return list(self._kept.spans)

    def named(self, name: str) -> ReadableSpan:
        """Return the one span of a name.

        Raises:
            LookupError: if there is none, or more than one; it says what there is.
        """
        found = [one for one in self.spans if one.name == name]
        if len(found) != 1:
            names = ", ".join(repr(one.name) for one in self.spans) or "none at all"
            raise LookupError(f"{len(found)} spans are called {name!r}; there are {names}")
        return found[0]

    def breakdown(self, exec_id: str) -> ExecutionBreakdown:
        """Return where the time of an execution went.

        Raises:
            UnknownExecution: if nothing of it was recorded.
        """
        return configuration.timing_collector.breakdown(exec_id)

    def advance(self, seconds: float) -> None:
        """Let time pass; without it, everything takes no time."""
        self._now_ns += round(seconds * 1e9)

    def _read(self) -> int:
        return self._now_ns - clock.OFFSET_NS


@contextlib.contextmanager
def capture() -> Iterator[Captured]:
    """Record into the block's value, by a clock that stands still and with ids that are counted.

    The process is afterwards as if phasetrace had never been used in it: not configured, without
    executions. To be used by one test at a time, where nothing else records.
    """
    captured = Captured()
    with contextlib.ExitStack() as stack:
        for name in ("_TRACER_PROVIDER", "_TRACER_PROVIDER_SET_ONCE"):
            if hasattr(trace, name):  # the test suite's own, which is there again afterwards
                stack.callback(setattr, trace, name, getattr(trace, name))
        stack.callback(forget_everything)
        forget_everything()
        numbers = count(1)
        for module in _CLOCKS:
            _exchange(stack, module, _READS_CLOCK, captured._read)
        next_id: Callable[[int], int] = lambda bits: next(numbers)  # noqa: E731
        _exchange(stack, phase_span, "_new_span_id", next_id)
        _exchange(stack, tracer, "_random", next_id)
        global_provider.prepare(_provider())
        configuration.ignore_origin()
        configuration.configure(
            store=False, exporters=[captured._kept], timing="off", disabled=False
        )
        yield captured


def forget_everything() -> None:
    """Bring phasetrace to where it is after an import: nothing configured, nothing recorded.

    What is finished is written out first. Whoever holds tracers of phasetrace's provider goes on
    with them in vain.
    """
    configuration.shutdown()
    configuration.timing_collector.clear()
    configuration.forget()
    global_provider.forget()
    pipeline.open.clear()
    keep_apart(False)
    faults.forget()
    if hasattr(trace, "_TRACER_PROVIDER_SET_ONCE"):
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = type(trace._TRACER_PROVIDER_SET_ONCE)()
    scopes.source.process = object()


def _provider() -> TracerProvider:
    """Return a provider that samples everything, whatever the environment says."""
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), shutdown_on_exit=False)
    provider._disabled = False
    return provider


class _Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def _exchange(stack: contextlib.ExitStack, module: Any, name: str, value: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)


try:
    import pytest
except ImportError:  # another framework
    pass
else:

    @pytest.fixture
    def captured_phases() -> Iterator[Captured]:
        """Capture what the test records; see `phasetrace.testing.capture`."""
        with capture() as captured:
            yield captured
