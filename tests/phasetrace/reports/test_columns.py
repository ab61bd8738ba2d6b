"""Test that nothing of the spans is lost on their way into a page's columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.path import critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import Price
from phasetrace.reports.call_tree import call_tree
from phasetrace.reports.columns import MOST_IDS, NONE, Names, deltas, path_columns, span_columns
from phasetrace.spans import Usage
from tests.phasetrace.analysis.timelines import (
    ROOT,
    arbitrary,
    nested,
    network,
    recording,
    running,
    span,
)
from tests.phasetrace.reports.decoding import numbers, spans

ANY = st.one_of(nested(), running(), arbitrary(repeated=True, backwards=True))


@given(ANY)
def test_the_spans_come_out_as_they_went_in(of: Recording) -> None:
    """Times, parents, statuses and ids, by brute force against the spans themselves."""
    whole = network(of)
    tree = call_tree(whole, "run")
    columns = span_columns(whole, tree, Names(), {}, {one[0] for one in of.open_spans})
    order = [place for row in tree.lanes for lane in row for place in lane]
    read = spans(columns)
    assert len(read) == len(order)
    for place, one in zip(order, read, strict=True):
        known = whole.spans[place]
        assert known is not None
        assert one.start_ns == known.start_ns - whole.starts[0]
        assert one.end_ns - one.start_ns == max(0, known.end_ns - known.start_ns)
        assert one.row == tree.row_of[place]
        parent = whole.parents[place] if place else None
        assert one.parent == (order.index(parent) if parent in order else NONE)
    known_spans = [known for place in order if (known := whole.spans[place]) is not None]
    assert columns["id"] == [f"{one.span_id:016x}" for one in known_spans]
    for status in ("error", "cancelled"):
        assert numbers(columns[status]) == [
            number for number, one in enumerate(known_spans) if one.status == status
        ]
    still_open = {one[0] for one in of.open_spans}
    assert numbers(columns["open"]) == [
        number for number, one in enumerate(known_spans) if one.span_id in still_open
    ]


@given(ANY)
def test_the_critical_path_comes_out_as_it_went_in(of: Recording) -> None:
    """Each stretch with its owner and what was waited for; together they are the whole."""
    whole = network(of)
    tree = call_tree(whole, "run")
    path = critical_path(whole)
    columns = path_columns(whole, tree, path)
    order = [place for row in tree.lanes for lane in row for place in lane]
    owners = [order[at] if at != NONE else 0 for at in numbers(columns["owner"])]
    waiting = dict(zip(numbers(columns["wait"]), numbers(columns["waiting"]), strict=True))
    clock = whole.starts[0]
    for number, segment in enumerate(path):
        assert segment.place == owners[number]
        assert segment.start_ns == clock
        clock += columns["length"][number]
        assert segment.end_ns == clock
        waits_for = order[waiting[number]] if number in waiting else None
        assert segment.waiting == waits_for
    assert clock == whole.ends[0]


def test_a_span_that_ends_before_it_starts_takes_no_time() -> None:
    """And what follows it in its lane is where it was."""
    calls = [span(2, ROOT, 5, 3, "a", "p"), span(3, ROOT, 7, 9, "a", "p")]
    whole = network(recording(span(ROOT, None, 0, 9), *calls))
    columns = span_columns(whole, call_tree(whole, "run"), Names(), {}, ())
    assert [(one.start_ns, one.end_ns) for one in spans(columns)] == [(0, 9), (5, 5), (7, 9)]


@given(st.lists(st.integers()))
def test_deltas_add_up_to_the_numbers(values: list[int]) -> None:
    """Whatever the numbers are."""
    assert numbers(deltas(values)) == values


def test_what_a_call_took_of_a_model_comes_with_its_number() -> None:
    """Tokens, the cost by the prices, and what the model is called; once for all its calls."""
    call = span(2, ROOT, 0, 5, "a", "p")._replace(usage=Usage(1_000_000, 10, "m"), iteration=7)
    of = recording(span(ROOT, None, 0, 9), call, call._replace(span_id=3, start_ns=5))
    whole = network(of)
    names = Names()
    columns = span_columns(whole, call_tree(whole, "run"), names, {"m": Price(2.5, 0)}, ())
    assert columns["usage"] == {
        "at": [1, 1],
        "input": [1_000_000, 1_000_000],
        "output": [10, 10],
        "cost": [2.5, 2.5],
        "model": [1, 1],
    }
    assert columns["iteration"] == {"at": [1, 1], "text": [0, 0]}
    assert names.texts() == ["7", "m"]


def test_ids_are_left_out_where_there_are_too_many() -> None:
    """They would be half of a page of 200,000 spans."""
    for count, known in ((MOST_IDS, MOST_IDS), (MOST_IDS + 1, 0)):
        calls = [span(n, ROOT, n, n + 1, "a", "p") for n in range(2, count + 1)]
        whole = network(recording(span(ROOT, None, 0, count + 2), *calls))
        columns = span_columns(whole, call_tree(whole, "run"), Names(), {}, ())
        assert len(columns["id"]) == known
