"""Test how spans hang together against walks up their ancestors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.network import WHOLE
from phasetrace.analysis.recording import Recording
from phasetrace.spans import EXECUTION
from tests.phasetrace.analysis import oracles
from tests.phasetrace.analysis.timelines import arbitrary, executions, network, recording, span

ANY = st.one_of(executions(), arbitrary(repeated=True, backwards=True))


@given(ANY)
def test_the_whole_is_the_root_or_the_extent_of_all_spans(of: Recording) -> None:
    """As in a breakdown: of all, for each opening of an execution has a root of the same id."""
    root = [one for one in of.spans if one.span_id == of.root_id][:1]
    within = root or of.spans
    found = network(of)
    start_ns = min((one.start_ns for one in within), default=0)
    end_ns = max((max(one.start_ns, one.end_ns) for one in within), default=0)
    assert (found.starts[WHOLE], found.ends[WHOLE]) == (start_ns, end_ns)
    assert found.spans[WHOLE] == (root[0] if root else None)


@given(ANY)
def test_the_other_spans_are_there_once_and_clipped(of: Recording) -> None:
    """In the order given; without a root, those of the execution itself are passed over."""
    first: dict[int, int] = {}
    for number, one in enumerate(of.spans):
        first.setdefault(one.span_id, number)
    known = [of.spans[number] for number in sorted(first.values())]
    known = [one for one in known if one.span_id != of.root_id]
    if of.root_id is None:
        known = [one for one in known if one.type != EXECUTION]
    found = network(of)
    assert found.spans[1:] == known
    whole = range(found.starts[WHOLE], found.ends[WHOLE])
    for place, one in enumerate(known, 1):
        inside = [now for now in range(one.start_ns, one.end_ns) if now in whole]
        assert list(range(found.starts[place], found.ends[place])) == inside
        assert found.starts[WHOLE] <= found.starts[place] <= found.ends[WHOLE]


@given(ANY)
def test_each_span_is_below_its_parent(of: Recording) -> None:
    """One whose parent is not there is below the whole, and so is one of each circle."""
    found = network(of)
    places = {one.span_id: place for place, one in enumerate(found.spans) if one is not None}
    for place, one in enumerate(found.spans[1:], 1):
        assert one is not None
        given_parent = places.get(one.parent_id or 0, WHOLE)
        if found.parents[place] != given_parent:
            assert found.parents[place] == WHOLE
            # Where a circle was cut, the way up from the parent leads back.
            assert place in (given_parent, *oracles.ancestors(found, given_parent))
        assert found.depths[place] == len(list(oracles.ancestors(found, place)))
    assert sorted(found.order) == list(range(len(found.spans)))
    assert [found.depths[place] for place in found.order] == sorted(found.depths)


@given(ANY)
def test_a_span_begins_in_the_nearest_ancestor_that_is_active(of: Recording) -> None:
    """Of its parent and the ancestors above, the first in whose time its start lies."""
    found = network(of)
    expected = [oracles.begins_in(found, place) for place in range(len(found.spans))]
    assert found.begins_in == expected


@given(ANY)
def test_a_span_ends_in_the_nearest_ancestor_that_goes_on(of: Recording) -> None:
    """Of its parent and the ancestors above, the first in whose time its end lies."""
    found = network(of)
    expected = [oracles.ends_in(found, place) for place in range(len(found.spans))]
    assert found.ends_in == expected


@given(ANY)
def test_a_node_waited_for_the_latest_runs(of: Recording) -> None:
    """Of each node that it names; for none that is not there, and not for itself."""
    found = network(of)
    expected = {
        place: runs
        for place in range(len(found.spans))
        if (runs := oracles.waited_for(found, place))
    }
    assert found.waited_for == expected


def test_a_span_that_ended_when_its_parent_started_did_not_end_in_it() -> None:
    """By the clocks; one of no length at that instant is within the parent."""
    of = recording(
        span(1, None, 0, 9), span(2, 1, 4, 9, "a"), span(3, 2, 1, 4, "a"), span(4, 2, 4, 4, "a")
    )
    found = network(of)
    assert (found.begins_in, found.ends_in) == ([0, 0, 0, 1], [0, 0, 0, 1])


def test_a_span_that_starts_when_its_parent_ends_begins_in_it() -> None:
    """And ends in whatever goes on; one that starts later does not."""
    of = recording(
        span(1, None, 0, 9), span(2, 1, 1, 4, "a"), span(3, 2, 4, 6, "a"), span(4, 2, 5, 6, "a")
    )
    found = network(of)
    assert (found.begins_in, found.ends_in) == ([0, 0, 1, 0], [0, 0, 0, 0])


def test_what_hangs_from_a_circle_keeps_its_parent() -> None:
    """Of the circle, one is taken to be below the whole."""
    found = network(recording(span(5, 6, 0, 9, "a"), span(6, 7, 0, 9, "a"), span(7, 6, 0, 9, "a")))
    assert found.parents in ([0, 2, 0, 2], [0, 2, 3, 0])


def test_a_span_may_end_together_with_what_it_ends_in() -> None:
    """The nearest ancestor that goes on until then, and no longer."""
    of = recording(
        span(1, None, 0, 9), span(2, 1, 0, 6, "a"), span(3, 2, 0, 4, "a"), span(4, 3, 6, 6, "a")
    )
    found = network(of)
    assert (found.begins_in, found.ends_in) == ([0, 0, 1, 1], [0, 0, 1, 1])
