"""Test spans added up by whatever is asked for, against a look at every nanosecond."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.groups import BY, Groups, Key, groups
from phasetrace.analysis.network import WHOLE
from phasetrace.analysis.path import critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import Spent, spent
from phasetrace.spans import EXECUTION, NODE, PhaseKey, SpanRecord, Usage
from tests.phasetrace.analysis import oracles
from tests.phasetrace.analysis.timelines import (
    arbitrary,
    executions,
    network,
    recording,
    running,
    span,
)

WAYS = st.sampled_from(sorted(BY))
ANY = st.one_of(executions(), running())


def with_names(of: Recording) -> Recording:
    """Give phases without a name one: they have no place of their own among a breakdown's rows."""
    return of._replace(
        spans=[one._replace(name=one.name or "r") for one in of.spans],
        open_spans=[
            (*one[:3], PhaseKey(key.node_id, key.phase or "r") if key.phase == "" else key)
            if isinstance(key := one[3], PhaseKey)
            else one
            for one in of.open_spans
        ],
    )


def added_up(of: Recording, way: str) -> Groups:
    """Return the spans of a recording added up."""
    found = network(of)
    return groups(of, found, critical_path(found), BY[way])


def active_at(spans: Collection[SpanRecord], now_ns: int) -> list[SpanRecord]:
    """Return which spans are active for the nanosecond from a time on."""
    return [one for one in spans if one.start_ns <= now_ns < one.end_ns]


def counted(of: Recording) -> list[SpanRecord]:
    """Return the spans that count: without a root, those of the execution itself do not."""
    spans = of.all_spans()
    return [one for one in spans if of.root_id is not None or one.type != EXECUTION]


def keyed(of: Recording, way: str) -> dict[Key, list[SpanRecord]]:
    """Return the spans of nodes and phases by group, those that are open as well."""
    found: defaultdict[Key, list[SpanRecord]] = defaultdict(list)
    for one in of.all_spans():
        if one.type != EXECUTION:
            found[BY[way].key(one)].append(one)
    return found


def self_time(of: Recording, one: SpanRecord) -> int:
    """Return for how long a span is active, and none of its children is."""
    spans = counted(of)
    return sum(
        all(other.parent_id != one.span_id for other in active_at(spans, now))
        for now in range(one.start_ns, one.end_ns)
    )


def shares(of: Recording, way: str) -> tuple[dict[Key, Fraction], Fraction]:
    """Return each group's share of the whole, and what is left."""
    spans = counted(of)
    found = network(of)
    whole = range(found.starts[WHOLE], found.ends[WHOLE])
    share: defaultdict[Key, Fraction] = defaultdict(Fraction)
    for now in whole:
        active = active_at(spans, now)
        parents = {one.parent_id for one in active}
        leaves = [one for one in active if one.span_id not in parents and one.span_id != of.root_id]
        for one in leaves:
            if one.type != EXECUTION:
                share[BY[way].key(one)] += Fraction(1, len(leaves))
    return share, len(whole) - sum(share.values(), Fraction())


