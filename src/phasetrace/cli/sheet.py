"""Facts under headings, in columns: the form in which ``status`` and ``doctor`` print.

In a terminal the last column wraps below itself, others are cut, and lines may be coloured;
elsewhere nothing is cut and every line is one line. All text that comes in here is taken to be
untrusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.cli.table import console, shortened, terminal_width
from phasetrace.environment import colour_wanted
from phasetrace.rendering import cells, safe

if TYPE_CHECKING:
    from rich.console import Console

_INDENT: Final = "  "
_GAP: Final = 2
_PARTS: Final = 4
"""No column but the last takes more of the width than one of so many parts."""
_ARROW: Final = "→"
_PLAIN_ARROW: Final = "->"


class Line(NamedTuple):
    """One line of columns; `style` is rich's, for the first of them.

    The advice is about this line, and comes below its last column.
    """

    columns: tuple[str, ...]
    style: str = ""
    advice: str = ""


class Section(NamedTuple):
    """A heading, lines of as many columns each, and what to do about them."""

    heading: str
    lines: Sequence[Line]
    advice: Sequence[str] = ()
    numbers: int | None = None
    """The column that is aligned to the right."""


def show(sections: Sequence[Section]) -> None:
    """Print sections on stdout, with an empty line in between."""
    width = terminal_width()
    clean = [_made_safe(section) for section in sections]
    if width:
        _draw(clean, console(width, colour_wanted(True)))
    else:
        print("\n\n".join(map(_plain, clean)))  # noqa: T201


def _made_safe(section: Section) -> Section:
    return section._replace(
        heading=safe(section.heading),
        lines=[
            Line(tuple(map(safe, line.columns)), line.style, safe(line.advice))
            for line in section.lines
        ],
        advice=list(map(safe, section.advice)),
    )


def _plain(section: Section) -> str:
    rows = []
    for line in section.lines:
        rows.append(line.columns)
        if line.advice:
            rows.append(_below(line, f"{_PLAIN_ARROW} {line.advice}"))
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    text = [section.heading]
    for row in rows:
        padded = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            padding = " " * (width - cells(cell))
            padded.append(padding + cell if index == section.numbers else cell + padding)
        text.append(f"{_INDENT}{(' ' * _GAP).join(padded)}".rstrip())
    text += [f"{_INDENT}{_PLAIN_ARROW} {advice}" for advice in section.advice]
    return "\n".join(text)


def _below(line: Line, text: str) -> tuple[str, ...]:
    """Return the columns of a line that has only its last one."""
    return (*("" for _ in line.columns[:-1]), text)


def _draw(sections: Sequence[Section], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    for number, section in enumerate(sections):
        if number:
            console.print()
        console.print(Text(section.heading, style="bold"))
        if section.lines:
            table = Table.grid(padding=(0, _GAP, 0, 0))
            last = len(section.lines[0].columns) - 1
            most = console.width // _PARTS
            for index in range(last + 1):
                table.add_column(
                    justify="right" if index == section.numbers else "left",
                    no_wrap=index < last,
                    overflow="fold",
                )
            for line in section.lines:
                texts = [*(shortened(text, most) for text in line.columns[:-1]), line.columns[-1]]
                table.add_row(Text(_INDENT + texts[0], style=line.style), *map(Text, texts[1:]))
                if line.advice:
                    table.add_row(*_below(line, f"{_ARROW} {line.advice}"))
            console.print(table)
        if section.advice:
            grid = Table.grid(padding=(0, 1, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for advice in section.advice:
                grid.add_row(Text(_INDENT + _ARROW, style="bold"), Text(advice))
            console.print(grid)
