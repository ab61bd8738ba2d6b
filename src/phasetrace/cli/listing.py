"""``phasetrace list``: the executions in the store, newest first."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import HOW_TO_RECORD, open_store
from phasetrace.errors import StoreMissing
from phasetrace.rendering import ago, cells, human, local_time, safe

if TYPE_CHECKING:
    from rich.table import Table

    from phasetrace.store.stored import StoredExecution

EXECUTIONS_SCHEMA: Final = "phasetrace.executions/1"

_TITLES: Final = ("id", "name", "status", "started", "duration", "spans", "errors")
_NUMBERS: Final = frozenset({"duration", "spans", "errors"})
_STATUS_STYLES: Final = {"ok": "green", "error": "bold red", "running": "bold", "cancelled": "red"}
_LEAST_NAME: Final = 8
_GAP: Final = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``list``."""
    parser.add_argument(
        "-n",
        "--limit",
        type=_limit,
        default=20,
        metavar="N",
        help="how many executions at most (default: 20)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help=f"print JSON ({EXECUTIONS_SCHEMA}), times in integer nanoseconds",
    )


def execute(args: argparse.Namespace) -> int:
    """Print the executions that started last."""
    executions = _executions(args.limit)
    if args.json:
        import json

        rows = [_plain_values(execution) for execution in executions]
        print(json.dumps({"schema": EXECUTIONS_SCHEMA, "executions": rows}, indent=2))  # noqa: T201
        return 0
    if not executions:
        print(f"phasetrace: nothing has been recorded yet; {HOW_TO_RECORD}", file=sys.stderr)  # noqa: T201
        return 0
    from phasetrace.cli.table import draw, terminal_width
    from phasetrace.settings import colour_wanted

    width = terminal_width()
    if width:
        draw(_table(executions, width), width, colour_wanted(True))
    else:
        _print_plain(executions)
    return 0


def _executions(limit: int) -> list[StoredExecution]:
    try:
        with open_store() as store:
            return store.executions(limit)
    except StoreMissing:
        return []


def _plain_values(execution: StoredExecution) -> dict[str, Any]:
    return {
        "exec_id": execution.exec_id,
        "name": execution.name,
        "status": execution.status,
        "trace_id": execution.trace_id,
        "parent_exec_id": execution.parent_exec_id,
        "started_ns": execution.started_ns,
        "duration_ns": execution.duration_ns,
        "spans": execution.spans,
        "errors": execution.errors,
    }


def _cells(execution: StoredExecution, started: str) -> list[str]:
    return [
        safe(execution.exec_id),
        safe(execution.name or "") or "-",
        safe(execution.status),
        started,
        human(execution.duration_ns),
        str(execution.spans),
        str(execution.errors),
    ]


def _print_plain(executions: list[StoredExecution]) -> None:
    """Print aligned columns, nothing cut off."""
    rows = [list(_TITLES), *(_cells(one, local_time(one.started_ns)) for one in executions)]
    widths = _widths(rows)
    for row in rows:
        line = ""
        for title, text, width in zip(_TITLES, row, widths, strict=True):
            padding = " " * (width - cells(text))
            line += padding + text if title in _NUMBERS else text + padding
            line += " " * _GAP
        print(line.rstrip())  # noqa: T201


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(map(cells, column)) for column in zip(*rows, strict=True)]


def _table(executions: list[StoredExecution], width: int) -> Table:
    """Return the table for a terminal; where it is too narrow the name gives way, not the id."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from phasetrace.cli.table import shortened
    from phasetrace.clock import now_ns

    now = now_ns()
    rows = [_cells(execution, ago(execution.started_ns, now)) for execution in executions]
    widths = _widths([list(_TITLES), *rows])
    left = width - (sum(widths) - widths[1]) - _GAP * (len(_TITLES) - 1)
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
        header_style="bold",
    )
    shown = [index for index in range(len(_TITLES)) if index != 1 or left >= _LEAST_NAME]
    for index in shown:
        title = _TITLES[index]
        if title == "id":  # to be copied: it may wrap, but is never cut off
            table.add_column(title, overflow="fold")
        else:
            justify: Any = "right" if title in _NUMBERS else "left"
            table.add_column(title, justify=justify, no_wrap=True)
    for row in rows:
        row[1] = shortened(row[1], max(left, _LEAST_NAME))
        styles = ["bold", "", _STATUS_STYLES.get(row[2], ""), "", "", "", ""]
        styles[6] = "bold red" if row[6] != "0" else "dim"
        table.add_row(*(Text(row[index], style=styles[index]) for index in shown))
    return table


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of executions above 0")
    return int(text)
