"""Two executions, or two series of them, held against each other: what takes longer, what less.

Rows are aligned by their key (node, phase, and iteration if asked for), and whether a row changed
goes by its *self* time: when one phase gets slower, the total of its node grows as well and the
shares of all others shrink, but only its own self time says that it was this one. What is nobody's
is a row as well, and has what of the critical path is in no row: also what was spent waiting.

With several runs on a side, times are medians; shares and critical times are means, so that with
what is unattributed they still add up to the (mean) wall time. A run without a row took 0 ns for
it. A row has changed if

- the Mann-Whitney test tells the self times of the two sides apart: its p, by Holm's correction for
  all rows, is below `ALPHA`; and
- the change of the median is worth it, with at least `LEAST_OF_ROW` of the row itself and
  `LEAST_OF_WHOLE` of the execution.

Holm's correction and not Benjamini and Hochberg's: the latter lets a part of what it finds be
wrong, and here a single finding is acted on. `ALPHA` is 0.01, as at the customary 0.05 one
comparison in twenty of what is all the same gives a false alarm. The second condition is for what a
test is blind to: with enough runs the least of differences is significant.

Whether the whole takes longer is another question than which row does, and its test is not one of
theirs: its p stands as it is, so that five runs on a side are enough for it. There is a false alarm
of either kind in less than one of fifty comparisons.

Rows that take next to nothing of the whole are *small*: they are not tested, and do not count in
the correction. Which those are is told from all runs together, whatever side they are on, so that
it takes nothing from the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final, Literal, NamedTuple

from phasetrace.analysis.groups import Group, Groups, Key
from phasetrace.analysis.mann_whitney import holm, least_p, mann_whitney
from phasetrace.breakdowns import ExecutionHeader
from phasetrace.shares import round_shares
from phasetrace.spans import Iteration

DIFF_SCHEMA: Final = "phasetrace.diff/1"

ALPHA: Final = 0.01
LEAST_OF_ROW: Final = 0.02
LEAST_OF_WHOLE: Final = 0.001

Verdict = Literal["slower", "faster", "added", "removed", "noise"]

RUNS_FOR_THE_WHOLE: Final = next(n for n in count(2) if least_p(n, n) < ALPHA)
"""How many runs on each side it takes to tell whether the whole has changed."""

_WHOLE: Final = ("whole",)
_NOBODYS: Final = ("nobody's",)


class Run(NamedTuple):
    """One execution, and its spans added up by what is to be compared.

    ``lost`` of its spans were not stored, and are not among them.
    """

    execution: ExecutionHeader
    groups: Groups
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Significance:
    """A Mann-Whitney test: its p by itself, and as one of those of all rows."""

    p: float
    p_corrected: float


@dataclass(frozen=True, slots=True)
class Side:
    """The executions on one side.

    ``duration_ns`` is the median of their wall times, which go from ``min_ns`` to ``max_ns``; what
    shares and critical times add up to is the mean, ``wall_ns``.
    """

    n: int
    executions: tuple[ExecutionHeader, ...]
    duration_ns: int
    min_ns: int
    max_ns: int
    wall_ns: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A row on one side, and in how many of the side's runs it occurs.

    Calls, total and self time are medians; shares and critical times are means, ``share`` and
    ``critical`` as parts of the side's wall time.
    """

    runs: int
    calls: int
    total_ns: int
    self_ns: int
    share_ns: int
    share: float
    critical_ns: int
    critical: float


@dataclass(frozen=True, slots=True)
class RowDiff:
    """One row on both sides, and by how much its self time is more in B.

    ``node_id`` is None for what is unattributed. ``change`` is a part of A's time; None where that
    is next to nothing of the execution, and a percentage would say nothing. The ``verdict`` is None
    where there cannot be any: the row is small, or there are too few runs for a test.
    """

    node_id: str | None
    phase: str | None
    iteration: Iteration | None
    a: Figures
    b: Figures
    change_ns: int
    change: float | None
    is_small: bool
    test: Significance | None
    verdict: Verdict | None

    @property
    def has_changed(self) -> bool:
        """Whether it can be told that it changed."""
        return self.verdict is not None and self.verdict != "noise"


