"""An execution as a tree of rows: every span below its parent, with repeated ones in one row.

Of one parent, what is of the same node and name is *folded* into one row past a few of a kind (more
than `APART` calls, or `RUNS_APART` runs of a node); up to that each has a row of its own, in the
order of their starts. Where one of several siblings has so many of a kind, those of all of them are
folded, so that they can be compared. Below a folded row there is everything that is below any of
its spans, folded likewise, so that a thousand iterations of a node take no more rows than one. What
has not ended is never in a row with what has.

The share of a row is that of its spans and of all that is below them (`phasetrace.timeline` has
the definition of a share), so that rows of one parent and the parent's own part add up to the
parent's share, whatever runs in parallel, and the first row has the whole wall time. Self time is
a span's duration minus the union of its children's intervals, added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final, NamedTuple

from phasetrace.analysis.network import WHOLE, Network
from phasetrace.analysis.recording import Recording
from phasetrace.shares import left_over, round_shares
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE, Iteration, SpanRecord, SpanType
from phasetrace.timeline import Timeline

APART: Final = 2
"""So many calls of a kind below one parent have rows of their own."""
RUNS_APART: Final = 3
"""So many runs of a node do: their iterations tell them apart."""

_Kind = tuple[str, "str | None", str, bool]
"""What is in one row if it is folded: a type, node and name, and whether it is open."""


@dataclass(slots=True)
class Row:
    """One span, or several that are folded; ``parent`` is the place of a row that comes before.

    ``calls`` have ended and ``open`` have not, of which there is but one kind in a row. Open ones
    last until now; ``min_ns`` and ``max_ns`` are None for them. ``start_ns`` counts from the
    execution's start. ``share_ns``, ``spans`` (how many there are) and ``marked``
    (how many are open or did not end well) are of the row and of all that is below it.
    ``processes`` are numbered from 1, in the order in which they are first heard of; empty where
    that is not known.
    """

    parent: int | None
    depth: int
    type: SpanType
    node_id: str | None
    phase: str | None
    iteration: Iteration | None
    start_ns: int
    calls: int = 0
    open: int = 0
    total_ns: int = 0
    self_ns: int = 0
    share_ns: int = 0
    min_ns: int | None = None
    max_ns: int | None = None
    errors: int = 0
    cancelled: int = 0
    processes: tuple[int, ...] = ()
    spans: int = 0
    marked: int = 0

    def add(self, span: SpanRecord, is_open: bool) -> None:
        """Count a span in."""
        duration_ns = max(0, span.end_ns - span.start_ns)
        self.spans += 1
        self.total_ns += duration_ns
        if is_open:
            self.open += 1
        else:
            self.calls += 1
            self.min_ns = duration_ns if self.min_ns is None else min(self.min_ns, duration_ns)
            self.max_ns = duration_ns if self.max_ns is None else max(self.max_ns, duration_ns)
            self.errors += span.status == "error"
            self.cancelled += span.status == "cancelled"
        self.marked += is_open or span.status != "ok"


class Hidden(NamedTuple):
    """What is left out as too little: rows without those below them, the spans in all of them."""

    rows: int = 0
    spans: int = 0
    share_ns: int = 0


class Tree(NamedTuple):
    """The rows of an execution, each one after its parent and before its parent's next child."""

    rows: Sequence[Row]
    wall_ns: int
    unattributed_ns: int
    processes: int
    hidden: Hidden = Hidden()


class _Unit(NamedTuple):
    """The spans of a row that is to be made, by their places in the network.

    ``frequent`` are the kinds, as `_kind_below` has them, that are folded below it in any case.
    """

    parent: int | None
    depth: int
    members: Sequence[int]
    frequent: Set[_Kind] = frozenset()


def fold(recording: Recording, network: Network) -> Tree:
    """Return an execution as a tree; `network` is that of the recording (`Recording.all_spans`).

    Takes n log n in the number of spans; how deep they nest does not matter.
    """
    spans = network.spans
    ended = {span.span_id for span in recording.spans} if recording.open_spans else set()
    open_ids = {span_id for span_id, *_ in recording.open_spans} - ended
    is_open = [span is not None and span.span_id in open_ids for span in spans]
    children = _children(network)
    processes = _processes(network, is_open)
    rows: list[Row] = []
    row_of = [WHOLE] * len(spans)
    waiting = [_Unit(None, 0, [WHOLE])]
    while waiting:
        unit = waiting.pop()
        row = _row(unit, network, recording)
        here = len(rows)
        heard: set[int] = set()
        for place in unit.members:
            row_of[place] = here
            span = spans[place]
            if span is not None:
                row.add(span, is_open[place])
                if not is_open[place]:
                    heard.add(processes[span.process])
        row.processes = tuple(sorted(heard))
        rows.append(row)
        waiting += reversed(_units_below(unit, here, children, network, is_open))
    if spans[WHOLE] is None:
        rows[0].total_ns = network.ends[WHOLE] - network.starts[WHOLE]
    unattributed_ns = _divide(rows, row_of, network)
    for row in reversed(rows):
        if row.parent is not None:
            above = rows[row.parent]
            above.share_ns += row.share_ns
            above.spans += row.spans
            above.marked += row.marked
    wall_ns = network.ends[WHOLE] - network.starts[WHOLE]
    return Tree(rows, wall_ns, unattributed_ns, len(processes))


