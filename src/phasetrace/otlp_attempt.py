"""One attempt to send a request through an official OTLP exporter, and what it was answered.

By themselves, these exporters try again for ten seconds, log each failure, and answer no more than
success or failure. Whoever keeps the spans would rather try again itself, when it suits, and knows
then what to say about it. So here they try once, with no wait (a connection that turns out to be
broken they may replace), are silent, and what comes over the wire is looked at on its way.
Everything else is theirs: configuration, TLS, headers, compression, transport, metrics.

What is exchanged for that is on a view of the exporter (see `phasetrace.views`), made for a call:
others who use the same exporter, at the same time even, do not notice.

Inside of the releases:

- gRPC, 1.39 to 1.45: `_export` calls ``self._client.Export``.
- HTTP, 1.39 to 1.44: `export` calls `_export`, which calls ``self._session.post``, of requests.
- HTTP, 1.45: `export` calls ``self._client.export``, that calls ``self._transport.request``, and
  that, if it is the usual one, ``self._session.request``, of requests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from phasetrace.otlp_bytes import (
    GRPC,
    HTTP,
    BytesNotTakenError,
    GrpcClient,
    itself,
    send,
    transport_of,
)
from phasetrace.otlp_clients import Seen, WatchedGrpcClient, WatchedSession, WatchedTransport
from phasetrace.verdict import Outcome, Verdict, answered, raised
from phasetrace.views import View, run_on, runs_anywhere

Attempt = Callable[[bytes, int, float | None], Verdict]
"""Takes a serialized ExportTraceServiceRequest, the number of spans in it, and seconds to try."""

_SILENT: Final = logging.Logger("phasetrace.silent")
_SILENT.disabled = True


def attempts(exporter: Any) -> Attempt | None:
    """Return what sends bytes through an exporter, once; None if it is not known that far inside.

    It raises nothing but `BytesNotTakenError`, when the exporter turns out not to be as known.
    """
    transport = transport_of(exporter)
    if transport == GRPC and runs_anywhere(exporter, "_export", "_MAX_RETRYS", "_timeout"):
        return partial(_attempt, exporter, partial(_over_grpc, GrpcClient(exporter)))
    if transport != HTTP:
        return None
    if runs_anywhere(exporter, "export", "_export", "_MAX_RETRYS", "_timeout") and runs_anywhere(
        exporter, "_export", "_session", "post"
    ):
        return partial(_attempt, exporter, _over_session)
    client = getattr(exporter, "_client", None)
    if (
        runs_anywhere(exporter, "export", "_client", "export")
        and runs_anywhere(client, "export", "_submit", "_MAX_RETRIES", "_timeout")
        and runs_anywhere(client, "_submit", "_transport", "request")
    ):
        return partial(_attempt, exporter, _over_transport)
    return None


LONGEST_S: Final = 60.0
"""What has not been answered by then is sent again."""
_Prepare = Callable[[Any, Seen], Callable[[Any], object]]
"""Returns an exporter's `export` that tries once, and has noted what it sees."""


def _attempt(
    exporter: Any, prepare: _Prepare, payload: bytes, spans: int, timeout_s: float | None
) -> Verdict:
    if getattr(exporter, "_shutdown", False) is True:
        return Verdict(Outcome.UNKNOWN, "the exporter has been shut down")
    seen = Seen(_shorter(configured_timeout_s(exporter), timeout_s))
    result: object = None
    try:
        result = send(prepare(exporter, seen), payload, spans)
    except BytesNotTakenError:
        raise
    except Exception as error:
        return seen.verdict or raised(error)
    limit = getattr(exporter, "_max_request_size", None)
    if seen.verdict is None and limit and 0 < limit < len(payload):
        reason = f"{len(payload)} bytes are more than the exporter's max_request_size, {limit}"
        return Verdict(Outcome.TOO_LARGE, reason)
    return seen.verdict or answered(result)


def configured_timeout_s(exporter: Any) -> float:
    """Return for how many seconds an exporter that has attempts is set to try, 60 at most.

    Whoever writes the specification's milliseconds where Python's exporters read seconds would have
    one connection that is stuck hold everything up for hours.
    """
    of = exporter if hasattr(exporter, "_timeout") else exporter._client
    return min(float(of._timeout), LONGEST_S)


def _shorter(configured_s: float, asked_s: float | None) -> float:
    return configured_s if asked_s is None else min(configured_s, asked_s)


def _over_grpc(client: GrpcClient, exporter: Any, seen: Seen) -> Callable[[Any], object]:
    view = View(
        exporter,
        _client=WatchedGrpcClient(client, seen, _address(exporter)),
        _translate_data=itself,
        _timeout=seen.timeout_s,
    )
    run_on(view, "_export", _MAX_RETRYS=1, logger=_SILENT)
    return run_on(view, "export")


def _address(exporter: Any) -> str:
    return str(getattr(exporter, "_endpoint", "the receiver")).rpartition("@")[2]


def _over_session(exporter: Any, seen: Seen) -> Callable[[Any], object]:
    session = WatchedSession(exporter._session, seen)
    view = View(exporter, _session=session, _timeout=seen.timeout_s)
    run_on(view, "_export")
    return run_on(view, "export", encode_spans=itself, _MAX_RETRYS=1, _logger=_SILENT)


def _over_transport(exporter: Any, seen: Seen) -> Callable[[Any], object]:
    client = View(
        exporter._client,
        _transport=_watched(exporter._client._transport, seen),
        _timeout=seen.timeout_s,
        _logger=_SILENT,
    )
    run_on(client, "_submit")
    run_on(client, "export", _MAX_RETRIES=1)
    return run_on(View(exporter, _client=client), "export", encode_spans=itself, _logger=_SILENT)


def _watched(transport: Any, seen: Seen) -> Any:
    if runs_anywhere(transport, "request", "_session", "request"):
        view = View(transport, _session=WatchedSession(transport._session, seen))
        run_on(view, "request")
        return view
    return WatchedTransport(transport, seen)
