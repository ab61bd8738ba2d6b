"""Is the configuration one that can be used?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import entry_points

from phasetrace.checks.finding import Finding, Level
from phasetrace.names import RESERVED
from phasetrace.redaction_rules import Rules
from phasetrace.settings import Sources

_SAMPLERS = "opentelemetry_traces_sampler"


def findings(sources: Sources, unknown: Sequence[str], sampler: str | None) -> list[Finding]:
    """Return all that is bad about the settings, or that nothing is.

    `unknown` are variables that look like ours and are not; `sampler` is the one that is named.
    """
    settings, found = sources.settings, []
    for bad in sources.bad:
        if bad.is_ours:
            what = "set it right, or take it away; configure() raises because of it"
            found.append(Finding(Level.PROBLEM, "value", bad.message, what))
        else:
            found.append(Finding(Level.WARNING, "value", bad.message, "set it right"))
    found += _timeout(sources)
    for name in unknown:
        advice = "is its name spelt right? phasetrace knows no such variable"
        found.append(Finding(Level.WARNING, "variable", name, advice))
    if sampler is not None:
        known = sorted({point.name for point in entry_points(group=_SAMPLERS)})
        if known and sampler not in known:
            text = f"OTEL_TRACES_SAMPLER={sampler!r}: no such sampler is installed"
            found.append(Finding(Level.WARNING, "sampler", text, f"there are {', '.join(known)}"))
    if settings.disabled:
        text = "OTEL_SDK_DISABLED is true: nothing is recorded"
        found.append(Finding(Level.WARNING, "recording", text, "unset it to record"))
    if settings.redact == Rules(secrets=False):
        text = "PHASETRACE_REDACT is off: passwords and keys in attributes are stored and sent"
        found.append(Finding(Level.WARNING, "redaction", text, "unset it, if that is not meant"))
    for name in settings.redact.names:
        if name in RESERVED:
            text = f"redacting {name!r} has no effect: traces are put together by it"
            found.append(Finding(Level.WARNING, "redaction", text, "put no secret into ids"))
    if settings.delivery == "off" and settings.exporters:
        text = "PHASETRACE_DELIVERY is off: what is recorded waits in the store"
        found.append(Finding(Level.WARNING, "delivery", text, "deliver with: phasetrace ship"))
    return found or [Finding(Level.OK, "values", "all can be used")]


def _timeout(sources: Sources) -> list[Finding]:
    """Return what is wrong with the time that OTLP's exporters, who read it, are to try for."""
    found = []
    for one in sources.values:
        if one.setting == "timeout" and not _is_time(one.shown):
            text = f"{one.source}={one.shown!r}: expected a number of seconds"
            found.append(Finding(Level.WARNING, "value", text, "set it right"))
    return found


def _is_time(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False
