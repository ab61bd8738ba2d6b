"""The numbers of one execution, as they come in.

Counts and durations are added up at once; intervals wait in ``pending`` until the owner brings them
into the course. No lock in here: `phasetrace.collector` says what guards what.
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from phasetrace.course import Course, CourseResult
from phasetrace.identity import trace_id_of
from phasetrace.names import RESERVED
from phasetrace.shares import left_over
from phasetrace.spans import EXECUTION, PhaseKey, SpanRecord, Status, key_of
from phasetrace.stats import PhaseStats

if TYPE_CHECKING:
    from phasetrace.span import Span

OTHER: Final = "(other)"
"""Where the phases go that an execution has past its limit of keys."""

_MAX_OPEN: Final = 10_000
_MAX_LAID: Final = 2_000
_TOGETHER_WITHIN_NS: Final = 50_000_000
_TOGETHER_SHARE: Final = 8
_NS_PER_MS: Final = 1_000_000
_NEVER: Final = sys.maxsize

TimelineKey = PhaseKey | str
Interval = tuple[int, int | None, int, int, TimelineKey]
"""Id, parent's id, start and end (Unix ns) and key of a finished span."""
Metadata = dict[str, Any]
SeedMapping = dict[str, dict[str, Any]]


class OpenSpan(NamedTuple):
    """A span that has started and not ended; `start_ns` in Unix nanoseconds."""

    span_id: int
    parent_id: int | None
    start_ns: int
    key: TimelineKey


class ExecutionTotals(NamedTuple):
    """A snapshot of an execution's numbers; independent of the collector."""

    exec_id: str
    part: int
    """Tells several stays of one execution in a collector apart (after `pop`, say)."""
    stats: dict[PhaseKey, PhaseStats]
    spans: int
    unattributed_ns: int
    first_ns: int
    wall_ns: int


