"""What a program records, as OpenTelemetry's own encoder writes it: an exporter into a file.

`installed` makes it known by the name ``kept``, as any exporter is: ``OTEL_TRACES_EXPORTER=kept``.
It is fed beside others, and has nothing of phasetrace in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

FILE: Final = "KEPT"
"""The variable that names the file."""


class Kept(SpanExporter):
    """Appends each batch to the file; requests that follow each other are one request."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write spans."""
        with Path(os.environ[FILE]).open("ab") as file:
            file.write(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS


def installed(folder: Path, kept: Path) -> dict[str, str]:
    """Install the exporter into a folder; return the variables of a program that uses it."""
    about = folder / "kept-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kept\nVersion: 1\n")
    point = f"kept = kept_exporter:{Kept.__name__}"
    (about / "entry_points.txt").write_text(f"[opentelemetry_traces_exporter]\n{point}\n")
    shutil.copy(__file__, folder / "kept_exporter.py")
    return {"PYTHONPATH": str(folder), FILE: str(kept)}


def read_kept(file: Path) -> ExportTraceServiceRequest:
    """Return all that is in the file."""
    request = ExportTraceServiceRequest()
    request.ParseFromString(file.read_bytes())
    return request
