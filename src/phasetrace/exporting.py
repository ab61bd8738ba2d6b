"""Finding exporters by name and feeding them.

Exporters are found in the standard entry-point group, whoever installed them; nothing in here knows
a particular one, beyond the two names the OpenTelemetry specification gives to more than one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from phasetrace.errors import ConfigError
from phasetrace.settings import Settings, batch_limits_given

GROUP: Final = "opentelemetry_traces_exporter"
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_QUEUE: Final = 65_536
_CONSOLE_DELAY_MS: Final = 200


class CountingExporter(SpanExporter):
    """Passes spans on to `inner` and counts what became of them. Thread-safe."""

    def __init__(self, name: str, inner: SpanExporter) -> None:
        self.name = name
        self._inner = inner
        self._lock = threading.Lock()  # guards the counts
        self.delivered = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export and count."""
        try:
            result = self._inner.export(spans)
        except Exception:
            with self._lock:
                self.failed += len(spans)
            raise
        with self._lock:
            if result is SpanExportResult.SUCCESS:
                self.delivered += len(spans)
            else:
                self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._inner.force_flush(timeout_millis)


def make_exporters(settings: Settings) -> list[CountingExporter]:
    """Make the exporters that the settings name.

    Raises:
        ConfigError: if one is not installed, or cannot be made.
    """
    installed = {point.name: point for point in entry_points(group=GROUP)}
    exporters = []
    for name in settings.exporters:
        entry = _OTLP[settings.protocol] if name == "otlp" else name
        if name == "console" and "phasetrace_console" in installed:
            entry = "phasetrace_console"
        if entry not in installed:
            raise ConfigError(
                f"unknown exporter {name!r} (OTEL_TRACES_EXPORTER): installed are "
                f"{', '.join(sorted({*installed, 'otlp', 'none'}))}"
            )
        try:
            exporter = installed[entry].load()(**_arguments(entry, settings))
        except Exception as error:
            raise ConfigError(f"cannot make the exporter {name!r}: {error}") from error
        exporters.append(CountingExporter(entry, exporter))
    return exporters


def batch_processor(exporter: CountingExporter) -> BatchSpanProcessor:
    """Return a processor that feeds an exporter in batches, from a thread.

    The queue is larger than the SDK's 2,048, which a burst overruns within one export; a limit that
    is set by ``OTEL_BSP_*`` is left alone.
    """
    arguments: dict[str, Any] = {}
    given = batch_limits_given()
    if "OTEL_BSP_MAX_QUEUE_SIZE" not in given:
        arguments["max_queue_size"] = _QUEUE
    if exporter.name == "phasetrace_console" and "OTEL_BSP_SCHEDULE_DELAY" not in given:
        arguments["schedule_delay_millis"] = _CONSOLE_DELAY_MS
    return BatchSpanProcessor(exporter, **arguments)


def _arguments(entry: str, settings: Settings) -> dict[str, Any]:
    if settings.given_endpoint is None or entry not in _OTLP.values():
        return {}  # the exporter reads the environment itself
    if entry == _OTLP["http/protobuf"]:
        # The constructor takes the full address; a base is completed as the specification has it.
        base = settings.given_endpoint.rstrip("/")
        return {"endpoint": base if base.endswith("/v1/traces") else f"{base}/v1/traces"}
    return {"endpoint": settings.given_endpoint}