class ExecutionTally:
    """The numbers of one execution.

    The collector's ``_lock`` guards everything but the course, which ``_settling`` guards.
    """

    def __init__(self, exec_id: str, part: int) -> None:
        self.exec_id = exec_id
        self.part = part
        self.saved_spans = 0
        self.name: str | None = None
        self.finished = False
        self.root_status: Status = "ok"
        self.root: int | None = None
        self.trace_id = trace_id_of(exec_id)
        self.spans = 0
        self.open: dict[int, OpenSpan] = {}
        self.stats: dict[PhaseKey, PhaseStats] = {}
        # PERF: a tuple is equal to its PhaseKey, and cheaper. The same one stands in all that is
        # pending: of plain tuples of strings and numbers the collector of garbage lets go at the
        # first sight, while it would look at everything that refers to a PhaseKey each time.
        self._known: dict[tuple[str | None, str | None], tuple[Any, PhaseStats]] = {}
        self.metadata: dict[PhaseKey, Metadata] = {}
        self.pending: list[Interval | int] = []
        """Intervals, and between them the id of a root where a stretch of the course begins."""
        self.course = Course()
        self.saved_at_ns = 0
        self._first_ns = _NEVER
        self._last_ns = 0
        self._doubled: dict[int, int] = {}
        self._recorded_ns = 0
        self._together_ns = 0
        self._longest_ns = 0
        self._laid: dict[str, tuple[int, int]] = {}
        self._anonymous = 0

    @property
    def status(self) -> str:
        """Running, or how the root ended."""
        return self.root_status if self.finished else "running"

    def opened(self, span: OpenSpan, name: str | None, trace_id: int | None) -> None:
        """Note a started span; `name` and `trace_id` count if it is the execution's own."""
        if span.span_id in self.open:  # reported by two processors: counted when the last one ends
            self._doubled[span.span_id] = self._doubled.get(span.span_id, 0) + 1
            return
        self.open[span.span_id] = span
        if len(self.open) > _MAX_OPEN:  # some are never ended
            del self.open[next(iter(self.open))]
        if span.key == EXECUTION:
            self.execution_opened(span.span_id, name, trace_id)

    def execution_opened(self, span_id: int, name: str | None, trace_id: int | None) -> None:
        """Note that a span of the execution itself was started."""
        # While the root is open, another one is only a part of it.
        if self.root is None or self.finished:
            if self.root is None:
                self.name = name
                self.trace_id = trace_id or self.trace_id
            self.root = span_id
            self.finished = False
            self.pending.append(span_id)

    def extent(self) -> tuple[int, int]:
        """Return the start of the first span and the end of the last (Unix ns)."""
        return (self._first_ns if self.spans else 0), self._last_ns

    def place(self, node_id: str, duration_ns: int, now_ns: int) -> int:
        """Return the end of a measurement that has a length but no place (Unix ns).

        It ends now, if it fits in after the one recorded before. Otherwise the two were handed in
        together, and what comes within 50 ms, or an eighth of the longest of them, ended at one
        moment; measurements of one node that would overlap lie one before the other.
        """
        fits = now_ns - duration_ns >= self._recorded_ns
        self._longest_ns = max(self._longest_ns, duration_ns)
        within_ns = max(_TOGETHER_WITHIN_NS, self._longest_ns // _TOGETHER_SHARE)
        if fits or now_ns - self._together_ns > within_ns:
            self._together_ns, self._longest_ns = now_ns, duration_ns
        self._recorded_ns = now_ns
        end_ns = self._together_ns
        first_ns, last_ns = self._laid.get(node_id, (end_ns, end_ns - duration_ns))
        if end_ns - duration_ns >= last_ns:
            last_ns = end_ns
        else:
            end_ns = first_ns
        self._laid[node_id] = (end_ns - duration_ns, last_ns)
        if len(self._laid) > _MAX_LAID:
            del self._laid[next(iter(self._laid))]
        return end_ns

    def add(self, span: SpanRecord, metadata: Metadata | None, max_keys: int) -> int:
        """Count a span; return 1 if it had to be counted under ``(other)``, else 0."""
        span_id = span.span_id
        if self._doubled.get(span_id):
            self._doubled[span_id] -= 1
            return 0
        self._doubled.pop(span_id, None)
        if span_id:
            self.open.pop(span_id, None)
        else:  # a measurement without a span: any id that no span can have
            self._anonymous -= 1
            span_id = self._anonymous
        key = key_of(span)
        node_type, status = span.node_type, span.status
        start_ns, end_ns = span.start_ns, span.end_ns
        return self._count(
            span_id, span.parent_id, key, node_type, start_ns, end_ns, status, metadata, max_keys
        )

    def take(self, span: Span, max_keys: int) -> int:
        """Count a span of phasetrace's own, as `add` does."""
        start_ns: int = span._start_time  # type: ignore[assignment]  # it has ended
        end_ns: int = span._end_time  # type: ignore[assignment]
        if end_ns < start_ns:
            end_ns = start_ns
        metadata = span._plain  # before it is asked whether that is all
        if span._is_plain:
            # PERF: a phase of a known key, written out: half of what the calls take.
            known = self._known.get((span._node_id, span._name))
            if known is not None:
                key, stat = known
                stat.add(start_ns, end_ns - start_ns, "ok")
                if metadata:
                    if not RESERVED.isdisjoint(metadata):
                        metadata = span.metadata()
                    if metadata:
                        self.metadata[key] = metadata
                if start_ns < self._first_ns:
                    self._first_ns = start_ns
                if end_ns > self._last_ns:
                    self._last_ns = end_ns
                self.spans += 1
                self.pending.append((span._span_id, span._parent_id, start_ns, end_ns, key))
                return 0
        details = span._node_details
        return self._count(
            span._span_id,
            span._parent_id,
            span.key(),
            details[0] if details is not None else None,
            start_ns,
            end_ns,
            span.outcome(),
            span.metadata(),
            max_keys,
        )

    def _count(
        self,
        span_id: int,
        parent_id: int | None,
        key: PhaseKey | None,
        node_type: str | None,
        start_ns: int,
        end_ns: int,
        status: Status,
        metadata: Metadata | None,
        max_keys: int,
    ) -> int:
        self.spans += 1
        merged = 0
        if key is not None:
            stat = self.stats.get(key)
            if stat is None:
                if len(self.stats) >= max_keys:
                    key, merged = PhaseKey(OTHER, OTHER), 1
                stat = self.stats.setdefault(key, PhaseStats())
                if key.phase is not None:
                    self._known[key] = (key.node_id, key.phase), stat
            stat.add(start_ns, end_ns - start_ns, status)
            if node_type is not None:
                stat.node_type = node_type
            if metadata:
                self.metadata[key] = metadata
        elif span_id == self.root:
            self.finished = True
            self.root_status = status
        if start_ns < self._first_ns:
            self._first_ns = start_ns
        if end_ns > self._last_ns:
            self._last_ns = end_ns
        self.pending.append((span_id, parent_id, start_ns, end_ns, key or EXECUTION))
        return merged

    def sweep(self, pending: list[Interval | int]) -> None:
        """Bring what was pending into the course."""
        stretch: list[Interval] = []
        for entry in pending:
            if isinstance(entry, int):
                self.course.log(stretch)
                stretch = []
                self.course.opened(entry)
            else:
                stretch.append(entry)
        self.course.log(stretch)

    def undivided(self) -> CourseResult:
        """Return a course of which nothing is known but how long it took."""
        result = CourseResult()
        result.first_ns, last_ns = self.extent()
        result.wall_ns = result.unattributed_ns = last_ns - result.first_ns
        return result

    def totals(
        self, stats: dict[PhaseKey, PhaseStats], spans: int, result: CourseResult
    ) -> ExecutionTotals:
        """Fill self times and shares into `stats`, a copy of the tally's."""
        key: Any  # a PhaseKey, or the tuple that is equal to it
        for key, self_ns in result.self_ns.items():
            if key != EXECUTION:
                stats.setdefault(PhaseKey(*key), PhaseStats()).self_ns = self_ns
        for key, share_ns in result.share_ns.items():
            if key != EXECUTION:
                stats.setdefault(PhaseKey(*key), PhaseStats()).share_ns = share_ns
        return ExecutionTotals(
            self.exec_id,
            self.part,
            stats,
            spans,
            left_over((stat.share_ns for stat in stats.values()), result.wall_ns),
            result.first_ns,
            result.wall_ns,
        )

    def mapping(self) -> SeedMapping:
        """Return the totals as ``{node_id: {phase: dur_ms, phase + "_metadata": {...}}}``."""
        mapping: SeedMapping = {}
        for key, stat in self.stats.items():
            phases = mapping.setdefault(key.node_id, {})
            if key.phase is None:
                continue
            phases[key.phase] = stat.total_ns / _NS_PER_MS
            metadata = self.metadata.get(key)
            if metadata:
                phases[f"{key.phase}_metadata"] = copy.deepcopy(metadata)
        return mapping
