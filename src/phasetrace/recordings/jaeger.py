"""Executions in Jaeger, read over its query API.

The trace of an execution is found by its id, which follows from the ``exec_id``. What began within
another execution, or below a parent from elsewhere, is in that one's trace, and what names its
execution only may be in both: then Jaeger is asked which traces have spans of the ``exec_id``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from phasetrace import clock
from phasetrace.analysis.recording import Recording
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionSummary
from phasetrace.errors import SourceError, UnknownExecution
from phasetrace.identity import trace_id_of
from phasetrace.names import EXEC_ID
from phasetrace.recordings.assembled import AssembledSource, unknown
from phasetrace.recordings.json_values import MalformedJson, text_of
from phasetrace.recordings.otlp_json import SpanDecoder
from phasetrace.recordings.query_api import QueryApi, Stretch
from phasetrace.recordings.source import EVERYTHING, Where, outermost
from phasetrace.recordings.uncollected import uncollected
from phasetrace.store.selection import literal_in
from phasetrace.store.stored import StoredExecution

_MOST: Final = 100
"""Traces of a service that are looked at, unless fewer will do; Jaeger's own default."""
_FEW: Final = 20
"""The same where few executions are asked for: backends do not sort strictly."""
_DAY_NS: Final = 86_400 * 1_000_000_000
_REACHES: Final = (2 * _DAY_NS, 60 * _DAY_NS)
"""How far back is looked, and then, if there was too little; some storages have an index a day."""
_AHEAD_NS: Final = _DAY_NS // 24
"""Clocks of other machines may be ahead."""
_QUIET_NS: Final = 600 * 1_000_000_000
"""What has no ended root runs, as long as something in it has ended within these ten minutes."""

_TRACE_ID: Final = re.compile("[0-9a-fA-F]{32}")


