"""Which executions ``phasetrace diff`` holds against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from phasetrace.analysis.comparison import Run
from phasetrace.analysis.execution import Examination
from phasetrace.errors import UnknownExecution, UsageError
from phasetrace.recordings.references import open_reference
from phasetrace.recordings.source import Where

if TYPE_CHECKING:
    from phasetrace.analysis.groups import By
    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution


class Side(NamedTuple):
    """The executions of one side, first to last, and where each is read from.

    ``missing`` is how many fewer they are than were asked for, ``left_out`` how many have been
    passed over because they did not end well.
    """

    executions: Sequence[tuple[Source, StoredExecution]]
    missing: int = 0
    left_out: int = 0

    def runs(self, by: By) -> list[Run]:
        """Return what is to be compared of each."""
        runs = []
        for source, execution in self.executions:
            recording = source.recording(execution)
            groups = Examination(recording).groups(by)
            runs.append(Run(recording.execution, groups, recording.lost))
        return runs


class NoRuns(UnknownExecution):
    """No run of a name ended well."""

    def __init__(self, message: str) -> None:
        super().__init__("")
        self.args = (message,)


@contextmanager
def opened_sides(
    a: str, b: str, last: int | None, place: str | None
) -> Iterator[tuple[Side, Side]]:
    """Find the executions of both sides; what they are read from is open within the context.

    Without `last`, a side is an execution or several, by references with commas in between. With
    it, it is the last so many runs of that execution's name that ended well, up to and including
    it. Where both are of one name, the runs of the later side are only those after the earlier
    execution, and no run is on both.

    Raises:
        UnknownExecution: if one of them is not there, or no run is left on a side.
        UsageError: if an execution is on both sides, or `last` does not go with what is given.
    """
    with ExitStack() as open_sources:
        one, other = (_found(text, place, open_sources) for text in (a, b))
        if last is not None:
            yield _series(one, other, last)
            return
        both = [execution for _, execution in one if _is_among(other, execution)]
        if both:
            raise UsageError(
                f"{both[0].exec_id} is on both sides; name other runs, as in: latest~1 latest"
            )
        yield Side(one), Side(other)


def _found(
    text: str, place: str | None, open_sources: ExitStack
) -> list[tuple[Source, StoredExecution]]:
    """Return the executions that a side names: one, or several with commas in between."""
    try:
        source, execution = open_reference(text, place)
    except UnknownExecution:
        if "," not in text:
            raise
    else:
        return [(open_sources.enter_context(source), execution)]
    found: list[tuple[Source, StoredExecution]] = []
    for part in text.split(","):
        source, execution = open_reference(part.strip(), place)
        open_sources.enter_context(source)
        if not _is_among(found, execution):
            found.append((source, execution))
    return found


def _is_among(
    executions: Sequence[tuple[Source, StoredExecution]], execution: StoredExecution
) -> bool:
    """Tell whether an execution is one of several; another file may have one of the same id."""
    return any(
        (execution.exec_id, execution.started_ns) == (known.exec_id, known.started_ns)
        for _, known in executions
    )


def _series(
    one: Sequence[tuple[Source, StoredExecution]],
    other: Sequence[tuple[Source, StoredExecution]],
    last: int,
) -> tuple[Side, Side]:
    if len(one) > 1 or len(other) > 1:
        raise UsageError("--last takes one name or execution on each side, not a list of them")
    (source_a, a), (source_b, b) = one[0], other[0]
    runs_a, runs_b = _up_to(source_a, a), _up_to(source_b, b)
    if a.exec_id == b.exec_id:
        raise UsageError(
            f"both sides are {a.exec_id}; with --last they are the last run of each side,"
            " as in: latest~10 latest --last 10"
        )
    # One of them is among those before the other if both are of one name.
    runs_a = _after(b, runs_a)
    runs_b = _after(a, runs_b)
    return _last(source_a, a, runs_a, last), _last(source_b, b, runs_b, last)


def _up_to(source: Source, end: StoredExecution) -> list[StoredExecution]:
    """Return the runs of an execution's name up to and including it, the latest first."""
    from phasetrace.store.selection import literally

    if end.name is None or end.name == end.exec_id:
        raise UsageError(f"{end.exec_id} has no name, so that there are no other runs of it")
    runs = source.executions(where=Where(name=literally(end.name)))
    place = next((at for at, run in enumerate(runs) if run.exec_id == end.exec_id), len(runs))
    return runs[place:] or [end]


def _after(end: StoredExecution, runs: Sequence[StoredExecution]) -> list[StoredExecution]:
    """Return the runs, the latest first, down to an execution; all if it is not among them."""
    ids = [run.exec_id for run in runs]
    return list(runs[: ids.index(end.exec_id)] if end.exec_id in ids else runs)


def _last(source: Source, end: StoredExecution, runs: Sequence[StoredExecution], last: int) -> Side:
    chosen: list[tuple[Source, StoredExecution]] = []
    left_out = 0
    for run in runs:
        if len(chosen) == last:
            break
        if run.status == "ok":
            chosen.append((source, run))
        else:
            left_out += 1
    if not chosen:
        raise NoRuns(f"no run of {end.name} up to {end.exec_id} ended well, out of {left_out}")
    return Side(chosen[::-1], last - len(chosen), left_out)
