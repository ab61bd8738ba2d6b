"""What is exported of an execution, each part worked out when a format asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.findings import Finding
from phasetrace.analysis.lanes import drawing_order, lanes
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import NO_PRICES, Prices
from phasetrace.breakdowns import ExecutionBreakdown
from phasetrace.recordings.advice import advice
from phasetrace.recordings.details import (
    NOTHING,
    Details,
    SpanKey,
    details_in,
)
from phasetrace.recordings.json_values import attributes_of, text_of
from phasetrace.recordings.originals import key_of, originals
from phasetrace.recordings.otlp_json import SERVICE_NAME, UNKNOWN_SERVICE
from phasetrace.recordings.source import Source
from phasetrace.recordings.usual import verdict_of
from phasetrace.spans import EXECUTION, SpanRecord
from phasetrace.store.stored import StoredExecution

OPEN: Final = "open"
"""The status of a span that had not ended."""


class Track(NamedTuple):
    """A lane of one process: the places of the spans in it, each after what it is inside of."""

    process: int
    lane: int
    places: list[int]


class ExportedExecution:
    """An execution on its way into a file. Reads its source, which has to stay open."""

    def __init__(
        self,
        source: Source,
        execution: StoredExecution,
        rolled_up: bool = False,
        prices: Prices = NO_PRICES,
    ) -> None:
        self._source = source
        self.execution = execution
        self._rolled_up = rolled_up
        self._prices = prices

    def traces(self) -> Iterator[dict[str, Any]]:
        """Give the spans as ``TracesData`` of OTLP's JSON."""
        return self._source.traces(self.execution, self._rolled_up)

    @cached_property
    def recording(self) -> Recording:
        """The spans, and what they say of themselves."""
        return self._source.recording(self.execution, self._rolled_up, with_metadata=True)

    @cached_property
    def breakdown(self) -> ExecutionBreakdown:
        """Where the time went."""
        return self._source.breakdown(self.execution, self._rolled_up, self.recording)

    @cached_property
    def examination(self) -> Examination:
        """What determined how long it took."""
        return Examination(self.recording, self._prices)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What could be done about it."""
        verdict = verdict_of(self._source, self.execution)
        return advice(
            self._source,
            self.execution,
            self.examination,
            rolled_up=self._rolled_up,
            verdict=verdict,
        )

    @cached_property
    def spans(self) -> list[SpanRecord]:
        """All spans, those that are open as if they ended now."""
        spans = list(self.recording.all_spans())
        ended = len(self.recording.spans)
        process_of = {span.span_id: span.process for span in spans[:ended]}
        first = spans[0].process if ended else 0
        for place in range(ended, len(spans)):  # of those only their parents' process is known
            span = spans[place]
            process = process_of.get(span.parent_id or 0, first)
            spans[place] = span._replace(process=process)
            process_of.setdefault(span.span_id, process)
        return spans

    @cached_property
    def order(self) -> list[int]:
        """The places of all spans, by their start, what is inside of another one after that."""
        return drawing_order(self.spans)

    def is_open(self, place: int) -> bool:
        """Tell whether a span had not ended."""
        return place >= len(self.recording.spans)

    def status(self, place: int) -> str:
        """Return how a span ended, or that it did not."""
        return OPEN if self.is_open(place) else self.spans[place].status

    @cached_property
    def started_ns(self) -> int:
        """The start of the execution, or of what began before it by another clock (Unix ns)."""
        return min([self.execution.started_ns, *(span.start_ns for span in self.spans)])

    @property
    def title(self) -> str:
        """What the execution is called."""
        return self.execution.name or self.execution.exec_id

    def name(self, place: int) -> str:
        """Return what a span is called: ``compare [2]`` is an iteration of a node."""
        span = self.spans[place]
        if span.type == EXECUTION and not span.name:
            return self.title
        name = span.name or "(unnamed)"
        return (
            name if span.iteration is None or span.type != "node" else f"{name} [{span.iteration}]"
        )

    def details(self, place: int) -> Details:
        """Return what a span says beside its record; of an open one there is nothing."""
        span = self.spans[place]
        return self._details.get((span.span_id, span.start_ns), NOTHING)

    @cached_property
    def services(self) -> dict[int, str]:
        """What the processes call themselves that the spans are from, in the order of starting."""
        some_span = {span.process: span.span_id for span in reversed(self.recording.spans)}
        asked = {span_id: process for process, span_id in some_span.items()}
        found: dict[int, str] = {}
        for document in self.traces() if asked else ():
            for original in originals(document):
                process = asked.pop(key_of(original.span)[1], None)
                if process is not None:
                    found[process] = _service_of(original.resource)
            if not asked:
                break  # what comes first was asked for, so that this is soon
        in_order = dict.fromkeys(self.spans[place].process for place in self.order)
        return {process: found.get(process, UNKNOWN_SERVICE) for process in in_order}

    def process_name(self, process: int) -> str:
        """Return what tells a process from the others."""
        name = self.services[process]
        several = len(self.services) > 1
        return f"{name} ({list(self.services).index(process) + 1})" if several else name

    @cached_property
    def tracks(self) -> list[Track]:
        """The spans in lanes, process by process, such that what shares a lane nests."""
        by_process: dict[int, list[int]] = {}
        for place, span in enumerate(self.spans):
            by_process.setdefault(span.process, []).append(place)
        found: list[Track] = []
        for process in self.services:
            places = by_process[process]
            spans = [self.spans[place] for place in places]
            lane_of = lanes(spans)
            tracks = [Track(process, lane, []) for lane in range(max(lane_of) + 1)]
            for at in drawing_order(spans):
                tracks[lane_of[at]].places.append(places[at])
            found += tracks
        return found

    def edges(self, track: Track) -> Iterator[tuple[bool, int, int]]:
        """Give where the spans of a lane start (True) and end, in order: with place and time.

        What starts when another one ends comes after that.
        """
        inside: list[int] = []
        for place in track.places:
            span = self.spans[place]
            while inside and self.end_ns(inside[-1]) <= span.start_ns:
                yield False, inside[-1], self.end_ns(inside.pop())
            inside.append(place)
            yield True, place, span.start_ns
        while inside:
            yield False, inside[-1], self.end_ns(inside.pop())

    def end_ns(self, place: int) -> int:
        """Return when a span ended, never before it started (Unix ns)."""
        return max(self.spans[place].start_ns, self.spans[place].end_ns)

    @cached_property
    def _details(self) -> dict[SpanKey, Details]:
        """What spans say, by their ids and starts."""
        return details_in(self.traces())


def _service_of(resource: Mapping[str, Any]) -> str:
    return text_of(attributes_of(resource).get(SERVICE_NAME) or UNKNOWN_SERVICE)
