"""The spans of an execution by how they were called: one row for all that were called the same way.

A row is a node or phase below the rows of what called it, up to the execution as a whole. So four
calls of a phase are one row, and 200,000 spans of a loop are a handful. Within its row each span
has a lane, such that those of a lane come one after the other, and what went on at the same time is
side by side. Lanes are those of the whole execution (`phasetrace.analysis.lanes`) as far as a row
needs them, so that a call and what it called are in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from phasetrace.analysis.lanes import lanes
from phasetrace.analysis.network import WHOLE, Network
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE, SpanRecord

TOP: Final = -1
"""What the row of the whole is below."""


class Row(NamedTuple):
    """What the spans of a row have in common; ``parent`` is the number of the row above."""

    parent: int
    type: str
    name: str
    node_id: str | None
    node_type: str | None


class CallTree(NamedTuple):
    """The rows from above, each followed by what it called in the order of the first calls.

    The first row is the whole. ``row_of`` is the row of each span by its index in the network, and
    ``lanes`` are the spans of each row: for each of its lanes their indexes in the order of time.
    """

    rows: Sequence[Row]
    row_of: Sequence[int]
    lanes: Sequence[Sequence[Sequence[int]]]


def call_tree(network: Network, name: str) -> CallTree:
    """Return the rows of an execution; `name` is what the whole is called."""
    found, row_of = _rows(network, name)
    order = _from_above(network, found, row_of)
    number = [0] * len(found)
    for place, row in enumerate(order):
        number[row] = place
    rows = [
        found[row]._replace(parent=number[found[row].parent] if found[row].parent != TOP else TOP)
        for row in order
    ]
    row_of = [number[row] for row in row_of]
    return CallTree(rows, row_of, _lanes(network, len(rows), row_of))


def _rows(network: Network, name: str) -> tuple[list[Row], list[int]]:
    rows = [Row(TOP, EXECUTION, name, None, None)]
    known: dict[tuple[int, str, str, str | None], int] = {}
    row_of = [0] * len(network.spans)
    for place in network.order:
        span = network.spans[place]
        if place == WHOLE or span is None:
            continue
        parent = row_of[network.parents[place]]
        node_id = None if span.type == EXECUTION else span.node_id or SYSTEM_NODE
        name = node_id if span.type == NODE and node_id is not None else span.name
        key = (parent, span.type, name, node_id)
        row = known.get(key)
        if row is None:
            row = known[key] = len(rows)
            rows.append(Row(*key, span.node_type))
        elif rows[row].node_type is None and span.node_type is not None:
            rows[row] = rows[row]._replace(node_type=span.node_type)
        row_of[place] = row
    return rows, row_of


def _from_above(network: Network, rows: Sequence[Row], row_of: Sequence[int]) -> list[int]:
    """Return the rows, each followed by those below it; of one parent the earliest comes first."""
    first = [network.ends[WHOLE]] * len(rows)
    for place, row in enumerate(row_of):
        first[row] = min(first[row], network.starts[place])
    below: dict[int, list[int]] = {}
    for row in range(1, len(rows)):
        below.setdefault(rows[row].parent, []).append(row)
    order = []
    waiting = [0]
    while waiting:
        row = waiting.pop()
        order.append(row)
        waiting += sorted(below.get(row, ()), key=lambda one: (-first[one], -one))
    return order


def _lanes(network: Network, rows: int, row_of: Sequence[int]) -> list[list[list[int]]]:
    places = [place for place, span in enumerate(network.spans) if span is not None]
    spans = [span for span in network.spans if span is not None]
    by_row: list[dict[int, list[int]]] = [{} for _ in range(rows)]
    for place, lane in zip(places, lanes(spans), strict=True):
        by_row[row_of[place]].setdefault(lane, []).append(place)

    def in_time(place: int) -> tuple[int, int, int]:
        span = network.spans[place]
        assert span is not None  # noqa: S101 - only those are in a lane
        return span.start_ns, _end_ns(span), place

    return [[sorted(of[lane], key=in_time) for lane in sorted(of)] for of in by_row]


def _end_ns(span: SpanRecord) -> int:
    return max(span.start_ns, span.end_ns)
