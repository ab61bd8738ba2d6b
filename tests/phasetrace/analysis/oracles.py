"""What the documentation of the analysis says, word by word, however long it takes.

Each function looks at every span, every ancestor or every nanosecond. What is given is taken from a
`Network`: spans, their clipped times and parents, and for events at one instant the order from
above. Everything else is worked out anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from phasetrace.analysis.network import WHOLE, Network
from phasetrace.spans import EXECUTION, NODE

Event = tuple[int, bool]
"""A span's index, and whether it is its end."""


def ancestors(network: Network, place: int) -> Iterator[int]:
    """Give a span's parent, the parent's parent, and so on up to the whole."""
    while place != WHOLE:
        place = network.parents[place]
        yield place


def begins_in(network: Network, place: int) -> int:
    """Return the nearest ancestor that is active when a span starts; the whole has itself."""
    starts, ends = network.starts, network.ends
    return next(
        (
            above
            for above in ancestors(network, place)
            if starts[above] <= starts[place] <= ends[above]
        ),
        WHOLE,
    )


def ends_in(network: Network, place: int) -> int:
    """Return the nearest ancestor that has started and goes on until a span ends."""
    starts, ends = network.starts, network.ends
    return next(
        (
            above
            for above in ancestors(network, place)
            if (starts[above] < ends[place] or starts[above] <= starts[place])
            and ends[place] <= ends[above]
        ),
        WHOLE,
    )


def waited_for(network: Network, place: int) -> list[int]:
    """Return the runs that a node waited for: of what it names, in that order, and then of itself.

    A node that names nothing that is there is not known to have waited for anything.
    """
    one = network.spans[place]
    if one is None or not one.depends_on:
        return []

    rank = network.order.index

    def has_begun(run: int) -> bool:
        at = network.starts[place]
        return (network.starts[run], rank(run)) < (at, rank(place))

    def latest(name: str | None, has_ended: bool) -> list[int]:
        """Return the last run of a node to end, or start, by the start of this one, if any."""
        times = network.ends if has_ended else network.starts
        runs = [
            run
            for run, other in enumerate(network.spans)
            if other is not None
            and other.type == NODE
            and other.node_id == name
            and has_begun(run)
            and times[run] <= network.starts[place]
        ]

        def moment(run: int) -> tuple[int, bool, int]:
            is_instant = network.starts[run] == network.ends[run]
            by_rank = is_instant or not has_ended
            return times[run], is_instant, rank(run) if by_rank else run

        return [max(runs, key=moment)] if runs else []

    found = [run for name in one.depends_on for run in latest(name, True) or latest(name, False)]
    return list(dict.fromkeys(found + latest(one.node_id, True))) if found else []


def active_at(network: Network, places: Collection[int], now_ns: int) -> list[int]:
    """Return which spans are active for the nanosecond from a time on."""
    return [place for place in places if network.starts[place] <= now_ns < network.ends[place]]


def leaves_at(network: Network, now_ns: int) -> list[int]:
    """Return the active spans of nodes and phases that have no active child."""
    active = active_at(network, range(1, len(network.spans)), now_ns)
    parents = {network.parents[place] for place in active}
    leaves = []
    for place in active:
        one = network.spans[place]
        if one is not None and one.type != EXECUTION and place not in parents:
            leaves.append(place)
    return leaves


def walk(network: Network) -> list[tuple[int, int | None]]:
    """Return who owns each nanosecond of the whole on the critical path, and which node waits.

    Walks back a nanosecond at a time.
    """
    starts, ends = network.starts, network.ends
    everything = range(1, len(starts))
    place, now_ns = WHOLE, ends[WHOLE]
    came_ns = now_ns + 1
    owners: list[tuple[int, int | None]] = []
    while True:
        finished = [
            one
            for one in everything
            if ends[one] == now_ns >= starts[place]
            and ends_in(network, one) == place
            and (starts[one] < now_ns or now_ns < came_ns)
        ]
        if finished:
            place, came_ns = min(finished, key=lambda one: (starts[one], -one)), now_ns
        elif now_ns > starts[place]:
            owners.append((place, None))
            now_ns -= 1
        elif place == WHOLE:
            return owners[::-1]
        else:
            began_in = begins_in(network, place)
            before, done_ns = last_to_finish(network, place)
            if before is not None and done_ns < starts[began_in]:
                until_ns, goes_on = starts[began_in], began_in
            else:
                goes_on = began_in if before is None else before
                until_ns = now_ns if before is None else min(now_ns, ends[before])
            is_waiting = before is not None and ends[before] <= now_ns
            while now_ns > until_ns:
                owners.append((began_in, place if is_waiting else None))
                now_ns -= 1
            place, came_ns = goes_on, now_ns


