"""What has become of one request: whether its spans arrived, and if not, what would help.

An exporter answers success or failure. Whoever keeps the spans has to know more: whether to wait,
to send less at a time, or to give a span up.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from phasetrace.hiding import hidden
from phasetrace.variables import redacted

_MAX_TEXT: Final = 200


class Outcome(Enum):
    """What the sender of a request can do now."""

    DELIVERED = "delivered"
    UNAVAILABLE = "unavailable"
    """The same request may be taken later."""
    REFUSED = "refused"
    """The receiver will never take this request as it is; it may take a part of it."""
    TOO_LARGE = "too large"
    """It may take the request in parts."""
    MISCONFIGURED = "misconfigured"
    """It refuses whatever is sent, until somebody changes something: wait, and do so slowly."""
    UNREADABLE = "unreadable"
    """What is stored is damaged, and cannot be sent; a part of it may be sound."""
    UNKNOWN = "unknown"
    """Nobody tells why it failed: the same request may be taken later, or some part of it never."""


class Verdict(NamedTuple):
    """The answer to one request."""

    outcome: Outcome
    reason: str = ""
    """One line for people, without passwords; it holds what a receiver wrote, so it is untrusted.

    Of a request that was delivered: what the receiver remarks, if anything.
    """
    retry_after_s: float | None = None
    """For how many seconds the receiver asks to be left alone."""
    rejected: int = 0
    """How many spans of a request that was delivered the receiver threw away; not to be resent."""
    is_final: bool = False
    """Of `Outcome.UNKNOWN`: the receiver says that the same request will not be taken later."""


DELIVERED: Final = Verdict(Outcome.DELIVERED)


def shortened(text: str) -> str:
    """Return the first 200 characters of a text on one line, without passwords in addresses.

    Nor with what is secret of the request that is under way in this thread: it is hidden before the
    text is cut, because nobody recognizes a part of a key.
    """
    text = hidden(text)
    text, pem, _ = text.partition("-----BEGIN")  # somebody's key, where its path should be
    line = " ".join(redacted(f"{text}…" if pem else text).split())
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"


def raised(error: BaseException) -> Verdict:
    """Return the verdict on a request of which only an exception is known."""
    try:
        return Verdict(Outcome.UNKNOWN, shortened(f"{type(error).__name__}: {error}"))
    except Exception:  # the message of a hostile exception
        return Verdict(Outcome.UNKNOWN, type(error).__name__)


def answered(result: object) -> Verdict:
    """Return the verdict on a request of which only the exporter's `SpanExportResult` is known."""
    # The SDK does not look at the answer, so that some exporters give none.
    if result is None or getattr(result, "name", None) == "SUCCESS":
        return DELIVERED
    return Verdict(Outcome.UNKNOWN, "the exporter does not tell why it failed")
