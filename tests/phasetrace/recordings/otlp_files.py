"""Writing what is in a store as OTLP JSON lines, by the official messages and their JSON."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from phasetrace.wire import Block, frame_blocks

_IDS = ("traceId", "spanId", "parentSpanId")


def write_otlp(store: Path, file: Path) -> Path:
    """Write all spans of a store into a file, a line a block."""
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines(store)))
    return file


def lines(store: Path) -> Iterator[dict[str, Any]]:
    """Give the blocks of a store in OTLP's JSON."""
    with closing(sqlite3.connect(store)) as connection:
        blocks = connection.execute(
            "SELECT r.payload, r.schema_url, s.payload, s.schema_url, b.payload FROM blocks b"
            " JOIN streams t ON t.id = b.stream JOIN resources r ON r.id = t.resource"
            " JOIN scopes s ON s.id = t.scope ORDER BY b.seq"
        ).fetchall()
    for block in blocks:
        yield as_json(frame_blocks([Block(*block)]))


def as_json(traces: bytes) -> dict[str, Any]:
    """Return a message as OTLP has it in JSON, which differs from protobuf's own in the ids."""
    document = json_format.MessageToDict(TracesData.FromString(traces), use_integers_for_enums=True)
    for span in spans_of(document):
        for holder in (span, *span.get("links", ())):
            for name in _IDS:
                if name in holder:
                    holder[name] = base64.b64decode(holder[name]).hex()
    return dict(document)


def spans_of(document: Any) -> Iterator[dict[str, Any]]:
    """Give the spans of a document."""
    for group in document.get("resourceSpans", ()):
        for scope in group["scopeSpans"]:
            yield from scope.get("spans", ())
