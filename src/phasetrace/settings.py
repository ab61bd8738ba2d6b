"""Every setting of phasetrace: its variable, its default, and how its text is read.

This is the only module that reads ``os.environ``. Variables of our own raise `ConfigError` on a bad
value; the standard ``OTEL_*`` ones that we read ourselves are warned about and take their default,
as the OpenTelemetry specification asks. The SDK and the exporters read the others (sampler,
resource, limits, endpoints, headers, TLS) themselves.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from phasetrace.errors import ConfigError

DEFAULT_RETENTION: Final = (500, 512 * 1024 * 1024)
TIMING_LOG: Final = Path(".logs") / "phasetrace.log"

_SIZES: Final = {"KB": 1024, "MB": 1024**2, "GB": 1024**3}
_TRUE: Final = frozenset({"1", "true", "on", "yes"})
_FALSE: Final = frozenset({"0", "false", "off", "no"})
_PROTOCOLS: Final = ("http/protobuf", "grpc")

logger = logging.getLogger("phasetrace")


class Settings(NamedTuple):
    """The settings in force."""

    store: Path | None
    """The store's file; None is no store."""
    retention: tuple[int | None, int | None]
    """The most executions and bytes that the store keeps."""
    delivery: str
    timing: Path | None
    """The file of the TIMING log; None is no log."""
    exporters: tuple[str, ...]
    """Names in the entry-point group ``opentelemetry_traces_exporter``."""
    protocol: str
    endpoint: str | None
    """The OTLP endpoint that was named, if one was."""
    given_endpoint: str | None
    """The same, where a call named it and not the environment."""
    trace_url: str | None
    """Where a trace can be looked at, with ``{trace_id}`` in it."""
    service_name: str | None
    disabled: bool
    max_value_length: int | None
    """Characters of one attribute value; None is phasetrace's own limit."""


class Variable(NamedTuple):
    """One environment variable of phasetrace's own."""

    name: str
    field: str
    read: Callable[[str], Any]
    expected: str
    meaning: str


def _read_store(value: str) -> Path | None:
    if value.lower() in _FALSE:
        return None
    return Path(value).expanduser()


def _read_retention(value: str) -> tuple[int | None, int | None]:
    executions: int | None = None
    size: int | None = None
    if value.lower() in _FALSE:
        return None, None
    for part in value.split(","):
        count = re.fullmatch(r"\s*(\d+)\s*executions?\s*", part, re.IGNORECASE)
        amount = re.fullmatch(r"\s*(\d+)\s*(KB|MB|GB)\s*", part, re.IGNORECASE)
        if count:
            executions = int(count[1])
        elif amount:
            size = int(amount[1]) * _SIZES[amount[2].upper()]
        else:
            raise ValueError(part)
    return executions, size


def _read_delivery(value: str) -> str:
    if value.lower() not in ("thread", "off"):
        raise ValueError(value)
    return value.lower()


def _read_timing(value: str) -> Path | None:
    if value.lower() in _FALSE:
        return None
    return TIMING_LOG if value.lower() in _TRUE else Path(value).expanduser()


def _read_trace_url(value: str) -> str | None:
    if value.lower() in _FALSE:
        return None
    if "{trace_id}" not in value:
        raise ValueError(value)
    return value


VARIABLES: Final = (
    Variable(
        "PHASETRACE_STORE",
        "store",
        _read_store,
        "the path of a file, or off",
        "where executions and spans are kept; default: in the user's state folder",
    ),
    Variable(
        "PHASETRACE_RETENTION",
        "retention",
        _read_retention,
        "like '500 executions, 512MB', either part alone, or off",
        "how much the store keeps; the oldest finished executions go first",
    ),
    Variable(
        "PHASETRACE_DELIVERY",
        "delivery",
        _read_delivery,
        "thread or off",
        "whether exporters are fed, by a background thread",
    ),
    Variable(
        "PHASETRACE_TIMING",
        "timing",
        _read_timing,
        "on, off, or the path of a file",
        f"the TIMING log, a line a phase; on writes {TIMING_LOG}",
    ),
    Variable(
        "PHASETRACE_TRACE_URL",
        "trace_url",
        _read_trace_url,
        "an address with {trace_id} in it, or off",
        "what is printed after an export; default: Jaeger's page on the OTLP endpoint's host",
    ),
)


