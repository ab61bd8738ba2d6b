"""Jaeger's HTTP query API: a few questions, each one request.

Sources: the gateway of API v3 in the Jaeger repository
(cmd/jaeger/internal/extension/jaegerquery/internal/apiv3), which in all releases reads parameters
in snake_case; and the API of its user interface, ``/api/traces``, which searches by attributes, as
v3 does in some releases only.

A trace comes as one JSON object with OTLP's JSON in ``result``, or as several, one behind the
other, as gateways of gRPC stream them. What is not found is a 404 with an ``error`` in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from phasetrace._version import __version__
from phasetrace.errors import SourceError
from phasetrace.recordings.http_get import (
    LedElsewhere,
    Limits,
    TookTooLong,
    TooLarge,
    basic_authorization,
    get,
)
from phasetrace.recordings.otlp_json import documents
from phasetrace.recordings.places import origin_of, shown

LIMITS: Final = Limits()
"""The search for a large trace takes seconds until the first byte."""

_EXPECTED: Final = "expected Jaeger's query service, such as http://localhost:16686"
_NOT_FOUND: Final = 404
_NS_PER_S: Final = 1_000_000_000
_LATEST_S: Final = 253_402_300_799  # the year 9999, in which datetime ends
_MOST_SHOWN: Final = 200
_MOST_READ: Final = 65_536


class Stretch(NamedTuple):
    """A stretch of time to search in (Unix ns)."""

    start_ns: int
    end_ns: int


class _Refused(Exception):
    """A request was answered with an error; it says why if that was Jaeger."""

    def __init__(self, status: int, message: str | None) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class QueryApi:
    """Asks one query service. Thread-safe: it keeps nothing.

    What the address has in front of its host is sent as ``Authorization: Basic``, beside further
    `headers`; messages have neither, but ``origin``. Every question raises `SourceError`, with one
    line to act on, if nothing answers in time, or something else than Jaeger.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, limits: Limits = LIMITS
    ) -> None:
        parts = _parts_of(url)
        self.origin = origin_of(parts)
        self.url = _base_of(parts)
        self._headers = {
            "Accept": "application/json",
            "User-Agent": f"phasetrace/{__version__}",
            **(headers or {}),
        }
        authorization = basic_authorization(parts)
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._limits = limits

    def trace(self, trace_id: str) -> list[Any]:
        """Return the documents of a trace as it was sent; none if there is no such trace."""
        path = f"/api/v3/traces/{quote(trace_id)}"
        try:
            return self._traces(path, {"raw_traces": "true"})
        except _Refused as error:
            raise self._failed(path, error) from None

    def search(
        self, service: str, within: Stretch, limit: int, name: str | None = None
    ) -> list[Any]:
        """Return the documents of a service's traces, of the newest if there are more than that.

        With a `name`, of those only that have a span of that name from the service. A limit beyond
        what the storage allows is lowered.
        """
        while True:
            asked = {
                "query.service_name": service,
                "query.start_time_min": _rfc3339(within.start_ns),
                "query.start_time_max": _rfc3339(within.end_ns),
                "query.num_traces": str(limit),  # until 2.16 or so
                "query.search_depth": str(limit),
                "query.raw_traces": "true",
                **({"query.operation_name": name} if name is not None else {}),
            }
            try:
                return self._traces("/api/v3/traces", asked)
            except _Refused as error:
                if "search depth" not in (error.message or "") or limit <= 1:
                    raise self._failed("/api/v3/traces", error) from None
                limit = limit // 4 or 1

    def services(self) -> list[str]:
        """Return the names of the services that there are traces of."""
        path = "/api/v3/services"
        try:
            answer = json.loads(self._get(path, {}))
            return [str(name) for name in answer["services"] or ()]
        except _Refused as error:
            raise self._failed(path, error) from None
        except (KeyError, TypeError, ValueError):
            raise self._not_jaeger(path) from None

    def trace_ids_with(self, service: str, name: str, value: str, within: Stretch) -> list[str]:
        """Return the ids of a service's traces in which a span has an attribute of this value.

        None of a service that only has the API v3.
        """
        asked = {
            "service": service,
            "tags": json.dumps({name: value}),
            "start": str(within.start_ns // 1_000),
            "end": str(within.end_ns // 1_000),
            "limit": "20",
        }
        path = "/api/traces"
        try:
            answer = json.loads(self._get(path, asked))
            return [str(trace["traceID"]).rjust(32, "0") for trace in answer["data"] or ()]
        except _Refused as error:
            if error.status == _NOT_FOUND:
                return []
            raise self._failed(path, error) from None
        except (KeyError, TypeError, ValueError):
            return []

    def _traces(self, path: str, asked: dict[str, str]) -> list[Any]:
        """Return the documents of traces; none if none is found.

        Raises:
            _Refused: if that cannot be told.
        """
        try:
            found = [document for _, document in documents(self._get(path, asked))]
        except _Refused as error:
            if error.status == _NOT_FOUND and error.message is not None:
                return []
            raise
        except (ValueError, RecursionError):
            raise self._not_jaeger(path) from None
        for document in found:
            if isinstance(document, dict) and "error" in document:  # in the middle of a stream
                raise _Refused(0, _message_of(document) or "no reason given")
        return found

    def _get(self, path: str, asked: dict[str, str]) -> str:
        """Return what is answered.

        Raises:
            _Refused: if that is an error.
            SourceError: if there is no answer, or none of Jaeger's.
        """
        url = f"{self.url}{path}{'?' if asked else ''}{urlencode(asked)}"
        try:
            content = get(url, self._headers, self._limits)
        except HTTPError as error:
            with error:
                raise _Refused(error.code, _read_message(error)) from None
        except LedElsewhere as error:
            raise SourceError(
                f"{self.origin} redirects to {error.origin}, where nothing is sent: give that"
                " address if it is the one that is meant"
            ) from None
        except TookTooLong:
            raise SourceError(
                f"{self.origin} takes longer than {self._limits.total_s:g} s to answer {path}"
            ) from None
        except TooLarge:
            size = f"{self._limits.most_bytes:,} bytes"
            raise SourceError(f"{self.origin} answers more than {size} for {path}") from None
        except (URLError, OSError, ValueError) as error:
            reason = f"cannot reach {self.origin}: {_reason(error)}"
            raise SourceError(f"{reason}; {_EXPECTED}") from None
        except Exception as error:  # of http.client: it does not speak HTTP, or was cut off
            reason = f"cannot read what {self.origin} answers: {_reason(error)}"
            raise SourceError(f"{reason}; {_EXPECTED}") from None
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise self._not_jaeger(path) from None
        if text.lstrip()[:1] != "{":
            raise self._not_jaeger(path)
        return text

    def _failed(self, path: str, error: _Refused) -> SourceError:
        if error.message is None:
            return self._not_jaeger(path, f"answers {error.status}")
        status = f" {error.status}" if error.status else ""
        return SourceError(f"{self.origin} answers an error{status}: {error.message}")

    def _not_jaeger(self, path: str, what: str = "answers something else than JSON") -> SourceError:
        return SourceError(f"{self.origin} {what} for {path}; {_EXPECTED}")


def _parts_of(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_address = False
    if not is_address:
        raise SourceError(f"{shown(url)!r} is no address; {_EXPECTED}")
    return parts


def _base_of(parts: SplitResult) -> str:
    """Return the address below which the API is; that of a page of the user interface will do."""
    path = parts.path
    for page in ("/trace/", "/search"):
        path = path.partition(page)[0]
    return f"{origin_of(parts)}{path.rstrip('/')}"


def _read_message(error: HTTPError) -> str | None:
    """Return the message of an error that was answered; None if it is not in Jaeger's form."""
    try:
        return _message_of(json.loads(error.read(_MOST_READ)))
    except Exception:  # the status says enough
        return None


def _message_of(document: Any) -> str | None:
    """Return the message of an error in the form of either API; None if it is none of those."""
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if isinstance(error, dict):
        return str(error.get("message", ""))[:_MOST_SHOWN]
    errors = document.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("msg", ""))[:_MOST_SHOWN]
    return None


def _reason(error: BaseException) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    text = str(getattr(cause, "strerror", None) or cause)
    # It may be what was answered, whatever that is.
    return text[:_MOST_SHOWN] if text and text.isprintable() else type(cause).__name__


def _rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(max(0, time_ns), _NS_PER_S)
    moment = datetime.fromtimestamp(min(seconds, _LATEST_S), timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
