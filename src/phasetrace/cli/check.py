"""``phasetrace check``: has an execution kept to its budgets?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import FAILED, NothingRecorded
from phasetrace.cli.check_baseline import (
    as_stored,
    baseline_for,
    earlier_runs,
    how_it_ended,
    say,
)
from phasetrace.cli.options import COLOURS, add_color, add_execution, add_source
from phasetrace.errors import UnknownExecution, UsageError

if TYPE_CHECKING:
    from phasetrace.analysis.usage import Prices
    from phasetrace.budgets.budget import Budget
    from phasetrace.budgets.evaluation import Report
    from phasetrace.budgets.figures import Measured
    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution

_TEXT: Final = "text"
_JSON: Final = "json"
_FORMATS: Final = (_TEXT, _JSON, "junit", "markdown")
_ENDINGS: Final = {".txt": _TEXT, ".json": _JSON, ".xml": "junit", ".md": "markdown"}
_NO_BUDGETS: Final = (
    "there are no budgets: write some into [tool.phasetrace.budgets] of pyproject.toml, like "
    '"plan/*:p95" = "2s", or name a file that has some with --budgets'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``check``."""
    add_execution(parser)
    add_source(parser)
    parser.add_argument(
        "--budgets",
        type=Path,
        metavar="FILE",
        help="a TOML file with the budgets (default: [tool.phasetrace.budgets] in pyproject.toml)",
    )
    parser.add_argument(
        "--prices",
        type=Path,
        metavar="FILE",
        help="what models cost (default: [tool.phasetrace.prices])",
    )
    parser.add_argument(
        "--baseline",
        metavar="REF",
        help="hold relative budgets against an execution, the last successful run of a name before"
        " this one, or a file that was saved",
    )
    parser.add_argument(
        "--save-baseline",
        type=Path,
        metavar="FILE",
        help="save the execution's figures as a baseline, whatever becomes of the budgets; it has"
        " to have ended well",
    )
    parser.add_argument(
        "--last",
        type=_number,
        metavar="N",
        help="take the medians of so many successful runs as the baseline, up to the one that is"
        " named (default: 1)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=_FORMATS, help="how to report (default: text)")
    form.add_argument(
        "--json",
        action="store_const",
        dest="format",
        const=_JSON,
        help="print JSON (phasetrace.check/1), times in integer nanoseconds",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="report into a file, in the format of its ending (.txt .json .xml .md); the text goes"
        " to stderr",
    )
    add_color(parser)


def execute(args: argparse.Namespace) -> int:
    """Judge the execution that was asked for; 1 if a budget of severity error is exceeded.

    Raises:
        ConfigError: if the budgets, the prices or the baseline make no sense.
        UsageError: if there are no budgets, or a report has nowhere to go.
    """
    from phasetrace.budgets.evaluation import check
    from phasetrace.budgets.figures import NODES, PHASES

    form = _format(args.format, args.output)
    if args.last and args.baseline is None and args.save_baseline is None:
        raise UsageError("--last says of how many runs a baseline is: give --baseline NAME as well")
    budgets, prices = _budgets(args)
    if not budgets and args.save_baseline is None:
        raise UsageError(_NO_BUDGETS)
    scopes = (NODES, PHASES) if args.save_baseline else {one.scope for one in budgets}
    measure = partial(_measured, prices=prices, scopes=scopes)
    source, execution = _found(args)
    with source:
        if args.save_baseline and execution.status != "ok":
            raise UsageError(
                f"no baseline is saved: {execution.exec_id} {how_it_ended(execution)} and is no"
                " measure; name a run that ended well"
            )
        measured = [measure(source, execution)]
        if args.save_baseline and args.last:
            earlier = earlier_runs(source, execution)[: args.last - 1]
            measured += [measure(source, run) for run in earlier]
        for note in source.notes:
            say(note)
    baseline = None
    if args.baseline is not None:
        baseline = baseline_for(execution, args.baseline, args.last, args.source, measure)
    if args.save_baseline:
        _save(args.save_baseline, measured)
    if not budgets:
        return 0
    budgets = _with_status(budgets, measured[0].execution.status)
    report = check(measured[0], budgets, baseline)
    _show(report, form, args)
    return 0 if report.passed else FAILED


def _format(asked: str | None, output: Path | None) -> str:
    if asked is not None or output is None:
        return asked or _TEXT
    form = _ENDINGS.get(output.suffix.lower())
    if form is None:
        raise UsageError(
            f"-o {output}: its ending tells no format; expected {', '.join(_ENDINGS)}, or --format"
        )
    return form


def _budgets(args: argparse.Namespace) -> tuple[Sequence[Budget], Prices]:
    """Return the budgets, and the prices that costs are worked out by."""
    from phasetrace.budgets.budget import parse_budgets
    from phasetrace.project_file import BUDGETS, find_project_file, load_prices, read_project_file

    file = find_project_file() if args.budgets is None else read_project_file(args.budgets)
    table = file.budgets if file is not None else None
    budgets = parse_budgets(table, file.where(BUDGETS)) if file is not None and table else ()
    if args.prices is None and file is not None and file.prices is not None:
        return budgets, file.prices
    return budgets, load_prices(args.prices)


def _found(args: argparse.Namespace) -> tuple[Source, StoredExecution]:
    from phasetrace.recordings.references import open_reference

    if args.exec_id is not None:
        return open_reference(as_stored(args.exec_id), args.source)
    try:
        return open_reference(None, args.source)
    except UnknownExecution:
        raise NothingRecorded("nothing has been recorded yet", args.source) from None


def _measured(
    source: Source, execution: StoredExecution, prices: Prices, scopes: Collection[str]
) -> Measured:
    from phasetrace.analysis.execution import Examination
    from phasetrace.budgets.figures import Measured, figures_beside, figures_of

    recording = source.recording(execution)
    if recording.lost:
        breakdown = source.breakdown(execution, recording=recording)
        figures = figures_beside(breakdown, recording)
    else:
        figures = figures_of(Examination(recording, prices), scopes)
    return Measured(recording.execution, figures, recording.lost)


def _with_status(budgets: Sequence[Budget], status: str) -> Sequence[Budget]:
    """Return budgets such that how the execution ended is judged if it was not well."""
    from phasetrace.budgets.budget import ENDS_WELL, STATUS

    if status == "ok" or any(one.quantity == STATUS for one in budgets):
        return budgets
    return (ENDS_WELL, *budgets)


def _save(path: Path, measured: Sequence[Measured]) -> None:
    import json

    from phasetrace.budgets.baseline import baseline_document

    _write(path, json.dumps(baseline_document(measured), indent=2, allow_nan=False))
    runs = f" of {len(measured)} runs" if len(measured) > 1 else ""
    say(f"baseline{runs} saved as {path}")


def _show(report: Report, form: str, args: argparse.Namespace) -> None:
    from phasetrace.budgets.text import report_text
    from phasetrace.cli.table import on_terminal, terminal_width
    from phasetrace.environment import colour_wanted

    if args.output is not None:
        _write(args.output, _rendered(report, form))
        print(report_text(report), file=sys.stderr)  # noqa: T201
    elif form == _TEXT:
        colour = colour_wanted(on_terminal(), COLOURS[args.color])
        print(report_text(report, colour=colour, width=terminal_width()))  # noqa: T201
    else:
        print(_rendered(report, form))  # noqa: T201


def _rendered(report: Report, form: str) -> str:
    import json

    from phasetrace.budgets import reports, text

    # In ASCII, escapes make JSON safe for a terminal and independent of its encoding.
    forms: dict[str, Callable[[], str]] = {
        _TEXT: lambda: text.report_text(report),
        _JSON: lambda: json.dumps(reports.check_document(report), indent=2, allow_nan=False),
        "junit": lambda: reports.junit(report),
        "markdown": lambda: reports.markdown(report),
    }
    return forms[form]()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(f"{text}\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs above 0")
    return int(text)
