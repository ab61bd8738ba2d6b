"""Spans as rows: comma-separated values, and what Parquet is made of."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from phasetrace.errors import UsageError
from phasetrace.exports.csv_file import csv_lines
from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.parquet import write_parquet
from phasetrace.exports.rows import COLUMNS
from phasetrace.store.reader import StoreReader
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
    assert next(csv_lines(export_of(root("e")))).startswith(
        ",".join(f'"{column}"' for column in COLUMNS)
    )


def test_no_cell_is_a_formula_and_every_row_is_a_line() -> None:
    """Whatever spans are called."""
    lines = "".join(csv_lines(hostile())).splitlines()
    assert len(lines) == 1 + 1 + len(HOSTILE)
    assert "\x1b" not in "".join(lines)
    for row in read(hostile()):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
        json.loads(row["attributes"], parse_constant=lambda name: 1 / 0)


@pytest.mark.parametrize("sign", [*"=+-@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_becomes_a_formula_where_semicolons_part_them(sign: str) -> None:
    """As spreadsheets read it where the decimal sign is a comma, quotes or not."""
    name = f"x;{sign}1+1;y"
    exported = export_of(root("e"), made.phase(1, "e", name, name, note=name))
    text = "".join(csv_lines(exported))
    assert f";{sign}" not in text
    (row,) = [row for row in read(exported) if row["type"] == "phase"]
    assert row["name"] == f"x;'{sign}1+1;y"
    for written in text.splitlines()[1:]:
        for cell in next(csv.reader([written], quoting=csv.QUOTE_NONE)):
            assert not cell.startswith(("=", "+", "@"))


def test_all_texts_are_in_quotes_and_no_number_is() -> None:
    """So that a reader knows which is which."""
    text = "".join(csv_lines(export_of(root("e", "5"))))
    (cells,) = csv.reader(text.splitlines()[1:], quoting=csv.QUOTE_NONNUMERIC)
    read_as: Sequence[object] = cells  # numbers are floats
    kinds = {one for one, cell in zip(COLUMNS, read_as, strict=True) if isinstance(cell, float)}
    assert kinds == {"start_ns", "end_ns", "duration_ns"}


def test_an_execution_that_has_not_ended_has_its_name(tmp_path: Path) -> None:
    """No span says it yet."""
    import phasetrace

    with phasetrace.execution("e", name="nightly"), phasetrace.phase("p"):
        with phasetrace.phase("over"):
            pass
        phasetrace.force_flush()
        with StoreReader(tmp_path / "store" / "traces.db") as store:
            (row,) = [
                row
                for row in read(ExportedExecution(store, store.find("e")))
                if row["type"] == "execution"
            ]
    assert (row["name"], row["status"]) == ("nightly", "open")


def test_without_pyarrow_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing else needs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'phasetrace\[parquet\]'"):
        write_parquet(export_of(root("e")), io.BytesIO())
