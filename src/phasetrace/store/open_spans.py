"""The spans that have started and not ended, and which of them have a row as such."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace.names import TYPE
from phasetrace.spans import EXECUTION
from phasetrace.store.entry import Entry, entry_of

MAX_OPEN: Final = 65_536
_ROW_AFTER_NS: Final = 1_000_000_000
_AGAIN_AFTER: Final = 0.02
"""How soon an execution is due again, as a part of the age of its youngest open span: should the
process die, the store knows to within that for how long its spans were open, and one that waits for
days writes next to nothing."""


class OpenSpans:
    """Open spans by their id: those of `ours`, which is kept elsewhere, and those reported here.

    `start` and `end` may be called from any thread and take no lock; everything else from one at a
    time. Past `MAX_OPEN` reported ones, further ones are not noted.
    """

    def __init__(self, ours: Mapping[int, ReadableSpan]) -> None:
        self._ours: Any = ours
        self._by_id: dict[int, ReadableSpan] = {}
        self._roots: deque[ReadableSpan] = deque()
        self._rows: dict[int, Entry | None] = {}
        self._again_of: dict[str, int] = {}

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

    def due(self, now_ns: int) -> list[Entry]:
        """Return new executions, and the spans that have been open for a second, as open now.

        Each once; and from time to time one of each execution again, to tell that it goes on.
        """
        now = self._now()
        again = self._again(now, now_ns)
        roots = [self._roots.popleft() for _ in range(len(self._roots))]
        # One that is still on its way into `start` has no time yet.
        self._roots.extend(span for span in roots if span.start_time is None)
        due = [span for span in roots if span.start_time is not None]
        started_by_ns = now_ns - _ROW_AFTER_NS
        due += [
            span
            for span_id, span in now.items()
            if (span.start_time or now_ns) <= started_by_ns and span_id not in self._rows
        ]
        return again + [entry for span in due if (entry := self._row(span, now_ns)) is not None]

    def _row(self, span: ReadableSpan, now_ns: int) -> Entry | None:
        """Note that a span has a row from now on, and return what is in it."""
        context, entry = span.get_span_context(), entry_of(span)
        if context is not None:
            self._rows[context.span_id] = entry
        if entry is None:
            return None
        soon_ns = now_ns + _ROW_AFTER_NS
        self._again_of[entry.exec_id] = min(self._again_of.get(entry.exec_id, soon_ns), soon_ns)
        return entry.as_open(now_ns)

    def _again(self, now: Container[int], now_ns: int) -> list[Entry]:
        """Return the youngest open span of each execution of which it is time to tell again."""
        youngest: dict[str, Entry] = {}
        for span_id, entry in self._rows.items():
            if entry is not None and span_id in now:
                known = youngest.get(entry.exec_id)
                if known is None or entry.start_ns > known.start_ns:
                    youngest[entry.exec_id] = entry
        due = [one for one in youngest.values() if now_ns >= self._again_of.get(one.exec_id, 0)]
        self._again_of = {one: self._again_of.get(one, 0) for one in youngest}
        for entry in due:
            age_ns = now_ns - entry.start_ns
            wait_ns = max(_ROW_AFTER_NS, int(age_ns * _AGAIN_AFTER))
            self._again_of[entry.exec_id] = now_ns + wait_ns
        return [entry.as_open(now_ns) for entry in due]

    def closed(self, ended: Iterable[int]) -> list[int]:
        """Return, once, those of these ended spans that have a row as open ones."""
        if not self._rows:
            return []
        closed = [span_id for span_id in ended if span_id in self._rows]
        for span_id in closed:
            self._rows.pop(span_id, None)
        return closed

    def forget_rows(self) -> None:
        """Make every open span due again: the rows were in another file."""
        self._rows.clear()
        self._roots += [
            span
            for span in self._now().values()
            if (span.attributes or {}).get(TYPE) == EXECUTION and span not in self._roots
        ]

    def _now(self) -> dict[int, ReadableSpan]:
        # Copies made in one step each, whatever other threads do.
        return {**self._by_id.copy(), **self._ours.copy()}
