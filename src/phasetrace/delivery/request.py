"""Blocks on their way to an exporter, as bytes or as spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace.delivery.parcel import Parcel
from phasetrace.destination import Destination
from phasetrace.protobuf.reading import MalformedMessage
from phasetrace.store import blocks as packed
from phasetrace.store.ledger import Settlement, StoredBlock, dead_letter, frame
from phasetrace.verdict import Outcome, Verdict
from phasetrace.wire.decoding import decode_resource, decode_scope, decode_span

STOPPED: Final = Verdict(Outcome.UNAVAILABLE, "the program stopped delivering")
"""Nothing was sent."""


_SMALL: Final = 65_536
"""Bytes: a receiver that finds less than that too large may find anything so, and is not believed
before it has taken something."""


class Request:
    """Some blocks that go out together, at most so many spans at a time. Not thread-safe."""

    def __init__(
        self,
        blocks: Sequence[StoredBlock],
        is_trusted: bool,
        most: int | None = None,
        explain: Callable[[Verdict], str] = attrgetter("reason"),
    ) -> None:
        self._explain = explain
        self._blocks = blocks
        # Where each block's spans begin among all of them.
        self._starts = list(accumulate((block.spans for block in blocks), initial=0))
        self._parcel = Parcel(self._starts[-1], is_trusted, most)
        self.is_begun = False
        """Whether it has been tried; from then on it stays as it is, unless it `is_restarted`."""

    @property
    def is_restarted(self) -> bool:
        """Whether all of it was refused and nothing taken, the last time that it was tried."""
        return self._parcel.is_restarted

    @property
    def last_seq(self) -> int:
        """The number of its last block."""
        return self._blocks[-1].seq

    def advance(self, destination: Destination, is_over: Callable[[], bool]) -> Verdict | None:
        """Send on; return why it has to wait, or None when it is done."""
        self.is_begun = True

        def send(start: int, stop: int) -> Verdict:
            if is_over():
                return STOPPED
            try:
                verdict = self._send(destination, start, stop)
            except (packed.DamagedBlock, MalformedMessage) as error:
                return Verdict(Outcome.UNREADABLE, f"it cannot be read in the store: {error}")
            if verdict.outcome is Outcome.TOO_LARGE and stop - start == 1:
                verdict = verdict._replace(reason=self._explain(verdict))
            return verdict

        return self._parcel.advance(send)

    def settlement(self) -> Settlement:
        """Return what has become of the spans, once it is done."""
        parcel = self._parcel
        letters = []
        for refusal in parcel.refusals:
            ((block, start, _),) = self._parts(refusal.place, refusal.place + 1)
            letters.append(dead_letter(block, start, refusal.reason))
        return Settlement(self.last_seq, parcel.delivered, parcel.rejected, letters, parcel.remark)

    def refused(self) -> Counter[str]:
        """Return how many spans were refused, by reason."""
        return Counter(refusal.reason for refusal in self._parcel.refusals)

    def _send(self, destination: Destination, start: int, stop: int) -> Verdict:
        if destination.takes_bytes:
            payload = frame(self._parts(start, stop))
            verdict = destination.send(payload, stop - start)
            if verdict.outcome is Outcome.TOO_LARGE and len(payload) < _SMALL:
                verdict = verdict._replace(outcome=Outcome.REFUSED)
            if destination.takes_bytes:  # else nothing was sent
                return verdict
        spans = [span for part in self._parts(start, stop) for span in _decoded(*part)]
        return destination.export_spans(spans)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[StoredBlock, int, int]]:
        """Return the blocks that a range of spans lies in, each with the part of it."""
        for block, first in zip(self._blocks, self._starts, strict=False):
            begin, end = max(start - first, 0), min(stop - first, block.spans)
            if begin < end:
                yield block, begin, end


def _decoded(block: StoredBlock, start: int, stop: int) -> list[ReadableSpan]:
    resource = decode_resource(block.resource, block.resource_schema_url)
    scope = decode_scope(block.scope, block.scope_schema_url)
    messages = packed.messages(block.spans, block.columns, block.payload)
    return [
        decode_span(message, resource, scope, block.sampled) for message in messages[start:stop]
    ]
