"""What spans say beside their times, of as many as there is room for on a page.

A page is to be mailed and to open at once, and what spans say has no end. So there is a budget of
bytes: the first failed call of each finding comes first, then all others that failed, then the
longest spans, and what does not fit is counted. Whatever is equal is there once: texts, the names
that attributes have together, spans' attributes as a whole, and the lines of stack traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.findings import Finding
from phasetrace.errors import SourceError, StoreError
from phasetrace.recordings.details import (
    Details,
    SpanKey,
    details_in,
    first_failures,
)
from phasetrace.recordings.source import Source
from phasetrace.reports.columns import deltas
from phasetrace.reports.packing import Packer, SaidOnPage
from phasetrace.spans import SpanRecord
from phasetrace.store.stored import StoredExecution

MOST_BYTES: Final = 500_000
"""Of a page, for what spans say; two executions share them."""
MOST_SPANS: Final = 10_000
"""More spans are not asked: to decode a span takes 90 µs, and few of more would have room."""


class Said(NamedTuple):
    """What some spans said, and their places in the network: those that matter most come first.

    ``note`` is why they could not be asked, if so.
    """

    places: Sequence[int]
    details: Mapping[SpanKey, Details]
    note: str = ""

    def of(self, span: SpanRecord) -> Details | None:
        """Return what a span said; None if it was not asked."""
        return self.details.get((span.span_id, span.start_ns))


NOBODY: Final = Said((), {})


def read_details(
    source: Source,
    execution: StoredExecution,
    rolled_up: bool,
    examination: Examination,
    findings: Iterable[Finding],
) -> Said:
    """Return what the spans said of which there is most to say.

    A page of times alone is better than none, so that a source which cannot tell is noted.
    """
    places = places_by_weight(examination, findings)[:MOST_SPANS]
    spans = (examination.network.spans[place] for place in places)
    ids = {span.span_id for span in spans if span is not None}
    try:
        return Said(places, details_in(source.traces(execution, rolled_up, ids)))
    except (SourceError, StoreError) as error:
        return Said((), {}, f"attributes and events are not here: {error}")


def places_by_weight(examination: Examination, findings: Iterable[Finding]) -> list[int]:
    """Return the places of the finished spans: what failed comes first, then the longest ones.

    Of what failed, the calls come first that findings are about, and the others in time. Of the
    others, those come first of which is known that they say something: the longest spans of all are
    nodes, and those mostly say nothing.
    """
    spans = examination.network.spans
    still_open = {span_id for span_id, *_ in examination.recording.open_spans}
    first = {id(span) for span in first_failures(findings, spans).values()}

    def weight(place: int) -> tuple[int, int]:
        span = spans[place]
        assert span is not None  # noqa: S101 - only those are asked
        if span.status == "error":
            return (0 if id(span) in first else 1), span.start_ns
        says_something = span.metadata is not None or span.usage is not None
        return (2 if says_something else 3), span.start_ns - span.end_ns

    finished = (
        place
        for place, span in enumerate(spans)
        if span is not None and span.span_id not in still_open
    )
    return sorted(finished, key=weight)


def detail_columns(
    said: Said, spans: Sequence[SpanRecord | None], number_of: Mapping[int, int], most_bytes: int
) -> dict[str, Any]:
    """Return the columns of what spans said, by the numbers that they have on the page.

    ``texts`` are texts; ``shapes`` are lists of names, ``entries`` a shape followed by as many
    values, and ``stacks`` lists of lines: all by the numbers of texts. ``at`` are the spans that
    say something, ``entry`` their attributes, ``message`` what else their status says. ``event``
    has a row an event, ``offset`` in nanoseconds after the start of the span; ``more_events``
    counts those left out. ``nothing`` are spans that say nothing, ``left_out`` counts those that
    are neither there nor in ``at``; where that is 0, nobody needs ``nothing``, and it is empty.
    """
    packer = Packer(most_bytes)
    silent = []
    left_out = len(number_of)
    for place in said.places:
        span = spans[place]
        details = said.of(span) if span is not None else None
        if span is None or details is None:
            continue
        of_page = SaidOnPage(span, details)
        if of_page.says_nothing:
            silent.append(number_of[place])
            left_out -= 1
        elif packer.put(number_of[place], of_page):
            left_out -= 1
    return {
        **packer.columns(),
        "nothing": deltas(sorted(silent)) if left_out else [],
        "left_out": left_out,
    }
