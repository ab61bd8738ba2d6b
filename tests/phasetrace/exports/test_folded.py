"""Folded stacks."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.folded import folded_lines
from tests.phasetrace.exports.some import export_of, hostile
from tests.phasetrace.exports.test_exported import some_spans
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import root

some_roots = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 10)),
    max_size=3,
    unique_by=lambda one: one[0],
)


def test_a_line_is_a_stack_and_its_self_time() -> None:
    """In nanoseconds; those of the same stack are added up."""
    exported = export_of(
        root("e", "nightly", end=100),
        made.phase(1, "e", "fetch", start=10, end=50),
        made.phase(2, "e", "part", start=10, end=20, parent=1),
        made.phase(3, "e", "part", start=30, end=45, parent=1),
    )
    assert list(folded_lines(exported)) == [
        "nightly 60\n",
        "nightly;fetch 15\n",
        "nightly;fetch;part 25\n",
    ]


def test_without_a_root_the_execution_is_below_all() -> None:
    """And what is nobody's is its own."""
    exported = export_of(
        made.phase(1, "e", "a", start=0, end=10), made.phase(2, "e", "b", start=30, end=40)
    )
    assert list(folded_lines(exported)) == ["e 20\n", "e;a 10\n", "e;b 10\n"]


@pytest.mark.parametrize("times", [[(10, 40)], [(10, 40), (30, 50)], [(10, 20), (60, 70)]])
def test_the_execution_has_self_time_however_often_it_was_opened(
    times: list[tuple[int, int]],
) -> None:
    """What none of its children covers of any of its roots, and nothing in between these."""
    implicit = {"phasetrace.implicit": True}
    roots = [root("e", "run", start=start, end=end, **implicit) for start, end in times]
    exported = export_of(*roots, made.phase(1, "e", "a", start=0, end=15))
    first = next(folded_lines(exported)).rpartition(" ")[2]
    inside = {at for start, end in times for at in range(start, end)} - set(range(15))
    assert int(first) == len(inside)


def brute_force(exported: ExportedExecution) -> dict[str, int]:
    """Return the self time of each stack, instant by instant."""
    network = exported.examination.network
    names = {span.span_id: exported.name(at) for at, span in enumerate(exported.spans)}
    roots = [span for span in exported.spans if span.type == "execution"]
    if network.spans[0] is not None:
        roots = [network.spans[0]]
    intervals = [(span.start_ns, span.end_ns) for span in roots]
    active: list[set[int]] = []
    stacks = []
    for at, span in enumerate(network.spans):
        own = [(span.start_ns, span.end_ns)] if at and span is not None else intervals
        own = own or [(network.starts[0], network.ends[0])]
        active.append({time for start, end in own for time in range(start, end)})
        frames = []
        above = at
        while above:
            frames.append(names[network.spans[above].span_id])  # type: ignore[union-attr]
            above = network.parents[above]
        stacks.append(";".join([exported.title, *reversed(frames)]))
    found: dict[str, int] = {}
    for at, stack in enumerate(stacks):
        covered: set[int] = set()
        for child in range(1, len(stacks)):
            if network.parents[child] == at and child != at:
                covered |= active[child]
        found[stack] = found.get(stack, 0) + len(active[at] - covered)
    return {stack: own for stack, own in found.items() if own}


@given(some_spans, some_roots)
def test_the_numbers_are_the_self_times_of_all_instants(drawn: Any, roots: Any) -> None:
    """Of each stack, in the order of the stacks' frames."""
    spans = [
        made.phase(at, "e", f"p{at % 2}", start=start, end=start + length, parent=parent or 99)
        for at, (start, length, parent, _) in enumerate(drawn, 1)
    ]
    implicit = {"phasetrace.implicit": True} if len(roots) > 1 else {}
    spans += [
        root("e", "e", start=start, end=start + length, **implicit) for start, length in roots
    ]
    exported = export_of(*spans)
    lines = list(folded_lines(exported))
    found = {stack: int(own) for stack, _, own in (line.rpartition(" ") for line in lines)}
    assert found == brute_force(exported)
    assert list(found) == sorted(found, key=lambda stack: stack.split(";"))


def test_a_deep_chain_takes_as_much_memory_as_it_has_spans() -> None:
    """And not the square of that: stacks are put together when they are written."""
    number = 2_000
    spans = [
        made.phase(at, "e", f"name {at:04}", start=at, end=2 * number - at, parent=at - 1 or 9_999)
        for at in range(1, number)
    ]
    exported = export_of(*spans)
    assert exported.examination.network
    tracemalloc.start()
    try:
        longest = max(map(len, folded_lines(exported)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert longest > 9 * number
    assert most < 8_000_000


def test_hostile_names_neither_end_a_frame_nor_a_line_nor_are_a_count() -> None:
    """As flamegraph.pl takes lines apart: what is behind the last space is the count."""
    lines = list(folded_lines(hostile()))
    for line in lines:
        stack, _, count = line.rstrip("\n").rpartition(" ")
        assert count.isdecimal()
        assert stack.count(";") <= 1
        assert line.count("\n") == 1
        assert not re.search(r"\s\d+(?:\.\d*)?$", stack)
    assert "evil:\\n<b>run</b>_7;a:b_12 1000000000\n" in lines
