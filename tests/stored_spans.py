"""The spans of a store as a table, for tests that look at them with SQL."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

from phasetrace.store.blocks import labels_of, messages, records


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection for queries on which ``spans`` is a table, a row for each span.

    It holds what the blocks do at this moment; what comes later is not in it.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'blocks'").fetchall():
        return connection
    blocks = connection.execute(
        "SELECT stream, spans, labels, columns, payload FROM blocks ORDER BY seq"
    ).fetchall()
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(
        "CREATE TEMP TABLE spans (seq INTEGER PRIMARY KEY, stream INTEGER, span_id BLOB,"
        " parent_span_id BLOB, type TEXT, name TEXT, node_id TEXT, node_type TEXT, iteration,"
        " start_ns INTEGER, end_ns INTEGER, status TEXT, payload BLOB)"
    )
    connection.execute("BEGIN")
    for block in blocks:
        connection.executemany(
            "INSERT INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _rows(*block)
        )
    connection.execute("COMMIT")
    connection.isolation_level = "DEFERRED"  # what else is done with it is not kept
    return connection


def _rows(
    stream: int, spans: int, labels: str, columns: bytes, payload: bytes
) -> Iterator[tuple[object, ...]]:
    known = labels_of(labels)
    indices = struct.unpack_from(f"<{spans}I", columns, 32 * spans)
    for span, index, message in zip(
        records(spans, labels, columns), indices, messages(spans, columns, payload), strict=True
    ):
        parent_id = None if span.parent_id is None else span.parent_id.to_bytes(8, "big")
        times = (span.start_ns, span.end_ns)
        *label, status = known[index]
        yield (stream, span.span_id.to_bytes(8, "big"), parent_id, *label, *times, status, message)
