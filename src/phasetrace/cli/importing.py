"""``phasetrace import``: executions that were recorded elsewhere, into the store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import UNREADABLE
from phasetrace.errors import SourceError, StoreError
from phasetrace.rendering import human, name_text, safe

if TYPE_CHECKING:
    from phasetrace.store.importing import ImportedExecution

_STDIN: Final = "-"
_ALL: Final = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``import``."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="OTLP JSON lines, also compressed by gzip, or the JSON that Jaeger's user interface"
        " lets download; - is stdin",
    )


def execute(args: argparse.Namespace) -> int:
    """Bring files into the store, each as a whole or not at all; print a line an execution.

    One that cannot be read is said, and the others are brought in all the same.

    Raises:
        StoreError: if the store is off, or cannot be written.
    """
    from phasetrace.settings import store_limits, store_path
    from phasetrace.store.importing import import_file

    store = store_path()
    if store is None:
        raise StoreError("the store is off (PHASETRACE_STORE), so there is nowhere to import to")
    stored, imported, code = 0, [], 0
    try:
        for file in args.files:
            try:
                name, data = _content(file)
                done = import_file(store, name, data)
            except SourceError as error:
                _say(str(error))
                code = UNREADABLE
                continue
            stored = done.stored
            imported += done.executions
            for note in done.notes:
                _say(f"{name}: {note}")
            if not done.executions:
                _say(f"{name}: there is no execution in it")
    finally:
        _show(imported)
    most, _ = store_limits()
    if most is not None and stored > most:
        _say(
            f"the store has {stored:,} executions, and PHASETRACE_RETENTION keeps {most:,}: the"
            " oldest go when the next program records"
        )
    return code


def _content(file: str) -> tuple[str, bytes]:
    if file == _STDIN:
        return "stdin", sys.stdin.buffer.read()
    try:
        return file, Path(file).read_bytes()
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {file}: {reason}") from None


def _show(imported: list[ImportedExecution]) -> None:
    from phasetrace.cli.grid import Column, grid_lines
    from phasetrace.cli.table import terminal_width

    rows = []
    for execution, spans, new in imported:
        name = execution.name if execution.name != execution.exec_id else None
        rows.append(
            (
                safe(execution.exec_id),
                name_text(name or ""),
                human(execution.duration_ns),
                safe(execution.status),
                f"{spans:,}",
                _ALL if new == spans else f"{new:,}",
            )
        )
    columns = (
        Column("execution", is_number=False, shrinks=True),
        Column("name", is_number=False, shrinks=True),
        Column("duration"),
        Column("status", is_number=False),
        Column("spans"),
        Column("new"),
    )
    if rows:
        lines = grid_lines(columns, rows, width=terminal_width(), indent="")
        print("\n".join(lines), flush=True)  # noqa: T201


def _say(text: str) -> None:
    print(f"phasetrace: {safe(text)}", file=sys.stderr)  # noqa: T201
