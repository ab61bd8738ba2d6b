"""``phasetrace metrics``: what happened in one execution, and where its time went."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import NothingRecorded, command, open_store
from phasetrace.cli.options import COLOURS, add_color, add_execution, add_json, add_source
from phasetrace.errors import UnknownExecution
from phasetrace.recordings.uncollected import uncollected
from phasetrace.rendering import safe, summary_text
from phasetrace.rollup import within_text

if TYPE_CHECKING:
    from phasetrace.analysis.execution import Examination
    from phasetrace.analysis.findings import Finding
    from phasetrace.analysis.recording import Recording
    from phasetrace.breakdowns import ExecutionBreakdown, ExecutionSummary
    from phasetrace.history import Verdict
    from phasetrace.recordings.source import Source
    from phasetrace.store.stored import StoredExecution

_BY: Final = ("node", "phase", "type", "iteration", "model")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``metrics``."""
    which = parser.add_mutually_exclusive_group()
    add_execution(which)
    which.add_argument(
        "--latest", action="store_true", help="the execution that started last; the default"
    )
    add_source(parser)
    parser.add_argument(
        "--breakdown", action="store_true", help="show the time of every node and phase"
    )
    parser.add_argument(
        "--bottlenecks",
        action="store_true",
        help="show what owns most of the critical path, and what would be won without it",
    )
    parser.add_argument(
        "--optimizations", action="store_true", help="show what would make it faster"
    )
    parser.add_argument(
        "--critical-path", action="store_true", help="show what determined how long it took"
    )
    parser.add_argument("--by", choices=_BY, help="add the spans up by that, in one table")
    parser.add_argument(
        "--sort", metavar="COLUMN", help="sort that table by a column, most first (default: total)"
    )
    parser.add_argument(
        "--columns", metavar="A,B,…", help="show these columns in it; see the README for all"
    )
    parser.add_argument(
        "--prices",
        metavar="FILE",
        help="what models cost, to work out costs (default: [tool.phasetrace.prices])",
    )
    parser.add_argument(
        "--rolled-up",
        action="store_true",
        help="have executions that were started within it among its nodes",
    )
    add_json(parser, "phasetrace.breakdown/1", "everything as JSON")
    parser.add_argument(
        "--plain", action="store_true", help="print plain lines on a wide terminal, too"
    )
    add_color(parser)


def execute(args: argparse.Namespace) -> int:
    """Print the metrics of the execution that was asked for."""
    has_groups = bool(args.by or args.sort or args.columns)
    has_sections = bool(args.bottlenecks or args.optimizations or args.critical_path or has_groups)
    if args.json:
        _print_json(args)
    elif not (args.breakdown or args.rolled_up or has_sections):
        with _found(args) as (source, execution):
            summary = source.summary(execution)
            remarks = _remarks(source, execution, args, _verdict(source, execution))
        _print_summary(summary, remarks, args)
    else:
        _print_sections(args, has_sections)
    return 0


def _print_sections(args: argparse.Namespace, has_sections: bool) -> None:
    from phasetrace.cli.table import on_terminal, print_breakdown, terminal_width
    from phasetrace.environment import colour_wanted

    columns = _checked_columns(args)
    breakdown: ExecutionBreakdown | None = None
    examination: Examination | None = None
    findings: tuple[Finding, ...] = ()
    with _found(args) as (source, execution), uncollected():
        if has_sections:
            examination = _examined(source, execution, args, args.optimizations)
            if args.optimizations:
                findings = _advice(source, execution, examination, args)
        if args.breakdown or not has_sections:
            recording = examination.recording if examination is not None else None
            breakdown = source.breakdown(execution, args.rolled_up, recording)
        remarks = _remarks(source, execution, args, _verdict(source, execution))
    if breakdown is not None:
        print_breakdown(breakdown, plain=args.plain, colour=COLOURS[args.color])
    if examination is not None:
        from phasetrace.cli.answers_text import sections
        from phasetrace.rendering import title_text

        colour = colour_wanted(on_terminal(), COLOURS[args.color])
        if breakdown is None:
            print(title_text(examination.recording.execution, colour=colour))  # noqa: T201
        wanted = [
            name
            for name in ("bottlenecks", "critical_path", "optimizations")
            if getattr(args, name)
        ]
        for lines in sections(
            examination, wanted, findings, args.by, columns, args.sort, terminal_width(), colour
        ):
            print("\n" + "\n".join(lines))  # noqa: T201
    if remarks:
        print("\n" + "\n".join(remarks))  # noqa: T201


