"""Is the configuration one that can be used?"""

from __future__ import annotations

from phasetrace.checks.finding import Finding, Level
from phasetrace.names import RESERVED
from phasetrace.redaction_rules import Rules
from phasetrace.settings import Sources


def findings(sources: Sources) -> list[Finding]:
    """Return all that is bad about the settings, or that nothing is."""
    settings, found = sources.settings, []
    for bad in sources.bad:
        if bad.is_ours:
            what = "set it right, or take it away; configure() raises because of it"
            found.append(Finding(Level.PROBLEM, "value", bad.message, what))
        else:
            found.append(Finding(Level.WARNING, "value", bad.message, "set it right"))
    for line in sources.without_effect:
        found.append(Finding(Level.WARNING, "value", line, "take it away, if that is not meant"))
    for one in sources.unknown:
        advice = "is its name spelt right? nobody reads such a variable"
        if one.meant:
            advice = f"was {one.meant} meant? nobody reads a variable of this name"
        found.append(Finding(Level.WARNING, "variable", one.name, advice))
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