@dataclass(frozen=True, slots=True)
class ExecutionDiff:
    """How B differs from A: as a whole, in each row, and in what is unattributed.

    Rows come by the size of the change of their self time. ``is_tested`` is whether there are
    enough runs for the tests of rows to find anything, which takes ``runs_needed`` on each side. If
    not, there are no verdicts but on rows that every run of one side has, and none of the other.
    The test of the whole takes fewer, `RUNS_FOR_THE_WHOLE`; there is no ``verdict`` below that.
    """

    a: Side
    b: Side
    change_ns: int
    change: float | None
    is_tested: bool
    runs_needed: int
    test: Significance | None
    verdict: Verdict | None
    rows: tuple[RowDiff, ...]
    unattributed: RowDiff

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists, ready for JSON; versioned by ``schema``."""
        return {"schema": DIFF_SCHEMA, "alpha": ALPHA, **asdict(self)}


def compare(a: Sequence[Run], b: Sequence[Run]) -> ExecutionDiff:
    """Hold the runs of two sides against each other.

    Their groups have keys of (node, phase) or all of (node, phase, iteration). Raises ValueError
    for a side without runs.
    """
    if not a or not b:
        raise ValueError("both sides need a run")
    return _Comparison(_Series(a), _Series(b)).diff()


class _Series:
    """The runs of one side: the time of each row in every run, and what they come to.

    The whole and what is unattributed are among the rows, under keys of their own.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = [{row.key: row for row in run.groups.rows} for run in runs]
        self.keys = {key for rows in self._runs for key in rows}
        self._times = {
            _WHOLE: [run.groups.wall_ns for run in runs],
            _NOBODYS: [run.groups.unattributed_ns for run in runs],
        }
        walls = self._times[_WHOLE]
        wall_ns = _divided(sum(walls), len(walls))
        self._shares = _means(
            {key: sum(row.share_ns for row in self._found(key)) for key in self.keys},
            sum(run.groups.unattributed_ns for run in runs),
            wall_ns,
        )
        self._critical = _means(
            {key: sum(row.critical_ns for row in self._found(key)) for key in self.keys},
            sum(
                run.groups.critical_unattributed_ns + run.groups.critical_waiting_ns for run in runs
            ),
            wall_ns,
        )
        self.side = Side(
            n=len(runs),
            executions=tuple(run.execution for run in runs),
            duration_ns=_median(walls),
            min_ns=min(walls),
            max_ns=max(walls),
            wall_ns=wall_ns,
        )

    def times(self, key: Key) -> list[int]:
        """Return a row's self time in each of the runs, 0 where it does not occur."""
        if key in self._times:
            return self._times[key]
        return [rows[key].self_ns if key in rows else 0 for rows in self._runs]

    def figures(self, key: Key) -> Figures:
        """Return what a row comes to."""
        self_times = self.times(key)
        found = self._found(key)
        absent = [0] * (self.side.n - len(found))
        totals = [*absent, *(row.total_ns for row in found)] if key != _NOBODYS else self_times
        share_ns, critical_ns = self._shares.get(key, 0), self._critical.get(key, 0)
        return Figures(
            runs=self.occurrences(key),
            calls=_median([*absent, *(row.calls for row in found)]),
            total_ns=_median(totals),
            self_ns=_median(self_times),
            share_ns=share_ns,
            share=_part(share_ns, self.side.wall_ns) or 0.0,
            critical_ns=critical_ns,
            critical=_part(critical_ns, self.side.wall_ns) or 0.0,
        )

    def occurrences(self, key: Key) -> int:
        """Return in how many of the runs a row occurs; the whole does in all."""
        return self.side.n if key in self._times else len(self._found(key))

    def _found(self, key: Key) -> list[Group]:
        return [rows[key] for rows in self._runs if key in rows]


