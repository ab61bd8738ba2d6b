"""Spans as rows: comma-separated values, and what Parquet is made of."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from phasetrace.errors import UsageError
from phasetrace.exports.csv_file import csv_lines
from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.parquet import write_parquet
from phasetrace.exports.rows import COLUMNS
from tests.phasetrace.exports.some import HOSTILE, export_of, hostile
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import T, root, trace_of


def read(exported: ExportedExecution) -> list[dict[str, str]]:
    """Return the rows that a reader finds."""
    return list(csv.DictReader(io.StringIO("".join(csv_lines(exported)))))


def test_a_span_is_a_row() -> None:
    """By their starts, with all there is to say of them."""
    exported = export_of(
        made.phase(
            1,
            "e",
            start=5,
            end=8,
            node_type="io",
            iteration=2,
            depends_on=["a"],
            model="m",
            status={"code": 2, "message": "no"},
        ),
        root("e"),
        **{"service.name": "program"},
    )
    first, second = read(exported)
    assert first["type"] == "execution"
    assert first["node_id"] == ""
    assert second == {
        "exec_id": "e",
        "trace_id": trace_of("e"),
        "span_id": f"{1:016x}",
        "parent_span_id": first["span_id"],
        "type": "phase",
        "node_id": "n",
        "node_type": "io",
        "iteration": "2",
        "name": "p",
        "start_ns": str(T + 5),
        "end_ns": str(T + 8),
        "duration_ns": "3",
        "status": "error",
        "message": "no",
        "depends_on": '["a"]',
        "service": "program",
        "attributes": '{"model":"m"}',
    }


def test_the_columns_have_names_also_without_a_row() -> None:
    """For programs that look for them."""
    assert next(csv_lines(export_of(root("e")))).startswith(",".join(COLUMNS))


def test_no_cell_is_a_formula_and_every_row_is_a_line() -> None:
    """Whatever spans are called."""
    lines = "".join(csv_lines(hostile())).splitlines()
    assert len(lines) == 1 + 1 + len(HOSTILE)
    assert "\x1b" not in "".join(lines)
    for row in read(hostile()):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
        json.loads(row["attributes"], parse_constant=lambda name: 1 / 0)


def test_without_pyarrow_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else needs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'phasetrace\[parquet\]'"):
        write_parquet(export_of(root("e")), tmp_path / "f.parquet")
