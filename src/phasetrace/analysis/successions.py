"""Nodes that ran one after another though they do not depend on each other.

Only nodes of which dependencies are known are looked at: those that say what they depend on, and
those that others say they depend on; the latter, if they say nothing themselves, depend on nothing.
Two of them are independent if neither depends on the other, directly or through others. A node
could have begun when all it depends on was done; one that depends on nothing, when whatever else
was done in the same place that is not known to be independent of it. Of the time from then to its
start, what independent nodes ran in was waited for in vain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from phasetrace.analysis.concurrency import concurrency_of
from phasetrace.analysis.network import Network
from phasetrace.analysis.replay import Replay
from phasetrace.spans import NODE

MOST_WORK: Final = 3_000_000
"""How many steps it may take to find out who depends on whom, and who ran before whom. What would
take more is left unsaid."""


class Succession(NamedTuple):
    """Nodes that could have begun earlier, what they began after, and what that would save (ns).

    ``at_once`` is how many of them all went on at the same time.
    """

    nodes: tuple[str, ...]
    after: tuple[str, ...]
    at_once: int
    in_vain_ns: int
    saving_ns: int


class _Held(NamedTuple):
    """A run that began later than it could: by how much, and after what."""

    place: int
    lag_ns: int
    waits_for: list[int]
    after: dict[str, int]


def successions(network: Network, replay: Replay, least_ns: int) -> list[Succession]:
    """Return what ran in vain one after another, where that saves at least so much, most first.

    Nodes that held each other up are one finding: all of them together make the saving.
    """
    depends = _dependencies(network)
    if len(depends) < 2:
        return []
    behind: dict[str, set[str]] = {}
    work = 0
    for name in depends:
        behind[name] = _reachable(name, depends)
        work += len(depends[name]) + sum(len(depends.get(one, ())) for one in behind[name])
        if work > MOST_WORK:
            return []
    ended: dict[int, list[int]] = {}
    for place in range(1, len(network.spans)):
        ended.setdefault(network.ends_in[place], []).append(place)
    held = []
    for places in ended.values():
        runs = [place for place in places if _known_node(network, place) in depends]
        if len(runs) > 1:
            places.sort(key=network.ends.__getitem__)
            ends = [network.ends[place] for place in places]
            for place in runs:
                done = bisect_right(ends, network.starts[place])
                late, steps = _held(network, behind, place, places, done)
                work += steps
                if work > MOST_WORK:
                    return []
                if late is not None:
                    held.append(late)
    found = [_succession(network, replay, group) for group in _connected(network, held)]
    worth = [one for one in found if one.saving_ns >= max(1, least_ns)]
    return sorted(worth, key=lambda one: (-one.saving_ns, one.nodes))


def _dependencies(network: Network) -> dict[str, set[str]]:
    """Return the nodes of which dependencies are known, and what each depends on."""
    present = {span.node_id for span in network.spans if span is not None and span.type == NODE}
    depends: dict[str, set[str]] = {}
    for span in network.spans:
        if span is not None and span.depends_on and span.node_id is not None:
            named = [name for name in span.depends_on if name in present]
            for name in named:
                depends.setdefault(name, set())
            depends.setdefault(span.node_id, set()).update(named)
    return depends


def _reachable(name: str, depends: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in depends.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _held(
    network: Network, behind: dict[str, set[str]], place: int, places: Sequence[int], done: int
) -> tuple[_Held | None, int]:
    """Return by how much a run began too late, if it did, and how many steps that took.

    `places` are what ends in the same span, in that order; `done` is how many had when it began.
    """
    starts, ends = network.starts, network.ends
    mine, start_ns = _node(network, place), starts[place]
    could_ns = starts[network.begins_in[place]]
    waits_for = network.waited_for.get(place, [])
    could_ns = max((could_ns, *(min(ends[run], start_ns) for run in waits_for)))
    independent = []
    at = done
    for at in range(done - 1, -1, -1):
        run = places[at]
        if ends[run] <= could_ns:
            break
        name = _known_node(network, run)
        is_related = name not in behind or name in (mine, *behind[mine]) or mine in behind[name]
        if not is_related:
            independent.append(run)
        elif not waits_for and run != place:  # it is not known to have waited for anything else
            waits_for, could_ns = [run], ends[run]
            break
    in_vain, after = _covered(network, independent, could_ns, start_ns)
    if not in_vain:
        return None, done - at
    return _Held(place, start_ns - could_ns - in_vain, waits_for, after), done - at


def _covered(
    network: Network, runs: list[int], from_ns: int, to_ns: int
) -> tuple[int, dict[str, int]]:
    """Return for how long any of some runs went on between two times, and each node's part."""
    covered, clock, after = 0, from_ns, dict[str, int]()
    for run in sorted(runs, key=network.starts.__getitem__):
        end_ns = min(network.ends[run], to_ns)
        start_ns = max(network.starts[run], from_ns)
        if end_ns <= start_ns:
            continue
        name = _node(network, run)
        after[name] = after.get(name, 0) + end_ns - start_ns
        covered += max(0, end_ns - max(start_ns, clock))
        clock = max(clock, end_ns)
    return covered, after


def _connected(network: Network, held: list[_Held]) -> list[list[_Held]]:
    """Put together what has nodes in common."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    for one in held:
        mine = top(_node(network, one.place))
        for name in one.after:
            above[top(name)] = mine
    groups: dict[str, list[_Held]] = {}
    for one in held:
        groups.setdefault(top(_node(network, one.place)), []).append(one)
    return list(groups.values())


def _succession(network: Network, replay: Replay, held: list[_Held]) -> Succession:
    wall_ns = network.ends[0] - network.starts[0]
    duration_ns = replay.duration(
        start_lags={one.place: one.lag_ns for one in held},
        waited_for={one.place: one.waits_for for one in held},
    )
    nodes = dict.fromkeys(_node(network, one.place) for one in held)
    after: dict[str, int] = {}
    for one in held:
        for name, length_ns in one.after.items():
            after[name] = after.get(name, 0) + length_ns
    by_length = sorted(after, key=lambda name: (-after[name], name))
    names = {*nodes, *after}
    runs = [place for place in range(1, len(network.spans)) if _known_node(network, place) in names]
    at_once = concurrency_of(network, runs).maximum
    return Succession(
        tuple(nodes), tuple(by_length), at_once, sum(after.values()), wall_ns - duration_ns
    )


def _known_node(network: Network, place: int) -> str | None:
    span = network.spans[place]
    return span.node_id if span is not None and span.type == NODE else None


def _node(network: Network, place: int) -> str:
    span = network.spans[place]
    assert span is not None  # noqa: S101
    return span.node_id or span.name
