"""Why no answer came over gRPC, told from the details of a status that gRPC itself has made.

They hold file names, numbers and routines of what gRPC is built of, 300 characters of them; the
cause is at the end. Their words are those of gRPC's core, releases 1.60 to 1.85.
"""

from __future__ import annotations

import re
from typing import Final

from phasetrace.verdict import Outcome, Verdict, shortened

_UNTRUSTED: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED(?::? ([a-z][^:;\]]*))?")
_OTHER_HOST: Final = ("Hostname Verification Check failed", "is not in peer certificate")
_NO_TLS: Final = "WRONG_VERSION_NUMBER"
_NO_ALPN: Final = "missing selected ALPN"
_NO_HTTP2: Final = ("Failed parsing HTTP/2", "http1.x server")
_ALERT: Final = re.compile(r"(?:TLSV1|SSLV3|TLSV13)_ALERT_([A-Z_]+)")
_AFTER_HANDSHAKE: Final = ("TSI_DATA_CORRUPTED", "Decryption error")
_NO_HANDSHAKE: Final = "Failed to create security handshaker"
_HTTP_STATUS: Final = re.compile(r"[Rr]eceived http2 :?(?:status )?header with (?::?status): (\d+)")
_TOLD_OTHERWISE: Final = frozenset({"401", "403", "429", "502", "503", "504"})
"""These have a status of gRPC that says the same."""
_OF_GRPC: Final = re.compile(
    r"failed to connect to all addresses|errors resolving|DNS resolution failed"
    r"|[Rr]eceived http2|^(?:Socket closed|Connection reset by peer|Broken pipe|recvmsg)"
)
"""How gRPC's own details begin. A receiver may tell of its own troubles in the words below."""
_PROXY: Final = re.compile(r"HTTP proxy(?: returned response code (\d+))?")
_UNKNOWN_NAME: Final = ("DNS resolution failed", "errors resolving", "lookup error")
_SYSTEM: Final = re.compile(
    r"(Connection refused|No route to host|Network is unreachable|Host is unreachable)"
)
_ENDED: Final = ("Socket closed", "Connection reset by peer", "Broken pipe", "Endpoint closing")


def grpc_network_verdict(details: str, address: str) -> Verdict | None:
    """Return the verdict on a call to an address that gRPC itself gave up; None if it did not."""
    if not _OF_GRPC.search(details):
        return None
    untrusted = _UNTRUSTED.search(details)
    if untrusted is not None:
        why = shortened(untrusted[1] or "it cannot be verified")
        return _misconfigured(f"the certificate of {address} is not trusted: {why}")
    if any(text in details for text in _OTHER_HOST):
        return _misconfigured(f"the certificate of {address} is for another host")
    if _NO_TLS in details:
        return _misconfigured(f"{address} does not speak TLS")
    if _NO_ALPN in details:
        return _misconfigured(f"{address} does not speak gRPC: there is no HTTP/2 behind its TLS")
    if any(text in details for text in _NO_HTTP2):
        return _misconfigured(f"{address} does not speak gRPC: it answers in HTTP/1.1")
    alert = _ALERT.search(details)
    if alert is not None:
        words = alert[1].replace("_", " ").lower()
        return _misconfigured(f"{address} ended the TLS handshake: {words}")
    if any(text in details for text in _AFTER_HANDSHAKE):
        return _misconfigured(f"{address} ended the connection after the TLS handshake")
    if _NO_HANDSHAKE in details:
        return _misconfigured("the client certificate and its key cannot be used")
    proxy = _PROXY.search(details)
    if proxy is not None:
        what = f"the proxy in front of {address}"
        if proxy[1] == "407":
            return _misconfigured(f"{what} asks who it is")
        why = f": HTTP {proxy[1]}" if proxy[1] else ""
        return _unavailable(f"{what} cannot be used{why}")
    status = _HTTP_STATUS.search(details)
    if status is not None and status[1] not in _TOLD_OTHERWISE:
        return _misconfigured(f"{address} answers HTTP {status[1]} in place of gRPC")
    if any(text in details for text in _UNKNOWN_NAME):
        return _unavailable(f"cannot connect to {address}: name or service not known")
    system = _SYSTEM.search(details)
    if system is not None:
        return _unavailable(f"cannot connect to {address}: {system[1]}")
    if any(text in details for text in _ENDED):
        return _unavailable(f"{address} ended the connection without an answer")
    return None


def _misconfigured(reason: str) -> Verdict:
    return Verdict(Outcome.MISCONFIGURED, reason)


def _unavailable(reason: str) -> Verdict:
    return Verdict(Outcome.UNAVAILABLE, reason)
