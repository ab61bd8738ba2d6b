"""Exceptions of HTTP clients, in the words of those who have to do something about them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pytest
import requests
import urllib3

from phasetrace.remedies import explained
from phasetrace.unreachable import NO_SCHEME, network_verdict
from phasetrace.verdict import Outcome, Verdict

URL = "https://me:secret@receiver:4318/v1/traces"
UNAVAILABLE, MISCONFIGURED = Outcome.UNAVAILABLE, Outcome.MISCONFIGURED


def chained(outer: Exception, inner: Exception) -> Exception:
    """Return an exception that was raised while another one was handled."""
    try:
        try:
            raise inner
        except Exception:
            raise outer  # noqa: B904 - as clients do
    except Exception as error:
        return error


POOL = urllib3.HTTPSConnectionPool("receiver", 4318)
CONNECTION = urllib3.connection.HTTPSConnection("receiver", 4318)


def max_retries(error: Exception) -> urllib3.exceptions.MaxRetryError:
    """Return what urllib3 makes of an error when it gives up."""
    return urllib3.exceptions.MaxRetryError(POOL, "/v1/traces", error)


def not_connected(error: OSError) -> Exception:
    """Return what urllib3 makes of an error while it connects."""
    new = urllib3.exceptions.NewConnectionError(CONNECTION, f"Failed to establish: {error}")
    return chained(new, error)


UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"
OTHER_HOST = ssl.SSLCertVerificationError(1, "certificate verify failed")
OTHER_HOST.verify_message = "Hostname mismatch, certificate is not valid for 'receiver'."
OTHER_HOST.verify_code = 62


@pytest.mark.parametrize(
    "url", ["localhost:4318/v1/traces", "127.0.0.1:4318", "receiver/v1/traces"]
)
def test_an_address_without_http(url: str) -> None:
    """Says what is missing; it is no use to try again."""
    try:
        requests.post(url, timeout=1)
    except requests.RequestException as error:
        assert network_verdict(error, url) == NO_SCHEME
    assert NO_SCHEME.outcome is MISCONFIGURED


def test_an_address_with_another_scheme() -> None:
    """Says which, and what to change; it is no use to try again."""
    url = "htp://me:secret@h:4318/v1/traces"
    with pytest.raises(requests.RequestException) as raised:
        requests.post(url, timeout=1)
    verdict = network_verdict(raised.value, url)
    assert verdict == Verdict(MISCONFIGURED, "htp:// is neither http:// nor https://")
    assert explained(verdict, url, is_grpc=False) == (
        "htp:// is neither http:// nor https://; begin OTEL_EXPORTER_OTLP_ENDPOINT with http://, or"
        " with https:// if it speaks TLS"
    )


def test_a_known_scheme_is_not_blamed() -> None:
    """Whatever its case, and whatever else is wrong with the address."""
    error = requests.exceptions.InvalidURL("no")
    assert "neither" not in network_verdict(error, "HTTP://h:1:2/").reason


@pytest.mark.parametrize("url", ["http://localhost:43l8", "http://me:secret@:4318/", "http://h:-1"])
def test_an_address_that_there_cannot_be(url: str) -> None:
    """Is told as such, whatever a client makes of it."""
    try:
        requests.post(url, timeout=1)
    except requests.RequestException as error:
        verdict = network_verdict(error, url)
    assert verdict.outcome is MISCONFIGURED
    assert verdict.reason.startswith("there can be no such address: http://")
    assert "secret" not in verdict.reason


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (
            requests.ConnectionError(max_retries(not_connected(ConnectionRefusedError(111, "No")))),
            UNAVAILABLE,
            "cannot connect to receiver:4318: No",
        ),
        (
            max_retries(not_connected(socket.gaierror(-2, "Name or service not known"))),
            UNAVAILABLE,
            "cannot connect to receiver:4318: Name or service not known",
        ),
        (
            requests.ConnectTimeout(
                max_retries(urllib3.exceptions.ConnectTimeoutError(CONNECTION, "timed out"))
            ),
            UNAVAILABLE,
            "cannot connect to receiver:4318: it does not answer",
        ),
        (
            requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(POOL, "/", "Read timed out.")),
            UNAVAILABLE,
            "no answer from receiver:4318 in time",
        ),
        (
            urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "R")),
            UNAVAILABLE,
            "no answer from receiver:4318: R",
        ),
        (
            requests.exceptions.SSLError(
                max_retries(urllib3.exceptions.SSLError(ssl.SSLEOFError(8, "EOF occurred")))
            ),
            UNAVAILABLE,
            "no answer from receiver:4318: EOF occurred",
        ),
        (
            requests.exceptions.SSLError(max_retries(urllib3.exceptions.SSLError(UNTRUSTED))),
            MISCONFIGURED,
            "the certificate of receiver:4318 is not trusted: self-signed certificate",
        ),
        (
            requests.exceptions.SSLError(max_retries(urllib3.exceptions.SSLError(OTHER_HOST))),
            MISCONFIGURED,
            "the certificate of receiver:4318 is for another host",
        ),
        (
            urllib3.exceptions.LocationParseError("http://me:secret@["),
            MISCONFIGURED,
            "Failed to parse: http://…@[",
        ),
        (
            requests.exceptions.InvalidHeader("Invalid header value: 'secret\\n'"),
            MISCONFIGURED,
            "one of the headers cannot be sent",
        ),
        (
            UnicodeEncodeError("latin-1", "secret €", 7, 8, "ordinal not in range(256)"),
            MISCONFIGURED,
            "one of the headers cannot be sent",
        ),
        (ZeroDivisionError("no"), Outcome.UNKNOWN, "ZeroDivisionError: no"),
    ],
)
def test_what_is_at_the_bottom_is_told(error: Exception, outcome: Outcome, reason: str) -> None:
    """Without addresses of objects, and without passwords."""
    verdict = network_verdict(error, URL)
    assert verdict.outcome is outcome
    assert verdict.reason.startswith(reason)
    assert "secret" not in verdict.reason
    assert "0x" not in verdict.reason


def circular() -> Exception:
    """Return an exception that is its own reason."""
    error = OSError(5, "no")
    error.args = (error,)
    return error


class Hostile(Exception):
    """Has neither words nor a reason."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError

    @property
    def reason(self) -> str:
        """Raise."""
        raise RuntimeError


