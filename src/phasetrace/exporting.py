"""Finding exporters by name, and saying where what they are to get comes from.

Exporters are found in the standard entry-point group, whoever installed them; nothing in here knows
a particular one, beyond the names that the OpenTelemetry specification gives.

A destination that a name and the environment describe is served from the store, by this process or
another one, now or later. What only this process has (its own streams, an object that a call was
given) is fed from memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from typing import Any, Final, NamedTuple

from phasetrace import faults
from phasetrace.credential_provider import missing_provider
from phasetrace.destination import Destination
from phasetrace.environment import own_environ, standard_variables
from phasetrace.errors import ConfigError
from phasetrace.feed import Feed, Flush
from phasetrace.header_list import read_header_list, what_is_wrong
from phasetrace.hiding import Secrets, hidden_in_logs, hide, secret_texts, secrets_in
from phasetrace.remedies import explained
from phasetrace.sending import (
    compression_is_off,
    exporter_variables,
    otlp_endpoint,
    otlp_headers,
    otlp_variables,
    tls_of_grpc,
)
from phasetrace.settings import JSON_LINES, BatchLimits, Settings, batch_limits, json_lines_file
from phasetrace.store.destinations import DestinationSpec
from phasetrace.tls_files import usable_pems
from phasetrace.variables import redacted
from phasetrace.verdict import Verdict
from phasetrace.way import digest, sender, way

GROUP: Final = "opentelemetry_traces_exporter"
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_STREAMS: Final = frozenset({"console", "phasetrace_console"})
_CONSOLE_DELAY_MS: Final = 200
_RECONNECT_MS: Final = 2_000


class Outlet(NamedTuple):
    """One exporter that the settings name."""

    name: str
    exporter: Any
    """None if it is another process that makes it."""
    make: Callable[[], Any] | None
    """Makes another one; None if the exporter was given."""
    limits: BatchLimits
    spec: DestinationSpec | None
    """What the store knows the destination by; None if it is fed from memory."""
    explain: Callable[[Verdict], str] = attrgetter("reason")
    """Says why spans did not arrive, in one line."""

    def feed(self) -> Feed:
        """Return what feeds the exporter from memory."""
        return Feed(self.name, self.exporter, self.limits, self.explain)

    def again(self) -> Outlet:
        """Return the same with an exporter of its own, for a forked child; a given one stays."""
        return self._replace(exporter=self.make()) if self.make is not None else self


def make_outlets(settings: Settings, makes: bool = True) -> list[Outlet]:
    """Find the exporters that the settings name, and make them; those given are taken as such.

    `makes` False makes only those that no other process can serve.

    Raises:
        ConfigError: if one is not installed, or cannot be made.
    """
    names = [name for name in settings.exporters if isinstance(name, str)]
    installed = {point.name: point for point in entry_points(group=GROUP)} if names else {}
    entries = {name: _entry(name, installed, settings) for name in names}  # all, before any is made
    limits = batch_limits()
    outlets: list[Outlet] = []
    for exporter in settings.exporters:
        if not isinstance(exporter, str):
            outlets.append(Outlet(type(exporter).__name__, exporter, None, limits, None))
            continue
        entry = entries[exporter]
        spec = _spec(entry, settings) if settings.store is not None else None
        make = partial(_make, installed[entry], settings)
        _tell_of_headers(entry, settings)
        made = None
        if makes or spec is None:
            try:
                made = make()
            except Exception as error:
                for outlet in outlets:
                    _undo(outlet)
                if entry in _OTLP.values():
                    missing = missing_provider(own_environ(), entry == _OTLP["grpc"])
                    if missing:
                        raise ConfigError(missing) from None
                reason = hide(redacted(f"{type(error).__name__}: {error}"), _secrets())
                raise ConfigError(f"cannot make the exporter {exporter!r}: {reason}") from None
        explain = _explanation(entry, settings)
        outlets.append(Outlet(entry, made, make, _limits(entry, limits), spec, explain))
    return outlets


def _make(entry: EntryPoint, settings: Settings) -> Any:
    is_grpc = entry.name == _OTLP["grpc"]
    # It logs what it cannot read of the headers.
    with hidden_in_logs(_secrets()), standard_variables(is_grpc):
        return entry.load()(**_arguments(entry.name, settings))


def _explanation(entry: str, settings: Settings) -> Callable[[Verdict], str]:
    if entry not in _OTLP.values():
        return attrgetter("reason")
    is_grpc = entry == _OTLP["grpc"]
    endpoint, variables = otlp_endpoint(settings, is_grpc), otlp_variables(settings)
    return partial(explained, endpoint=endpoint, is_grpc=is_grpc, variables=variables)


def _tell_of_headers(entry: str, settings: Settings) -> None:
    """Say what of the headers cannot be sent, in place of the exporter, and once."""
    if entry in _OTLP.values():
        for text in otlp_headers():
            for what in what_is_wrong(text):
                faults.tell(f"{otlp_variables(settings).headers}: {what}")


def _secrets() -> Secrets:
    """Return what is secret of the headers, whatever is wrong with them."""
    found: set[str] = set()
    for text in otlp_headers():
        read = read_header_list(text)
        found |= secrets_in(read.headers.items()) | secret_texts(read.texts)
    return frozenset(found)


def _undo(outlet: Outlet) -> None:
    if outlet.make is not None and outlet.exporter is not None:
        Destination(outlet.name, outlet.exporter).shutdown()


def _spec(entry: str, settings: Settings) -> DestinationSpec | None:
    """Return what tells a destination from others; None for a stream of this process's own."""
    if entry in _STREAMS:
        return None
    endpoint, secrets = None, exporter_variables()
    if entry in _OTLP.values():
        is_grpc = entry == _OTLP["grpc"]
        endpoint = otlp_endpoint(settings, is_grpc)
        secrets = [*otlp_headers(), *sender(settings, is_grpc, endpoint)]
    elif entry == JSON_LINES:  # of another folder it is another file
        endpoint, secrets = str(json_lines_file().path), []
    shown = redacted(endpoint) if endpoint is not None else None
    key = f"{entry} {shown or ''}".strip()
    if secrets or shown != endpoint:  # who sends, and with what rights, makes a difference
        key = f"{key} #{digest([endpoint or '', *secrets])}"
    return DestinationSpec(key, entry, shown, False, way(settings))


