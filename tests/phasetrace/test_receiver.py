"""What answers of receivers mean, one by one, and that none of them can do harm."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.protobuf.writing import delimited, tag, varint
from phasetrace.receiver import grpc_success, grpc_verdict, http_verdict
from phasetrace.verdict import DELIVERED, Outcome, Verdict

JSON = {"content-type": "application/json; charset=utf-8"}
PROTOBUF = {"content-type": "application/x-protobuf"}

OUTCOMES = {
    Outcome.DELIVERED: [200, 202, 204],
    Outcome.UNAVAILABLE: [408, 425, 429, 502, 503, 504, 507, 508, 520, 522, 530, 599],
    Outcome.UNKNOWN: [500],
    Outcome.REFUSED: [400, 406, 409, 415, 418, 422, 499, 100],
    Outcome.TOO_LARGE: [413],
    Outcome.MISCONFIGURED: [
        *(300, 301, 302, 303, 304, 307, 308),
        *(401, 402, 403, 404, 405, 407, 501, 505, 511),
    ],
}


def test_every_http_status_is_understood() -> None:
    """As the specification has it, and with more that is about the receiver and not the spans."""
    seen = {
        outcome: [status for status in statuses if outcome_of(status) is outcome]
        for outcome, statuses in OUTCOMES.items()
    }
    assert seen == OUTCOMES


def outcome_of(status: int) -> Outcome:
    """Return what a plain response means."""
    return http_verdict(status, "", {}, b"").outcome


def test_a_reason_has_the_phrase_of_the_receiver_or_the_usual_one() -> None:
    """Or none."""
    reasons = [
        http_verdict(400, "Nope", {}, b"").reason,
        http_verdict(400, "", {}, b"").reason,
        http_verdict(499, "", {}, b"").reason,
    ]
    assert reasons == ["HTTP 400 Nope", "HTTP 400 Bad Request", "HTTP 499"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b'{"code": 3, "message": "no such field"}'),
        (PROTOBUF, tag(1, 0) + b"\3" + delimited(2, b"no such field")),
        ({}, b"no such\r\n   field"),
        ({"content-type": "text/plain"}, b"no such field"),
    ],
)
def test_a_refusal_is_told_in_the_receivers_words(headers: dict[str, str], body: bytes) -> None:
    """A ``google.rpc.Status`` in either form, or any text."""
    verdict = http_verdict(400, "", headers, body)
    assert verdict == Verdict(Outcome.REFUSED, "HTTP 400 Bad Request: no such field")


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
        (formatdate(1_000_030, usegmt=True), 30.0),
        (formatdate(999_000, usegmt=True), 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    value: str, expected_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date that has passed means now, and what is neither means nothing."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    for status in (408, 429, 500, 503, 520):
        assert http_verdict(status, "", {"retry-after": value}, b"").retry_after_s == expected_s


def test_a_date_without_a_zone_is_one_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is read."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    try:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("TZ", "EST5")
            time.tzset()
            verdict = http_verdict(503, "", {"retry-after": formatdate(1_000_030)}, b"")
    finally:
        time.tzset()
    assert verdict.retry_after_s == 30.0


def partial_success(rejected: int, message: str) -> bytes:
    """Return an ``ExportTraceServiceResponse``."""
    number = tag(1, 0) + varint(rejected % 2**64)
    return delimited(1, number + delimited(2, message.encode()))


@pytest.mark.parametrize(
    ("headers", "body", "verdict"),
    [
        (PROTOBUF, b"", DELIVERED),
        (PROTOBUF, partial_success(0, ""), DELIVERED),
        (PROTOBUF, partial_success(3, "old"), Verdict(Outcome.DELIVERED, "old", rejected=3)),
        (PROTOBUF, partial_success(0, "slow down"), Verdict(Outcome.DELIVERED, "slow down")),
        (PROTOBUF, partial_success(-1, ""), DELIVERED),
        (JSON, b"{}", DELIVERED),
        (JSON, b'{"partialSuccess": null}', DELIVERED),
        (
            JSON,
            b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "old"}}',
            Verdict(Outcome.DELIVERED, "old", rejected=3),
        ),
        ({}, b"thank you", DELIVERED),
    ],
)
def test_partial_success_is_read_in_either_form(
    headers: dict[str, str], body: bytes, verdict: Verdict
) -> None:
    """What was rejected is gone; the rest has arrived."""
    assert http_verdict(200, "", headers, body) == verdict


bodies = st.one_of(
    st.binary(max_size=50),
    st.builds(partial_success, st.integers(-(2**63), 2**64), st.text(max_size=5)),
    st.recursive(
        st.none() | st.floats() | st.text(max_size=3),
        lambda inner: st.dictionaries(
            st.sampled_from(["partialSuccess", "rejectedSpans", "errorMessage", "message"]), inner
        ),
    ).map(lambda value: json.dumps(value).encode()),
)


@given(
    status=st.integers(100, 999),
    headers=st.dictionaries(
        st.sampled_from(["content-type", "retry-after", "location"]),
        st.sampled_from([*JSON.values(), *PROTOBUF.values(), "1e999", "4"]) | st.text(max_size=9),
    ),
    body=bodies,
)
def test_whatever_is_answered_there_is_a_verdict(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    """Of one line."""
    verdict = http_verdict(status, "", headers, body)
    assert (verdict.outcome is Outcome.DELIVERED) == (200 <= status < 300)
    assert "\n" not in verdict.reason
    assert verdict.rejected >= 0


def test_an_answer_that_nests_without_end_is_not_followed() -> None:
    """It comes from outside."""
    assert http_verdict(200, "", JSON, b"[" * 4_000) is DELIVERED
    assert http_verdict(400, "", JSON, b"[" * 4_000).outcome is Outcome.REFUSED


@given(value=st.binary(max_size=40))
def test_whatever_stands_behind_a_status_there_is_a_verdict(value: bytes) -> None:
    """In metadata that only a receiver writes."""
    for name in ("google.rpc.retryinfo-bin", "grpc-status-details-bin"):
        verdict = grpc_verdict("UNAVAILABLE", "", [(name, value)])
        assert verdict.outcome is Outcome.UNAVAILABLE
        assert verdict.retry_after_s is None or verdict.retry_after_s >= 0


def test_a_status_may_come_alone() -> None:
    """Without details, and without metadata."""
    assert grpc_verdict("UNAVAILABLE", None, None) == Verdict(
        Outcome.UNAVAILABLE, "gRPC UNAVAILABLE"
    )


@pytest.mark.parametrize("delay", [b"", tag(1, 0) + varint(2**64 - 5)])
def test_no_delay_is_one_of_nothing(delay: bytes) -> None:
    """Nor is a negative one."""
    info: list[tuple[str, Any]] = [("google.rpc.retryinfo-bin", delimited(1, delay))]
    assert grpc_verdict("RESOURCE_EXHAUSTED", "busy", info) == Verdict(
        Outcome.UNAVAILABLE, "gRPC RESOURCE_EXHAUSTED: busy", 0.0
    )


def test_a_response_of_another_kind_is_a_success() -> None:
    """It was answered as one."""
    assert grpc_success(object()) is DELIVERED


HTML = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body", "title"),
    [
        (HTML, b"", ""),
        (HTML, b"<title>Log&nbsp;in\n now</title>", ": 'Log in now'"),
        ({}, b"\xef\xbb\xbf \n<!DOCTYPE HTML><p>", ""),
        ({"content-type": "text/plain"}, b"<html lang='en'><title></title>", ""),
    ],
)
def test_a_web_page_is_no_answer_of_a_receiver(
    headers: dict[str, str], body: bytes, title: str
) -> None:
    """Whatever has answered success with it has taken no spans."""
    reason = f"HTTP 200 with a web page, which no receiver of OTLP answers{title}"
    assert http_verdict(200, "OK", headers, body) == Verdict(Outcome.MISCONFIGURED, reason)


def test_a_refusal_that_is_a_page_is_told_in_its_words() -> None:
    """Without what only a browser makes something of."""
    page = b"<html><style>p {\n}</style><h1>No &amp; never</h1>\n<p>nginx</p></html>"
    verdict = http_verdict(403, "", HTML, page)
    assert verdict == Verdict(Outcome.MISCONFIGURED, "HTTP 403 Forbidden: No & never nginx")


@pytest.mark.parametrize(
    "body",
    [
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<html><center>The plain HTTP request was sent to HTTPS port</center></html>",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_a_receiver_that_speaks_tls(body: bytes) -> None:
    """It refuses whatever is sent in the clear: Go's, nginx's and Apache's."""
    verdict = http_verdict(400, "", {}, body)
    assert verdict.outcome is Outcome.MISCONFIGURED
    assert verdict.reason.startswith("the receiver speaks TLS: HTTP 400 Bad Request: ")


def test_a_body_that_is_too_large_for_go() -> None:
    """The Collector's receivers say so behind 400."""
    verdict = http_verdict(400, "", {}, b"http: request body too large")
    assert verdict.outcome is Outcome.TOO_LARGE


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, Outcome.TOO_LARGE), (500, Outcome.TOO_LARGE), (503, Outcome.UNAVAILABLE)],
)
def test_what_helps_against_a_body_that_is_too_large(status: int, outcome: Outcome) -> None:
    """To send less, unless the receiver asks for another time."""
    assert http_verdict(status, "", {}, b"http: request body too large").outcome is outcome


def test_a_collector_says_which_errors_are_permanent() -> None:
    """Behind 500, in front of what went wrong; anything else may pass."""
    body = b'{"code": 13, "message": "Permanent error: record size 15731069 exceeds max 8388608"}'
    permanent = http_verdict(500, "", {"content-type": "application/json"}, body)
    assert permanent.outcome is Outcome.UNKNOWN
    assert permanent.is_final
    assert not http_verdict(500, "", {}, b"it broke, with a Permanent error").is_final
    assert not http_verdict(503, "", {}, b"Permanent error: x").is_final
