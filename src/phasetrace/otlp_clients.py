"""The clients inside the official OTLP exporters, watched: what is answered is noted.

They do what the clients do that they stand for. A session of requests is held to the time of the
call, too: by itself it allows a receiver as much for every few bytes, and for another try at
connecting. What it does not bound are headers that come byte by byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from phasetrace.grpc_unreachable import grpc_network_verdict
from phasetrace.receiver import grpc_success, grpc_verdict, http_verdict
from phasetrace.unreachable import BAD_HEADER, network_verdict
from phasetrace.verdict import Verdict
from phasetrace.views import View

_MAX_BODY: Final = 4_096
"""Bytes of a response that are looked at; what receivers have to say is shorter."""
_LEAST_S: Final = 0.001
"""HTTP clients take a timeout of nothing for a mistake."""


class Seen:
    """What is seen during one call, by the thread that makes it."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.verdict: Verdict | None = None
        """The last answer: an exporter replaces a broken connection once."""
        self._deadline = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """For how many seconds the call may still go on; negative when it may not."""
        return self._deadline - time.monotonic()


class WatchedSession:
    """A `requests.Session`."""

    def __init__(self, session: Any, seen: Seen) -> None:
        self._session = session
        self._seen = seen
        self._error: Exception | None = None

    def post(self, **request: Any) -> Any:
        """Post, and return the response with as much of its body as there is time for."""
        return self._watch(self._session.post, request)

    def request(self, **request: Any) -> Any:
        """Request, and return the response with as much of its body as there is time for."""
        return self._watch(self._session.request, request)

    def _watch(self, call: Callable[..., Any], request: dict[str, Any]) -> Any:
        if self._error is not None and self._seen.left_s <= 0:
            raise self._error
        timeout_s = max(_LEAST_S, self._seen.left_s)
        # Said with the request, as releases before 1.45 do: what only the session says gives way to
        # REQUESTS_CA_BUNDLE.
        said = {"verify": self._session.verify, "cert": self._session.cert}
        headers = {**self._session.headers, **(request.get("headers") or {})}
        is_said = "authorization" in map(str.lower, headers)
        if is_said and "@" not in urlsplit(str(request.get("url"))).netloc:
            said["auth"] = _as_it_is  # else an entry in ~/.netrc is sent in its place
        # Elsewhere the headers are a stranger's to read, whatever the one says that sends us there.
        said["allow_redirects"] = False
        try:
            response = call(**{**said, **request, "timeout": timeout_s, "stream": True})
        except Exception as error:
            self._error = error
            self._seen.verdict = network_verdict(error, str(request.get("url")))
            raise
        body = self._body(response)
        self._seen.verdict = http_verdict(
            response.status_code, response.reason, _small(response.headers), body
        )
        return View(response, content=body, text=body.decode(errors="replace"))

    def _body(self, response: Any) -> bytes:
        body = bytearray()
        with suppress(Exception):  # the status is what counts
            # Byte by byte, because a piece is waited for until it is complete.
            for byte in response.iter_content(1):
                body += byte
                if len(body) >= _MAX_BODY or self._seen.left_s <= 0:
                    response.close()
                    break
        return bytes(body)


def _as_it_is(request: Any) -> Any:
    """Authenticate a request by what it says already."""
    return request


class WatchedTransport:
    """An HTTP transport of OpenTelemetry (since 1.45)."""

    def __init__(self, transport: Any, seen: Seen) -> None:
        self._transport = transport
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def request(self, method: str, url: str, **more: Any) -> Any:
        """Request, and return the transport's result."""
        result = self._transport.request(method, url, **more)
        with suppress(Exception):  # it may be anybody's
            if result.error is not None:
                self._seen.verdict = network_verdict(result.error, url)
            elif result.status_code is not None:
                self._seen.verdict = http_verdict(
                    result.status_code,
                    result.reason or "",
                    _small(result.headers()),
                    result.content()[:_MAX_BODY],
                )
        return result


class WatchedGrpcClient:
    """A ``TraceServiceStub`` for a receiver at an address."""

    def __init__(self, client: Any, seen: Seen, address: str = "the receiver") -> None:
        self._client = client
        self._seen = seen
        self._address = address

    def Export(self, *args: Any, **more: Any) -> Any:  # noqa: N802 - the service's name
        """Call the receiver, and return its response."""
        try:
            response = self._client.Export(*args, **more)
        except ValueError as error:
            if "metadata" in str(error):
                self._seen.verdict = BAD_HEADER
            raise
        except Exception as error:
            with suppress(Exception):  # no status; then the exception itself is all that is known
                status: Any = error
                details = status.details() or ""
                self._seen.verdict = grpc_network_verdict(details, self._address) or grpc_verdict(
                    status.code().name, details, status.trailing_metadata()
                )
            raise
        self._seen.verdict = grpc_success(response)
        return response


def _small(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
