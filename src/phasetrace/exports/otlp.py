"""OTLP JSON lines: a ``TracesData`` a line, as the Collector's file exporter writes them.

Source: OTLP specification, "JSON File Serialization". Everything that a span has is in there, so
that `phasetrace import` makes the same execution of it, and other tools take it for a trace.

A span that has not ended has no place in it: OTLP asks for both times, and of a span whose end is 0
readers make one that took no time, or less than none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from phasetrace.exports.exported import ExportedExecution


def otlp_lines(exported: ExportedExecution) -> Iterator[str]:
    """Give the lines of the file."""
    for document in exported.traces():
        yield json.dumps(document, separators=(",", ":")) + "\n"
