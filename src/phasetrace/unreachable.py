"""Why no answer came over the network, told from the exception that an HTTP client raises.

Clients wrap what the operating system says in exceptions of their own, two or three deep, with the
addresses of objects in their text. What is at the bottom is what helps.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from phasetrace.otlp_variables import UNKNOWN_SCHEME, unknown_scheme
from phasetrace.verdict import Outcome, Verdict, raised, shortened

BAD_HEADER: Final = Verdict(Outcome.MISCONFIGURED, "one of the headers cannot be sent")
"""Clients name the header's value, which tends to be a secret."""
NO_SCHEME: Final = Verdict(
    Outcome.MISCONFIGURED, "http:// (or https://) is missing in front of the address"
)
_NOT_CONNECTED: Final = (
    "ConnectionRefusedError",
    "NameResolutionError",
    "NewConnectionError",
    "gaierror",
)
_ABOUT_PROXIES: Final = ("ProxyError", "InvalidProxyURL", "ProxySchemeUnknown")
NO_ADDRESS: Final = "there can be no such address"
_OTHER_HOST: Final = frozenset({62, 63, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH, …_EMAIL_… and …_IP_ADDRESS_MISMATCH, of OpenSSL."""
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
_NO_CLIENT: Final = ("PEM lib", "PEM_LIB", "KEY_VALUES_MISMATCH", "NO_START_LINE", "is encrypted")
_CONNECTING_TIMED_OUT: Final = ("ConnectTimeout", "ConnectTimeoutError")
_TIMED_OUT: Final = ("ReadTimeout", "ReadTimeoutError", "Timeout", "TimeoutError")


def network_verdict(error: BaseException, url: str) -> Verdict:
    """Return the verdict on a request to an address that ended with an exception; never raises."""
    try:
        causes = list(_causes(error))
        address = _address(url)
        if "://" not in url and any(isinstance(cause, ValueError) for cause in causes):
            return NO_SCHEME
        scheme = unknown_scheme(url)
        if scheme and any(isinstance(cause, ValueError) for cause in causes):
            return Verdict(Outcome.MISCONFIGURED, f"{scheme} {UNKNOWN_SCHEME}")
        certificate = _first(causes, ssl.SSLCertVerificationError)
        if isinstance(certificate, ssl.SSLCertVerificationError):
            what = f"the certificate of {address} is not trusted: {certificate.verify_message}"
            if getattr(certificate, "verify_code", None) in _OTHER_HOST:
                what = f"the certificate of {address} is for another host"
            return Verdict(Outcome.MISCONFIGURED, shortened(what))
        failure = _first(causes, ssl.SSLError)
        if isinstance(failure, ssl.SSLError):
            verdict = _tls_verdict(getattr(failure, "reason", None) or str(failure), address)
            if verdict is not None:
                return verdict
        proxy = [cause for cause in causes if _is_called(cause, *_ABOUT_PROXIES)]
        if any("407" in str(cause) for cause in proxy):
            what = f"the proxy in front of {address} asks who it is: {_bottom(causes)}"
            return Verdict(Outcome.MISCONFIGURED, shortened(what))
        if proxy or any("SOCKS" in str(cause) for cause in causes):
            what = f"the proxy in front of {address} cannot be used: {_bottom(causes)}"
            return Verdict(Outcome.UNAVAILABLE, shortened(what))
        answer = _first(causes, http.client.BadStatusLine)
        if answer is not None and not isinstance(answer, http.client.RemoteDisconnected):
            return Verdict(Outcome.MISCONFIGURED, f"{address} does not speak HTTP/1.1")
        mistake = _first(causes, ValueError)
        if isinstance(mistake, UnicodeEncodeError) or "header" in str(mistake or "").lower():
            return BAD_HEADER
        if mistake is not None and not _is_address(url):
            return Verdict(Outcome.MISCONFIGURED, shortened(f"{NO_ADDRESS}: {url}"))
        if mistake is not None or type(error) is OSError:
            # An address, or a certificate's file, that there cannot be.
            return Verdict(Outcome.MISCONFIGURED, shortened(_bottom(causes)))
        if any(_is_called(cause, *_NOT_CONNECTED) for cause in causes):
            what = f"cannot connect to {address}: {_bottom(causes)}"
            return Verdict(Outcome.UNAVAILABLE, shortened(what))
        if any(_is_called(cause, *_CONNECTING_TIMED_OUT) for cause in causes):
            return Verdict(Outcome.UNAVAILABLE, f"cannot connect to {address}: it does not answer")
        if any(_is_called(cause, *_TIMED_OUT) for cause in causes):
            return Verdict(Outcome.UNAVAILABLE, f"no answer from {address} in time")
        if any(isinstance(cause, OSError | http.client.HTTPException) for cause in causes):
            what = f"no answer from {address}: {_bottom(causes)}"
            return Verdict(Outcome.UNAVAILABLE, shortened(what))
    except Exception:  # an exception that cannot be looked at
        pass
    return raised(error)


def _tls_verdict(reason: str, address: str) -> Verdict | None:
    """Return the verdict on what OpenSSL says; None if the connection just ended."""
    if any(text in reason for text in _NO_TLS):
        return Verdict(Outcome.MISCONFIGURED, f"{address} does not speak TLS")
    if "NO_APPLICATION_PROTOCOL" in reason:
        return Verdict(Outcome.MISCONFIGURED, f"{address} does not speak HTTP/1.1")
    if "CERTIFICATE_REQUIRED" in reason:
        return Verdict(Outcome.MISCONFIGURED, f"{address} wants a client certificate")
    _, alert, words = reason.partition("_ALERT_")
    if alert:
        words = words.replace("_", " ").lower()
        return Verdict(Outcome.MISCONFIGURED, f"{address} ended the TLS handshake: {words}")
    if any(text in reason for text in _NO_CLIENT):
        return Verdict(Outcome.MISCONFIGURED, "the client certificate and its key cannot be used")
    return None


def _causes(error: object) -> Iterator[BaseException]:
    """Give an exception and those in it, in the ways that requests, urllib3 and Python wrap one."""
    waiting = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__]
            waiting.append(cause.__context__ if not cause.__suppress_context__ else None)


def _first(causes: list[BaseException], kind: type[BaseException]) -> BaseException | None:
    return next((cause for cause in causes if isinstance(cause, kind)), None)


def _is_called(cause: BaseException, *names: str) -> bool:
    """Whether an exception is of a class of one of these names; it may be any client's."""
    return type(cause).__name__ in names


def _bottom(causes: list[BaseException]) -> str:
    """Return the words of the operating system, or of the innermost exception that has some."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return next((str(cause) for cause in reversed(causes) if str(cause)), type(causes[0]).__name__)


def _is_address(url: str) -> bool:
    """Whether a scheme, a host and perhaps a port, which is a number, can be told."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _address(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url
