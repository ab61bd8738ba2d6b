"""Replaying an execution with something changed: what would it have come to?

Starts and ends are the events of an execution. Each happens on the *timelines* of spans: a start on
its own, an end on its own and on that of the span that it ends in. An event comes a fixed time, its
*lag*, after the last event before it on the timelines that it waits for:

- a start waits for the timeline of the span that it begins in, and that of a node that is known to
  have waited for others for theirs, too;
- an end waits for the timeline of its own span.

So a span's work is cut into pieces by what happens to it, and in a replay each piece takes as long
as it took, and begins as soon as everything is done that had been done when it began. Whatever has
finished before something else began in the same span is taken to have been waited for, also by a
node that does not depend on it: what runs one after another does so until somebody changes the
program. Where it was not waited for (tasks of a pool that have nothing to do with each other),
savings come out too small. Where a start waited for something that is not recorded (a timer, a
queue, work outside of any span), the replay has it wait for what ended before it instead, and
savings may come out too large. They are estimates by what was recorded.

*Slack* asks what the program has to wait for, and goes by the critical path: there, a node that is
known to have waited for others waits for those and for the start of the span that it begins in, and
for nothing else.

Of what happens at one instant, spans that lasted end first, the innermost before the outer ones;
then spans start, the outermost first; then spans of no length end.

Lags never change the order of events on a timeline, so an event that came first stays first: a
change cannot turn up something that was hidden in the recording, such as a lock that would then be
fought for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from phasetrace.analysis.network import WHOLE, Network
from phasetrace.sweep import NEVER

_AS_RECORDED: Final[Mapping[int, Any]] = {}


class Replay:
    """Replays one execution as often as is asked for; not thread-safe.

    To build it takes n log n in the number of spans, each replay n.
    """

    __slots__ = ("_end_lags", "_events", "_network", "_start_lags", "_turn_lags")

    def __init__(self, network: Network) -> None:
        self._network = network
        self._events = _in_order(network)
        count = len(network.starts)
        self._start_lags = [0] * count
        self._turn_lags = [0] * count
        self._end_lags = [0] * count
        self._measure()

    def start_lag(self, place: int) -> int:
        """Return how long after the last thing that it had to wait for a span began (ns)."""
        return self._start_lags[place]

    def turn_lag(self, place: int) -> int:
        """Return the same after whatever else had ended in the same span, if that was later."""
        return self._turn_lags[place]

    def duration(
        self,
        without: Collection[int] = (),
        start_lags: Mapping[int, int] = _AS_RECORDED,
        waited_for: Mapping[int, Sequence[int]] = _AS_RECORDED,
    ) -> int:
        """Return how long the execution would have taken (ns).

        `without` are spans that would have taken no time, they and all that ends in them; what goes
        on after they have ended takes its time, from an earlier start. `start_lags` are times for
        spans to begin after what they waited for, in place of those that were; `waited_for` are
        spans that others wait for, beside the start of the span that they begin in and in place of
        whatever else had ended there.
        """
        network = self._network
        begins_in, ends_in = network.begins_in, network.ends_in
        depends = network.waited_for
        timeless = self._timeless(without)
        start_of = network.starts.copy()
        ready = network.starts.copy()
        given = self._turn_lags
        if start_lags:
            given = given.copy()
            for place, lag_ns in start_lags.items():
                given[place] = lag_ns
        for event in self._events:
            place = event >> 1
            if event & 1:
                if not timeless[place]:
                    ready[place] += self._end_lags[place]
                if place and ready[place] > ready[ends_in[place]]:
                    ready[ends_in[place]] = ready[place]
            elif place:
                parent = begins_in[place]
                begin_ns = ready[parent]
                if place in waited_for:
                    begin_ns = max((start_of[parent], *(ready[run] for run in waited_for[place])))
                elif place in depends:
                    begin_ns = max(begin_ns, *(ready[run] for run in depends[place]))
                if not timeless[parent]:
                    begin_ns += given[place]
                start_of[place] = ready[place] = begin_ns
        return ready[WHOLE] - network.starts[WHOLE]

    def slacks(self) -> list[int]:
        """Return by how much each span could have started or ended later, the execution no later.

        The smaller of the two, in ns; the *total float* of the critical path method. 0 for what is
        on the critical path. What nothing waited for has the time to the end of the execution.
        """
        network = self._network
        starts, ends = network.starts, network.ends
        begins_in, ends_in, waited_for = network.begins_in, network.ends_in, network.waited_for
        # The latest time by which what is on a timeline has to be done, and what has started.
        due = [NEVER] * len(starts)
        due[WHOLE] = ends[WHOLE]
        start_due = due.copy()
        slacks = [0] * len(starts)
        for event in reversed(self._events):
            place = event >> 1
            if event & 1:
                by_ns = min(due[place], due[ends_in[place]])
                slacks[place] = min(by_ns, ends[WHOLE]) - ends[place]
                due[place] = min(due[place], by_ns - self._end_lags[place])
                continue
            if not place:
                break
            by_ns = min(due[place], start_due[place])
            slacks[place] = min(slacks[place], by_ns - starts[place])
            by_ns -= self._start_lags[place]
            parent = begins_in[place]
            if place in waited_for:
                start_due[parent] = min(start_due[parent], by_ns)
                for run in waited_for[place]:
                    due[run] = min(due[run], by_ns)
            else:
                due[parent] = min(due[parent], by_ns)
        return slacks

    def _measure(self) -> None:
        """Find the lags: replay what happened."""
        network = self._network
        starts, ends = network.starts, network.ends
        begins_in, ends_in, waited_for = network.begins_in, network.ends_in, network.waited_for
        latest = starts.copy()
        for event in self._events:
            place = event >> 1
            if event & 1:
                self._end_lags[place] = ends[place] - latest[place]
                latest[place] = ends[place]
                latest[ends_in[place]] = max(latest[ends_in[place]], ends[place])
                continue
            if place:
                parent = begins_in[place]
                before_ns = had_to_ns = latest[parent]
                if place in waited_for:
                    last_ns = max(latest[run] for run in waited_for[place])
                    before_ns, had_to_ns = max(before_ns, last_ns), max(starts[parent], last_ns)
                self._turn_lags[place] = starts[place] - before_ns
                self._start_lags[place] = starts[place] - had_to_ns

    def _timeless(self, without: Collection[int]) -> Sequence[int]:
        network = self._network
        timeless = bytearray(len(network.starts))
        for place in without:
            timeless[place] = True
        if without:
            for place in network.order:
                if timeless[network.ends_in[place]]:
                    timeless[place] = True
        return timeless


def _in_order(network: Network) -> list[int]:
    """Return the events in the order in which they are replayed: twice a span's index, or 1 more.

    The end of the whole comes last, whatever else there is at that instant.
    """
    starts, ends = network.starts, network.ends
    lasting = [place for place in network.order if starts[place] < ends[place] and place]
    instant = [place for place in network.order if starts[place] == ends[place] and place]
    events = [place << 1 | 1 for place in reversed(lasting)]
    events += [place << 1 for place in network.order]
    events += [place << 1 | 1 for place in reversed(instant)]
    times = [0] * (2 * len(starts))
    times[::2], times[1::2] = starts, ends
    events.sort(key=times.__getitem__)
    events.append(WHOLE << 1 | 1)
    return events
