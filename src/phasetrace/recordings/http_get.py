"""One GET over HTTP, which ends: a limit of time for all of it, and one of size.

A timeout of `http.client` is that of one call of the system: who sends a byte now and then is never
too late for it. Here what comes over the connection is read through `_Timed`, from the first byte
of the status on, and what is left of the time is the timeout of each call.

A redirect is followed within its origin only: headers may be secret.
"""

from __future__ import annotations

import base64
import http.client
import io
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    Request,
    build_opener,
)

from phasetrace.recordings.places import origin_of

_CHUNK: Final = 256 * 1024
_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = (301, 302, 303, 307, 308)


class Limits(NamedTuple):
    """How long may pass without any progress, how long in all, and how much is read."""

    idle_s: float = 30.0
    total_s: float = 120.0
    most_bytes: int = 1024**3


class TookTooLong(OSError):
    """The answer was not there in time, though something came all the time."""


class TooLarge(OSError):
    """The answer is longer than is read."""


class LedElsewhere(OSError):
    """A redirect leads to another origin, which is ``origin``."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        super().__init__(f"it redirects to {origin}")


def get(url: str, headers: Mapping[str, str], limits: Limits) -> bytes:
    """Return the content that a server answers.

    Raises:
        HTTPError: if it answers an error.
        TookTooLong: if the answer takes longer than it may in all.
        TooLarge: if it is longer than it may be.
        LedElsewhere: if it is to be asked for elsewhere.
        OSError: if there is no connection (`URLError`), or no progress on it (`TimeoutError`).
        http.client.HTTPException: if something else than HTTP is spoken.
    """
    until = time.monotonic() + limits.total_s
    opener = build_opener(_Http(until), _Https(until), _NoRedirect())
    for _ in range(_MOST_REDIRECTS):
        request = Request(url, headers=dict(headers))  # noqa: S310 - of HTTP, as the caller knows
        try:
            with opener.open(request, timeout=limits.idle_s) as answer:
                return _content(answer, limits.most_bytes)
        except HTTPError as error:
            there = error.headers.get("Location") if error.code in _REDIRECTS else None
            if not there:
                raise
            error.close()
            url = _led_to(url, there)
    raise http.client.HTTPException("it redirects again and again")


def _led_to(url: str, there: str) -> str:
    """Return where a redirect leads to, within the origin."""
    there = urljoin(url, there)
    try:
        origin = origin_of(urlsplit(there))
    except ValueError:
        origin = "what is no address"
    if origin != origin_of(urlsplit(url)):
        raise LedElsewhere(origin)
    return there


def _content(answer: Any, most_bytes: int) -> bytes:
    content = bytearray()
    while chunk := answer.read(min(_CHUNK, most_bytes + 1 - len(content))):
        content += chunk
        if len(content) > most_bytes:
            raise TooLarge(f"it is longer than {most_bytes:,} bytes")
    if answer.length:  # so much was announced, and did not come
        raise http.client.IncompleteRead(b"", answer.length)
    return bytes(content)


def basic_authorization(parts: SplitResult) -> str | None:
    """Return the ``Authorization`` for what an address has in front of its host (RFC 7617)."""
    if parts.username is None and parts.password is None:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode('utf-8', 'surrogateescape')).decode('ascii')}"


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Have a redirect be an error, whose body nobody reads."""


class _Timed(io.RawIOBase):
    """What comes over a socket, until a moment of the monotonic clock."""

    def __init__(self, sock: Any, until: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._idle_s = sock.gettimeout()
        self._until = until

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, waiting for something for as long as there is time."""
        left_s = self._until - time.monotonic()
        if left_s > 0:
            self._sock.settimeout(min(self._idle_s, left_s))
            try:
                return int(self._raw.readinto(buffer))
            except TimeoutError:
                if left_s > self._idle_s:
                    raise
        raise TookTooLong("it takes too long")

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


class _TimedSocket:
    """A connected socket for `http.client`, whose file is `_Timed`."""

    def __init__(self, sock: Any, until: float) -> None:
        self._sock = sock
        self._until = until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a file to read from."""
        return io.BufferedReader(_Timed(self._sock, self._until))


class _Http(HTTPHandler):
    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until

    def http_open(self, req: Request) -> Any:
        """Ask, and return the answer."""
        return self.do_open(_timed(http.client.HTTPConnection, self._until), req)


class _Https(HTTPSHandler):
    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until

    def https_open(self, req: Request) -> Any:
        """Ask, and return the answer."""
        return self.do_open(_timed(http.client.HTTPSConnection, self._until), req)


def _timed(kind: type[http.client.HTTPConnection], until: float) -> Any:
    """Return a class of connections that are read from until a moment."""

    class Timed(kind):  # type: ignore[valid-type, misc]
        sock: Any

        def connect(self) -> None:
            super().connect()
            self.sock = _TimedSocket(self.sock, until)

    return Timed
