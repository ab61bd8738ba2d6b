"""What is written to the store in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace.encoded import encoded
from phasetrace.store.entry import Entry, entry_of
from phasetrace.tally import ExecutionTotals
from phasetrace.wire import EncodedSpan

_MAX_TOTALS: Final = 4_096


class Batch:
    """Spans, totals and open spans on their way to the store; kept until they are in it.

    Every span is encoded once, however often its writing is tried. Not thread-safe.
    """

    def __init__(self) -> None:
        self.waiting: list[ReadableSpan] = []
        """Taken, and not encoded yet."""
        self.spans: list[tuple[Entry, EncodedSpan]] = []
        self.totals: dict[tuple[str, int], ExecutionTotals] = {}
        self.opened: list[Entry] = []
        self.closed: list[int] = []
        """Ids of spans whose rows as open ones are to go."""

    def __bool__(self) -> bool:
        return bool(self.spans or self.totals or self.opened or self.closed)

    def encode(self) -> int:
        """Encode what is waiting; return how many spans cannot be."""
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return 0
        lost = 0
        for span, data in zip(waiting, encoded(waiting), strict=True):
            entry = entry_of(span)
            if data is not None and entry is not None:
                self.spans.append((entry, data))
            else:
                lost += 1
        return lost

    def add_totals(self, totals: Iterable[ExecutionTotals]) -> None:
        """Take totals in, in place of earlier ones of the same execution; the latest 4,096."""
        for one in totals:
            self.totals.pop((one.exec_id, one.part), None)
            self.totals[one.exec_id, one.part] = one
        while len(self.totals) > _MAX_TOTALS:
            del self.totals[next(iter(self.totals))]

    def parts(self) -> list[Batch]:
        """Return batches of one thing each."""
        parts = []
        for opened in self.opened:
            part = Batch()
            part.opened.append(opened)
            parts.append(part)
        for span in self.spans:
            part = Batch()
            part.spans.append(span)
            parts.append(part)
        for totals in self.totals.values():
            part = Batch()
            part.add_totals([totals])
            parts.append(part)
        if self.closed:  # after the rows that are to go
            part = Batch()
            part.closed += self.closed
            parts.append(part)
        return parts

    def join(self, later: Batch) -> None:
        """Take in what another batch holds."""
        self.spans += later.spans
        self.opened += later.opened
        self.closed += later.closed
        self.add_totals(later.totals.values())
