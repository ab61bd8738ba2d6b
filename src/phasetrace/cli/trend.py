"""``phasetrace trend``: how long a workflow, or a part of it, has taken over its last runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import NothingRecorded, open_source
from phasetrace.cli.options import COLOURS, add_color, add_json, add_source
from phasetrace.errors import UsageError
from phasetrace.recordings.series import MILLION, QUANTITIES, Series, series_of
from phasetrace.recordings.source import Where
from phasetrace.rendering import safe
from phasetrace.store.selection import is_pattern, literally

if TYPE_CHECKING:
    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution

TREND_SCHEMA: Final = "phasetrace.trend/1"

RUNS: Final = 30
"""How many runs are shown unless another number is asked for."""


class UnknownName(NothingRecorded):
    """There are executions, and none of them is called so."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.args = (message,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``trend``."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="the name of the executions, which may have *, ? and [...] in it"
        " (default: that of the latest)",
    )
    parser.add_argument(
        "-n",
        "--limit",
        type=_limit,
        default=RUNS,
        metavar="N",
        help=f"how many runs at most, the last ones (default: {RUNS})",
    )
    parser.add_argument(
        "--phase", metavar="NODE/PHASE", help="show a phase of them, or a node as a whole"
    )
    parser.add_argument(
        "--of",
        choices=QUANTITIES,
        default="total",
        help="what of it: its total, its self time, its share of the execution, the 95th"
        " percentile of its calls, what it owns of the critical path (default: total)",
    )
    add_source(parser)
    add_json(parser, TREND_SCHEMA)
    add_color(parser)


def execute(args: argparse.Namespace) -> int:
    """Print the last runs of a workflow."""
    if args.of != "total" and args.phase is None:
        raise UsageError(f"--of {args.of} is that of a phase: name it with --phase NODE/PHASE")
    with open_source(args.source) as source:
        name, executions = _runs(source, args.name, args.limit, args.source)
        series = series_of(source, name, executions, args.phase, args.of)
        for note in source.notes:
            print(f"phasetrace: {safe(note)}", file=sys.stderr)  # noqa: T201
    if args.json:
        import json

        print(json.dumps(plain_values(series), indent=2, allow_nan=False))  # noqa: T201
        return 0
    from phasetrace.cli.trend_text import drawn, plain_lines, remarks, terminal

    width, in_ascii = terminal()
    if width:
        from phasetrace.environment import colour_wanted

        colour = colour_wanted(True, COLOURS[args.color])
        print("\n".join(drawn(series, width, in_ascii=in_ascii, colour=colour)))  # noqa: T201
        return 0
    print("\n".join(plain_lines(series)))  # noqa: T201
    sys.stdout.flush()
    for remark in remarks(series):
        print(f"phasetrace: {remark}", file=sys.stderr)  # noqa: T201
    return 0


def plain_values(series: Series) -> dict[str, Any]:
    """Return a series as plain values, ready for JSON; the latest run first.

    Values are integer nanoseconds, and shares parts of the whole.
    """
    is_time = series.quantity.unit == "ns"

    def plain(value: int | None) -> int | float | None:
        return value if is_time or value is None else value / MILLION

    summary, change, verdict = series.summary(), series.change(), series.verdict()
    return {
        "schema": TREND_SCHEMA,
        "name": series.name,
        "phase": series.phase,
        "of": series.quantity.name,
        "unit": "ns" if is_time else "part",
        "runs": [
            {
                "exec_id": execution.exec_id,
                "name": execution.name,
                "status": execution.status,
                "started_ns": execution.started_ns,
                "duration_ns": execution.duration_ns,
                "value": plain(value),
            }
            for execution, value in series.runs
        ],
        "summary": summary
        and {
            "runs": summary.runs,
            "median": plain(summary.median_ns),
            "mad": plain(summary.mad_ns),
            "min": plain(summary.min_ns),
            "max": plain(summary.max_ns),
        },
        "change": change
        and {
            "recent": {"runs": change.recent, "median": plain(change.recent_ns)},
            "before": {"runs": change.before, "median": plain(change.before_ns)},
            "p": change.p,
            "since_ns": series.since(change).started_ns,
        },
        "latest": verdict and verdict.to_dict(),
    }


def _runs(
    source: Source, name: str | None, limit: int, place: str | None
) -> tuple[str, list[StoredExecution]]:
    """Return the runs that are meant, the latest first, and what they are called."""
    if name is None:
        latest = source.executions(1)
        if not latest:
            raise NothingRecorded("nothing has been recorded yet", place)
        if latest[0].name in (None, latest[0].exec_id):
            raise UsageError(
                f"the latest execution, {latest[0].exec_id!r}, has no name that others could have;"
                f" say which: phasetrace trend NAME, {_names(source, '')}"
            )
        name = str(latest[0].name)
    found = source.executions(limit, Where(name=literally(name)))
    if not found and is_pattern(name):
        found = source.executions(limit, Where(name=name))
    if not found:
        raise UnknownName(f"no execution is called {name!r}; {_names(source, name)}")
    return name, found


def _names(source: Source, wanted: str) -> str:
    from phasetrace.cli.filters import names_there_are

    return names_there_are(source.executions(), wanted)


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs above 0")
    return int(text)
