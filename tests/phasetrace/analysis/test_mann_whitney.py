"""Test the test, against all the ways in which values can fall to two samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import erfc, sqrt
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis import mann_whitney as module
from phasetrace.analysis.mann_whitney import MOST_EXACT, holm, least_p, mann_whitney

few = st.integers(0, 5)
p_values = st.lists(st.floats(0, 1), max_size=8)


@st.composite
def samples(draw: st.DrawFn, ties: bool) -> tuple[list[int], list[int]]:
    """Return two small samples, of values that are all different unless there may be ties."""
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    tied = st.lists(few, min_size=n + m, max_size=n + m)
    values = draw(tied if ties else st.permutations(range(n + m)))
    return values[:n], values[n:]


def u_of(first: Sequence[int], second: Sequence[int]) -> float:
    """Return U by its definition."""
    return sum((b > a) + (b == a) / 2 for a in first for b in second)


def all_u(first: Sequence[int], second: Sequence[int]) -> list[float]:
    """Return U for every way in which the values could have fallen to the samples."""
    values = [*first, *second]
    found = []
    for chosen in combinations(range(len(values)), len(first)):
        rest = [values[at] for at in range(len(values)) if at not in chosen]
        found.append(u_of([values[at] for at in chosen], rest))
    return found


@given(samples(ties=True))
def test_u_counts_pairs(pair: tuple[list[int], list[int]]) -> None:
    """Those in which the second is the greater, ties as half."""
    assert mann_whitney(*pair).u == u_of(*pair)


@given(samples(ties=False))
def test_exact_p_is_a_count_of_permutations(pair: tuple[list[int], list[int]]) -> None:
    """How many have a U as far from the middle, on either side."""
    middle = len(pair[0]) * len(pair[1]) / 2
    counted = [abs(u - middle) >= abs(u_of(*pair) - middle) for u in all_u(*pair)]
    assert mann_whitney(*pair).p == pytest.approx(fmean(counted))


@given(samples(ties=True))
def test_ties_are_in_the_variance(pair: tuple[list[int], list[int]]) -> None:
    """The normal approximation has mean and variance of all permutations."""
    if len({*pair[0], *pair[1]}) == len(pair[0]) + len(pair[1]):
        return
    found = all_u(*pair)
    variance = fmean((u - fmean(found)) ** 2 for u in found)
    distance = max(0.0, abs(u_of(*pair) - fmean(found)) - 0.5)
    expected = erfc(distance / sqrt(2 * variance)) if variance else 1.0
    assert mann_whitney(*pair).p == pytest.approx(expected)


def test_a_published_value() -> None:
    """5 and 5 values with U = 2 have p = 0.032, the last in the tables for the level of 5 %."""
    assert mann_whitney([1, 2, 3, 4, 7], [5, 6, 8, 9, 10]).p == pytest.approx(8 / 252)


def test_the_approximation_comes_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound between the two, the two differ by an eighth at most."""
    first = [3 * value for value in range(20)]
    second = [3 * value + 16 for value in range(20)]
    exact = mann_whitney(first, second).p
    monkeypatch.setattr(module, "MOST_EXACT", MOST_EXACT - 1)
    approximate = mann_whitney(first, second).p
    assert approximate != exact
    assert approximate == pytest.approx(exact, rel=0.125)


def test_many_values_are_told_apart() -> None:
    """Of sizes for which only the approximation is quick."""
    p = mann_whitney(range(2_000), range(1_000, 3_000)).p
    assert p < 1e-100
    assert mann_whitney(range(0, 4_000, 2), range(1, 4_001, 2)).p > 0.9


@given(samples(ties=True))
def test_exchanging_the_samples_changes_nothing(pair: tuple[list[int], list[int]]) -> None:
    """But for U, which counts the other pairs."""
    first, second = pair
    one, other = mann_whitney(first, second), mann_whitney(second, first)
    assert one.p == other.p
    assert one.u + other.u == len(first) * len(second)


@given(few, st.integers(1, 6), st.integers(1, 6))
def test_what_is_the_same_everywhere_is_no_difference(value: int, n: int, m: int) -> None:
    """The most probable of all."""
    assert mann_whitney([value] * n, [value] * m).p == 1


@given(st.integers(1, 8), st.integers(1, 8))
def test_nothing_is_less_probable_than_the_least(n: int, m: int) -> None:
    """It is that of samples that do not overlap."""
    apart = mann_whitney(range(n), range(n, n + m)).p
    assert apart == pytest.approx(min(1.0, least_p(n, m)))


@pytest.mark.parametrize("pair", [([], [1]), ([1], []), ([], [])])
def test_an_empty_sample(pair: tuple[list[int], list[int]]) -> None:
    """There is nothing to compare."""
    with pytest.raises(ValueError, match="both samples"):
        mann_whitney(*pair)


@given(p_values)
def test_holm_is_the_step_down_procedure(values: list[float]) -> None:
    """What is below a level after the correction is what the procedure rejects at that level."""
    corrected = holm(values)
    for level in [0.01, 0.05, 0.3, *(min(1.0, one) for one in corrected)]:
        rejected = set()
        for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
            if min(1.0, values[place] * (len(values) - rank)) > level:
                break
            rejected.add(place)
        assert {place for place, one in enumerate(corrected) if one <= level} == rejected


def test_holm_by_hand() -> None:
    """The least counts three times, the next one twice, and none is less than one before it."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
