"""The settings in force: what a call gave, else the environment, else the default.

Variables of our own raise `ConfigError` on a bad value; the standard ``OTEL_*`` ones that we read
ourselves are warned about and take their default, as the OpenTelemetry specification asks. The SDK
and the exporters read the others (sampler, resource, limits, endpoints, headers, TLS) themselves;
what they could not use of them is warned about here as well, and kept out of their way
(`phasetrace.environment.standard_variables`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from phasetrace.environment import own_environ
from phasetrace.errors import ConfigError
from phasetrace.redaction_rules import Rules, usable_rules
from phasetrace.sources import (
    BadValue,
    Unknown,
    Value,
    bad_endpoint,
    bad_headers,
    unknown_variables,
    values_of,
)
from phasetrace.standard_values import Unusable, expected, unusable_values, without_effect
from phasetrace.standard_values import in_force as usable_environ
from phasetrace.variables import (
    CALL_ONLY,
    DEFAULT_RETENTION,
    DEFAULT_ROTATION,
    EXPORTER_VARIABLES,
    JSONL_FILE,
    PROTOCOLS,
    SOURCE_VARIABLES,
    read_exporters,
    read_value,
)
from phasetrace.variables import TIMING_LOG as TIMING_LOG
from phasetrace.variables import VARIABLES as VARIABLES

if TYPE_CHECKING:
    from logging import Logger
    from pathlib import Path

_Refuse = Callable[..., None]
"""Takes the error, and what is done instead, if that is not to use the default."""
_Warn = Callable[[str], None]
"""Takes a line on a standard variable."""
REDACTED_INSTEAD: Final = (
    "what cannot be used is left out; all else, and known secrets, are redacted"
)
JSON_LINES: Final = "phasetrace_jsonl"
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
    redact: Rules
    """What of attributes is neither stored nor sent."""
    trace_url: str | None
    """Where a trace can be looked at, with ``{trace_id}`` in it."""
    service_name: str | None
    disabled: bool
    max_value_length: int | None
    """Characters of one attribute value; None is phasetrace's own limit."""
    handle_signals: bool | None
    """SIGTERM and SIGHUP have everything written out before what the program does with them; None
    is so in children of multiprocessing alone, where nobody handles them."""
    given_endpoint: str | None
    """The endpoint, where a call named it and not the environment."""
    exporters_given: bool
    """A call named the exporters or the endpoint: they are wanted beside an application's own."""


class JsonLinesFile(NamedTuple):
    """The file of the exporter ``phasetrace_jsonl``."""

    path: Path
    max_bytes: int | None
    """What it may grow to; None is no limit."""
    files: int
    """How many there are at most, that one included."""


class Sources(NamedTuple):
    """The settings of an environment, and how they came about."""

    settings: Settings
    values: list[Value]
    bad: list[BadValue]
    without_effect: list[str]
    """A line on each standard variable that is set to no purpose."""
    unknown: list[Unknown]
    """Variables that look like ones that there are."""


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

    def refuse(error: ConfigError, _instead: str = "") -> None:
        raise error

    return _settings(_or_own(environ), given, refuse)


