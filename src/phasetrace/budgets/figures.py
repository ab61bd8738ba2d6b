"""The figures of an execution that budgets can limit: of the whole, of its nodes, of its phases.

What each is called in a budget, its unit, and where it comes from; `phasetrace.breakdowns` and
`phasetrace.analysis.groups` define what the numbers mean. Two of the whole are named here only:

duration
    How long the execution took, from its start to its end.
critical_path
    The part of the duration in which nodes and phases determined when it would end: the critical
    path without what the execution itself owns of it, and without waiting. A program that idles
    between its nodes takes longer, and its critical path does not.

Calls that are open count with their time so far in ``total``, ``self`` and ``max``, so that what
hangs does not pass for fast; ``count`` and the quantiles are those of calls that have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.groups import BY, By, Group, Groups, groups
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import Spent, spent
from phasetrace.breakdowns import ExecutionBreakdown, ExecutionHeader, NodeBreakdown
from phasetrace.budgets.amounts import Amount, Unit
from phasetrace.spans import PhaseKey, key_of

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
    """All figures of an execution, or the middle ones of several.

    ``keys`` are all the nodes and phases that there are, ``unpriced`` the models that no price is
    known for of each, and of the whole (None), those with most tokens first.
    """

    whole: Row
    nodes: Mapping[PhaseKey, Row] = {}
    phases: Mapping[PhaseKey, Row] = {}
    keys: Collection[PhaseKey] = ()
    unpriced: Mapping[PhaseKey | None, tuple[str, ...]] = {}


class Measured(NamedTuple):
    """An execution and its figures; ``lost`` is how many of its spans were not stored."""

    execution: ExecutionHeader
    figures: Figures
    lost: int = 0


_NAMELESS: Final = "?"
"""The model of a call that names none."""

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
    if examination.recording.open_spans:
        for what in wanted:
            for row in _as_if_ended(examination, _BY[what]).rows:
                so_far = {"total": row.total_ns, "self": row.self_ns, "max": row.max_ns}
                rows[what][_key(row)] = {**rows[what][_key(row)], **so_far}
    phases = {key: row for key, row in rows.get(PHASES, {}).items() if key.phase is not None}
    spans = (span for span in examination.network.spans if span is not None)
    keys = {key for key in map(key_of, spans) if key is not None}
    whole = _whole(examination, next(iter(found.values())))
    return Figures(whole, rows.get(NODES, {}), phases, keys, _unpriced(examination))


def figures_of_breakdown(breakdown: ExecutionBreakdown) -> Figures:
    """Return those figures that a breakdown can tell, which knows nothing of single spans.

    The critical path and what models took are not among them, nor the quantiles of nodes but p95.
    None is the self time of what has open calls.
    """
    open_ns: dict[PhaseKey, list[int]] = {}
    for call in breakdown.open:
        open_ns.setdefault(PhaseKey(call.node_id, call.phase), []).append(call.age_ns)
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
        node_key = PhaseKey(node.node_id, None)
        of_phases = {PhaseKey(node.node_id, phase.phase): phase for phase in node.phases}
        has_open = not open_ns.keys().isdisjoint(of_phases)
        nodes[node_key] = _of_node(node, open_ns.get(node_key, []), has_open)
        for key, phase in of_phases.items():
            ages = open_ns.get(key, [])
            phases[key] = {
                "total": phase.total_ns + sum(ages),
                "self": None if ages else phase.self_ns,
                "share": phase.share,
                "max": max([phase.max_ns, *ages]),
                "p50": phase.p50_ns if phase.count else None,
                "p95": phase.p95_ns if phase.count else None,
                "p99": phase.p99_ns if phase.count else None,
                "count": phase.count,
                "errors": phase.errors,
                "cancelled": phase.cancelled,
            }
    return Figures(whole, nodes, phases, {*nodes, *phases})


def figures_beside(breakdown: ExecutionBreakdown, recording: Recording) -> Figures:
    """Return the figures of an execution that has lost spans; None is what cannot be told.

    By the breakdown, as far as that has counted what the recording has not. If it has not either,
    only the duration is known.
    """
    told = figures_of_breakdown(breakdown)
    whole, unknown = told.whole, dict.fromkeys(GROUP_QUANTITIES)
    has_all = breakdown.spans >= len(recording.spans) + recording.lost
    if not has_all:
        whole = {"duration": whole["duration"]}
    nodes, phases = (
        {key: {**unknown, **row} if has_all else unknown for key, row in rows.items()}
        for rows in (told.nodes, told.phases)
    )
    return Figures({**dict.fromkeys(WHOLE_QUANTITIES), **whole}, nodes, phases, told.keys)


def _as_if_ended(examination: Examination, by: By) -> Groups:
    """Return the groups of an execution of which the open calls end now."""
    recording = examination.recording
    ended = recording._replace(spans=recording.all_spans(), open_spans=())
    return groups(ended, examination.network, examination.path, by)


def _unpriced(examination: Examination) -> dict[PhaseKey | None, tuple[str, ...]]:
    """Return which models no price is known for, by node, phase, and of the whole."""
    tokens: dict[PhaseKey | None, dict[str, int]] = {}
    for span in examination.recording.spans:
        key = key_of(span)
        if span.usage is None or key is None:
            continue
        unpriced = spent(span.usage, examination.prices).unpriced
        if unpriced:
            model = span.usage.model or _NAMELESS
            for of in {None, key, PhaseKey(key.node_id, None)}:
                known = tokens.setdefault(of, {})
                known[model] = known.get(model, 0) + unpriced
    return {
        of: tuple(sorted(models, key=lambda model: (-models[model], model)))
        for of, models in tokens.items()
    }


def _key(row: Group) -> PhaseKey:
    node_id, phase = row.key if len(row.key) > 1 else (*row.key, None)
    return PhaseKey(str(node_id), None if phase is None else str(phase))


def _whole(examination: Examination, grouped: Groups) -> Row:
    usage = Spent()
    for row in grouped.rows:
        usage += row.usage
    nobodys_ns = grouped.critical_unattributed_ns + grouped.critical_waiting_ns
    return {
        "duration": examination.recording.execution.duration_ns,
        "critical_path": grouped.wall_ns - nobodys_ns,
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
        "p50": group.p50_ns if group.calls else None,
        "p95": group.p95_ns if group.calls else None,
        "p99": group.p99_ns if group.calls else None,
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


def _of_node(node: NodeBreakdown, ages: Sequence[int], has_open_phases: bool) -> Row:
    is_own = bool(node.count or ages)
    total_ns = node.total_ns if node.count or not ages else 0
    row: dict[str, Figure] = {
        "total": total_ns + sum(ages) if is_own or not has_open_phases else None,
        "self": node.self_ns + sum(phase.self_ns for phase in node.phases),
        "share": node.share,
        "errors": node.errors,
        "cancelled": node.cancelled,
    }
    if ages or has_open_phases:
        row["self"] = None
    if is_own:
        return {**row, "count": node.count, "p95": node.p95_ns if node.count else None}
    calls = sum(phase.count for phase in node.phases)
    return {**row, "count": calls, "max": max((one.max_ns for one in node.phases), default=0)}


def _part(part_ns: int, whole_ns: int) -> float:
    return part_ns / whole_ns if whole_ns > 0 else 0.0
