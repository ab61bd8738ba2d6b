"""A report of an execution in GitHub's Markdown: for an issue, a pull request, a chat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from phasetrace.analysis.wording import finding_text
from phasetrace.breakdowns import NodeBreakdown, PhaseBreakdown
from phasetrace.exports.exported import ExportedExecution
from phasetrace.markdown import code, prose
from phasetrace.rendering import (
    SELF,
    has_self_row,
    human,
    is_running,
    open_label,
    own_cancelled,
    own_errors,
)

_HEAD: Final = ("node / phase", "calls", "total", "self", "share", "p95", "errors")
_INDENT: Final = "&emsp;"
_MOST_OF_MESSAGE: Final = 300
"""Messages of failures that are longer lose their middle."""


def markdown_lines(exported: ExportedExecution) -> Iterator[str]:
    """Give the lines of the file."""
    breakdown = exported.breakdown
    execution = breakdown.execution
    about = [
        f"{human(execution.duration_ns)}",
        prose(execution.status),
        f"{breakdown.spans:,} span{'s' if breakdown.spans != 1 else ''}",
    ]
    if breakdown.errors:
        about.append(f"{breakdown.errors:,} error{'s' if breakdown.errors > 1 else ''}")
    if breakdown.cancelled:
        about.append(f"{breakdown.cancelled:,} cancelled")
    yield f"## {prose(exported.title)}\n\n"
    yield f"{code(execution.exec_id)}: {', '.join(about)}\n\n"
    yield f"| {' | '.join(_HEAD)} |\n"
    yield f"|---|{'---:|' * (len(_HEAD) - 1)}\n"
    label = open_label(breakdown)
    for node in breakdown.nodes:
        yield from (f"| {' | '.join(cells)} |\n" for cells in _rows(node, label))
    unattributed = [human(breakdown.unattributed_ns), "", f"{breakdown.unattributed:.1%}", "", ""]
    yield f"| unattributed |  | {' | '.join(unattributed)} |\n"
    findings = exported.findings
    if findings:
        yield "\n### What would make it faster\n\n"
    for number, finding in enumerate(findings, 1):
        yield f"{number}. {prose(finding_text(finding))}.\n"


def _rows(node: NodeBreakdown, label: str) -> Iterator[list[str]]:
    yield [
        f"{code(node.node_id)}",
        f"{node.count:,}" if node.count else "",
        label if is_running(node) else human(node.total_ns),
        human(node.self_ns) if node.count else "",
        f"{node.share:.1%}",
        human(node.p95_ns) if node.count else "",
        _ends(own_errors(node), own_cancelled(node)),
    ]
    for phase in node.phases:
        yield _phase(phase, label)
    if node.phases and has_self_row(node):
        own = max(0.0, node.share - sum(phase.share for phase in node.phases))
        yield [f"{_INDENT}{SELF}", "", "", human(node.self_ns), f"{own:.1%}", "", ""]


def _phase(phase: PhaseBreakdown, label: str) -> list[str]:
    return [
        f"{_INDENT}{code(phase.phase)}",
        f"{phase.count:,}" if phase.count else "",
        human(phase.total_ns) if phase.count else label,
        human(phase.self_ns) if phase.count else "",
        f"{phase.share:.1%}",
        human(phase.p95_ns) if phase.count else "",
        _ends(phase.errors, phase.cancelled),
    ]


def _ends(errors: int, cancelled: int) -> str:
    """Return how many calls failed, and how many were cancelled."""
    counts = [f"{errors:,}"] if errors else []
    if cancelled:
        counts.append(f"{cancelled:,} cancelled")
    return ", ".join(counts)
