"""What is stored of an execution's spans, as OTLP's JSON. No OpenTelemetry in here."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from phasetrace.recordings.otlp_messages import traces_json
from phasetrace.store.blocks import messages, span_ids


def traces_of(
    connection: sqlite3.Connection, execution: int, only: Collection[int] | None = None
) -> Iterator[dict[str, Any]]:
    """Give the ``TracesData`` of an execution, a block each; `execution` is its row.

    `only` are the ids of the spans that are wanted, None is all; the others are not decoded.

    Raises:
        sqlite3.Error: as the connection does.
        ValueError: if a block, or a message in it, is damaged.
    """
    for spans, columns, payload, resource, resource_url, scope, scope_url in connection.execute(
        "SELECT b.spans, b.columns, b.payload, r.payload, r.schema_url, s.payload, s.schema_url"
        " FROM blocks b JOIN streams t ON t.id = b.stream"
        " JOIN resources r ON r.id = t.resource JOIN scopes s ON s.id = t.scope"
        " WHERE b.stream IN (SELECT id FROM streams WHERE execution = ?) ORDER BY b.seq",
        (execution,),
    ):
        belonging = (resource, resource_url, scope, scope_url)
        found = messages(spans, columns, payload)
        if only is not None:
            ids = span_ids(spans, columns)
            found = [one for one, id_ in zip(found, ids, strict=True) if id_ in only]
        if found:
            yield traces_json((message, *belonging) for message in found)
