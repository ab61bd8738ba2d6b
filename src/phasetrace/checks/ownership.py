"""Whose is the tracer provider that phases are made through, in this environment?"""

from __future__ import annotations

from importlib.metadata import entry_points

from phasetrace.checks.finding import Finding, Level
from phasetrace.environment import selected_configurator, selected_provider
from phasetrace.global_provider import installed

_PROVIDERS = "opentelemetry_tracer_provider"
_CONFIGURATORS = "opentelemetry_configurator"
_OURS = "phasetrace"


def findings() -> list[Finding]:
    """Return who sets the provider, and who would under ``opentelemetry-instrument``."""
    provider, name = installed(), selected_provider()
    found = []
    if provider is not None:
        kind = f"{type(provider).__module__}.{type(provider).__qualname__}"
        text = f"{kind}, installed before the program starts: phases are made through it"
        found.append(Finding(Level.OK, "provider", text))
    else:
        found.append(_selected(name))
    chosen = selected_configurator()
    configurators = [
        point.name
        for point in entry_points(group=_CONFIGURATORS)
        if chosen is None or point.name == chosen
    ]
    if configurators and provider is None:
        is_overruled = name == _OURS
        text = (
            f"under opentelemetry-instrument {', '.join(sorted(configurators))} sets a provider"
            f" of the SDK's{', whatever OTEL_PYTHON_TRACER_PROVIDER says' if is_overruled else ''}"
        )
        level = Level.WARNING if is_overruled else Level.OK
        advice = "keep it out with OTEL_PYTHON_CONFIGURATOR=none" if is_overruled else ""
        found.append(Finding(level, "configurator", text, advice))
    elif chosen is not None and provider is None:
        text = f"OTEL_PYTHON_CONFIGURATOR={chosen!r} keeps out what else would set a provider"
        found.append(Finding(Level.OK, "configurator", text))
    return found


def _selected(name: str | None) -> Finding:
    if name is None:
        text = "phasetrace's own, unless the program sets one"
        return Finding(Level.OK, "provider", text)
    known = sorted({point.name for point in entry_points(group=_PROVIDERS)})
    if name not in known:
        text = f"OTEL_PYTHON_TRACER_PROVIDER={name!r}: no such provider is installed"
        return Finding(Level.PROBLEM, "provider", text, f"there are {', '.join(known)}")
    if name == _OURS:
        text = "phasetrace's own, also in programs that never import it"
        return Finding(Level.OK, "provider", text)
    text = f"{name}, which OTEL_PYTHON_TRACER_PROVIDER names: phases are made through it"
    return Finding(Level.OK, "provider", text)
