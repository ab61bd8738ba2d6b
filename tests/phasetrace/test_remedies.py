"""Which advice says that spans have to be sent otherwise; the advice itself is in `test_doctor`."""

from __future__ import annotations

import pytest

from phasetrace.otlp_variables import OtlpVariables
from phasetrace.remedies import explained, is_sent_wrongly
from phasetrace.unreachable import BAD_HEADER, NO_SCHEME
from phasetrace.verdict import Outcome, Verdict

AWAY = "Connection refused"


def wrong(reason: str) -> Verdict:
    """Return the verdict that only another configuration can mend."""
    return Verdict(Outcome.MISCONFIGURED, reason)


def away(reason: str) -> Verdict:
    """Return the verdict that the same may be taken later."""
    return Verdict(Outcome.UNAVAILABLE, reason)


OTHERWISE = [
    (NO_SCHEME, "h/v1/traces", False),
    (BAD_HEADER, "http://h", False),
    (away("cannot connect to h:43l8: name or service not known"), "http://h:43l8", True),
    (wrong("there can be no such address: http:/h"), "http:/h", False),
    (wrong("HTTP 200 with a web page"), "http://h:16686", False),
    (wrong("HTTP 200 with a web page"), "http://h", False),
    (wrong("htp:// is neither http:// nor https://"), "htp://h", False),
    (wrong("HTTP 401"), "http://h", False),
    (wrong("HTTP 401"), "http://me@h", False),
    (wrong("gRPC PERMISSION_DENIED: no"), "http://h:4317", True),
    (away("no answer from h:4317: Connection reset by peer"), "http://h:4317", False),
    (wrong("h:4318 does not speak gRPC: it answers in HTTP/1.1"), "http://h:4318", True),
    (wrong("HTTP 302 Found: to https://login.example/sso"), "http://h", False),
    (wrong("HTTP 308 Moved: to https://h/v1/traces"), "http://h/v1/traces", False),
    (wrong("HTTP 301: to http://x"), "http://h", False),
    (wrong("HTTP 400 Bad Request: h speaks TLS"), "http://h", False),
    (wrong("h does not speak TLS"), "https://h", False),
    (wrong("the certificate of h is for another host"), "https://h", False),
    (away("gRPC UNAVAILABLE: eof"), "h:1", True),
    (wrong("h does not speak HTTP/1.1"), "http://h:1", False),
    (wrong("gRPC UNIMPLEMENTED: unknown service"), "http://h:1", True),
    (wrong("HTTP 501 Unsupported method"), "http://h:1", False),
    (wrong("HTTP 404"), "http://h:1/v1/traces", False),
    (wrong("HTTP 404"), "http://h:1/v1/traces/v1/traces", False),
]
"""What only another address, protocol or header can mend."""

AS_IT_IS = [
    (away(f"cannot connect to h: {AWAY}"), "http://h:4318", False),
    (away(f"cannot connect to h: {AWAY}"), "http://h:4317", False),
    (away("cannot connect to h: Name or service not known"), "http://h", False),
    (away("cannot connect to h: it does not answer"), "http://h", False),
    (away("no answer from h:1: Connection reset by peer"), "http://h:1", False),
    (away("gRPC UNAVAILABLE: Socket closed"), "http://h:1", True),
    (away("HTTP 503 Service Unavailable; is the path right"), "http://h", False),
    (wrong("HTTP 402"), "http://h", False),
    (wrong("HTTP 407"), "http://h", False),
    (wrong("HTTP 413"), "http://h", False),
    (wrong("HTTP 511"), "http://h", False),
    (wrong("HTTP 400 Bad Request"), "http://h", False),
    (wrong("the certificate of h is not trusted: self-signed"), "https://h", False),
    (wrong("the certificate of h is not trusted: it has expired"), "https://h", False),
    (wrong("h wants a client certificate"), "https://h", False),
    (wrong("h ended the TLS handshake: internal error"), "https://h", False),
]
"""What may be right as it is, and what is no part of a destination."""

VARIABLES = [
    OtlpVariables(),
    OtlpVariables(endpoint="the endpoint", has_headers=True),
    OtlpVariables(is_whole=True, missing="x-api-key has no value: is the variable in it set?"),
    OtlpVariables(missing="${API_KEY} stands in it as it is: was it in single quotes?"),
]


@pytest.mark.parametrize("variables", VARIABLES)
@pytest.mark.parametrize(("verdict", "endpoint", "is_grpc"), OTHERWISE)
def test_what_is_to_be_sent_otherwise(
    verdict: Verdict, endpoint: str, is_grpc: bool, variables: OtlpVariables
) -> None:
    """Whatever the address came from."""
    line = explained(verdict, endpoint, is_grpc, variables)
    assert line != verdict.reason
    assert is_sent_wrongly(line), line


@pytest.mark.parametrize("variables", VARIABLES)
@pytest.mark.parametrize(("verdict", "endpoint", "is_grpc"), AS_IT_IS)
def test_what_may_be_taken_as_it_is(
    verdict: Verdict, endpoint: str, is_grpc: bool, variables: OtlpVariables
) -> None:
    """Once somebody else has done something, or another variable is set."""
    line = explained(verdict, endpoint, is_grpc, variables)
    assert not is_sent_wrongly(line), line