@pytest.mark.parametrize("make", [circular, Hostile])
def test_an_exception_that_cannot_be_followed_does_no_harm(make: Callable[[], Exception]) -> None:
    """It is somebody else's."""
    assert network_verdict(make(), "?").outcome in (Outcome.UNKNOWN, MISCONFIGURED)


def tls_error(reason: str) -> Exception:
    """Return what a client makes of what OpenSSL says."""
    error = ssl.SSLError(1, f"[SSL: {reason}] words (_ssl.c:1)")
    error.reason = reason
    return requests.exceptions.SSLError(max_retries(urllib3.exceptions.SSLError(error)))


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("WRONG_VERSION_NUMBER", "receiver:4318 does not speak TLS"),
        ("RECORD_LAYER_FAILURE", "receiver:4318 does not speak TLS"),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "receiver:4318 does not speak HTTP/1.1"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "receiver:4318 wants a client certificate"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "receiver:4318 ended the TLS handshake: bad certificate"),
        ("KEY_VALUES_MISMATCH", "the client certificate and its key cannot be used"),
    ],
)
def test_what_openssl_says_of_the_other_side(reason: str, told: str) -> None:
    """Trying again does not help."""
    assert network_verdict(tls_error(reason), URL) == Verdict(MISCONFIGURED, told)


def test_a_key_in_place_of_its_path_is_not_told() -> None:
    """The client shows it as a path that there is not."""
    error = OSError("Could not find the TLS key file, invalid path: -----BEGIN KEY-----\nsecret")
    verdict = network_verdict(error, URL)
    assert verdict.reason == "Could not find the TLS key file, invalid path: …"
