"""Spans in lanes, such that what shares a lane is one inside the other or one after the other.

A span goes into the lane of its parent, if it lies within what is open there, and otherwise into
the first lane that is free at that time. So what runs at the same time is side by side, a branch
stays together, and viewers that draw a lane as slices upon slices (Chrome's trace events, flame
charts over time) have no slice that sticks out of the one below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from phasetrace.spans import SpanRecord


def lanes(spans: Sequence[SpanRecord]) -> list[int]:
    """Return the lane of each span, from 0.

    Takes n log n in the number of spans. Intervals are half-open: a lane is free for what starts
    when another span in it ends. Of two spans with the same times the parent is below.
    """
    parents = _parents(spans)
    lane_of = [0] * len(spans)
    open_in: list[list[tuple[int, int]]] = []  # per lane: the end and the span, outermost first
    ending: list[tuple[int, int]] = []  # the end of a span, and its lane
    free: list[int] = []
    is_free: list[bool] = []
    for place in drawing_order(spans, parents):
        span = spans[place]
        end_ns = _end(span)
        while ending and ending[0][0] <= span.start_ns:
            lane = heappop(ending)[1]
            stack = open_in[lane]
            while stack and stack[-1][0] <= span.start_ns:
                stack.pop()
            if not stack and not is_free[lane]:
                is_free[lane] = True
                heappush(free, lane)
        parent = parents[place]
        lane = lane_of[parent] if parent is not None else -1
        stack = open_in[lane] if parent is not None and open_in else []
        if not (stack and stack[-1][1] == parent and end_ns <= stack[-1][0]):
            lane = heappop(free) if free else len(open_in)
            if lane == len(open_in):
                open_in.append([])
                is_free.append(False)
            is_free[lane] = False
        lane_of[place] = lane
        open_in[lane].append((end_ns, place))
        heappush(ending, (end_ns, lane))
    return lane_of


def drawing_order(
    spans: Sequence[SpanRecord], parents: Sequence[int | None] | None = None
) -> list[int]:
    """Return the places of spans by their start, what is inside of another one after that.

    `parents` are the places of their parents, where these are known already.
    """
    parents = _parents(spans) if parents is None else parents
    depths = _depths(parents)
    return sorted(
        range(len(spans)),
        key=lambda place: (spans[place].start_ns, -_end(spans[place]), depths[place]),
    )


def _parents(spans: Sequence[SpanRecord]) -> list[int | None]:
    place_of: dict[int, int] = {}
    for place, span in enumerate(spans):
        place_of.setdefault(span.span_id, place)
    return [place_of.get(span.parent_id or 0) for span in spans]


def _end(span: SpanRecord) -> int:
    return max(span.start_ns, span.end_ns)


def _depths(parents: Sequence[int | None]) -> list[int]:
    """Return how far each span is below one without a parent; a circle is cut where it is met."""
    depths = [-1] * len(parents)
    for start in range(len(parents)):
        path = []
        at: int | None = start
        while at is not None and depths[at] == -1:
            depths[at] = -2
            path.append(at)
            at = parents[at]
        depth = depths[at] if at is not None and depths[at] >= 0 else -1
        for place in reversed(path):
            depth += 1
            depths[place] = depth
    return depths
