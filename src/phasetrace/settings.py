"""The settings in force: what a call gave, else the environment, else the default.

This is the only module that reads ``os.environ``. Variables of our own raise `ConfigError` on a bad
value; the standard ``OTEL_*`` ones that we read ourselves are warned about and take their default,
as the OpenTelemetry specification asks. The SDK and the exporters read the others (sampler,
resource, limits, endpoints, headers, TLS) themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from phasetrace.errors import ConfigError
from phasetrace.variables import CALL_ONLY, DEFAULT_RETENTION, PROTOCOLS, read_exporters, read_value
from phasetrace.variables import TIMING_LOG as TIMING_LOG
from phasetrace.variables import VARIABLES as VARIABLES

if TYPE_CHECKING:
    from logging import Logger
    from pathlib import Path

_Refuse = Callable[[ConfigError], None]
_BATCH_SIZE: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"


class Settings(NamedTuple):
    """The settings in force."""

    store: Path | None
    """The store's file; None is no store."""
    retention: tuple[int | None, int | None]
    """The most executions and bytes that the store keeps."""
    delivery: str
    timing: Path | None
    """The file of the TIMING log; None is no log."""
    exporters: tuple[Any, ...]
    """Names in the entry-point group ``opentelemetry_traces_exporter``, and exporters as such."""
    protocol: str
    endpoint: str | None
    """The OTLP endpoint that was named, if one was."""
    trace_url: str | None
    """Where a trace can be looked at, with ``{trace_id}`` in it."""
    service_name: str | None
    disabled: bool
    max_value_length: int | None
    """Characters of one attribute value; None is phasetrace's own limit."""
    given_endpoint: str | None
    """The endpoint, where a call named it and not the environment."""
    exporters_given: bool
    """A call named the exporters or the endpoint: they are wanted beside an application's own."""


class BatchLimits(NamedTuple):
    """What is said of batches; None where nothing, or nothing that makes sense, is."""

    max_queue_size: int | None = None
    max_export_batch_size: int | None = None
    schedule_delay_ms: int | None = None


