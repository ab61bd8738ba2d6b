"""What people call an execution by: its id, its name, ``latest``, or the file it is in.

latest, latest~2       the one that started last; the second before that
exec_abc123            its id
nightly, nightly~1     the latest of that name (a pattern, too); the one before that
4bf92f3577b34da6…      the outermost one of the trace of that id
run.jsonl              the only one in a file
run.jsonl#exec_abc123  one of those in a file, in any of the ways above

A program is often called like the runs of it. So what looks like no file, by a folder or an ending,
is one only if it means no execution; and ``latest`` never is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.errors import SourceError, StoreError, UnknownExecution, UsageError
from phasetrace.recordings.opening import open_source

if TYPE_CHECKING:
    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution

LATEST: Final = "latest"

_FILE_ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".gz", ".db")
_BEFORE: Final = re.compile(r"(.*)~(\d{1,9})", re.DOTALL)
_TRACE_ID: Final = re.compile("[0-9a-fA-F]{32}")
_NEAREST_AMONG: Final = 200
_LONGEST_NEAREST: Final = 200
_MOST_SHOWN: Final = 3


class TooFewRuns(UnknownExecution):
    """There are executions of a name, but not so many; ``runs`` is how many there are."""

    def __init__(self, reference: str, name: str, runs: int) -> None:
        super().__init__(reference)
        self.runs = runs
        number = f"{runs} run{'' if runs == 1 else 's'}"
        if name == LATEST:
            only = f"there {'is' if runs == 1 else 'are'} only {number}"
        else:
            only = f"{name!r} has only {number}"
        self.args = (f"{only}, so that there is no {reference}",)


def resolve(source: Source, reference: str | None) -> StoredExecution:
    """Return the execution of a source that a reference means; None is the latest.

    Raises:
        UnknownExecution: if it means none, with the ids and names that come nearest, or the number
            of runs that there are.
    """
    name, back = _split(reference if reference is not None else LATEST)
    if name == LATEST:
        return _nth(source, back, None, reference)
    assert reference is not None  # noqa: S101 - or it would be the latest
    try:
        return source.find(reference)
    except UnknownExecution as error:
        unknown = error
    found = _of_trace(source, reference)
    if found is not None:
        return found
    too_few = None
    for wanted, number in _meanings(reference, name, back):
        try:
            return _nth(source, number, wanted, reference)
        except TooFewRuns as error:
            too_few = too_few or error
        except UnknownExecution:
            continue
    if too_few is not None:
        raise too_few
    raise UnknownExecution(reference, _nearest(source, name, unknown.nearest)) from None


def is_taken(exec_id: str) -> bool:
    """Tell whether an id, given as a reference, means another execution: the latest, or earlier."""
    return _split(exec_id)[0] == LATEST


def names_file(reference: str) -> bool:
    """Tell whether a reference names a file that there is, which it may not mean all the same."""
    return _file_in(reference)[0] is not None


def open_reference(
    reference: str | None, place: str | None = None
) -> tuple[Source, StoredExecution]:
    """Open what a reference is to be looked for in, and return that with the execution it means.

    A reference to a file opens that file, unless it is the id of an execution in `place`, or means
    an execution there and looks like no file. The source is the caller's to close.

    Raises:
        UnknownExecution: if it means none, with the ids and names that come nearest.
        UsageError: if a file has several executions, and the reference names none of them.
        SourceError: if a file or the place is not what executions can be read from.
        StoreError: if the store cannot be read.
    """
    file, within = _file_in(reference)
    if file is None or reference is None:
        return _opened(place, lambda source: resolve(source, reference))
    looks_like_file = "/" in reference or "#" in reference or reference.endswith(_FILE_ENDINGS)
    known = _known(reference, place, _by_id if looks_like_file else resolve)
    if known is not None:
        return known
    if within is None:
        return _opened(file, lambda source: _only(source, file))
    return _opened(file, lambda source: resolve(source, within))


def _opened(
    place: str | None, find: Callable[[Source], StoredExecution]
) -> tuple[Source, StoredExecution]:
    """Open a place, and return it with the execution in it that is meant."""
    source = open_source(place)
    try:
        return source, find(source)
    except BaseException as error:
        source.close()
        if isinstance(error, UnknownExecution):
            error.place = place
        raise


def _split(reference: str) -> tuple[str, int]:
    """Return what a reference calls, and how many runs before the latest of those is meant."""
    found = _BEFORE.fullmatch(reference)
    return (found[1], int(found[2])) if found is not None else (reference, 0)


def _meanings(reference: str, name: str, back: int) -> Iterator[tuple[str, int]]:
    """Give what a reference can mean by a name: that very name first, then names like it."""
    from phasetrace.store.selection import is_pattern, literally

    for wanted, number in dict.fromkeys([(reference, 0), (name, back)]):
        yield literally(wanted), number
        if is_pattern(wanted):
            yield wanted, number


def _nth(source: Source, back: int, name: str | None, reference: str | None) -> StoredExecution:
    from phasetrace.recordings.source import Where

    if name is None and not back:
        return source.latest()
    executions = source.executions(back + 1, Where(name=name))
    if len(executions) > back:
        return executions[back]
    reference = reference if reference is not None else LATEST
    if executions:
        raise TooFewRuns(reference, _split(reference)[0], len(executions))
    raise UnknownExecution(reference)


def _of_trace(source: Source, reference: str) -> StoredExecution | None:
    """Return the outermost execution of the trace that a reference is the id of, if it is one."""
    from phasetrace.recordings.source import Where, outermost

    if source.is_remote or not _TRACE_ID.fullmatch(reference):  # which finds them by itself
        return None
    executions = source.executions(where=Where(trace_id=reference.lower()))
    return outermost(executions) if executions else None


def _nearest(source: Source, name: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that come near to one, after the ids that do."""
    from difflib import get_close_matches

    names = dict.fromkeys(
        one.name
        for one in source.executions(_NEAREST_AMONG)
        if one.name and len(one.name) <= _LONGEST_NEAREST
    )
    return tuple(dict.fromkeys((*ids, *get_close_matches(name, names, _MOST_SHOWN, 0.5))))


