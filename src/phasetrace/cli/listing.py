"""``phasetrace list``: the executions in the store, or another source, newest first."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import HOW_TO_RECORD, filters, open_source
from phasetrace.cli.options import add_json, add_source
from phasetrace.errors import StoreMissing
from phasetrace.recordings.places import shown
from phasetrace.recordings.source import Where
from phasetrace.rendering import ago, cells, human, local_time, name_text, safe, shortened

if TYPE_CHECKING:
    from rich.table import Table

    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution

EXECUTIONS_SCHEMA: Final = "phasetrace.executions/1"

LISTED: Final = 20
"""How many executions are shown unless another number is asked for."""

_TITLES: Final = ("id", "name", "status", "started", "duration", "spans", "errors")
_NUMBERS: Final = frozenset({"duration", "spans", "errors"})
_STATUS_STYLES: Final = {"ok": "green", "error": "bold red", "running": "bold", "cancelled": "red"}
_ID: Final = 0
_NAME: Final = 1
_STARTED: Final = 3
_TELLING: Final = (2, 4, 5, 6)
"""The columns beside the id that are there first, by what they tell."""
_LEAST_ID: Final = 20
_LEAST_NAME: Final = 8
_GAP: Final = 2
_WITHIN: Final = "↳ "
"""Stands before an execution that was opened within another one: which may be anywhere below."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``list``."""
    filters.add_arguments(parser)
    parser.add_argument(
        "-n",
        "--limit",
        type=_limit,
        default=LISTED,
        metavar="N",
        help=f"how many executions at most (default: {LISTED})",
    )
    add_source(parser)
    add_json(parser, EXECUTIONS_SCHEMA)


def execute(args: argparse.Namespace) -> int:
    """Print the executions that were asked for, those that started last."""
    executions, remarks = _executions(args)
    for remark in remarks:
        print(f"phasetrace: {safe(remark)}", file=sys.stderr)  # noqa: T201
    if args.json:
        import json

        rows = [_plain_values(execution) for execution in executions]
        document = {"schema": EXECUTIONS_SCHEMA, "executions": rows}
        print(json.dumps(document, indent=2, allow_nan=False))  # noqa: T201
    elif executions:
        _print(executions)
    return 0


def _executions(args: argparse.Namespace) -> tuple[list[StoredExecution], list[str]]:
    """Return what was asked for, and what there is to say of it; why it is nothing, if it is."""
    where = filters.where_of(args)
    try:
        with open_source(args.source) as source:
            found = source.executions(args.limit, where)
            known = found or args.json or _known(source, where)
            remarks = list(source.notes)
    except StoreMissing:
        if args.source is not None:
            raise
        found, known, remarks = [], args.json, []
    if not known:
        nothing = f"nothing has been recorded yet; {HOW_TO_RECORD}"
        remarks.append(
            nothing if args.source is None else f"there is no execution in {shown(args.source)}"
        )
    elif not found and not args.json:
        from phasetrace.clock import now_ns

        remarks.append(filters.nothing_left(known, where, now_ns()))
    return found, remarks


def _known(source: Source, where: Where) -> list[StoredExecution]:
    """Return all there is of the name that is asked for; if that is nothing, all there is."""
    named = source.executions(where=Where(name=where.name)) if where.name is not None else []
    return named or source.executions()


def _print(executions: list[StoredExecution]) -> None:
    from phasetrace.cli.table import terminal_width

    width = terminal_width()
    if not (width and _draw(executions, width)):
        _print_plain(executions)  # the terminal wraps what it is one line to, also to who copies it


def _draw(executions: list[StoredExecution], width: int) -> bool:
    """Draw as much as there is room for on a terminal; return whether there is enough."""
    from phasetrace.cli.table import draw
    from phasetrace.clock import now_ns
    from phasetrace.environment import colour_wanted

    now = now_ns()
    rows = [_cells(execution, ago(execution.started_ns, now)) for execution in executions]
    for execution, row in zip(executions, rows, strict=True):
        row[_ID] = f"{_mark(execution)}{row[_ID]}"
    columns = _shown(rows, width, all(map(_is_named_by_id, executions)))
    if columns is None:
        return False
    draw(_table(rows, columns), width, colour_wanted(True))
    return True


def _mark(execution: StoredExecution) -> str:
    return _WITHIN if execution.parent_exec_id is not None else ""


def _is_named_by_id(execution: StoredExecution) -> bool:
    """Tell whether the id says the name already, as it does where nobody has given one."""
    return execution.exec_id.startswith(execution.name or "")


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
        name_text(execution.name or "") or "-",
        safe(execution.status),
        started,
        human(execution.duration_ns),
        str(execution.spans),
        str(execution.errors),
    ]


def _print_plain(executions: list[StoredExecution]) -> None:
    """Print aligned columns, nothing cut off."""
    rows = [list(_TITLES)]
    for one in executions:
        row = _cells(one, local_time(one.started_ns))
        row[_NAME] = f"{_mark(one)}{row[_NAME]}"  # the id is what lines begin with
        rows.append(row)
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


def _shown(rows: list[list[str]], room: int, are_named_by_ids: bool) -> dict[int, int] | None:
    """Return the width of each column that there is room for, in their order; None if it is none.

    The id, which is to be copied, is whole as long as what tells how it went fits beside it. Beyond
    that it loses its middle, unless ids could not be told apart any more: then columns go instead.
    Names that the ids begin with are the first to go; others may be short.
    """
    widths = _widths([list(_TITLES), *rows])
    left = room - sum(widths[index] + _GAP for index in _TELLING)
    whole = widths[_ID]
    if _LEAST_ID <= left < whole and _are_told_apart([row[_ID] for row in rows], left):
        widths[_ID] = left
    shown = {_ID: widths[_ID]}
    others = (_STARTED, _NAME) if are_named_by_ids else (_NAME, _STARTED)
    for index in (*_TELLING, *others):
        least = min(widths[index], _LEAST_NAME) if index == _NAME else widths[index]
        if sum(shown.values()) + least + _GAP * len(shown) <= room:
            shown[index] = least
    if _NAME in shown:
        spare = room - sum(shown.values()) - _GAP * (len(shown) - 1)
        shown[_NAME] += min(spare, widths[_NAME] - shown[_NAME])
    return dict(sorted(shown.items())) if shown[_ID] <= room else None


def _are_told_apart(ids: list[str], width: int) -> bool:
    return len({shortened(one, width) for one in ids}) == len(set(ids))


def _table(rows: list[list[str]], columns: dict[int, int]) -> Table:
    """Return the table of these columns, each as wide as it is to be."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
        header_style="bold",
    )
    for index, width in columns.items():
        title = _TITLES[index]
        justify: Any = "right" if title in _NUMBERS else "left"
        table.add_column(title, justify=justify, no_wrap=True, width=width)
    for row in rows:
        styles = ["bold", "", _STATUS_STYLES.get(row[2], ""), "", "", "", ""]
        styles[6] = "bold red" if row[6] != "0" else "dim"
        texts = (
            Text(shortened(row[index], width), style=styles[index])
            for index, width in columns.items()
        )
        table.add_row(*texts)
    return table


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of executions above 0")
    return int(text)
