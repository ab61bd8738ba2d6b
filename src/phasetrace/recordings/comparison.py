"""Whether two sources tell the same of one execution: span by span, and number by number.

What is to be the same of a span is all that numbers are worked out of. A backend that keeps whole
microseconds has cut a span's start and its duration, so its start is up to 999 ns early and its end
up to 1,998 ns; nothing else may differ then. Shares are rounded to whole nanoseconds, of which one
goes here or there where two have the same claim to it, so one is no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phasetrace.breakdowns import ExecutionBreakdown
from phasetrace.errors import UnknownExecution
from phasetrace.recordings.source import Source
from phasetrace.spans import SpanRecord
from phasetrace.store.stored import StoredExecution

_COMPARED: Final = (
    "parent_id",
    "type",
    "name",
    "node_id",
    "node_type",
    "start_ns",
    "end_ns",
    "status",
    "iteration",
    "depends_on",
    "usage",
)
_HEADER: Final = ("name", "status", "trace_id", "started_ns", "duration_ns")
_WHOLE: Final = ("spans", "errors", "cancelled", "unattributed_ns")
_OF_NODE: Final = (
    "node_type",
    "count",
    "total_ns",
    "self_ns",
    "share_ns",
    "p95_ns",
    "errors",
    "cancelled",
)
_OF_PHASE: Final = (
    "count",
    "total_ns",
    "self_ns",
    "share_ns",
    "min_ns",
    "max_ns",
    "p50_ns",
    "p95_ns",
    "p99_ns",
    "errors",
    "cancelled",
)
_ROUNDED: Final = frozenset(("share_ns", "unattributed_ns"))
_CUT_NS: Final = {"start_ns": 1_000, "end_ns": 2_000}
"""By less than this, times of whole microseconds may be early."""


@dataclass(frozen=True, slots=True)
class ChangedSpan:
    """A span that both have, and its fields that differ: here, and there."""

    span: SpanRecord
    fields: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class ChangedNumber:
    """A number of a breakdown that differs; without a node it is one of the whole execution.

    None stands for a row that is not there.
    """

    node_id: str | None
    phase: str | None
    what: str
    here: Any
    there: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two sources tell of one execution.

    ``spans``, ``nodes``, ``phases`` and ``duration_ns`` are what the first has. ``missing`` are the
    spans that only the first has, by their start, and ``extra`` those that only the second has.
    ``is_cut`` tells that the second keeps whole microseconds, where the first has nanoseconds.
    ``is_whole`` tells that the breakdowns were compared, and not only the spans: those of an
    execution that has not ended are different at every moment.
    """

    execution: StoredExecution
    spans: int
    nodes: int
    phases: int
    duration_ns: int
    spans_there: int
    missing: tuple[SpanRecord, ...]
    extra: tuple[SpanRecord, ...]
    changed: tuple[ChangedSpan, ...]
    numbers: tuple[ChangedNumber, ...]
    is_cut: bool
    is_whole: bool

    @property
    def is_same(self) -> bool:
        """Nothing differs but what the second cannot keep."""
        return not (self.missing or self.extra or self.changed or self.numbers)


def compare(source: Source, execution: StoredExecution, other: Source) -> Comparison:
    """Compare what two sources tell of an execution, which is one of the first.

    Raises:
        SourceError: if the other cannot be read.
    """
    here = source.recording(execution).spans
    breakdown = source.breakdown(execution)
    there: Sequence[SpanRecord] = ()
    breakdown_there: ExecutionBreakdown | None = None
    try:
        found = other.find(execution.exec_id)
    except UnknownExecution:
        pass
    else:
        if found.exec_id == execution.exec_id:
            there, breakdown_there = other.recording(found).spans, other.breakdown(found)
    is_cut = bool(there) and _is_cut(there) and not _is_cut(here)
    missing, extra, changed = _compare_spans(here, there, is_cut)
    is_whole = execution.status in ("ok", "error", "cancelled")
    numbers: tuple[ChangedNumber, ...] = ()
    if is_whole and breakdown_there is not None and not is_cut:
        numbers = tuple(_compare_breakdowns(breakdown, breakdown_there))
    return Comparison(
        execution=execution,
        spans=len(here),
        nodes=len(breakdown.nodes),
        phases=sum(len(node.phases) for node in breakdown.nodes),
        duration_ns=breakdown.execution.duration_ns,
        spans_there=len(there),
        missing=missing,
        extra=extra,
        changed=changed,
        numbers=numbers,
        is_cut=is_cut,
        is_whole=is_whole,
    )


