"""How far a program is, in one line of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from phasetrace.analysis.wording import place_text
from phasetrace.history import Usual
from phasetrace.rendering import cells, human, safe, shortened

_LEAST: Final = 8
_SEPARATOR: Final = " · "
_ASCII: Final = str.maketrans({"·": "|", "…": "~", "µ": "u"})


class Doing(NamedTuple):
    """A call of a node (``phase`` is None) or phase that goes on."""

    node_id: str
    phase: str | None
    age_ns: int


class Progress(NamedTuple):
    """How far an execution is; ``others`` is how many more there are just now.

    ``doing`` are the deepest of its open calls, the oldest first; ``spans`` how many have ended.
    """

    exec_id: str
    name: str | None
    started_ns: int
    elapsed_ns: int
    spans: int
    others: int = 0
    doing: Sequence[Doing] = ()
    usual: Usual | None = None


def progress_text(progress: Progress, width: int, in_ascii: bool = False) -> str:
    """Return the line, in at most `width` columns.

    What it says: ``nightly import 12.3s · load / insert 3.20s, fetch / download 1.10s · 157 spans ·
    about 4.00s left``. Where there is no room, calls are left out from the last, and names lose
    their middle.
    """
    name = safe(progress.name or progress.exec_id)
    if progress.others:
        name += f" and {progress.others:,} more"
    spans = f"{progress.spans:,} span{'' if progress.spans == 1 else 's'}"
    end = [spans, *([left] if (left := _left(progress)) else [])]
    calls = [f"{place_text(one.node_id, one.phase)} {human(one.age_ns)}" for one in progress.doing]
    for shown in range(min(len(calls), 3), -1, -1):
        more = [f"{len(calls) - shown:,} more"] if len(calls) > shown > 0 else []
        parts = [f"{name} {human(progress.elapsed_ns)}"]
        parts += [", ".join([*calls[:shown], *more])] if shown else []
        line = _SEPARATOR.join([*parts, *end])
        if cells(line) <= width or shown <= 1:
            break
    if cells(line) > width:
        line = _narrow(progress, name, end, width)
    return line.translate(_ASCII) if in_ascii else line


def _narrow(progress: Progress, name: str, end: Sequence[str], width: int) -> str:
    """Return the line with one call, its name and that of the execution as short as it takes."""
    elapsed = human(progress.elapsed_ns)
    call, age = "", ""
    if progress.doing:
        first = progress.doing[0]
        call, age = place_text(first.node_id, first.phase), f" {human(first.age_ns)}"
    for kept in (len(end), 1, 0):
        fixed = _SEPARATOR.join(["", *end[len(end) - kept :]]) if kept else ""
        room = width - cells(f" {elapsed}{age}{fixed}") - (len(_SEPARATOR) if call else 0)
        if room >= 2 * _LEAST or not kept:
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
