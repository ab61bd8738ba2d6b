"""Parquet and CSV, in DuckDB and pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from phasetrace.exports.rows import COLUMNS, rows

from .executions import ALL, exported, written


@pytest.mark.parametrize("name", ALL)
def test_every_span_is_a_row_of_parquet(name: str, tmp_path: Path) -> None:
    """With its values, and times to the nanosecond."""
    with exported(name) as execution:
        file = written(execution, tmp_path / "a.parquet")
        expected = [one._asdict() for one in rows(execution)]
    table = parquet.read_table(file)
    assert table.schema.metadata[b"exec_id"] == name.encode()
    for column in COLUMNS:
        stored = table.column({"start_ns": "start", "end_ns": "end"}.get(column, column))
        if column in ("start_ns", "end_ns"):
            assert stored.type == pa.timestamp("ns", tz="UTC")
            stored = stored.cast(pa.int64())
        found: list[Any] = stored.to_pylist()
        if column == "depends_on":
            found = ["[" + ",".join(f'"{one}"' for one in names) + "]" for names in found]
        assert found == [one[column] for one in expected], column


def test_a_question_in_sql_has_the_answer_of_the_breakdown(tmp_path: Path) -> None:
    """From either file."""
    with exported("fan_out") as execution:
        files = [written(execution, tmp_path / name) for name in ("a.parquet", "a.csv")]
        expected = {
            (one.node_id, row.phase): (row.count, row.total_ns)
            for one in execution.breakdown.nodes
            for row in one.phases
        }
    for file in files:
        found = duckdb.sql(
            f"SELECT node_id, name, count(*), sum(duration_ns)::BIGINT FROM '{file}'"  # noqa: S608
            " WHERE type = 'phase' GROUP BY ALL"
        ).fetchall()
        assert {(node_id, name): (count, total) for node_id, name, count, total in found} == (
            expected
        )


@pytest.mark.parametrize("name", ALL)
def test_csv_has_as_many_rows_for_a_strict_reader(name: str, tmp_path: Path) -> None:
    """With all columns, whatever is in them."""
    with exported(name) as execution:
        file = written(execution, tmp_path / "a.csv")
        number = len(execution.spans)
    read = duckdb.read_csv(str(file), header=True, all_varchar=True, strict_mode=True)
    assert tuple(read.columns) == COLUMNS
    assert len(read.fetchall()) == number
