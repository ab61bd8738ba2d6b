"""The result of a check as lines for people, aligned, and no wider than a terminal."""

from __future__ import annotations

from typing import Final

from phasetrace.budgets.evaluation import Level, Report
from phasetrace.budgets.wording import MARKS, against, explained, lost_text, summary
from phasetrace.rendering import cells, human, name_text, safe

_INDENT: Final = "  "
_GAP: Final = "  "
_MARK_WIDTH: Final = max(map(len, MARKS.values()))
_LEAST_ROOM: Final = 36
"""Columns that explanations get beside the budgets; with fewer left, they go below them."""
_STYLES: Final = {Level.OK: "\x1b[32m", Level.WARN: "\x1b[33m", Level.FAIL: "\x1b[1;31m"}
_STRONG: Final = "\x1b[1m"
_RESET: Final = "\x1b[0m"


def report_text(report: Report, *, colour: bool = False, width: int = 0) -> str:
    """Return a line a budget: a mark, the budget, and what became of it; and how many there are.

    Explanations are wrapped such that lines are no wider than `width`; 0 is as wide as they are.
    """
    keys = [safe(one.budget.key) for one in report.judgements]
    key_width = max(map(cells, keys), default=0)
    start = len(_INDENT) + _MARK_WIDTH + len(_GAP)
    room = width - start - key_width - len(_GAP)
    is_below = bool(width) and room < _LEAST_ROOM
    if is_below:
        room = width - start - len(_INDENT)
    lines = [*_wrapped(_heading(report), width), ""]
    if colour:
        lines = [_strong(line) if line else line for line in lines]
    for key, judgement in zip(keys, report.judgements, strict=True):
        mark = f"{MARKS[judgement.level]:{_MARK_WIDTH}}"
        if colour:
            mark = f"{_STYLES[judgement.level]}{mark}{_RESET}"
        texts = _wrapped(explained(judgement, safe), room if width else 0)
        padding = " " * (key_width - cells(key))
        first = f"{_INDENT}{mark}{_GAP}{key}"
        if is_below:
            lines.append(first)
            lines += [" " * start + _INDENT + text for text in texts]
        else:
            lines.append(f"{first}{padding}{_GAP}{texts[0]}")
            lines += [" " * (start + key_width) + _GAP + text for text in texts[1:]]
    last = summary(report)
    return "\n".join([*lines, "", _strong(last) if colour else last])


def _heading(report: Report) -> str:
    execution = report.execution
    name = execution.name if execution.name != execution.exec_id else None
    text = safe(execution.exec_id) + (f" ({name_text(name)})" if name else "")
    parts = [f"{text}: {human(execution.duration_ns)}"]
    if execution.status != "ok":
        parts.append(safe(execution.status))
    if report.lost:
        parts.append(lost_text(report))
    held = against(report, safe)
    return ", ".join([*parts, *([held] if held else [])])


def _wrapped(text: str, room: int) -> list[str]:
    """Return a text in lines of at most so many columns, words longer than that by themselves."""
    if not room or cells(text) <= room:
        return [text]
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cells(lines[-1]) + 1 + cells(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _strong(text: str) -> str:
    return f"{_STRONG}{text}{_RESET}"
