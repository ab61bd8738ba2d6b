"""Breakdowns as text: numbers in the units people read, and the plain form of the report.

Everything here is a function of plain values: no clock, no terminal, no files. What is named in
spans comes from the measured program and is untrusted, so it goes through `safe` before it gets
into a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phasetrace.breakdowns import (
        ExecutionBreakdown,
        ExecutionHeader,
        ExecutionSummary,
        NodeBreakdown,
        OpenCall,
    )

SELF: Final = "(self)"
"""What the time of a node is called that none of its phases covers."""
RUNNING: Final = "(running)"
"""What is said in place of a duration while a span is open."""
NOT_ENDED: Final = "(not ended)"
"""The same where its process is gone."""
LEAST_PART: Final = 0.001
"""Parts below 0.1 % get no ``(self)`` or ``unattributed`` row of their own."""
ABOUT_PERCENTAGES: Final = (
    "Percentages are parts of a node's self times; calls that nest or run in\n"
    "  parallel may add up to more than the clock."
)

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000
_DAY_S: Final = 86_400
_MOST_OPEN: Final = 20
_NAME_WIDTH: Final = 26
_MOST_OF_NAME: Final = 400
_LEAST_NAME: Final = 10
_BRANCH_WIDTH: Final = 7
_NUMBER_WIDTH: Final = 6
_HARMFUL: Final = (
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: cursor movement, colours, newlines
    "\u061c\u200e\u200f"  # marks, embeddings, overrides and isolates of the bidirectional
    "\u202a-\u202e\u2066-\u2069"  # algorithm (Unicode TR 9): text that reads as something else
    "\u2028\u2029"  # line and paragraph separator
    "\ud800-\udfff"  # lone surrogates, which no encoding can write
    "]"
)


class _Style(NamedTuple):
    """The escape sequences (ECMA-48, SGR) a report is coloured with, empty for none."""

    strong: str = ""
    faint: str = ""
    alarm: str = ""
    reset: str = ""


_PLAIN: Final = _Style()
_COLOURED: Final = _Style("\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m")


class _Row(NamedTuple):
    """One line below a node; `number` is empty while it is running."""

    name: str
    number: str
    part: str
    remarks: str = ""
    alarm: str = ""


def milliseconds(duration_ns: int) -> str:
    """Return a duration in milliseconds: ``3500ms``, ``12.3ms``, ``4.70ms``, ``0.003ms``.

    Whole from 100 ms on. Below that whole milliseconds have no decimals, and others 3 significant
    digits, of which zeros at the end go but for the first two decimals.
    """
    if duration_ns < 0:
        return f"-{milliseconds(-duration_ns)}"
    if duration_ns % _NS_PER_MS == 0 or duration_ns >= 100 * _NS_PER_MS:
        return f"{_divided(duration_ns, _NS_PER_MS)}ms"
    digits = _three_digits(duration_ns)
    if digits >= 100 * _NS_PER_MS:
        return "100ms"
    whole, fraction = divmod(digits, _NS_PER_MS)
    decimals = f"{fraction:06}".rstrip("0")
    return f"{whole}.{decimals.ljust(1 if whole >= 10 else 2, '0')}ms"


def human(duration_ns: int) -> str:
    """Return a duration in 3 significant digits: ``850µs``, ``4.70ms``, ``12.3s``, ``2m03s``."""
    if duration_ns < 0:
        return f"-{human(-duration_ns)}"
    digits = _three_digits(duration_ns)
    if not digits:
        return "0s"
    if digits < 1_000:
        return f"{digits}ns"
    if digits < _NS_PER_MS:
        return f"{_decimal(digits, 1_000)}µs"
    if digits < _NS_PER_S:
        return f"{_decimal(digits, _NS_PER_MS)}ms"
    if digits < 60 * _NS_PER_S:
        return f"{_decimal(digits, _NS_PER_S)}s"
    seconds = _divided(duration_ns, _NS_PER_S)
    if seconds < 3_600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    minutes = _divided(duration_ns, 60 * _NS_PER_S)
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02}m"
    hours = _divided(duration_ns, 3_600 * _NS_PER_S)
    return f"{hours // 24}d{hours % 24:02}h"


def safe(text: str) -> str:
    r"""Return untrusted text with everything escaped that could do something to a terminal.

    Control characters, newlines, bidirectional controls and lone surrogates become ``\n``,
    ``\x1b``, ``\u202e``, ``\ud800``. All other text stays as it is.
    """
    if text.isprintable():
        return text
    import re

    return re.sub(_HARMFUL, lambda found: found[0].encode("unicode_escape").decode(), text)


def name_text(name: str) -> str:
    """Return a name out of a span as it stands in a line: `safe`, and of some length.

    Past 400 columns it is without its middle, also where nothing else is cut; JSON has it whole.
    """
    text = safe(name)
    return text if 2 * len(text) <= _MOST_OF_NAME else shortened(text, _MOST_OF_NAME)


def cells(text: str) -> int:
    """Return how many columns of a terminal a line takes."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    width = 0
    for character in text:
        if category(character) not in ("Mn", "Me", "Cf"):
            width += 2 if east_asian_width(character) in "WF" else 1
    return width


