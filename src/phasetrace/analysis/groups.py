"""An execution's spans added up by whatever is asked for: phase of a node, node, phase, type, run.

The quantities are those of a breakdown (`phasetrace.breakdowns`), and for each group also what it
owns of the critical path, what its calls of models took, and which of its calls took longest.
The shares of all groups and what is unattributed add up to the wall time, and so do their critical
times and what of the path is nobody's; self times add up to the same, however spans are grouped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from phasetrace.analysis.network import Network
from phasetrace.analysis.path import Segment
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import NO_PRICES, Prices, Spent, own_usages, spent
from phasetrace.shares import left_over, round_shares
from phasetrace.spans import (
    EXECUTION,
    NODE,
    SYSTEM_NODE,
    Iteration,
    SpanRecord,
    key_of,
)
from phasetrace.stats import PhaseStats
from phasetrace.timeline import Timeline

Key = tuple["str | Iteration | None", ...]
"""What the spans of a group have in common."""

_WHOLE_ID: Final = -1
_ITSELF: Final[Key] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The spans of one group.

    ``calls`` are those of phases where there are only phases, and otherwise those of nodes; the
    total, the quantiles and ``worst`` (the id of the longest) are of those calls, but a node that
    only has phases has the sum of their self times as its total. ``cost`` is None where nothing is
    known of any.
    """

    key: Key
    calls: int
    total_ns: int
    self_ns: int
    share_ns: int
    critical_ns: int
    min_ns: int
    max_ns: int
    p50_ns: int
    p95_ns: int
    p99_ns: int
    errors: int
    cancelled: int
    usage: Spent
    worst: int | None


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups of an execution, the one with most time first; and what is nobody's.

    Of the critical path, ``critical_waiting_ns`` is when nodes had not begun although all that they
    waited for was done.
    """

    fields: tuple[str, ...]
    rows: tuple[Group, ...]
    wall_ns: int
    unattributed_ns: int
    critical_unattributed_ns: int
    critical_waiting_ns: int


def _by_phase_of_node(span: SpanRecord) -> Key:
    return (span.node_id or SYSTEM_NODE, None if span.type == NODE else span.name)


def _by_node(span: SpanRecord) -> Key:
    return (span.node_id or SYSTEM_NODE,)


def _by_phase(span: SpanRecord) -> Key:
    return (None if span.type == NODE else span.name,)


def _by_type(span: SpanRecord) -> Key:
    return (span.node_type,)


def _by_iteration(span: SpanRecord) -> Key:
    return (span.node_id or SYSTEM_NODE, span.iteration)


def _by_model(span: SpanRecord) -> Key:
    return (span.usage.model if span.usage is not None else None,)


def _by_everything(span: SpanRecord) -> Key:
    phase = None if span.type == NODE else span.name
    return (span.node_id or SYSTEM_NODE, phase, span.iteration)


class By(NamedTuple):
    """A way to group the spans of nodes and phases; whether each group's are of one phase."""

    key: Callable[[SpanRecord], Key]
    fields: tuple[str, ...]
    """What the parts of the key are."""
    is_of_phase: bool = False


BY: Final[Mapping[str, By]] = {
    "phase of node": By(_by_phase_of_node, ("node_id", "phase"), True),
    "node": By(_by_node, ("node_id",)),
    "phase": By(_by_phase, ("phase",), True),
    "type": By(_by_type, ("node_type",)),
    "iteration": By(_by_iteration, ("node_id", "iteration")),
    "model": By(_by_model, ("model",), True),
    "phase of iteration": By(_by_everything, ("node_id", "phase", "iteration"), True),
}


class _Sum:
    """What comes together for one group."""

    __slots__ = ("calls", "critical_ns", "node_calls", "spent", "worst")

    def __init__(self) -> None:
        self.calls = PhaseStats()
        self.node_calls = PhaseStats()
        self.critical_ns = 0
        self.spent = Spent()
        self.worst: dict[bool, SpanRecord] = {}

    def add(self, span: SpanRecord) -> None:
        is_node = span.type == NODE
        stats = self.node_calls if is_node else self.calls
        stats.add(span.start_ns, max(0, span.end_ns - span.start_ns), span.status)
        worst = self.worst.get(is_node)
        if worst is None or span.end_ns - span.start_ns > worst.end_ns - worst.start_ns:
            self.worst[is_node] = span


