"""The figures of an execution that budgets can limit: of the whole, of its nodes, of its phases.

What each is called in a budget, its unit, and where it comes from; `phasetrace.breakdowns` and
`phasetrace.analysis.groups` define what the numbers mean. Two of the whole are named here only:

duration
    How long the execution took, from its start to its end.
critical_path
    The part of the duration in which nodes and phases determined when it would end: the critical
    path without what the execution itself owns of it, and without waiting. A program that idles
    between its nodes takes longer, and its critical path does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.groups import BY, Group, Groups
from phasetrace.analysis.usage import Spent
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionHeader, NodeBreakdown
from phasetrace.budgets.amounts import Amount, Unit
from phasetrace.spans import PhaseKey

Figure = Amount | None
"""An amount in its quantity's unit; None where nothing is known of it."""
Row = Mapping[str, Figure]
"""The figures of one thing by quantity; what its source cannot tell is not in there."""

_CALLS: Final = {
    "total": Unit.TIME,
    "self": Unit.TIME,
    "share": Unit.PART,
    "critical": Unit.TIME,
    "max": Unit.TIME,
    "p50": Unit.TIME,
    "p95": Unit.TIME,
    "p99": Unit.TIME,
    "count": Unit.NUMBER,
}
_OUTCOMES: Final = {"errors": Unit.NUMBER, "cancelled": Unit.NUMBER}
_USAGE: Final = {
    "tokens": Unit.NUMBER,
    "input_tokens": Unit.NUMBER,
    "output_tokens": Unit.NUMBER,
    "unpriced": Unit.NUMBER,
    "cost": Unit.MONEY,
}
_WHOLE: Final = {
    "duration": Unit.TIME,
    "critical_path": Unit.TIME,
    "unattributed": Unit.PART,
    "spans": Unit.NUMBER,
}

GROUP_QUANTITIES: Final[Mapping[str, Unit]] = {**_CALLS, **_OUTCOMES, **_USAGE}
"""What a node or phase has."""
WHOLE_QUANTITIES: Final[Mapping[str, Unit]] = {**_WHOLE, **_OUTCOMES, **_USAGE}
"""What an execution has."""
OF_MODELS: Final = frozenset(_USAGE)
"""What only calls of models have; ``unpriced`` are the tokens of those that no price is known for.
"""


class Figures(NamedTuple):
    """All figures of an execution, or the middle ones of several."""

    whole: Row
    nodes: Mapping[PhaseKey, Row] = {}
    phases: Mapping[PhaseKey, Row] = {}


class Measured(NamedTuple):
    """An execution and its figures."""

    execution: ExecutionHeader
    figures: Figures


NODES: Final = "node"
PHASES: Final = "phase"
_BY: Final = {NODES: BY["node"], PHASES: BY["phase of node"]}


def figures_of(examination: Examination, of: Collection[str] = (NODES, PHASES)) -> Figures:
    """Return the figures of an execution: of the whole, and `of` its nodes, phases, or both."""
    wanted = [what for what in _BY if what in of] or [NODES]
    found = {what: examination.groups(_BY[what]) for what in wanted}
    rows: dict[str, dict[PhaseKey, Row]] = {
        what: {_key(row): _of_group(row, grouped.wall_ns) for row in grouped.rows}
        for what, grouped in found.items()
    }
    phases = {key: row for key, row in rows.get(PHASES, {}).items() if key.phase is not None}
    return Figures(_whole(examination, next(iter(found.values()))), rows.get(NODES, {}), phases)


def figures_of_breakdown(breakdown: ExecutionBreakdown) -> Figures:
    """Return those figures that a breakdown can tell, which knows nothing of single spans.

    The critical path and what models took are not among them, nor the quantiles of nodes but p95.
    """
    wall_ns = breakdown.execution.duration_ns
    whole: Row = {
        "duration": wall_ns,
        "unattributed": breakdown.unattributed,
        "errors": breakdown.errors,
        "cancelled": breakdown.cancelled,
        "spans": breakdown.spans,
    }
    nodes: dict[PhaseKey, Row] = {}
    phases: dict[PhaseKey, Row] = {}
    for node in breakdown.nodes:
        nodes[PhaseKey(node.node_id, None)] = _of_node(node)
        for phase in node.phases:
            phases[PhaseKey(node.node_id, phase.phase)] = {
                "total": phase.total_ns,
                "self": phase.self_ns,
                "share": phase.share,
                "max": phase.max_ns,
                "p50": phase.p50_ns,
                "p95": phase.p95_ns,
                "p99": phase.p99_ns,
                "count": phase.count,
                "errors": phase.errors,
                "cancelled": phase.cancelled,
            }
    return Figures(whole, nodes, phases)


def _key(row: Group) -> PhaseKey:
    node_id, phase = row.key if len(row.key) > 1 else (*row.key, None)
    return PhaseKey(str(node_id), None if phase is None else str(phase))


def _whole(examination: Examination, grouped: Groups) -> Row:
    usage = Spent()
    for row in grouped.rows:
        usage += row.usage
    return {
        "duration": examination.recording.execution.duration_ns,
        "critical_path": grouped.wall_ns - grouped.critical_unattributed_ns,
        "unattributed": _part(grouped.unattributed_ns, grouped.wall_ns),
        "spans": len(examination.recording.spans),
        "errors": sum(row.errors for row in grouped.rows),
        "cancelled": sum(row.cancelled for row in grouped.rows),
        **_of_usage(usage),
    }


def _of_group(group: Group, wall_ns: int) -> Row:
    return {
        "total": group.total_ns,
        "self": group.self_ns,
        "share": _part(group.share_ns, wall_ns),
        "critical": group.critical_ns,
        "max": group.max_ns,
        "p50": group.p50_ns,
        "p95": group.p95_ns,
        "p99": group.p99_ns,
        "count": group.calls,
        "errors": group.errors,
        "cancelled": group.cancelled,
        **_of_usage(group.usage),
    }


def _of_usage(usage: Spent) -> Row:
    if usage == Spent():
        return dict.fromkeys(_USAGE)
    return {
        "tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "unpriced": usage.unpriced,
        "cost": usage.cost,
    }


def _of_node(node: NodeBreakdown) -> Row:
    row: dict[str, Figure] = {
        "total": node.total_ns,
        "self": node.self_ns + sum(phase.self_ns for phase in node.phases),
        "share": node.share,
        "errors": node.errors,
        "cancelled": node.cancelled,
    }
    if node.count:
        return {**row, "count": node.count, "p95": node.p95_ns}
    calls = sum(phase.count for phase in node.phases)
    return {**row, "count": calls, "max": max((one.max_ns for one in node.phases), default=0)}


def _part(part_ns: int, whole_ns: int) -> float:
    return part_ns / whole_ns if whole_ns > 0 else 0.0
