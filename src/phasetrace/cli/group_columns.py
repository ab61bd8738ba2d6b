"""The columns of ``metrics --by``: what they are called, what they show, what they sort by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.cli.grid import Column, grid_lines
from phasetrace.errors import UsageError
from phasetrace.rendering import SELF, human, safe

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
    return _Shown(lambda group, _: f"{value(group):,}" if value(group) else "", value)


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
_TITLES: Final = {
    "node_id": "node",
    "phase": "phase",
    "node_type": "type",
    "iteration": "iteration",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
}
_ABSENT: Final = {"phase": SELF, "node_type": "(none)", "iteration": "-"}


def chosen(text: str | None) -> tuple[str, ...]:
    """Return the columns that ``--columns`` names.

    Raises:
        UsageError: for a name that is none.
    """
    if text is None:
        return DEFAULT
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
    """Return the table of groups, and what is unattributed below it."""
    rows = [
        [_key_text(field, part) for field, part in zip(groups.fields, row.key, strict=True)]
        + [COLUMNS[name].text(row, groups.wall_ns) for name in columns]
        for row in sorted_by(groups.rows, sort)
    ]
    nobodys = {
        "total": human(groups.unattributed_ns),
        "share": f"{groups.unattributed_ns / (groups.wall_ns or 1):.1%}",
        "critical": f"{groups.critical_unattributed_ns / (groups.wall_ns or 1):.1%}",
    }
    name = ["unattributed", *("" for _ in groups.fields[1:])]
    rows.append([*name, *(nobodys.get(column, "") for column in columns)])
    titles = [
        *(Column(_TITLES[field], is_number=False, shrinks=True) for field in groups.fields),
        *(Column(_TITLES.get(name, name)) for name in columns),
    ]
    return grid_lines(titles, rows, width=width, colour=colour)


def _key_text(field: str, part: object) -> str:
    return _ABSENT.get(field, "") if part is None else safe(str(part))
