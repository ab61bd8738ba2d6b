"""Which of a run's executions its last lines are about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.cli.main_execution import Recorded, length_of_union, most_telling_first

OWN = "own"


def first(*executions: Recorded, own_is_named: bool = False) -> str:
    """Return the id of the execution that is told of."""
    return most_telling_first(executions, OWN, own_is_named)[0].exec_id


def own(covered: int, duration: int = 1_000) -> Recorded:
    """Return the run's own execution, which lasts as long as the program."""
    return Recorded(OWN, 0, duration, covered)


def series(number: int, duration: int = 10, within: str | None = None) -> list[Recorded]:
    """Return executions one after the other, each covered to its half."""
    return [
        Recorded(f"e{at}", at * duration, duration, duration // 2, within) for at in range(number)
    ]


def test_a_stray_phase_does_not_make_the_runs_own_the_main_one() -> None:
    """Although that lasts as long as the program."""
    assert first(own(1), *series(6)) == "e5"


def test_a_run_without_other_executions() -> None:
    """There is its own, whatever is in it."""
    assert first(own(0)) == OWN


def test_what_threads_did_beside_an_execution_is_within_its_time() -> None:
    """By how little the one covers more than the other does not matter."""
    assert first(own(399), Recorded("thr", 100, 400, 390)) == "thr"


def test_an_execution_with_nothing_in_it_says_less_than_the_runs_own() -> None:
    """Where all of its phases ran outside of it."""
    assert first(own(399), Recorded("thr", 100, 400, 0)) == OWN


def test_the_runs_own_has_the_main_part_of_the_program() -> None:
    """More than the executions between took, all together."""
    assert first(own(61), *series(6)) == OWN


def test_many_executions_are_more_than_a_few_phases_between() -> None:
    """Though the phases take more time than any single one of them."""
    assert first(own(59), *series(6)) == "e5"


def test_executions_beside_each_other_took_no_longer_than_the_clock() -> None:
    """As within one phase of the run's own, which then has the main part."""
    parallel = [Recorded(f"e{at}", 0, 50, 50, OWN) for at in range(9)]
    assert first(own(51), *parallel) == OWN


def test_what_was_started_within_the_runs_own_stands_for_itself() -> None:
    """As in programs that it has started, beside a stray phase."""
    assert first(own(1), Recorded("small", 70, 2, 2), *series(6, within=OWN)) == "e5"


def test_what_was_started_within_an_execution_counts_for_that() -> None:
    """Which the answer then says: executions within it."""
    outer = Recorded("outer", 0, 60, 0)
    assert first(own(1), outer, *series(6, within="outer")) == "outer"


def test_what_was_started_within_an_execution_is_work_of_it() -> None:
    """As much as it took."""
    outer = Recorded("outer", 0, 60, 0)
    assert first(outer, *series(6, within="outer"), Recorded("other", 60, 50, 50)) == "outer"


def test_what_was_started_within_another_one_comes_after_all_others() -> None:
    """However much of it is covered, and however long it goes on."""
    found = [Recorded("outer", 0, 60, 1), *series(2, 80, "outer"), Recorded("other", 0, 2, 2)]
    ordered = [one.exec_id for one in most_telling_first(found, OWN)]
    assert ordered == ["outer", "other", "e1", "e0"]


def test_the_most_covered_one_comes_before_a_longer_one() -> None:
    """What waits is not what works."""
    assert first(Recorded("waits", 0, 100, 1), Recorded("works", 0, 10, 9)) == "works"


@pytest.mark.parametrize("covered", [0, 5])
def test_of_equally_covered_ones_the_longest_and_then_the_latest(covered: int) -> None:
    """As before."""
    same = [Recorded("a", 0, 10, covered), Recorded("b", 9, 10, covered)]
    assert first(*same, Recorded("short", 20, 9, covered)) == "b"


def test_the_execution_that_the_user_named() -> None:
    """Is asked for, whatever is in it."""
    assert first(*series(3), own(0), own_is_named=True) == OWN


def test_an_execution_that_is_not_known_has_nothing_within_it() -> None:
    """The store may have let it go."""
    assert first(*series(2, within="gone"), Recorded("small", 0, 2, 2)) == "e1"


ids = st.sampled_from(["own", "a", "b", "c", "d"])
executions = st.builds(
    Recorded,
    ids,
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 30),
    st.none() | ids,
)


@given(st.lists(executions, unique_by=lambda one: one.exec_id), st.booleans())
def test_each_is_there_once(found: list[Recorded], own_is_named: bool) -> None:
    """Also where executions are said to be within each other."""
    ordered = most_telling_first(found, OWN, own_is_named)
    assert sorted(ordered, key=str) == sorted(found, key=str)


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 20))))
def test_the_length_of_a_union_is_the_number_of_its_instants(drawn: list[tuple[int, int]]) -> None:
    """Counted one by one; intervals are half-open."""
    intervals = [(start, start + length) for start, length in drawn]
    instants = {at for start, end in intervals for at in range(start, end)}
    assert length_of_union(intervals) == len(instants)
