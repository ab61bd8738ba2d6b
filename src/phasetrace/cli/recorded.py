"""Finding out what is to be compared of a run's executions (`phasetrace.cli.main_execution`).

The store's numbers are those of all processes. What is in no store, or could not be written there,
the collector may still hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from phasetrace.cli.main_execution import Recorded
from phasetrace.errors import PhasetraceError
from phasetrace.identity import trace_id_of
from phasetrace.store.coverage import Coverage
from phasetrace.store.reader import StoreReader
from phasetrace.store.stored import StoredExecution

if TYPE_CHECKING:
    from phasetrace.collector import TimingCollector
    from phasetrace.configuration import Tracing

MOST_COMPARED: Final = 1_000
"""Of more executions than that the latest are compared, and the run's own."""


def recorded(tracing: Tracing, exec_ids: Sequence[str], own: str) -> list[Recorded]:
    """Return what is known of those of the executions that somebody has the numbers of, in order.

    `own` is the id of the run's own execution, which may be among them.
    """
    latest = exec_ids[-MOST_COMPARED:]
    if own in exec_ids and own not in latest:
        latest = [own, *latest]
    found = {one.exec_id: one for one in _stored(tracing, latest, own)}
    missing = [one for one in latest if one not in found]
    found.update((one.exec_id, one) for one in _held(tracing.collector, missing))
    return [found[one] for one in latest if one in found]


def stored_executions(store: StoreReader, exec_ids: Sequence[str]) -> list[StoredExecution]:
    """Return those of the executions that a store has.

    Raises:
        StoreError: if the store cannot be read.
    """
    return [store.find(one) for one in exec_ids if store.knows(one)]


def _stored(tracing: Tracing, exec_ids: Sequence[str], own: str) -> list[Recorded]:
    if tracing.settings.store is None:
        return []
    found: list[Recorded] = []
    # Where it could not be stored, that was said then.
    with (
        contextlib.suppress(PhasetraceError, OSError),
        StoreReader(tracing.settings.store) as store,
    ):
        coverage = Coverage(store)
        executions = stored_executions(store, exec_ids)
        executions.sort(key=lambda one: one.exec_id != own)  # as long as spans may be read for it
        for one in executions:
            found.append(
                Recorded(
                    one.exec_id,
                    one.started_ns,
                    one.duration_ns,
                    coverage.of(one),
                    one.parent_exec_id,
                )
            )
    return found


def _held(collector: TimingCollector, exec_ids: Sequence[str]) -> list[Recorded]:
    """Return what the collector holds; what is in another one's trace was started within that."""
    by_trace = {f"{trace_id_of(one):032x}": one for one in exec_ids}
    found = []
    for exec_id in exec_ids:
        if collector.extent(exec_id) is None:  # else near ones are looked for, by more imports
            continue
        try:
            held = collector.breakdown(exec_id)
        except PhasetraceError:
            continue
        header = held.execution
        within = by_trace.get(header.trace_id)
        found.append(
            Recorded(
                exec_id,
                header.started_ns,
                header.duration_ns,
                header.duration_ns - held.unattributed_ns,
                within if within != exec_id else None,
            )
        )
    return found
