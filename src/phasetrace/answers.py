"""What a program can ask about its executions, wherever their numbers are by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasetrace import configuration
from phasetrace.attributes import text
from phasetrace.errors import StoreError, UnknownExecution
from phasetrace.settings import settings_or_defaults
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from pathlib import Path

    from phasetrace.breakdowns import ExecutionBreakdown

_FLUSH_TIMEOUT_S = 5.0


def breakdown(exec_id: str) -> ExecutionBreakdown:
    """Return where the time of an execution went, so far or in the end.

    The collector of this process answers, and for what it does not hold (it was popped, or another
    process ran it) the store, if there is one.

    Raises:
        UnknownExecution: if neither knows the execution: it never ran, recording is switched off
            (``OTEL_SDK_DISABLED``), or the store no longer has it, or cannot be read.
    """
    exec_id = text(exec_id)
    try:
        return configuration.timing_collector.breakdown(exec_id)
    except UnknownExecution as unknown:
        path = _store()
        if path is None:
            raise
        nearest = unknown.nearest
    try:
        with StoreReader(path) as store:
            return store.breakdown(store.find(exec_id))
    except UnknownExecution as unknown:
        nearest = tuple(dict.fromkeys((*nearest, *unknown.nearest)))
        raise UnknownExecution(exec_id, nearest) from None
    except StoreError as error:  # missing, or unreadable
        raise UnknownExecution(exec_id, nearest) from error


def _store() -> Path | None:
    """Return the path of the store, brought up to date."""
    tracing = configuration.latest_tracing()
    if tracing is None:
        return settings_or_defaults().store
    if tracing.writer is not None:
        tracing.writer.flush(_FLUSH_TIMEOUT_S)
    return tracing.settings.store
