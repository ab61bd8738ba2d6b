"""The tree of an execution as lines: branches, durations, shares with bars, and marks in words.

In a terminal lines are no wider than it: names and remarks lose their middle, and bars get what is
left over. Elsewhere nothing is cut, and there are no bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from phasetrace.analysis.folding import Row, Tree
from phasetrace.rendering import cells, human, name_text, safe, shortened
from phasetrace.spans import EXECUTION

_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_ASCII: Final = str.maketrans(
    {"├": "|", "─": "-", "└": "`", "│": "|", "█": "#", "…": "~", _TIMES: "x", "µ": "u"}
)
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_GAP: Final = "  "
_NOT_KNOWN: Final = "-"
_BARS: Final = range(6, 25)
_LEAST_NAME: Final = 16
_LEAST_PART_OF_NAME: Final = 8
_STEP: Final = 3
_DEEPEST: Final = 60
"""Rows further down than that are no further to the right: lines would take the square of it."""
_BOLD: Final = "\x1b[1m"
_FAINT: Final = "\x1b[2m"
_GREEN: Final = "\x1b[32m"
_RED: Final = "\x1b[31m"
_RESET: Final = "\x1b[0m"


class _Line(NamedTuple):
    """The parts of a line; `branch` is what leads to the name, `repeated` how often it was."""

    branch: str
    name: str
    repeated: str
    total: str
    own: str
    share: float
    remarks: str
    is_alarm: bool


def tree_lines(
    tree: Tree,
    name: str,
    *,
    open_word: str,
    width: int = 0,
    in_ascii: bool = False,
    colour: bool = False,
) -> list[str]:
    """Return the lines of a tree under titles; the first row is the execution of that `name`.

    `width` is that of the terminal, 0 for none; `open_word` is said of what has not ended.
    """
    lines = _lines(tree, name, open_word)
    layout = _Layout(lines, width, in_ascii, colour)
    drawn = [layout.titles(), *map(layout.line, lines)]
    return [line.translate(_ASCII) for line in drawn] if in_ascii else drawn


def hidden_text(tree: Tree, least: str) -> str:
    """Return a sentence on what is hidden for having less than `least`; empty without any."""
    rows, spans, share_ns = tree.hidden
    if not rows:
        return ""
    part = share_ns / tree.wall_ns if tree.wall_ns else 0.0
    return (
        f"Hidden: {_number(rows, 'row')} of less than {least} with {_number(spans, 'span')},"
        f" {human(share_ns)} ({part:.1%}) of the wall time in all."
    )


class _Layout:
    """How wide the columns are, and how a line is put together."""

    def __init__(self, lines: Sequence[_Line], width: int, in_ascii: bool, colour: bool) -> None:
        self._in_ascii = in_ascii
        self._colour = colour
        # PERF: only names have characters of other widths; to ask of each takes 10 µs a line.
        self._total = max(len("total"), *(len(line.total) for line in lines))
        self._own = max(len("self"), *(len(line.own) for line in lines))
        self._remarks = max(len(line.remarks) for line in lines)
        self._name = max(len(line.branch + line.repeated) + cells(line.name) for line in lines)
        self._bar = 0
        if width:
            self._fit(width)

    def _fit(self, width: int) -> None:
        fixed = self._total + self._own + len("100.0%") + 3 * len(_GAP)
        least = min(self._name, _LEAST_NAME)
        self._remarks = min(self._remarks, width - fixed - least - len(_GAP))
        room = width - fixed - (self._remarks + len(_GAP) if self._remarks else 0)
        left = room - self._name - len(_GAP)
        if left < _BARS[0] and room - _BARS[0] - len(_GAP) >= min(self._name, 2 * _LEAST_NAME):
            left = _BARS[0]  # a name that loses its middle is still a name
        self._bar = min(left, _BARS[-1]) if left >= _BARS[0] else 0
        bar = self._bar + len(_GAP) if self._bar else 0
        self._name = min(self._name, max(room - bar, least))

    def titles(self) -> str:
        share = "share".ljust(self._bar) if self._bar else " share"
        parts = [" " * self._name, "total".rjust(self._total), "self".rjust(self._own), share]
        return self._styled(_BOLD, _GAP.join(parts).rstrip())

    def line(self, line: _Line) -> str:
        branch = line.branch
        part_of_name = min(cells(line.name), _LEAST_PART_OF_NAME)
        deepest = max(self._name - len(line.repeated) - part_of_name, _STEP)
        if len(branch) > deepest:
            branch = f"…{branch[1 - deepest :]}"
        room = max(self._name - len(branch + line.repeated), 1)
        name = shortened(line.name, room)
        padding = " " * (room - cells(name))
        name += line.repeated
        parts = [
            self._styled(_FAINT, branch)
            + (name if branch else self._styled(_BOLD, name))
            + padding,
            line.total.rjust(self._total),
            line.own.rjust(self._own),
        ]
        if self._bar:
            parts.append(self._styled(_GREEN, self._drawn_bar(line.share)))
        parts.append(f"{line.share:.1%}".rjust(len("100.0%")))
        if line.remarks:
            remarks = shortened(line.remarks, self._remarks)
            parts.append(self._styled(_RED if line.is_alarm else _FAINT, remarks))
        return _GAP.join(parts).rstrip()

    def _drawn_bar(self, share: float) -> str:
        # What is there at all is seen, if only as the thinnest of bars.
        eighths = max(round(share * self._bar * 8), share > 0)
        if self._in_ascii:
            return ("#" * ((eighths + 4) // 8)).ljust(self._bar)
        return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(self._bar)

    def _styled(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self._colour and text.strip() else text


def _lines(tree: Tree, name: str, open_word: str) -> list[_Line]:
    rows = tree.rows
    is_last = _last_ones(rows)
    lines: list[_Line] = []
    prefixes = [""]  # by depth: what stands before the branch of a row
    known: dict[int, tuple[int, ...]] = {}
    for here, row in enumerate(rows):
        branch = ""
        if row.parent is not None:
            level = min(row.depth, _DEEPEST)
            branch = prefixes[level - 1] + ("└─ " if is_last[here] else "├─ ")
            if row.depth > _DEEPEST:
                branch = f"{branch}({row.depth}) "
            else:
                del prefixes[level:]
                prefixes.append(prefixes[level - 1] + ("   " if is_last[here] else "│  "))
        above = known.get(row.parent, (1,)) if row.parent is not None else (1,)
        known[here] = row.processes or above
        marks, is_alarm = _marks(row, above, open_word, _left_out(rows, here), tree.processes)
        repeated = row.calls + row.open
        extremes = ""
        if row.calls > 1 and row.min_ns is not None and row.max_ns is not None:
            low, high = human(row.min_ns), human(row.max_ns)
            extremes = f"{low}..{high}" if low != high else f"{low} each"
        lines.append(
            _Line(
                branch=branch,
                name=_name(row, rows, name),
                repeated=f" {_TIMES}{repeated:,}" if repeated > 1 else "",
                total=human(row.total_ns) if row.total_ns or not row.open else _NOT_KNOWN,
                own=human(row.self_ns),
                share=row.share_ns / tree.wall_ns if tree.wall_ns else 0.0,
                remarks=", ".join(filter(None, (extremes, marks))),
                is_alarm=is_alarm,
            )
        )
    return lines


def _name(row: Row, rows: Sequence[Row], execution: str) -> str:
    """Return what a row is called: a phase of another node than the row above it, with its node."""
    if row.type == EXECUTION or row.node_id is None:
        return name_text(execution)
    above = rows[row.parent] if row.parent is not None else row
    name = name_text(row.node_id)
    if row.phase is not None:
        phase = name_text(row.phase)
        name = phase if above.node_id == row.node_id else f"{name} / {phase}"
    is_said = row.iteration == above.iteration and row.node_id == above.node_id
    return name if row.iteration is None or is_said else f"{name} [{safe(str(row.iteration))}]"


def _marks(
    row: Row, above: tuple[int, ...], open_word: str, below: int, processes: int
) -> tuple[str, bool]:
    """Return what else there is to say of a row, and whether it is an alarm."""
    is_one = row.calls + row.open == 1
    marks = []
    if row.errors:
        marks.append("error" if is_one else _number(row.errors, "error"))
    if row.cancelled:
        marks.append("cancelled" if is_one else f"{row.cancelled:,} cancelled")
    is_alarm = bool(marks)
    if row.open:
        marks.append(open_word if is_one else f"{row.open:,} {open_word}")
    if processes > 1 and row.processes and row.processes != above:
        several = len(row.processes) > 1
        marks.append(
            f"{len(row.processes):,} processes" if several else f"process {row.processes[0]}"
        )
    if below:
        marks.append(f"+{below:,} below")
        bad = row.marked - row.errors - row.cancelled - row.open
        if bad:
            marks.append(f"{bad:,} of them not ok")
            is_alarm = True
    return ", ".join(marks), is_alarm


def _left_out(rows: Sequence[Row], here: int) -> int:
    """Return how many spans there are below a row, if none of the rows below it is shown."""
    row = rows[here]
    has_rows = here + 1 < len(rows) and rows[here + 1].depth > row.depth
    return 0 if has_rows else row.spans - row.calls - row.open


def _last_ones(rows: Sequence[Row]) -> list[bool]:
    """Tell for each row whether it is the last one of its parent."""
    last: dict[int | None, int] = {row.parent: here for here, row in enumerate(rows)}
    is_last = [False] * len(rows)
    for here in last.values():
        is_last[here] = True
    return is_last


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
