"""The spans that have started and not ended, and which of them have a row as such."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace.names import TYPE
from phasetrace.spans import EXECUTION

MAX_OPEN: Final = 65_536
_ROW_AFTER_NS: Final = 1_000_000_000
_AGAIN_AFTER: Final = 0.02
"""How soon a row is due again, as a part of its age: should the process die, the store knows to
within that for how long its spans were open, and one that waits for days writes next to nothing."""
_MOST_AGAIN: Final = 1_000


class OpenSpans:
    """Open spans by their id: those of `ours`, which is kept elsewhere, and those reported here.

    `start` and `end` may be called from any thread and take no lock; everything else from one at a
    time. Past `MAX_OPEN` reported ones, further ones are not noted.
    """

    def __init__(self, ours: Mapping[int, ReadableSpan]) -> None:
        self._ours: Any = ours
        self._by_id: dict[int, ReadableSpan] = {}
        self._roots: deque[ReadableSpan] = deque()
        self._with_row: set[int] = set()
        self._again_ns = 0

    def start(self, span: ReadableSpan) -> None:
        """Note a started span that is not among `ours`."""
        context = span.get_span_context()
        if context is not None and len(self._by_id) < MAX_OPEN:
            self._by_id[context.span_id] = span
            if (span.attributes or {}).get(TYPE) == EXECUTION:
                self._roots.append(span)

    def start_execution(self, span: ReadableSpan) -> None:
        """Note the span of an execution: it gets a row at once."""
        self._roots.append(span)

    def end(self, span: ReadableSpan) -> None:
        """Note that a span has ended that is not among `ours`."""
        context = span.get_span_context()
        if context is not None:
            self._by_id.pop(context.span_id, None)

    def spans(self) -> list[ReadableSpan]:
        """Return the open spans, those that started last first."""
        started = [span for span in self._now().values() if span.start_time is not None]
        return sorted(started, key=lambda span: span.start_time or 0, reverse=True)

    def due(self, now_ns: int) -> list[ReadableSpan]:
        """Return new executions, and the spans that have been open for a second.

        Each once, and from time to time again: a row tells that its span is open now.
        """
        again = self._again(now_ns)
        roots = [self._roots.popleft() for _ in range(len(self._roots))]
        # One that is still on its way into `start` has no time yet.
        self._roots.extend(span for span in roots if span.start_time is None)
        due = [span for span in roots if span.start_time is not None]
        self._with_row.update(context.span_id for context in map(_context, due) if context)
        started_by_ns = now_ns - _ROW_AFTER_NS
        for span_id, span in self._now().items():
            if (span.start_time or now_ns) <= started_by_ns and span_id not in self._with_row:
                self._with_row.add(span_id)
                due.append(span)
        if due:
            self._again_ns = min(self._again_ns, now_ns + _ROW_AFTER_NS)
        return again + due

    def _again(self, now_ns: int) -> list[ReadableSpan]:
        """Return the open spans that have a row, the longest open first, when it is time to."""
        if now_ns < self._again_ns:
            return []
        now = self._now()
        again = [now[span_id] for span_id in self._with_row if span_id in now]
        again.sort(key=lambda span: span.start_time or now_ns)
        youngest_ns = max((span.start_time or now_ns for span in again), default=now_ns)
        self._again_ns = now_ns + max(_ROW_AFTER_NS, int((now_ns - youngest_ns) * _AGAIN_AFTER))
        return again[:_MOST_AGAIN]

    def closed(self, ended: Iterable[int]) -> list[int]:
        """Return, once, those of these ended spans that have a row as open ones."""
        if not self._with_row:
            return []
        closed = [span_id for span_id in ended if span_id in self._with_row]
        self._with_row.difference_update(closed)
        return closed

    def forget_rows(self) -> None:
        """Make every open span due again: the rows were in another file."""
        self._with_row.clear()
        self._roots += [
            span
            for span in self._now().values()
            if (span.attributes or {}).get(TYPE) == EXECUTION and span not in self._roots
        ]

    def _now(self) -> dict[int, ReadableSpan]:
        # Copies made in one step each, whatever other threads do.
        return {**self._by_id.copy(), **self._ours.copy()}


def _context(span: ReadableSpan) -> Any:
    return span.get_span_context()
