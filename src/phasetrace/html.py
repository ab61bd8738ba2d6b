"""A breakdown as HTML, for notebooks: one table, in the colours of the page around it.

Everything that comes from spans is escaped. The bars say nothing that is not written beside them.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from phasetrace.rendering import (
    SELF,
    has_self_row,
    human,
    is_running,
    open_label,
    own_cancelled,
    own_errors,
    safe,
)

if TYPE_CHECKING:
    from phasetrace.breakdowns import ExecutionBreakdown, NodeBreakdown

_STYLE: Final = (
    "border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px;text-align:right"
)
_CELL: Final = "padding:2px 10px;border:0;text-align:right;background:none"
_NAME: Final = "padding:2px 10px;border:0;text-align:left;background:none"
_BAR: Final = (
    "display:inline-block;height:9px;margin-right:6px;background:currentColor;opacity:.45;"
    "vertical-align:baseline"
)
_BAR_WIDTH: Final = 100
_TITLES: Final = ("calls", "total", "self", "share", "p95", "errors", "cancelled")


def breakdown_html(breakdown: ExecutionBreakdown) -> str:
    """Return a breakdown as a table under what is known of the execution."""
    execution = breakdown.execution
    label = open_label(breakdown)
    rows = []
    for node in breakdown.nodes:
        rows += _node_rows(node, label)
    rows.append(
        _row("unattributed", "", human(breakdown.unattributed_ns), "", breakdown.unattributed, "")
    )
    titles = "".join(f'<th scope="col" style="{_CELL}">{title}</th>' for title in _TITLES)
    said = f"{_text(execution.exec_id)}: {human(execution.duration_ns)}, {_text(execution.status)}"
    return (
        f'<table style="{_STYLE}"><caption style="text-align:left;padding:4px 10px">{said}'
        f'</caption><thead><tr><th scope="col" style="{_NAME}">node / phase</th>{titles}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def findings_html(text: str) -> str:
    """Return an analysis, a line of which is a heading or a finding, as HTML."""
    heading, *lines = text.splitlines()
    items = "".join(f"<li>{escape(line.removeprefix('- '))}</li>" for line in lines)
    return f"<p>{escape(heading)}</p><ol>{items}</ol>"


def _node_rows(node: NodeBreakdown, label: str) -> list[str]:
    total = label if is_running(node) else human(node.total_ns)
    outcome = (own_errors(node), own_cancelled(node))
    rows = [
        _row(
            f"<b>{_text(node.node_id)}</b>",
            f"{node.count:,}" if node.count else "",
            total,
            human(node.self_ns) if node.count else "",
            node.share,
            human(node.p95_ns) if node.count else "",
            *outcome,
        )
    ]
    indent = "&emsp;"
    for phase in node.phases:
        rows.append(
            _row(
                indent + _text(phase.phase),
                f"{phase.count:,}" if phase.count else "",
                human(phase.total_ns) if phase.count else label,
                human(phase.self_ns) if phase.count else "",
                phase.share,
                human(phase.p95_ns) if phase.count else "",
                phase.errors,
                phase.cancelled,
            )
        )
    if node.phases and has_self_row(node):
        own = node.share - sum(phase.share for phase in node.phases)
        rows.append(_row(indent + SELF, "", "", human(node.self_ns), max(0.0, own), ""))
    return rows


def _row(
    name: str,
    calls: str,
    total: str,
    self_time: str,
    share: float,
    p95: str,
    errors: int = 0,
    cancelled: int = 0,
) -> str:
    bar = f'<span style="{_BAR};width:{share * _BAR_WIDTH:.0f}px"></span>{share:.1%}'
    cells = [calls, total, self_time, bar, p95]
    cells += [str(number) if number else "" for number in (errors, cancelled)]
    return (
        f'<tr><th scope="row" style="{_NAME};font-weight:normal">{name}</th>'
        + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells)
        + "</tr>"
    )


def _text(text: str) -> str:
    """Return untrusted text as HTML, without what would turn the direction of what follows."""
    return escape(safe(text))
