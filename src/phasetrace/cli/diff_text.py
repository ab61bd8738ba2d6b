"""A comparison of executions as text: what it came to, a row for each phase, and what it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from phasetrace.analysis.comparison import (
    ALPHA,
    LEAST_OF_ROW,
    LEAST_OF_WHOLE,
    RUNS_FOR_THE_WHOLE,
)
from phasetrace.analysis.wording import place_text
from phasetrace.cli.grid import Column, grid_lines, heading, remark
from phasetrace.rendering import SELF, cells, human, name_text, safe

if TYPE_CHECKING:
    from phasetrace.analysis.comparison import ExecutionDiff, Figures, RowDiff, Side

NOISE: Final = "~"
"""What stands for a change that cannot be told from noise."""

_NAME: Final = "node / phase"
_VERDICT: Final = "verdict"
_TITLES: Final = (
    _NAME,
    "self A",
    "self B",
    "change",
    "%",
    "total A -> B",
    "share A -> B",
    "critical A -> B",
    "p",
    _VERDICT,
)
_BY_WORTH: Final = ("share A -> B", "critical A -> B", "total A -> B", "p")
"""The columns that are left out where there is no room for them, the last ones first."""
_LEAST_NAME: Final = 24
_GAP: Final = 2
_MOST_TIMES: Final = 10
_LEAST_P: Final = 0.001
_INDENT: Final = "  "
_COLOURS: Final = {"slower": "\x1b[31m", "faster": "\x1b[32m", "added": "\x1b[1m"}
_RESET: Final = "\x1b[0m"


def diff_lines(
    diff: ExecutionDiff, *, everything: bool = False, width: int = 0, colour: bool = False
) -> list[str]:
    """Return the lines of a comparison.

    `everything` has the rows that are small among them. `width` is that of the terminal, which
    columns are left out for; 0 for none.
    """
    rows = [row for row in diff.rows if everything or not row.is_small]
    folded = len(diff.rows) - len(rows)
    if everything or not diff.unattributed.is_small:
        rows.append(diff.unattributed)
    alone = _nodes_without_phases(diff)
    lines = [heading("📊 Execution Diff", colour), *_headline(diff), ""]
    if rows:
        texts = [_texts(row, alone, diff.is_tested) for row in rows]
        lines += _table(texts, width, colour)
    else:
        lines.append("  (nothing to compare)")
    if folded:
        few = f"and {folded} more with less than {LEAST_OF_WHOLE:.1%} of the execution"
        lines += _remarked(f"{few}; --all shows them", width, colour)
    lines.append("")
    for text in _remarks(diff):
        lines += _remarked(text, width, colour)
    return lines


def _remarked(text: str, width: int, colour: bool) -> list[str]:
    """Return a remark in lines that are no wider than a terminal."""
    import textwrap

    room = width - len(_INDENT)
    lines = textwrap.wrap(text, room, break_on_hyphens=False) if width else [text]
    return [remark(_INDENT + line, colour) for line in lines]


def _headline(diff: ExecutionDiff) -> Iterator[str]:
    yield from _side("A", diff.a)
    yield from _side("B", diff.b)
    change = _signed(diff.change_ns)
    if diff.change is not None:
        change += f" ({_percent(diff.change)})"
    if diff.verdict is not None and diff.test is not None:
        change += f", {_verdict(diff.verdict, diff.test.p)} (p{_compared(diff.test.p)})"
    yield f"  Change: {change}"
    if diff.is_tested:
        tested = [row for row in (*diff.rows, diff.unattributed) if row.test is not None]
        changed = sum(row.has_changed for row in tested)
        yield f"  Can be told from noise: {changed or 'none'} of {len(tested)} rows"


def _verdict(verdict: str, p: float) -> str:
    """Return the verdict on the whole in words."""
    if verdict != "noise":
        return verdict
    return "cannot be told from noise" if p >= ALPHA else "too little to count"


def _side(label: str, side: Side) -> Iterator[str]:
    first, last = side.executions[0], side.executions[-1]
    names = {execution.name for execution in side.executions}
    name = first.name if len(names) == 1 and first.name != first.exec_id else None
    if side.n == 1:
        known = [name_text(name)] if name else []
        known += [safe(first.status)] if first.status != "ok" else []
        remarks = f" ({', '.join(known)})" if known else ""
        yield f"  {label}: {safe(first.exec_id)}{remarks}: {human(side.duration_ns)}"
        return
    of = f" of {name_text(name)}" if name else ""
    between = f"{human(side.min_ns)} to {human(side.max_ns)}"
    yield f"  {label}: {side.n} runs{of}: {human(side.duration_ns)} ({between})"
    yield f"     {safe(first.exec_id)} to {safe(last.exec_id)}"


def _remarks(diff: ExecutionDiff) -> Iterator[str]:
    if min(diff.a.n, diff.b.n) == 1:
        yield "n=1, no test: what a single run took may be noise; --last N compares several."
    elif not diff.is_tested:
        whole = f", and of the whole {RUNS_FOR_THE_WHOLE}" if diff.verdict is None else ""
        yield (
            f"n={diff.a.n} and n={diff.b.n}, no test of rows: telling a change in one of so many"
            f" from noise takes {diff.runs_needed} runs on each side{whole}."
        )
    else:
        yield (
            f"{NOISE} cannot be told from noise by these runs: the self times are not apart"
            f" (Mann-Whitney, p < {ALPHA} with Holm's correction for all rows), or by less than"
            f" {LEAST_OF_ROW:.0%} of the row or {LEAST_OF_WHOLE:.1%} of the execution. With"
            " more runs, smaller changes can be told."
        )
    if max(diff.a.n, diff.b.n) > 1:
        yield "Times are medians of the runs; shares and critical times are means."
    a, b = _names(diff.a), _names(diff.b)
    if a and b and a != b:
        yield (
            f"A is of {' and '.join(a)}, B of {' and '.join(b)}: what differs may be what they do."
        )


def _names(side: Side) -> list[str]:
    """Return what the executions of a side are called, ids not counted."""
    return sorted(
        {name_text(one.name) for one in side.executions if one.name and one.name != one.exec_id}
    )


def _table(texts: Sequence[dict[str, str]], width: int, colour: bool) -> list[str]:
    shown = _shown(texts, width)
    columns = [
        Column(title, is_number=title not in (_NAME, _VERDICT), shrinks=title == _NAME)
        for title in shown
    ]
    lines = grid_lines(
        columns, [[text[title] for title in shown] for text in texts], width=width, colour=colour
    )
    if not colour:
        return lines
    return [lines[0], *(_coloured(*pair) for pair in zip(lines[1:], texts, strict=True))]


def _coloured(line: str, texts: dict[str, str]) -> str:
    verdict = texts[_VERDICT]
    start = _COLOURS.get(verdict)
    return f"{line.removesuffix(verdict)}{start}{verdict}{_RESET}" if start else line


def _shown(texts: Sequence[dict[str, str]], width: int) -> list[str]:
    """Return the columns that there is room for."""
    widths = {
        title: max(cells(title), *(cells(text[title]) for text in texts))
        for title in _TITLES
        if any(text[title] for text in texts)
    }
    if not width:
        return list(widths)
    widths[_NAME] = min(widths[_NAME], _LEAST_NAME)
    for title in reversed(_BY_WORTH):
        if sum(widths.values()) + _GAP * len(widths) <= width:
            break
        widths.pop(title, None)
    return list(widths)


def _texts(row: RowDiff, alone: set[str], is_tested: bool) -> dict[str, str]:
    a, b = row.a, row.b
    p = row.test.p_corrected if row.test is not None and is_tested else None
    return {
        _NAME: _place(row, alone),
        "self A": human(a.self_ns) if a.runs else "-",
        "self B": human(b.self_ns) if b.runs else "-",
        "change": _signed(row.change_ns),
        "%": _percent(row.change) if row.change is not None else "",
        "total A -> B": _both(a, human(a.total_ns), b, human(b.total_ns)),
        "share A -> B": _both(a, f"{a.share:.1%}", b, f"{b.share:.1%}"),
        "critical A -> B": _both(a, f"{a.critical:.1%}", b, f"{b.critical:.1%}"),
        "p": _probability(p) if p is not None else "",
        _VERDICT: NOISE if row.verdict == "noise" else row.verdict or "",
    }


def _both(a: Figures, of_a: str, b: Figures, of_b: str) -> str:
    return f"{of_a if a.runs else '-'} -> {of_b if b.runs else '-'}"


def _place(row: RowDiff, alone: set[str]) -> str:
    """Return what a row is called; a node's own time is apart from that of its phases."""
    node_id = row.node_id
    if node_id is None:
        return place_text(None, None)
    if row.iteration is not None:
        node_id = f"{node_id} #{row.iteration}"
    own = row.phase is None and row.node_id not in alone
    return place_text(node_id, row.phase) + (f" {SELF}" if own else "")


def _nodes_without_phases(diff: ExecutionDiff) -> set[str]:
    nodes = {row.node_id for row in diff.rows if row.node_id is not None}
    return nodes - {row.node_id for row in diff.rows if row.phase is not None}


def _signed(change_ns: int) -> str:
    return f"+{human(change_ns)}" if change_ns > 0 else human(change_ns)


def _percent(change: float) -> str:
    """Return a change in percent; what is many times as much, in times."""
    if change >= _MOST_TIMES - 1:
        return f"×{change + 1:.3g}"  # noqa: RUF001 - "times"
    return f"{change:+.1%}"


def _probability(p: float) -> str:
    """Return a p such that it can be seen on which side of `ALPHA` it is."""
    if p < _LEAST_P:
        return f"<{_LEAST_P}"
    texts = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if p == ALPHA or float(text) != ALPHA)


def _compared(p: float) -> str:
    text = _probability(p)
    return text if text.startswith("<") else f"={text}"
