"""Details of gRPC's own, in the words of those who have to do something about them."""

from __future__ import annotations

import pytest

from phasetrace.grpc_unreachable import grpc_network_verdict
from phasetrace.verdict import Outcome, Verdict

UNAVAILABLE, MISCONFIGURED = Outcome.UNAVAILABLE, Outcome.MISCONFIGURED
LAST = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
SSL = "SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
FAILED = f"{LAST}Tls handshake failed (TSI_PROTOCOL_FAILURE): {SSL}"


@pytest.mark.parametrize(
    ("details", "outcome", "reason"),
    [
        (
            f"{FAILED}CERTIFICATE_VERIFY_FAILED: certificate has expired",
            MISCONFIGURED,
            "the certificate of h:1 is not trusted: certificate has expired",
        ),
        (
            f"{LAST}Ssl handshake failed: {SSL}CERTIFICATE_VERIFY_FAILED",
            MISCONFIGURED,
            "the certificate of h:1 is not trusted: it cannot be verified",
        ),
        (
            f"{LAST}Custom verification check failed with error: UNAUTHENTICATED: Hostname"
            " Verification Check failed.",
            MISCONFIGURED,
            "the certificate of h:1 is for another host",
        ),
        (
            f"{LAST}Peer name h is not in peer certificate",
            MISCONFIGURED,
            "the certificate of h:1 is for another host",
        ),
        (f"{FAILED}WRONG_VERSION_NUMBER", MISCONFIGURED, "h:1 does not speak TLS"),
        (
            f"{FAILED}SSLV3_ALERT_BAD_CERTIFICATE",
            MISCONFIGURED,
            "h:1 ended the TLS handshake: bad certificate",
        ),
        (
            f"{LAST}Cannot check peer: missing selected ALPN property.",
            MISCONFIGURED,
            "h:1 does not speak gRPC: there is no HTTP/2 behind its TLS",
        ),
        (
            f"{LAST}Unwrap failed (TSI_DATA_CORRUPTED)",
            MISCONFIGURED,
            "h:1 ended the connection after the TLS handshake",
        ),
        (
            f"{LAST}Failed to create security handshaker.",
            MISCONFIGURED,
            "the client certificate and its key cannot be used",
        ),
        (
            f"{LAST}Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame, got 80)",
            MISCONFIGURED,
            "h:1 does not speak gRPC: it answers in HTTP/1.1",
        ),
        (
            f"{LAST}Failed to connect to remote host: connect: Connection refused (111)",
            UNAVAILABLE,
            "cannot connect to h:1: Connection refused",
        ),
        (
            "errors resolving h:1: [field:hostname lookup error:Domain name not found]",
            UNAVAILABLE,
            "cannot connect to h:1: name or service not known",
        ),
        (
            "DNS resolution failed for h:1: C-ares status is not ARES_SUCCESS",
            UNAVAILABLE,
            "cannot connect to h:1: name or service not known",
        ),
        ("Socket closed", UNAVAILABLE, "h:1 ended the connection without an answer"),
        (
            "Received http2 header with status: 404",
            MISCONFIGURED,
            "h:1 answers HTTP 404 in place of gRPC",
        ),
        (
            "Received http2 header with status: 400",
            MISCONFIGURED,
            "h:1 answers HTTP 400 in place of gRPC",
        ),
    ],
)
def test_what_is_behind_it_is_told(details: str, outcome: Outcome, reason: str) -> None:
    """The same words as over HTTP, where it is the same."""
    assert grpc_network_verdict(details, "h:1") == Verdict(outcome, reason)


@pytest.mark.parametrize(
    "details",
    [
        "",
        "no room",
        "upstream connect error: Connection refused",
        "storage: CERTIFICATE_VERIFY_FAILED: certificate has expired",
        "Received http2 header with status: 401",
        "Received http2 header with status: 503",
        "Deadline Exceeded",
        f"{LAST}something new",
    ],
)
def test_what_a_receiver_says_is_its_own(details: str) -> None:
    """It may be in the same words, of what is behind it; and some statuses say enough."""
    assert grpc_network_verdict(details, "h:1") is None


def test_a_proxy_is_not_taken_for_the_receiver() -> None:
    """Which asks who it is, or has another answer."""
    details = "failed to connect to all addresses; last error: UNKNOWN:"
    details = f"{details} HTTP proxy returned response code "
    asks = grpc_network_verdict(f"{details}407", "h:1")
    assert asks == Verdict(Outcome.MISCONFIGURED, "the proxy in front of h:1 asks who it is")
    other = grpc_network_verdict(f"{details}502", "h:1")
    assert other == Verdict(
        Outcome.UNAVAILABLE, "the proxy in front of h:1 cannot be used: HTTP 502"
    )
