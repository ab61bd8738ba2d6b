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


def _within(node_id: str | None, label: str) -> str:
    return label if node_id in (None, SYSTEM_NODE) else f"{label}{SEPARATOR}{node_id}"
