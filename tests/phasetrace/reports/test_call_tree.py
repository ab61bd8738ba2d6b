"""Test what the rows of a page's call tree are, and which lanes their spans have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.network import Network
from phasetrace.analysis.recording import Recording
from phasetrace.reports.call_tree import TOP, CallTree, call_tree
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE
from tests.phasetrace.analysis.timelines import (
    ROOT,
    arbitrary,
    nested,
    network,
    recording,
    running,
    span,
)

ANY = st.one_of(nested(), running(), arbitrary(repeated=True, backwards=True))


def made(of: Recording) -> tuple[Network, CallTree]:
    """Return the network and the call tree of a recording."""
    whole = network(of)
    return whole, call_tree(whole, "run")


def test_calls_of_the_same_kind_are_one_row() -> None:
    """Runs of a node, and the calls of a phase in all of them."""
    _, tree = made(
        recording(
            span(ROOT, None, 0, 30),
            span(2, ROOT, 0, 10, "a"),
            span(3, 2, 0, 5, "a", "p"),
            span(4, ROOT, 10, 20, "a"),
            span(5, 4, 10, 15, "a", "p"),
        )
    )
    assert [(row.name, row.parent) for row in tree.rows] == [("run", TOP), ("a", 0), ("p", 1)]
    assert [[len(lane) for lane in lanes] for lanes in tree.lanes] == [[1], [2], [2]]


def test_the_same_phase_elsewhere_is_another_row() -> None:
    """What called it makes the difference."""
    _, tree = made(
        recording(
            span(ROOT, None, 0, 30),
            span(2, ROOT, 0, 10, "a", "p"),
            span(3, 2, 0, 5, "a", "p"),
        )
    )
    assert [(row.name, row.parent) for row in tree.rows] == [("run", TOP), ("p", 0), ("p", 1)]


def test_what_began_first_comes_first() -> None:
    """Rows of one parent stand in the order of their first calls."""
    _, tree = made(
        recording(
            span(ROOT, None, 0, 30),
            span(2, ROOT, 20, 30, "late"),
            span(3, ROOT, 5, 10, "early"),
            span(4, 3, 6, 7, "early", "p"),
        )
    )
    assert [row.name for row in tree.rows] == ["run", "early", "p", "late"]


def test_what_runs_at_the_same_time_is_in_lanes_of_its_own() -> None:
    """And a call is in the same order of lanes as what called it."""
    whole, tree = made(
        recording(
            span(ROOT, None, 0, 30),
            span(2, ROOT, 0, 10, "a"),
            span(3, ROOT, 5, 15, "a"),
            span(4, 2, 1, 9, "a", "p"),
            span(5, 3, 6, 14, "a", "p"),
        )
    )
    of = [
        [[one.span_id for place in lane if (one := whole.spans[place])] for lane in lanes]
        for lanes in tree.lanes
    ]
    assert of == [[[ROOT]], [[2], [3]], [[4], [5]]]


def test_a_node_without_an_id_is_the_systems() -> None:
    """As in the breakdown."""
    node = span(2, ROOT, 0, 1, "a")._replace(node_id=None)
    _, tree = made(recording(span(ROOT, None, 0, 30), node))
    assert [(row.name, row.node_id) for row in tree.rows[1:]] == [(SYSTEM_NODE, SYSTEM_NODE)]


@given(ANY)
def test_a_row_is_below_the_row_of_what_called_its_spans(of: Recording) -> None:
    """By brute force: each span's way up in the network is its row's way up in the tree."""
    whole, tree = made(of)
    for place, one in enumerate(whole.spans):
        if one is None or not place:
            continue
        row = tree.rows[tree.row_of[place]]
        assert row.type == one.type
        assert row.parent == tree.row_of[whole.parents[place]]
        node_id = None if one.type == EXECUTION else one.node_id or SYSTEM_NODE
        assert row.node_id == node_id
        assert row.name == (node_id if one.type == NODE else one.name)
    keys = [(row.parent, row.type, row.name, row.node_id) for row in tree.rows]
    assert len(set(keys)) == len(keys)


@given(ANY)
def test_rows_come_after_their_parents_each_with_all_below_it(of: Recording) -> None:
    """The order that the page counts on: from above, and what is below a row follows it."""
    _, tree = made(of)
    open_rows: list[int] = []
    for number, row in enumerate(tree.rows):
        while open_rows and open_rows[-1] != row.parent:
            open_rows.pop()
        assert (open_rows[-1] if open_rows else TOP) == row.parent
        open_rows.append(number)


@given(ANY)
def test_spans_of_a_lane_follow_each_other(of: Recording) -> None:
    """Every span is in just one lane of its row, and those of a lane never overlap."""
    whole, tree = made(of)
    seen = []
    for row, lanes in enumerate(tree.lanes):
        for lane in lanes:
            clock = None
            for place in lane:
                one = whole.spans[place]
                assert one is not None
                assert tree.row_of[place] == row
                assert clock is None or one.start_ns >= clock
                clock = max(one.start_ns, one.end_ns)
                seen.append(place)
    assert sorted(seen) == [place for place, one in enumerate(whole.spans) if one is not None]
