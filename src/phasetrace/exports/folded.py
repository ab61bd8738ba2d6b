"""Folded stacks, a line each: what flame-graph tools (flamegraph.pl, inferno, speedscope) read.

    nightly import;fetch;download 1204000

A number is the self time of all spans with that stack, in nanoseconds: their duration minus what
their children cover. What runs in parallel counts for each, so that the sum may be more than the
clock. Source: the head of flamegraph.pl.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, cast

from phasetrace.exports.exported import ExportedExecution
from phasetrace.rendering import safe
from phasetrace.spans import EXECUTION
from phasetrace.timeline import Timeline

_NUMBER: Final = re.compile(r"\s+(?=\d+(?:\.\d*)?$)")
"""A name may not end in one after a space, or it would be taken for a second count."""

_Stack = tuple[str, ...]


def folded_lines(exported: ExportedExecution) -> Iterator[str]:
    """Give the lines of the file, by their stacks."""
    timeline = Timeline()
    recording, network = exported.recording, exported.examination.network
    top = (_frame(exported.title),)
    stacks: list[_Stack] = [top] * len(network.spans)
    places: dict[int, int] = {}
    for place, span in enumerate(exported.spans):
        places.setdefault(span.span_id, place)
    by_id: dict[int, _Stack] = {}
    for at in network.order:
        span_of = network.spans[at]
        if at and span_of is not None:
            name = _frame(exported.name(places[span_of.span_id]))
            stacks[at] = (*stacks[network.parents[at]], name)
        if span_of is not None:
            by_id[span_of.span_id] = stacks[at]
    for span in exported.spans:
        if recording.root_id is None and span.type == EXECUTION:
            continue
        stack = by_id.get(span.span_id, top)
        timeline.add(span.span_id, span.parent_id, span.start_ns, span.end_ns, stack)
    self_ns = cast("dict[_Stack, int]", timeline.result(recording.now_ns).self_ns)
    if recording.root_id is None:  # then no span has what is nobody's
        self_ns[top] = self_ns.get(top, 0) + exported.breakdown.unattributed_ns
    for stack, time_ns in sorted(self_ns.items()):
        if time_ns:
            yield f"{';'.join(stack)} {time_ns}\n"


def _frame(name: str) -> str:
    """Return a name that neither ends a frame nor a line, nor looks like a count."""
    return _NUMBER.sub("_", safe(name).replace(";", ":").strip()) or "(unnamed)"