def last_to_finish(network: Network, place: int) -> tuple[int | None, int]:
    """Return which run that a node waited for was the last to do anything, and when it did."""
    starts, ends = network.starts, network.ends

    def last_event(run: int) -> int:
        if ends[run] <= starts[place]:
            return ends[run]
        done = [
            ends[one]
            for one in range(1, len(starts))
            if starts[one] < starts[place] >= ends[one] and ends_in(network, one) == run
        ]
        return max(done, default=starts[run])

    runs = waited_for(network, place)
    last = max(runs, key=lambda run: (last_event(run), -starts[run]), default=None)
    return last, 0 if last is None else last_event(last)


class Lags(NamedTuple):
    """The times that the events of an execution come after what they wait for."""

    order: list[Event]
    before: dict[Event, list[Event]]
    lags: dict[Event, int]


def lags(network: Network, in_turn: bool) -> Lags:
    """Return the events of an execution in order, what each waits for, and for how long.

    `in_turn` has nodes wait for what had ended in the same span as well as for what they had to.
    """
    starts, ends = network.starts, network.ends
    above = {place: number for number, place in enumerate(network.order)}

    def moment(event: Event) -> tuple[int, int, int]:
        place, is_end = event
        if place == WHOLE:
            return (ends[WHOLE], 3, 0) if is_end else (starts[WHOLE], -1, 0)
        if not is_end:
            return starts[place], 1, above[place]
        return ends[place], 0 if starts[place] < ends[place] else 2, -above[place]

    places = range(len(starts))
    order = sorted(((place, is_end) for place in places for is_end in (False, True)), key=moment)
    if order[-1] != (WHOLE, True):  # of a whole of no length
        order.remove((WHOLE, True))
        order.append((WHOLE, True))
    begun_in = [begins_in(network, place) for place in places]
    ended_in = [ends_in(network, place) for place in places]

    def timelines(event: Event) -> set[int]:
        place, is_end = event
        return {place, ended_in[place]} if is_end else {place}

    before: dict[Event, list[Event]] = {}
    waits: dict[Event, int] = {}
    for number, event in enumerate(order):
        place, is_end = event
        earlier = order[:number]
        awaited = {place if is_end else begun_in[place]}
        found: list[Event] = []
        if not is_end:
            runs = waited_for(network, place)
            if place != WHOLE and runs:
                awaited = {*runs, begun_in[place]} if in_turn else set(runs)
                found.append((begun_in[place], False))
        found += [other for other in earlier if timelines(other) & awaited]
        before[event] = found
        times = [ends[other] if other_ends else starts[other] for other, other_ends in found]
        now_ns = ends[place] if is_end else starts[place]
        waits[event] = now_ns - max(times, default=now_ns)
    return Lags(order, before, waits)


def relaxed(network: Network, of: Lags, changed: Mapping[Event, int]) -> int:
    """Return how long an execution takes if some lags are others, by relaxation to a fixed point.

    Goes through the events in no sensible order until nothing moves any more.
    """
    times = dict.fromkeys(of.order, 0)
    moved = True
    while moved:
        moved = False
        for event in reversed(of.order):
            at_ns = max((times[other] for other in of.before[event]), default=0)
            at_ns += changed.get(event, of.lags[event])
            moved = moved or at_ns != times[event]
            times[event] = at_ns
    return times[WHOLE, True]


def timeless(network: Network, without: Collection[int]) -> set[int]:
    """Return some spans and all that ends in them, directly or not."""
    found = set(without)
    while True:
        more = {p for p in range(1, len(network.starts)) if ends_in(network, p) in found} - found
        if not more:
            return found
        found |= more


def without(network: Network, places: Collection[int], of: Lags) -> int:
    """Return how long an execution takes if spans take no time, nor what ends in them."""
    gone = timeless(network, places)
    changed = {
        (place, is_end): 0
        for place, is_end in of.order
        if (place if is_end else begins_in(network, place)) in gone and (place or is_end)
    }
    return relaxed(network, of, changed)
