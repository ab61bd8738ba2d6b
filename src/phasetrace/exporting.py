"""Finding exporters by name and feeding them.

Exporters are found in the standard entry-point group, whoever installed them; nothing in here knows
a particular one, beyond the two names the OpenTelemetry specification gives to more than one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from phasetrace import faults
from phasetrace.errors import ConfigError
from phasetrace.settings import Settings, batch_limits_given, compression_is_off
from phasetrace.variables import redacted

GROUP: Final = "opentelemetry_traces_exporter"
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_QUEUE: Final = 65_536
_CONSOLE_DELAY_MS: Final = 200
# OpenTelemetry specification, "Batch Span Processor".
_BATCH_DEFAULTS: Final[dict[str, Any]] = {
    "schedule_delay_millis": 5_000,
    "max_export_batch_size": 512,
    "export_timeout_millis": 30_000,
}


class CountingExporter(SpanExporter):
    """Passes spans on to `inner` and counts what became of them. Thread-safe; never raises."""

    def __init__(self, name: str, inner: Any) -> None:
        self.name = name
        self.inner = inner
        self.kept = False
        """The exporter is somebody else's to shut down, or goes on in another configuration."""
        self._lock = threading.Lock()  # guards the counts
        self.delivered = 0
        self.failed = 0
        self.in_flight = 0
        """Spans that the exporter has not answered for yet."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export and count."""
        with self._lock:
            self.in_flight += len(spans)
        try:
            result = self.inner.export(spans)
        except Exception as error:
            faults.report(f"exporting to {self.name}", error)
            result = SpanExportResult.FAILURE
        with self._lock:
            self.in_flight -= len(spans)
            if result is SpanExportResult.SUCCESS:
                self.delivered += len(spans)
            else:
                self.failed += len(spans)
        return SpanExportResult(result) if result is not None else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Shut the exporter down, unless it is kept."""
        if self.kept:
            return
        try:
            self.inner.shutdown()
        except Exception as error:
            faults.report(f"shutting the exporter {self.name} down", error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self.inner.force_flush(timeout_millis) is not False


def make_exporters(settings: Settings) -> list[CountingExporter]:
    """Make the exporters that the settings name; exporters given as such are taken as they are.

    Raises:
        ConfigError: if one is not installed, or cannot be made.
    """
    names = [name for name in settings.exporters if isinstance(name, str)]
    installed = {point.name: point for point in entry_points(group=GROUP)} if names else {}
    entries = {name: _entry(name, installed, settings) for name in names}  # all, before any is made
    exporters = []
    for exporter in settings.exporters:
        if not isinstance(exporter, str):
            exporters.append(CountingExporter(type(exporter).__name__, exporter))
            continue
        entry = entries[exporter]
        try:
            made = installed[entry].load()(**_arguments(entry, settings))
        except Exception as error:
            for earlier in exporters:
                if isinstance(earlier.name, str) and earlier.name in entries.values():
                    earlier.shutdown()
            reason = redacted(f"{type(error).__name__}: {error}")
            raise ConfigError(f"cannot make the exporter {exporter!r}: {reason}") from None
        exporters.append(CountingExporter(entry, made))
    return exporters


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
    try:
        return BatchSpanProcessor(exporter, **arguments)
    except ValueError as error:  # a variable holds a number that makes no sense
        faults.logger.warning("phasetrace: OTEL_BSP_*: %s; the defaults are used", error)
        return BatchSpanProcessor(exporter, _QUEUE, **_BATCH_DEFAULTS)


def shut_down(processors: Sequence[BatchSpanProcessor], timeout_s: float) -> None:
    """Let processors export what they have, side by side, for at most this long.

    Their own shutdown waits for 30 s, one after the other, if a destination does not answer.
    """
    deadline = time.monotonic() + timeout_s
    threads = []
    for processor in processors:
        end: Any = processor.shutdown
        thread = threading.Thread(target=end, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            _shut_down_here(processor, deadline - time.monotonic())
            continue
        threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _shut_down_here(processor: BatchSpanProcessor, timeout_s: float) -> None:
    # The public shutdown takes no limit; what it calls does.
    inner: Any = getattr(processor, "_batch_processor", None)
    try:
        inner.shutdown(timeout_millis=max(0, int(timeout_s * 1000)))
    except (AttributeError, TypeError):
        end: Any = processor.shutdown
        end()


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
