"""Apache Parquet: a row for each span, for DuckDB, pandas, polars and Spark.

Needs pyarrow (``pip install 'phasetrace[parquet]'``). Columns are those of the CSV, of their types:
``start`` and ``end`` are times in UTC, to the nanosecond; what ``exec_id`` a file is of, and by
whom it was made, is in the metadata of its schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, BinaryIO, Final

from phasetrace._version import __version__
from phasetrace.errors import UsageError
from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.rows import COLUMNS, Row, rows

_AT_ONCE: Final = 65_536
"""Rows of one row group."""
_TIMES: Final = {"start_ns": "start", "end_ns": "end"}
"""What the times are called; a time is not a number of nanoseconds there."""


def write_parquet(exported: ExportedExecution, file: BinaryIO) -> None:
    """Write the file.

    Raises:
        UsageError: if pyarrow is not installed.
        OSError: if it cannot be written.
    """
    pa, pq = _pyarrow()
    about = {"exec_id": exported.execution.exec_id, "exporter": f"phasetrace {__version__}"}
    schema = pa.schema([_field(pa, column) for column in COLUMNS], metadata=about)
    waiting = rows(exported)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(waiting, _AT_ONCE)):
            writer.write_table(pa.table(_columns(group), schema=schema))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed: pip install 'phasetrace[parquet]'"
        ) from None
    return pyarrow, parquet


def _field(pa: Any, column: str) -> Any:
    if column in _TIMES:
        return pa.field(_TIMES[column], pa.timestamp("ns", tz="UTC"), nullable=False)
    if column == "duration_ns":
        return pa.field(column, pa.int64(), nullable=False)
    if column == "depends_on":
        return pa.field(column, pa.list_(pa.string()), nullable=False)
    optional = column in ("parent_span_id", "node_id", "node_type", "iteration", "message")
    return pa.field(column, pa.string(), nullable=optional)


def _columns(group: Sequence[Row]) -> list[list[Any]]:
    columns: list[list[Any]] = [list(column) for column in zip(*group, strict=True)]
    listed = COLUMNS.index("depends_on")
    columns[listed] = [json.loads(names) for names in columns[listed]]
    return columns
