"""How spans are sent: what the environment says of it beside the settings in force.

What is read here is read when an exporter is made, since an exporter of OpenTelemetry's reads the
same variables then. Headers and exporters' variables may be secret.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from phasetrace.credential_provider import PROVIDERS
from phasetrace.environment import own_environ
from phasetrace.errors import ConfigError
from phasetrace.otlp_variables import OtlpVariables, completed, lacks_path
from phasetrace.otlp_variables import otlp_variables as in_force
from phasetrace.settings import JSON_LINES, Settings, json_lines_file, unusable
from phasetrace.standard_values import in_force as usable_environ
from phasetrace.variables import EXPORTER_VARIABLES


def otlp_endpoint(settings: Settings, is_grpc: bool) -> str:
    """Return the address that OTLP goes to (OpenTelemetry, "Endpoint URLs for OTLP/HTTP").

    A base is completed, also one that a call gave, unless that has the path already; the variable
    for traces is taken as it is.
    """
    base = settings.given_endpoint
    if base is None:
        traces = own_environ().get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        if traces:
            return traces
        base = own_environ().get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        base = base or f"http://localhost:{4317 if is_grpc else 4318}"
    is_complete = settings.given_endpoint is not None and not lacks_path(base)
    return base if is_grpc or is_complete else completed(base)


def otlp_variables(settings: Settings) -> OtlpVariables:
    """Return which of the variables that say how OTLP is sent are in force."""
    return in_force(own_environ(), settings.given_endpoint)


def tls_of_grpc(address: str) -> bool | None:
    """Tell whether gRPC is to be spoken over TLS; None where the exporter has its own credentials.

    A scheme says so, else ``OTEL_EXPORTER_OTLP_INSECURE`` (OpenTelemetry, "OTLP Exporter
    Configuration").
    """
    if any(own_environ().get(name, "").strip() for name in PROVIDERS[True]):
        return None
    if address.startswith(("http://", "https://")):
        return address.startswith("https://")
    for name in ("TRACES_", ""):
        value = own_environ().get(f"OTEL_EXPORTER_OTLP_{name}INSECURE", "").strip().lower()
        if value:
            return value != "true"
    return True


def compression_is_off() -> bool:
    """Tell whether the variables say that OTLP requests are not to be compressed."""
    value = own_environ().get("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION") or own_environ().get(
        "OTEL_EXPORTER_OTLP_COMPRESSION", ""
    )
    return value.strip().lower() == "none"


def otlp_headers() -> list[str]:
    """Return the variable that says with which headers OTLP is sent, if one does; it is secret."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        value = own_environ().get(name, "").strip()
        if value:
            return [value]
    return []


def exporter_variables() -> list[str]:
    """Return what the environment says of exporters other than OTLP's; it may be secret."""
    return sorted(
        f"{name}={value}"
        for name, value in own_environ().items()
        if name.startswith("OTEL_EXPORTER_") and not name.startswith("OTEL_EXPORTER_OTLP_")
    )


_FILES: Final = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}{file}"
    for signal in ("", "TRACES_")
    for file in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
)


def shipping_environment(settings: Settings) -> dict[str, str]:
    """Return an environment in which another process has the same destinations."""
    # Which has to import the SDK before it can be told of anything.
    environ = own_environ()
    environment = usable_environ(environ, unusable(environ, settings))
    # Whatever instruments every program of this machine is not to trace that one.
    environment["OTEL_SDK_DISABLED"] = "true"
    environment["OTEL_TRACES_EXPORTER"] = ",".join(
        exporter for exporter in settings.exporters if isinstance(exporter, str)
    )
    environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = settings.protocol
    environment["PHASETRACE_REDACT"] = str(settings.redact)
    from pathlib import Path

    for name in _FILES:
        path = environment.get(name, "").strip()
        if path:
            environment[name] = str(Path(path).absolute())  # the process has another folder
    if JSON_LINES in settings.exporters:
        with suppress(ConfigError):  # which is the exporter's to raise
            environment[EXPORTER_VARIABLES[0].name] = str(json_lines_file().path)
    python_path = environment.get("PYTHONPATH")
    if python_path:
        environment["PYTHONPATH"] = os.pathsep.join(
            str(Path(folder).absolute()) for folder in python_path.split(os.pathsep)
        )
    if settings.given_endpoint is not None:
        is_grpc = settings.protocol == "grpc"
        environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = otlp_endpoint(settings, is_grpc)
    return environment
