"""Packing the spans of an older store, which had a row each, into blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from phasetrace.store.blocks import MAX_BYTES, MAX_SPANS, Row, pack


def pack_spans(connection: sqlite3.Connection) -> None:
    """Put all rows of ``spans`` into ``blocks``, and drop that table; within a transaction.

    A block has the number of its first span. Streams, and the spans in them, therefore come in the
    same order as before, and no number is given twice.

    Raises:
        sqlite3.Error: as the connection does.
    """
    by_stream = connection.execute(
        "SELECT stream, seq, span_id, parent_span_id, type, name, node_id, node_type, iteration,"
        " start_ns, end_ns, status, payload FROM spans ORDER BY stream, seq"
    )
    for stream, spans in groupby(by_stream, key=lambda span: span[0]):
        for seq, rows in _parts(spans):
            connection.execute(
                "INSERT INTO blocks (seq, stream, spans, labels, columns, payload)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (seq, stream, *pack(rows)),
            )
    connection.execute(
        "INSERT INTO sqlite_sequence SELECT 'blocks', 0 WHERE NOT EXISTS"
        " (SELECT 1 FROM sqlite_sequence WHERE name = 'blocks')"
    )
    connection.execute(
        "UPDATE sqlite_sequence SET seq = (SELECT max(seq) FROM sqlite_sequence"
        " WHERE name IN ('blocks', 'spans')) WHERE name = 'blocks'"
    )
    connection.execute("DROP TABLE spans")


def _parts(spans: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, list[Row]]]:
    """Give the spans of a stream in the parts that are a block each, with their first number."""
    first, size = 0, 0
    rows: list[Row] = []
    for _, seq, span_id, parent_id, *label, start_ns, end_ns, status, payload in spans:
        size += len(payload)
        if rows and (len(rows) >= MAX_SPANS or size > MAX_BYTES):
            yield first, rows
            rows, size = [], len(payload)
        if not rows:
            first = seq
        rows.append(
            (
                int.from_bytes(span_id, "big"),
                int.from_bytes(parent_id or b"", "big"),
                start_ns,
                end_ns,
                (*label, status),
                payload,
            )
        )
    if rows:
        yield first, rows
