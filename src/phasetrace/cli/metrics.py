"""``phasetrace metrics``: what happened in one execution, and where its time went."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phasetrace.cli import NothingRecorded, command, open_store
from phasetrace.errors import UnknownExecution
from phasetrace.rendering import safe, summary_text

if TYPE_CHECKING:
    from phasetrace.breakdowns import ExecutionSummary
    from phasetrace.store.reader import StoreReader
    from phasetrace.store.stored import StoredExecution

_COLOURS = {"auto": None, "always": True, "never": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``metrics``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "exec_id", nargs="?", metavar="EXEC_ID", help="the execution (default: the latest)"
    )
    which.add_argument(
        "--latest", action="store_true", help="the execution that started last; the default"
    )
    parser.add_argument(
        "--breakdown", action="store_true", help="show the time of every node and phase"
    )
    parser.add_argument(
        "--rolled-up",
        action="store_true",
        help="have executions that were started within it among its nodes",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print everything as JSON (phasetrace.breakdown/1), times in integer nanoseconds",
    )
    parser.add_argument(
        "--plain", action="store_true", help="print plain lines on a wide terminal, too"
    )
    parser.add_argument(
        "--color",
        choices=_COLOURS,
        default="auto",
        help="when to colour (default: auto, on a terminal unless NO_COLOR is set)",
    )


def execute(args: argparse.Namespace) -> int:
    """Print the metrics of the execution that was asked for."""
    if not (args.json or args.breakdown or args.rolled_up):
        with _found(args.exec_id) as (store, execution):
            summary = store.summary(execution)
        _print_summary(summary, _COLOURS[args.color])
        return 0
    with _found(args.exec_id) as (store, execution), _without_collections():
        breakdown = store.breakdown(execution, args.rolled_up)
    if args.json:
        import json

        # In ASCII, escapes make JSON safe for a terminal and independent of its encoding.
        print(json.dumps(breakdown.to_dict(), indent=2))  # noqa: T201
    else:
        from phasetrace.cli.table import print_breakdown

        print_breakdown(breakdown, plain=args.plain, colour=_COLOURS[args.color])
    return 0


@contextmanager
def _found(exec_id: str | None) -> Iterator[tuple[StoreReader, StoredExecution]]:
    """Give the store, and the execution that was asked for."""
    with open_store() as store:
        if exec_id is not None:
            yield store, store.find(_as_stored(exec_id))
            return
        try:
            latest = store.latest()
        except UnknownExecution:
            raise NothingRecorded("nothing has been recorded yet") from None
        yield store, latest


@contextmanager
def _without_collections() -> Iterator[None]:
    # PERF: a breakdown that is worked out from spans makes tuples by the hundred thousand and no
    # cycles; without looking for some, 200,000 spans take 1.05 s and not 1.3 s.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _print_summary(summary: ExecutionSummary, colour: bool | None) -> None:
    from phasetrace.cli.table import on_terminal
    from phasetrace.settings import colour_wanted

    print(summary_text(summary, colour=colour_wanted(on_terminal(), colour)))  # noqa: T201
    if on_terminal():
        import shlex

        sys.stdout.flush()
        exec_id = shlex.quote(safe(summary.execution.exec_id))
        print(f"phasetrace: next: {command()} metrics {exec_id} --breakdown", file=sys.stderr)  # noqa: T201


def _as_stored(exec_id: str) -> str:
    """Return an id as it is recorded: bytes of an argument that are no UTF-8 are escaped."""
    return exec_id.encode("utf-8", "backslashreplace").decode("utf-8")
