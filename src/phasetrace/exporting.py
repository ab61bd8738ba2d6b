"""Finding exporters by name and feeding them.

Exporters are found in the standard entry-point group, whoever installed them; nothing in here knows
a particular one, beyond the two names the OpenTelemetry specification gives to more than one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from phasetrace.errors import ConfigError
from phasetrace.feed import Feed
from phasetrace.settings import BatchLimits, Settings, batch_limits, compression_is_off
from phasetrace.variables import redacted

GROUP: Final = "opentelemetry_traces_exporter"
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_CONSOLE_DELAY_MS: Final = 200
_UNDO_TIMEOUT_S: Final = 1.0


def make_feeds(settings: Settings) -> list[Feed]:
    """Make the exporters that the settings name, each with a feed; those given are taken as such.

    Raises:
        ConfigError: if one is not installed, or cannot be made.
    """
    names = [name for name in settings.exporters if isinstance(name, str)]
    installed = {point.name: point for point in entry_points(group=GROUP)} if names else {}
    entries = {name: _entry(name, installed, settings) for name in names}  # all, before any is made
    limits = batch_limits()
    feeds: list[Feed] = []
    made: list[Feed] = []
    for exporter in settings.exporters:
        if not isinstance(exporter, str):
            feeds.append(Feed(type(exporter).__name__, exporter, limits))
            continue
        entry = entries[exporter]
        try:
            ours = installed[entry].load()(**_arguments(entry, settings))
        except Exception as error:
            shut_down(made, _UNDO_TIMEOUT_S)
            reason = redacted(f"{type(error).__name__}: {error}")
            raise ConfigError(f"cannot make the exporter {exporter!r}: {reason}") from None
        made.append(Feed(entry, ours, _limits(entry, limits)))
        feeds.append(made[-1])
    return feeds


def _entry(name: str, installed: dict[str, Any], settings: Settings) -> str:
    entry = _OTLP[settings.protocol] if name == "otlp" else name
    if name == "console" and "phasetrace_console" in installed:
        entry = "phasetrace_console"
    if entry not in installed:
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


def force_flush(feeds: Sequence[Feed], timeout_s: float) -> bool:
    """Flush feeds side by side, for at most this long; return whether each of them managed to."""
    flushes = [(feed, feed.begin_flush(timeout_s)) for feed in feeds]
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
    if entry == _OTLP["grpc"] and compression_is_off():
        from grpc import Compression

        # The specification's "none" is not among the values that the gRPC exporter knows.
        arguments["compression"] = Compression.NoCompression
    if settings.given_endpoint is not None and entry in _OTLP.values():
        endpoint = settings.given_endpoint
        if entry == _OTLP["http/protobuf"] and not endpoint.rstrip("/").endswith("/v1/traces"):
            # The constructor takes the full address; a base is completed as the specification says.
            endpoint = f"{endpoint.rstrip('/')}/v1/traces"
        arguments["endpoint"] = endpoint
    return arguments
