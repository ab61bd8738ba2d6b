"""``phasetrace verify``: does another place have the same numbers as the store?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import FAILED, open_source, open_store
from phasetrace.cli.options import add_json
from phasetrace.rendering import cells, human, name_text, safe, shortened
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE

if TYPE_CHECKING:
    from phasetrace.recordings.comparison import ChangedNumber, Comparison
    from phasetrace.spans import SpanRecord

VERIFY_SCHEMA: Final = "phasetrace.verify/1"

_SPANS_NAMED: Final = 5
_NUMBERS_SHOWN: Final = 10
_LEAST_NAME: Final = 10
_MOMENTS: Final = ("start_ns", "end_ns", "started_ns")
_SIDES: Final = ("store", "source")
_NEVER_ENDED: Final = "it has not ended, so only the spans that have were compared"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``verify``."""
    parser.add_argument(
        "exec_id",
        nargs="?",
        metavar="EXEC",
        help="an execution: its id, its name, or latest~1 (default: the latest)",
    )
    parser.add_argument(
        "--source",
        required=True,
        metavar="PLACE",
        help="compare with a file of OTLP JSON lines, another store, or Jaeger (http://host:16686)",
    )
    add_json(parser, VERIFY_SCHEMA)


def execute(args: argparse.Namespace) -> int:
    """Compare, and print what differs; the exit code tells whether anything does."""
    from phasetrace.recordings.assembled import is_on_others
    from phasetrace.recordings.comparison import compare
    from phasetrace.recordings.places import is_address, shown
    from phasetrace.recordings.references import resolve

    place = shown(args.source)
    with open_store() as store, open_source(args.source) as other:
        comparison = compare(store, resolve(store, args.exec_id), other)
        # What is said of other spans there may be why nothing of it is found, where all was read.
        is_answer = not comparison.spans_there and not other.is_remote
        notes = [note for note in other.notes if is_answer or not is_on_others(note)]
        is_waiting = any(one.waiting for one in store.arrivals(comparison.execution))
    if not comparison.is_whole:
        notes.append(_NEVER_ENDED)
    if args.json:
        import json

        print(json.dumps(_plain_values(comparison, place, notes), indent=2, allow_nan=False))  # noqa: T201
    else:
        from phasetrace.cli.table import terminal_width

        print("\n".join(_lines(comparison, place, terminal_width())))  # noqa: T201
        sys.stdout.flush()
        if comparison.missing and is_address(place):
            notes.append(_how_to_deliver(comparison, is_waiting))
        for note in notes:
            print(f"phasetrace: {safe(note)}", file=sys.stderr)  # noqa: T201
    return 0 if comparison.is_same else FAILED


def _verdict(comparison: Comparison) -> str:
    if not comparison.is_same:
        return "different"
    return "identical to the microsecond" if comparison.is_cut else "identical"


def _lines(comparison: Comparison, place: str, width: int) -> Iterator[str]:
    """Give what there is to say; names are shortened where a terminal has so many columns."""
    place, exec_id = safe(place), safe(comparison.execution.exec_id)
    if comparison.is_same:
        verdict = "identical"
        if comparison.is_cut:
            verdict += " to the microsecond, which is what the backend keeps"
        yield (
            f"{verdict}: {exec_id} in the store and in {place}"
            f" ({_number(comparison.spans, 'span')}, {_number(comparison.nodes, 'node')},"
            f" {_number(comparison.phases, 'phase')}, {comparison.duration_ns:,} ns)"
        )
        return
    yield f"different: {exec_id} in the store (here) and in {place} (there)"
    of_all = f"missing there, of {_number(comparison.spans, 'span')}"
    yield from _about_spans(comparison, of_all, comparison.missing, width)
    yield from _about_spans(comparison, "only there", comparison.extra, width)
    if comparison.changed:
        yield f"  different there: {_number(len(comparison.changed), 'span')}"
        for one in comparison.changed[:_SPANS_NAMED]:
            said = ", ".join(_said(name, *both) for name, both in one.fields.items())
            yield _fitting(_place_of(one.span), f" {_id(one.span)}: {said}", width)
        yield from _rest(len(comparison.changed), _SPANS_NAMED)
    if comparison.numbers:
        yield f"  numbers that differ: {len(comparison.numbers)}"
        for number in comparison.numbers[:_NUMBERS_SHOWN]:
            said = _said(number.what, number.here, number.there)
            yield _fitting(_row_of(number), f": {said}", width)
        yield from _rest(len(comparison.numbers), _NUMBERS_SHOWN)


