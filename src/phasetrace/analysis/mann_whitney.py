"""Telling a change from noise: the test of Mann and Whitney, and Holm's correction for many tests.

Durations are skewed and have outliers, so ranks are compared and not means: whether one of the
runs of B tends to take longer than one of those of A, whatever the distribution of either.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import comb, erfc, sqrt
from typing import Final, NamedTuple

MOST_EXACT: Final = 400
"""The largest product of the sizes for which the exact distribution is worked out: 20 by 20."""


class MannWhitney(NamedTuple):
    """What a test found.

    ``u`` is the number of pairs in which the second sample is the greater, ties counted as half.
    ``p`` is how probable a difference this large, either way, is between samples of one
    distribution.
    """

    u: float
    p: float


def mann_whitney(first: Sequence[int], second: Sequence[int]) -> MannWhitney:
    """Test whether two samples come from one distribution, two-sided.

    Without ties, and for sizes up to a product of `MOST_EXACT`, from the exact distribution of U by
    the recurrence of H. B. Mann and D. R. Whitney ("On a test of whether one of two random
    variables is stochastically larger than the other", Annals of Mathematical Statistics 18, 1947).
    Otherwise by the normal approximation, with the variance corrected for ties and the difference
    for continuity (M. Hollander, D. A. Wolfe, "Nonparametric Statistical Methods", chapter 4.1).

    Exchanging the samples gives the same p. Raises ValueError for an empty sample.
    """
    n, m = len(first), len(second)
    if not n or not m:
        raise ValueError("both samples need a value")
    ordered = sorted(first)
    twice_u = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in second)
    ties = [count for count in Counter([*first, *second]).values() if count > 1]
    if not ties and n * m <= MOST_EXACT:
        p = _exact(n, m, twice_u // 2)
    else:
        p = _approximate(n, m, twice_u, ties)
    return MannWhitney(twice_u / 2, p)


def least_p(n: int, m: int) -> float:
    """Return the p of two samples of these sizes of which all values of one are the greater."""
    return 2 / comb(n + m, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values as corrected for being so many, in their order.

    What stays below a level after it: the probability that there is any false alarm among all the
    tests is below that level, however they depend on each other (S. Holm, "A simple sequentially
    rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979).
    """
    corrected = [1.0] * len(p_values)
    so_far = 0.0
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(ranked):
        so_far = max(so_far, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = so_far
    return corrected


def _exact(n: int, m: int, u: int) -> float:
    counts = _distribution(n, m)
    tail = sum(counts[: min(u, n * m - u) + 1])
    return min(1.0, 2 * tail / comb(n + m, n))


@cache
def _distribution(n: int, m: int) -> tuple[int, ...]:
    """Return in how many orders of n and m values U is 0, 1, … n·m.

    The greatest value is of the one sample or of the other, and is above all m or above none:
    N(n, m, u) = N(n-1, m, u-m) + N(n, m-1, u).
    """
    row = [[1] for _ in range(m + 1)]
    for _ in range(n):
        below, row = row, [[1]]
        for j in range(1, m + 1):
            counts = [0] * j + below[j]
            for u, count in enumerate(row[j - 1]):
                counts[u] += count
            row.append(counts)
    return tuple(row[m])


def _approximate(n: int, m: int, twice_u: int, ties: Sequence[int]) -> float:
    size = n + m
    tied = sum(count**3 - count for count in ties)
    variance = n * m / 12 * (size + 1 - tied / (size * (size - 1)))
    if variance <= 0:  # all values are the same
        return 1.0
    distance = max(0.0, abs(twice_u - n * m) / 2 - 0.5)
    return min(1.0, erfc(distance / sqrt(2 * variance)))
