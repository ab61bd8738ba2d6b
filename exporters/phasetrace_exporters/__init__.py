"""Where spans can go, beyond what OpenTelemetry itself brings.

Each module is one destination or file format, registered in the entry-point group
``opentelemetry_traces_exporter``: named in ``OTEL_TRACES_EXPORTER``, it works with phasetrace and
with the OpenTelemetry SDK alone.
"""

from __future__ import annotations

from phasetrace_exporters.console import ConsoleTreeExporter
from phasetrace_exporters.jsonl import JsonLinesExporter

__all__ = ["ConsoleTreeExporter", "JsonLinesExporter"]
