"""Where each setting of an environment comes from, in words that may be shown to anybody.

Of headers there are names only, and addresses are without what they carry in front of their host.
Nothing in here reads the environment; it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.header_list import missing_values, shown_names, what_is_wrong
from phasetrace.otlp_variables import UNKNOWN_SCHEME, completed, is_doubled, unknown_scheme
from phasetrace.standard_names import mistyped, nearest
from phasetrace.variables import EXPORTER_VARIABLES, SOURCE_VARIABLES, VARIABLES, redacted

if TYPE_CHECKING:
    from phasetrace.settings import Settings

_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SHOWN_IF_SET: Final = (
    ("service name", ("OTEL_SERVICE_NAME",)),
    ("resource", ("OTEL_RESOURCE_ATTRIBUTES",)),
    ("sampler", ("OTEL_TRACES_SAMPLER",)),
    ("sampler's argument", ("OTEL_TRACES_SAMPLER_ARG",)),
    ("compression", ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")),
    ("timeout", ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")),
    ("certificate", ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")),
    (
        "client certificate",
        (
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        ),
    ),
    (
        "client key",
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
    ),
    ("insecure", ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE")),
    (
        "value length",
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
    ),
    ("batch size", ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE",)),
    ("queue size", ("OTEL_BSP_MAX_QUEUE_SIZE",)),
    ("batch delay", ("OTEL_BSP_SCHEDULE_DELAY",)),
    ("disabled", ("OTEL_SDK_DISABLED",)),
    ("JSON lines", ("PHASETRACE_JSONL",)),
    ("JSON lines' rotation", ("PHASETRACE_JSONL_ROTATION",)),
)
_OF_GRPC: Final = frozenset({"dns://", "unix://", "xds://"})
"""What else gRPC finds a receiver by (https://grpc.github.io/grpc/core/md_doc_naming.html)."""
_OURS: Final = "PHASETRACE_"
_UNITS: Final = {1024**2: "MB", 1024: "KB", 1: " bytes"}


class Value(NamedTuple):
    """A setting in force, as text that holds no secret."""

    setting: str
    shown: str
    source: str | None
    """The variable that it comes from; None is the default."""


class BadValue(NamedTuple):
    """A value that cannot be used: what was found, and what is expected."""

    message: str
    is_ours: bool
    """`configure` raises because of it; a standard variable is only warned about."""


class Unknown(NamedTuple):
    """A variable that nobody reads, and that looks like one that somebody does."""

    name: str
    meant: str
    """The variable that may have been meant; empty where it is like none."""


def values_of(environ: Mapping[str, str], settings: Settings) -> list[Value]:
    """Return the settings of an environment: all of our own, and the standard ones that are set."""
    shown = {
        "store": str(settings.store) if settings.store is not None else "off",
        "retention": _retention(*settings.retention),
        "delivery": settings.delivery,
        "timing": str(settings.timing) if settings.timing is not None else "off",
        "redact": str(settings.redact),
        "trace_url": redacted(settings.trace_url) if settings.trace_url is not None else "none",
    }
    values = []
    for variable in VARIABLES:
        name = variable.name if _is_usable(environ, variable.name) else None
        values.append(Value(variable.field.replace("_", " "), shown[variable.field], name))
    values += _where_to(environ, settings)
    for variable in SOURCE_VARIABLES:  # of headers
        given = environ.get(variable.name, "").strip()
        if given:
            values.append(Value("source headers", shown_names(given), variable.name))
    for setting, names in _SHOWN_IF_SET:
        name = first_set(environ, names)
        if name is not None:
            values.append(Value(setting, _shown(environ[name].strip()), name))
    return values


def unknown_variables(environ: Mapping[str, str]) -> list[Unknown]:
    """Return what looks like a variable of our own, or of OpenTelemetry's, and is none."""
    declared = (*VARIABLES, *EXPORTER_VARIABLES, *SOURCE_VARIABLES)
    known = sorted(variable.name for variable in declared)
    ours = sorted(name for name in environ if name.startswith(_OURS) and name not in known)
    return [
        *(Unknown(name, nearest(name, known)) for name in ours),
        *(Unknown(name, meant) for name, meant in mistyped(environ)),
    ]


def mistyped_names(environ: Mapping[str, str]) -> list[str]:
    """Return a line on each variable with a name that is almost one that somebody reads.

    What begins like ours and is like none is not among them: a service that is called phasetrace,
    for one, has Kubernetes set ``PHASETRACE_SERVICE_HOST``.
    """
    return [
        f"{name} is no variable of {'phasetrace' if name.startswith(_OURS) else 'OpenTelemetry'}'s;"
        f" was {meant} meant?"
        for name, meant in unknown_variables(environ)
        if meant
    ]


def bad_headers(environ: Mapping[str, str]) -> list[BadValue]:
    """Return what is wrong with the headers; none of their text, which may be secret."""
    name = first_set(environ, _HEADERS)
    if name is None:
        return []
    missing = missing_values(environ[name])
    wrong = [*what_is_wrong(environ[name]), *([missing] if missing else [])]
    return [BadValue(f"{name}: {what}", False) for what in wrong]


def bad_endpoint(environ: Mapping[str, str], protocol: str) -> list[BadValue]:
    """Return what is wrong with the address that OTLP goes to, where that is sure."""
    name = first_set(environ, _ENDPOINTS)
    if name is None:
        return []
    scheme = unknown_scheme(environ[name].strip())
    if scheme and not (protocol == "grpc" and scheme in _OF_GRPC):
        what = "begin it with http://, or with https:// if the receiver speaks TLS"
        return [BadValue(f"{name}: {scheme} {UNKNOWN_SCHEME}; {what}", False)]
    if name != _ENDPOINTS[1] or protocol == "grpc":
        return []
    address = completed(environ[name].strip())
    if not is_doubled(address):
        return []
    what = (
        f"{name} has /v1/traces at its end, and the path is added to it: spans are sent to"
        f" {redacted(address)}; take it away, or set {_ENDPOINTS[0]}, which is taken whole"
    )
    return [BadValue(what, False)]


def first_set(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """Return the first of some variables that has a value."""
    return next((name for name in names if environ.get(name, "").strip()), None)


def _where_to(environ: Mapping[str, str], settings: Settings) -> list[Value]:
    endpoint = first_set(environ, _ENDPOINTS)
    exporters = first_set(environ, ("OTEL_TRACES_EXPORTER",))
    named = ", ".join(str(exporter) for exporter in settings.exporters) or "none"
    values = [Value("exporters", named, exporters or endpoint)]
    if settings.endpoint is not None:
        values.append(Value("endpoint", redacted(settings.endpoint), endpoint))
    if any(str(exporter) == "otlp" for exporter in settings.exporters):
        told = (
            name
            for name in _PROTOCOLS
            if environ.get(name, "").strip().lower() == settings.protocol
        )
        values.append(Value("protocol", settings.protocol, next(told, None)))
    headers = first_set(environ, _HEADERS)
    if headers is not None:
        values.append(Value("headers", shown_names(environ[headers]), headers))
    return values


def _shown(text: str) -> str:
    """Return a value without secrets: in an address, or in a file that stands where its path is."""
    return redacted(text) if "-----BEGIN" not in text else "…"


def _retention(executions: int | None, size: int | None) -> str:
    limits = []
    if executions is not None:
        limits.append(f"{executions} executions")
    if size is not None:
        unit = next(one for one in _UNITS if not size % one)
        limits.append(f"{size // unit}{_UNITS[unit]}")
    return ", ".join(limits) or "off"


def _is_usable(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable of our own is set to something that makes sense."""
    value = environ.get(name, "").strip()
    variable = next(one for one in VARIABLES if one.name == name)
    if not value:
        return False
    if variable.field == "redact":  # what of it can be read is in force
        return True
    try:
        variable.read(value)
    except (ValueError, TypeError, AttributeError, RuntimeError):
        return False
    return True
