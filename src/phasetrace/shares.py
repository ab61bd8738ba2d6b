"""Rounding shares to whole nanoseconds without losing one."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

K = TypeVar("K")


def left_over(shares_ns: Iterable[float], wall_ns: int) -> int:
    """Return what nodes and phases leave of the wall time (ns), whatever their shares round to.

    That includes the share of further spans of the execution itself, which are no node's.
    """
    return max(0, wall_ns - round(fsum(shares_ns)))


def round_shares(
    shares: Mapping[K, float], unattributed_ns: float, wall_ns: int
) -> tuple[dict[K, int], int]:
    """Round shares and unattributed time to integers that add up to exactly `wall_ns`.

    Largest-remainder method (Hamilton's): each amount is scaled so that all make up the wall
    time, is rounded down, and the nanoseconds still missing go one each to the largest
    fractions, on a tie to the one that comes first (unattributed time last). Amounts that are
    whole and already add up, to less than 2**50 ns, stay as they are. Where there is nothing to
    scale, the whole wall time is unattributed.

    Returns the shares, in their order, and the unattributed time. Raises ValueError for a
    negative or non-finite amount.
    """
    amounts = [*shares.values(), unattributed_ns]
    total = fsum(amounts)
    if wall_ns < 0 or not 0 <= total < float("inf") or min(amounts) < 0:
        raise ValueError("shares, unattributed and wall time must be finite and not negative")
    if not total:
        return dict.fromkeys(shares, 0), wall_ns
    quotas = [amount / total * wall_ns for amount in amounts]
    whole = [int(quota) for quota in quotas]
    by_fraction = sorted(range(len(quotas)), key=lambda i: whole[i] - quotas[i])
    for i in by_fraction[: max(0, wall_ns - sum(whole))]:
        whole[i] += 1
    # Normally 0. Past 2**53 ns a float no longer resolves single nanoseconds, and what that
    # leaves over is noise to the largest amount.
    whole[max(range(len(whole)), key=whole.__getitem__)] += wall_ns - sum(whole)
    return dict(zip(shares, whole, strict=False)), whole[-1]
