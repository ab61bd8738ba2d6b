"""What every place answers that executions can be read from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from phasetrace.analysis.recording import Recording
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionSummary
from phasetrace.store.stored import StoredExecution


class Where(NamedTuple):
    """Which executions are asked for; None is any.

    ``name`` is compared whole, unless it has ``*``, ``?`` or ``[`` in it (`fnmatch`). Times are
    nanoseconds: started at ``since_ns`` or later, took ``longer_than_ns`` or longer. Sub-executions
    count as any other. ``trace_id`` is 32 hex digits, in lower case.
    """

    name: str | None = None
    status: str | None = None
    since_ns: int | None = None
    longer_than_ns: int | None = None
    trace_id: str | None = None


EVERYTHING: Final = Where()


def outermost(executions: Sequence[StoredExecution]) -> StoredExecution:
    """Return the execution of a trace that is within none of the others, the first of several.

    They are given as sources do, the one that started last first; there is one at least.
    """
    ids = {one.exec_id for one in executions}
    outer = [one for one in executions if one.parent_exec_id not in ids]
    return (outer or executions)[-1]


class Source(Protocol):
    """Executions and their spans, newest first. Not thread-safe; close it afterwards.

    ``StoredExecution.row`` means something to the source that it came from, and to nobody else.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """Return sentences about what was read so far, where something limits what it can tell."""

    @property
    def is_remote(self) -> bool:
        """Tell whether executions are fetched with all their spans, so that few are to be asked."""

    def __enter__(self) -> Source: ...

    def __exit__(self, *exception: object) -> None: ...

    def close(self) -> None:
        """Let go of what is open."""

    def executions(
        self, limit: int | None = None, where: Where = EVERYTHING
    ) -> list[StoredExecution]:
        """Return executions, the one that started last first."""

    def latest(self) -> StoredExecution:
        """Return the execution that started last.

        Raises:
            UnknownExecution: if there is none.
        """

    def find(self, exec_id: str) -> StoredExecution:
        """Return an execution by its id.

        Raises:
            UnknownExecution: with the ids that come nearest.
        """

    def summary(self, execution: StoredExecution) -> ExecutionSummary:
        """Return what is known of an execution without working a breakdown out."""

    def breakdown(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        recording: Recording | None = None,
    ) -> ExecutionBreakdown:
        """Return where an execution's time went.

        Who has the `recording` already, of the same kind, spares the spans being read once more.
        """

    def within(self, execution: StoredExecution) -> int:
        """Return how many executions were started within one, at any depth."""

    def recording(
        self, execution: StoredExecution, rolled_up: bool = False, with_metadata: bool = False
    ) -> Recording:
        """Return an execution with all its spans, and what they say of themselves.

        Without `with_metadata` the hashes of their metadata may be missing.
        """

    def traces(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        only: Collection[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Give an execution's finished spans as ``TracesData`` of OTLP's JSON, each span once.

        With all they have: their resource, their scope, events and links. `rolled_up` has the spans
        of sub-executions among them. `only` has those left out that have none of these ids, without
        decoding them.
        """
