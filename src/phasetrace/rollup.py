"""Sub-executions as parts of the execution that started them.

An execution that is opened within another one has a breakdown of its own, and in the outer one its
time is self time of the phase around it. Rolled up, it is a node of the outer one, called by its
name, and its own nodes come below that name: ``import/fetch``. Runs of the same name are added up.
No OpenTelemetry in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phasetrace.breakdowns import OpenSpan
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE, PhaseKey, SpanRecord

SEPARATOR = "/"


def spans_within(spans: Iterable[SpanRecord], label: str) -> Iterator[SpanRecord]:
    """Return the spans of a sub-execution as spans of the outer one, in which it is `label`."""
    for span in spans:
        if span.type == EXECUTION:
            yield span._replace(type=NODE, name=label, node_id=label)
        else:
            yield span._replace(node_id=_within(span.node_id, label))


def open_within(spans: Iterable[OpenSpan], label: str) -> Iterator[OpenSpan]:
    """Do the same for spans that have not ended."""
    for span_id, parent_id, start_ns, key in spans:
        node_id = _within(key.node_id, label) if isinstance(key, PhaseKey) else label
        phase = key.phase if isinstance(key, PhaseKey) else None
        yield span_id, parent_id, start_ns, PhaseKey(node_id, phase)


def number_within(exec_id: str, started_in: Iterable[tuple[str, str]]) -> int:
    """Return how many executions were started within one, at any depth.

    `started_in` are pairs of ids: of an execution that has a parent, the parent's and its own. Each
    counts once, also where two are said to be within each other.
    """
    children: dict[str, list[str]] = {}
    for outer, inner in started_in:
        children.setdefault(outer, []).append(inner)
    seen = {exec_id}
    waiting = [exec_id]
    while waiting:
        new = [one for one in children.get(waiting.pop(), ()) if one not in seen]
        seen.update(new)
        waiting += new
    return len(seen) - 1


def within_text(number: int) -> str:
    """Return what there is to say of executions within one that are not among its nodes."""
    return f"{number:,} execution{'' if number == 1 else 's'} within it"


def _within(node_id: str | None, label: str) -> str:
    return label if node_id in (None, SYSTEM_NODE) else f"{label}{SEPARATOR}{node_id}"
