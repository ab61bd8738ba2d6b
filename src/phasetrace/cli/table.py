"""The wide form of a breakdown: a table with a row a phase, for terminals that have room for it.

The table is laid out here, to the column, and only drawn by rich: names get what the numbers leave
over, and the bars of the shares what the names leave over. rich is imported when a table is drawn,
as the commands that print plain text have no time for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.environment import colour_wanted
from phasetrace.rendering import (
    SELF,
    breakdown_text,
    cells,
    has_self_row,
    header_text,
    human,
    is_running,
    name_text,
    open_label,
    open_text,
    own_cancelled,
    own_errors,
)
from phasetrace.rendering import shortened as shortened

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from phasetrace.breakdowns import ExecutionBreakdown, NodeBreakdown

WIDE: Final = 100
"""Columns a terminal needs for the wide form."""

_USUAL_COLUMNS: Final = 80
_GAP: Final = 2
_BAR: Final = range(8, 33)
_PERCENT_WIDTH: Final = 7
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_Key = tuple[str, str | None]


class _Row(NamedTuple):
    """One row: its indented name, the share in thousandths, and the cells by column."""

    name: str
    share: int | None
    cells: dict[str, str]
    style: str = ""


def print_breakdown(
    breakdown: ExecutionBreakdown, *, plain: bool = False, colour: bool | None = None
) -> None:
    """Print a breakdown on stdout: as a table if that is a wide terminal, else in plain form.

    `plain` always takes the plain form. `colour` True or False wins over the environment.
    """
    coloured = colour_wanted(on_terminal(), colour)
    width = terminal_width()
    if plain or width < WIDE:
        print(breakdown_text(breakdown, colour=coloured, width=width))  # noqa: T201
        return
    print(header_text(breakdown, colour=coloured))  # noqa: T201
    print()  # noqa: T201
    draw(breakdown_table(breakdown, width), width, coloured)
    if breakdown.open:
        print(f"\n{open_text(breakdown)}")  # noqa: T201


def on_terminal() -> bool:
    """Tell whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def terminal_width() -> int:
    """Return the columns of the terminal that stdout is; 0 if there is none that can draw."""
    if not on_terminal() or "utf" not in (sys.stdout.encoding or "").lower():
        return 0
    try:
        return columns_of(sys.stdout.fileno())
    except (OSError, ValueError):
        return 0


def columns_of(descriptor: int) -> int:
    """Return the columns of a terminal; 80 if it says that it has none, as in a container.

    Raises:
        OSError: if it is no terminal.
    """
    import os

    return os.get_terminal_size(descriptor).columns or _USUAL_COLUMNS


def draw(table: Table, width: int, colour: bool) -> None:
    """Print a table on stdout, in the terminal's own 16 colours or in none."""
    console(width, colour).print(table)


def console(width: int, colour: bool) -> Console:
    """Return a console on stdout that interprets nothing in what it is given."""
    from rich.console import Console

    # The terminal's palette, which its owner chose to be readable on their background.
    return Console(
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def breakdown_table(breakdown: ExecutionBreakdown, width: int) -> Table:
    """Return the table of a breakdown, no wider than `width`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = _rows(breakdown)
    titles = ["calls", "total", "self", "p95"]
    titles += [name for name in ("errors", "cancelled") if any(row.cells.get(name) for row in rows)]
    widths = {
        title: max(len(title), *(len(row.cells.get(title, "")) for row in rows)) for title in titles
    }
    left = width - sum(widths.values()) - _PERCENT_WIDTH - _GAP * (len(titles) + 1)
    name_width = min(max(cells(row.name) for row in rows), left - _BAR[0])
    bar_width = min(left - name_width, _BAR[-1])

    # The box puts one column between two of ours, and the padding the other.
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
        header_style="bold",
    )
    table.add_column("node / phase", width=name_width, no_wrap=True)
    for title in titles:
        if title == "p95":
            table.add_column("share", width=bar_width + _PERCENT_WIDTH, no_wrap=True)
        table.add_column(title, width=widths[title], justify="right", no_wrap=True)
    for row in rows:
        texts = [Text(shortened(row.name, name_width), style=row.style)]
        for title in titles:
            if title == "p95":
                texts.append(_share(row, bar_width))
            alarm = title in ("errors", "cancelled")
            texts.append(Text(row.cells.get(title, ""), style="bold red" if alarm else row.style))
        table.add_row(*texts)
    return table


def _rows(breakdown: ExecutionBreakdown) -> list[_Row]:
    shares, unattributed = _thousandths(breakdown)
    rows, label = [], open_label(breakdown)
    for node in breakdown.nodes:
        node_row = _node_row(node, shares, label)
        rows += [node_row, *_phase_rows(node, shares, label), _Row("", None, {})]
    total = human(breakdown.unattributed_ns)
    return [*rows, _Row("unattributed", unattributed, {"total": total}, "dim")]


def _node_row(node: NodeBreakdown, shares: dict[_Key, int], label: str) -> _Row:
    share = sum(shares[node.node_id, name] for name in (None, *(row.phase for row in node.phases)))
    texts = {
        "calls": str(node.count) if node.count else "",
        "total": label if is_running(node) else human(node.total_ns),
        "self": human(node.self_ns) if node.count else "",
        "p95": human(node.p95_ns) if node.count else "",
        **_outcome(own_errors(node), own_cancelled(node)),
    }
    return _Row(name_text(node.node_id), share, texts, "bold")


def _phase_rows(node: NodeBreakdown, shares: dict[_Key, int], label: str) -> list[_Row]:
    rows = []
    for phase in node.phases:
        texts = {"total": label}
        if phase.count:
            texts = {
                "calls": str(phase.count),
                "total": human(phase.total_ns),
                "self": human(phase.self_ns),
                "p95": human(phase.p95_ns),
                **_outcome(phase.errors, phase.cancelled),
            }
        rows.append(_Row(f"  {name_text(phase.phase)}", shares[node.node_id, phase.phase], texts))
    own = shares[node.node_id, None]
    if rows and (own or has_self_row(node)):
        texts = {"self": human(node.self_ns) if node.count else label}
        rows.append(_Row(f"  {SELF}", own, texts, "dim"))
    return rows


def _outcome(errors: int, cancelled: int) -> dict[str, str]:
    return {
        "errors": str(errors) if errors else "",
        "cancelled": str(cancelled) if cancelled else "",
    }


def _share(row: _Row, bar_width: int) -> Text:
    from rich.text import Text

    if row.share is None:
        return Text()
    # What is there at all is seen, if only as the thinnest of bars.
    eighths = max(round(row.share * bar_width * 8 / 1_000), row.share > 0)
    bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    percent = f"{row.share / 10:.1f}%"
    return Text.assemble(
        (f"{bar:{bar_width}}", row.style if row.style == "dim" else "green"),
        (f"{percent:>{_PERCENT_WIDTH}}", row.style),
    )


def _thousandths(breakdown: ExecutionBreakdown) -> tuple[dict[_Key, int], int]:
    """Round the shares to tenths of a percent such that what is shown adds up to 100.0 %."""
    from phasetrace.shares import round_shares

    shares: dict[_Key, float] = {}
    for node in breakdown.nodes:
        shares[node.node_id, None] = node.share_ns - sum(row.share_ns for row in node.phases)
        for phase in node.phases:
            shares[node.node_id, phase.phase] = phase.share_ns
    return round_shares(shares, breakdown.unattributed_ns, 1_000)
