"""Which executions are asked for: as a condition of SQL, and as a test of one that has been read.

How an execution stands that has not ended, and how long that one has taken, depends on its process
and on the time of day, and is in no row. So the condition holds for all that may be meant, and the
test (`admits`) is what decides; it is also what other sources decide by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from phasetrace.recordings.source import Where
from phasetrace.store.stored import StoredExecution
from phasetrace.store.totals import as_integer

MATCHES: Final = "phasetrace_matches"
"""The function that a condition calls on names where a pattern is asked for (`matcher`)."""

_ENDED: Final = "e.ended_ns IS NOT NULL"
_NOT_ENDED: Final = "e.ended_ns IS NULL"
# What has ended, as `stored_execution` has it.
_STATUS: Final = (
    "CASE WHEN NOT e.explicit AND e.status = 'ok' AND e.errors THEN 'error' ELSE e.status END"
)
_DURATION: Final = (
    "max(0, CASE WHEN e.explicit AND e.openings <= 1 THEN e.ended_ns ELSE e.last_ns END"
    " - e.started_ns)"
)
_WILD: Final = "*?["

DURATIONS_BEFORE: Final = (
    f"SELECT {_DURATION} FROM executions e"  # noqa: S608 - constants
    f" WHERE e.name = ? AND {_ENDED} AND {_STATUS} = 'ok' AND e.started_ns < ?"
    " ORDER BY e.started_ns DESC, e.id DESC LIMIT ?"
)
"""What the runs of a name took that ended well and had started before another one: latest first.

PERF: without an index of names; of 2,000 executions it takes 0.3 ms to look at all of them.
"""
EARLIER_RUNS: Final = DURATIONS_BEFORE.replace(f"SELECT {_DURATION} FROM", "SELECT e.id FROM")
"""Which runs those are."""


def condition(where: Where) -> tuple[str, list[str | int]]:
    """Return a condition on ``executions e``, and its parameters; true for all that may be meant.

    For a pattern it calls the function `MATCHES`, which is `matcher(where.name)`.
    """
    terms = ["TRUE"]
    values: list[str | int] = []
    if where.name is not None:
        if is_pattern(where.name):
            terms.append(f"{MATCHES}(e.name)")
        else:
            terms.append("e.name = ?")
            values.append(_stored(where.name))
    if where.since_ns is not None:
        terms.append("e.started_ns >= ?")
        values.append(as_integer(where.since_ns))
    if where.status in ("running", "abandoned"):
        terms.append(_NOT_ENDED)
    elif where.status is not None:
        terms.append(f"{_ENDED} AND {_STATUS} = ?")
        values.append(_stored(where.status))
    if where.longer_than_ns is not None:
        terms.append(f"({_NOT_ENDED} OR {_DURATION} >= ?)")
        values.append(as_integer(where.longer_than_ns))
    if where.trace_id is not None:
        terms.append("lower(hex(e.trace_id)) = ?")
        values.append(_stored(where.trace_id))
    return " AND ".join(terms), values


def admits(where: Where, execution: StoredExecution) -> bool:
    """Tell whether an execution is one of those that are asked for."""
    return (
        (where.since_ns is None or execution.started_ns >= where.since_ns)
        and (where.status is None or execution.status == where.status)
        and (where.longer_than_ns is None or execution.duration_ns >= where.longer_than_ns)
        and (where.name is None or matcher(where.name)(execution.name))
        and (where.trace_id is None or execution.trace_id == where.trace_id)
    )


def is_pattern(name: str) -> bool:
    """Tell whether a name that is asked for stands for more than itself."""
    return any(character in name for character in _WILD)


def literally(name: str) -> str:
    """Return what asks for exactly this name, whatever is in it."""
    return "".join(f"[{one}]" if one in _WILD else one for one in name)


def literal_in(name: str) -> str | None:
    """Return the one name that is asked for; None of a pattern (the inverse of `literally`)."""
    found = name
    for one in reversed(_WILD):
        found = found.replace(f"[{one}]", one)
    return found if literally(found) == name or not is_pattern(name) else None


def matcher(name: str) -> Callable[[str | None], bool]:
    """Return what tells whether an execution's name is as asked for (`Where.name`)."""
    wanted = _stored(name)
    if not is_pattern(wanted):
        return lambda known: known == wanted
    import re
    from fnmatch import translate

    match = re.compile(translate(wanted)).match
    return lambda known: known is not None and match(known) is not None


def _stored(name: str) -> str:
    """Return a name in the form in which it is stored (`phasetrace.attributes.text`)."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
