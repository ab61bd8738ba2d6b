"""What a receiver of OTLP means by its answer.

Source: https://opentelemetry.io/docs/specs/otlp/, "OTLP/gRPC Response" and "OTLP/HTTP Response",
with their sections on partial success, failures, retryable codes and throttling. Of the failures
that are not to be tried again, those that are about the sender and not about the spans are told
apart here: other spans would not help.

Here more is tried again than OTLP lists. 408, 425, 500, 52x and most others of 5xx are not in its
list, and a client may drop the spans then. But such an answer is about the receiver, or a proxy
before it, and not about the spans: they wait in the store, and nothing that has finished is lost.
500 is both: the receiver may be broken, or break at one span, and then answer so for ever. So it
is `Outcome.UNKNOWN`, by which a request waits, and is halved only after some tries; a span is put
aside only beside others that were taken (see `phasetrace.delivery.parcel`). An OpenTelemetry
Collector says behind 500 which errors of its own are permanent (``consumererror.NewPermanent``: a
message that is too large for where it sends to, say): then the tries are saved.
"""

from __future__ import annotations

import html
import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from phasetrace.protobuf.reading import MalformedMessage, Message
from phasetrace.verdict import DELIVERED, Outcome, Verdict, shortened

_HTTP_RETRYABLE: Final = frozenset({408, 425, 429})
_HTTP_NOT_PASSING: Final = frozenset({500, 501, 505, 511})
"""All others of 5xx are retryable, too."""
_HTTP_ABOUT_THE_SENDER: Final = frozenset({401, 402, 403, 404, 405, 407, 501, 505, 511})
"""501, 505 and 511 come from what is no receiver of OTLP, or from a network to log in to."""
_GRPC_RETRYABLE: Final = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
_GRPC_ABOUT_THE_SENDER: Final = frozenset(
    {"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND"}
)
_INVALID_HEADERS: Final = "Invalid metadata"
"""What gRPC itself says behind INTERNAL, of headers that cannot be sent."""
_WANTS_TLS: Final = (
    "http request to an https server",
    "plain http",
    "http request was sent to https",
)
"""What Go, Apache and nginx say behind 400 where TLS is spoken, in small letters."""
_BODY_TOO_LARGE: Final = "request body too large"
"""What Go says of a body that is longer than a receiver's limit, some behind 400."""
_PERMANENT: Final = "Permanent error"
_PAGE: Final = (b"<!doctype html", b"<html")
_TOO_LARGE: Final = "larger than max"
"""In the details of gRPC's implementations in C and in Go, where they mean the message's size."""


