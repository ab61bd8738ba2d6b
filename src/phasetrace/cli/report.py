"""``phasetrace report``: a page to look at an execution in a browser, in one file."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import NothingRecorded
from phasetrace.errors import UnknownExecution, UsageError
from phasetrace.recordings.uncollected import uncollected
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from phasetrace.analysis.usage import Prices
    from phasetrace.report.document import Shown

_STDOUT: Final = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``report``."""
    parser.add_argument(
        "exec_id",
        nargs="?",
        metavar="EXEC",
        help="an execution: its id, its name, latest~1, or its file (default: the latest)",
    )
    parser.add_argument(
        "--source",
        metavar="PLACE",
        help="read from a file of OTLP JSON lines, another store, or Jaeger (http://host:16686)",
    )
    parser.add_argument(
        "--compare",
        metavar="OTHER",
        help="show how it differs from another execution, which is called the same way",
    )
    parser.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="FILE",
        help="where to write the page (default: report.html); - is stdout",
    )
    parser.add_argument(
        "--prices",
        metavar="FILE",
        help="what models cost, to work out costs (default: [tool.phasetrace.prices])",
    )


def execute(args: argparse.Namespace) -> int:
    """Write the page of the execution that was asked for."""
    from phasetrace.project_file import load_prices
    from phasetrace.report.document import document
    from phasetrace.report.page import page

    prices = load_prices(args.prices)
    with uncollected():
        execution = _shown(args.exec_id, args.source, prices)
        other = _shown(args.compare, args.source, prices) if args.compare is not None else None
        html = page(document(execution, other))
    data = html.encode("utf-8")
    if args.output == _STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)  # a page is UTF-8, whatever the terminal has
        return 0
    _write(Path(args.output), data)
    _tell(args.output, len(data), execution, other)
    return 0


def _shown(reference: str | None, place: str | None, prices: Prices) -> Shown:
    from phasetrace.analysis.execution import Examination
    from phasetrace.recordings.references import open_reference
    from phasetrace.recordings.usual import verdict_of
    from phasetrace.report.document import Shown

    with ExitStack() as open_sources:
        try:
            source, execution = open_reference(_as_stored(reference), place)
        except UnknownExecution:
            if reference is None:
                raise NothingRecorded("nothing has been recorded yet", place) from None
            raise
        open_sources.enter_context(source)
        recording = source.recording(execution, with_metadata=True)
        return Shown(
            Examination(recording, prices),
            source.breakdown(execution, recording=recording),
            verdict_of(source, execution),
            source.notes,
        )


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {path}: {reason}") from error


def _tell(output: str, size: int, execution: Shown, other: Shown | None) -> None:
    what = safe(execution.breakdown.execution.exec_id)
    if other is not None:
        what += f" compared with {safe(other.breakdown.execution.exec_id)}"
    spans = sum(one.breakdown.spans for one in (execution, other) if one is not None)
    size_text = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    where = shlex.quote(safe(output))
    print(f"phasetrace: {what}: {spans:,} spans in {where} ({size_text})", file=sys.stderr)  # noqa: T201


def _as_stored(reference: str | None) -> str | None:
    """Return an id as it is recorded: bytes of an argument that are no UTF-8 are escaped."""
    if reference is None:
        return None
    return reference.encode("utf-8", "backslashreplace").decode("utf-8")
