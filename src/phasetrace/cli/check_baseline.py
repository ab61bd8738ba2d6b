"""What ``phasetrace check`` holds an execution against: a file, an execution, or the last runs.

Only runs that ended well are a measure: one that failed has taken what it took until then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import open_source
from phasetrace.errors import StoreMissing, UnknownExecution, UsageError
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from phasetrace.budgets.baseline import Baseline
    from phasetrace.budgets.figures import Measured
    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution

    Measure = Callable[[Source, StoredExecution], Measured]
    """What works the figures of an execution out."""

_ENDED: Final = {
    "error": "ended in error",
    "cancelled": "was cancelled",
    "running": "goes on",
    "abandoned": "never ended",
}


def baseline_for(
    execution: StoredExecution, asked: str, last: int | None, place: str | None, measure: Measure
) -> Baseline | None:
    """Return what was asked to hold an execution against; None if there is nothing yet.

    That is said on stderr, as is whatever else may not be what was meant.

    Raises:
        UnknownExecution: if it means no execution.
        UsageError: if it is an execution that cannot be one.
        ConfigError: if it is a file that is no baseline.
    """
    baseline = _found(execution, asked, last, place, measure)
    if baseline is None:
        return None
    names, of = baseline.names, name_of(execution)
    if of is not None and names and names != {of}:
        say(f"the baseline is of {' and '.join(sorted(names))}, and {execution.exec_id} of {of}")
    if baseline.failed:
        say(f"the baseline has runs that did not end well: {', '.join(baseline.failed)}")
    return baseline


def earlier_runs(source: Source, execution: StoredExecution) -> list[StoredExecution]:
    """Return the successful runs of an execution's own name before it, the latest first."""
    from phasetrace.store.selection import literally

    name = name_of(execution)
    if name is None:
        return []
    return _successful_before(execution, _named(source, literally(name)))


def how_it_ended(execution: StoredExecution) -> str:
    """Return what became of an execution that did not end well, as it goes into a sentence."""
    return _ENDED.get(execution.status, f"is {execution.status}")


def name_of(execution: StoredExecution) -> str | None:
    """Return what an execution is called that others could be called as well."""
    return execution.name if execution.name != execution.exec_id else None


def as_stored(reference: str) -> str:
    """Return an id as it is recorded: bytes of an argument that are no UTF-8 are escaped."""
    return reference.encode("utf-8", "backslashreplace").decode("utf-8")


def say(text: str) -> None:
    """Print a line on stderr."""
    print(f"phasetrace: {safe(text)}", file=sys.stderr)  # noqa: T201


def _found(
    execution: StoredExecution, asked: str, last: int | None, place: str | None, measure: Measure
) -> Baseline | None:
    from phasetrace.budgets.baseline import baseline_of, is_baseline, read_baseline
    from phasetrace.recordings.references import open_reference

    path, reference = Path(asked), as_stored(asked)
    if is_baseline(path):
        return read_baseline(path)
    # A name first: its latest run may be the one that is checked, or may have failed.
    with suppress(StoreMissing), open_source(place) as source:
        runs = _named(source, reference)
        if runs:
            return _of_last(source, _successful_before(execution, runs), reference, last, measure)
    try:
        source, run = open_reference(reference, place)
    except UnknownExecution:
        if path.suffix == ".json":
            return read_baseline(path)  # and so say why it cannot be read
        raise
    with source:
        if last is not None:
            runs = [one for one in _up_to(source, run) if one.exec_id != execution.exec_id]
            return _of_last(source, runs, name_of(run) or reference, last, measure)
        if run.exec_id == execution.exec_id:
            raise UsageError(f"--baseline {reference}: an execution cannot be its own baseline")
        if run.status != "ok":
            raise UsageError(
                f"--baseline {reference}: {run.exec_id} {how_it_ended(run)} and is no measure; name"
                " a run that ended well, or add --last N for the last ones of its name that did"
            )
        return baseline_of([measure(source, run)])


def _of_last(
    source: Source,
    runs: Sequence[StoredExecution],
    name: str,
    last: int | None,
    measure: Measure,
) -> Baseline | None:
    """Return the medians of the first of some runs, the latest of which comes first."""
    from phasetrace.budgets.baseline import baseline_of

    if not runs:
        say(f"there is no baseline: no earlier run of {name} has ended well")
        return None
    chosen = runs[: last or 1]
    if last is not None and len(chosen) < last:
        say(f"the baseline has only {len(chosen)} of the {last} runs asked for")
    return baseline_of([measure(source, run) for run in chosen])


def _up_to(source: Source, end: StoredExecution) -> list[StoredExecution]:
    """Return the successful runs of an execution's name up to and including it, latest first."""
    from phasetrace.store.selection import literally

    name = name_of(end)
    if name is None:
        raise UsageError(f"{end.exec_id} has no name, so that there are no other runs of it")
    runs = _named(source, literally(name))
    place = next((at for at, run in enumerate(runs) if run.exec_id == end.exec_id), len(runs))
    return [run for run in runs[place:] if run.status == "ok"]


def _named(source: Source, name: str) -> list[StoredExecution]:
    """Return the runs of a name, or of those that fit a pattern, the latest first."""
    from phasetrace.recordings.source import Where

    runs = source.executions(where=Where(name))
    return [run for run in runs if run.name != run.exec_id]  # which is no name, but an id


def _successful_before(
    execution: StoredExecution, runs: Sequence[StoredExecution]
) -> list[StoredExecution]:
    return [
        run
        for run in runs
        if run.status == "ok"
        and run.exec_id != execution.exec_id
        and run.started_ns <= execution.started_ns
    ]