class _Comparison:
    """Two series by rows, and the tests of them."""

    def __init__(self, a: _Series, b: _Series) -> None:
        self._a, self._b = a, b
        self._keys = [*sorted(a.keys | b.keys, key=_sortable), _NOBODYS]
        self._small = {key for key in self._keys if self._is_small(key)}
        self._tested = [key for key in self._keys if key not in self._small]
        self._factor = max(1, len(self._tested))
        self._tests: dict[Key, Significance] = {}
        least = least_p(a.side.n, b.side.n)
        if min(a.side.n, b.side.n) > 1:
            p_values = [mann_whitney(a.times(key), b.times(key)).p for key in self._tested]
            tests = map(Significance, p_values, holm(p_values))
            self._tests = dict(zip(self._tested, tests, strict=True))
            p = mann_whitney(a.times(_WHOLE), b.times(_WHOLE)).p
            self._tests[_WHOLE] = Significance(p, p)
        self._is_decisive = bool(self._tests) and self._factor * least < ALPHA
        self._tells_the_whole = bool(self._tests) and least < ALPHA

    def diff(self) -> ExecutionDiff:
        """Return what came out."""
        a, b = self._a.side, self._b.side
        rows = [self._row(key) for key in self._keys]
        change_ns = b.duration_ns - a.duration_ns
        return ExecutionDiff(
            a=a,
            b=b,
            change_ns=change_ns,
            change=_part(change_ns, a.duration_ns),
            is_tested=self._is_decisive,
            runs_needed=next(n for n in count(2) if self._factor * least_p(n, n) < ALPHA),
            test=self._tests.get(_WHOLE),
            verdict=self._verdict(_WHOLE),
            rows=tuple(sorted(rows[:-1], key=lambda row: -abs(row.change_ns))),
            unattributed=rows[-1],
        )

    def _row(self, key: Key) -> RowDiff:
        a, b = self._a.figures(key), self._b.figures(key)
        change_ns = b.self_ns - a.self_ns
        is_telling = a.self_ns >= LEAST_OF_WHOLE * self._a.side.duration_ns
        node_id, phase, iteration = (*key, None, None)[:3] if key != _NOBODYS else (None,) * 3
        return RowDiff(
            node_id=None if node_id is None else str(node_id),
            phase=None if phase is None else str(phase),
            iteration=iteration,
            a=a,
            b=b,
            change_ns=change_ns,
            change=_part(change_ns, a.self_ns) if is_telling else None,
            is_small=key in self._small,
            test=self._tests.get(key),
            verdict=self._verdict(key),
        )

    def _is_small(self, key: Key) -> bool:
        """Tell whether a row takes less than `LEAST_OF_WHOLE`, both sides' means added up.

        Said in sums over all runs, so that it does not matter which of them are on which side; with
        more runs on one side than on the other, some rows more than that are kept.
        """
        n, m = self._a.side.n, self._b.side.n
        times, walls = (sum(self._a.times(of)) + sum(self._b.times(of)) for of in (key, _WHOLE))
        return times < LEAST_OF_WHOLE * walls * min(n, m) / (n + m)

    def _verdict(self, key: Key) -> Verdict | None:
        in_a, in_b = self._a.occurrences(key), self._b.occurrences(key)
        if not in_a and in_b == self._b.side.n:
            return "added"
        if not in_b and in_a == self._a.side.n:
            return "removed"
        is_decisive = self._tells_the_whole if key == _WHOLE else self._is_decisive
        if not is_decisive or key not in self._tests:
            return None
        before_ns, after_ns = _median(self._a.times(key)), _median(self._b.times(key))
        least_ns = max(
            LEAST_OF_ROW * max(before_ns, after_ns),
            LEAST_OF_WHOLE * max(self._a.side.duration_ns, self._b.side.duration_ns),
        )
        if self._tests[key].p_corrected >= ALPHA or abs(after_ns - before_ns) < least_ns:
            return "noise"
        if after_ns > before_ns:
            return "slower" if in_a else "added"
        return "faster" if in_b else "removed"


def _means(sums: Mapping[Key, float], nobodys_ns: int, wall_ns: int) -> dict[Key, int]:
    """Return whole nanoseconds that add up to the mean wall time, from sums over the runs."""
    means, nobodys_ns = round_shares(sums, nobodys_ns, wall_ns)
    return {**means, _NOBODYS: nobodys_ns}


def _median(values: Sequence[int]) -> int:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return _divided(ordered[middle - 1] + ordered[middle], 2)


def _divided(number: int, by: int) -> int:
    """Divide, rounding to the nearest integer."""
    return (number + by // 2) // by


def _part(part_ns: int, whole_ns: int) -> float | None:
    return part_ns / whole_ns if whole_ns else None


def _sortable(key: Key) -> tuple[tuple[bool, str, str], ...]:
    return tuple((part is not None, type(part).__name__, str(part)) for part in key)
