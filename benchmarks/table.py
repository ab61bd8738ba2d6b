"""The table, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.effort import Effort
from benchmarks.lines import Line, Quantity

_FOOTER = """\
Figures are ours ÷ theirs, of the medians over {rounds} interleaved rounds ({cpu_rounds} of eight
threads in row 6, and in rows 9 and 10); the spread is the 10th to 90th percentile of the ratios of
single rounds. Rows 1 to 6 and the shapes are the caller's cost: what a phase takes from the program
itself. Background work is done between the timed blocks there; it is in rows 9 and 10, the CPU time
of the whole process."""
_WIDTH = 132


def console() -> Console:
    """Return where the table goes: standard output, wide enough also where that is a file."""
    usual = Console(highlight=False)
    return usual if usual.is_terminal else Console(highlight=False, width=_WIDTH)


def print_lines(out: Console, lines: Sequence[Line]) -> None:
    """Print the rows that have a bar."""
    table = Table(title="phasetrace side by side", title_justify="left")
    table.add_column("row", justify="right", no_wrap=True)
    table.add_column("what", min_width=24)
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("theirs", justify="right", no_wrap=True)
    table.add_column("against")
    table.add_column("figure", justify="right", no_wrap=True, min_width=7)
    table.add_column("bar", no_wrap=True, min_width=8)
    table.add_column("", no_wrap=True, min_width=8)
    table.add_column("spread", no_wrap=True)  # last: a narrow terminal may cut it off
    for line in lines:
        what = f"{line.what}\n  {line.note}" if line.note else line.what
        table.add_row(
            line.row,
            Text(what),
            _text(line.ours),
            _text(line.theirs),
            Text(line.against),
            _text(line.figure),
            line.bar.text if line.bar is not None else "",
            _mark(line),
            f"{line.spread[0]:.3g} to {line.spread[1]:.3g}" if line.spread is not None else "",
        )
    out.print(table)


def print_shapes(out: Console, lines: Sequence[Line]) -> None:
    """Print a row for every contestant, and a column for every shape."""
    cells = {(line.against, line.what): line for line in lines}
    ours = {line.what: line.ours for line in lines}
    title = "every shape: the time of one operation; below it, ours ÷ theirs"
    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("", no_wrap=True)
    for shape in ours:
        table.add_column(shape, justify="right")
    table.add_row("phasetrace", *map(_text, ours.values()))
    for one in dict.fromkeys(line.against for line in lines):
        table.add_row(one, *(_cell(cells.get((one, shape))) for shape in ours))
    out.print(table)


def print_footer(out: Console, effort: Effort) -> None:
    """Print how the numbers are to be read."""
    out.print(_FOOTER.format(rounds=effort.rounds, cpu_rounds=effort.cpu_rounds))


def _cell(line: Line | None) -> str:
    return f"{_text(line.theirs)}\n{_text(line.figure)}" if line is not None else ""


def _text(quantity: Quantity | None) -> str:
    return str(quantity) if quantity is not None else ""


def _mark(line: Line) -> str:
    if line.failed:
        return "[bold red]✗ failed[/]"
    if line.ok is None:
        return ""
    return "[green]✓ ok[/]" if line.ok else "[bold red]✗ over[/]"
