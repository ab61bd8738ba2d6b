"""The standard variables that say how OTLP is sent, and which of them is in force.

Each has one for all signals and one for traces, which wins (OpenTelemetry specification, "OTLP
Exporter Configuration"). Whoever tells what went wrong names the one that is to be changed.
Nothing in here reads the environment; it is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from phasetrace.header_list import missing_values

ENDPOINT: Final = "ENDPOINT"
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_PATH: Final = "/v1/traces"
_SCHEME: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]{0,31}")
"""RFC 3986, 3.1; what is longer is no mistyped one."""
UNKNOWN_SCHEME: Final = "is neither http:// nor https://"


class Named(NamedTuple):
    """A variable, and its value; empty where it is not set."""

    name: str
    value: str = ""


class OtlpVariables(NamedTuple):
    """The variables in force. Headers are secret, and not in here."""

    endpoint: str = f"{_PREFIX}ENDPOINT"
    """What the address comes from: a variable, or a word for what a call has given."""
    is_whole: bool = False
    """The address is taken as it is; no path is added to it."""
    protocol: str = f"{_PREFIX}PROTOCOL"
    headers: str = f"{_PREFIX}HEADERS"
    has_headers: bool = False
    certificate: Named = Named(f"{_PREFIX}CERTIFICATE")
    client_certificate: Named = Named(f"{_PREFIX}CLIENT_CERTIFICATE")
    client_key: Named = Named(f"{_PREFIX}CLIENT_KEY")
    missing: str = ""
    """Which headers are sent without a value, in words that may be shown."""
    compression: Named = Named(f"{_PREFIX}COMPRESSION")


def otlp_variables(environ: Mapping[str, str], given_endpoint: str | None = None) -> OtlpVariables:
    """Return the variables in force of an environment; a call may have given the endpoint."""
    endpoint, headers = _in_force(environ, ENDPOINT), _in_force(environ, "HEADERS")
    return OtlpVariables(
        endpoint.name if given_endpoint is None else "the endpoint",
        given_endpoint is None and bool(endpoint.value) and "_TRACES_" in endpoint.name,
        _in_force(environ, "PROTOCOL").name,
        headers.name,
        bool(headers.value),
        _in_force(environ, "CERTIFICATE"),
        _in_force(environ, "CLIENT_CERTIFICATE"),
        _in_force(environ, "CLIENT_KEY"),
        missing_values(headers.value),
        _in_force(environ, "COMPRESSION"),
    )


def completed(base: str) -> str:
    """Return the address that traces go to over HTTP where only a base was named."""
    return f"{base.removesuffix('/')}{_PATH}"


def is_doubled(address: str) -> bool:
    """Whether an address has the path for traces twice: it was in the base already."""
    return address.endswith(2 * _PATH)


def lacks_path(address: str) -> bool:
    """Whether an address does not end with the usual path for traces."""
    return not address.partition("?")[0].rstrip("/").endswith(_PATH)


def unknown_scheme(address: str) -> str:
    """Return what an address begins with in place of http:// or https://; empty if it does not."""
    scheme, sign, _ = address.partition("://")
    is_one = sign and _SCHEME.fullmatch(scheme) is not None
    return f"{scheme}{sign}" if is_one and scheme.lower() not in ("http", "https") else ""


def _in_force(environ: Mapping[str, str], what: str) -> Named:
    for name in (f"{_PREFIX}TRACES_{what}", f"{_PREFIX}{what}"):
        value = environ.get(name, "").strip()
        if value:
            return Named(name, value)
    return Named(f"{_PREFIX}{what}")
