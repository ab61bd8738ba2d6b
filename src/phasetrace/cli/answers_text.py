"""The sections of ``metrics`` beyond the breakdown: bottlenecks, the critical path, findings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from phasetrace.analysis.concurrency import concurrency
from phasetrace.analysis.wording import finding_text, findings_title, place_text
from phasetrace.cli.grid import Column, grid_lines, heading, remark
from phasetrace.rendering import LEAST_PART, human, name_text

if TYPE_CHECKING:
    from phasetrace.analysis.bottlenecks import Bottleneck
    from phasetrace.analysis.concurrency import Concurrency
    from phasetrace.analysis.execution import CriticalStep, Examination
    from phasetrace.analysis.findings import Finding

_MOST_STRETCHES: Final = 40
_MOST_PHASES: Final = 3


def sections(
    examination: Examination,
    wanted: Collection[str],
    findings: Sequence[Finding],
    by: str | None,
    columns: Sequence[str],
    sort: str | None,
    width: int,
    colour: bool,
) -> Iterator[list[str]]:
    """Give the lines of each section that is wanted.

    Groups are shown if there is a word on them: by what, sorted by which column, which columns.
    """
    if by or columns or sort:
        from phasetrace.analysis.groups import BY
        from phasetrace.cli.group_columns import groups_lines

        groups = examination.groups(BY[by or "phase of node"])
        yield groups_lines(groups, columns, sort, width=width, colour=colour)
    if "bottlenecks" in wanted:
        at_once = concurrency(examination.network)
        yield bottleneck_lines(examination.bottlenecks, at_once, width=width, colour=colour)
    if "critical_path" in wanted:
        yield path_lines(examination.steps(), width=width, colour=colour)
    if "optimizations" in wanted:
        yield finding_lines(findings, width=width, colour=colour)


def bottleneck_lines(
    bottlenecks: Sequence[Bottleneck], at_once: Concurrency, *, width: int, colour: bool
) -> list[str]:
    """Return what owns most of the critical path, and what would be won without it."""
    lines = [heading("🚧 Bottlenecks, by time on the critical path", colour), ""]
    if not bottlenecks:
        return [*lines, "  (no nodes)"]
    rows = [
        [
            place_text(one.node_id, one.phase),
            f"{one.calls:,}",
            human(one.critical_ns),
            f"{one.critical:.1%}",
            human(one.duration_ns),
            f"-{human(one.saving_ns)}" if one.saving_ns else "0s",
            human(one.slack_ns),
        ]
        for one in bottlenecks
    ]
    columns = [
        Column("node / phase", is_number=False, shrinks=True),
        Column("calls"),
        Column("critical"),
        Column("of all"),
        Column("without it"),
        Column("change"),
        Column("slack"),
    ]
    return [
        *lines,
        *grid_lines(columns, rows, width=width, colour=colour),
        "",
        remark(f"  At once: {at_once.average:.3g} on average, {at_once.maximum} at most.", colour),
        remark("  Without it: how long the run would take if that took no time.", colour),
    ]


def path_lines(steps: Sequence[CriticalStep], *, width: int, colour: bool) -> list[str]:
    """Return the critical path, node by node; the shortest stretches are summed up."""
    lines = [heading("🧭 Critical path", colour), ""]
    if not steps:
        return [*lines, "  (nothing took any time)"]
    stretches = [list(of) for _, of in groupby(steps, lambda step: (step.node_id, step.waiting))]
    lengths = sorted(map(_length, stretches), reverse=True)
    least = max(lengths[:_MOST_STRETCHES][-1], round(sum(lengths) * LEAST_PART))
    whole_ns = sum(lengths)
    long = [stretch for stretch in stretches if _length(stretch) >= least]
    rows = [_row(stretch, whole_ns, _what(stretch)) for stretch in long]
    columns = [
        Column("at"),
        Column("for"),
        Column("of all"),
        Column("what", is_number=False, shrinks=True),
    ]
    lines += grid_lines(columns, rows, width=width, colour=colour)
    short = len(stretches) - len(long)
    if short:
        left_ns = whole_ns - sum(map(_length, long))
        what = "a shorter stretch" if short == 1 else f"{short:,} shorter stretches"
        lines += ["", remark(f"  And {what} in between: {human(left_ns)}.", colour)]
    return lines


def finding_lines(findings: Sequence[Finding], *, width: int, colour: bool) -> list[str]:
    """Return findings, a paragraph each, the one that would save most first."""
    lines = [heading(f"💡 {findings_title(findings)}", colour), ""]
    if not findings:
        return [*lines, "  Nothing stands out."]
    for number, finding in enumerate(findings, 1):
        lead = f"  {number}. "
        lines += _wrapped(f"{finding_text(finding)}.", lead, width)
    return [
        *lines,
        "",
        remark("  Each by itself: savings do not add up.", colour),
    ]


def _row(stretch: Sequence[CriticalStep], whole_ns: int, what: str) -> list[str]:
    length_ns = _length(stretch)
    part = f"{length_ns / (whole_ns or 1):.1%}"
    return [human(stretch[0].start_ns), human(length_ns), part, what]


def _length(stretch: Sequence[CriticalStep]) -> int:
    return sum(step.duration_ns for step in stretch)


def _what(stretch: Sequence[CriticalStep]) -> str:
    """Return the node of a stretch, and what it went through, longest first."""
    first = stretch[0]
    node = place_text(first.node_id, None)
    if first.waiting:
        return f"waiting for {node} to begin"
    phases: dict[str, list[CriticalStep]] = {}
    for step in stretch:
        if step.phase is not None:
            phases.setdefault(step.phase, []).append(step)
    if not phases:
        return node
    by_length = sorted(phases.items(), key=lambda item: -_length(item[1]))
    parts = []
    for name, parts_of in by_length[:_MOST_PHASES]:
        parts.append(f"{name_text(name)} {human(_length(parts_of))}")
    if len(by_length) > _MOST_PHASES:
        parts.append("…")
    return f"{node}: {', '.join(parts)}"


def _wrapped(text: str, lead: str, width: int) -> list[str]:
    if not width:
        return [lead + text]
    import textwrap

    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