def http_verdict(status: int, phrase: str, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Return what an HTTP response means; its headers are found in small letters."""
    kind = headers.get("content-type") or ""
    if 200 <= status < 300:
        if _is_page(kind, body):
            # A proxy, or a page to log in at: whatever it is, it has taken no spans.
            what = f"HTTP {status} with a web page, which no receiver of OTLP answers"
            return Verdict(Outcome.MISCONFIGURED, f"{what}{_title(body)}")
        return _partial_success(*_rejection(kind, body))
    reason = f"HTTP {status} {phrase or _phrase(status)}".rstrip()
    message = shortened(_page_text(body) if _is_page(kind, body) else _status_message(kind, body))
    if 300 <= status < 400:
        message = f"to {shortened(headers.get('location') or '?')}"
    if message:
        reason = f"{reason}: {message}"
    if status == HTTPStatus.BAD_REQUEST and any(text in message.lower() for text in _WANTS_TLS):
        return Verdict(Outcome.MISCONFIGURED, f"the receiver speaks TLS: {reason}")
    if status in _HTTP_RETRYABLE or (500 <= status < 600 and status not in _HTTP_NOT_PASSING):
        return Verdict(Outcome.UNAVAILABLE, reason, _retry_after_s(headers.get("retry-after")))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or _BODY_TOO_LARGE in message:
        return Verdict(Outcome.TOO_LARGE, reason)
    if status in _HTTP_ABOUT_THE_SENDER or 300 <= status < 400:
        return Verdict(Outcome.MISCONFIGURED, reason)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        retry_after_s = _retry_after_s(headers.get("retry-after"))
        is_final = message.startswith(_PERMANENT)
        return Verdict(Outcome.UNKNOWN, reason, retry_after_s, is_final=is_final)
    return Verdict(Outcome.REFUSED, reason)


def grpc_verdict(
    code: str, details: str | None, metadata: Iterable[tuple[str, str | bytes]] | None
) -> Verdict:
    """Return what a gRPC status, by its name, means; `metadata` came behind it."""
    details = details or ""
    reason = f"gRPC {code}: {shortened(details)}" if details else f"gRPC {code}"
    retry_after_s = _retry_info_s(dict(metadata or ()))
    if code in _GRPC_ABOUT_THE_SENDER or _INVALID_HEADERS in details:
        return Verdict(Outcome.MISCONFIGURED, reason)
    if code in _GRPC_RETRYABLE:
        return Verdict(Outcome.UNAVAILABLE, reason, retry_after_s)
    if code == "RESOURCE_EXHAUSTED":
        if _TOO_LARGE in details:
            return Verdict(Outcome.TOO_LARGE, reason)
        # The specification has a client give up here unless it is told when to come back. Nothing
        # is lost by coming back: what is exhausted is the receiver, not its patience with a span.
        return Verdict(Outcome.UNAVAILABLE, reason, retry_after_s)
    return Verdict(Outcome.REFUSED, reason)


def grpc_success(response: Any) -> Verdict:
    """Return what an ``ExportTraceServiceResponse`` means."""
    partial = getattr(response, "partial_success", None)
    return _partial_success(
        getattr(partial, "rejected_spans", 0), getattr(partial, "error_message", "")
    )


def _partial_success(rejected: int, message: str) -> Verdict:
    if rejected <= 0 and not message:
        return DELIVERED
    return Verdict(Outcome.DELIVERED, shortened(message), rejected=max(0, rejected))


def _rejection(kind: str, body: bytes) -> tuple[int, str]:
    """Return how many spans a response says it rejected, and why; the response is not vouched for.

    Many receivers answer something else, or nothing.
    """
    with suppress(Exception):
        if "json" in kind:
            partial = json.loads(body).get("partialSuccess") or {}
            return int(partial.get("rejectedSpans") or 0), str(partial.get("errorMessage") or "")
        if "protobuf" in kind:
            message = Message(Message(body).data(1))
            return _signed(message.number(1)), message.text(2)
    return 0, ""


def _status_message(kind: str, body: bytes) -> str:
    """Return the message of the ``google.rpc.Status`` that the body is, or the body."""
    with suppress(Exception):
        if "protobuf" in kind:
            return Message(body).text(2)
        if "json" in kind:
            return str(json.loads(body)["message"])
    return body.decode(errors="replace")


def _is_page(kind: str, body: bytes) -> bool:
    """Whether a response is a page for people."""
    return "html" in kind.lower() or body.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].lower().startswith(
        _PAGE
    )


def _title(body: bytes) -> str:
    title = re.search(rb"<title[^>]*>([^<]*)", body, re.IGNORECASE)
    words = shortened(html.unescape(title[1].decode(errors="replace"))) if title else ""
    return f": {words!r}" if words else ""


def _page_text(body: bytes) -> str:
    """Return the words of a page, without its markup."""
    text = re.sub(
        r"<(style|script)\b.*?</\1>|<[^>]*>", " ", body.decode(errors="replace"), flags=re.I | re.S
    )
    return html.unescape(text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _retry_after_s(value: str | None) -> float | None:
    """Return what ``Retry-After`` says, in seconds or as a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
            seconds = (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
            seconds -= time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _retry_info_s(metadata: Mapping[str, str | bytes]) -> float | None:
    """Return the delay of a ``google.rpc.RetryInfo``: among the details of the status, or alone."""
    with suppress(MalformedMessage):
        info = metadata.get("google.rpc.retryinfo-bin")
        if isinstance(info, bytes):
            return _delay_s(info)
        status = metadata.get("grpc-status-details-bin")
        if isinstance(status, bytes):
            for detail in map(Message, Message(status).messages(3)):
                if detail.text(1).endswith("/google.rpc.RetryInfo"):
                    return _delay_s(detail.data(2))
    return None


def _delay_s(retry_info: bytes) -> float:
    delay = Message(Message(retry_info).data(1))
    return max(0.0, _signed(delay.number(1)) + _signed(delay.number(2)) / 1e9)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
