"""Folded stacks, a line each: what flame-graph tools (flamegraph.pl, inferno, speedscope) read.

    nightly import;fetch;download 1204000

A number is the self time of all spans with that stack, in nanoseconds: their duration minus what
their children cover. What runs in parallel counts for each, so that the sum may be more than the
clock. The frame that all are in is the execution: its self time is that of its root span; of all
of them where it was opened several times, an instant in two counting once; and where no root is
known, as if one had gone on from the first start to the last end.

Source: the head of flamegraph.pl.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, cast

from phasetrace.analysis.network import WHOLE, Network
from phasetrace.exports.exported import ExportedExecution
from phasetrace.rendering import safe
from phasetrace.spans import EXECUTION
from phasetrace.timeline import Timeline

_NUMBER: Final = re.compile(r"\s+(?=\d+(?:\.\d*)?$)")
"""A name may not end in one after a space, or it would be taken for a second count."""

_Interval = tuple[int, int]


class _Stacks:
    """Stacks by number, each known by the one it goes on from: their length does not matter.

    The first one, 0, is of one frame.
    """

    def __init__(self, first: str) -> None:
        self.names = [first]
        self._below: list[dict[str, int]] = [{}]

    def below(self, stack: int, name: str) -> int:
        """Return the stack that goes on from another one with a frame."""
        found = self._below[stack].setdefault(name, len(self.names))
        if found == len(self.names):
            self.names.append(name)
            self._below.append({})
        return found

    def in_order(self) -> Iterator[tuple[int, list[str]]]:
        """Give each stack by its frames, in their order; the list changes from one to the next."""
        frames: list[str] = []
        waiting = [(0, 0)]
        while waiting:
            stack, depth = waiting.pop()
            frames[depth:] = [self.names[stack]]
            yield stack, frames
            below = sorted(self._below[stack].items(), reverse=True)
            waiting += ((one, depth + 1) for _, one in below)


def folded_lines(exported: ExportedExecution) -> Iterator[str]:
    """Give the lines of the file, by their stacks."""
    network = exported.examination.network
    stacks = _Stacks(_frame(exported.title))
    places: dict[int, int] = {}
    for place, span in enumerate(exported.spans):
        places.setdefault(span.span_id, place)
    timeline = Timeline()
    stack_of = [0] * len(network.spans)
    for at in network.order:
        span_of = network.spans[at]
        if at == WHOLE or span_of is None:
            continue
        parent = network.parents[at]
        stack_of[at] = stacks.below(
            stack_of[parent], _frame(exported.name(places[span_of.span_id]))
        )
        timeline.add(at, parent, span_of.start_ns, span_of.end_ns, stack_of[at])
    self_ns = cast("dict[int, int]", timeline.result(exported.recording.now_ns).self_ns)
    self_ns[0] = _own_ns(exported, network)
    for stack, frames in stacks.in_order():
        time_ns = self_ns.get(stack)
        if time_ns:
            yield f"{';'.join(frames)} {time_ns}\n"


def _own_ns(exported: ExportedExecution, network: Network) -> int:
    """Return the self time of the execution."""
    root = network.spans[WHOLE]
    roots = [root] if root is not None else [s for s in exported.spans if s.type == EXECUTION]
    intervals = [(span.start_ns, span.end_ns) for span in roots]
    children = [
        (span.start_ns, span.end_ns)
        for place, span in enumerate(network.spans)
        if place != WHOLE and span is not None and network.parents[place] == WHOLE
    ]
    return _length_without(intervals or [(network.starts[WHOLE], network.ends[WHOLE])], children)


def _length_without(intervals: Iterable[_Interval], others: Iterable[_Interval]) -> int:
    """Return the length of what is in some half-open intervals, and in none of the others."""
    changes = [
        change
        for kind, pairs in enumerate((intervals, others))
        for start_ns, end_ns in pairs
        if end_ns > start_ns
        for change in ((start_ns, kind, 1), (end_ns, kind, -1))
    ]
    active = [0, 0]
    length_ns = since_ns = 0
    for time_ns, kind, change in sorted(changes):
        if active[0] and not active[1]:
            length_ns += time_ns - since_ns
        active[kind] += change
        since_ns = time_ns
    return length_ns


def _frame(name: str) -> str:
    """Return a name that neither ends a frame nor a line, nor looks like a count."""
    return _NUMBER.sub("_", safe(name).replace(";", ":").strip()) or "(unnamed)"
