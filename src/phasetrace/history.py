"""What a workflow usually takes, by its earlier runs, and whether a run is out of the ordinary.

Usual is the median of the last runs; out of the ordinary is what is further from it than three
times the scaled median absolute deviation (MAD), the rule that C. Leys et al. recommend over means
and standard deviations ("Detecting outliers: Do not use standard deviation around the mean, use
absolute deviation around the median", Journal of Experimental Social Psychology 49, 2013, 764-766):
a run that once took ten times as long neither moves it nor widens it. Runs may be so steady that
hundredths would be out of the ordinary by that; what is within a tenth of the median never is.
Where runs have taken another time since one of them (`change`), those before it are not usual any
more.

Pure functions on durations in integer nanoseconds; which runs they are of is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from phasetrace.rendering import human

MOST: Final = 20
"""How many runs tell what is usual; those before them may have run other code."""
FEWEST: Final = 5
"""How many runs it takes to tell."""
DEVIATIONS: Final = 3
"""How many scaled deviations from the median are ordinary: Leys et al. call 3 very conservative."""
NORMAL: Final = (14_826, 10_000)
"""What makes the MAD of a normal distribution its standard deviation, 1.4826, as a fraction."""
LEAST_PART: Final = 10
"""One part in so many of the median is ordinary in any case."""

LOOKED_AT: Final = 30
"""In how many of the last runs a step is looked for."""
ALPHA: Final = 0.01
"""The probability below which a difference is not taken for chance."""
LEAST_CHANGE: Final = 0.02
"""The part of the median that a change is at least, to be one."""

SLOWER: Final = "slower"
FASTER: Final = "faster"
AS_USUAL: Final = "as usual"


class Usual(NamedTuple):
    """What some runs took: the median of their durations, its deviation (MAD), and the extremes."""

    runs: int
    median_ns: int
    mad_ns: int
    min_ns: int
    max_ns: int


class Verdict(NamedTuple):
    """How a duration compares with what is usual."""

    what: Literal["slower", "faster", "as usual"]
    duration_ns: int
    usual: Usual

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {**self._asdict(), "usual": self.usual._asdict()}


class Change(NamedTuple):
    """A step: the latest runs differ from those before; how probably by chance."""

    recent: int
    recent_ns: int
    before: int
    before_ns: int
    p: float


def usual(durations_ns: Sequence[int]) -> Usual | None:
    """Return what is usual by the durations of earlier runs, those of the latest run first.

    The first `MOST` of them count, down to the last step among them. None where there are fewer
    than `FEWEST`.
    """
    latest = durations_ns[:MOST]
    step = change(latest)
    if step is not None:
        latest = latest[: step.recent]
    return summary(latest) if len(latest) >= FEWEST else None


def summary(durations_ns: Sequence[int]) -> Usual:
    """Return the same of all of some runs, of which there is at least one."""
    median_ns = median(durations_ns)
    return Usual(
        runs=len(durations_ns),
        median_ns=median_ns,
        mad_ns=median([abs(duration_ns - median_ns) for duration_ns in durations_ns]),
        min_ns=min(durations_ns),
        max_ns=max(durations_ns),
    )


def median(values: Sequence[int]) -> int:
    """Return the middle of some values; between two of them, that rounded down."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) // 2


def tolerance_ns(usual: Usual) -> int:
    """Return how far from the median is ordinary."""
    numerator, denominator = NORMAL
    return max(
        DEVIATIONS * usual.mad_ns * numerator // denominator,
        usual.median_ns // LEAST_PART,
    )


def judge(duration_ns: int, usual: Usual) -> Verdict:
    """Return how a duration compares with what is usual."""
    off_ns = duration_ns - usual.median_ns
    if abs(off_ns) <= tolerance_ns(usual):
        return Verdict(AS_USUAL, duration_ns, usual)
    return Verdict(SLOWER if off_ns > 0 else FASTER, duration_ns, usual)


def judge_run(status: str, duration_ns: int, usual: Usual | None) -> Verdict | None:
    """Return how a run compares with what is usual, as far as it says something.

    One that goes on, or did not end well, may have taken too long already; that it took less than
    others do, or as much, says nothing. None then, and where nothing is usual.
    """
    if usual is None:
        return None
    verdict = judge(duration_ns, usual)
    return verdict if status == "ok" or verdict.what == SLOWER else None


def change(durations_ns: Sequence[int]) -> Change | None:
    """Return the step in the durations of some runs, those of the latest first, if there is one.

    Wherever there are at least `FEWEST` of the last `LOOKED_AT` runs on either side, the later ones
    are held against the earlier ones by the test of Mann and Whitney. There is a step if the least
    p of them all is below `ALPHA` by Bonferroni's correction for their number (by itself it would
    often be small by chance). It is where the deviations from the medians of both sides are least:
    the split of least p lies next to it in one case of ten, as it favours sides of one size.

    None if the medians do not differ, or by next to nothing.
    """
    from phasetrace.analysis.mann_whitney import mann_whitney

    looked_at = durations_ns[:LOOKED_AT]
    splits = [
        (looked_at[:place], looked_at[place:])
        for place in range(FEWEST, len(looked_at) - FEWEST + 1)
    ]
    if not splits:
        return None
    p = len(splits) * min(mann_whitney(before, recent).p for recent, before in splits)
    if p >= ALPHA:
        return None
    recent, before = min(splits, key=lambda sides: sum(map(_deviations_ns, sides)))
    recent_ns, before_ns = median(recent), median(before)
    if abs(recent_ns - before_ns) <= LEAST_CHANGE * before_ns:
        return None
    return Change(len(recent), recent_ns, len(before), before_ns, p)


def sentence(verdict: Verdict) -> str:
    """Return a verdict in words: what it is, what the run took, and what the others did.

    ``slower than usual: 6.04s, the last 12 runs took 4.10s (3.98s to 4.31s)``: their median, and
    the extremes.
    """
    what = verdict.what if verdict.what == AS_USUAL else f"{verdict.what} than usual"
    usual = verdict.usual
    low, high = human(usual.min_ns), human(usual.max_ns)
    spread = f" ({low} to {high})" if low != high else ""
    return (
        f"{what}: {human(verdict.duration_ns)}, the last {usual.runs} runs took"
        f" {human(usual.median_ns)}{spread}"
    )


def _deviations_ns(durations_ns: Sequence[int]) -> int:
    """Return how far some durations are from their median, added up."""
    median_ns = median(durations_ns)
    return sum(abs(duration_ns - median_ns) for duration_ns in durations_ns)