def cut(tree: Tree, least: float = 0.0, depth: int | None = None) -> Tree:
    """Return a tree without what is too little or too far down; the rows are taken from `tree`.

    What has less than the part `least` (0 to 1) of the wall time is hidden with all that is below
    it, but not what is open or did not end well. Of rows further down than `depth` (that of the
    first one is 0) those above them tell, as there are spans in them.
    """
    least_ns = least * tree.wall_ns
    kept: list[Row] = []
    place_of: dict[int, int] = {}
    hidden_rows = hidden_spans = hidden_ns = 0
    for place, row in enumerate(tree.rows):
        if row.parent is not None:
            if row.parent not in place_of or (depth is not None and row.depth > depth):
                continue
            if row.share_ns < least_ns and not row.marked:
                hidden_rows += 1
                hidden_spans += row.spans
                hidden_ns += row.share_ns
                continue
            row.parent = place_of[row.parent]
        place_of[place] = len(kept)
        kept.append(row)
    return tree._replace(rows=kept, hidden=Hidden(hidden_rows, hidden_spans, hidden_ns))


def _children(network: Network) -> dict[int, list[int]]:
    """Return the children of each span that has any, in the order of their starts."""
    children: dict[int, list[int]] = {}
    for place in sorted(range(1, len(network.starts)), key=network.starts.__getitem__):
        children.setdefault(network.parents[place], []).append(place)
    return children


def _units_below(
    unit: _Unit,
    here: int,
    children: dict[int, list[int]],
    network: Network,
    is_open: Sequence[bool],
) -> list[_Unit]:
    """Return the rows to be made below one, in the order of their first starts."""
    spans = network.spans
    below = [child for place in unit.members for child in children.get(place, ())]
    is_folded = len(unit.members) > 1
    if is_folded:
        below.sort(key=network.starts.__getitem__)
    alike: dict[_Kind, list[int]] = {}
    for place in below:
        alike.setdefault(_kind(spans[place], is_open[place]), []).append(place)
    groups: list[Sequence[int]] = []
    parent = spans[unit.members[0]]
    for kind, members in alike.items():
        is_many = len(members) > _apart(kind) or _kind_below(parent, kind) in unit.frequent
        if is_folded or is_many:
            groups.append(members)
        else:
            groups += ([place] for place in members)
    groups.sort(key=lambda members: network.starts[members[0]])
    frequent = _frequent(below, children, network, is_open) if len(groups) > 1 else frozenset()
    return [_Unit(here, unit.depth + 1, members, frequent) for members in groups]


def _frequent(
    siblings: Sequence[int],
    children: dict[int, list[int]],
    network: Network,
    is_open: Sequence[bool],
) -> Set[_Kind]:
    """Return the kinds of which there are more than a few below one of some siblings."""
    spans = network.spans
    found: set[_Kind] = set()
    for sibling in siblings:
        below = children.get(sibling, ())
        if len(below) > APART:
            counted = Counter(_kind(spans[place], is_open[place]) for place in below)
            found.update(
                _kind_below(spans[sibling], kind)
                for kind, calls in counted.items()
                if calls > _apart(kind)
            )
    return found


def _apart(kind: _Kind) -> int:
    return RUNS_APART if kind[0] == NODE else APART


def _kind(span: SpanRecord | None, is_open: bool) -> _Kind:
    assert span is not None  # noqa: S101 - only the whole may be none, and it is nobody's child
    return span.type, span.node_id, span.name, is_open


def _kind_below(parent: SpanRecord | None, kind: _Kind) -> _Kind:
    """Return a kind such that it is the same below siblings that are different nodes."""
    type_, node_id, name, is_open = kind
    above = parent.node_id if parent is not None else None
    return type_, (node_id or "").removeprefix(above or ""), name, is_open


def _row(unit: _Unit, network: Network, recording: Recording) -> Row:
    first = network.spans[unit.members[0]]
    start_ns = network.starts[unit.members[0]] - network.starts[WHOLE]
    if first is None or first.type == EXECUTION:
        return Row(unit.parent, unit.depth, EXECUTION, None, None, None, start_ns)
    return Row(
        parent=unit.parent,
        depth=unit.depth,
        type=first.type,
        node_id=first.node_id or SYSTEM_NODE,
        phase=None if first.type == NODE else first.name,
        iteration=first.iteration if len(unit.members) == 1 else None,
        start_ns=start_ns,
    )


def _processes(network: Network, is_open: Sequence[bool]) -> dict[int, int]:
    """Return the number of each process, by the order of their first spans."""
    numbers: dict[int, int] = {}
    for place in sorted(range(len(network.starts)), key=network.starts.__getitem__):
        span = network.spans[place]
        if span is not None and not is_open[place]:
            numbers.setdefault(span.process, len(numbers) + 1)
    return numbers


def _divide(rows: Sequence[Row], row_of: Sequence[int], network: Network) -> int:
    """Give each row the self time and share of its own spans; return what is nobody's."""
    timeline: Timeline = Timeline(WHOLE)
    # PERF: spans that are folded have their row as key, so that there are as few as can be.
    for place, start_ns, end_ns in _times(network):
        parent = network.parents[place] if place != WHOLE else None
        timeline.add(place, parent, start_ns, end_ns, row_of[place])
    result = timeline.result()
    wall_ns = network.ends[WHOLE] - network.starts[WHOLE]
    exact = {here: result.share_ns.get(here, 0.0) for here in range(1, len(rows))}
    shares, unattributed_ns = round_shares(exact, left_over(exact.values(), wall_ns), wall_ns)
    for here, row in enumerate(rows):
        row.self_ns = result.self_ns.get(here, 0)
        row.share_ns = shares.get(here, unattributed_ns)
    return unattributed_ns


def _times(network: Network) -> Iterator[tuple[int, int, int]]:
    """Give the spans with their own times, not those that are clipped to the whole."""
    for place, span in enumerate(network.spans):
        if span is None:
            yield place, network.starts[place], network.ends[place]
        else:
            yield place, span.start_ns, span.end_ns
