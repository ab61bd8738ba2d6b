"""Executions put together from spans that were received from elsewhere.

A store notes an execution's row as its spans come in; here all spans are there at once, and what
the row would say is worked out from them, by the rules of `phasetrace.store.rows` and
`phasetrace.store.stored`: the first span that opens an execution is its root, an implicit one has
no name, one that was opened several times lasts from the first to the last.

A span that names no execution belongs to none, as in the store: what other libraries record inside
a phase has the phase's ids. Only where no span names one, the traces are somebody else's. Each is
then an execution by the name of its root span, and each span a phase of the service that made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from phasetrace.analysis.recording import Recording
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionSummary
from phasetrace.errors import UnknownExecution
from phasetrace.recordings.json_values import text_of
from phasetrace.recordings.originals import exec_id_of, span_id_in, trace_id_in, traces_data
from phasetrace.recordings.otlp_json import UNKNOWN_SERVICE, DecodedSpan
from phasetrace.recordings.source import EVERYTHING, Where
from phasetrace.rollup import SEPARATOR, spans_within
from phasetrace.spans import EXECUTION, SYSTEM_NODE, SpanRecord
from phasetrace.store.reader import root_around
from phasetrace.store.selection import admits
from phasetrace.store.stored import StoredExecution, header_of

WHOLE_MICROSECONDS: Final = "all times are whole microseconds, which is what some backends keep"

_LEFT_OUT: Final = (
    "names no execution and counts for none",
    "name no execution and count for none",
)

_TELLING: Final = 20
"""More spans than these do not all start and end at whole microseconds by chance."""
_LONGEST_NEAREST: Final = 200
_NAMED: Final = 3
_LONGEST_SERVICE: Final = 64


class AssembledSource:
    """Executions and their spans, all of them in memory; a `phasetrace.recordings.source.Source`.

    What has no ended root has the status that `unended` gives for the time at which the last of its
    spans ended: nobody who reads from elsewhere can tell whether its process is still there. Spans
    that come twice count once. The rows of executions are numbers by their start.

    `documents` gives the messages of some traces, by their ids, once more.
    """

    is_remote = False

    def __init__(
        self,
        spans: Iterable[DecodedSpan],
        unended: Callable[[int], str],
        documents: Callable[[Iterable[str]], Iterable[Any]] = lambda _: (),
    ) -> None:
        self._documents = documents
        known = list(_unique(spans))
        left_out: Counter[str] = Counter()  # by their service
        by_exec_id: dict[str, list[DecodedSpan]] = {}
        self.is_foreign = bool(known) and all(one.exec_id is None for one in known)
        """No span names an execution."""
        for one in _named_by_traces(known) if self.is_foreign else known:
            if one.exec_id is None:
                left_out[one.service] += 1
            else:
                by_exec_id.setdefault(one.exec_id, []).append(one)
        self._spans: dict[str, list[SpanRecord]] = {}
        self._trace_ids: dict[str, list[str]] = {}
        found = []
        for exec_id, members in by_exec_id.items():
            # As a store has them, whose last word on a node's type counts: by their ends.
            members.sort(key=lambda one: one.span.end_ns)
            self._spans[exec_id] = [one.span for one in members]
            self._trace_ids[exec_id] = list(dict.fromkeys(one.trace_id for one in members))
            if self.is_foreign:
                found.append(_of_trace(_stored_execution(exec_id, members, unended), members))
            else:
                found.append(_stored_execution(exec_id, members, unended))
        found.sort(key=lambda one: (one.started_ns, one.exec_id))
        self._executions = {one.exec_id: one._replace(row=row) for row, one in enumerate(found)}
        self.notes = tuple(_notes(known, left_out))

    def __enter__(self) -> AssembledSource:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def __contains__(self, exec_id: object) -> bool:
        return exec_id in self._executions

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def executions(
        self, limit: int | None = None, where: Where = EVERYTHING
    ) -> list[StoredExecution]:
        """Return executions, the one that started last first."""
        newest_first = reversed(self._executions.values())
        return [one for one in newest_first if admits(where, one)][:limit]

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
        """Return an execution by its id.

        Raises:
            UnknownExecution: with the ids that come nearest.
        """
        found = self._executions.get(text_of(exec_id))
        if found is None:
            raise unknown(exec_id, self._executions)
        return found

    def summary(self, execution: StoredExecution) -> ExecutionSummary:
        """Return what is known of an execution without working a breakdown out."""
        spans = self._spans[execution.exec_id]
        nodes = {span.node_id or SYSTEM_NODE for span in spans if span.type != EXECUTION}
        return ExecutionSummary(header_of(execution), len(nodes), execution.spans, execution.errors)

    def breakdown(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        recording: Recording | None = None,
    ) -> ExecutionBreakdown:
        """Return where an execution's time went, worked out from its `recording`."""
        return (recording or self.recording(execution, rolled_up)).breakdown()

    def within(self, execution: StoredExecution) -> int:
        """Return how many executions were started within one, at any depth."""
        return sum(1 for _ in self._sub_executions(execution))

    def recording(
        self, execution: StoredExecution, rolled_up: bool = False, with_metadata: bool = False
    ) -> Recording:
        """Return an execution with all its spans, and what they say of themselves."""
        spans: Sequence[SpanRecord] = self._spans[execution.exec_id]
        root_id = None
        if execution.openings == 1:
            root_id = execution.root_span_id or root_around(list(spans))
        if rolled_up:
            within = [
                placed
                for sub, label in self._sub_executions(execution)
                for placed in spans_within(self._spans[sub.exec_id], label)
            ]
            spans = [*spans, *within]
        return Recording(header_of(execution), spans, root_id)

    def traces(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        only: Collection[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Give an execution's spans as ``TracesData`` of OTLP's JSON, each span once.

        `only` are the ids of those that are wanted; None is all.
        """
        subs = self._sub_executions(execution) if rolled_up else ()
        ids = {execution.exec_id, *(sub.exec_id for sub, _ in subs)}
        named_by = trace_id_in if self.is_foreign else exec_id_of
        trace_ids = dict.fromkeys(one for exec_id in ids for one in self._trace_ids[exec_id])

        def wanted(span: Mapping[str, Any]) -> bool:
            return (only is None or span_id_in(span) in only) and named_by(span) in ids

        return traces_data(self._documents(trace_ids), wanted)

    def _sub_executions(self, execution: StoredExecution) -> Iterator[tuple[StoredExecution, str]]:
        """Give what was started within an execution, at any depth, and what it is called there.

        Each once, also where two are said to be within each other.
        """
        started_in: dict[str, list[StoredExecution]] = {}
        for one in self._executions.values():
            if one.parent_exec_id is not None:
                started_in.setdefault(one.parent_exec_id, []).append(one)
        seen = {execution.exec_id}
        waiting = [(execution, "")]
        while waiting:
            outer, label = waiting.pop()
            for sub in started_in.get(outer.exec_id, ()):
                if sub.exec_id not in seen:
                    seen.add(sub.exec_id)
                    within = f"{label}{SEPARATOR}" if label else ""
                    waiting.append((sub, f"{within}{sub.name or sub.exec_id}"))
                    yield waiting[-1]


def is_on_others(note: str) -> bool:
    """Tell whether a note of a source is about spans that belong to none of its executions."""
    return note.endswith(_LEFT_OUT)


def unknown(exec_id: str, ids: Iterable[str]) -> UnknownExecution:
    """Return the error for an id that is not among these, with those that come nearest."""
    from difflib import get_close_matches

    # Comparing two takes the square of their length, so that huge ones are left out.
    short = [one for one in ids if len(one) <= _LONGEST_NEAREST]
    return UnknownExecution(exec_id, tuple(get_close_matches(exec_id, short, 3, 0.5)))


def _unique(spans: Iterable[DecodedSpan]) -> Iterator[DecodedSpan]:
    """Give each span once, however often it was delivered.

    The times belong to what tells them apart: an execution that two processes open has two roots of
    the same id.
    """
    seen: set[tuple[str, int, int, int]] = set()
    for one in spans:
        span = one.span
        key = (one.trace_id, span.span_id, span.start_ns, span.end_ns)
        if key not in seen:
            seen.add(key)
            yield one


def _named_by_traces(spans: Iterable[DecodedSpan]) -> Iterator[DecodedSpan]:
    """Give spans that name no execution as those of executions that their traces are."""
    for one in spans:
        span = one.span._replace(node_id=one.service)
        yield one._replace(exec_id=one.trace_id, span=span)


def _of_trace(execution: StoredExecution, members: Sequence[DecodedSpan]) -> StoredExecution:
    """Return an execution that is somebody else's trace: its root says its name and its status."""
    ids = {one.span.span_id for one in members}
    tops = [one.span for one in members if one.span.parent_id not in ids]
    root = min(
        tops or [one.span for one in members], key=lambda span: (span.start_ns, -span.end_ns)
    )
    return execution._replace(name=root.name or None, status=root.status)


class _Roots:
    """What the spans of an execution itself say of it, told in the order of their starts."""

    def __init__(self, members: Sequence[DecodedSpan]) -> None:
        self.root: DecodedSpan | None = None
        """The first one that opened it explicitly."""
        self.started_ns = min(one.span.start_ns for one in members)
        self.ended_ns: int | None = None
        self.status = "ok"
        roots = [one for one in members if one.span.type == EXECUTION]
        self.openings = len(roots)
        for one in sorted(roots, key=lambda one: (one.span.start_ns, -one.span.end_ns)):
            if not one.implicit:
                self._open(one)
            elif self.root is not None:
                continue
            end_ns = one.span.end_ns
            if (self.ended_ns or 0) <= end_ns:
                self.ended_ns, self.status = end_ns, one.span.status

    def _open(self, one: DecodedSpan) -> None:
        if self.root is None:
            self.started_ns = one.span.start_ns
        elif self.root.span.span_id != one.span.span_id:
            return  # opened again, below the root
        self.root = one


def _stored_execution(
    exec_id: str, members: Sequence[DecodedSpan], unended: Callable[[int], str]
) -> StoredExecution:
    """Return what a store would say of an execution."""
    roots = _Roots(members)
    root = roots.root
    errors = sum(one.span.status == "error" and one.span.type != EXECUTION for one in members)
    until_ns = max(one.span.end_ns for one in members)
    status = roots.status
    if roots.ended_ns is None:
        status = unended(until_ns)
    elif root is None and status == "ok" and errors:
        status = "error"
    if root is not None and roots.ended_ns is not None and roots.openings <= 1:
        until_ns = roots.ended_ns
    return StoredExecution(
        row=0,
        exec_id=exec_id,
        name=root.span.name if root is not None else None,
        trace_id=(root or members[0]).trace_id,
        root_span_id=root.span.span_id if root is not None else None,
        parent_exec_id=root.parent_exec_id if root is not None else None,
        status=status,
        started_ns=roots.started_ns,
        duration_ns=max(0, until_ns - roots.started_ns),
        spans=len(members),
        errors=errors,
        openings=roots.openings,
    )


def _notes(spans: Sequence[DecodedSpan], left_out: Counter[str]) -> Iterator[str]:
    if len(spans) > _TELLING and not any(
        one.span.start_ns % 1_000 or one.span.end_ns % 1_000 for one in spans
    ):
        yield WHOLE_MICROSECONDS
    if left_out:
        whose = _whose([name for name, _ in left_out.most_common() if name != UNKNOWN_SERVICE])
        if left_out.total() == 1:
            yield f"1 span{whose} {_LEFT_OUT[0]}"
        else:
            yield f"{left_out.total()} spans{whose} {_LEFT_OUT[1]}"


def _whose(services: Sequence[str]) -> str:
    """Return by which services spans are, up to three of them by name."""
    if not services:
        return ""
    named = [f"{name[:_LONGEST_SERVICE]!r}" for name in services[:_NAMED]]
    more = len(services) - len(named)
    if more:
        named.append(f"{more} other service{'' if more == 1 else 's'}")
    return f" of {' and '.join(filter(None, (', '.join(named[:-1]), named[-1])))}"
