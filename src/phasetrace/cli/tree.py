"""``phasetrace tree``: one execution as a tree of its nodes and phases."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import NothingRecorded
from phasetrace.cli.options import COLOURS, add_color, add_execution, add_json, add_source
from phasetrace.errors import UnknownExecution
from phasetrace.recordings.uncollected import uncollected
from phasetrace.rollup import within_text

if TYPE_CHECKING:
    from phasetrace.analysis.folding import Row, Tree
    from phasetrace.breakdowns import ExecutionHeader

TREE_SCHEMA: Final = "phasetrace.tree/1"

_RUNNING: Final = "running"
_NOT_ENDED: Final = "not ended"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tree``."""
    add_execution(parser)
    add_source(parser)
    parser.add_argument(
        "--depth", type=_depth, metavar="N", help="go no further down than N levels"
    )
    parser.add_argument(
        "--min",
        type=_part,
        metavar="N%",
        help="hide what has less than that part of the wall time, and say how much it was",
    )
    parser.add_argument(
        "--rolled-up",
        action="store_true",
        help="have executions that were started within it where they were started",
    )
    add_json(parser, TREE_SCHEMA)
    add_color(parser)


def execute(args: argparse.Namespace) -> int:
    """Print the tree of the execution that was asked for."""
    with uncollected():
        header, tree, within = _folded(args)
        if args.json:
            import json

            print(json.dumps(tree_dict(header, tree), indent=2, allow_nan=False))  # noqa: T201
        else:
            _print(header, tree, within, args)
    return 0


def tree_dict(header: ExecutionHeader, tree: Tree) -> dict[str, Any]:
    """Return a tree as plain values, ready for JSON; versioned by ``schema``.

    The rows are a list, as JSON that is nested as deep as spans may be cannot be read.
    """
    return {
        "schema": TREE_SCHEMA,
        "exec_id": header.exec_id,
        "name": header.name,
        "status": header.status,
        "trace_id": header.trace_id,
        "started_ns": header.started_ns,
        "duration_ns": header.duration_ns,
        "wall_ns": tree.wall_ns,
        "unattributed_ns": tree.unattributed_ns,
        "processes": tree.processes,
        "rows": [_row_dict(row, tree.wall_ns) for row in tree.rows],
        "hidden": tree.hidden._asdict(),
    }


def _row_dict(row: Row, wall_ns: int) -> dict[str, Any]:
    return {
        "depth": row.depth,
        "parent": row.parent,
        "type": row.type,
        "node_id": row.node_id,
        "phase": row.phase,
        "iteration": row.iteration,
        "start_ns": row.start_ns,
        "calls": row.calls,
        "open": row.open,
        "total_ns": row.total_ns,
        "self_ns": row.self_ns,
        "share_ns": row.share_ns,
        "share": row.share_ns / wall_ns if wall_ns else 0.0,
        "min_ns": row.min_ns,
        "max_ns": row.max_ns,
        "errors": row.errors,
        "cancelled": row.cancelled,
        "processes": list(row.processes),
        "spans": row.spans,
    }


def _folded(args: argparse.Namespace) -> tuple[ExecutionHeader, Tree, int]:
    """Return the execution, its tree, and how many executions within it are not in that."""
    from phasetrace.analysis.folding import cut, fold
    from phasetrace.analysis.network import Network
    from phasetrace.recordings.references import open_reference

    reference = args.exec_id
    if reference is not None:  # as it is recorded: bytes that are no UTF-8 are escaped
        reference = reference.encode("utf-8", "backslashreplace").decode("utf-8")
    try:
        source, execution = open_reference(reference, args.source)
    except UnknownExecution:
        if reference is not None:
            raise
        raise NothingRecorded("nothing has been recorded yet", args.source) from None
    with source:
        recording = source.recording(execution, args.rolled_up)
        within = 0 if args.rolled_up or args.json else source.within(execution)
    tree = fold(recording, Network(recording.all_spans(), recording.root_id))
    least = args.min[0] if args.min is not None else 0.0
    return recording.execution, cut(tree, least, args.depth), within


def _print(header: ExecutionHeader, tree: Tree, within: int, args: argparse.Namespace) -> None:
    from phasetrace.cli.table import on_terminal
    from phasetrace.cli.tree_text import hidden_text, tree_lines
    from phasetrace.cli.trend_text import terminal
    from phasetrace.environment import colour_wanted
    from phasetrace.rendering import title_text

    colour = colour_wanted(on_terminal(), COLOURS[args.color])
    width, in_ascii = terminal()
    lines = [title_text(header, colour=colour)]
    lines += [
        "",
        *tree_lines(
            tree,
            header.name or header.exec_id,
            open_word=_NOT_ENDED if header.status == "abandoned" else _RUNNING,
            width=width,
            in_ascii=in_ascii,
            colour=colour,
        ),
    ]
    said = hidden_text(tree, args.min[1]) if args.min is not None else ""
    if said or within:
        lines.append("")
    if said:
        lines.append(said)
    if within:
        lines.append(f"{within_text(within)}: --rolled-up")
    sys.stdout.write("\n".join(lines) + "\n")


def _depth(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of levels")
    return int(text)


def _part(text: str) -> tuple[float, str]:
    """Return a part of the whole, and how it is written; a bare number is a percentage."""
    number = text.removesuffix("%")
    try:
        percent = float(number)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part like 1% or 0.5%")
    return percent / 100, f"{number}%"