def _print_json(args: argparse.Namespace) -> None:
    import json

    from phasetrace.analysis.execution import analysis_of
    from phasetrace.analysis.plain import analysis_members, findings_list, groups_dict

    with _found(args) as (source, execution), uncollected():
        examination = _examined(source, execution, args, with_metadata=True)
        breakdown = source.breakdown(execution, args.rolled_up, examination.recording)
        verdict = _verdict(source, execution)
        found = _advice(source, execution, examination, args, verdict)
    analysis = analysis_of(examination)
    members: dict[str, Any] = analysis_members(analysis)
    if args.by:
        from phasetrace.analysis.groups import BY

        members["groups"] = groups_dict(examination.groups(BY[args.by]))
    # In ASCII, escapes make JSON safe for a terminal and independent of its encoding.
    print(  # noqa: T201
        json.dumps(
            {
                **breakdown.to_dict(),
                "analysis": members,
                "findings": findings_list(found),
                "usual": verdict.to_dict() if verdict is not None else None,
            },
            indent=2,
            allow_nan=False,
        )
    )


def _checked_columns(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the columns that are asked for; complain before anything is read."""
    if not (args.columns or args.sort):
        return ()
    from phasetrace.cli.group_columns import chosen

    if args.sort:
        chosen(args.sort)
    return chosen(args.columns) if args.columns else ()


def _note(source: Source, recording: Recording) -> None:
    """Say on stderr what limits the answers that are worked out from spans."""
    notes = list(source.notes)
    if recording.lost:
        notes.append(
            f"{recording.lost:,} spans of this execution could not be stored (see"
            f" {command()} status); only the breakdown has all of them"
        )
    for note in notes:
        print(f"phasetrace: {safe(note)}", file=sys.stderr)  # noqa: T201


def _examined(
    source: Source, execution: StoredExecution, args: argparse.Namespace, with_metadata: bool
) -> Examination:
    from phasetrace.analysis.execution import Examination
    from phasetrace.project_file import load_prices

    recording = source.recording(execution, args.rolled_up, with_metadata)
    _note(source, recording)
    return Examination(recording, load_prices(args.prices))


def _advice(
    source: Source,
    execution: StoredExecution,
    examination: Examination,
    args: argparse.Namespace,
    verdict: Verdict | None = None,
) -> tuple[Finding, ...]:
    from phasetrace.recordings.advice import advice

    return advice(source, execution, examination, rolled_up=args.rolled_up, verdict=verdict)


@contextmanager
def _found(args: argparse.Namespace) -> Iterator[tuple[Source, StoredExecution]]:
    """Give the source, and the execution that was asked for."""
    if args.exec_id is not None:
        from phasetrace.recordings.references import open_reference

        source, execution = open_reference(_as_stored(args.exec_id), args.source)
        with source:
            yield source, execution
        return
    with _opened(args.source) as source:
        try:
            latest = source.latest()
        except UnknownExecution:
            raise NothingRecorded("nothing has been recorded yet", args.source) from None
        yield source, latest


def _opened(place: str | None) -> Source:
    if place is None:
        return open_store()
    from phasetrace.cli import open_source

    return open_source(place)


def _verdict(source: Source, execution: StoredExecution) -> Verdict | None:
    """Return how an execution compares with what is usual, if that is known."""
    if execution.name is None or execution.name == execution.exec_id:
        return None
    from phasetrace.recordings.usual import verdict_of

    return verdict_of(source, execution)


def _remarks(
    source: Source, execution: StoredExecution, args: argparse.Namespace, verdict: Verdict | None
) -> list[str]:
    """Return lines on how it compares, if that is worth a word, and on what is not in it."""
    from phasetrace.history import AS_USUAL, sentence

    remarks = []
    if verdict is not None and verdict.what != AS_USUAL:
        remarks.append(f"  {sentence(verdict)}")
    within = 0 if args.rolled_up else source.within(execution)
    if within:
        remarks.append(f"  {within_text(within)}: --rolled-up")
    return remarks


def _print_summary(summary: ExecutionSummary, remarks: list[str], args: argparse.Namespace) -> None:
    from phasetrace.cli.table import on_terminal
    from phasetrace.environment import colour_wanted

    colour = colour_wanted(on_terminal(), COLOURS[args.color])
    print(summary_text(summary, colour=colour))  # noqa: T201
    for remark in remarks:
        print(remark)  # noqa: T201
    if on_terminal():
        sys.stdout.flush()
        print(f"phasetrace: next: {_next(summary, args)}", file=sys.stderr)  # noqa: T201


def _next(summary: ExecutionSummary, args: argparse.Namespace) -> str:
    """Return the command that shows the breakdown of what was asked for."""
    import shlex

    from phasetrace.cli.calling import call
    from phasetrace.recordings.places import shown
    from phasetrace.recordings.references import names_file

    metrics, one = f"{command()} metrics", summary.execution
    if args.source is not None:
        place = shlex.quote(safe(shown(args.source)))
        return call(metrics, one.exec_id, one.trace_id, f"--source {place} --breakdown")
    if args.exec_id is not None and names_file(args.exec_id):
        return f"{metrics} --breakdown -- {shlex.quote(safe(args.exec_id))}"
    return call(metrics, one.exec_id, one.trace_id, "--breakdown")


def _as_stored(exec_id: str) -> str:
    """Return an id as it is recorded: bytes of an argument that are no UTF-8 are escaped."""
    return exec_id.encode("utf-8", "backslashreplace").decode("utf-8")
