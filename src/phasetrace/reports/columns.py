"""The spans of an execution in columns of small integers, the way the page reads them.

Spans stand in the order of the call tree: row by row, lane by lane, by time. So a start is the gap
since the end of the span before it in its lane, and a parent is near that of the span before. Times
are nanoseconds after the start of the whole. What few spans have comes with the numbers of those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from phasetrace.analysis.network import WHOLE, Network
from phasetrace.analysis.path import Segment
from phasetrace.analysis.usage import Prices, spent
from phasetrace.reports.call_tree import CallTree
from phasetrace.spans import SpanRecord

MOST_IDS: Final = 20_000
"""Of more spans than these the page does not know the ids: they take the most room of all."""

NONE: Final = -1


class Names:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        """Return the number of a text; `NONE` for None."""
        return NONE if text is None else self._numbers.setdefault(text, len(self._numbers))

    def texts(self) -> list[str]:
        """Return the texts in the order of their numbers."""
        return list(self._numbers)


def places_of(tree: CallTree) -> list[int]:
    """Return the places of the spans in the order of their numbers on the page."""
    return [place for row in tree.lanes for lane in row for place in lane]


def span_columns(
    network: Network, tree: CallTree, names: Names, prices: Prices, still_open: Collection[int]
) -> dict[str, Any]:
    """Return the columns of an execution's spans; `still_open` are the ids of those not ended.

    Without a root, the row of the whole has no span.
    """
    order = places_of(tree)
    number_of = {place: number for number, place in enumerate(order)}
    spans = [span for place in order if (span := network.spans[place]) is not None]
    gaps: list[int] = []
    for row in tree.lanes:
        for lane in row:
            gaps += _gaps(network, lane)
    lengths = [max(0, span.end_ns - span.start_ns) for span in spans]
    parents = [number_of.get(network.parents[place], NONE) for place in order]
    if WHOLE in number_of:
        parents[number_of[WHOLE]] = NONE
    return {
        "lanes": [[len(lane) for lane in row] for row in tree.lanes],
        "gap": gaps,
        "length": lengths,
        "parent": deltas(parents),
        "error": deltas(n for n, span in enumerate(spans) if span.status == "error"),
        "cancelled": deltas(n for n, span in enumerate(spans) if span.status == "cancelled"),
        "open": deltas(n for n, span in enumerate(spans) if span.span_id in still_open),
        "iteration": _iterations(spans, names),
        "usage": _usage(spans, names, prices),
        "id": [f"{span.span_id:016x}" for span in spans] if len(spans) <= MOST_IDS else [],
    }


def path_columns(network: Network, tree: CallTree, path: Iterable[Segment]) -> dict[str, Any]:
    """Return the columns of a critical path: who owns each stretch, how long, what was waited for.

    Stretches follow each other without a gap from the start of the whole. Numbers are those of
    `span_columns`; `NONE` is the whole where it has no span.
    """
    order = places_of(tree)
    number_of = {place: number for number, place in enumerate(order)}
    owners, lengths, waits, waiting = [], [], [], []
    for number, segment in enumerate(path):
        owners.append(number_of.get(segment.place, NONE))
        lengths.append(segment.end_ns - segment.start_ns)
        if segment.waiting is not None:
            waits.append(number)
            waiting.append(number_of[segment.waiting])
    return {
        "owner": deltas(owners),
        "length": lengths,
        "wait": deltas(waits),
        "waiting": deltas(waiting),
    }


def deltas(numbers: Iterable[int]) -> list[int]:
    """Return each number less the one before it."""
    before, result = 0, []
    for number in numbers:
        result.append(number - before)
        before = number
    return result


def _gaps(network: Network, lane: Sequence[int]) -> list[int]:
    clock = network.starts[WHOLE]
    gaps = []
    for place in lane:
        span = network.spans[place]
        assert span is not None  # noqa: S101 - only those are in a lane
        gaps.append(span.start_ns - clock)
        clock = max(span.start_ns, span.end_ns)
    return gaps


def _iterations(spans: Sequence[SpanRecord], names: Names) -> dict[str, Any]:
    numbers = [number for number, span in enumerate(spans) if span.iteration is not None]
    return {
        "at": deltas(numbers),
        "text": [names.number(str(spans[number].iteration)) for number in numbers],
    }


def _usage(spans: Sequence[SpanRecord], names: Names, prices: Prices) -> dict[str, Any]:
    found = [(number, span.usage) for number, span in enumerate(spans) if span.usage is not None]
    return {
        "at": deltas(number for number, _ in found),
        "input": [usage.input_tokens for _, usage in found],
        "output": [usage.output_tokens for _, usage in found],
        "cost": [spent(usage, prices).cost for _, usage in found],
        "model": [names.number(usage.model) for _, usage in found],
    }
