"""Folded stacks."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given

from phasetrace.exports.folded import folded_lines
from tests.phasetrace.exports.some import export_of, hostile
from tests.phasetrace.exports.test_exported import drawn_export, some_spans
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import root


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


@given(some_spans)
def test_the_numbers_are_the_self_times_of_the_breakdown(drawn: Any) -> None:
    """All together, and nothing else."""
    exported = drawn_export(drawn)
    numbers = [int(line.rpartition(" ")[2]) for line in folded_lines(exported)]
    nodes = exported.breakdown.nodes
    own = sum(one.self_ns + sum(row.self_ns for row in one.phases) for one in nodes)
    assert sum(numbers) == own + exported.breakdown.unattributed_ns


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
