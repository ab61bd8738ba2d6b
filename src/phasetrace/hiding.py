"""Keeping headers out of what others say of a request: logs, exceptions, a receiver's own words.

A receiver may repeat the key that it does not know, and libraries log requests with their address,
and what they cannot send with its value. What is secret is known here, so it is taken out of every
text before that goes anywhere: all that the exporter's headers say, and what is in its address in
front of the host or as a query. So is what has the shape of a secret, whoever's it is.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from phasetrace.secret_shapes import without

Secrets = frozenset[str]
"""Texts that nobody is to see."""
NONE: Final[Secrets] = frozenset()

_SHORTEST: Final = 4
"""What is shorter is no secret, and would be found in every other word."""
_LONG: Final = 8
"""What is shorter is hidden as a whole word only."""
_PUBLIC: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-type", "user-agent"}
)
_PARSER: Final = "opentelemetry.util.re"
_LOGGERS: Final = (
    _PARSER,
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._common",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)


def hide(text: str, secrets: Secrets) -> str:
    """Return a text with "…" in place of each secret in it, and of whatever looks like one.

    The text may have been cut anywhere: at its end, the beginning of a secret is hidden as well,
    if it is 8 characters or half of the secret.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if secret in text:
            pattern = re.escape(secret)
            text = re.sub(
                pattern if len(secret) >= _LONG else rf"(?<!\w){pattern}(?!\w)", "…", text
            )
    return without(_without_beginning(text, secrets), "…")


def hidden(text: str) -> str:
    """Return a text without what is secret in this thread just now; see `hidden_in_logs`."""
    return hide(text, _scope.secrets or NONE)


def secrets_in(headers: Iterable[tuple[Any, Any]]) -> Secrets:
    """Return what is secret of headers, in the forms in which somebody may repeat it."""
    found: set[str] = set()
    for name, value in headers:
        if str(name).lower() in _PUBLIC or not isinstance(value, str):
            continue
        scheme, _, token = value.strip().partition(" ")
        found |= {value.strip(), token.strip()}
        if scheme.lower() == "basic":
            found |= _basic(token)
    return _in_all_forms(found)


def secrets_of(exporter: Any) -> Secrets:
    """Return what is secret of an exporter: of its headers and its address; never raises."""
    found: set[str] = set()
    for holder in (exporter, getattr(exporter, "_client", None)):
        with suppress(Exception):  # it may be anybody's
            found |= secrets_in(_pairs(getattr(holder, "_headers", None)))
        with suppress(Exception):
            found |= _of_address(str(getattr(holder, "_endpoint", "")))
    return frozenset(found)


def secret_texts(texts: Iterable[str]) -> Secrets:
    """Return texts as secrets: each as a whole, each word of it, and what is behind a ``=``."""
    found = {text.strip() for text in texts}
    found |= {text.partition("=")[2].strip() for text in found}
    return _in_all_forms({word for text in found for word in (text, *text.split())})


@contextmanager
def hidden_in_logs(secrets: Secrets) -> Iterator[None]:
    """Take secrets out of what libraries log meanwhile, in this thread, and out of `hidden`."""
    before = getattr(_scope, "secrets", None)
    _scope.secrets = secrets if before is None else before | secrets
    try:
        yield
    finally:
        _scope.secrets = before


class _Scope(threading.local):
    secrets: Secrets | None = None


class _Filter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        secrets = _scope.secrets
        if secrets is None:
            return True
        if record.name == _PARSER:  # it shows what it cannot read, which we tell without
            return False
        with suppress(Exception):
            _clean(record, secrets)
        return True


def _clean(record: logging.LogRecord, secrets: Secrets) -> None:
    message = record.getMessage()
    hidden = hide(message, secrets)
    if hidden != message:
        record.msg, record.args = hidden, None
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        if hide(trace, secrets) != trace:
            record.exc_info, record.exc_text = None, hide(trace, secrets)


_scope: Final = _Scope()
for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_Filter())


def _without_beginning(text: str, secrets: Secrets) -> str:
    """Return a text without the beginning of a secret that it ends with."""
    # Whoever cuts a text may say so, and what it is decoded from may end within a character.
    end = text.rstrip("….\ufffd \t\r\n")
    longest = 0
    for secret in secrets:
        if len(secret) < _LONG:
            continue
        least = max(min(_LONG, len(secret) // 2), longest + 1)
        for size in range(min(len(secret) - 1, len(end)), least - 1, -1):
            if end.endswith(secret[:size]):
                longest = size
                break
    return f"{end[:-longest]}…" if longest else text


def _pairs(headers: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(headers, Mapping):
        return headers.items()
    return headers or ()


def _basic(token: str) -> set[str]:
    """Return the user and the password in a header's value (RFC 7617)."""
    with suppress(binascii.Error, ValueError):
        both = base64.b64decode(token.strip(), validate=True).decode()
        return {both, both.partition(":")[2]}
    return set()


def _of_address(address: str) -> set[str]:
    parts = urlsplit(address)
    query = [parts.query, *(value for _, value in parse_qsl(parts.query))]
    user = parts.netloc.rpartition("@")[0]
    found = _in_all_forms({*query, user, unquote(user.partition(":")[2])})
    for encoding in ("latin-1", "utf-8"):  # clients make a header of it, in either
        with suppress(UnicodeEncodeError):
            both = unquote(user).encode(encoding)
            header = f"Basic {base64.b64encode(both).decode()}" if user else ""
            found |= secrets_in([("authorization", header)])
    return set(found)


def _in_all_forms(texts: Iterable[str]) -> Secrets:
    forms = ((text, quote(text), quote(text, safe=""), repr(text)[1:-1]) for text in texts)
    return frozenset(form for some in forms for form in some if len(form) >= _SHORTEST)
