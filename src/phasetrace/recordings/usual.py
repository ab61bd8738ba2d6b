"""What is usual for an execution, by the runs of the same name that a source has."""

from __future__ import annotations

from typing import Final

from phasetrace.history import MOST, Usual, Verdict, judge_run, usual
from phasetrace.recordings.source import Source, Where
from phasetrace.store.reader import StoreReader
from phasetrace.store.selection import literally
from phasetrace.store.stored import StoredExecution

_MOST_FETCHED: Final = MOST
"""How many runs are fetched, the one in question and those that failed among them."""


def usual_of(source: Source, execution: StoredExecution) -> Usual | None:
    """Return what the runs of the same name usually took that had started before this one.

    Those that ended well; None where there are too few of them, or it has no name but its id.
    """
    if execution.name is None or execution.name == execution.exec_id:
        return None
    if isinstance(source, StoreReader):  # which knows a shorter way
        return source.usual_of(execution)
    limit = _MOST_FETCHED if source.is_remote else None
    runs = source.executions(limit, Where(name=literally(execution.name)))
    before = [
        run.duration_ns
        for run in runs
        if run.status == "ok"
        and run.started_ns < execution.started_ns
        and run.exec_id != execution.exec_id
    ]
    return usual(before)


def verdict_of(source: Source, execution: StoredExecution) -> Verdict | None:
    """Return how long an execution took compared with what is usual, where that says something."""
    return judge_run(execution.status, execution.duration_ns, usual_of(source, execution))