def _entry(name: str, installed: dict[str, Any], settings: Settings) -> str:
    entry = _OTLP[settings.protocol] if name == "otlp" else name
    if name == "console" and "phasetrace_console" in installed:
        entry = "phasetrace_console"
    if entry not in installed:  # the specification has the case of such names not matter
        alike = [one for one in installed if one.lower() == entry.lower()]
        if len(alike) == 1:
            return alike[0]
        source = "exporters" if settings.exporters_given else "OTEL_TRACES_EXPORTER"
        raise ConfigError(
            f"{source}={name!r}: no such exporter is installed; there are "
            f"{', '.join(sorted({*installed, 'otlp', 'none'}))}"
        )
    return entry


def _limits(entry: str, limits: BatchLimits) -> BatchLimits:
    if entry == "phasetrace_console" and limits.schedule_delay_ms is None:
        return limits._replace(schedule_delay_ms=_CONSOLE_DELAY_MS)
    return limits


def begin_flush(feeds: Sequence[Feed], timeout_s: float) -> list[tuple[Feed, Flush]]:
    """Begin to flush feeds side by side, for at most this long."""
    return [(feed, feed.begin_flush(timeout_s)) for feed in feeds]


def end_flush(flushes: list[tuple[Feed, Flush]]) -> bool:
    """Wait for feeds to be flushed; return whether each of them managed to."""
    answers = [feed.end_flush(flush) for feed, flush in flushes]
    return all(answers)


def shut_down(feeds: Sequence[Feed], timeout_s: float) -> None:
    """Let feeds export what they have, side by side, for at most this long."""
    deadline = time.monotonic() + timeout_s
    for feed in feeds:
        feed.begin_shutdown()
    for feed in feeds:
        feed.shutdown(max(0.0, deadline - time.monotonic()))


def _arguments(entry: str, settings: Settings) -> dict[str, Any]:
    """Return what an exporter is to be told; the environment it reads itself."""
    arguments: dict[str, Any] = {}
    if entry == _OTLP["grpc"]:
        # Otherwise gRPC itself waits longer and longer after an outage, for up to two minutes.
        arguments["channel_options"] = (("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),)
        arguments.update(_tls(settings))
    if entry == _OTLP["grpc"] and compression_is_off():
        from grpc import Compression

        # The specification's "none" is not among the values that the gRPC exporter knows.
        arguments["compression"] = Compression.NoCompression
    if settings.given_endpoint is not None and entry in _OTLP.values():
        arguments["endpoint"] = otlp_endpoint(settings, entry == _OTLP["grpc"])
    return arguments


def _tls(settings: Settings) -> dict[str, Any]:
    """Return what the exporter over gRPC is to be told of TLS.

    By itself it uses a client's certificate only where an authority's is named for the same
    signals, has INSECURE win over a scheme, and hands gRPC a certificate without a key, which ends
    the process.
    """
    is_tls = tls_of_grpc(otlp_endpoint(settings, True))
    if is_tls is None:
        return {}
    if not is_tls:
        return {"insecure": True}
    import grpc

    pems = usable_pems(otlp_variables(settings))
    return {"insecure": False, "credentials": grpc.ssl_channel_credentials(*pems)}
