"""The columns of ``metrics --by``: what they are called, what they show, what they sort by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.analysis.usage import Spent
from phasetrace.cli.grid import Column, grid_lines, remark
from phasetrace.errors import UsageError
from phasetrace.rendering import SELF, cells, human, name_text

if TYPE_CHECKING:
    from phasetrace.analysis.groups import Group, Groups


class _Shown(NamedTuple):
    """A column: what it shows of a group, and by what it sorts."""

    text: Callable[[Group, int], str]
    value: Callable[[Group], float]


def _duration(value: Callable[[Group], int]) -> _Shown:
    return _Shown(lambda group, _: human(value(group)), value)


def _part(value: Callable[[Group], int]) -> _Shown:
    return _Shown(lambda group, wall_ns: f"{value(group) / (wall_ns or 1):.1%}", value)


def _number(value: Callable[[Group], int]) -> _Shown:
    return _Shown(lambda group, _: _count(value(group)), value)


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def cost_text(cost: float | None) -> str:
    """Return what something cost; nothing where that is not known."""
    if cost is None:
        return ""
    return f"{cost:.2f}" if cost >= 100 else f"{cost:.4g}"


COLUMNS: Final[dict[str, _Shown]] = {
    "calls": _Shown(lambda group, _: f"{group.calls:,}", lambda group: group.calls),
    "total": _duration(lambda group: group.total_ns),
    "self": _duration(lambda group: group.self_ns),
    "share": _part(lambda group: group.share_ns),
    "critical": _part(lambda group: group.critical_ns),
    "mean": _duration(lambda group: group.total_ns // (group.calls or 1)),
    "min": _duration(lambda group: group.min_ns),
    "p50": _duration(lambda group: group.p50_ns),
    "p95": _duration(lambda group: group.p95_ns),
    "p99": _duration(lambda group: group.p99_ns),
    "max": _duration(lambda group: group.max_ns),
    "worst": _Shown(
        lambda group, _: f"{group.worst:016x}" if group.worst else "", lambda group: group.max_ns
    ),
    "errors": _number(lambda group: group.errors),
    "cancelled": _number(lambda group: group.cancelled),
    "input_tokens": _number(lambda group: group.usage.input_tokens),
    "output_tokens": _number(lambda group: group.usage.output_tokens),
    "cost": _Shown(
        lambda group, _: cost_text(group.usage.cost), lambda group: group.usage.cost or 0.0
    ),
}
DEFAULT: Final = (
    "calls",
    "total",
    "self",
    "share",
    "critical",
    "p95",
    "max",
    "errors",
    "cancelled",
    "input_tokens",
    "output_tokens",
    "cost",
)
_DISPENSABLE: Final = ("max", "p95", "self", "cancelled", "calls", "critical")
"""What a terminal that is too narrow for the default columns does without, in that order."""
_TITLES: Final = {
    "model": "model",
    "node_id": "node",
    "phase": "phase",
    "node_type": "type",
    "iteration": "iteration",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
}
_OVERLAP: Final = "Self is more than total where parts of a call went on at the same time."
_OPEN: Final = "(open)"
"""The total of what has no call that has ended."""
_OF_WHOLE_CALLS: Final = ("mean", "min", "p50", "p95", "p99", "max")
"""What says nothing beside a total that is only the calls' own time."""
_ABSENT: Final = {"phase": SELF, "node_type": "(none)", "iteration": "-", "model": "(none)"}


