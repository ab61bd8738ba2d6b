"""What a run says of work that was outside of the program's executions.

Phases without an execution belong to the run's own; OpenTelemetry's spans without one are counted
nowhere. Neither is wrong, and neither is what somebody expects who has just begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli.recorded import MOST_COMPARED, stored_executions
from phasetrace.errors import PhasetraceError
from phasetrace.rendering import safe
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from phasetrace.configuration import Tracing

_AROUND_MAIN: Final = """put 'with phasetrace.execution(name="main"):' around your main"""


def about_strays(store: Path | None, own: str, exec_ids: Sequence[str]) -> str | None:
    """Return what there is to say of calls that are the run's though an execution was open.

    `own` is the id of the run's own execution, which has calls. None where there are no such calls,
    and where no store tells.
    """
    if store is None:
        return None
    others = [one for one in exec_ids[-MOST_COMPARED:] if one != own]
    try:
        with StoreReader(store) as reader:
            found = reader.strays(reader.find(own), stored_executions(reader, others))
    except (PhasetraceError, OSError):
        return None
    if found is None:
        return None
    whose = [safe(one) for one in found.executions]
    outside = f"{whose[0]} while it was open"
    if len(whose) > 1:
        outside = f"{len(whose):,} executions while these were open"
    return (
        f"{_calls(found.calls)} ran outside of {outside}, and belong to the run's own execution:"
        " carry the context with phasetrace.propagate (executor, wrap)"
    )


def why_nothing(tracing: Tracing) -> str:
    """Return why a run has no executions, and what to do about it."""
    outside = tracing.collector.spans_outside
    if outside:
        seen = f"{outside:,} span{'' if outside == 1 else 's'} of OpenTelemetry"
        return f"{seen} outside of any execution; they count from inside one: {_AROUND_MAIN}"
    if _provider_of_the_program() is not None:
        how = f"when the provider is set, {_AROUND_MAIN}"
        return f"spans of OpenTelemetry count from inside an execution: {how}"
    hint = 'with phasetrace.phase("load"): ...'
    return f"no phases were recorded in this process; time some: {hint}"


def about_provider() -> str | None:
    """Return what there is to say of a tracer provider that nothing here has come to know of.

    It is looked for where a phase or an execution begins. None where there is no such provider.
    """
    from phasetrace import global_provider

    provider = _provider_of_the_program()
    if provider is None or global_provider.has_switch(provider):
        return None
    if getattr(provider, "pipeline", None) is not None:  # one of phasetrace's kind
        return None
    return (
        "the spans of the program's own tracer provider were not counted, as nothing was started"
        " after it was set: set it before the execution begins"
    )


def _provider_of_the_program() -> Any:
    """Return the provider that the program has set, if it is one that tells of its spans."""
    from phasetrace import global_provider

    provider = global_provider.installed()
    is_theirs = hasattr(provider, "add_span_processor") and not global_provider.is_own(provider)
    return provider if is_theirs else None


def _calls(calls: Mapping[str, int]) -> str:
    """Return how many calls there were, and of what: those of which there were most are named."""
    number = sum(calls.values())
    name = safe(next(iter(calls)))
    others = len(calls) - 1
    more = f" and {others} other{'' if others == 1 else 's'}" if others else ""
    return f"{number:,} call{'' if number == 1 else 's'} of '{name}'{more}"
