"""Test critical paths, groups and bottlenecks against definitions that look at everything."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.critical_path import (
    Run,
    bottlenecks,
    critical_path,
    critical_runs,
    parallelizable_groups,
)

Nodes = dict[str, tuple[float, float]]
Dependencies = dict[str, set[str]]

NAMES = "abcdefg"

intervals = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda pair: (min(pair), max(pair)))
nodes = st.dictionaries(st.sampled_from(NAMES), intervals)
# "z" stands for no node.
dependencies = st.dictionaries(
    st.sampled_from(NAMES + "z"), st.sets(st.sampled_from(NAMES + "z"), max_size=4)
)
runs = st.lists(
    st.builds(lambda name, times: Run(name, *times), st.sampled_from("abc"), intervals), max_size=9
)


def walk(nodes: Nodes, dependencies: Dependencies) -> list[str]:
    """Walk back by the definition, trying every node at every step."""
    given_as = {name: place for place, name in enumerate(nodes)}
    left = set(nodes)
    within_reach = left
    path: list[str] = []
    while within_reach:
        name = max(within_reach, key=lambda one: (*reversed(nodes[one]), given_as[one]))
        path.insert(0, name)
        left = left - {name}
        earlier = {one for one in left if nodes[one][1] <= nodes[name][0]}
        within_reach = (dependencies.get(name, set()) & left) or earlier
    return path


@given(nodes, dependencies)
def test_the_path_is_the_one_that_the_definition_finds(
    nodes: Nodes, dependencies: Dependencies
) -> None:
    """Whatever the intervals and dependencies, cycles and dangling names included."""
    assert critical_path(nodes, dependencies) == walk(nodes, dependencies)


@given(nodes)
def test_without_dependencies_the_path_is_a_chain_in_time(nodes: Nodes) -> None:
    """Each node starts at or after its predecessor's end, and nothing else ends in between."""
    path = critical_path(nodes, {})

    assert max((end for _, end in nodes.values()), default=None) == (
        nodes[path[-1]][1] if path else None
    )
    before = float("-inf")
    for name in path:
        start, end = nodes[name]
        assert before <= start
        others = (nodes[one][1] for one in nodes if one not in path)
        assert not [other for other in others if before < other <= start]
        before = end


def test_a_dependency_wins_over_a_node_that_ended_later() -> None:
    """What merely ran meanwhile did not hold the last node up."""
    nodes: Nodes = {"load": (0, 3), "noise": (0, 5), "report": (5, 9)}

    assert critical_path(nodes, {}) == ["noise", "report"]
    assert critical_path(nodes, {"report": {"load"}}) == ["load", "report"]


def test_the_path_goes_through_the_dependency_that_ended_last() -> None:
    """Of a join's branches the slower one counts, down to where they parted."""
    nodes: Nodes = {"start": (0, 1), "slow": (1, 7), "fast": (1, 2), "join": (7, 8)}
    waits: Dependencies = {"slow": {"start"}, "fast": {"start"}, "join": {"slow", "fast"}}

    assert critical_path(nodes, waits) == ["start", "slow", "join"]


def test_ending_at_the_very_start_is_before_it() -> None:
    """The bound is inclusive, and a node without length does not break the chain."""
    assert critical_path({"a": (0, 2), "b": (2, 2), "c": (2, 4)}, {}) == ["a", "b", "c"]


def test_a_cycle_ends_where_it_comes_round() -> None:
    """Nodes that wait for each other are each on the path once, and what came before goes on."""
    nodes: Nodes = {"before": (0, 1), "a": (1, 3), "b": (3, 5)}

    assert critical_path(nodes, {"a": {"b", "a"}, "b": {"a"}}) == ["before", "a", "b"]


def test_many_nodes_at_one_instant_are_walked_quickly() -> None:
    """A walk over nodes without length does not look at all of them at every step."""
    nodes = {str(number): (1.0, 1.0) for number in range(20_000)}

    assert len(critical_path(nodes, {})) == 20_000


