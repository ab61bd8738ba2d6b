"""Which nodes determined how long an execution took, and which could have run side by side.

Pure functions on plain values. An interval is ``(start, end)`` in any unit, as long as it is one;
dependencies name, for each node, the nodes that it waited for. Both come from programs and may be
wrong: names that stand for no node count for nothing, and no cycle keeps a function from ending.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, TypeVar

Node = TypeVar("Node", bound=Hashable)
Interval = tuple[float, float]

BOTTLENECK_SHARE: Final = 0.1
"""The part of an execution's duration from which a node on its critical path is a bottleneck."""


class Run(NamedTuple):
    """One run of a node; a node that iterates has several."""

    node_id: str
    start: float
    end: float


def critical_path(
    nodes: Mapping[Node, Interval], dependencies: Mapping[Node, Collection[Node]]
) -> list[Node]:
    """Return the chain of nodes that determined when the last one ended, in order of execution.

    Walks back from the node that ended last. Each step goes to the dependency that ended last; from
    a node without a known dependency, to the node that ended last at or before its start
    (inclusive). Of several that ended together the one that started last is taken, of those the
    one given last. A node already on the path is passed over, so every walk ends.
    """
    order = sorted(
        (end, start, place, node) for place, (node, (start, end)) in enumerate(nodes.items())
    )
    entries = {entry[3]: entry for entry in order}
    path: list[Node] = []
    step = order[-1] if order else None
    while step is not None:
        _, start, _, node = step
        path.append(node)
        # What is on the path leaves the order (places are unique, so nodes are never compared).
        del order[bisect_left(order, step)], entries[node]
        waited_for = [entries[name] for name in dependencies.get(node, ()) if name in entries]
        if waited_for:
            step = max(waited_for)
        else:
            before = bisect_right(order, start, key=itemgetter(0))
            step = order[before - 1] if before else None
    path.reverse()
    return path


def critical_runs(runs: Sequence[Run], dependencies: Mapping[str, Collection[str]]) -> list[Run]:
    """Return the `critical_path` through single runs, where `dependencies` are between nodes.

    A run waited for one run of each dependency: the last that had ended when it started, otherwise
    the last that had started by then (work handed on while it goes on). Runs of a dependency that
    started later are the next turn of a loop, and count for nothing.
    """
    ended: dict[str, list[tuple[float, int]]] = {}
    started: dict[str, list[tuple[float, int]]] = {}
    for place, run in enumerate(runs):
        ended.setdefault(run.node_id, []).append((run.end, place))
        started.setdefault(run.node_id, []).append((run.start, place))
    for times in (*ended.values(), *started.values()):
        times.sort()

    def latest(times: Sequence[tuple[float, int]], until: float, but: int) -> int | None:
        past = bisect_right(times, until, key=itemgetter(0))
        return next((times[i][1] for i in range(past - 1, -1, -1) if times[i][1] != but), None)

    waited_for: dict[int, list[int]] = {}
    for place, run in enumerate(runs):
        for name in dependencies.get(run.node_id, ()):
            found = latest(ended.get(name, ()), run.start, place)
            if found is None:
                found = latest(started.get(name, ()), run.start, place)
            if found is not None:
                waited_for.setdefault(place, []).append(found)
    intervals = {place: (run.start, run.end) for place, run in enumerate(runs)}
    return [runs[place] for place in critical_path(intervals, waited_for)]


def parallelizable_groups(
    nodes: Iterable[str], dependencies: Mapping[str, Collection[str]]
) -> list[list[str]]:
    """Return groups of nodes that could have run at the same time, in topological order.

    A node's level is the length of the longest chain of dependencies below it; nodes of one level
    do not wait for each other, directly or indirectly. Levels of a single node are left out, and
    so are the nodes that nothing is known of: those that are neither a key of `dependencies` (an
    empty value says "waits for nothing") nor named by another node, and those in a cycle or behind
    one (a node that names only itself repeats, and is in none). What the nodes use beside their
    dependencies (a lock, a file, a rate limit) is not known here: a group is what the declared
    order permits. Within a group, nodes are in the order given.
    """
    given = dict.fromkeys(nodes)
    waits = {
        node: {name for name in dependencies.get(node, ()) if name in given} - {node}
        for node in given
    }
    dependents: dict[str, list[str]] = {}
    for node, names in waits.items():
        for name in names:
            dependents.setdefault(name, []).append(node)
    place = {node: index for index, node in enumerate(given)}
    open_ends = {node: len(names) for node, names in waits.items()}
    level = [n for n in given if not waits[n] and (n in dependencies or n in dependents)]
    groups: list[list[str]] = []
    while level:
        if len(level) > 1:
            groups.append(level)
        following: list[str] = []
        for node in level:
            for dependent in dependents.get(node, ()):
                open_ends[dependent] -= 1
                if not open_ends[dependent]:
                    following.append(dependent)
        level = sorted(following, key=place.__getitem__)
    return groups


def bottlenecks(
    path: Iterable[str],
    durations: Mapping[str, float],
    total: float,
    at_least: float = BOTTLENECK_SHARE,
) -> list[str]:
    """Return the nodes of a critical path that take a good part of the execution, longest first.

    A good part is `at_least` of `total`, the execution's duration; `durations` are in its unit.
    """
    if total <= 0:
        return []
    long = [node for node in dict.fromkeys(path) if durations.get(node, 0) / total >= at_least]
    return sorted(long, key=lambda node: -durations[node])
