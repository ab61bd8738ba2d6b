"""Test sub-executions among the nodes of the execution that started them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import phasetrace
from phasetrace import breakdown, execution, node, phase
from phasetrace.breakdowns import ExecutionBreakdown, OpenSpan
from phasetrace.rollup import number_within, open_within, spans_within, within_text
from phasetrace.spans import PhaseKey, SpanRecord


def rows(found: ExecutionBreakdown) -> dict[tuple[str, str | None], tuple[int, int]]:
    """Return count and self time of every node and phase."""
    of_nodes: dict[tuple[str, str | None], tuple[int, int]] = {
        (node.node_id, None): (node.count, node.self_ns) for node in found.nodes
    }
    of_phases: dict[tuple[str, str | None], tuple[int, int]] = {
        (node.node_id, row.phase): (row.count, row.self_ns)
        for node in found.nodes
        for row in node.phases
    }
    return {**of_nodes, **of_phases}


def span(kind: str, name: str, node_id: str | None) -> SpanRecord:
    """Return a span of which only its place matters."""
    return SpanRecord(1, None, kind, name, node_id, None, 0, 1, "ok")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("execution", "run 5", None), ("node", "sub", "sub")),
        (("node", "fetch", "fetch"), ("node", "fetch", "sub/fetch")),
        (("phase", "get", "fetch"), ("phase", "get", "sub/fetch")),
        (("phase", "get", "system"), ("phase", "get", "sub")),
        (("phase", "get", None), ("phase", "get", "sub")),
    ],
)
def test_a_sub_execution_is_a_node_and_its_nodes_are_below_its_name(
    given: tuple[str, str, str | None], expected: tuple[str, str, str]
) -> None:
    """Work of no node of its own is that of the sub-execution."""
    (placed,) = spans_within([span(*given)], "sub")
    assert (placed.type, placed.name, placed.node_id) == expected


def test_what_is_open_is_placed_in_the_same_way() -> None:
    """Whatever it will be counted under."""
    given: list[OpenSpan] = [
        (1, None, 0, "execution"),
        (2, 1, 0, PhaseKey("n", "p")),
        (3, 1, 0, PhaseKey("n", None)),
    ]
    keys = [key for *_, key in open_within(given, "sub")]
    assert keys == [("sub", None), ("sub/n", "p"), ("sub/n", None)]


def test_executions_within_one_are_counted_at_any_depth() -> None:
    """Each once, also where two are within each other; and not those of others."""
    pairs = [("a", "b"), ("b", "c"), ("b", "d"), ("c", "b"), ("x", "y"), ("d", "a")]
    assert [number_within(one, pairs) for one in "abxy"] == [3, 3, 1, 0]
    assert within_text(1) == "1 execution within it"
    assert within_text(1_200) == "1,200 executions within it"


def test_sub_executions_are_rolled_up_and_keep_numbers_of_their_own() -> None:
    """At any depth; those of one name are added up, and nothing is counted twice."""

    async def sub(number: int) -> None:
        with execution(f"sub_{number}", name="sub"):
            await asyncio.sleep(0)
            with node("work"):
                with phase("p"):
                    await asyncio.sleep(0)
                with execution(f"deep_{number}", name="deep"), phase("q"):
                    await asyncio.sleep(0)

    async def main() -> None:
        with execution("outer"), node("n"), phase("start"):
            await asyncio.gather(*(sub(number) for number in range(3)))

    asyncio.run(main())
    whole, plain = breakdown("outer", rolled_up=True), breakdown("outer")
    counts = {key: count for key, (count, _) in rows(whole).items()}
    assert counts == {
        ("n", None): 1,
        ("n", "start"): 1,
        ("sub", None): 3,
        ("sub/work", None): 3,
        ("sub/work", "p"): 3,
        ("sub/deep", None): 3,
        ("sub/deep", "q"): 3,
    }
    assert whole.execution == plain.execution
    shares = sum(node.share_ns for node in whole.nodes) + whole.unattributed_ns
    assert shares == whole.execution.duration_ns
    assert rows(whole)["n", "start"][1] < rows(plain)["n", "start"][1]
    assert breakdown("sub_1").nodes[0].count == 1
    assert rows(breakdown("sub_1", rolled_up=True)).keys() == {
        ("work", None),
        ("work", "p"),
        ("deep", None),
        ("deep", "q"),
    }


def test_an_execution_without_any_is_as_it_was() -> None:
    """Rolled up or not."""
    with execution("e"), node("n"), phase("p"):
        pass
    assert breakdown("e", rolled_up=True) == breakdown("e")


def test_without_a_store_there_is_nothing_to_roll_up_from() -> None:
    """What the process holds is the answer then."""
    phasetrace.configure(store=False)
    with execution("e"), execution("sub"), phase("p"):
        pass
    assert breakdown("e", rolled_up=True) == breakdown("e")


def test_a_breakdown_has_what_other_processes_recorded(tmp_path: Path) -> None:
    """The store is asked where it knows of more than this process does."""
    import os

    with execution("e"), node("n"):
        child = os.fork()
        if not child:
            with phase("in_child"):
                pass
            phasetrace.force_flush()
            os._exit(0)
        os.waitpid(child, 0)
    assert [row.phase for row in breakdown("e").nodes[0].phases] == ["in_child"]