def walk_runs(runs: list[Run], dependencies: Dependencies) -> list[Run]:
    """Give every run of a node a name of its own, look for what it waited for, and walk."""
    waits: Dependencies = {}
    for place, run in enumerate(runs):
        for name in dependencies.get(run.node_id, set()):
            others = [(one, i) for i, one in enumerate(runs) if i != place and one.node_id == name]
            done = [(one.end, i) for one, i in others if one.end <= run.start]
            going = [(one.start, i) for one, i in others if one.start <= run.start]
            if done or going:
                waits.setdefault(f"{place}", set()).add(f"{max(done or going)[1]}")
    intervals = {f"{place}": (run.start, run.end) for place, run in enumerate(runs)}
    return [runs[int(place)] for place in walk(intervals, waits)]


@given(runs, dependencies)
def test_the_path_through_runs_is_the_one_that_the_definition_finds(
    runs: list[Run], dependencies: Dependencies
) -> None:
    """A run waits for one run of each dependency: the last done by then, or else under way."""
    assert critical_runs(runs, dependencies) == walk_runs(runs, dependencies)


def test_the_turns_of_a_loop_follow_each_other() -> None:
    """The edge back to the loop's head leads to its turn before, not to the one after."""
    think, act, other = "think", "act", "other"
    turns = [Run(think, 0, 2), Run(act, 2, 3), Run(think, 3, 6), Run(act, 6, 9), Run(other, 0, 6)]

    path = critical_runs(turns, {think: {act}, act: {think}})

    assert path == turns[:4]


def levels(nodes: list[str], dependencies: Dependencies) -> dict[int, set[str]]:
    """Find each node's longest chain by following every one of them."""

    def waits(name: str) -> set[str]:
        return {one for one in dependencies.get(name, set()) if one in nodes and one != name}

    def longest(name: str, below: tuple[str, ...]) -> float:
        if name in below:
            return float("inf")
        return max((1 + longest(one, (*below, name)) for one in waits(name)), default=0)

    found: dict[int, set[str]] = {}
    for name in nodes:
        length = longest(name, ())
        known = name in dependencies or any(name in waits(one) for one in nodes)
        if known and length < float("inf"):
            found.setdefault(int(length), set()).add(name)
    return found


@given(st.lists(st.sampled_from(NAMES), unique=True), dependencies)
def test_groups_are_the_levels_of_the_longest_chains(
    nodes: list[str], dependencies: Dependencies
) -> None:
    """In their order, in the order given, and without the levels of one."""
    expected = [
        [name for name in nodes if name in level]
        for _, level in sorted(levels(nodes, dependencies).items())
        if len(level) > 1
    ]

    assert parallelizable_groups(nodes, dependencies) == expected


@given(dependencies)
def test_nodes_of_a_group_do_not_wait_for_each_other(dependencies: Dependencies) -> None:
    """Not even by way of others."""
    for group in parallelizable_groups(NAMES, dependencies):
        for name in group:
            reached: set[str] = set()
            ahead = dependencies.get(name, set()) - {name}
            while ahead - reached:
                reached |= ahead
                ahead = set(
                    itertools.chain.from_iterable(
                        dependencies.get(one, set()) & set(NAMES) for one in ahead & set(NAMES)
                    )
                )
            assert not reached & set(group)


def test_nodes_without_dependency_information_are_in_no_group() -> None:
    """Nothing is claimed of them; an empty set is information."""
    waits: Dependencies = {"a": set(), "c": {"a", "b"}, "d": {"a"}}

    assert parallelizable_groups("abcdx", waits) == [["a", "b"], ["c", "d"]]
    assert parallelizable_groups("abcdx", {}) == []


def test_bottlenecks_take_a_tenth_of_the_execution_or_more() -> None:
    """Exactly a tenth is enough; the longest comes first, and what is off the path never."""
    durations = {"tenth": 3, "long": 20, "short": 2.9, "beside": 30}

    assert bottlenecks(["short", "tenth", "long"], durations, 30) == ["long", "tenth"]


def test_an_execution_without_duration_has_no_bottlenecks() -> None:
    """Nothing can be a part of nothing."""
    assert bottlenecks(["a"], {"a": 0}, 0) == []
