"""Test executions as trees of rows, against a look at every span and every nanosecond."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from phasetrace.analysis.folding import APART, RUNS_APART, Row, Tree, cut, fold
from phasetrace.analysis.network import WHOLE
from phasetrace.analysis.recording import Recording
from phasetrace.spans import PHASE, SYSTEM_NODE, PhaseKey
from tests.phasetrace.analysis.timelines import (
    HEADER,
    ROOT,
    executions,
    network,
    recording,
    running,
    span,
)

ANY = st.one_of(executions(), running())


def tree(of: Recording) -> Tree:
    """Return the tree of a recording."""
    return fold(of, network(of))


def below(rows: list[Row], here: int) -> list[Row]:
    """Return the rows directly below one."""
    return [row for row in rows if row.parent == here]


def named(of: Tree) -> list[tuple[int, str | None, str | None, int]]:
    """Return what the rows are, with how far down they are and how many spans they have."""
    return [(row.depth, row.node_id, row.phase, row.calls + row.open) for row in of.rows]


@given(ANY)
def test_rows_come_after_what_they_are_below(of: Recording) -> None:
    """Each one level further down, and before whatever comes after that."""
    rows = tree(of).rows
    path: list[int] = []
    for here, row in enumerate(rows):
        del path[row.depth :]
        assert row.parent == (path[-1] if path else None)
        assert len(path) == row.depth
        path.append(here)


@given(ANY)
def test_every_span_is_in_one_row(of: Recording) -> None:
    """With its duration and how it ended."""
    rows, found = tree(of).rows, network(of)
    spans = [one for one in found.spans if one is not None]
    open_ids = {one[0] for one in of.open_spans} - {one.span_id for one in of.spans}
    ended = [one for one in spans if one.span_id not in open_ids]
    assert sum(row.calls for row in rows) == len(ended)
    assert sum(row.open for row in rows) == len(spans) - len(ended)
    assert rows[0].spans == len(spans)
    assert sum(row.errors for row in rows) == sum(one.status == "error" for one in ended)
    assert sum(row.cancelled for row in rows) == sum(one.status == "cancelled" for one in ended)
    total_ns = sum(max(0, one.end_ns - one.start_ns) for one in spans)
    if of.root_id is None:
        total_ns += found.ends[WHOLE] - found.starts[WHOLE]
    assert sum(row.total_ns for row in rows) == total_ns
    assert all(not (row.calls and row.open) for row in rows)


@given(ANY)
def test_shares_add_up_to_the_wall_time(of: Recording) -> None:
    """Rows of one parent have no more than the parent, and the first one has it all."""
    found = tree(of)
    rows = list(found.rows)
    assert rows[0].share_ns == found.wall_ns
    for here, row in enumerate(rows):
        own_ns = row.share_ns - sum(one.share_ns for one in below(rows, here))
        assert own_ns >= 0
        if here == WHOLE:
            assert own_ns == found.unattributed_ns


@given(executions())
def test_self_time_is_what_no_child_covers(of: Recording) -> None:
    """Counted nanosecond by nanosecond."""
    found, rows = network(of), tree(of).rows
    expected = 0
    for place, one in enumerate(found.spans):
        children = [
            found.spans[child]
            for child in range(1, len(found.spans))
            if found.parents[child] == place
        ]
        start_ns, end_ns = (found.starts[place], found.ends[place])
        if one is not None:
            start_ns, end_ns = one.start_ns, one.end_ns
        for now in range(start_ns, end_ns):
            expected += not any(c is not None and c.start_ns <= now < c.end_ns for c in children)
    assert sum(row.self_ns for row in rows) == expected


@given(ANY)
def test_what_is_alike_below_one_parent_is_folded(of: Recording) -> None:
    """Past a few of a kind there is one row of it; of phases, which are in every recording."""
    rows = list(tree(of).rows)
    for here in range(len(rows)):
        kinds: dict[tuple[object, ...], list[Row]] = {}
        for row in below(rows, here):
            # To be of no node, and of one that is called "system", is not the same.
            if row.type == PHASE and row.node_id != SYSTEM_NODE:
                kinds.setdefault((row.node_id, row.phase, row.open > 0), []).append(row)
        for alike in kinds.values():
            assert len(alike) <= APART
            assert len(alike) == 1 or all(row.calls + row.open == 1 for row in alike)


def test_a_loop_takes_one_row_and_so_does_what_is_in_it() -> None:
    """However often it went round."""
    spans = [span(ROOT, None, 0, 1_000)]
    for turn in range(10):
        at = turn * 100
        spans.append(span(100 + turn, ROOT, at, at + 90, "write")._replace(iteration=turn))
        spans.append(span(200 + turn, 100 + turn, at, at + 10 + turn, "write", "call"))
    rows = tree(recording(*spans)).rows
    assert named(tree(recording(*spans))) == [
        (0, None, None, 1),
        (1, "write", None, 10),
        (2, "write", "call", 10),
    ]
    call = rows[2]
    assert (call.min_ns, call.max_ns, call.total_ns, call.iteration) == (10, 19, 145, None)


def test_what_is_below_a_folded_row_is_of_several_and_so_one_row() -> None:
    """Also where there are but two of it."""
    spans = [span(ROOT, None, 0, 1_000)]
    spans += [span(100 + at, ROOT, at * 100, at * 100 + 90, "write") for at in range(5)]
    spans += [span(200 + at, 100 + at, at * 100, at * 100 + 9, "write", "retry") for at in (1, 3)]
    assert named(tree(recording(*spans)))[1:] == [(1, "write", None, 5), (2, "write", "retry", 2)]


def test_a_few_runs_are_shown_one_by_one() -> None:
    """In the order of their starts, and with what tells them apart."""
    spans = [span(ROOT, None, 0, 100)]
    for turn in range(RUNS_APART):
        spans.append(span(10 + turn, ROOT, turn * 30, turn * 30 + 20, "w")._replace(iteration=turn))
        spans.append(span(20 + turn, 10 + turn, turn * 30, turn * 30 + 10, "w", "call"))
    rows = tree(recording(*spans)).rows
    assert [row.iteration for row in rows if row.depth == 1] == list(range(RUNS_APART))
    assert [row.depth for row in rows] == [0, *([1, 2] * RUNS_APART)]


def test_calls_of_a_phase_are_folded_where_runs_of_a_node_are_not() -> None:
    """Nothing tells them apart."""
    spans = [span(ROOT, None, 0, 100)]
    spans += [span(10 + at, ROOT, at * 10, at * 10 + 5, "n", "p") for at in range(APART + 1)]
    assert named(tree(recording(*spans)))[1:] == [(1, "n", "p", APART + 1)]
    assert len(tree(recording(*spans[:-1])).rows) == 1 + APART


def test_what_one_of_several_siblings_has_often_is_folded_in_all() -> None:
    """Also where they are other nodes, so that they look alike; but not what is often elsewhere."""
    spans = [span(ROOT, None, 0, 100)]
    for at, node in enumerate("abc"):
        spans.append(span(10 + at, ROOT, at * 30, at * 30 + 30, node))
        for name, calls in (("p", 2 + (node == "b")), ("q", 2)):
            spans += [
                span(
                    100 * len(spans) + call, 10 + at, at * 30 + call, at * 30 + call + 1, node, name
                )
                for call in range(calls)
            ]
    found = [row for row in named(tree(recording(*spans))) if row[0] == 2]
    assert [(node, name, calls) for _, node, name, calls in found if name == "p"] == [
        ("a", "p", 2),
        ("b", "p", 3),
        ("c", "p", 2),
    ]
    assert [calls for _, _, name, calls in found if name == "q"] == [1] * 6


@given(ANY)
def test_siblings_look_alike(of: Recording) -> None:
    """If below one of them a kind of phase is folded for there being many, it is below all."""
    rows = list(tree(of).rows)
    for here in range(len(rows)):
        siblings = [at for at, row in enumerate(rows) if row.parent == here]
        kinds: dict[tuple[str | None, bool], list[list[int]]] = {}
        for sibling in siblings:
            if rows[sibling].calls + rows[sibling].open > 1:
                continue  # everything is folded there
            found: dict[tuple[str | None, bool], list[int]] = {}
            for row in below(rows, sibling):
                if row.type == PHASE and row.node_id == rows[sibling].node_id != SYSTEM_NODE:
                    found.setdefault((row.phase, row.open > 0), []).append(row.calls + row.open)
            for kind, numbers in found.items():
                kinds.setdefault(kind, []).append(numbers)
        for of_siblings in kinds.values():
            if any(number > APART for numbers in of_siblings for number in numbers):
                assert all(len(numbers) == 1 for numbers in of_siblings)


def test_what_goes_on_is_not_folded_with_what_has_ended() -> None:
    """It is what is looked for."""
    spans = [span(ROOT, None, 0, 100)]
    spans += [span(10 + at, ROOT, at, at + 1, "n", "p") for at in range(9)]
    of = recording(*spans)._replace(open_spans=[(50, ROOT, 90, PhaseKey("n", "p"))], now_ns=100)
    rows = tree(of).rows
    assert [(row.calls, row.open) for row in rows[1:]] == [(9, 0), (0, 1)]
    assert (rows[2].min_ns, rows[2].total_ns) == (None, 10)


def test_processes_are_numbered_as_they_are_heard_of() -> None:
    """Whatever numbers they have where they were recorded."""
    spans = [
        span(ROOT, None, 0, 100)._replace(process=7),
        span(2, ROOT, 50, 60, "b")._replace(process=3),
        span(3, ROOT, 10, 20, "a")._replace(process=9),
    ]
    found = tree(recording(*spans))
    assert found.processes == 3
    assert {row.node_id: row.processes for row in found.rows} == {
        None: (1,),
        "a": (2,),
        "b": (3,),
    }


def test_there_is_no_limit_to_the_depth() -> None:
    """Ten thousand spans within each other."""
    depth = 10_000
    spans = [span(ROOT, None, 0, 3 * depth)]
    spans += [span(at, at - 1, at, 3 * depth - at, "n", "p") for at in range(2, depth)]
    rows = tree(Recording(HEADER, spans, ROOT)).rows
    assert rows[-1].depth == depth - 2


@settings(deadline=None)
@given(ANY, st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]), st.one_of(st.none(), st.integers(0, 4)))
def test_what_is_cut_is_told(of: Recording, least: float, depth: int | None) -> None:
    """Nothing that is hidden has that part of the time, or is open or failed; the rest is there."""
    before = tree(of)
    whole, wall_ns = before.rows, before.wall_ns
    found = cut(tree(of), least, depth)
    assert all(row.depth <= depth for row in found.rows if depth is not None)
    for row in found.rows[1:]:
        assert row.share_ns >= least * wall_ns or row.marked
        assert row.parent is not None and found.rows[row.parent].depth == row.depth - 1
    if depth is None:
        assert sum(row.calls + row.open for row in found.rows) + found.hidden.spans == (
            whole[0].spans
        )
        shown_ns = sum(
            row.share_ns - sum(one.share_ns for one in below(list(found.rows), here))
            for here, row in enumerate(found.rows)
        )
        assert shown_ns == wall_ns  # what is hidden counts for what it was below
        assert found.hidden.share_ns <= least * wall_ns * max(1, found.hidden.rows)
        for count in ("open", "errors", "cancelled"):
            shown, all_ = (sum(getattr(row, count) for row in rows) for rows in (found.rows, whole))
            assert shown == all_
