"""The spans that have started and not ended, and which of them are to get a row."""

from __future__ import annotations

from collections import deque
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace.context import TYPE
from phasetrace.spans import EXECUTION

MAX_OPEN: Final = 65_536
_ROW_AFTER_NS: Final = 1_000_000_000


class OpenSpans:
    """Open spans by their id; past `MAX_OPEN` further ones are not noted.

    `start` and `end` may be called from any thread and take no lock; `due` and `forget_rows` from
    one at a time.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, ReadableSpan] = {}
        self._roots: deque[ReadableSpan] = deque()
        self._with_row: set[int] = set()

    def start(self, span: ReadableSpan) -> None:
        """Note a started span."""
        context = span.get_span_context()
        if context is not None and len(self._by_id) < MAX_OPEN:
            self._by_id[context.span_id] = span
            if (span.attributes or {}).get(TYPE) == EXECUTION:
                self._roots.append(span)

    def end(self, span: ReadableSpan) -> None:
        """Note that a span has ended."""
        context = span.get_span_context()
        if context is not None:
            self._by_id.pop(context.span_id, None)

    def spans(self) -> list[ReadableSpan]:
        """Return the open spans, those that started last first."""
        still_open = [self._by_id.get(span_id) for span_id in reversed(list(self._by_id))]
        return [span for span in still_open if span is not None]

    def due(self, now_ns: int) -> list[ReadableSpan]:
        """Return, each once, new executions and the spans that have been open for a second."""
        due = [self._roots.popleft() for _ in range(len(self._roots))]
        still_open = set(self._by_id)  # a copy made in one step, whatever other threads do
        self._with_row &= still_open
        for span_id in still_open - self._with_row:
            span = self._by_id.get(span_id)
            if span is not None and (span.start_time or 0) <= now_ns - _ROW_AFTER_NS:
                self._with_row.add(span_id)
                due.append(span)
        return due

    def forget_rows(self) -> None:
        """Make every open span due again: the rows were in another file."""
        self._with_row.clear()
        for span_id in set(self._by_id):
            span = self._by_id.get(span_id)
            if span is not None and (span.attributes or {}).get(TYPE) == EXECUTION:
                self._roots.append(span)
