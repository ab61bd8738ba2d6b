"""The environment of this process, which nothing else in phasetrace reads or changes.

`own_environ` hands it to who makes settings of it. The other functions answer one question each, or
change what libraries and other programs are to see.
"""

from __future__ import annotations

import os
from _thread import RLock  # the modules around it are not needed to read a store
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from phasetrace.standard_values import unusable_values


def own_environ() -> Mapping[str, str]:
    """Return the environment itself: what is changed in it later is seen."""
    return os.environ


def no_trace_url() -> bool:
    """Tell whether the environment says that addresses of traces are not wanted."""
    return os.environ.get("PHASETRACE_TRACE_URL", "").strip().lower() == "off"


def colour_wanted(is_terminal: bool, flag: bool | None = None) -> bool:
    """Tell whether to colour: by the flag, ``NO_COLOR``, ``TERM=dumb``, the terminal."""
    if flag is not None:
        return flag
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("TERM") != "dumb" and is_terminal


def can_draw() -> bool:
    """Tell whether a terminal, if there is one, is one that lines can be drawn over in."""
    return os.environ.get("TERM", "") not in ("", "dumb")


def service_is_named() -> bool:
    """Tell whether a standard variable names the service."""
    return bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )


def selected_provider() -> str | None:
    """Return the provider that ``OTEL_PYTHON_TRACER_PROVIDER`` names, None if it names none."""
    return os.environ.get("OTEL_PYTHON_TRACER_PROVIDER") or None


def selected_configurator() -> str | None:
    """Return the configurator that ``OTEL_PYTHON_CONFIGURATOR`` names, None if it names none."""
    return os.environ.get("OTEL_PYTHON_CONFIGURATOR") or None


def distro_is_chosen() -> bool:
    """Tell whether ``OTEL_PYTHON_DISTRO`` names phasetrace."""
    return os.environ.get("OTEL_PYTHON_DISTRO", "").strip() == "phasetrace"


def choose_own_provider() -> bool:
    """Have ``opentelemetry-instrument`` use phasetrace's provider, if our distro was asked for.

    Returns:
        Whether it was, and nothing else says what the provider is to be.
    """
    if not distro_is_chosen() or os.environ.get("OTEL_CONFIG_FILE", "").strip():
        return False
    os.environ.setdefault("OTEL_PYTHON_TRACER_PROVIDER", "phasetrace")
    # Configurators would set up a provider of the SDK's beside it.
    os.environ.setdefault("OTEL_PYTHON_CONFIGURATOR", "phasetrace")
    return True


def inherited_carrier() -> dict[str, str]:
    """Return the environment if it may say what the process is a part of; else nothing."""
    return dict(os.environ) if "TRACEPARENT" in os.environ or "PHASETRACE" in os.environ else {}


def was_handed_on() -> bool:
    """Tell whether a process with phasetrace has started this one, in its execution."""
    return bool(os.environ.get("PHASETRACE"))


def environment() -> dict[str, str]:
    """Return the environment of this process, for another one."""
    return dict(os.environ)


def hand_to_children(variables: Mapping[str, str]) -> None:
    """Put variables into the environment of the programs that this one starts."""
    os.environ.update(variables)


def quieten_grpc() -> None:
    """Have gRPC print nothing of its own, unless the environment says otherwise.

    It does so for the whole process, and those that this one starts: only for commands that run
    nobody's program. To be called before gRPC is imported.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


_reading = RLock()  # held while variables are out of the way


@contextmanager
def standard_variables(is_grpc: bool = False) -> Iterator[None]:
    """Have OpenTelemetry read, within the block, only what can be used of its variables.

    Where all can be, which is the rule, nothing happens. Else the others are away for the moment
    that an SDK or an exporter (`is_grpc`: that for gRPC) takes to be made: it could not be made, or
    would complain of what `settings_from` has warned about. Thread-safe.
    """
    with _reading:
        unusable = unusable_values(os.environ, is_grpc)
        if unusable:
            before = {one.name: os.environ.get(one.name) for one in unusable}
            for one in unusable:
                _set(one.name, one.instead)
            try:
                yield
            finally:
                for name, value in before.items():
                    _set(name, value)
            return
    yield


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _after_fork_in_child() -> None:
    global _reading
    _reading = RLock()  # a thread may have held it when it forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
