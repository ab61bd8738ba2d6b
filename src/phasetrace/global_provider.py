"""The global tracer provider: whose it is, and how ours gets along with it.

A provider that the application has installed is used as it is. Where there is none, ours is offered
to other libraries in a way that leaves `opentelemetry.trace.set_tracer_provider` to the
application, which may call it at any time later.

A provider may stand for another one, which it replaces when it is set up again: logfire's does. It
stays the global one then, and the one behind it needs our processors anew.

What an application's late call cannot change: a library that asked for a tracer in between keeps
the one from our provider, whose spans go on to the store and to our exporters.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from phasetrace import faults
from phasetrace.environment import selected_provider, standard_variables
from phasetrace.provider import TracerProvider
from phasetrace.settings import Settings
from phasetrace.switch import ProcessorSwitch

_own: Final[list[TracerProvider]] = []
_switches: Final[list[tuple[Any, ProcessorSwitch]]] = []
_behind: Final[list[tuple[Any, Any]]] = []
"""The providers that stand for another one, and the one that has been given the switch."""
_replaced: Final[list[None]] = []
"""One for each time that one of these was exchanged."""
# All are short, and compared by identity: a provider need not be hashable, nor comparable.
_following = threading.Lock()  # guards _behind


def _new_lock() -> None:
    global _following
    _following = threading.Lock()  # a thread may have held it when it forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def installed() -> Any:
    """Return the provider that is installed globally, None if there is none."""
    # get_tracer_provider() would answer with a proxy, and a proxy cannot be told apart from a
    # provider that takes no processors.
    provider = getattr(trace, "_TRACER_PROVIDER", None)
    if _behind:
        _follow(provider)
    return provider


def load_selected() -> None:
    """Install the provider that ``OTEL_PYTHON_TRACER_PROVIDER`` names, if none is installed.

    Nobody else has set that one up, so it is treated like ours: it gets the exporters that the
    environment names.
    """
    name = selected_provider()
    if name is None:
        return
    before = installed()
    try:
        with standard_variables():
            provider: Any = trace.get_tracer_provider()
    except Exception as error:  # the API logs the trace, and raises whatever there was
        faults.report(f"OTEL_PYTHON_TRACER_PROVIDER={name!r}; phasetrace's own is used", error)
        return
    ours_by_name = name == "phasetrace" and type(provider) is TracerProvider
    takes_processors = hasattr(provider, "add_span_processor")
    if takes_processors and (before is None or ours_by_name) and not is_own(provider):
        _own.append(provider)


def is_own(provider: Any) -> bool:
    """Tell whether a provider is phasetrace's to set up."""
    return any(provider is one for one in _own)


def own_provider(settings: Settings) -> TracerProvider:
    """Return phasetrace's provider with the resource of these settings; the same one every time.

    Libraries keep the tracers they got, so a new configuration has to go on with the old provider.
    """
    current = installed()
    if is_own(current) and type(current) is not TracerProvider:
        return current  # type: ignore[no-any-return]  # OTEL_PYTHON_TRACER_PROVIDER's
    given = {SERVICE_NAME: settings.service_name} if settings.service_name is not None else None
    with standard_variables():
        resource = Resource.create(given)
        for provider in _own:
            if provider.resource == resource:
                return provider
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _own.append(provider)
    return provider


def prepare(provider: TracerProvider) -> None:
    """Have a provider used where phasetrace would make one of its own (for tests)."""
    _own.append(provider)


def switch_of(provider: Any) -> ProcessorSwitch:
    """Return the switch among a provider's processors, adding it if need be."""
    for known, switch in _switches:
        if known is provider:
            return switch
    switch = ProcessorSwitch()
    behind = _stands_for(provider)
    actual(provider).add_span_processor(switch)
    _switches.append((provider, switch))
    if behind is not None:
        with _following:
            _behind.append((provider, behind))
    return switch


def replacements() -> int:
    """Return how often a provider behind another one was exchanged, as far as `installed` saw."""
    return len(_replaced)


def actual(provider: Any) -> Any:
    """Return the provider that makes the spans: the one behind, or the one itself."""
    behind = _stands_for(provider)
    return provider if behind is None else behind


def _stands_for(provider: Any) -> Any:
    """Return the SDK provider behind one that passes everything on to it; None if there is none."""
    behind = getattr(provider, "provider", None)
    return behind if isinstance(behind, sdk.TracerProvider) else None


def _follow(provider: Any) -> None:
    """Give the provider's switch to the one behind it, if that is another one by now."""
    for known, before in _behind:
        if known is provider and _stands_for(provider) is not before:
            break
    else:
        return
    with _following:
        behind = _stands_for(provider)
        for index, (known, before) in enumerate(_behind):
            if known is provider and behind is not None and behind is not before:
                behind.add_span_processor(switch_of(provider))
                _behind[index] = (provider, behind)
                _replaced.append(None)


def has_switch(provider: Any) -> bool:
    """Tell whether a provider has been given a switch."""
    return any(known is provider for known, _ in _switches)


def own_providers() -> list[TracerProvider]:
    """Return all of phasetrace's providers, whose tracers may be in use."""
    return list(_own)


def offer(provider: TracerProvider) -> None:
    """Install our provider such that other libraries find it, and the application can replace it.

    `trace.set_tracer_provider` works once. It is the application's call to make, so it is left for
    it: only the variable that it would set is set here.
    """
    if hasattr(trace, "_TRACER_PROVIDER"):
        trace._TRACER_PROVIDER = provider
    else:  # a future release that keeps it elsewhere
        trace.set_tracer_provider(provider)


def forget() -> None:
    """Forget all providers (for tests)."""
    _own.clear()
    _switches.clear()
    _behind.clear()