def _about_spans(
    comparison: Comparison, what: str, spans: Sequence[SpanRecord], width: int
) -> Iterator[str]:
    if not spans:
        return
    yield f"  {what}: {len(spans)}"
    for span in spans[:_SPANS_NAMED]:
        at = human(span.start_ns - comparison.execution.started_ns)
        took = human(span.end_ns - span.start_ns)
        yield _fitting(_place_of(span), f" {_id(span)}, at {at} for {took}", width)
    yield from _rest(len(spans), _SPANS_NAMED)


def _rest(number: int, shown: int) -> Iterator[str]:
    if number > shown:
        yield f"    and {number - shown} more"


def _fitting(name: str, rest: str, width: int) -> str:
    """Return a line of a name and what is said of it, which has to be whole."""
    if width:
        name = shortened(name, max(width - 4 - cells(rest), _LEAST_NAME))
    return f"    {name}{rest}"


def _place_of(span: SpanRecord) -> str:
    if span.type == EXECUTION:
        return "the execution itself"
    node = name_text(span.node_id or SYSTEM_NODE)
    return node if span.type == NODE else f"{node} / {name_text(span.name)}"


def _id(span: SpanRecord) -> str:
    return f"({span.span_id:016x})"


def _row_of(number: ChangedNumber) -> str:
    if number.node_id is None:
        return "the execution"
    node = name_text(number.node_id)
    return node if number.phase is None else f"{node} / {name_text(number.phase)}"


def _said(name: str, here: Any, there: Any) -> str:
    """Return both values of what differs, or by how much a point in time does."""
    if name.endswith("_ns") and isinstance(here, int) and isinstance(there, int):
        what = name.removesuffix("_ns")
        if name in _MOMENTS:
            return f"{what} {abs(there - here):,} ns {'later' if there > here else 'earlier'} there"
        return f"{what} {here:,} ns here, {there:,} ns there ({there - here:+,} ns)"
    ours, theirs = (
        safe(str(one)) if one is not None else "none" for one in _plain_pair(name, here, there)
    )
    return f"{name} {ours} here, {theirs} there"


def _plain_pair(name: str, here: Any, there: Any) -> tuple[Any, Any]:
    """Return both values of what differs; ids of spans, which are numbers here, as hex digits."""
    if name != "parent_id":
        return here, there
    return tuple(f"{one:016x}" if one is not None else None for one in (here, there))  # type: ignore[return-value]


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _how_to_deliver(comparison: Comparison, is_waiting: bool) -> str:
    from phasetrace.cli import command
    from phasetrace.cli.calling import replay

    if is_waiting:
        return f"deliver what waits: {command()} ship"
    what = "send it again" if comparison.spans_there else "nothing of it is there; send it"
    one = comparison.execution
    return f"{what}: {replay(command(), one.exec_id, one.trace_id)}"


def _plain_values(comparison: Comparison, place: str, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": VERIFY_SCHEMA,
        "exec_id": comparison.execution.exec_id,
        "source": place,
        "result": _verdict(comparison),
        "spans": comparison.spans,
        "nodes": comparison.nodes,
        "phases": comparison.phases,
        "duration_ns": comparison.duration_ns,
        "spans_there": comparison.spans_there,
        "missing": _plain_spans(comparison.missing),
        "extra": _plain_spans(comparison.extra),
        "changed": {
            "count": len(comparison.changed),
            "spans": [
                {
                    **_plain_span(one.span),
                    "fields": {
                        name: dict(zip(_SIDES, _plain_pair(name, *both), strict=True))
                        for name, both in one.fields.items()
                    },
                }
                for one in comparison.changed[:_SPANS_NAMED]
            ],
        },
        "numbers": [
            {
                "node_id": one.node_id,
                "phase": one.phase,
                "what": one.what,
                **dict(zip(_SIDES, (one.here, one.there), strict=True)),
            }
            for one in comparison.numbers
        ],
        "notes": list(notes),
    }


def _plain_spans(spans: Sequence[SpanRecord]) -> dict[str, Any]:
    return {"count": len(spans), "spans": [_plain_span(span) for span in spans[:_SPANS_NAMED]]}


def _plain_span(span: SpanRecord) -> dict[str, Any]:
    return {
        "span_id": f"{span.span_id:016x}",
        "type": span.type,
        "node_id": span.node_id,
        "name": span.name,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
    }
