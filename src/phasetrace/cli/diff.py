"""``phasetrace diff``: what takes longer in one execution, or series of them, than in another."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from phasetrace.analysis.comparison import DIFF_SCHEMA, compare
from phasetrace.cli.options import COLOURS, add_color, add_json
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from phasetrace.cli.diff_sides import Side

_BY = {"phase": "phase of node", "iteration": "phase of iteration"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``diff``."""
    reference = "an execution, latest, latest~1, a name, a file; or several, with commas"
    parser.add_argument("a", metavar="A", help=f"what to compare with: {reference}")
    parser.add_argument("b", metavar="B", help="what to compare, the same way")
    parser.add_argument(
        "--last",
        type=_number,
        metavar="N",
        help="take the last N runs that ended well, up to A and up to B, and test the changes",
    )
    parser.add_argument(
        "--by",
        choices=_BY,
        default="phase",
        help="what makes a row: the phase of a node (default), or of each iteration of it",
    )
    parser.add_argument("--all", action="store_true", help="show rows of next to no time as well")
    parser.add_argument("--source", metavar="PLACE", help="where to read both from")
    add_json(parser, DIFF_SCHEMA, "everything as JSON")
    add_color(parser)


def execute(args: argparse.Namespace) -> int:
    """Print how B differs from A."""
    from phasetrace.analysis.groups import BY
    from phasetrace.cli.diff_sides import opened_sides

    by = BY[_BY[args.by]]
    with opened_sides(args.a, args.b, args.last, args.source) as sides:
        for name, side in zip("AB", sides, strict=True):
            _tell(name, side, args.last)
        a, b = (side.runs(by) for side in sides)
    for run in (*a, *b):
        if run.lost:
            spans = f"{run.lost:,} span{'s' if run.lost > 1 else ''} of {run.execution.exec_id}"
            were = "were" if run.lost > 1 else "was"
            _say(f"{spans} {were} not stored; only what there is of it is compared")
    diff = compare(a, b)
    if args.json:
        import json

        print(json.dumps(diff.to_dict(), indent=2, allow_nan=False))  # noqa: T201
        return 0
    from phasetrace.cli.diff_text import diff_lines
    from phasetrace.cli.table import on_terminal, terminal_width
    from phasetrace.environment import colour_wanted

    colour = colour_wanted(on_terminal(), COLOURS[args.color])
    lines = diff_lines(diff, everything=args.all, width=terminal_width(), colour=colour)
    print("\n".join(lines))  # noqa: T201
    return 0


def _tell(name: str, side: Side, last: int | None) -> None:
    """Say what was asked for and is not there."""
    said = []
    if side.missing:
        said.append(f"has only {len(side.executions)} of the {last} runs asked for")
    if side.left_out:
        said.append(f"leaves {side.left_out} out that did not end well")
    if said:
        _say(f"{name} {' and '.join(said)}")


def _say(text: str) -> None:
    print(f"phasetrace: {safe(text)}", file=sys.stderr)  # noqa: T201


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs above 0")
    return int(text)