def settings_from(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings of an environment (default: this process's), explicit ones winning.

    `given` takes fields of `Settings`, as their values or in the variables' text form; None is not
    given.

    Raises:
        ConfigError: naming the setting, the value and what is expected.
    """

    def refuse(error: ConfigError) -> None:
        raise error

    return _settings(os.environ if environ is None else environ, given, refuse)


def settings_or_defaults(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of an environment, taking the default for a bad one after saying so.

    For a program that never asked to be configured: it must not fail for a setting of ours.
    """

    def say(error: ConfigError) -> None:
        _logger().error("phasetrace: %s; the default is used", error)

    return _settings(os.environ if environ is None else environ, {}, say)


def _settings(environ: Mapping[str, str], given: Mapping[str, Any], refuse: _Refuse) -> Settings:
    given = {field: value for field, value in given.items() if value is not None}
    names = [*(variable.field for variable in VARIABLES), *(setting.field for setting in CALL_ONLY)]
    unknown = sorted(set(given) - set(names))
    if unknown:
        refuse(ConfigError(f"unknown setting {', '.join(unknown)}; there are {', '.join(names)}"))
    values = _standard(environ)
    values.update(retention=DEFAULT_RETENTION, delivery="thread", timing=None)
    for variable in VARIABLES:
        source, value = variable.field, given.get(variable.field)
        if value is None:
            source, value = variable.name, environ.get(variable.name, "").strip()
        if value != "":
            try:
                values[variable.field] = read_value(variable, source, value)
            except ConfigError as error:
                refuse(error)
    for setting in CALL_ONLY:
        if setting.field in given:
            values[setting.field] = read_value(setting, setting.field, given[setting.field])
    if "endpoint" in given and "exporters" not in given:
        names = [name for name in values["exporters"] if isinstance(name, str)]
        if not any(name.startswith("otlp") for name in names):
            values["exporters"] += ("otlp",)
    if "store" not in values:
        values["store"] = default_store()
    if "trace_url" not in values:
        values["trace_url"] = _jaeger_url(values["endpoint"], values["protocol"])
    return Settings(
        **values,
        given_endpoint=values["endpoint"] if "endpoint" in given else None,
        exporters_given="endpoint" in given or "exporters" in given,
    )


def store_path(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the store's file that the environment names, None where it is off.

    Raises:
        ConfigError: if it names none that can be.
    """
    environ = os.environ if environ is None else environ
    variable = VARIABLES[0]
    value = environ.get(variable.name, "").strip()
    path: Path | None = read_value(variable, variable.name, value) if value else default_store()
    return path


def default_store() -> Path:
    """Return the store in the user's state folder."""
    import platformdirs  # most of its import time is wasted where the store is named

    return platformdirs.user_state_path("phasetrace", appauthor=False) / "traces.db"


def colour_wanted(is_terminal: bool, flag: bool | None = None) -> bool:
    """Tell whether to colour: by the flag, ``NO_COLOR``, ``TERM=dumb``, the terminal."""
    if flag is not None:
        return flag
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("TERM") != "dumb" and is_terminal


def service_is_named() -> bool:
    """Tell whether a standard variable names the service."""
    return bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )


def selected_provider() -> str | None:
    """Return the provider that ``OTEL_PYTHON_TRACER_PROVIDER`` names, None if it names none."""
    return os.environ.get("OTEL_PYTHON_TRACER_PROVIDER") or None


def batch_limits(environ: Mapping[str, str] | None = None) -> BatchLimits:
    """Return what the ``OTEL_BSP_*`` variables say (OpenTelemetry, "Batch Span Processor")."""
    environ = os.environ if environ is None else environ
    limits = BatchLimits(
        _above_zero(environ, "OTEL_BSP_MAX_QUEUE_SIZE"),
        _above_zero(environ, _BATCH_SIZE),
        _above_zero(environ, "OTEL_BSP_SCHEDULE_DELAY"),
    )
    queue, batch, _ = limits
    if queue is not None and batch is not None and batch > queue:
        _warn(_BATCH_SIZE, str(batch), f"at most OTEL_BSP_MAX_QUEUE_SIZE, {queue}")
        return limits._replace(max_export_batch_size=None)
    return limits


def compression_is_off() -> bool:
    """Tell whether the variables say that OTLP requests are not to be compressed."""
    value = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION") or os.environ.get(
        "OTEL_EXPORTER_OTLP_COMPRESSION", ""
    )
    return value.strip().lower() == "none"


def _standard(environ: Mapping[str, str]) -> dict[str, Any]:
    endpoint = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        or None
    )
    names = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    protocol = PROTOCOLS[0]
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = environ.get(name, "").strip()
        if value in PROTOCOLS:
            protocol = value
            break
        if value:
            _warn(name, value, f"one of {', '.join(PROTOCOLS)}")
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower()
    if disabled not in ("", "true", "false"):
        _warn("OTEL_SDK_DISABLED", disabled, "true or false")
    return {
        "endpoint": endpoint,
        "exporters": read_exporters(names) if names else (("otlp",) if endpoint else ()),
        "protocol": protocol,
        "service_name": None,
        "disabled": disabled == "true",
        "max_value_length": _length_limit(environ),
    }


def _above_zero(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "").strip()
    if value.isdecimal() and int(value) > 0:
        return int(value)
    if value:
        _warn(name, value, "a whole number above 0")
    return None


def _length_limit(environ: Mapping[str, str]) -> int | None:
    for name in ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
        value = environ.get(name, "").strip()
        if value.isdecimal():
            return int(value)
        if value and value.lower() != "unset":
            _warn(name, value, "a number of characters")
    return None


def _logger() -> Logger:
    # A reading command has nothing to log, and would start a tenth more slowly for it.
    from phasetrace import faults

    return faults.logger


def _warn(name: str, value: str, expected: str) -> None:
    _logger().warning("phasetrace: %s=%r: expected %s; the default is used", name, value, expected)


def _jaeger_url(endpoint: str | None, protocol: str) -> str | None:
    """Guess Jaeger's page from an OTLP endpoint on its usual ports."""
    if endpoint is None:
        return None
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        if parts.port not in (4317, 4318) or not parts.hostname:
            return None
    except ValueError:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:16686/trace/{{trace_id}}"
