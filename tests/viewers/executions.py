"""The executions that are opened: the recorded ones, and one in which all names are meant ill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.formats import format_of
from phasetrace.exports.writing import write_file
from tests.golden.cases import EXECUTIONS, NAMES
from tests.phasetrace.exports.some import export_from, hostile

ALL: Final = (*NAMES, "hostile")


@contextmanager
def exported(name: str) -> Iterator[ExportedExecution]:
    """Give one of them."""
    if name == "hostile":
        yield hostile()
        return
    with export_from(EXECUTIONS / f"{name}.jsonl") as execution:
        yield execution


def written(execution: ExportedExecution, file: Path) -> Path:
    """Write an execution in the format of a file's ending."""
    write_file(format_of(file.name, None), execution, file)
    return file
