"""An analysis as plain dicts and lists, ready for JSON: integer nanoseconds, ids as hex digits."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from phasetrace.analysis.usage import Spent
from phasetrace.analysis.wording import finding_text
from phasetrace.jsonable import jsonable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phasetrace.analysis.concurrency import Concurrency
    from phasetrace.analysis.execution import CriticalStep, ExecutionAnalysis
    from phasetrace.analysis.findings import Finding
    from phasetrace.analysis.groups import Group, Groups

ANALYSIS_SCHEMA: Final = "phasetrace.analysis/1"
_MOST_STEPS: Final = 1_000
"""Programs that look for what to do have no use for hundreds of thousands of them."""


def analysis_dict(analysis: ExecutionAnalysis) -> dict[str, Any]:
    """Return an analysis with what is known of the execution; versioned by ``schema``."""
    return {
        "schema": ANALYSIS_SCHEMA,
        **asdict(analysis.execution),
        **analysis_members(analysis),
        "findings": findings_list(analysis.findings),
    }


def analysis_members(analysis: ExecutionAnalysis) -> dict[str, Any]:
    """Return what an analysis has beyond the execution's own data and the findings."""
    return {
        "concurrency": _concurrency(analysis.concurrency),
        **_path(analysis.critical_path),
        "bottlenecks": [asdict(one) for one in analysis.bottlenecks],
        "nodes": [
            {**asdict(node), "at_once": _concurrency(node.at_once)} for node in analysis.nodes
        ],
        "groups": groups_dict(analysis.groups),
        "lost_spans": analysis.lost_spans,
    }


def _path(steps: Sequence[CriticalStep]) -> dict[str, Any]:
    """Return the longest steps of a critical path in the order of time, and what was left out."""
    least = sorted((step.duration_ns for step in steps), reverse=True)[:_MOST_STEPS]
    shown = [step for step in steps if step.duration_ns >= least[-1]][:_MOST_STEPS]
    return {
        "critical_path": [{**step._asdict(), "span_id": _span_id(step.span_id)} for step in shown],
        "critical_path_left_out": {
            "steps": len(steps) - len(shown),
            "duration_ns": sum(step.duration_ns for step in steps)
            - sum(step.duration_ns for step in shown),
        },
    }


def groups_dict(groups: Groups) -> dict[str, Any]:
    """Return groups, and what all of them took of models together."""
    total = Spent()
    for row in groups.rows:
        total += row.usage
    return {
        "by": list(groups.fields),
        "rows": [_group(groups.fields, row) for row in groups.rows],
        "wall_ns": groups.wall_ns,
        "unattributed_ns": groups.unattributed_ns,
        "critical_unattributed_ns": groups.critical_unattributed_ns,
        "critical_waiting_ns": groups.critical_waiting_ns,
        "usage": asdict(total),
    }


def findings_list(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings in their order, each with its sentence."""
    return [{**jsonable(one), "text": finding_text(one)} for one in findings]


def _group(fields: tuple[str, ...], row: Group) -> dict[str, Any]:
    rest = asdict(row)
    del rest["key"], rest["worst"]
    return {**dict(zip(fields, row.key, strict=True)), **rest, "worst": _span_id(row.worst)}


def _concurrency(of: Concurrency) -> dict[str, Any]:
    return {"average": of.average, "maximum": of.maximum, "busy_ns": of.busy_ns}


def _span_id(span_id: int | None) -> str | None:
    """Return an id as OpenTelemetry writes it; None where there is no span."""
    return f"{span_id:016x}" if span_id else None
