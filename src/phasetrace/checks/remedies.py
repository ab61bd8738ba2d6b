"""What a person can do when a receiver does not take spans, told from its answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from phasetrace.unreachable import NO_SCHEME
from phasetrace.verdict import Outcome, Verdict

_GRPC_PORT = 4317
_HTTP_PORT = 4318
_NAME_UNKNOWN = ("name or service not known", "name resolution", "dns", "nodename nor servname")
_NOT_LISTENING = ("connection refused", "cannot connect", "failed to connect", "no route to host")
_ABOUT_PATHS = ("HTTP 404", "HTTP 405")
_NO_SUCH_SERVICE = ("gRPC UNIMPLEMENTED", "gRPC NOT_FOUND")
_ABOUT_RIGHTS = ("HTTP 401", "HTTP 403", "gRPC UNAUTHENTICATED", "gRPC PERMISSION_DENIED")
_ABOUT_PROXIES = ("HTTP 407", "the proxy")
_ABOUT_TLS = ("certificate", "does not speak tls", "wrong_version_number", "ssl", "handshake")
_ABOUT_PROTOCOLS = (
    "does not speak http",
    "failed parsing http/2",
    "http1.x server",
    "received http2 header",
    "reset by peer",
    "socket closed",
    "closed connection",
)
"""What each says of a receiver of the other, or what a client says whom it has hung up on."""


def remedy(verdict: Verdict, endpoint: str, is_grpc: bool) -> str:
    """Return one line on what to do about a test span that did not arrive."""
    reason, small = verdict.reason, verdict.reason.lower()
    if verdict == NO_SCHEME:
        return "put http:// in front of it, or https:// if the receiver speaks TLS"
    if verdict.outcome is Outcome.UNAVAILABLE and not reason.startswith("HTTP "):
        if any(text in small for text in _NAME_UNKNOWN):
            return "is the host's name spelt right, and known on this machine?"
        if "does not answer" in small or "in time" in small or "deadline" in small:
            return "is the host right, and does a firewall let this through?"
        if any(text in small for text in _NOT_LISTENING):
            return "is the receiver running, there and on this port?"
    if reason.startswith(_ABOUT_RIGHTS):
        return (
            "does OTEL_EXPORTER_OTLP_HEADERS hold what the receiver wants, and is it valid still?"
        )
    crossed = _crossed(endpoint, is_grpc)
    if crossed:
        return crossed
    if any(text in small for text in _ABOUT_TLS):
        if "certificate" in small and "not trusted" in small:
            return "give the authority's certificate in OTEL_EXPORTER_OTLP_CERTIFICATE"
        return "does the receiver speak TLS? if not, begin the address with http://"
    if is_grpc and "://" not in endpoint:
        return "without http:// in front TLS is spoken: does the receiver speak it?"
    if any(text in small for text in _ABOUT_PROTOCOLS) or reason.startswith(_NO_SUCH_SERVICE):
        return _which_port(is_grpc)
    if reason.startswith(_ABOUT_PATHS):
        return (
            "is the path right? OTEL_EXPORTER_OTLP_ENDPOINT is completed by /v1/traces,"
            " OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as it is"
        )
    if small.startswith(_ABOUT_PROXIES) or reason.startswith(_ABOUT_PROXIES):
        return "is the proxy meant to be there? NO_PROXY names the hosts that need none"
    if reason.startswith("HTTP 3"):
        return "use the address that it points to"
    if "header" in small or "metadata" in small:
        return "is OTEL_EXPORTER_OTLP_HEADERS well-formed? like name=value,other=value"
    if verdict.outcome is Outcome.UNAVAILABLE:
        return "it is there, and takes nothing just now: spans wait in the store until it does"
    return "the receiver's own log should say more"


def _crossed(endpoint: str, is_grpc: bool) -> str:
    """Return what to say where the port is the usual one of the other protocol."""
    try:
        port = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").port
    except ValueError:
        return ""
    if port == (_HTTP_PORT if is_grpc else _GRPC_PORT):
        usual = "HTTP" if is_grpc else "gRPC"
        return f"port {port} is usually for {usual}: {_other_protocol(is_grpc)}"
    return ""


def _which_port(is_grpc: bool) -> str:
    if is_grpc:
        return (
            f"is this the port for OTEL_EXPORTER_OTLP_PROTOCOL=grpc (usually {_GRPC_PORT})?"
            " a receiver of http/protobuf answers like this"
        )
    return (
        f"is this the port for http/protobuf (usually {_HTTP_PORT})? a gRPC receiver answers like"
        " this, which OTEL_EXPORTER_OTLP_PROTOCOL=grpc is for"
    )


def _other_protocol(is_grpc: bool) -> str:
    if is_grpc:
        return f"use port {_GRPC_PORT}, or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    return f"use port {_HTTP_PORT}, or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
