"""Spans in a file of OTLP JSON lines: no server, and every tool that reads OTLP reads it.

A line is a ``TracesData`` with the spans of one call, as the Collector's file exporter writes them
(OTLP specification, "JSON File Serialization"); its receiver, `phasetrace import` and whatever has
``--source`` take the file. Which file that is, the environment says: ``PHASETRACE_JSONL``, by
default ``.logs/traces.jsonl`` below the working directory, beside the TIMING log; and how large it
gets, and how many are kept, ``PHASETRACE_JSONL_ROTATION``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from phasetrace import faults
from phasetrace.encoded import encoded
from phasetrace.recordings.otlp_messages import traces_json
from phasetrace.redacted_spans import redact_by_environment
from phasetrace.settings import json_lines_file
from phasetrace_exporters.rotating_file import RotatingFile


class JsonLinesExporter(SpanExporter):
    """Appends spans to a file, which other processes may do as well.

    Without arguments the environment says to which. Works in any processor of any SDK provider. A
    failure to write is counted and reported, never raised. Thread-safe, and a forked child may go
    on with it.

    Raises:
        ConfigError: if the environment names no file that can be, when the exporter is made.
    """

    def __init__(
        self, path: str | Path | None = None, max_bytes: int | None = None, files: int = 1
    ) -> None:
        if path is None:
            path, max_bytes, files = json_lines_file()
        redact_by_environment()
        self._file = RotatingFile(Path(path), max_bytes, files)
        self._shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans, as one line; they are in the file when this returns."""
        if self._shut_down:
            faults.report("writing spans after the exporter was shut down")
            return SpanExportResult.FAILURE
        try:
            messages = [message for message in encoded(spans) if message is not None]
            if messages:
                line = json.dumps(traces_json(messages), separators=(",", ":"))
                self._file.append(line.encode("ascii") + b"\n")
        except Exception as error:
            faults.report(f"writing spans to {self._file.path}", error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if len(messages) == len(spans) else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is kept back."""
        return True

    def shutdown(self) -> None:
        """Let go of the file."""
        self._shut_down = True
        self._file.close()
