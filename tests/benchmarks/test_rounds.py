"""How the benchmarks time and compare, and that their command prints what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contestants import set_up
from benchmarks.lines import Bar
from benchmarks.rounds import Entrant, Work, compare, interleaved, percentile

ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that stands still until it is told to go on, and a record of who told it."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: list[str] = []

    def __call__(self) -> int:
        """Return the present."""
        return self.now

    def entrant(self, name: str, takes: int, operations: int = 1) -> Entrant:
        """Return an entrant whose work takes so long, and everything around it much longer."""

        def step(what: str, takes: int) -> None:
            self.calls.append(f"{what} {name}")
            self.now += takes

        def prepare(number: int) -> Work:
            step("prepare", 1_000)
            return lambda: step("work", takes)

        return Entrant(prepare, operations, lambda number: step("clear", 1_000))


def test_only_the_work_is_timed() -> None:
    """Preparing and clearing up are not, and the time is that of one operation."""
    clock = Clock()
    entrants = {"a": clock.entrant("a", 10), "b": clock.entrant("b", 60, operations=20)}
    assert interleaved(entrants, 3, clock=clock) == {"a": [10.0] * 3, "b": [3.0] * 3}


def test_entrants_take_turns_in_going_first() -> None:
    """Each is cleared up after before the next one is prepared."""
    clock = Clock()
    entrants = {name: clock.entrant(name, 1) for name in "abc"}
    interleaved(entrants, 3, warm_up=0, clock=clock)
    turns = [call.removeprefix("work ") for call in clock.calls if call.startswith("work")]
    assert "".join(turns) == "abcbcacab"
    kinds = [call.split()[0] for call in clock.calls]
    assert kinds == ["prepare", "work", "clear"] * 9


def test_warming_up_is_not_counted() -> None:
    """It has numbers of its own."""
    numbers: list[int] = []

    def prepare(number: int) -> Work:
        numbers.append(number)
        return lambda: None

    samples = interleaved({"a": Entrant(prepare, 1)}, 3, warm_up=2)
    assert numbers == [-2, -1, 0, 1, 2]
    assert len(samples["a"]) == 3


def test_a_comparison_is_one_of_medians() -> None:
    """One slow round of either changes the spread, not the ratio."""
    comparison = compare([2.0, 2.0, 2.0, 2.0, 200.0], [4.0, 4.0, 400.0, 4.0, 4.0])
    assert (comparison.ours, comparison.theirs, comparison.ratio) == (2.0, 4.0, 0.5)
    assert comparison.low < 0.5 < comparison.high


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 1))
def test_a_percentile_lies_among_the_values(values: list[float], fraction: float) -> None:
    """At 0 it is the least, at 1 the greatest, and it grows in between."""
    found = percentile(values, fraction)
    assert min(values) == percentile(values, 0) <= found * (1 + 1e-12)
    assert found * (1 - 1e-12) <= percentile(values, 1) == max(values)


@pytest.mark.parametrize(
    ("values", "fraction", "expected"), [([3, 1, 2], 0.5, 2), ([0, 10], 0.9, 9)]
)
def test_percentiles_by_hand(values: list[float], fraction: float, expected: float) -> None:
    """Between two values, a straight line."""
    assert percentile(values, fraction) == expected


def test_a_bar_is_met_on_its_own_side() -> None:
    """The limit itself is still fine."""
    assert Bar(1.2, "").met(1.2)
    assert not Bar(1.2, "").met(1.21)
    assert Bar(1, "", at_least=True).met(1.0)
    assert not Bar(1, "", at_least=True).met(0.99)


def test_contestants_do_the_same_work() -> None:
    """Nobody is fast by leaving something out: all collect the same phases and metadata."""
    with set_up(["phasetrace", "plain", "sdk_aggregating", "sdk_batch"]) as contestants:
        for shape in (
            "single",
            "metadata",
            "nested",
            "decorated",
            "tasks",
            "threads",
            "exceptions",
        ):
            collected = []
            for contestant in contestants.values():
                getattr(contestant.program, shape)("exec_1", 24)()
                contestant.flush()
                collected.append(without_durations(contestant.forget("exec_1")))
            assert collected[0]
            assert collected.count(collected[0]) == len(collected), shape


def test_the_command_prints_the_row(tmp_path: Path) -> None:
    """With its figure, its bar and a mark; and writes the same as JSON."""
    numbers = tmp_path / "numbers.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", "4", "--json", str(numbers)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    rows = [line for line in done.stdout.splitlines() if "disabled" in line]
    assert len(rows) == 2
    assert all("≤ 1/10" in row and ("✓ ok" in row or "✗ over" in row) for row in rows)
    lines = json.loads(numbers.read_text())["lines"]
    assert [line["row"] for line in lines] == ["4", "4"]
    assert all(line["figure"]["value"] > 0 for line in lines)


def without_durations(mapping: object) -> object:
    """Return what a collector has of an execution, with metadata as they are."""
    assert isinstance(mapping, dict)
    return {
        node_id: {key: value if isinstance(value, dict) else None for key, value in phases.items()}
        for node_id, phases in mapping.items()
    }