def shortened(text: str, width: int) -> str:
    """Return a text in at most `width` columns, without its middle if it is longer."""
    if cells(text) <= width:
        return text
    tail = text[-(width // 3) :]
    head = text[:width]
    while head and cells(head) + 1 + cells(tail) > width:
        head = head[:-1]
    while tail and cells(tail) + 1 > width:
        tail = tail[1:]
    return f"{head}…{tail}"


def local_time(time_ns: int) -> str:
    """Return a time in Unix nanoseconds as local time, in ISO 8601 with offset, to the second.

    One that no calendar has here is the number of its seconds.
    """
    from datetime import datetime

    seconds = time_ns // _NS_PER_S
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # by how far off it is, and on which platform
        return f"{seconds}s"


def ago(time_ns: int, now_ns: int) -> str:
    """Return how long ago a time was, the local time itself if more than a day (or yet to come)."""
    seconds = (now_ns - time_ns) // _NS_PER_S
    if not 0 <= seconds < _DAY_S:
        return local_time(time_ns)[:16].replace("T", " ")
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{seconds} s ago"
    if seconds < 3_600:
        return f"{seconds // 60} min ago"
    return f"{seconds // 3_600} h ago"


def has_self_row(node: NodeBreakdown) -> bool:
    """Tell whether the node's own time is worth a row."""
    return node.count > 0 and node.of_node >= LEAST_PART


def is_running(node: NodeBreakdown) -> bool:
    """Tell whether nothing of a node has ended yet."""
    return not node.count and not any(phase.count for phase in node.phases)


def open_label(breakdown: ExecutionBreakdown) -> str:
    """Return what is said in place of the duration of what is open."""
    return NOT_ENDED if breakdown.execution.status == "abandoned" else RUNNING


def own_errors(node: NodeBreakdown) -> int:
    """Return in how many of its own calls a node failed, phases not counted."""
    return node.errors - sum(phase.errors for phase in node.phases)


def own_cancelled(node: NodeBreakdown) -> int:
    """Return how many of its own calls of a node were cancelled, phases not counted."""
    return node.cancelled - sum(phase.cancelled for phase in node.phases)


def breakdown_text(breakdown: ExecutionBreakdown, *, colour: bool = False, width: int = 0) -> str:
    """Return the report of an execution: its header, then each node with its phases.

    Milliseconds are totals over all calls; percentages are parts of the node's busy time. Names of
    nodes and phases are shortened as far as it takes for lines to be no wider than `width`; 0 is as
    wide as they are. The id of the execution, which is to be copied, never is.
    """
    style = _COLOURED if colour else _PLAIN
    lines = [header_text(breakdown, colour=colour), "", _strong("⏱️  Node Timing Breakdown:", style)]
    label = open_label(breakdown)
    blocks = [(_heading(node, style, label, width), _rows(node, label)) for node in breakdown.nodes]
    rows = [row for _, block in blocks for row in block]
    name_width = max([_NAME_WIDTH, *(cells(row.name) for row in rows)])
    number_width = max([_NUMBER_WIDTH, *(len(row.number) for row in rows)])
    if width:
        remarks = max((cells(row.part + row.remarks + row.alarm) for row in rows), default=0)
        room = width - _BRANCH_WIDTH - number_width - remarks - 2
        name_width = min(name_width, max(room, _LEAST_NAME))
    for heading, block in blocks:
        lines += ["", heading]
        for row in block:
            branch = "└─" if row is block[-1] else "├─"
            name = shortened(row.name, name_width)
            padding = " " * (name_width - cells(name))
            alarm = f"{style.alarm}{row.alarm}{style.reset}" if row.alarm else ""
            lines.append(
                f"    {style.faint}{branch}{style.reset} {name}{padding}"
                f" {row.number:>{number_width}} {row.part}{row.remarks}{alarm}"
            )
    if not blocks:
        lines += ["", "  (no nodes)"]
    if breakdown.unattributed >= LEAST_PART:
        part = f"{breakdown.unattributed:.1%} of the execution"
        lines += ["", f"  unattributed: {milliseconds(breakdown.unattributed_ns)} ({part})"]
    if breakdown.open:
        lines += ["", *_open_lines(breakdown.open, width)]
    if any(_adds_up_to_more(node) for node in breakdown.nodes):
        lines += ["", f"  {ABOUT_PERCENTAGES}"]
    return "\n".join(lines)


def header_text(breakdown: ExecutionBreakdown, *, colour: bool = False) -> str:
    """Return the lines that a breakdown starts with."""
    return title_text(breakdown.execution, colour=colour)


def title_text(execution: ExecutionHeader, *, colour: bool = False) -> str:
    """Return the lines that every report of an execution starts with; how it ended, if not well."""
    lines = _title(execution, _COLOURED if colour else _PLAIN)
    if execution.status != "ok":
        lines.append(f"  Status: {safe(execution.status)}")
    return "\n".join(lines)


def open_text(breakdown: ExecutionBreakdown) -> str:
    """Return the lines about the calls that go on, empty without any."""
    return "\n".join(_open_lines(breakdown.open))


def summary_text(summary: ExecutionSummary, *, colour: bool = False) -> str:
    """Return what there is to say of an execution beside where its time went."""
    execution = summary.execution
    lines = _title(execution, _COLOURED if colour else _PLAIN)
    if execution.name and execution.name != execution.exec_id:
        lines.append(f"  Name: {name_text(execution.name)}")
    lines += [
        f"  Status: {safe(execution.status)}",
        f"  Started: {local_time(execution.started_ns)}",
        f"  Nodes: {summary.nodes}",
        f"  Spans: {summary.spans}",
    ]
    if summary.errors:
        lines.append(f"  Errors: {summary.errors}")
    lines += _open_lines(summary.open)
    return "\n".join(lines)


def _open_lines(calls: Sequence[OpenCall], width: int = 0) -> list[str]:
    """Return a title and a line a call, the oldest calls first."""
    if not calls:
        return []
    lines = ["  Open:"]
    for call in calls[:_MOST_OPEN]:
        name = name_text(call.node_id)
        if call.phase is not None:
            name += f" / {name_text(call.phase)}"
        age = f" for {human(call.age_ns)}"
        lines.append(f"    {_fitting(name, width, 4 + len(age))}{age}")
    if len(calls) > _MOST_OPEN:
        lines.append(f"    and {len(calls) - _MOST_OPEN} more")
    return lines


def _adds_up_to_more(node: NodeBreakdown) -> bool:
    """Tell whether the phases of a node take more time than the node does."""
    return sum(phase.total_ns for phase in node.phases) > node.total_ns


def _title(execution: ExecutionHeader, style: _Style) -> list[str]:
    return [
        _strong("📊 Execution Metrics", style),
        f"  Execution ID: {safe(execution.exec_id)}",
        f"  Total Duration: {execution.duration_ns / _NS_PER_MS:.2f}ms",
    ]


def _heading(node: NodeBreakdown, style: _Style, label: str, width: int) -> str:
    alarm = ""
    if is_running(node):
        part = f" {_so_far(node.share)}" if not node.phases else ""
        what = f" - {label}{part}"
    else:
        what = f" - Total: {milliseconds(node.total_ns)}"
        if node.count > 1:
            what += f" ({node.count} iterations)"
        alarm = _outcome(own_errors(node), own_cancelled(node))
    name = _fitting(name_text(node.node_id), width, 2 + cells(what + alarm))
    heading = f"  {_strong(name, style)}{what}"
    return f"{heading}{style.alarm}{alarm}{style.reset}" if alarm else heading


def _fitting(name: str, width: int, others: int) -> str:
    """Return a name as it goes into a line beside so many other columns."""
    return shortened(name, max(width - others, _LEAST_NAME)) if width else name


def _rows(node: NodeBreakdown, label: str) -> list[_Row]:
    rows = []
    for phase in node.phases:
        name = name_text(phase.phase)
        if phase.count:
            remarks = f" ×{phase.count}" if phase.count > 1 else ""  # noqa: RUF001 - "times"
            alarm = _outcome(phase.errors, phase.cancelled)
            number = milliseconds(phase.total_ns)
            rows.append(_Row(name, number, f"({phase.of_node:.1%})", remarks, alarm))
        else:
            rows.append(_Row(name, "", label, f" {_so_far(phase.share)}"))
    if has_self_row(node):
        rows.append(_Row(SELF, milliseconds(node.self_ns), f"({node.of_node:.1%})"))
    return rows


def _so_far(share: float) -> str:
    return f"{share:.1%} of the execution so far"


def _outcome(errors: int, cancelled: int) -> str:
    text = ""
    if errors:
        text += f" · {errors} error{'s' if errors > 1 else ''}"
    if cancelled:
        text += f" · {cancelled} cancelled"
    return text


def _strong(text: str, style: _Style) -> str:
    return f"{style.strong}{text}{style.reset}"


def _divided(number: int, by: int) -> int:
    """Divide, rounding to the nearest integer."""
    return (number + by // 2) // by


def _three_digits(number: int) -> int:
    """Round to 3 significant digits."""
    unit: int = 10 ** max(0, len(str(number)) - 3)
    return _divided(number, unit) * unit


def _decimal(digits: int, unit: int) -> str:
    """Write a number of 3 significant digits in a unit of which it is at least one."""
    whole = digits // unit
    decimals = 3 - len(str(whole))
    if not decimals:
        return str(whole)
    return f"{whole}.{digits % unit * 10**decimals // unit:0{decimals}}"