class JaegerSource:
    """A Jaeger's executions; a `phasetrace.recordings.source.Source`.

    Every search asks Jaeger, and gets whole traces: it has no shorter answer. What was found is
    kept, so that asking for its spans afterwards takes no request.
    """

    is_remote = True

    def __init__(
        self,
        url: str,
        now_ns: clock.NowNs = clock.now_ns,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._api = QueryApi(url, headers)
        self._now_ns = now_ns
        self._holders: dict[str, AssembledSource] = {}
        """What was found last, by the ids of its executions."""
        self.notes: tuple[str, ...] = ()

    def __enter__(self) -> JaegerSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was found."""
        self._holders.clear()

    def executions(
        self, limit: int | None = None, where: Where = EVERYTHING
    ) -> list[StoredExecution]:
        """Return executions, the one that started last first.

        Of the traces of the last 60 days, or since the time asked for: up to 100 a service, and no
        more than 20 where Jaeger can tell which they are, and fewer than that are asked for.
        """
        name = literal_in(where.name) if where.name is not None else None
        is_told = where == Where(name and where.name, since_ns=where.since_ns)
        traces = max(limit, _FEW) if limit is not None and is_told else max(limit or 0, _MOST)
        found: list[StoredExecution] = []
        services = self._api.services()
        for within in self._stretches(where.since_ns):
            holder = self._loaded(
                document
                for service in services
                for document in self._api.search(service, within, traces, name)
            )
            found = holder.executions(limit, where)
            if limit is not None and len(found) >= limit:
                break
        return found

    def latest(self) -> StoredExecution:
        """Return the execution that started last.

        Raises:
            UnknownExecution: if there is none.
        """
        executions = self.executions(limit=1)
        if not executions:
            raise UnknownExecution("latest")
        return executions[0]

    def find(self, exec_id: str) -> StoredExecution:
        """Return an execution by its id; by the id of its trace where no execution has that one.

        Raises:
            UnknownExecution: with the ids that come nearest.
        """
        exec_id = text_of(exec_id)
        trace_id = f"{trace_id_of(exec_id):032x}"
        documents = self._api.trace(trace_id)
        holder = self._loaded(documents)
        found = holder.find(exec_id) if exec_id in holder else None
        if found is None or found.root_span_id is None:
            elsewhere = self._traces_with(exec_id, found) - {trace_id}
            for other in sorted(elsewhere):
                documents += self._api.trace(other)
            if elsewhere:
                holder = self._loaded(documents)
        if exec_id in holder:
            return holder.find(exec_id)
        if _TRACE_ID.fullmatch(exec_id):
            executions = self._loaded(self._api.trace(exec_id.lower())).executions()
            if executions:
                return outermost(executions)
        raise unknown(exec_id, [one.exec_id for one in self.executions(_FEW)])

    def summary(self, execution: StoredExecution) -> ExecutionSummary:
        """Return what is known of an execution without working a breakdown out."""
        return self._holders[execution.exec_id].summary(execution)

    def breakdown(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        recording: Recording | None = None,
    ) -> ExecutionBreakdown:
        """Return where an execution's time went, worked out from its `recording`."""
        return self._holders[execution.exec_id].breakdown(execution, rolled_up, recording)

    def within(self, execution: StoredExecution) -> int:
        """Return how many executions were started within one, at any depth, of those found."""
        return self._holders[execution.exec_id].within(execution)

    def recording(
        self, execution: StoredExecution, rolled_up: bool = False, with_metadata: bool = False
    ) -> Recording:
        """Return an execution with all its spans, and what they say of themselves."""
        return self._holders[execution.exec_id].recording(execution, rolled_up, with_metadata)

    def traces(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        only: Collection[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Give an execution's spans as ``TracesData`` of OTLP's JSON; asks for them once more."""
        try:
            yield from self._holders[execution.exec_id].traces(execution, rolled_up, only)
        except MalformedJson as error:
            raise SourceError(f"{self._api.origin} answers no OTLP JSON: {error}") from None

    def _traces_with(self, exec_id: str, found: StoredExecution | None) -> set[str]:
        """Return the traces that have spans of an execution, of which some may be found already."""
        stretches = self._stretches(None)
        if found is not None:
            end_ns = found.started_ns + found.duration_ns
            stretches = iter([Stretch(found.started_ns - _DAY_NS, end_ns + _DAY_NS)])
        services = self._api.services()
        for within in stretches:
            traces = {
                trace_id
                for service in services
                for trace_id in self._api.trace_ids_with(service, EXEC_ID, exec_id, within)
            }
            if traces:
                return traces
        return set()

    def _stretches(self, since_ns: int | None) -> Iterator[Stretch]:
        """Give where to search, the nearest first."""
        now_ns = self._now_ns()
        if since_ns is not None:
            yield Stretch(min(since_ns, now_ns), now_ns + _AHEAD_NS)
            return
        for reach_ns in _REACHES:
            yield Stretch(now_ns - reach_ns, now_ns + _AHEAD_NS)

    def _loaded(self, documents: Iterable[Any]) -> AssembledSource:
        """Return what some traces hold, and keep it."""
        decoder = SpanDecoder()
        spans = []
        now_ns = self._now_ns()
        with uncollected():
            for document in documents:
                try:
                    spans += decoder.decode(document)
                except MalformedJson as error:
                    raise SourceError(f"{self._api.origin} answers no OTLP JSON: {error}") from None
            holder = AssembledSource(
                spans,
                lambda last_ns: "running" if now_ns - last_ns < _QUIET_NS else "abandoned",
                lambda ids: (one for trace_id in ids for one in self._api.trace(trace_id)),
            )
        for execution in holder.executions():
            # What a search finds may be less than all of it.
            known = self._holders.get(execution.exec_id)
            if known is None or known.find(execution.exec_id).spans <= execution.spans:
                self._holders[execution.exec_id] = holder
        self.notes = tuple(dict.fromkeys((*self.notes, *holder.notes)))
        return holder
