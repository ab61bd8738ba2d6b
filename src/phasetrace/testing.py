"""For the tests of programs that use phasetrace: what they recorded, by a clock of the test's own.

With pytest::

    pytest_plugins = ["phasetrace.testing"]  # in conftest.py

    def test_pipeline(captured_phases):
        run_pipeline("exec_1")
        assert [span.name for span in captured_phases.spans] == ["fetch", "parse", "execution"]

`capture` is the same for any other framework. Inside of it nothing is stored or exported, whatever
the environment says, ids are 1, 2, 3 …, and time passes only when the test says so.

`assert_budget` holds an execution to limits, written as those of ``phasetrace check``.
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
    answers,
    clock,
    configuration,
    faults,
    global_provider,
    phase_span,
    scopes,
    span,
    tracer,
)
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import NO_PRICES, Prices, usage_of
from phasetrace.attributes import text
from phasetrace.current import keep_apart
from phasetrace.errors import StoreError, UnknownExecution
from phasetrace.names import DEPENDS_ON, EXEC_ID
from phasetrace.pipeline import pipeline
from phasetrace.processor import record_of
from phasetrace.provider import TracerProvider
from phasetrace.spans import EXECUTION, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from phasetrace.breakdowns import ExecutionBreakdown
    from phasetrace.budgets.budget import Severity
    from phasetrace.budgets.figures import Measured

__all__ = ["Captured", "assert_budget", "capture", "forget_everything"]

STARTED_NS: Final = 1_700_000_000_000_000_000
"""When time begins (Unix ns): 2023-11-14 22:13:20 UTC."""

_FLUSH_TIMEOUT_S: Final = 5.0
_CLOCKS: Final = (clock, phase_span, span, tracer)
_READS_CLOCK: Final = "monotonic_ns"
_captures: Final[list[Captured]] = []
"""Those that go on, the innermost last."""


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

    def recording(self, exec_id: str) -> Recording:
        """Return an execution with those of its spans that have ended, for what takes single spans.

        Raises:
            UnknownExecution: if nothing of it was recorded.
        """
        header = self.breakdown(exec_id).execution
        records = [
            record
            for span in self.spans
            if _exec_id_of(span) == exec_id and (record := _detailed(span)) is not None
        ]
        roots = [record.span_id for record in records if record.type == EXECUTION]
        return Recording(header, records, roots[0] if len(roots) == 1 else None)

    def only_execution(self) -> str:
        """Return the id of the one execution that was recorded.

        Raises:
            LookupError: if there is none, or more than one; it says what there is.
        """
        found = dict.fromkeys(filter(None, map(_exec_id_of, self.spans)))
        if len(found) != 1:
            names = ", ".join(map(repr, found)) or "none at all"
            raise LookupError(f"{len(found)} executions were recorded: {names}; say which is meant")
        return next(iter(found))

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
            store=False, exporters=[captured._kept], timing="off", redact=False, disabled=False
        )
        stack.callback(_captures.remove, captured)
        _captures.append(captured)
        yield captured


def assert_budget(
    of: str | Captured | Recording | ExecutionBreakdown,
    budgets: Mapping[str, object],
    *,
    severity: Severity = "error",
    required: bool = True,
    prices: Prices = NO_PRICES,
    baseline: Path | None = None,
) -> None:
    """Raise an `AssertionError` that lists all budgets that an execution has not kept to.

    ::

        with capture() as captured:
            run_pipeline("exec_1")
            assert_budget(
                "exec_1",
                {
                    "fetch/download:p95": "2s",
                    "llm_*:tokens": 20_000,
                    "critical_path": {"limit": "30s", "severity": "warn"},
                },
            )

    The execution is given by its id (within a `capture`, else that of this process or of the
    store), as the capture that it is the only one in, as a recording, or as its breakdown: which
    does not know single spans, and so neither the critical path nor what models took.

    `severity` and `required` are for budgets that do not say themselves. A budget that is not kept
    is a `UserWarning` if its severity is ``"warn"``; one that nothing fits, or that cannot be
    judged, if it is not required: unlike under ``phasetrace check`` it is. `baseline` is a file
    that ``phasetrace check --save-baseline`` wrote, for relative budgets.

    Raises:
        AssertionError: if a budget is not kept.
        ConfigError: if one makes no sense.
        UnknownExecution: if nobody has recorded the execution.
        ValueError: if a breakdown is asked for what it does not know.
    """
    __tracebackhide__ = True
    import warnings

    from phasetrace.budgets.baseline import read_baseline
    from phasetrace.budgets.budget import parse_budgets
    from phasetrace.budgets.evaluation import Level, check
    from phasetrace.budgets.wording import explained

    parsed = parse_budgets(budgets, "assert_budget", severity, required)
    before = None if baseline is None else read_baseline(baseline)
    try:
        report = check(_measured(of, prices), parsed, before)
    except KeyError as unknown:
        raise ValueError(
            f"a breakdown does not know {unknown}; give the capture, or the execution's id in it"
        ) from None
    said = {
        level: [
            f"{one.budget.key}: {explained(one, str)}"
            for one in report.judgements
            if one.level is level
        ]
        for level in (Level.WARN, Level.FAIL)
    }
    for text_of in said[Level.WARN]:
        warnings.warn(text_of, stacklevel=2)
    if said[Level.FAIL]:
        lines = [f"{report.execution.exec_id} has not kept to its budgets", *said[Level.FAIL]]
        raise AssertionError("\n  ".join(lines))


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


def _measured(of: str | Captured | Recording | ExecutionBreakdown, prices: Prices) -> Measured:
    """Return the figures of an execution, from its spans wherever there are some."""
    from phasetrace.analysis.execution import Examination
    from phasetrace.budgets.figures import Measured, figures_of, figures_of_breakdown

    if isinstance(of, Captured):
        of = of.recording(of.only_execution())
    elif isinstance(of, str):
        of = _captures[-1].recording(of) if _captures else _recorded(of)
    if isinstance(of, Recording):
        return Measured(of.execution, figures_of(Examination(of, prices)))
    return Measured(of.execution, figures_of_breakdown(of))


def _recorded(exec_id: str) -> Recording | ExecutionBreakdown:
    """Return what the store has of an execution, else what this process has."""
    from phasetrace.store.reader import StoreReader

    path = answers._store(_FLUSH_TIMEOUT_S)
    if path is not None:
        with contextlib.suppress(UnknownExecution, StoreError), StoreReader(path) as store:
            return store.recording(store.find(text(exec_id)))
    return answers.breakdown(exec_id)


def _exec_id_of(span: ReadableSpan) -> str | None:
    exec_id = (span.attributes or {}).get(EXEC_ID)
    return None if exec_id is None else text(exec_id)


def _detailed(span: ReadableSpan) -> SpanRecord | None:
    """Return the plain values of a span, with what it says of dependencies and of models."""
    record = record_of(span)
    attributes = span.attributes or {}
    names = attributes.get(DEPENDS_ON, ())
    depends_on = (names,) if isinstance(names, str) else tuple(map(str, names or ()))  # type: ignore[arg-type]
    return record and record._replace(depends_on=depends_on, usage=usage_of(attributes))


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
