"""What a page shows, as plain values: the executions with their spans, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from phasetrace._version import __version__
from phasetrace.analysis.comparison import ALPHA, ExecutionDiff, Run, compare
from phasetrace.analysis.concurrency import concurrency
from phasetrace.analysis.execution import Examination
from phasetrace.analysis.findings import Finding
from phasetrace.analysis.groups import BY, By, Group, Groups
from phasetrace.analysis.usage import Spent
from phasetrace.analysis.wording import finding_text
from phasetrace.breakdowns import ExecutionBreakdown, NodeBreakdown, PhaseBreakdown
from phasetrace.history import AS_USUAL, Verdict, sentence
from phasetrace.rendering import local_time, own_cancelled, own_errors
from phasetrace.reports.call_tree import CallTree, call_tree
from phasetrace.reports.columns import Names, path_columns, places_of, span_columns
from phasetrace.reports.details import MOST_BYTES, NOBODY, Said, detail_columns
from phasetrace.reports.texts import for_page, shown

SCHEMA: Final = "phasetrace report, 1"
"""Of the page and its script, which always come together; nobody else is to read it."""


class Shown(NamedTuple):
    """An execution that goes on a page; ``notes`` are what its source has to say of it.

    ``said`` is what its spans say beside their times, of as many as were asked.
    """

    examination: Examination
    breakdown: ExecutionBreakdown
    findings: Sequence[Finding]
    verdict: Verdict | None = None
    notes: Sequence[str] = ()
    said: Said = NOBODY


def document(execution: Shown, other: Shown | None = None) -> dict[str, Any]:
    """Return all that a page shows of an execution, compared with another one if there is one."""
    groups = execution.examination.groups(BY["phase of node"])
    most_bytes = MOST_BYTES if other is None else MOST_BYTES // 2
    runs, diff = [_run(execution, groups, most_bytes)], None
    if other is not None:
        groups_other = other.examination.groups(BY["phase of node"])
        runs.append(_run(other, groups_other, most_bytes))
        diff = _diff(execution, other, groups, groups_other)
    return {"schema": SCHEMA, "version": __version__, "runs": runs, "diff": diff}


def _run(of: Shown, groups: Groups, most_bytes: int) -> dict[str, Any]:
    examination, breakdown = of.examination, of.breakdown
    timeline = _timeline(of, most_bytes)
    header = breakdown.execution
    at_once = concurrency(examination.network)
    total = sum((row.usage for row in groups.rows), Spent())
    return {
        **for_page(
            {
                **asdict(header),
                "started": local_time(header.started_ns),
                "spans": breakdown.spans,
                "errors": breakdown.errors,
                "cancelled": breakdown.cancelled,
                "unattributed_ns": breakdown.unattributed_ns,
                "unattributed": breakdown.unattributed,
                "critical_unattributed_ns": groups.critical_unattributed_ns,
                "critical_waiting_ns": groups.critical_waiting_ns,
                "wall_ns": groups.wall_ns,
                "at_once": {"average": at_once.average, "maximum": at_once.maximum},
                "usage": asdict(total),
                "open": len(breakdown.open),
                "usual": _usual(of.verdict),
                "notes": _notes(of, timeline["details"]["left_out"]),
                "findings": [_finding(one) for one in of.findings],
                "nodes": _nodes(of, groups),
            }
        ),
        **timeline,
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "node_id": one.node_id,
        "phase": one.phase,
        "saving_ns": one.saving_ns,
        "saving": one.saving,
        "text": finding_text(one),
    }


def _notes(of: Shown, left_out: int) -> list[str]:
    notes, lost = list(of.notes), of.examination.recording.lost
    if lost:
        spans = f"{lost:,} span{'s' if lost > 1 else ''} of this execution"
        notes.append(f"{spans} could not be stored; only the breakdown has all of them")
    if of.said.note:
        notes.append(of.said.note)
    elif of.said.places and left_out:
        number = len(of.examination.recording.spans)
        notes.append(
            f"attributes and events are here of {number - left_out:,} of {number:,} spans, of those"
            " that failed first and then of the longest; phasetrace export has all of them"
        )
    return notes


def _usual(verdict: Verdict | None) -> str | None:
    return None if verdict is None or verdict.what == AS_USUAL else sentence(verdict)


def _nodes(of: Shown, groups: Groups) -> list[dict[str, Any]]:
    """Return the breakdown, with what only the groups know of each row beside it."""
    by_phase = {row.key: row for row in groups.rows}
    by_node = {row.key: row for row in of.examination.groups(BY["node"]).rows}
    return [
        {
            **_row(node, by_node.get((node.node_id,))),
            "errors": own_errors(node),
            "cancelled": own_cancelled(node),
            "node_id": node.node_id,
            "node_type": node.node_type,
            "phases": [
                {**_row(phase, by_phase.get((node.node_id, phase.phase))), "phase": phase.phase}
                for phase in node.phases
            ],
        }
        for node in of.breakdown.nodes
    ]


def _row(row: NodeBreakdown | PhaseBreakdown, group: Group | None) -> dict[str, Any]:
    """Return a row of the breakdown; its group may be missing where spans could not be stored."""
    usage = group.usage if group is not None else Spent()
    # A node that is only named by its phases has no calls, and a group of it those of its phases.
    has_calls = row.count > 0
    quantiles = group if has_calls else None
    return {
        "calls": row.count,
        "total_ns": row.total_ns,
        "self_ns": row.self_ns,
        "share_ns": row.share_ns,
        "share": row.share,
        "of_node": row.of_node,
        "critical_ns": group.critical_ns if group is not None else 0,
        "p50_ns": quantiles.p50_ns if quantiles is not None else None,
        "p95_ns": row.p95_ns if has_calls else None,
        "max_ns": quantiles.max_ns if quantiles is not None else None,
        "errors": row.errors,
        "cancelled": row.cancelled,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": usage.cost,
    }


def _timeline(of: Shown, most_bytes: int) -> dict[str, Any]:
    examination = of.examination
    network, recording = examination.network, examination.recording
    header = recording.execution
    tree = call_tree(network, header.name or header.exec_id)
    names = Names()
    rows = _rows(examination, tree, names)
    still_open = {span_id for span_id, *_ in recording.open_spans}
    spans = span_columns(network, tree, names, examination.prices, still_open)
    path = path_columns(network, tree, examination.path)
    finished = {
        place: number
        for number, place in enumerate(places_of(tree))
        if (span := network.spans[place]) is not None and span.span_id not in still_open
    }
    said = detail_columns(of.said, network.spans, finished, most_bytes)
    return {
        "rows": for_page(rows),
        "span_columns": {
            key: column if key == "id" else for_page(column) for key, column in spans.items()
        },
        "path": for_page(path),
        # Texts are as they are shown already, and lines of stack traces may be empty.
        "details": {key: part if key == "texts" else for_page(part) for key, part in said.items()},
        "names": [shown(text) for text in names.texts()],
    }


def _rows(examination: Examination, tree: CallTree, names: Names) -> dict[str, Any]:
    """Return the columns of the call tree's rows, with what their spans add up to."""
    network = examination.network
    row_of = {
        span.span_id: tree.row_of[place]
        for place, span in enumerate(network.spans)
        if span is not None
    }
    grouped = examination.groups(By(lambda span: (row_of.get(span.span_id, 0),), ("row",), True))
    of: dict[object, Group] = {row.key[0]: row for row in grouped.rows}
    found = [of.get(row) for row in range(len(tree.rows))]

    def column(name: str) -> list[int]:
        return [getattr(group, name) if group is not None else 0 for group in found]

    return {
        "parent": [row.parent for row in tree.rows],
        "type": [row.type[0] for row in tree.rows],
        "name": [names.number(row.name) for row in tree.rows],
        "node": [names.number(row.node_id) for row in tree.rows],
        "node_type": [names.number(row.node_type) for row in tree.rows],
        **{name: column(name) for name in ("calls", "total_ns", "self_ns", "critical_ns")},
    }


def _diff(one: Shown, other: Shown, groups: Groups, groups_other: Groups) -> dict[str, Any]:
    """Return what is different in an execution from the other one."""
    recording, recording_other = one.examination.recording, other.examination.recording
    before = Run(recording_other.execution, groups_other, recording_other.lost)
    after = Run(recording.execution, groups, recording.lost)
    diff: ExecutionDiff = compare([before], [after])
    return {**for_page(asdict(diff)), "alpha": ALPHA}