def _file_in(reference: str | None) -> tuple[str | None, str | None]:
    """Return the file that a reference names, and what comes behind it after a ``#``."""
    if reference is None or _split(reference)[0] == LATEST:
        return None, None
    parts = reference.split("#")
    for number in range(len(parts), 0, -1):
        file = "#".join(parts[:number])
        if _is_file(file):
            return file, "#".join(parts[number:]) if number < len(parts) else None
    return None, None


def _is_file(name: str) -> bool:
    try:
        return Path(name).exists() and not Path(name).is_dir()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False


def _by_id(source: Source, exec_id: str) -> StoredExecution:
    return source.find(exec_id)


def _known(
    reference: str, place: str | None, meant: Callable[[Source, str], StoredExecution]
) -> tuple[Source, StoredExecution] | None:
    """Return the execution that is meant in the place, with its source, if there is one."""
    try:
        source = open_source(place)
    except StoreError:
        if place is not None:
            raise
        return None  # a file can be read without a store
    try:
        return source, meant(source, reference)
    except UnknownExecution:
        source.close()
        return None
    except BaseException:
        source.close()
        raise


def _only(source: Source, file: str) -> StoredExecution:
    """Return the execution of a file that is within none of the others, if that is one."""
    executions = source.executions()
    ids = {one.exec_id for one in executions}
    outer = [one for one in executions if one.parent_exec_id not in ids] or executions
    if not outer:
        raise SourceError(f"there is no execution in {file}")
    if len(outer) == 1:
        return outer[0]
    shown = ", ".join(one.exec_id for one in outer[:_MOST_SHOWN])
    more = f" and {len(outer) - _MOST_SHOWN} more" if len(outer) > _MOST_SHOWN else ""
    raise UsageError(
        f"there are {len(outer)} executions in {file} ({shown}{more});"
        f" say which, as in {file}#{outer[0].exec_id}"
    )