def _is_cut(spans: Iterable[SpanRecord]) -> bool:
    return not any(span.start_ns % 1_000 or span.end_ns % 1_000 for span in spans)


def _compare_spans(
    here: Sequence[SpanRecord], there: Sequence[SpanRecord], is_cut: bool
) -> tuple[tuple[SpanRecord, ...], tuple[SpanRecord, ...], tuple[ChangedSpan, ...]]:
    by_id_here, by_id_there = _by_id(here), _by_id(there)
    missing: list[SpanRecord] = []
    extra: list[SpanRecord] = []
    changed = []
    for span_id in by_id_here.keys() | by_id_there.keys():
        # There may be several of an id: the roots of an execution that two processes open.
        ours, theirs = by_id_here.get(span_id, []), by_id_there.get(span_id, [])
        missing += ours[len(theirs) :]
        extra += theirs[len(ours) :]
        for one, other in zip(ours, theirs, strict=False):
            fields = dict(_differences(one, other, is_cut))
            if fields:
                changed.append(ChangedSpan(one, fields))
    missing.sort(key=_by_start)
    extra.sort(key=_by_start)
    changed.sort(key=lambda one: _by_start(one.span))
    return tuple(missing), tuple(extra), tuple(changed)


def _by_id(spans: Iterable[SpanRecord]) -> dict[int, list[SpanRecord]]:
    found: dict[int, list[SpanRecord]] = {}
    for span in spans:
        found.setdefault(span.span_id, []).append(span)
    for several in found.values():
        several.sort(key=_by_start)
    return found


def _by_start(span: SpanRecord) -> tuple[int, int, int]:
    return span.start_ns, span.end_ns, span.span_id


def _differences(
    here: SpanRecord, there: SpanRecord, is_cut: bool
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in _COMPARED:
        one, other = getattr(here, name), getattr(there, name)
        if one == other or (is_cut and name in _CUT_NS and 0 <= one - other < _CUT_NS[name]):
            continue
        yield name, (one, other)


def _compare_breakdowns(
    here: ExecutionBreakdown, there: ExecutionBreakdown
) -> Iterator[ChangedNumber]:
    yield from _compare_rows(None, None, _HEADER, here.execution, there.execution)
    yield from _compare_rows(None, None, _WHOLE, here, there)
    nodes, others = ({node.node_id: node for node in one.nodes} for one in (here, there))
    for node_id in dict.fromkeys((*nodes, *others)):
        node, other = nodes.get(node_id), others.get(node_id)
        yield from _compare_rows(node_id, None, _OF_NODE, node, other)
        phases, other_phases = (
            {row.phase: row for row in one.phases} if one is not None else {}
            for one in (node, other)
        )
        for phase in dict.fromkeys((*phases, *other_phases)):
            rows = phases.get(phase), other_phases.get(phase)
            yield from _compare_rows(node_id, phase, _OF_PHASE, *rows)


def _compare_rows(
    node_id: str | None, phase: str | None, names: Sequence[str], here: object, there: object
) -> Iterator[ChangedNumber]:
    if here is None or there is None:
        count = getattr(here, "count", None), getattr(there, "count", None)
        yield ChangedNumber(node_id, phase, "count", *count)
        return
    for name in names:
        one, other = getattr(here, name), getattr(there, name)
        if one != other and not (name in _ROUNDED and abs(one - other) <= 1):
            yield ChangedNumber(node_id, phase, name, one, other)
