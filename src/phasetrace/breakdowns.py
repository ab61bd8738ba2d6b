"""Where the time of one execution went, as typed values.

Four quantities, all in integer nanoseconds:

total
    The durations of all calls, added up. A node's total is that of its own spans; a node that
    only has phases has the sum of their self times, so nested phases count once.
self
    Duration minus the part covered by child spans. The self times of a node add up to its *busy*
    time, and ``of_node`` is a phase's part of that: never more than 100 %, whatever nests or runs
    in parallel.
share
    Each instant of the execution's wall time, split evenly among the leaves active just then
    (`phasetrace.timeline` has the full definition). The shares and ``unattributed`` add up to the
    wall time exactly.
percentiles
    From a log-linear histogram; `phasetrace.histogram.RELATIVE_ERROR` bounds their error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import fsum
from typing import Any, Final

from phasetrace.shares import left_over, round_shares
from phasetrace.spans import EXECUTION, PhaseKey, SpanRecord, in_order, key_of
from phasetrace.stats import PhaseStats
from phasetrace.timeline import Timeline

BREAKDOWN_SCHEMA = "phasetrace.breakdown/1"

OpenSpan = tuple[int, int | None, int, PhaseKey | str]
"""A span that has not ended: id, parent's id, start (Unix ns), and what it will be counted under
(`EXECUTION` for a span of the execution itself)."""

_WHOLE: Final = -1
"""The id, which no span can have, of what stands for an execution of several roots or of none."""


@dataclass(frozen=True, slots=True)
class PhaseBreakdown:
    """The calls of one phase of a node."""

    phase: str
    count: int
    total_ns: int
    self_ns: int
    share_ns: int
    share: float
    of_node: float
    min_ns: int
    max_ns: int
    p50_ns: int
    p95_ns: int
    p99_ns: int
    errors: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class NodeBreakdown:
    """One node: its own calls (iterations) and its phases, longest first.

    ``count`` is 0 for a node that was only ever named by its phases. ``self_ns`` and ``of_node``
    are the part of the node that no phase covers.
    """

    node_id: str
    node_type: str | None
    count: int
    total_ns: int
    self_ns: int
    share_ns: int
    share: float
    of_node: float
    p95_ns: int
    errors: int
    cancelled: int
    phases: tuple[PhaseBreakdown, ...]


@dataclass(frozen=True, slots=True)
class ExecutionHeader:
    """What is known of an execution beside its numbers.

    ``status`` is running, ok, error, cancelled or abandoned; ``trace_id`` 32 hex digits.
    """

    exec_id: str
    name: str | None
    status: str
    trace_id: str
    started_ns: int
    duration_ns: int


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call of a node (``phase`` is None) or phase that goes on; `age_ns` since it started."""

    node_id: str
    phase: str | None
    age_ns: int


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """What is known of an execution without working out where its time went."""

    execution: ExecutionHeader
    nodes: int
    spans: int
    errors: int
    open: tuple[OpenCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecutionBreakdown:
    """Where the time of one execution went: nodes by total, longest first.

    ``open`` are the calls that have not ended yet, oldest first. What they have got so far is in
    the shares; a phase of which no call has ended has ``count`` 0.
    """

    execution: ExecutionHeader
    spans: int
    errors: int
    cancelled: int
    unattributed_ns: int
    unattributed: float
    nodes: tuple[NodeBreakdown, ...]
    open: tuple[OpenCall, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists, ready for JSON; versioned by ``schema``."""
        from phasetrace.jsonable import jsonable

        rest = jsonable(self)
        return {"schema": BREAKDOWN_SCHEMA, **rest.pop("execution"), **rest}

    def to_dataframe(self) -> Any:
        """Return a pandas or polars data frame: a row for each phase, and for each node's own time.

        Raises:
            ImportError: if neither is installed.
        """
        from phasetrace.frames import BREAKDOWN_COLUMNS, breakdown_rows, dataframe

        return dataframe(breakdown_rows(self), BREAKDOWN_COLUMNS)

    def _repr_html_(self) -> str:
        from phasetrace.html import breakdown_html

        return breakdown_html(self)

    def __str__(self) -> str:
        from phasetrace.rendering import breakdown_text

        return breakdown_text(self)


def make_breakdown(
    execution: ExecutionHeader,
    stats: Mapping[PhaseKey, PhaseStats],
    spans: int,
    unattributed_ns: int,
) -> ExecutionBreakdown:
    """Arrange the totals of an execution into its breakdown.

    Shares are rounded to whole nanoseconds such that they and the unattributed rest add up to the
    swept wall time, which is their sum before rounding.
    """
    wall_ns = unattributed_ns + round(fsum(stat.share_ns for stat in stats.values()))
    # In one order whatever the source, so that all of them give the same, to the nanosecond.
    keys = sorted(stats, key=in_order)
    shares, unattributed_ns = round_shares(
        {key: stats[key].share_ns for key in keys}, unattributed_ns, wall_ns
    )
    by_node: dict[str, dict[str | None, PhaseStats]] = {}
    for key in keys:
        by_node.setdefault(key.node_id, {})[key.phase] = stats[key]
    nodes = [_node(node_id, rows, shares, wall_ns) for node_id, rows in by_node.items()]
    nodes.sort(key=lambda node: (-node.total_ns, node.node_id))
    return ExecutionBreakdown(
        execution=execution,
        spans=spans,
        errors=sum(stat.errors for stat in stats.values()),
        cancelled=sum(stat.cancelled for stat in stats.values()),
        unattributed_ns=unattributed_ns,
        unattributed=_part(unattributed_ns, wall_ns),
        nodes=tuple(nodes),
    )


def breakdown_of(
    execution: ExecutionHeader,
    spans: Iterable[SpanRecord],
    root_id: int | None = None,
    open_spans: Iterable[OpenSpan] = (),
    now_ns: int | None = None,
) -> ExecutionBreakdown:
    """Work a breakdown out from the spans of an execution.

    `root_id` is the span whose interval is the wall time. Without one that is the extent of all
    spans, in which those of the execution itself have no share: where there are several of them (it
    was opened again), what lies between is unattributed.

    `open_spans` have not ended; they last up to `now_ns`, or without it up to the latest time that
    is known of.

    This is the definition that every other way to a breakdown is tested against.
    """
    timeline: Timeline = Timeline()
    stats: dict[PhaseKey, PhaseStats] = {}
    count = 0
    times: list[int] = [now_ns] if now_ns is not None else []
    for span in spans:
        count += 1
        key = key_of(span)
        if root_id is None:
            times += (span.start_ns, span.end_ns)
        if key is not None:
            stat = stats.get(key)
            if stat is None:
                stat = stats[key] = PhaseStats()
            stat.add(span.start_ns, max(0, span.end_ns - span.start_ns), span.status)
            stat.node_type = span.node_type or stat.node_type
        elif root_id is None:
            continue
        elif span.span_id == root_id:
            timeline.root_id = root_id
        timeline.add(span.span_id, span.parent_id, span.start_ns, span.end_ns, key or EXECUTION)
    still_open = list(open_spans)
    if root_id is None:
        times += (start_ns for _, _, start_ns, _ in still_open)
        still_open = [one for one in still_open if one[3] != EXECUTION]
        if times:
            timeline.root_id = _WHOLE
            timeline.add(_WHOLE, None, min(times), max(times), EXECUTION)
    elif any(span_id == root_id for span_id, *_ in still_open):
        timeline.root_id = root_id
    result = timeline.result(now_ns, still_open)
    for *_, open_key in still_open:
        if isinstance(open_key, PhaseKey):
            stats.setdefault(open_key, PhaseStats())
    for key, stat in stats.items():
        stat.self_ns = result.self_ns.get(key, 0)
        stat.share_ns = result.share_ns.get(key, 0.0)
    shares_ns = (stat.share_ns for stat in stats.values())
    unattributed_ns = left_over(shares_ns, result.wall_ns)
    breakdown = make_breakdown(execution, stats, count, unattributed_ns)
    return replace(breakdown, open=open_calls(still_open, now_ns or result.last_ns))


def open_calls(open_spans: Iterable[OpenSpan], now_ns: int) -> tuple[OpenCall, ...]:
    """Return the calls among open spans, oldest first."""
    return tuple(
        OpenCall(key.node_id, key.phase, max(0, now_ns - start_ns))
        for _, _, start_ns, key in sorted(open_spans, key=lambda one: one[2])
        if isinstance(key, PhaseKey)
    )


def _node(
    node_id: str,
    rows: Mapping[str | None, PhaseStats],
    shares: Mapping[PhaseKey, int],
    wall_ns: int,
) -> NodeBreakdown:
    own = rows.get(None) or PhaseStats()
    busy_ns = sum(stat.self_ns for stat in rows.values())
    share_ns = sum(shares.get(PhaseKey(node_id, phase), 0) for phase in rows)
    phases = [
        _phase(name, stat, shares.get(PhaseKey(node_id, name), 0), wall_ns, busy_ns)
        for name, stat in rows.items()
        if name is not None
    ]
    phases.sort(key=lambda row: (-row.total_ns, row.phase))
    return NodeBreakdown(
        node_id=node_id,
        node_type=next((stat.node_type for stat in rows.values() if stat.node_type), None),
        count=own.count,
        total_ns=own.total_ns if own.count else busy_ns,
        self_ns=own.self_ns,
        share_ns=share_ns,
        share=_part(share_ns, wall_ns),
        of_node=_part(own.self_ns, busy_ns),
        p95_ns=own.quantile(0.95),
        errors=sum(stat.errors for stat in rows.values()),
        cancelled=sum(stat.cancelled for stat in rows.values()),
        phases=tuple(phases),
    )


def _phase(
    name: str, stat: PhaseStats, share_ns: int, wall_ns: int, busy_ns: int
) -> PhaseBreakdown:
    return PhaseBreakdown(
        phase=name,
        count=stat.count,
        total_ns=stat.total_ns,
        self_ns=stat.self_ns,
        share_ns=share_ns,
        share=_part(share_ns, wall_ns),
        of_node=_part(stat.self_ns, busy_ns),
        min_ns=stat.min_ns,
        max_ns=stat.max_ns,
        p50_ns=stat.quantile(0.50),
        p95_ns=stat.quantile(0.95),
        p99_ns=stat.quantile(0.99),
        errors=stat.errors,
        cancelled=stat.cancelled,
    )


def _part(part_ns: int, whole_ns: int) -> float:
    return part_ns / whole_ns if whole_ns > 0 else 0.0
