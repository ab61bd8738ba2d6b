"""Divide the wall time of one execution among its spans.

Two figures are worked out, both in nanoseconds, from intervals taken as half-open:

*Self time* of a span is its duration minus the union of its child spans' intervals, these
clipped to the span.

*Share* splits each instant of the execution's wall time evenly among the leaves active at that
instant. A leaf is a span other than the execution's root with no active child just then, so a
node between two of its phases is its own leaf. An instant of the wall time without a leaf is
*unattributed*. Shares and unattributed time add up to the wall time, which is the root's
interval once the root is known, and the extent of all spans before that.

Both come from one sweep over start and end events. A span's self time is the plain time for
which it was a leaf (the root counting as one here). Its share is read off a virtual clock that
runs at one n-th of real speed while n leaves are active: whatever a leaf gets over a stretch is
the clock's advance over that stretch, so an event costs the same however many leaves there are.
This is the round number of A. Demers, S. Keshav and S. Shenker, "Analysis and Simulation of a
Fair Queueing Algorithm" (1989), with leaves for flows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasetrace.sweep import END, NEVER, START, Sweep

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from phasetrace.sweep import Entry

    Open = tuple[int, int | None, int, Hashable]
    """Id, parent's id, start (ns) and key of a span that is still open."""


class TimelineResult:
    """Hold what a timeline came to, in nanoseconds.

    Attributes:
        self_ns: Per key, the self times of its finished spans added up, the root's included.
        share_ns: Per key, the shares of its finished and open spans added up. The root has
            none, and its key is missing unless another span uses it too.
        unattributed_ns: Wall time without a leaf.
        wall_ns: Wall time; the shares and `unattributed_ns` add up to it, except for the
            rounding of floats.
        first_ns: Start of the earliest span; 0 without any span.
        last_ns: End of the latest span, not before `now_ns` if one is open; 0 without any span.
        root_self_ns: Self time of the root, so far if it is open; 0 while it is not known.
    """

    __slots__ = (
        "first_ns",
        "last_ns",
        "root_self_ns",
        "self_ns",
        "share_ns",
        "unattributed_ns",
        "wall_ns",
    )

    def __init__(
        self,
        *,
        self_ns: dict[Hashable, int],
        share_ns: dict[Hashable, float],
        unattributed_ns: int,
        wall_ns: int,
        first_ns: int,
        last_ns: int,
        root_self_ns: int,
    ) -> None:
        """Take the figures as they are."""
        self.self_ns = self_ns
        self.share_ns = share_ns
        self.unattributed_ns = unattributed_ns
        self.wall_ns = wall_ns
        self.first_ns = first_ns
        self.last_ns = last_ns
        self.root_self_ns = root_self_ns


