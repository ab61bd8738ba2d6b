"""``phasetrace export``: an execution as a file that other tools read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import NothingRecorded
from phasetrace.cli.options import add_execution, add_source
from phasetrace.errors import UnknownExecution, UsageError
from phasetrace.exports.formats import FORMATS, NAMES, Format, format_of
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phasetrace.exports.exported import ExportedExecution
    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution

_STDOUT: Final = "-"
_ENDED: Final = ("ok", "error", "cancelled")
"""The status of an execution in which nothing is open."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``export``."""
    add_execution(parser)
    add_source(parser)
    endings = "; ".join(f"{' '.join(one.endings)}: {one.what}" for one in FORMATS)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"the file, in the format of its ending ({endings}); without one, and with -, it is"
        " stdout, which needs --format",
    )
    parser.add_argument("--format", choices=NAMES, help="the format, whatever the file is called")
    parser.add_argument(
        "--rolled-up",
        action="store_true",
        help="have executions that were started within it in the file",
    )


def execute(args: argparse.Namespace) -> int:
    """Write the execution that was asked for.

    Raises:
        UsageError: if there is no such format, or the file cannot be written.
    """
    from phasetrace.cli.leaving import signals_exit
    from phasetrace.exports.exported import ExportedExecution
    from phasetrace.project_file import load_prices
    from phasetrace.recordings.uncollected import uncollected

    file = args.output if args.output not in (None, _STDOUT) else None
    form = format_of(file, args.format)
    if file is None and form.is_binary:
        raise UsageError(f"{form.name} is no text, so say where to: -o FILE{form.endings[0]}")
    prices = load_prices() if form.name == "markdown" else {}
    source, execution = _found(args)
    with signals_exit(), source, uncollected():
        exported = ExportedExecution(source, execution, args.rolled_up, prices)
        if file is None:
            _print(form, exported)
        else:
            _write(form, exported, Path(file))
        for note in (*source.notes, *_left_out(form, exported, source, args.rolled_up)):
            _say(note)
    return 0


def _left_out(
    form: Format, exported: ExportedExecution, source: Source, rolled_up: bool
) -> Iterator[str]:
    """Give what there is to say of spans that belong to an execution and are not in its file."""
    from phasetrace.rollup import within_text

    execution = exported.execution
    if form.only_ended and (rolled_up or execution.status not in _ENDED):
        left = len(exported.recording.open_spans)
        if left:
            yield f"{left:,} span{'' if left == 1 else 's'} had not ended and {_are(left)}"
    within = 0 if rolled_up else source.within(execution)
    if within:
        yield f"{within_text(within)} {_are(within)}: --rolled-up"


def _are(number: int) -> str:
    return f"{'is' if number == 1 else 'are'} not in the file"


def _print(form: Format, exported: ExportedExecution) -> None:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # which is what the formats have
    sys.stdout.writelines(form.parts(exported))


def _write(form: Format, exported: ExportedExecution, path: Path) -> None:
    from phasetrace.exports.writing import write_file

    try:
        write_file(form, exported, path)
    except (BrokenPipeError, UsageError):  # that nobody reads any more is no news to anybody
        raise
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {path}: {reason}") from error
    _say(f"{exported.execution.exec_id} written to {path}")
    if form.note:
        _say(form.note)


def _found(args: argparse.Namespace) -> tuple[Source, StoredExecution]:
    from phasetrace.recordings.references import open_reference

    reference = args.exec_id
    if reference is not None:  # as it is recorded: bytes that are no UTF-8 are escaped
        reference = reference.encode("utf-8", "backslashreplace").decode("utf-8")
        return open_reference(reference, args.source)
    try:
        return open_reference(None, args.source)
    except UnknownExecution:
        raise NothingRecorded("nothing has been recorded yet", args.source) from None


def _say(text: str) -> None:
    print(f"phasetrace: {safe(text)}", file=sys.stderr)  # noqa: T201
