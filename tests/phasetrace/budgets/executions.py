"""Executions to judge, made of spans that are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import NO_PRICES, Prices
from phasetrace.breakdowns import ExecutionHeader
from phasetrace.budgets.baseline import Baseline
from phasetrace.budgets.budget import parse_budgets
from phasetrace.budgets.evaluation import Report, check
from phasetrace.budgets.figures import Measured, figures_of
from phasetrace.spans import EXECUTION, NODE, PHASE, SpanRecord, Usage

MS = 1_000_000
STARTED_NS = 1_700_000_000_000_000_000
DURATION_MS = 10_000

Written = tuple[str, str | None, float, float]
"""A node, a phase of it or None, and when it starts and ends (ms after the execution's start)."""


def recording(
    *spans: Written | tuple[str, str | None, float, float, Usage],
    exec_id: str = "exec_1",
    name: str | None = "nightly",
    status: str = "ok",
    duration_ms: float = DURATION_MS,
    failed: Sequence[int] = (),
) -> Recording:
    """Return an execution; phases are in the last node of theirs before them, if there is one."""
    header = ExecutionHeader(
        exec_id, name, status, f"{1:032x}", STARTED_NS, round(duration_ms * MS)
    )
    end_ns = STARTED_NS + header.duration_ns
    made = [SpanRecord(1, None, EXECUTION, exec_id, None, None, STARTED_NS, end_ns, "ok")]
    nodes: dict[str, int] = {}
    for number, (node_id, phase, start, end, *usage) in enumerate(spans, 2):
        is_node = phase is None
        made.append(
            SpanRecord(
                span_id=number,
                parent_id=1 if is_node else nodes.get(node_id, 1),
                type=NODE if is_node else PHASE,
                name=node_id if phase is None else phase,
                node_id=node_id,
                node_type=None,
                start_ns=STARTED_NS + round(start * MS),
                end_ns=STARTED_NS + round(end * MS),
                status="error" if number - 2 in failed else "ok",
                usage=usage[0] if usage else None,
            )
        )
        if is_node:
            nodes[node_id] = number
    return Recording(header, made, 1)


def measured(of: Recording, prices: Prices = NO_PRICES) -> Measured:
    """Return all figures of an execution."""
    return Measured(of.execution, figures_of(Examination(of, prices)))


def checked(
    of: Recording,
    budgets: Mapping[str, Any],
    baseline: Baseline | None = None,
    prices: Prices = NO_PRICES,
) -> Report:
    """Return what becomes of an execution's budgets."""
    return check(measured(of, prices), parse_budgets(budgets, "somewhere"), baseline)


PIPELINE = recording(
    ("plan", None, 0, 4_000),
    ("plan", "outline", 0, 1_000),
    ("plan", "draft", 1_000, 3_430),
    ("fetch", None, 4_000, 9_000),
    ("fetch", "download", 4_000, 6_000, Usage(1_000, 200, "gpt-4o")),
    ("fetch", "download", 5_000, 8_500, Usage(3_000, 0, "gpt-4o")),
    failed=[4],
)
"""Plan takes 4 s, then fetch 5 s with downloads that overlap, then nothing happens for 1 s."""
