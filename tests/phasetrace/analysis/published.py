"""Critical paths and self times as others have published them, written down from what they say.

For trees in which every span lies within its parent; what is said about others is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from phasetrace.spans import SpanRecord


class Section(NamedTuple):
    """A stretch of a critical path, and the id of the span that has it."""

    span_id: int
    start_ns: int
    end_ns: int


def _children(spans: Sequence[SpanRecord], above: SpanRecord) -> list[SpanRecord]:
    return [one for one in spans if one.parent_id == above.span_id]


def jaegers_path(spans: Sequence[SpanRecord], root: SpanRecord) -> list[Section]:
    """Return the critical path as Jaeger's user interface shows it, in the order of time.

    A span's path is that of its child that finishes last, and after that one's end its own. Where
    that child starts, the span goes on with the one that finishes last among the children that
    finish *before* that start; where there is none, down to its own start.

    Source: jaegertracing/jaeger-ui, packages/jaeger-ui/src/components/TracePage/CriticalPath
    (index.ts, utils/findLastFinishingChildSpan.ts).
    """

    def back(one: SpanRecord) -> Iterator[Section]:
        now_ns = one.end_ns
        finished = _children(spans, one)
        while finished:
            last = max(finished, key=lambda child: child.end_ns)
            yield Section(one.span_id, last.end_ns, now_ns)
            yield from back(last)
            now_ns = last.start_ns
            finished = [child for child in finished if child.end_ns < now_ns]
        yield Section(one.span_id, one.start_ns, now_ns)

    return [section for section in back(root) if section.start_ns < section.end_ns][::-1]


def crisps_times(spans: Sequence[SpanRecord], root: SpanRecord) -> dict[int, int]:
    """Return the exclusive time of each span on the critical path as CRISP defines it (ns).

    On the path are the root, and of each span on it the children that follow each other: the last
    to finish, and then always the last of those that finish before the start of the one found
    before. The exclusive time is a span's duration without those of its children on the path.

    Source: Z. Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice
    Architectures", USENIX ATC 2022; uber-research/CRISP, crisp/graph.py (computeCriticalPath,
    accumeCPMetrics). Its allowance for children that overlap a little, for clocks that differ, is
    left out.
    """
    times: dict[int, int] = {}

    def visit(one: SpanRecord) -> None:
        times[one.span_id] = one.end_ns - one.start_ns
        start_ns: int | None = None
        for child in sorted(_children(spans, one), key=lambda child: -child.end_ns):
            if start_ns is None or child.end_ns < start_ns:
                times[one.span_id] -= child.end_ns - child.start_ns
                visit(child)
                start_ns = child.start_ns

    visit(root)
    return times


def jaegers_self_time(spans: Sequence[SpanRecord], one: SpanRecord) -> int:
    """Return a span's self time as Jaeger's user interface works it out (ns).

    Goes through the children by their starts; each takes from the duration what it has beyond the
    end of those before.

    Source: jaegertracing/jaeger-ui, packages/jaeger-ui/src/utils/compute-span-self-time.ts.
    """
    self_ns, reached_ns = one.end_ns - one.start_ns, one.start_ns
    for child in sorted(_children(spans, one), key=lambda child: child.start_ns):
        self_ns -= max(0, child.end_ns - max(child.start_ns, reached_ns))
        reached_ns = max(reached_ns, child.end_ns)
    return self_ns
