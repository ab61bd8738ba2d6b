"""Credential providers: they have an OTLP exporter say who sends, by tokens that they renew.

A package brings them, an official exporter (since 1.37) finds one by the name that a variable has.
Where there is none of that name, it says neither which variable nor which package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phasetrace.variables import redacted

GROUP: Final = "opentelemetry_otlp_credential_provider"
PROVIDERS: Final = {
    is_grpc: tuple(
        f"OTEL_PYTHON_EXPORTER_OTLP_{protocol}_{signal}CREDENTIAL_PROVIDER"
        for signal in ("", "TRACES_")
    )
    for is_grpc, protocol in ((False, "HTTP"), (True, "GRPC"))
}
"""The variables, by whether OTLP goes over gRPC; the exporters have the first one win."""
_PACKAGES: Final = dict.fromkeys(
    ("gcp_http_credentials", "gcp_grpc_credentials"),
    "opentelemetry-exporter-credential-provider-gcp",
)
"""Source: https://pypi.org/project/opentelemetry-exporter-credential-provider-gcp/."""


def missing_provider(environ: Mapping[str, str], is_grpc: bool) -> str:
    """Return a line on the provider that is named and not installed; empty if there is none."""
    variable = next((one for one in PROVIDERS[is_grpc] if environ.get(one, "").strip()), None)
    if variable is None:
        return ""
    from importlib.metadata import entry_points  # dear, and hardly ever needed

    name = environ[variable].strip()
    installed = sorted({point.name for point in entry_points(group=GROUP)})
    if name in installed:
        return ""
    what = f"there are {', '.join(installed)}" if installed else "there is none"
    if name in _PACKAGES:
        what = f"install {_PACKAGES[name]}"
    return f"{variable}={redacted(repr(name))}: no such credential provider is installed; {what}"
