"""What is stored of an execution's spans, as OTLP's JSON. No OpenTelemetry in here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from phasetrace.recordings.otlp_messages import traces_json
from phasetrace.store.blocks import messages


def traces_of(connection: sqlite3.Connection, execution: int) -> Iterator[dict[str, Any]]:
    """Give the ``TracesData`` of an execution, a block each; `execution` is its row.

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
        yield traces_json((message, *belonging) for message in messages(spans, columns, payload))