class Timeline:
    """Collect the spans of one execution and give their self times and shares.

    Finished spans are logged by `add` and swept by `result`. To bound memory, `advance` folds
    the past into a state whose size follows the spans open at a time and the distinct keys.
    Times are integer nanoseconds of one clock.

    The root counts as known once it has been added or is among the open spans given. A fold
    before that takes all time for wall time; if the root then starts at the horizon or later,
    that is put right. A root open at a fold is taken to be active up to the horizon at least:
    it is expected to end last, and what a span gets before the horizon is not taken back.

    Not thread-safe: the caller holds a lock.

    Attributes:
        root_id: Id of the execution's root span. To be set, if at all, before that span is
            added or given as open.
        late: How many spans were first reported after a fold beyond their start (see `add`).
    """

    __slots__ = ("_ends", "_horizon", "_log", "_state", "late", "root_id")

    def __init__(self, root_id: int | None = None) -> None:
        """Create an empty timeline."""
        self.root_id = root_id
        self.late = 0
        self._horizon: int | None = None
        # Finished spans with both events to come, and those whose start has been folded.
        self._log: dict[int, Entry] = {}
        self._ends: dict[int, Entry] = {}
        self._state = Sweep()

    @property
    def waiting(self) -> int:
        """How many finished spans are logged whose start no fold has reached."""
        return len(self._log)

    def add(
        self, span_id: int, parent_id: int | None, start_ns: int, end_ns: int, key: Hashable
    ) -> None:
        """Log a finished span.

        An end before the start is taken as equal to it. A second span of the same id is
        ignored. That holds for as long as the first one is logged; the ids of spans that ended
        before the horizon of a fold are forgotten (but not the root's), and if delivered again
        they count as late.

        A span that was open at a fold is completed; an end before the horizon, which contradicts
        that, is taken as the horizon. Any other span that starts before the horizon is late: the
        part of it before the horizon counts as its self time and has no share, takes nothing
        from its parent's self time, and for the rest it starts at the horizon.
        """
        if self._horizon is not None and start_ns <= self._horizon:
            self._add_behind(self._horizon, span_id, parent_id, start_ns, end_ns, key)
            return
        if end_ns < start_ns:
            end_ns = start_ns
        self._log.setdefault(span_id, (span_id, parent_id, start_ns, end_ns, key))

    def log(self, entries: Iterable[Entry]) -> None:
        """Log finished spans as `add` does, and keep the very tuples."""
        horizon_ns = self._horizon if self._horizon is not None else -NEVER
        put = self._log.setdefault
        for entry in entries:
            if entry[END] < entry[START] or entry[START] <= horizon_ns:
                self.add(*entry)
            else:
                put(entry[0], entry)

    def _add_behind(
        self,
        horizon_ns: int,
        span_id: int,
        parent_id: int | None,
        start_ns: int,
        end_ns: int,
        key: Hashable,
    ) -> None:
        """Log a finished span that starts at the horizon or before."""
        if self._is_finished(span_id):
            return
        end_ns = max(start_ns, end_ns)
        state = self._state
        if span_id in state.active:
            end_ns = max(horizon_ns, end_ns)
            self._ends[span_id] = (span_id, parent_id, start_ns, end_ns, key)
            return
        if start_ns < horizon_ns:
            self.late += 1
            state.first_ns = min(state.first_ns, start_ns)
            # Wholly in the past it becomes a span of no length, and as such changes nothing.
            resumed_ns = min(horizon_ns, end_ns)
            if span_id == self.root_id:
                state.root_start = start_ns
                state.root_self_ns += resumed_ns - start_ns
            else:
                state.add_self(key, resumed_ns - start_ns)
            start_ns = resumed_ns
        self._log[span_id] = (span_id, parent_id, start_ns, end_ns, key)

    def _is_finished(self, span_id: int) -> bool:
        """Tell whether a span is known to have been added; the root's id is never forgotten."""
        if span_id in self._log or span_id in self._ends:
            return True
        return span_id == self.root_id and self._state.root_end is not None

    def _unfinished(self, open_spans: Iterable[Open]) -> dict[int, Entry]:
        """Return the open spans by id, without those that have been added by now."""
        return {
            span_id: (span_id, parent_id, start_ns, start_ns, key)
            for span_id, parent_id, start_ns, key in open_spans
            if not self._is_finished(span_id)
        }

    def _clamp(self, state: Sweep, entry: Entry) -> Entry:
        """Return an open span the state has not seen, starting no earlier than the horizon."""
        span_id, parent_id, start_ns, _, key = entry
        if self._horizon is None or start_ns >= self._horizon:
            return entry
        state.first_ns = min(state.first_ns, start_ns)
        if span_id == self.root_id:
            state.root_start = start_ns
        return span_id, parent_id, self._horizon, self._horizon, key

    def advance(self, horizon_ns: int, open_spans: Iterable[Open]) -> None:
        """Fold all events up to and including the horizon and forget the spans they complete.

        `open_spans` gives, as ``(span_id, parent_id, start_ns, key)``, the spans that have
        started and not been added; the horizon is to be no later than the instant at which they
        were collected. Those that start after it, and those that have been added, are passed
        over. Spans across the horizon stay active until they are added, however often they are
        given again. One that was open at an earlier fold and now is neither open nor added is
        given up: its share ends at this horizon, its self time is dropped, and if it is added
        after all it is late. Only the root is never given up. An open span that starts before
        the previous horizon and was not open there is late in the sense of `add`.

        A horizon before the previous one changes nothing.
        """
        previous = self._horizon
        if previous is not None and horizon_ns < previous:
            return
        state = self._state
        opened = self._unfinished(open_spans)
        starts: list[Entry] = []
        ends: list[Entry] = []
        waiting: dict[int, Entry] = {}
        crossing: dict[int, Entry] = {}
        for entry in self._log.values():
            if entry[START] > horizon_ns:
                waiting[entry[0]] = entry
            else:
                starts.append(entry)
                if entry[END] <= horizon_ns:
                    ends.append(entry)
                else:
                    crossing[entry[0]] = entry
        for entry in self._ends.values():
            if entry[END] <= horizon_ns:
                ends.append(entry)
            else:
                crossing[entry[0]] = entry
        overdue: dict[int, int] = {}
        for span_id, entry in opened.items():
            if span_id in state.active:
                state.active[span_id].key = entry[-1]
            elif entry[START] <= horizon_ns:
                clamped = self._clamp(state, entry)
                starts.append(clamped)
                if clamped is not entry:
                    overdue[span_id] = clamped[START] - entry[START]
        state.sweep(starts, ends, self.root_id)
        if state.active:
            state.last_ns = max(state.last_ns, horizon_ns)
        self._horizon = horizon_ns

        for span_id, missed_ns in overdue.items():
            state.active[span_id].self_ns += missed_ns
        self.late += len(overdue)

        self._log, self._ends = waiting, crossing
        self._give_up(horizon_ns, opened)
        if state.root_start == NEVER and state.first_ns != NEVER:
            state.unclipped = state.first_ns, state.last_ns

    def _give_up(self, horizon_ns: int, opened: dict[int, Entry]) -> None:
        """End the active spans nobody will finish, without their self time."""
        state = self._state
        lost = {
            span_id: span
            for span_id, span in state.active.items()
            if span_id not in opened and span_id not in self._ends and span is not state.root
        }
        if lost:
            ends: list[Entry] = [
                (span_id, span.parent_id, horizon_ns, horizon_ns, span.key)
                for span_id, span in lost.items()
            ]
            state.sweep([], ends, self.root_id)
            for span in lost.values():
                state.add_self(span.key, -span.self_ns)

    def result(self, now_ns: int | None = None, open_spans: Iterable[Open] = ()) -> TimelineResult:
        """Return self times and shares as they stand; nothing in the timeline changes.

        `open_spans` is as for `advance`. Spans open at a fold and not added since are open even
        if they are not given here. Those that are open last up to `now_ns`, or up to the latest
        time known to be reached if that is later or there is no `now_ns`.
        """
        state = self._state.copy()
        opened = self._unfinished(open_spans)
        starts = list(self._log.values())
        for span_id, entry in opened.items():
            if span_id in state.active:
                state.active[span_id].key = entry[-1]
            else:
                starts.append(self._clamp(state, entry))
        ends = [*self._ends.values(), *self._log.values()]
        state.sweep(starts, ends, self.root_id)
        if state.active:
            if now_ns is not None:
                state.last_ns = max(state.last_ns, now_ns)
            state.advance(state.last_ns)

        self_ns = {key: total.self_ns for key, total in state.totals.items()}
        share_ns = {key: total.share_ns for key, total in state.totals.items()}
        root_self_ns = state.root_self_ns
        for span_id, span in state.active.items():
            leaf = span_id not in state.children
            if span is state.root:
                root_self_ns += span.self_ns + (state.last_ns if leaf else 0)
            else:
                share = span.share_ns + (state.virtual if leaf else 0.0)
                share_ns[span.key] = share_ns.get(span.key, 0.0) + share
        if state.root_end is not None:
            key = state.root_key
            self_ns[key] = self_ns.get(key, 0) + root_self_ns

        first_ns, last_ns = state.first_ns, state.last_ns
        if first_ns == NEVER:
            first_ns = last_ns = 0
        wall_start, wall_end = first_ns, last_ns
        if state.root_start != NEVER:
            wall_start = state.root_start
            wall_end = last_ns if state.root_end is None else state.root_end
            if state.unclipped is not None:
                wall_start = min(wall_start, state.unclipped[0])
                wall_end = max(wall_end, state.unclipped[1])
        wall_ns = wall_end - wall_start
        return TimelineResult(
            self_ns=self_ns,
            share_ns=share_ns,
            unattributed_ns=wall_ns - state.busy_ns,
            wall_ns=wall_ns,
            first_ns=first_ns,
            last_ns=last_ns,
            root_self_ns=root_self_ns,
        )
