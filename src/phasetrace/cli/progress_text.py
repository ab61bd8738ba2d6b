"""How far a program is, in one line of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from phasetrace.analysis.wording import place_text
from phasetrace.history import Usual
from phasetrace.rendering import cells, human, name_text, safe, shortened

_LEAST: Final = 8
_MOST_SHOWN: Final = 3
_SEPARATOR: Final = " · "
_ASCII: Final = str.maketrans({"·": "|", "…": "~", "µ": "u"})


class Doing(NamedTuple):
    """A call of a node (``phase`` is None) or phase that goes on."""

    node_id: str
    phase: str | None
    age_ns: int


class Progress(NamedTuple):
    """How far an execution is; ``others`` is how many more there are just now, all ``open_ids``.

    ``doing`` are the deepest of its open calls, the oldest first, and ``unseen`` how many more are
    open. ``spans`` tells how many have ended, and ``errors`` how many of these failed; ``tokens``
    are those that they say they took.
    """

    exec_id: str
    name: str | None
    started_ns: int
    elapsed_ns: int
    spans: int
    others: int = 0
    doing: Sequence[Doing] = ()
    usual: Usual | None = None
    open_ids: Sequence[str] = ()
    unseen: int = 0
    errors: int = 0
    tokens: int = 0


class _Group(NamedTuple):
    """Open calls of one name, or one that is alone in it."""

    name: str
    calls: int
    age_ns: int

    def text(self, with_age: bool) -> str:
        name = self.name if self.calls == 1 else f"{self.calls:,} x {self.name}"
        return f"{name}{self.age()}" if with_age else name

    def age(self) -> str:
        return f"{' up to' if self.calls > 1 else ''} {human(self.age_ns)}"


def progress_text(progress: Progress, width: int, in_ascii: bool = False) -> str:
    """Return the line, in at most `width` columns.

    What it says: ``nightly import 12.3s · 5 x llm_completion up to 4.10s, fetch / download 1.10s ·
    157 spans · 2 errors · 9,120 tokens · about 4.00s left``. Where there is no room, it says less
    of the calls, the last first, then less of what has ended; at last names lose their middle.
    """
    name = safe(progress.name or progress.exec_id)
    if progress.others:
        name += f" and {progress.others:,} more"
    head = f"{name} {human(progress.elapsed_ns)}"
    groups = _groups(progress.doing)
    ends = _ends(progress)
    line = ""
    for calls in _calls(groups, progress.unseen):
        line = _SEPARATOR.join([head, *calls, *ends[0]])
        if cells(line) <= width:
            break
    else:
        line = _narrow(progress, name, groups, ends, width)
    return line.translate(_ASCII) if in_ascii else line


def _groups(doing: Sequence[Doing]) -> list[_Group]:
    """Return the calls summed by name, that with the oldest call first."""
    by_name: dict[tuple[bool, str], list[Doing]] = {}
    for one in doing:
        key = (one.phase is None, one.node_id if one.phase is None else one.phase)
        by_name.setdefault(key, []).append(one)
    groups = []
    for (_, name), calls in by_name.items():
        first = calls[0]
        text = name_text(name) if len(calls) > 1 else place_text(first.node_id, first.phase)
        groups.append(_Group(text, len(calls), max(call.age_ns for call in calls)))
    return groups


def _calls(groups: Sequence[_Group], unseen: int) -> Iterator[list[str]]:
    """Give what there is to say of the open calls, each time less of it; at least of one group."""
    if not groups:
        yield []
    for shown in range(min(len(groups), _MOST_SHOWN), 0, -1):
        left = sum(group.calls for group in groups[shown:]) + unseen
        more = [f"{left:,} more"] if left else []
        for aged in (shown, 1):
            texts = [group.text(at < aged) for at, group in enumerate(groups[:shown])]
            yield [", ".join([*texts, *more])]


def _ends(progress: Progress) -> list[list[str]]:
    """Return what there is to say beside the calls: all of it, and each time one thing less."""
    errors, tokens = progress.errors, progress.tokens
    parts = [
        f"{progress.spans:,} span{'' if progress.spans == 1 else 's'}",
        f"{errors:,} error{'' if errors == 1 else 's'}" if errors else "",
        f"{tokens:,} token{'' if tokens == 1 else 's'}" if tokens else "",
        _left(progress),
    ]
    ends = [[part for part in parts if part]]
    for spared in (2, 0, 3, 1):
        if parts[spared]:
            parts[spared] = ""
            ends.append([part for part in parts if part])
    return ends


def _narrow(
    progress: Progress,
    name: str,
    groups: Sequence[_Group],
    ends: Sequence[Sequence[str]],
    width: int,
) -> str:
    """Return the line with one group of calls, with names as short as it takes."""
    elapsed = human(progress.elapsed_ns)
    call, age = "", ""
    if groups:
        call, age = groups[0].text(False), groups[0].age()
    for end in ends:
        fixed = _SEPARATOR.join(["", *end])
        room = width - cells(f" {elapsed}{age}{fixed}") - (len(_SEPARATOR) if call else 0)
        if room >= min(2 * _LEAST, cells(name + call)):
            break
    of_name = max(min(cells(name), room - min(cells(call), room // 2)), 1)
    line = f"{shortened(name, of_name)} {elapsed}"
    if call:
        line += f"{_SEPARATOR}{shortened(call, max(room - of_name, 1))}{age}"
    return shortened(line + fixed, width)


def _left(progress: Progress) -> str:
    """Return what is left by what is usual; what is usual where it has taken longer already."""
    usual = progress.usual
    if usual is None:
        return ""
    left_ns = usual.median_ns - progress.elapsed_ns
    return f"about {human(left_ns)} left" if left_ns > 0 else f"usually {human(usual.median_ns)}"
