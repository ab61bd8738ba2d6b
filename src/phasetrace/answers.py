"""What a program can ask about its executions, wherever their numbers are by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasetrace import configuration
from phasetrace.attributes import text
from phasetrace.errors import StoreError, UnknownExecution
from phasetrace.recordings.references import resolve
from phasetrace.settings import settings_or_defaults
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from phasetrace.analysis.execution import ExecutionAnalysis
    from phasetrace.analysis.usage import Prices
    from phasetrace.breakdowns import ExecutionBreakdown
    from phasetrace.reports.report import Report

_FLUSH_TIMEOUT_S = 5.0
_LOOK_TIMEOUT_S = 0.2
"""Where this process has an answer, and asks only whether others have taken part."""


def breakdown(exec_id: str, rolled_up: bool = False) -> ExecutionBreakdown:
    """Return where the time of an execution went, so far or in the end.

    The collector of this process answers; and the store, if there is one, for what the collector
    does not hold, or not all of: it was popped, or other processes took part. What is in the store
    may be called as on the command line: also by its name, as ``latest`` or ``latest~1``.

    `rolled_up` asks the store to have sub-executions among the nodes, called by their names.

    Raises:
        UnknownExecution: if neither knows the execution: it never ran, recording is switched off
            (``OTEL_SDK_DISABLED``), or the store no longer has it, or cannot be read.
    """
    exec_id = text(exec_id)
    held: ExecutionBreakdown | None = None
    nearest: tuple[str, ...] = ()
    try:
        held = configuration.timing_collector.breakdown(exec_id)
    except UnknownExecution as unknown:
        nearest = unknown.nearest
    path = _store(_FLUSH_TIMEOUT_S if held is None else _LOOK_TIMEOUT_S)
    if path is not None:
        try:
            with StoreReader(path) as store:
                stored = resolve(store, exec_id)
                if held is None or rolled_up or stored.spans > held.spans:
                    return store.breakdown(stored, rolled_up)
        except UnknownExecution as unknown:
            nearest = tuple(dict.fromkeys((*nearest, *unknown.nearest)))
        except StoreError as error:  # missing, or unreadable
            if held is None:
                raise UnknownExecution(exec_id, nearest) from error
    if held is None:
        raise UnknownExecution(exec_id, nearest)
    return held


def analyse(
    exec_id: str,
    *,
    rolled_up: bool = False,
    prices: Mapping[str, tuple[float, float]] | None = None,
) -> ExecutionAnalysis:
    """Return what determined how long an execution took, and what would make it faster.

    From the spans in the store, where it may be called as in `breakdown`; of an execution that goes
    on, what is there within 200 ms of now.
    `rolled_up` has sub-executions among its nodes. `prices` are what models cost for a million
    tokens, of input and of output, by the model's name or a pattern; without any, those of the
    project file (``[tool.phasetrace.prices]``).

    Raises:
        UnknownExecution: if the store does not know the execution.
        StoreError: if there is no store, or it cannot be read.
        ConfigError: if the project file cannot be read.
    """
    from phasetrace.analysis.execution import Examination, analysis_of

    path = _store(_FLUSH_TIMEOUT_S)
    if path is None:
        raise StoreError("an analysis needs the spans, and the store is off (PHASETRACE_STORE)")
    table = _prices(prices)
    with StoreReader(path) as store:
        execution = resolve(store, text(exec_id))
        recording = store.recording(execution, rolled_up, with_metadata=True)
    return analysis_of(Examination(recording, table))


def report(
    execution: str,
    *,
    compare: str | None = None,
    source: str | None = None,
    rolled_up: bool = False,
    prices: Mapping[str, tuple[float, float]] | None = None,
) -> Report:
    """Return the page of ``phasetrace report`` about an execution, for a notebook or a file.

    An execution is called as on the command line: by its id or name, as ``latest``, or by the file
    it is in; so is another one to `compare` it with. They are looked for in the store, or in a
    `source` like that of ``--source``. `rolled_up` and `prices` are as in `analyse`.

    Raises:
        UnknownExecution: if there is no such execution.
        UsageError: if a file has several executions, and none of them is named.
        SourceError: if the source, or a file, is not what executions can be read from.
        StoreError: if there is no store, or it cannot be read.
        ConfigError: if the project file cannot be read.
    """
    from phasetrace.reports.report import make_report

    if source is None:
        path = _store(_FLUSH_TIMEOUT_S)
        source = str(path) if path is not None and path.exists() else None
    return make_report(
        text(execution), compare, source, rolled_up=rolled_up, prices=_prices(prices)
    )


def _prices(given: Mapping[str, tuple[float, float]] | None) -> Prices:
    from phasetrace.analysis.usage import Price
    from phasetrace.project_file import load_prices

    if given is None:
        return load_prices()
    return {model: Price(*price) for model, price in given.items()}


def _store(timeout_s: float) -> Path | None:
    """Return the path of the store, brought up to date."""
    tracing = configuration.latest_tracing()
    if tracing is None:
        return settings_or_defaults().store
    if tracing.writer is not None:
        tracing.writer.flush(timeout_s)
    return tracing.settings.store
