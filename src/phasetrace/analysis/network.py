"""How the spans of an execution hang together: what each was begun by, and what it held up.

The *whole* is the root's interval, or the extent of all spans where there is no root; spans are
clipped to it. Every span but the whole

- *begins in* the nearest of its ancestors that is active when it starts (inclusive at both ends),
  which is its parent unless that has ended by then, or starts later by the clock of another
  process;
- *ends in* the nearest of its ancestors that has started by then and goes on until it ends
  (inclusive): a task that outlives the phase that started it ends in whatever waited for it.

A node that says what it depends on waited for runs of those: of each, for the run that had ended
last when the node started (inclusive), otherwise for the one that had started last by then (work
handed on while it goes on). It waited as well for the run of itself that had ended last by then, if
there is one: nodes that run again do so in turn. Names that stand for no node count for nothing. At
one instant, spans start in the order from above, and none waits for what starts after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from phasetrace.spans import EXECUTION, NODE, SpanRecord

WHOLE: Final = 0
"""The index of the whole."""

_Moment = tuple[int, int, int]
"""A time (ns), the place in the order from above, and the index of the span."""


class Network:
    """The spans of an execution by index, parallel lists; the whole comes first.

    Attributes:
        spans: The spans; the first is the root, or None where there is none.
        starts, ends: Their times, clipped to the whole.
        parents: The index of each one's parent; that of the whole for what has none.
        depths: How far each is below the whole.
        begins_in, ends_in: See the module; the whole has itself.
        waited_for: The runs that a node waited for, where that is known.
    """

    __slots__ = (
        "begins_in",
        "depths",
        "ends",
        "ends_in",
        "order",
        "parents",
        "spans",
        "starts",
        "waited_for",
    )

    def __init__(self, spans: Iterable[SpanRecord], root_id: int | None = None) -> None:
        """Put the spans together; of several with the same id the first one counts.

        Without a root, spans of the execution itself are passed over, as in a breakdown.
        """
        spans = spans if isinstance(spans, list) else list(spans)
        root = next((span for span in spans if span.span_id == root_id), None)
        # PERF: one table of a million ids is enough.
        index: dict[int, int] = {}
        known: list[SpanRecord] = []
        if root is not None:
            index[root.span_id] = WHOLE
        for span in spans:
            if span.span_id not in index:
                known.append(span)
                index[span.span_id] = len(known)
        if root is None:
            # Of all: an execution that was opened several times has a root of one id each time.
            whole_start = min((span.start_ns for span in spans), default=0)
            whole_end = max((max(span.start_ns, span.end_ns) for span in spans), default=0)
            if any(span.type == EXECUTION for span in known):
                known = [span for span in known if span.type != EXECUTION]
                index = {span.span_id: place for place, span in enumerate(known, 1)}
        else:
            whole_start, whole_end = root.start_ns, root.end_ns
        whole_end = max(whole_start, whole_end)
        self.spans: list[SpanRecord | None] = [root, *known]
        self.starts = [whole_start]
        self.ends = [whole_end]
        for span in known:
            start_ns = min(max(span.start_ns, whole_start), whole_end)
            self.starts.append(start_ns)
            self.ends.append(min(max(span.end_ns, start_ns), whole_end))
        self.parents = [WHOLE, *(index.get(span.parent_id or 0, WHOLE) for span in known)]
        self.order, self.depths = _from_above(self.parents)
        self.begins_in, self.ends_in = self._holders()
        self.waited_for = self._dependencies()

    def _holders(self) -> tuple[list[int], list[int]]:
        starts, ends, parents = self.starts, self.ends, self.parents
        begins_in, ends_in = parents.copy(), parents.copy()
        # Most spans lie within their parents; the others ask for ancestors that go on to a time.
        asking: list[_Asking] = []
        for place in range(1, len(starts)):
            parent = parents[place]
            if not starts[parent] <= starts[place] <= ends[parent]:
                asking.append(_Asking(place, starts[place], starts[place], begins_in, parent))
            if ends[place] > ends[parent] or ends[place] <= starts[parent] > starts[place]:
                # What ends at the very instant at which an ancestor starts has ended before that.
                begun_ns = max(starts[place], ends[place] - 1)
                asking.append(_Asking(place, ends[place], begun_ns, ends_in, parent))
        if not asking:
            return begins_in, ends_in
        # An ancestor that goes on may not have started, and one that has started not go on; clocks
        # that differ take two rounds, and only times without any sense more than a few.
        inverse = [-start_ns for start_ns in starts]
        while asking:
            early = []
            lasting = _nearest(parents, ends, [(one.until_ns, one.above) for one in asking])
            for one, above in zip(asking, lasting, strict=True):
                if starts[above] <= one.begun_ns:
                    one.holders[one.place] = above
                else:
                    early.append(one._replace(above=above))
            begun = _nearest(parents, inverse, [(-one.begun_ns, one.above) for one in early])
            asking = [one._replace(above=above) for one, above in zip(early, begun, strict=True)]
        return begins_in, ends_in

    def _dependencies(self) -> dict[int, list[int]]:
        asking: list[tuple[int, Sequence[str]]] = []
        wanted: set[str] = set()
        for place, span in enumerate(self.spans):
            if span is not None and span.depends_on:
                asking.append((place, span.depends_on))
                wanted.update(span.depends_on)
                wanted.add(span.node_id or "")
        if not asking:
            return {}
        rank = [0] * len(self.order)
        for number, place in enumerate(self.order):
            rank[place] = number
        ended: dict[str, list[_Moment]] = {}
        started: dict[str, list[_Moment]] = {}
        for place, span in enumerate(self.spans):
            if span is not None and span.type == NODE and span.node_id in wanted:
                start_ns, end_ns = self.starts[place], self.ends[place]
                by_then = rank[place] if start_ns == end_ns else 0
                ended.setdefault(span.node_id, []).append((end_ns, by_then, place))
                started.setdefault(span.node_id, []).append((start_ns, rank[place], place))
        for times in (*ended.values(), *started.values()):
            times.sort()
        waited_for: dict[int, list[int]] = {}
        for place, names in asking:
            start: _Moment = (self.starts[place], rank[place], place)
            runs = []
            for name in dict.fromkeys(names):
                found = _latest(ended.get(name, ()), start)
                if found is None:
                    found = _latest(started.get(name, ()), start)
                if found is not None:
                    runs.append(found)
            if runs:
                before = _latest(ended.get(_node_of(self.spans[place]), ()), start)
                waited_for[place] = runs if before is None else [*dict.fromkeys((*runs, before))]
        return waited_for


class _Asking(NamedTuple):
    """A span that asks for the nearest ancestor that has begun by a time and goes on until one.

    Asks `above` and that one's ancestors; the answer goes to `holders`.
    """

    place: int
    until_ns: int
    begun_ns: int
    holders: list[int]
    above: int


def _nearest(
    parents: Sequence[int], values: Sequence[int], asked: Sequence[tuple[int, int]]
) -> list[int]:
    """Return for each (least, place) the nearest of a span and its ancestors with such a value.

    The whole always has. Union-find: in the order of what is asked for, spans with less are merged
    with their parents, so that a chain of tasks, each of which has started the next, is walked up
    once and not once for each.
    """
    nearest = list(range(len(parents)))
    rising = sorted(range(1, len(values)), key=values.__getitem__)
    merged = 0
    found = [WHOLE] * len(asked)
    for number in sorted(range(len(asked)), key=asked.__getitem__):
        least, place = asked[number]
        while merged < len(rising) and values[rising[merged]] < least:
            nearest[rising[merged]] = parents[rising[merged]]
            merged += 1
        top = place
        while nearest[top] != top:
            top = nearest[top]
        found[number] = top
        while nearest[place] != top:
            nearest[place], place = top, nearest[place]
    return found


def _from_above(parents: list[int]) -> tuple[list[int], list[int]]:
    """Return all spans, each after its parent, and their depths; circles hang from the whole."""
    children: dict[int, list[int]] = {}
    for place in range(1, len(parents)):
        children.setdefault(parents[place], []).append(place)
    depths = [-1] * len(parents)
    depths[WHOLE] = 0
    order = [WHOLE]
    start = 0
    suspects = iter(range(1, len(parents)))
    while True:
        while start < len(order):
            place = order[start]
            start += 1
            for child in children.get(place, ()):
                if depths[child] < 0:
                    depths[child] = depths[place] + 1
                    order.append(child)
        if len(order) == len(parents):
            break
        cut = next(place for place in suspects if depths[place] < 0)
        seen: set[int] = set()
        while cut not in seen:  # what hangs from a circle keeps its parent
            seen.add(cut)
            cut = parents[cut]
        parents[cut] = WHOLE
        depths[cut] = 1
        order.append(cut)
    # Breadth first until a circle was cut, and sorted by depth whatever there was.
    order.sort(key=depths.__getitem__)
    return order, depths


def _node_of(span: SpanRecord | None) -> str:
    return (span.node_id if span is not None else None) or ""


def _latest(times: Sequence[_Moment], start: _Moment) -> int | None:
    """Return the last of some spans at a start, that of itself left out."""
    past = bisect_right(times, start[:2], key=itemgetter(slice(2)))
    return next((times[at][2] for at in range(past - 1, -1, -1) if times[at][2] != start[2]), None)
