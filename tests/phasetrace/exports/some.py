"""Executions to export, for tests that look at one thing of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phasetrace.exports.exported import ExportedExecution
from phasetrace.recordings.opening import open_source
from phasetrace.recordings.otlp_file import file_source
from tests.phasetrace.recordings.made import S, line, phase, root

MS = 1_000_000
HOSTILE = (
    "a;b 12",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "x: y, #z %% w",
    "line\nbreak\x1b[31m",
    "@someone #12 |pipe| `tick`",
    "",
    "  12",
    "title 5",
    "section x",
    "2024-01-01",
    "\u202eevil",
    "naïve ☃ 漢字",
    '"quoted" \\ {json}',
    "[link](http://x)",
    "-dash",
    "1. item",
    ":smile:",
    "+1",
    "\0",
)
"""Names that mean something to one format or the other."""


def export_of(*spans: Any, exec_id: str | None = None, **resource: Any) -> ExportedExecution:
    """Return the execution that some spans in JSON make."""
    source = file_source("f", line(*spans, **resource))
    execution = source.latest() if exec_id is None else source.find(exec_id)
    return ExportedExecution(source, execution)


@contextmanager
def export_from(file: Path) -> Iterator[ExportedExecution]:
    """Give the execution that is in a file."""
    with open_source(str(file)) as source:
        yield ExportedExecution(source, source.latest())


def hostile() -> ExportedExecution:
    """Return an execution in which everything has a name that is meant ill."""
    spans = [root("hostile", "evil;\n<b>run</b> 7", 0, 100 * S)]
    for number, name in enumerate(HOSTILE):
        spans.append(
            phase(
                100 + number,
                "hostile",
                name,
                name,
                start=number * S,
                end=(number + 1) * S,
                **{name or "empty": name, "big": 2**62, "nan": float("nan")},
            )
        )
    return export_of(*spans, **{"service.name": "a\n<b>"})
