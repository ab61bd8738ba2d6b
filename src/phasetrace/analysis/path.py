"""The critical path: the chain of spans that determined when an execution ended.

Walk back from the end of the whole, always to the span ending in the current one that finished last
at or before the current point (inclusive; of several that finished together the one that started
first, of those the one given last). The current span owns the time in between. Where there is no
such span, the current one owns the time down to its start, and the walk goes on from there in
whatever it began in.

A node that is known to have waited for others goes on with the last of them to finish, and the time
from then to its start is *waiting*, which the span owns that the node began in. Of one that had not
finished by then, the last thing that had happened in it counts, and it owns the time from then on.
Where the span that the node began in started only after all that, the node waited since then, and
the walk goes on with the start of that span.

At one instant, the order is that of a replay (`phasetrace.analysis.replay`): what has no length has
not finished yet when something else starts or finishes, unless that is the whole.

The segments of the path follow each other without a gap: together they are the whole.

The same as the critical path of Z. Zhang et al. ("CRISP: Critical Path Analysis of Large-Scale
Microservice Architectures", USENIX ATC 2022), and as that of Jaeger's user interface, where no two
children of a span follow each other directly, nothing outlives its parent, and no dependencies are
given; those want the next child to have finished *before* the current point, and Jaeger's loses all
but the last of calls back to back.
"""

from __future__ import annotations

from typing import NamedTuple

from phasetrace.analysis.network import WHOLE, Network


class Segment(NamedTuple):
    """A stretch of the critical path: the index of the span that owns it, and its times (ns).

    ``waiting`` is the index of the node that had not started although all it waited for was done;
    None otherwise.
    """

    place: int
    start_ns: int
    end_ns: int
    waiting: int | None = None


def critical_path(network: Network) -> list[Segment]:
    """Return the critical path in the order of time; nothing for a whole of no length.

    Takes n log n in the number of spans.
    """
    starts, ends = network.starts, network.ends
    ending_in: dict[int, list[int]] = {}
    for place in range(1, len(starts)):
        ending_in.setdefault(network.ends_in[place], []).append(place)
    unsorted = set(ending_in)
    segments: list[Segment] = []

    def finished(place: int, by_ns: int) -> list[int]:
        """Return what ended in a span by a time, the last to end at the end; times only fall.

        What has no length has ended by a later time only.
        """
        within = ending_in.get(place, [])
        if place in unsorted:
            unsorted.discard(place)
            within.sort(key=lambda one: (ends[one], -starts[one]))
        while within and (ends[within[-1]] > by_ns or starts[within[-1]] == by_ns):
            within.pop()
        return within

    def latest(place: int, by_ns: int) -> int:
        """Return the time of the last thing that happened to a span by a time."""
        if ends[place] <= by_ns:
            return ends[place]
        within = finished(place, by_ns)
        return max(starts[place], ends[within[-1]] if within else starts[place])

    def waited_for(place: int) -> int | None:
        """Return what a node waited for to the last, where that is known."""
        runs = network.waited_for.get(place, ())
        return max(runs, key=lambda run: (latest(run, starts[place]), -starts[run]), default=None)

    def own(place: int, start_ns: int, end_ns: int, waiting: int | None = None) -> None:
        if start_ns < end_ns:
            segments.append(Segment(place, start_ns, end_ns, waiting))

    place, now_ns = WHOLE, ends[WHOLE]
    within = finished(WHOLE, now_ns + 1)
    while True:
        if within and ends[within[-1]] >= starts[place]:
            last = within.pop()
            own(place, ends[last], now_ns)
            place, now_ns = last, ends[last]
            within = finished(place, now_ns)
            continue
        own(place, starts[place], now_ns)
        now_ns = min(now_ns, starts[place])
        if place == WHOLE:
            break
        began_in = network.begins_in[place]
        before = waited_for(place)
        if before is None:
            place = began_in
        elif latest(before, now_ns) < starts[began_in]:
            is_done = ends[before] <= now_ns
            own(began_in, starts[began_in], now_ns, waiting=place if is_done else None)
            place, now_ns = began_in, starts[began_in]
        elif ends[before] > now_ns:  # it handed its work on while it went on
            place = before
        else:
            own(began_in, ends[before], now_ns, waiting=place)
            place, now_ns = before, ends[before]
        within = finished(place, now_ns)
    segments.reverse()
    return segments