def nearest_rank(durations: list[int], per_cent: int) -> int:
    """Return a quantile; durations as short as these have a bucket each."""
    ordered = sorted(durations)
    return ordered[max(0, -(-per_cent * len(ordered) // 100) - 1)] if ordered else 0


@given(ANY, WAYS)
def test_shares_and_critical_times_add_up_to_the_wall_time(of: Recording, way: str) -> None:
    """With what is nobody's they make 100 %, to the last nanosecond, however spans are grouped."""
    told = added_up(of, way)
    found = network(of)
    assert told.wall_ns == found.ends[WHOLE] - found.starts[WHOLE]
    assert sum(row.share_ns for row in told.rows) + told.unattributed_ns == told.wall_ns
    critical_ns = sum(row.critical_ns for row in told.rows)
    others_ns = told.critical_unattributed_ns + told.critical_waiting_ns
    assert critical_ns + others_ns == told.wall_ns
    amounts = [told.unattributed_ns, told.critical_unattributed_ns, told.critical_waiting_ns]
    amounts += [amount for row in told.rows for amount in (row.share_ns, row.critical_ns)]
    assert min(amounts) >= 0


@given(arbitrary(repeated=True, backwards=True), WAYS)
def test_they_add_up_whatever_is_wrong_with_the_spans(of: Recording, way: str) -> None:
    """Also where spans come twice, or end before they start."""
    told = added_up(of, way)
    assert sum(row.share_ns for row in told.rows) + told.unattributed_ns == told.wall_ns
    critical_ns = sum(row.critical_ns for row in told.rows)
    others_ns = told.critical_unattributed_ns + told.critical_waiting_ns
    assert critical_ns + others_ns == told.wall_ns


@given(ANY, WAYS)
def test_shares_are_those_of_each_nanosecond(of: Recording, way: str) -> None:
    """Each is split evenly among the leaves active then; rounding moves them by less than one."""
    told = added_up(of, way)
    expected, left = shares(of, way)
    for row in told.rows:
        assert abs(row.share_ns - expected[row.key]) < 1
        if all(share.denominator == 1 for share in (*expected.values(), left)):
            assert row.share_ns == expected[row.key]
    assert abs(told.unattributed_ns - left) < 1


@given(ANY, WAYS)
def test_self_times_are_those_of_each_nanosecond(of: Recording, way: str) -> None:
    """Of spans that have ended: duration without what children cover."""
    told = added_up(of, way)
    expected = dict.fromkeys(keyed(of, way), 0)
    for one in of.spans:
        if one.type != EXECUTION:
            expected[BY[way].key(one)] += self_time(of, one)
    assert {row.key: row.self_ns for row in told.rows} == expected


@given(ANY, WAYS)
def test_critical_times_are_those_of_each_nanosecond(of: Recording, way: str) -> None:
    """Whoever owns it; waiting is nobody's."""
    told = added_up(of, way)
    found = network(of)
    expected: dict[Key, int] = dict.fromkeys(keyed(of, way), 0)
    for place, waiting in oracles.walk(found):
        owner = found.spans[place]
        if owner is not None and owner.type != EXECUTION and waiting is None:
            expected[BY[way].key(owner)] += 1
    assert {row.key: row.critical_ns for row in told.rows} == expected


@given(ANY, WAYS)
def test_calls_are_those_of_nodes_where_there_are_any(of: Recording, way: str) -> None:
    """Total, quantiles and the longest call are of those; a node that only has phases is busy."""
    told = added_up(of, way)
    for row in told.rows:
        ended = [one for one in of.spans if one.type != EXECUTION and BY[way].key(one) == row.key]
        calls = [one for one in ended if one.type == NODE] or ended
        durations = [one.end_ns - one.start_ns for one in calls]
        is_of_nodes = any(one.type == NODE for one in ended)
        total_ns = sum(durations) if is_of_nodes or BY[way].is_of_phase else row.self_ns
        assert (row.calls, row.total_ns) == (len(calls), total_ns)
        assert (row.min_ns, row.max_ns) == (min(durations, default=0), max(durations, default=0))
        quantiles = (row.p50_ns, row.p95_ns, row.p99_ns)
        assert quantiles == tuple(nearest_rank(durations, q) for q in (50, 95, 99))
        longest = [one.span_id for one in calls if one.end_ns - one.start_ns == row.max_ns]
        assert row.worst == next(iter(longest), None)
        assert row.errors == sum(one.status == "error" for one in ended)
        assert row.cancelled == sum(one.status == "cancelled" for one in ended)


@given(ANY.map(with_names))
def test_phases_of_nodes_are_those_of_the_breakdown(of: Recording) -> None:
    """To the nanosecond, also while spans are open and where there is no root."""
    told = added_up(of, "phase of node")
    rows = {PhaseKey(*row.key): row for row in told.rows}  # type: ignore[arg-type]
    answer = of.breakdown()
    assert answer.unattributed_ns == told.unattributed_ns
    for node in answer.nodes:
        own = rows.pop(PhaseKey(node.node_id, None), None)
        mine = (0, 0, 0, 0) if own is None else (own.calls, own.self_ns, own.share_ns, own.p95_ns)
        assert mine[0] == node.count
        assert mine[1] == node.self_ns
        assert mine[2] == node.share_ns - sum(phase.share_ns for phase in node.phases)
        assert mine[3] == node.p95_ns
        assert own is None or not own.calls or own.total_ns == node.total_ns
        for phase in node.phases:
            row = rows.pop(PhaseKey(node.node_id, phase.phase))
            assert (row.calls, row.total_ns, row.self_ns, row.share_ns) == (
                phase.count,
                phase.total_ns,
                phase.self_ns,
                phase.share_ns,
            )
            assert (row.min_ns, row.max_ns, row.errors, row.cancelled) == (
                phase.min_ns,
                phase.max_ns,
                phase.errors,
                phase.cancelled,
            )
            assert (row.p50_ns, row.p95_ns, row.p99_ns) == (
                phase.p50_ns,
                phase.p95_ns,
                phase.p99_ns,
            )
    assert not rows


@given(ANY)
def test_nodes_are_those_of_the_breakdown(of: Recording) -> None:
    """With all that their phases have."""
    rows = {row.key[0]: row for row in added_up(of, "node").rows}
    answer = of.breakdown()
    assert {node.node_id for node in answer.nodes} == set(rows)
    for node in answer.nodes:
        row = rows[node.node_id]
        assert (row.total_ns, row.errors, row.cancelled) == (
            node.total_ns,
            node.errors,
            node.cancelled,
        )
        assert row.self_ns == node.self_ns + sum(phase.self_ns for phase in node.phases)


@given(ANY, WAYS)
def test_the_group_with_most_time_comes_first(of: Recording, way: str) -> None:
    """By total."""
    totals = [row.total_ns for row in added_up(of, way).rows]
    assert totals == sorted(totals, reverse=True)


@given(ANY, WAYS, st.randoms(use_true_random=False))
def test_the_order_of_spans_does_not_matter(of: Recording, way: str, random: Random) -> None:
    """All sources of an execution give the same, whatever order they have it in."""
    shuffled = of._replace(spans=random.sample(of.spans, len(of.spans)))

    def figures(told: Groups) -> dict[Key, tuple[int, ...]]:
        return {row.key: (row.total_ns, row.self_ns, row.share_ns) for row in told.rows}

    assert figures(added_up(of, way)) == figures(added_up(shuffled, way))


def test_what_models_took_is_added_up() -> None:
    """The tokens of all calls in a group."""
    call = span(3, 1, 0, 4, "a", "llm")._replace(usage=Usage(10, 5, "m"))
    of = recording(span(1, None, 0, 9), call, call._replace(span_id=4, start_ns=5, end_ns=9))
    (row,) = added_up(of, "phase of node").rows
    assert row.usage == spent(Usage(10, 5, "m"), {}) + spent(Usage(10, 5, "m"), {})
    assert row.usage == Spent(20, 10, None, 30)


def test_the_time_for_which_a_node_waited_is_nobodys() -> None:
    """Not that of what it is in, either."""
    of = recording(
        span(1, None, 0, 10),
        span(2, 1, 0, 10, "outer"),
        span(3, 2, 0, 3, "first"),
        span(4, 2, 7, 10, "second", depends_on=["first"]),
    )
    told = added_up(of, "node")
    assert {row.key: row.critical_ns for row in told.rows} == {
        ("outer",): 0,
        ("first",): 3,
        ("second",): 3,
    }
    assert (told.critical_unattributed_ns, told.critical_waiting_ns) == (0, 4)


def test_an_open_phase_may_have_no_name() -> None:
    """It is not the node itself."""
    of = recording(span(1, None, 0, 9))._replace(open_spans=[(2, 1, 3, PhaseKey("a", ""))])
    (row,) = added_up(of, "phase of node").rows
    assert (row.key, row.calls, row.share_ns) == (("a", ""), 0, 6)
