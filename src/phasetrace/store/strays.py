"""Calls that a run's own execution has although one of the program's was open just then.

A phase that no context reaches, as in a thread of an executor, belongs to the run. That it ran
while the program had an execution open, in its process or in one that had started it, tells that it
was probably to be a part of that one. Not so if others of its name ran at other times: a task does
something when its own execution is over, or a thread goes on all the time.

Worked out from what is stored, so that it costs the program nothing. No OpenTelemetry in here.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain
from typing import Final, NamedTuple

from phasetrace.identity import root_span_id_of
from phasetrace.spans import EXECUTION
from phasetrace.store.blocks import records
from phasetrace.store.stored import StoredExecution

MOST_SPANS: Final = 5_000
"""Of more spans than that nothing is told."""


class Call(NamedTuple):
    """A call that is directly below an execution, of the process `pid`; times in Unix ns."""

    name: str
    pid: int
    start_ns: int
    end_ns: int


class Opened(NamedTuple):
    """How long an execution was open, and in which process; times in Unix nanoseconds."""

    exec_id: str
    pid: int
    start_ns: int
    end_ns: int


class Strays(NamedTuple):
    """How many calls ran outside of executions that were open, by name, and which these are."""

    calls: Mapping[str, int]
    executions: frozenset[str]


def read_strays(
    connection: sqlite3.Connection,
    own: StoredExecution,
    others: Iterable[StoredExecution],
    host: str,
) -> Strays | None:
    """Return what of the run's `own` execution ran while one of the `others` was open.

    None where nothing did, or where there are too many spans to look at. Only what was opened once,
    by ``execution()``, is known to have been open from its start to its end.

    Raises:
        sqlite3.Error: as the connection does.
        ValueError: where what is stored makes no sense.
    """
    if own.spans > MOST_SPANS:
        return None
    opened = [
        Opened(one.exec_id, pid, one.started_ns, one.started_ns + one.duration_ns)
        for one in others
        if one.root_span_id is not None and one.openings == 1
        for (pid,) in connection.execute(
            "SELECT p.pid FROM executions e JOIN processes p ON p.id = e.process"
            " WHERE e.id = ? AND p.host = ?",
            (one.row, host),
        )
    ]
    if not opened:
        return None
    parents = dict(
        connection.execute("SELECT pid, parent FROM processes WHERE host = ? ORDER BY id", (host,))
    )
    found = strays(_calls(connection, own, host), opened, parents)
    return found if found.calls else None


def strays(
    calls: Iterable[Call], opened: Iterable[Opened], parents: Mapping[int, int | None]
) -> Strays:
    """Return which calls lie within an execution of their process, or of one that is above it.

    Nothing is told of names that have other calls as well. `parents` has the pid of the process
    that started one. Of several executions, it is the one of the nearest process that started last
    of those that end late enough.
    """
    by_pid: dict[int, list[Opened]] = {}
    for one in sorted(opened, key=lambda one: one.start_ns):
        by_pid.setdefault(one.pid, []).append(one)
    starts = {pid: [one.start_ns for one in found] for pid, found in by_pid.items()}
    latest = {
        pid: list(accumulate((one.end_ns for one in found), max)) for pid, found in by_pid.items()
    }
    found: dict[str, list[str]] = {}
    elsewhere = set()
    for call in calls:
        for pid in _upwards(call.pid, parents):
            at = bisect_right(starts.get(pid, ()), call.start_ns) - 1
            if at < 0 or latest[pid][at] < call.end_ns:
                continue
            while by_pid[pid][at].end_ns < call.end_ns:
                at -= 1
            found.setdefault(call.name, []).append(by_pid[pid][at].exec_id)
            break
        else:
            elsewhere.add(call.name)
    told = {name: exec_ids for name, exec_ids in found.items() if name not in elsewhere}
    counts = Counter({name: len(exec_ids) for name, exec_ids in told.items()})
    return Strays(dict(counts.most_common()), frozenset(chain.from_iterable(told.values())))


def _calls(connection: sqlite3.Connection, own: StoredExecution, host: str) -> Iterator[Call]:
    root = own.root_span_id or root_span_id_of(own.exec_id)
    for spans, labels, columns, pid in connection.execute(
        "SELECT b.spans, b.labels, b.columns, p.pid FROM blocks b"
        " JOIN streams t ON t.id = b.stream JOIN processes p ON p.id = t.process"
        " WHERE t.execution = ? AND p.host = ?",
        (own.row, host),
    ):
        for span in records(spans, labels, columns):
            if span.parent_id == root and span.type != EXECUTION:
                yield Call(span.name, pid, span.start_ns, span.end_ns)


def _upwards(pid: int, parents: Mapping[int, int | None]) -> Iterator[int]:
    """Give a process and those above it, each once."""
    seen: set[int] = set()
    above: int | None = pid
    while above is not None and above not in seen:
        seen.add(above)
        yield above
        above = parents.get(above)