def groups(
    recording: Recording,
    network: Network,
    path: Iterable[Segment],
    by: By = BY["phase of node"],
    prices: Prices = NO_PRICES,
) -> Groups:
    """Add the spans of an execution up.

    As in a breakdown, those that are open have their share so far, and what they own of the
    critical path, and are no calls yet.

    `network` and `path` are those of the recording (`Recording.all_spans`).
    """
    sums: dict[Key, _Sum] = {}
    timeline = Timeline()
    if recording.root_id is None:
        start_ns, end_ns = network.starts[0], network.ends[0]
        timeline.root_id = _WHOLE_ID
        timeline.add(_WHOLE_ID, None, start_ns, end_ns, _ITSELF)
    open_spans: list[tuple[int, int | None, int, Key]] = []
    ended = len(recording.spans)
    for number, span in enumerate(recording.all_spans()):
        if span.type == EXECUTION:
            if span.span_id == recording.root_id:
                timeline.root_id = span.span_id
            elif recording.root_id is None:
                continue
            key = _ITSELF
        else:
            key = by.key(span)
            if key not in sums:
                sums[key] = _Sum()
            if number < ended:
                sums[key].add(span)
        if number < ended:
            timeline.add(span.span_id, span.parent_id, span.start_ns, span.end_ns, key)
        else:
            open_spans.append((span.span_id, span.parent_id, span.start_ns, key))
    for place, usage in own_usages(network).items():
        user = network.spans[place]
        if user is not None and user.type != EXECUTION:
            sums[by.key(user)].spent += spent(usage, prices)
    nobodys_ns = waiting_ns = 0
    for segment in path:
        owner = network.spans[segment.place]
        length_ns = segment.end_ns - segment.start_ns
        if segment.waiting is not None:
            waiting_ns += length_ns
        elif owner is None or key_of(owner) is None:
            nobodys_ns += length_ns
        else:
            sums[by.key(owner)].critical_ns += length_ns
    result = timeline.result(recording.now_ns, open_spans)
    wall_ns = network.ends[0] - network.starts[0]
    # In one order whatever the source, so that all of them round alike.
    keys = sorted(sums, key=_sortable)
    exact = {key: result.share_ns.get(key, 0.0) for key in keys}
    shares, unattributed_ns = round_shares(exact, left_over(exact.values(), wall_ns), wall_ns)
    rows = [
        _group(key, by.is_of_phase, sums[key], result.self_ns.get(key, 0), shares[key])
        for key in keys
    ]
    rows.sort(key=lambda row: -row.total_ns)
    return Groups(by.fields, tuple(rows), wall_ns, unattributed_ns, nobodys_ns, waiting_ns)


def _group(key: Key, is_of_phase: bool, of: _Sum, self_ns: int, share_ns: int) -> Group:
    nodes, phases = of.node_calls, of.calls
    stats = nodes if nodes.count else phases
    worst = of.worst.get(bool(nodes.count))
    return Group(
        key=key,
        calls=stats.count,
        total_ns=stats.total_ns if nodes.count or is_of_phase else self_ns,
        self_ns=self_ns,
        share_ns=share_ns,
        critical_ns=of.critical_ns,
        min_ns=stats.min_ns,
        max_ns=stats.max_ns,
        p50_ns=stats.quantile(0.50),
        p95_ns=stats.quantile(0.95),
        p99_ns=stats.quantile(0.99),
        errors=nodes.errors + phases.errors,
        cancelled=nodes.cancelled + phases.cancelled,
        usage=of.spent,
        worst=worst.span_id if worst is not None else None,
    )


def _sortable(key: Key) -> tuple[tuple[bool, str, str], ...]:
    return tuple((part is not None, type(part).__name__, str(part)) for part in key)
