"""Tables for pandas or polars, whichever is there; neither is needed otherwise."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from phasetrace.breakdowns import ExecutionBreakdown

_LIBRARIES: Final = ("pandas", "polars")


def dataframe(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    """Return a `pandas.DataFrame` or `polars.DataFrame` of these columns, also without a row.

    That of the library which the program has imported already, pandas first; otherwise of the
    first one that is installed.

    Raises:
        ImportError: if there is neither.
    """
    data = {column: [row[column] for row in rows] for column in columns}
    return _library().DataFrame(data)


def flat_dataframe(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the same of rows that are alike, with what is nested in them as further columns.

    Raises:
        ImportError: if there is neither library.
    """
    flat = []
    for row in rows:
        values: dict[str, Any] = {}
        for name, value in row.items():
            values.update(value if isinstance(value, Mapping) else {name: value})
        flat.append(values)
    return dataframe(flat, list(flat[0]) if flat else ())


def breakdown_rows(breakdown: ExecutionBreakdown) -> list[dict[str, Any]]:
    """Return a row for each phase, and one without a phase for the time of a node's own.

    Shares and self times of all rows add up; the total without a phase is that of the node's calls.
    """
    rows = []
    for node in breakdown.nodes:
        common = {"node_id": node.node_id, "node_type": node.node_type}
        own_share_ns = node.share_ns - sum(phase.share_ns for phase in node.phases)
        if node.count or own_share_ns:
            wall_ns = breakdown.execution.duration_ns
            rows.append(
                {
                    **common,
                    "phase": None,
                    "count": node.count,
                    "total_ns": node.total_ns,
                    "self_ns": node.self_ns,
                    "share_ns": own_share_ns,
                    "share": own_share_ns / wall_ns if wall_ns else 0.0,
                    "of_node": node.of_node,
                    "min_ns": None,
                    "max_ns": None,
                    "p50_ns": None,
                    "p95_ns": node.p95_ns,
                    "p99_ns": None,
                    "errors": node.errors - sum(phase.errors for phase in node.phases),
                    "cancelled": node.cancelled - sum(phase.cancelled for phase in node.phases),
                }
            )
        for phase in node.phases:
            values = {column: getattr(phase, column) for column in _OF_PHASES}
            rows.append({**common, **values})
    return rows


_OF_PHASES: Final = (
    "phase",
    "count",
    "total_ns",
    "self_ns",
    "share_ns",
    "share",
    "of_node",
    "min_ns",
    "max_ns",
    "p50_ns",
    "p95_ns",
    "p99_ns",
    "errors",
    "cancelled",
)
BREAKDOWN_COLUMNS: Final = ("node_id", "node_type", *_OF_PHASES)


def _library() -> Any:
    for name in _LIBRARIES:
        if sys.modules.get(name) is not None:
            return sys.modules[name]
    for name in _LIBRARIES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise ImportError("to_dataframe() needs pandas or polars; install one: pip install pandas")