def settings_or_defaults(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of an environment, taking the default for a bad one after saying so.

    For a program that never asked to be configured: it must not fail for a setting of ours. Of what
    is to be redacted, all that can be read is in force.
    """

    def say(error: ConfigError, instead: str = "the default is used") -> None:
        _logger().error("phasetrace: %s; %s", error, instead)

    return _settings(_or_own(environ), {}, say)


def settings_with_sources(environ: Mapping[str, str] | None = None) -> Sources:
    """Return the settings of an environment, where each comes from, and all that is bad about them.

    A bad value is in the list instead of being raised or logged; its setting has the default.
    """
    environ = _or_own(environ)
    bad: list[BadValue] = []

    def refuse(error: ConfigError, _instead: str = "") -> None:
        bad.append(BadValue(str(error), is_ours=True))

    def warn(message: str) -> None:
        bad.append(BadValue(message, is_ours=False))

    settings = _settings(environ, {}, refuse, warn)
    batch_limits(environ, warn)
    if JSON_LINES in settings.exporters:
        try:
            json_lines_file(environ)
        except ConfigError as error:
            refuse(error)
    try:
        source_headers(environ)
    except ConfigError as error:
        refuse(error)
    bad += [*bad_headers(environ), *bad_endpoint(environ, settings.protocol)]
    usable = usable_environ(environ, unusable(environ, settings))
    values = values_of(usable, settings)
    return Sources(settings, values, bad, without_effect(usable), unknown_variables(environ))


def _settings(
    environ: Mapping[str, str],
    given: Mapping[str, Any],
    refuse: _Refuse,
    warn: _Warn | None = None,
) -> Settings:
    given = {field: value for field, value in given.items() if value is not None}
    names = [*(variable.field for variable in VARIABLES), *(setting.field for setting in CALL_ONLY)]
    unknown = sorted(set(given) - set(names))
    if unknown:
        refuse(ConfigError(f"unknown setting {', '.join(unknown)}; there are {', '.join(names)}"))
    values = _standard(environ, warn or _warn)
    values.update(retention=DEFAULT_RETENTION, delivery="thread", timing=None, redact=Rules())
    for variable in VARIABLES:
        source, value = variable.field, given.get(variable.field)
        if value is None:
            source, value = variable.name, environ.get(variable.name, "").strip()
        if value != "":
            try:
                values[variable.field] = read_value(variable, source, value)
            except ConfigError as error:
                if variable.field != "redact":
                    refuse(error)
                    continue
                refuse(error, REDACTED_INSTEAD)
                values["redact"] = usable_rules(value)
    for setting in CALL_ONLY:
        if setting.field in given:
            values[setting.field] = read_value(setting, setting.field, given[setting.field])
    if "endpoint" in given and "exporters" not in given:
        names = [name for name in values["exporters"] if isinstance(name, str)]
        if not any(name.startswith("otlp") for name in names):
            values["exporters"] += ("otlp",)
    if "store" not in values:
        values["store"] = default_store()
    if values["delivery"] == "process" and values["store"] is None:
        refuse(ConfigError("PHASETRACE_DELIVERY='process': expected a store to deliver from"))
        values["delivery"] = "thread"
    if "trace_url" not in values:
        values["trace_url"] = jaeger_url(values["endpoint"])
    settings = Settings(
        **values,
        given_endpoint=values["endpoint"] if "endpoint" in given else None,
        exporters_given="endpoint" in given or "exporters" in given,
    )
    for one in unusable(environ, settings):
        if one.message:
            (warn or _warn)(one.message)
    return settings


def unusable(environ: Mapping[str, str], settings: Settings) -> list[Unusable]:
    """Return the standard variables that OpenTelemetry could not use."""
    is_grpc = settings.protocol == "grpc" or "otlp_proto_grpc" in settings.exporters
    return unusable_values(environ, is_grpc)


def json_lines_file(environ: Mapping[str, str] | None = None) -> JsonLinesFile:
    """Return the file that the exporter ``phasetrace_jsonl`` is to write by the environment.

    Raises:
        ConfigError: if that names none that can be.
    """
    environ = _or_own(environ)
    file, rotation = EXPORTER_VARIABLES
    path = read_value(file, file.name, environ.get(file.name, "").strip() or JSONL_FILE)
    given = environ.get(rotation.name, "").strip()
    max_bytes, files = read_value(rotation, rotation.name, given) if given else DEFAULT_ROTATION
    return JsonLinesFile(path, max_bytes, files)


def store_path(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the store's file that the environment names, None where it is off.

    Raises:
        ConfigError: if it names none that can be.
    """
    path: Path | None = _own(_or_own(environ), "store", default_store)
    return path


def source_headers(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the headers for what is read from over HTTP; they may be secret.

    Raises:
        ConfigError: if they are none.
    """
    environ = _or_own(environ)
    (variable,) = SOURCE_VARIABLES
    given = environ.get(variable.name, "").strip()
    return read_value(variable, variable.name, given) if given else {}


def store_limits(environ: Mapping[str, str] | None = None) -> tuple[int | None, int | None]:
    """Return the most executions and bytes that the environment has the store keep.

    Raises:
        ConfigError: if it names none that can be.
    """
    limits: tuple[int | None, int | None] = _own(
        _or_own(environ), "retention", lambda: DEFAULT_RETENTION
    )
    return limits


def redaction_rules(environ: Mapping[str, str] | None = None) -> Rules:
    """Return what the environment has redacted.

    Raises:
        ConfigError: if it makes no sense.
    """
    rules: Rules = _own(_or_own(environ), "redact", Rules)
    return rules


def usable_redaction_rules() -> Rules:
    """Return what of that can be read, and known secrets at least; never raises."""
    return usable_rules(own_environ().get("PHASETRACE_REDACT", "").strip())


def default_store() -> Path:
    """Return the store in the user's state folder."""
    import platformdirs  # most of its import time is wasted where the store is named

    return platformdirs.user_state_path("phasetrace", appauthor=False) / "traces.db"


def batch_limits(
    environ: Mapping[str, str] | None = None, warn: _Warn | None = None
) -> BatchLimits:
    """Return what the ``OTEL_BSP_*`` variables say (OpenTelemetry, "Batch Span Processor").

    `warn` is told of bad values, in place of the log.
    """
    environ, warn = _or_own(environ), warn or _warn
    limits = BatchLimits(
        _above_zero(environ, "OTEL_BSP_MAX_QUEUE_SIZE", warn),
        _above_zero(environ, _BATCH_SIZE, warn),
        _above_zero(environ, "OTEL_BSP_SCHEDULE_DELAY", warn),
    )
    queue, batch, _ = limits
    if queue is not None and batch is not None and batch > queue:
        warn(expected(_BATCH_SIZE, str(batch), f"at most OTEL_BSP_MAX_QUEUE_SIZE, {queue}"))
        return limits._replace(max_export_batch_size=None)
    return limits


def _or_own(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return own_environ() if environ is None else environ


def _own(environ: Mapping[str, str], field: str, default: Callable[[], Any]) -> Any:
    """Return what a variable of our own says, or its default."""
    (variable,) = (one for one in VARIABLES if one.field == field)
    value = environ.get(variable.name, "").strip()
    return read_value(variable, variable.name, value) if value else default()


def _standard(environ: Mapping[str, str], warn: _Warn) -> dict[str, Any]:
    endpoint = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        or None
    )
    names = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    protocol = PROTOCOLS[0]
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = environ.get(name, "").strip()
        if value.lower() in PROTOCOLS:
            protocol = value.lower()
            break
        if value:
            warn(expected(name, value, f"one of {', '.join(PROTOCOLS)}"))
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower()
    if disabled not in ("", "true", "false"):
        warn(expected("OTEL_SDK_DISABLED", disabled, "true or false"))
    return {
        "endpoint": endpoint,
        "exporters": read_exporters(names) if names else (("otlp",) if endpoint else ()),
        "protocol": protocol,
        "service_name": None,
        "disabled": disabled == "true",
        "max_value_length": _length_limit(environ, warn),
        "handle_signals": None,
    }


def _above_zero(environ: Mapping[str, str], name: str, warn: _Warn) -> int | None:
    value = environ.get(name, "").strip()
    if value.isdecimal() and int(value) > 0:
        return int(value)
    if value:
        warn(expected(name, value, "a whole number above 0"))
    return None


def _length_limit(environ: Mapping[str, str], warn: _Warn) -> int | None:
    for name in ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
        value = environ.get(name, "").strip()
        if value.isdecimal():
            return int(value)
        if value and value.lower() != "unset":
            warn(expected(name, value, "a number of characters"))
    return None


def _logger() -> Logger:
    # A reading command has nothing to log, and would start a tenth more slowly for it.
    from phasetrace import faults

    return faults.logger


def _warn(message: str) -> None:
    _logger().warning("phasetrace: %s", message)


def jaeger_url(endpoint: str | None) -> str | None:
    """Guess Jaeger's page from an OTLP endpoint on its usual ports, with ``{trace_id}`` in it.

    Behind TLS is somebody's service, or a proxy: its page is elsewhere. Exporters take an endpoint
    without a scheme for one with TLS.
    """
    if endpoint is None:
        return None
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(endpoint)
        if parts.scheme != "http" or parts.port not in (4317, 4318) or not parts.hostname:
            return None
    except ValueError:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:16686/trace/{{trace_id}}"