def settings_from(environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings of an environment (default: this process's), explicit ones winning.

    `given` takes the fields of `Settings`, as their values or in the variables' text form; None is
    not given.

    Raises:
        ConfigError: naming the setting, the value and what is expected.
    """
    environ = os.environ if environ is None else environ
    unknown = set(given) - set(Settings._fields)
    if unknown:
        raise ConfigError(
            f"unknown setting {', '.join(sorted(unknown))}; there are {', '.join(Settings._fields)}"
        )
    values: dict[str, Any] = _standard(environ)
    for variable in VARIABLES:
        value = given.get(variable.field)
        if value is None:
            value, source = environ.get(variable.name, "").strip(), variable.name
        else:
            source = variable.field
        if value is False:
            value = "off"
        elif value is True:
            value = "on"
        if isinstance(value, str):
            if value:
                values[variable.field] = _read(variable, source, value)
        else:
            values[variable.field] = value
    for field, value in given.items():
        if value is not None and field not in {variable.field for variable in VARIABLES}:
            values[field] = _names(value) if field == "exporters" else value
    if values["protocol"] not in _PROTOCOLS:
        raise ConfigError(
            f"protocol={values['protocol']!r}: expected one of {', '.join(_PROTOCOLS)}"
        )
    if "store" not in values:
        values["store"] = default_store()
    values.setdefault("retention", DEFAULT_RETENTION)
    values.setdefault("delivery", "thread")
    values.setdefault("timing", None)
    if "trace_url" not in values:
        values["trace_url"] = _jaeger_url(values["endpoint"], values["protocol"])
    values["given_endpoint"] = given.get("endpoint")
    if values["given_endpoint"] and not values["exporters"] and given.get("exporters") is None:
        values["exporters"] = ("otlp",)
    return Settings(**values)


def settings_or_defaults(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of an environment, taking the default for a bad one after saying so.

    For a program that never asked to be configured: it must not fail for a setting of ours.
    """
    sound = dict(os.environ if environ is None else environ)
    while True:
        try:
            return settings_from(sound)
        except ConfigError as error:
            logger.error("phasetrace: %s; the default is used", error)
            bad = next(variable.name for variable in VARIABLES if variable.name in str(error))
            del sound[bad]


def store_path(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the store's file that the environment names, None where it is off."""
    environ = os.environ if environ is None else environ
    value = environ.get("PHASETRACE_STORE", "").strip()
    return _read_store(value) if value else default_store()


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


def provider_selected() -> bool:
    """Tell whether ``OTEL_PYTHON_TRACER_PROVIDER`` names a provider to load."""
    return bool(os.environ.get("OTEL_PYTHON_TRACER_PROVIDER"))


def batch_limits_given() -> frozenset[str]:
    """Return which of the SDK's ``OTEL_BSP_*`` variables are set."""
    return frozenset(name for name in os.environ if name.startswith("OTEL_BSP_"))


def _read(variable: Variable, source: str, value: str) -> Any:
    try:
        return variable.read(value)
    except ValueError:
        raise ConfigError(f"{source}={value!r}: expected {variable.expected}") from None


def _standard(environ: Mapping[str, str]) -> dict[str, Any]:
    endpoint = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        or None
    )
    names = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    protocol = _PROTOCOLS[0]
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = environ.get(name, "").strip()
        if value in _PROTOCOLS:
            protocol = value
            break
        if value:
            logger.warning(
                "%s=%r is not one of %s; using %s", name, value, ", ".join(_PROTOCOLS), protocol
            )
    return {
        "endpoint": endpoint,
        "exporters": _names(names) if names else (("otlp",) if endpoint else ()),
        "protocol": protocol,
        "service_name": None,
        "disabled": environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true",
        "max_value_length": _length_limit(environ),
    }


def _names(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    stripped = (str(name).strip() for name in names)
    return tuple(dict.fromkeys(name for name in stripped if name and name.lower() != "none"))


def _length_limit(environ: Mapping[str, str]) -> int | None:
    for name in ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
        value = environ.get(name, "").strip()
        if value.isdigit():
            return int(value)
    return None


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
