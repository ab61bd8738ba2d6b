"""What a person can do when a receiver does not take spans, told from its answer."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from phasetrace.otlp_variables import UNKNOWN_SCHEME, OtlpVariables, is_doubled, lacks_path
from phasetrace.tls_files import about_files
from phasetrace.unreachable import NO_ADDRESS, NO_SCHEME
from phasetrace.verdict import Outcome, Verdict

_GRPC_PORT: Final = 4317
_HTTP_PORT: Final = 4318
_JAEGERS_PAGE: Final = 16686
_NO_NUMBER: Final = -1
_NAME_UNKNOWN: Final = (
    "name or service not known",
    "name resolution",
    "dns",
    "domain name not found",
    "nodename nor servname",
)
_NOT_LISTENING: Final = (
    "connection refused",
    "cannot connect",
    "failed to connect",
    "no route to host",
)
_SLOW: Final = ("does not answer", "in time", "deadline")
_ABOUT_PATHS: Final = ("HTTP 404", "HTTP 405")
_NO_SUCH_SERVICE: Final = ("gRPC UNIMPLEMENTED", "gRPC NOT_FOUND")
_ABOUT_RIGHTS: Final = ("HTTP 401", "HTTP 403", "gRPC UNAUTHENTICATED", "gRPC PERMISSION_DENIED")
_ABOUT_THE_ACCOUNT: Final = "HTTP 402"
_ABOUT_THE_NETWORK: Final = "HTTP 511"
_NO_RECEIVER: Final = ("HTTP 501", "HTTP 505")
_ABOUT_SIZE: Final = "HTTP 413"
_ABOUT_THE_FORM: Final = ("HTTP 400", "HTTP 406", "HTTP 415", "HTTP 422")
_ABOUT_PROXIES: Final = ("HTTP 407", "the proxy")
_UNTRUSTED: Final = "is not trusted"
_OTHER_HOST: Final = "is for another host"
_LOGIN: Final = ("login", "logon", "signin", "sign-in", "sign_in", "sso", "oauth", "auth/")
"""What is in the address of a page to log in at."""
_HUNG_UP: Final = ("reset by peer", "broken pipe", "eof occurred", "ended the connection")
"""How a client meets a receiver that has not told it why."""
_WANTS_CLIENT: Final = "wants a client certificate"
_NO_TLS: Final = "does not speak tls"
_ABOUT_TLS: Final = (
    "certificate",
    "private key",
    "invalid path",
    "does not speak tls",
    "ssl",
    "handshake",
)
_WANTS_TLS: Final = "speaks tls"
_ABOUT_PROTOCOLS: Final = (
    "does not speak http",
    "does not speak grpc",
    "in place of grpc",
    "failed parsing http/2",
    "http1.x server",
    "received http2 header",
    "reset by peer",
    "socket closed",
    "ended the connection",
    "closed connection",
)
"""What each says of a receiver of the other, or what a client says whom it has hung up on."""
_DEFAULTS: Final = OtlpVariables()
_NAMED: Final = r"(?:the endpoint|\S+)"
_OTHERWISE: Final = re.compile(
    rf".*; (?:put http:// in front of it in {_NAMED}|the port in {_NAMED} has to be a number"
    rf"|set {_NAMED} to one like|16686 is Jaeger's page|port \d+ is usually for"
    rf"|that is a login page|begin {_NAMED} with https?://|if what it points to is the receiver"
    rf"|does {_NAMED} name the receiver, and not|does {_NAMED} name a receiver of OTLP\? this"
    rf"|{_NAMED} has to name a host|without http:// in front of {_NAMED}|is the path right\?"
    rf"|/v1/traces is added to|is {_NAMED} well-formed\?|are the user and the password in"
    rf"|it wants to know who sends|does {_NAMED} hold what|\S+_HEADERS: \S)"
    r"|(?!no answer from |gRPC UNAVAILABLE).*; is this the port for"
)
"""What `explained` returns where the advice is about the address, the protocol or the headers,
which are what tells one destination from another. What may be right as it is (nobody listens, a
connection ends, a certificate is unknown, a proxy is away) is not among it."""


def remedy(
    verdict: Verdict, endpoint: str, is_grpc: bool, variables: OtlpVariables = _DEFAULTS
) -> str:
    """Return one line on what to do about a test span that did not arrive."""
    mistake = what_to_change(verdict, endpoint, is_grpc, variables)
    if mistake:
        return mistake
    if verdict.outcome is Outcome.UNAVAILABLE:
        return "it is there, and takes nothing just now: spans wait in the store until it does"
    return "the receiver's own log should say more"


def explained(
    verdict: Verdict, endpoint: str, is_grpc: bool, variables: OtlpVariables = _DEFAULTS
) -> str:
    """Return one line on why spans did not arrive, and what to change, where anything is."""
    advice = what_to_change(verdict, endpoint, is_grpc, variables)
    return f"{verdict.reason.rstrip('.')}; {advice}" if advice else verdict.reason


def is_sent_wrongly(explanation: str) -> bool:
    """Tell whether what `explained` returned asks for another address, protocol or headers.

    Then what waits for the destination will never be taken there: mended, it is another one. A
    store keeps the line and nothing else of why spans did not arrive.
    """
    return _OTHERWISE.match(explanation) is not None


def what_to_change(
    verdict: Verdict, endpoint: str, is_grpc: bool, variables: OtlpVariables = _DEFAULTS
) -> str:
    """Return what to look at, and the variable; empty where nothing seems to be set wrongly."""
    reason, small, one = verdict.reason, verdict.reason.lower(), variables
    if verdict == NO_SCHEME:
        return f"put http:// in front of it in {one.endpoint}, or https:// if it speaks TLS"
    if reason.endswith(UNKNOWN_SCHEME):
        return f"begin {one.endpoint} with http://, or with https:// if it speaks TLS"
    if _port(endpoint) == _NO_NUMBER:
        return f"the port in {one.endpoint} has to be a number up to 65535"
    if reason.startswith(NO_ADDRESS):
        return f"set {one.endpoint} to one like http://host:{_HTTP_PORT}"
    if _port(endpoint) == _JAEGERS_PAGE:
        return (
            f"{_JAEGERS_PAGE} is Jaeger's page; name the port for OTLP in {one.endpoint}:"
            f" {_HTTP_PORT}, or {_GRPC_PORT} with {one.protocol}=grpc"
        )
    if reason.startswith(_ABOUT_PROXIES):
        which = "grpc_proxy, https_proxy or http_proxy" if is_grpc else "HTTPS_PROXY or HTTP_PROXY"
        return f"{which} names the proxy; NO_PROXY names the hosts that need none"
    if verdict.outcome is Outcome.UNAVAILABLE and not reason.startswith("HTTP "):
        nobody = _nobody_there(small, one.endpoint)
        if nobody:
            return nobody
    if reason.startswith(_ABOUT_RIGHTS):
        return _who_sends(endpoint, is_grpc, one)
    if reason.startswith(_ABOUT_THE_ACCOUNT):
        return "whoever runs the receiver wants to be paid: is the account's quota used up?"
    if reason.startswith(_ABOUT_THE_NETWORK):
        return "this network wants somebody to log in before it lets anything through"
    crossed = _crossed(endpoint, is_grpc, one)
    if crossed:
        return crossed
    if reason.startswith("HTTP 3"):
        return _where_to(reason, endpoint, one)
    if "a web page" in small:
        return f"does {one.endpoint} name the receiver, and not a login page or proxy before it?"
    if _WANTS_TLS in small:
        return f"begin {one.endpoint} with https://"
    if _is_about_tls(small, endpoint, is_grpc):
        return _about_tls(small, endpoint, is_grpc, one)
    if is_grpc and "://" not in endpoint:
        return f"without http:// in front of {one.endpoint} TLS is spoken: does the receiver?"
    if any(text in small for text in _ABOUT_PROTOCOLS) or reason.startswith(_NO_SUCH_SERVICE):
        return _which_port(is_grpc, one, endpoint)
    if reason.startswith(_NO_RECEIVER):
        return f"does {one.endpoint} name a receiver of OTLP? this server takes no such request"
    if reason.startswith(_ABOUT_PATHS):
        return _which_path(endpoint, one)
    if "header" in small or "metadata" in small:
        return f"is {one.headers} well-formed? like name=value,other=value"
    if verdict.outcome is Outcome.TOO_LARGE:
        return (
            "a single span is more than it takes: raise its limit, or lower"
            " OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        )
    if reason.startswith(_ABOUT_SIZE):
        return (
            "even a small request is more than it takes: raise its limit, or that of a proxy"
            " before it"
        )
    if reason.startswith(_ABOUT_THE_FORM):
        return _what_form(one)
    return ""


def _who_sends(endpoint: str, is_grpc: bool, variables: OtlpVariables) -> str:
    one = variables
    if one.missing:
        return f"{one.headers}: {one.missing}"
    if "@" in endpoint and not is_grpc:  # which sends no user
        also = f" (they win over an authorization in {one.headers})" if one.has_headers else ""
        return f"are the user and the password in {one.endpoint} right?{also}"
    if not one.has_headers:
        return f"it wants to know who sends: set {one.headers}, which is not set"
    return f"does {one.headers} hold what the receiver wants, and is it valid still?"


def _where_to(reason: str, endpoint: str, variables: OtlpVariables) -> str:
    """Return what to do about a receiver that sends one on."""
    one = variables
    target = reason.rpartition(": to ")[2]
    if any(text in target.lower() for text in _LOGIN):
        return (
            f"that is a login page: {one.endpoint} has to name the receiver itself, and not a proxy"
            " in front of it"
        )
    if target.startswith("https://") and endpoint.startswith("http://"):
        return f"begin {one.endpoint} with https://"
    return f"if what it points to is the receiver, set {one.endpoint} to that"


def _what_form(variables: OtlpVariables) -> str:
    """Return what to look at where a receiver finds the request itself wrong."""
    one = variables
    packed = one.compression.value.lower() in ("gzip", "deflate")
    unpacks = f", and {one.compression.name}={one.compression.value}" if packed else ""
    return (
        f"does {one.endpoint} name a receiver of OTLP that takes protobuf{unpacks}? its own log"
        " should say more"
    )


def _nobody_there(small: str, variable: str) -> str:
    if any(text in small for text in _NAME_UNKNOWN):
        return f"is the host's name in {variable} spelt right, and known on this machine?"
    if any(text in small for text in _SLOW):
        return f"is the host in {variable} right, and does a firewall let this through?"
    if any(text in small for text in _NOT_LISTENING):
        return f"is the receiver running, there and on this port? {variable} names both"
    return ""


def _is_about_tls(small: str, endpoint: str, is_grpc: bool) -> bool:
    if any(text in small for text in _ABOUT_TLS):
        return True
    # A receiver may end the connection without a word to somebody whom it does not know.
    return endpoint.startswith("https://") and any(text in small for text in _HUNG_UP)


def _about_tls(small: str, endpoint: str, is_grpc: bool, variables: OtlpVariables) -> str:
    one = variables
    if _NO_TLS in small:
        return f"begin {one.endpoint} with http://, or name the port where it does"
    files = about_files(one, is_grpc)
    if files:
        return files
    if _OTHER_HOST in small:
        return f"{one.endpoint} has to name a host that the certificate is for"
    if _UNTRUSTED in small:
        if "expired" in small or "not yet valid" in small:
            return "it is the receiver's to renew; is the clock of this machine right?"
        return f"give the certificate of the authority that issued it in {one.certificate.name}"
    client, key = one.client_certificate, one.client_key
    if _WANTS_CLIENT in small and not client.value:
        return f"set {client.name} and {key.name} to its files"
    if _WANTS_CLIENT in small or "ended the" in small or any(text in small for text in _HUNG_UP):
        if not client.value:
            return (
                f"does the receiver want a client certificate? {client.name} and {key.name} name"
                " the files"
            )
        return f"does the receiver trust the certificate in {client.name}, and is it valid still?"
    if endpoint.startswith("unix:"):
        return "set OTEL_EXPORTER_OTLP_INSECURE=true, if the receiver behind it does not speak TLS"
    return f"does the receiver speak TLS? if not, begin {one.endpoint} with http://"


def _which_path(endpoint: str, variables: OtlpVariables) -> str:
    one = variables
    traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    if one.is_whole:
        missing = "; /v1/traces is missing at its end" if lacks_path(endpoint) else ""
        return f"is the path right? {traces} is taken whole, and nothing is added to it{missing}"
    if is_doubled(endpoint):
        return (
            f"/v1/traces is added to {one.endpoint}, which has it already: take it away, or set"
            f" {traces}, which is taken whole"
        )
    return f"is the path right? {one.endpoint} is completed by /v1/traces, {traces} is taken whole"


def _crossed(endpoint: str, is_grpc: bool, variables: OtlpVariables) -> str:
    """Return what to say where the port is the usual one of the other protocol."""
    port = _port(endpoint)
    if port == (_HTTP_PORT if is_grpc else _GRPC_PORT):
        usual = "HTTP" if is_grpc else "gRPC"
        return f"port {port} is usually for {usual}: {_other_protocol(is_grpc, variables)}"
    return ""


def _port(endpoint: str) -> int | None:
    """Return the port in an address; None if it has none."""
    try:
        return urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").port
    except ValueError:
        return _NO_NUMBER


def _which_port(is_grpc: bool, variables: OtlpVariables, endpoint: str) -> str:
    protocol = variables.protocol
    tls = (
        ""
        if endpoint.startswith("https://")
        else f"; where it speaks TLS, begin {variables.endpoint} with https://"
    )
    if is_grpc:
        return (
            f"is this the port for {protocol}=grpc (usually {_GRPC_PORT})?"
            f" a receiver of http/protobuf answers like this, which {protocol}=http/protobuf is for"
            f"{tls}"
        )
    return (
        f"is this the port for http/protobuf (usually {_HTTP_PORT})? a gRPC receiver answers like"
        f" this, which {protocol}=grpc is for{tls}"
    )


def _other_protocol(is_grpc: bool, variables: OtlpVariables) -> str:
    port, protocol = (_GRPC_PORT, "http/protobuf") if is_grpc else (_HTTP_PORT, "grpc")
    return f"use port {port} in {variables.endpoint}, or {variables.protocol}={protocol}"
