"""How much of executions nodes and phases account for, as far as the store can tell cheaply.

An execution's covered time is its duration less what is unattributed. Where one process ran it, the
totals say so; else it is worked out from the spans, as long as these are few. No OpenTelemetry in
here: what comes after a run must not take long.
"""

from __future__ import annotations

from phasetrace.store.reader import StoreReader
from phasetrace.store.stored import StoredExecution

MOST_READ = 10_000
"""So many spans are read between all executions that are asked for; at some 5 µs each."""


class Coverage:
    """Tells covered times from a store, of many executions one after the other."""

    def __init__(self, store: StoreReader, most_read: int = MOST_READ) -> None:
        self._store = store
        self._left = most_read

    def of(self, execution: StoredExecution) -> int:
        """Return an execution's covered time (ns).

        Where that would take too many spans to be read, what the process counted that counted most;
        and all of its duration where no process has handed its totals in.

        Raises:
            StoreError: if the store cannot be read.
        """
        counted = self._store.counted_shares_ns(execution)
        if len(counted) != 1 and execution.spans <= self._left:
            self._left -= execution.spans
            breakdown = self._store.breakdown(execution)
            return breakdown.execution.duration_ns - breakdown.unattributed_ns
        return min(execution.duration_ns, max(counted, default=execution.duration_ns))
