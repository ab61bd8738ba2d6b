"""Which executions a command is to show: its options, and what to say if they leave none."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.cli.times import duration, point_in_time
from phasetrace.recordings.source import Where
from phasetrace.rendering import ago, human, local_time, safe

if TYPE_CHECKING:
    from phasetrace.store.stored import StoredExecution

STATUSES: Final = ("ok", "error", "cancelled", "running", "abandoned")

_NAMED: Final = 5
"""How many of the names that there are will do."""
_STANDINGS: Final = {
    "ok": ("ended well", "did not end well", "successful "),
    "error": ("failed", "did not fail", "failed "),
    "cancelled": ("was cancelled", "was not cancelled", "cancelled "),
    "running": ("is running", "is not running", "running "),
    "abandoned": ("was abandoned", "was not abandoned", "abandoned "),
}


class _Filter(NamedTuple):
    """One of the things that are asked for, how to say that something is so, and that it is not.

    ``kind`` and ``such`` say so of something that more is said of: before it, and behind it.
    """

    where: Where
    is_so: str
    is_not: str
    there_is: Callable[[Sequence[StoredExecution]], str]
    """What there is instead, in executions of which there is one."""
    kind: str = ""
    such: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say which executions are meant."""
    parser.add_argument(
        "--name", metavar="NAME", help="only those of this name; may have *, ? and [...] in it"
    )
    parser.add_argument("--status", choices=STATUSES, help="only those that stand so")
    parser.add_argument(
        "--since",
        type=point_in_time,
        metavar="TIME",
        help="only those that started since: 30m, 2h or 3d ago, today, yesterday, 2026-11-20",
    )
    parser.add_argument(
        "--slower-than",
        type=duration,
        metavar="DURATION",
        help="only those that took as long or longer: 350ms, 2s, 1m30s",
    )


def where_of(args: argparse.Namespace) -> Where:
    """Return which executions are meant."""
    return Where(args.name, args.status, args.since, args.slower_than)


def nothing_left(executions: Sequence[StoredExecution], where: Where, now_ns: int) -> str:
    """Return why none of some executions is meant: all that there are, or all of the name meant.

    That is the first thing asked for that none is which is the things before, and what there is
    instead: ``none of the 37 executions is slower than 2s; the slowest took 1.20s``.
    """
    from phasetrace.store.selection import admits

    kind = such = ""
    for one in _filters(where, now_ns):
        left = [execution for execution in executions if admits(one.where, execution)]
        if not left:
            if len(executions) == 1:
                fact = f"the only {kind}execution{such} {one.is_not}"
            else:
                fact = f"none of the {len(executions):,} {kind}executions{such} {one.is_so}"
            return f"{fact}; {one.there_is(executions)}"
        executions = left
        kind += one.kind
        such += one.such
    return "the executions that were meant have just changed"


def _filters(where: Where, now_ns: int) -> Iterator[_Filter]:
    if where.name is not None:
        name = where.name
        called = f"called {safe(name)!r}"
        yield _Filter(
            Where(name=name),
            f"is {called}",
            f"is not {called}",
            lambda known: names_there_are(known, name),
            such=f" {called}",
        )
    if where.since_ns is not None:
        since = f"since {local_time(where.since_ns)[:16].replace('T', ' ')}"
        yield _Filter(
            Where(since_ns=where.since_ns),
            f"started {since}",
            f"has not started {since}",
            lambda known: f"{_one(known, 'latest')} started {ago(known[0].started_ns, now_ns)}",
            such=f" {since}",
        )
    if where.status is not None:
        is_so, is_not, kind = _STANDINGS[where.status]
        yield _Filter(Where(status=where.status), is_so, is_not, _standings, kind)
    if where.longer_than_ns is not None:
        slower = f"slower than {human(where.longer_than_ns)}"
        yield _Filter(
            Where(longer_than_ns=where.longer_than_ns),
            f"is {slower}",
            f"is not {slower}",
            lambda known: (
                f"{_one(known, 'slowest')} took {human(max(one.duration_ns for one in known))}"
            ),
        )


def names_there_are(executions: Sequence[StoredExecution], wanted: str) -> str:
    """Return what executions are called, those first that come near to what was wanted."""
    from difflib import get_close_matches

    counts = Counter(one.name for one in executions if one.name not in (None, one.exec_id))
    names = [name for name, _ in counts.most_common() if name is not None]
    if not names:
        return "they have no names but their ids"
    near = get_close_matches(wanted, names, 3, 0.5)
    if near:
        return f"did you mean {' or '.join(repr(safe(name)) for name in near)}?"
    shown = ", ".join(repr(safe(name)) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"there {'are' if len(names) > 1 else 'is'} {shown}{more}"


def _standings(executions: Sequence[StoredExecution]) -> str:
    if len(executions) == 1:
        return f"it is {executions[0].status}"
    counts = Counter(one.status for one in executions)
    shown = ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if counts[status])
    return f"there are {shown}"


def _one(executions: Sequence[StoredExecution], which: str) -> str:
    return f"the {which}" if len(executions) > 1 else "it"