def chosen(text: str) -> tuple[str, ...]:
    """Return the columns that ``--columns`` names.

    Raises:
        UsageError: for a name that is none.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in COLUMNS:
            raise UsageError(f"there is no column {name!r}; there are {', '.join(COLUMNS)}")
    if not names:
        raise UsageError(f"--columns names none; there are {', '.join(COLUMNS)}")
    return names


def sorted_by(rows: Sequence[Group], column: str | None) -> list[Group]:
    """Return groups by a column, most first; as they are without one."""
    if column is None:
        return list(rows)
    value = COLUMNS[column].value
    return sorted(rows, key=lambda row: -value(row))


def groups_lines(
    groups: Groups, columns: Sequence[str], sort: str | None, *, width: int, colour: bool
) -> list[str]:
    """Return the table of groups, what is nobody's, and the sum.

    `columns` are all shown; without any, the default ones are that say something, and that there is
    room for.
    """
    if columns:
        lines = _lines(groups, columns, sort, width, colour, keep_empty=True)
    else:
        columns, lines = _fitting(groups, sort, width, colour)
    if {"total", "self"} <= set(columns) and any(_overlaps(row) for row in groups.rows):
        lines += ["", remark(f"  {_OVERLAP}", colour)]
    return lines


def _fitting(
    groups: Groups, sort: str | None, width: int, colour: bool
) -> tuple[Sequence[str], list[str]]:
    """Return the default columns that there is room for, and the table of them."""
    shown = list(DEFAULT)
    for dispensable in (None, *_DISPENSABLE):
        if dispensable is not None:
            shown.remove(dispensable)
        lines = _lines(groups, shown, sort, width, colour, keep_empty=False)
        if not width or max(map(cells, lines)) <= width:
            break
    return shown, lines


def _lines(
    groups: Groups,
    columns: Sequence[str],
    sort: str | None,
    width: int,
    colour: bool,
    keep_empty: bool,
) -> list[str]:
    wall_ns = groups.wall_ns or 1
    rows = []
    for row in sorted_by(groups.rows, sort):
        texts = {name: COLUMNS[name].text(row, groups.wall_ns) for name in columns}
        if _is_own_time(groups.fields, row):
            texts |= {name: human(row.self_ns) for name in ("total",) if name in texts}
            texts |= {name: "" for name in _OF_WHOLE_CALLS if name in texts}
        elif not row.calls:
            texts |= {name: "" for name in ("self", *_OF_WHOLE_CALLS) if name in texts}
            texts |= {name: _OPEN for name in ("total",) if name in texts}
        keys = (_key_text(field, part) for field, part in zip(groups.fields, row.key, strict=True))
        rows.append([*keys, *texts.values()])
    nobodys = {
        "total": human(groups.unattributed_ns),
        "share": f"{groups.unattributed_ns / wall_ns:.1%}",
        "critical": f"{groups.critical_unattributed_ns / wall_ns:.1%}",
    }
    waiting = {"critical": f"{groups.critical_waiting_ns / wall_ns:.1%}"}
    usage = sum((row.usage for row in groups.rows), Spent())
    whole = {
        "total": human(groups.wall_ns),
        "share": "100.0%",
        "critical": "100.0%",
        "errors": _count(sum(row.errors for row in groups.rows)),
        "input_tokens": _count(usage.input_tokens),
        "output_tokens": _count(usage.output_tokens),
        "cost": cost_text(usage.cost),
    }
    others = [("unattributed", nobodys)]
    if groups.critical_waiting_ns and "critical" in columns:
        others.append(("(waiting)", waiting))
    others.append(("all", whole))
    for name, texts in others:
        rest = ("" for _ in groups.fields[1:])
        rows.append([name, *rest, *(texts.get(column, "") for column in columns)])
    titles = [
        *(Column(_TITLES[field], is_number=False, shrinks=True) for field in groups.fields),
        *(Column(_TITLES.get(name, name)) for name in columns),
    ]
    return grid_lines(titles, rows, width=width, colour=colour, keep_empty=keep_empty)


def _overlaps(row: Group) -> bool:
    return row.self_ns > row.total_ns > 0


def _is_own_time(fields: Sequence[str], row: Group) -> bool:
    """Tell whether a row among phases is the time of nodes of their own."""
    return "phase" in fields and row.key[fields.index("phase")] is None


def _key_text(field: str, part: object) -> str:
    return _ABSENT.get(field, "") if part is None else name_text(str(part))
