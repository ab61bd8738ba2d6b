"""``phasetrace report``: a page to look at an execution in a browser, in one file."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Final

from phasetrace.cli import NothingRecorded
from phasetrace.cli.options import add_execution, add_source
from phasetrace.errors import UnknownExecution, UsageError
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from phasetrace.reports.report import Report

_STDOUT: Final = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``report``."""
    add_execution(parser)
    add_source(parser)
    parser.add_argument(
        "--compare",
        metavar="OTHER",
        help="show how it differs from another execution, which is called the same way",
    )
    parser.add_argument(
        "--rolled-up",
        action="store_true",
        help="have executions that were started within it where they were started",
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
    from phasetrace.cli.leaving import signals_exit
    from phasetrace.project_file import load_prices
    from phasetrace.reports.report import make_report

    prices = load_prices(args.prices)
    try:
        report = make_report(
            _as_stored(args.exec_id),
            _as_stored(args.compare),
            args.source,
            rolled_up=args.rolled_up,
            prices=prices,
        )
    except UnknownExecution:
        if args.exec_id is None and args.compare is None:
            raise NothingRecorded("nothing has been recorded yet", args.source) from None
        raise
    if args.output == _STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(report.html.encode("utf-8"))  # whatever the terminal has
        return 0
    try:
        with signals_exit():
            report.save(args.output)
    except (BrokenPipeError, UsageError):
        raise
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {args.output}: {reason}") from error
    _tell(args.output, report)
    return 0


def _tell(output: str, report: Report) -> None:
    what = safe(report.execution.exec_id)
    if report.compared_with is not None:
        what += f" compared with {safe(report.compared_with.exec_id)}"
    size = len(report.html.encode("utf-8"))
    size_text = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    where = shlex.quote(safe(output))
    print(f"phasetrace: {what}: {report.spans:,} spans in {where} ({size_text})", file=sys.stderr)  # noqa: T201


def _as_stored(reference: str | None) -> str | None:
    """Return an id as it is recorded: bytes of an argument that are no UTF-8 are escaped."""
    if reference is None:
        return None
    return reference.encode("utf-8", "backslashreplace").decode("utf-8")
