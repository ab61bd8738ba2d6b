"""Test how executions are held against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.comparison import (
    ALPHA,
    RUNS_FOR_THE_WHOLE,
    ExecutionDiff,
    Figures,
    RowDiff,
    Run,
    Verdict,
    compare,
)
from phasetrace.analysis.execution import Examination
from phasetrace.analysis.groups import BY
from phasetrace.analysis.mann_whitney import holm, least_p
from phasetrace.analysis.recording import Recording
from phasetrace.spans import Iteration
from tests.phasetrace.analysis.timelines import ROOT, executions, recording, span

MS = 1_000_000
USUAL = {"read": 20 * MS, "parse": 100 * MS, "write": 30 * MS, "close": MS // 100}
SWAPPED: dict[Verdict | None, Verdict | None] = {
    "slower": "faster",
    "faster": "slower",
    "added": "removed",
    "removed": "added",
    "noise": "noise",
    None: None,
}

series = st.lists(executions(), min_size=1, max_size=3)


def as_run(of: Recording, by: str = "phase of node") -> Run:
    """Return a run of a recording."""
    return Run(of.execution, Examination(of).groups(BY[by]))


def run_of(phases: dict[str, int], own_ns: int = 2 * MS, outside_ns: int = 3 * MS) -> Run:
    """Return a run of one node with phases that take so long, one after the other (ns).

    So much of the node's time is in none of them, and so much of the execution's in no node.
    """
    spans, now_ns = [], own_ns
    for number, (phase, duration_ns) in enumerate(phases.items()):
        spans.append(span(number + 10, 2, now_ns, now_ns + duration_ns, "n", phase))
        now_ns += duration_ns
    node = span(2, ROOT, 0, now_ns, "n")
    return as_run(recording(span(ROOT, None, 0, now_ns + outside_ns), node, *spans))


def noisy(phases: dict[str, int], random: Random, noise: float = 0.05) -> Run:
    """Return a run in which nothing takes exactly what it should."""

    def varied(duration_ns: int) -> int:
        return round(duration_ns * random.lognormvariate(0, noise))

    times = {phase: varied(duration_ns) for phase, duration_ns in phases.items()}
    return run_of(times, varied(2 * MS), varied(3 * MS))


def row(diff: ExecutionDiff, phase: str | None, iteration: Iteration | None = None) -> RowDiff:
    """Return the row of a phase of the only node."""
    (found,) = [
        one
        for one in diff.rows
        if one.node_id == "n" and (one.phase, one.iteration) == (phase, iteration)
    ]
    return found


def changed(diff: ExecutionDiff) -> list[tuple[str | None, Verdict | None]]:
    """Return the phases that have changed, what is unattributed among them, and how."""
    rows = [*diff.rows, diff.unattributed]
    return [(one.phase, one.verdict) for one in rows if one.has_changed]


def times(of: Figures) -> tuple[int, ...]:
    """Return the times of a row on one side."""
    return of.total_ns, of.self_ns, of.share_ns, of.critical_ns


@given(executions())
def test_an_execution_does_not_differ_from_itself(one: Recording) -> None:
    """In no row, and by no verdict."""
    diff = compare([as_run(one)], [as_run(one)])
    assert (diff.change_ns, diff.verdict) == (0, None)
    for found in (*diff.rows, diff.unattributed):
        assert found.a == found.b
        assert (found.change_ns, found.verdict) == (0, None)


@given(executions(), st.integers(2, 12))
def test_neither_does_a_series(one: Recording, n: int) -> None:
    """However many runs there are."""
    runs = [as_run(one)] * n
    diff = compare(runs, runs)
    assert not changed(diff)
    assert diff.verdict in (None, "noise")


@given(series, series)
def test_exchanging_the_sides_turns_everything_round(
    before: list[Recording], after: list[Recording]
) -> None:
    """Changes change their sign, verdicts become their opposites, and p stays."""
    a, b = [as_run(one) for one in before], [as_run(one) for one in after]
    there, back = compare(a, b), compare(b, a)
    assert (there.a, there.b) == (back.b, back.a)
    assert there.change_ns == -back.change_ns
    assert (there.test, there.verdict) == (back.test, SWAPPED[back.verdict])
    assert (there.is_tested, there.runs_needed) == (back.is_tested, back.runs_needed)
    assert len(there.rows) == len(back.rows)
    for one, other in zip(
        (*there.rows, there.unattributed), (*back.rows, back.unattributed), strict=True
    ):
        assert (one.node_id, one.phase) == (other.node_id, other.phase)
        assert (one.a, one.b, one.change_ns) == (other.b, other.a, -other.change_ns)
        assert (one.test, one.verdict) == (other.test, SWAPPED[other.verdict])
        assert one.is_small == other.is_small


@given(series, series)
def test_changes_of_shares_add_up(before: list[Recording], after: list[Recording]) -> None:
    """To that of the wall time, as do those of critical times, to the nanosecond."""
    diff = compare([as_run(one) for one in before], [as_run(one) for one in after])
    rows = [*diff.rows, diff.unattributed]
    change_ns = diff.b.wall_ns - diff.a.wall_ns
    assert sum(one.b.share_ns - one.a.share_ns for one in rows) == change_ns
    assert sum(one.b.critical_ns - one.a.critical_ns for one in rows) == change_ns


@given(executions(), executions())
def test_one_run_is_taken_as_it_is(before: Recording, after: Recording) -> None:
    """The figures of a side with one run are those of that run's groups."""
    one, other = as_run(before), as_run(after)
    diff = compare([one], [other])
    for groups, side in ((one.groups, "a"), (other.groups, "b")):
        figures = {(found.node_id, found.phase): getattr(found, side) for found in diff.rows}
        for group in groups.rows:
            assert times(figures.pop(group.key)) == (  # type: ignore[arg-type]
                group.total_ns,
                group.self_ns,
                group.share_ns,
                group.critical_ns,
            )
        for absent in figures.values():
            assert (absent.runs, absent.calls, *times(absent)) == (0, 0, 0, 0, 0, 0)
        nobodys = getattr(diff.unattributed, side)
        assert nobodys.self_ns == nobodys.share_ns == groups.unattributed_ns
        nobodys_ns = groups.critical_unattributed_ns + groups.critical_waiting_ns
        assert nobodys.critical_ns == nobodys_ns


@given(series)
def test_several_runs_come_to_their_medians_and_means(recordings: list[Recording]) -> None:
    """A run without a row took no time for it; all is rounded by less than 1 ns."""
    runs = [as_run(one) for one in recordings]
    diff = compare(runs, runs)
    walls = [run.groups.wall_ns for run in runs]
    assert abs(diff.a.duration_ns - median(walls)) <= 0.5
    assert (diff.a.min_ns, diff.a.max_ns) == (min(walls), max(walls))
    for one in diff.rows:
        found = [
            group
            for run in runs
            for group in run.groups.rows
            if group.key == (one.node_id, one.phase)
        ]
        absent = [0] * (len(runs) - len(found))
        assert one.a.runs == len(found)
        assert abs(one.a.self_ns - median([*absent, *(group.self_ns for group in found)])) <= 0.5
        assert abs(one.a.total_ns - median([*absent, *(group.total_ns for group in found)])) <= 0.5
        assert abs(one.a.share_ns - fmean([*absent, *(group.share_ns for group in found)])) <= 1


def test_waiting_is_nobody_s() -> None:
    """So that all critical times add up to the wall time."""
    waited = span(3, ROOT, 60, 100, "b")._replace(depends_on=("a",))
    one = as_run(recording(span(ROOT, None, 0, 100), span(2, ROOT, 0, 50, "a"), waited))
    assert one.groups.critical_waiting_ns == 10
    diff = compare([one], [one])
    assert diff.unattributed.a.critical_ns == 10
    assert sum(found.a.critical_ns for found in (*diff.rows, diff.unattributed)) == 100


def test_rows_come_by_the_size_of_their_change() -> None:
    """Whichever way it goes."""
    after = {"read": 15 * MS, "parse": 101 * MS, "write": 50 * MS, "close": MS // 100}
    diff = compare([run_of(USUAL)], [run_of(after)])
    assert [one.phase for one in diff.rows][:3] == ["write", "read", "parse"]
    assert [one.change_ns for one in diff.rows] == [20 * MS, -5 * MS, MS, 0, 0]


def test_one_run_on_a_side_is_no_test() -> None:
    """Whatever the change, and however many there are on the other side."""
    slow = run_of({**USUAL, "parse": 1_000 * MS})
    for others in (1, 30):
        diff = compare([run_of(USUAL)] * others, [slow])
        assert not diff.is_tested
        assert diff.test is None
        assert {one.verdict for one in diff.rows} == {None}
        assert row(diff, "parse").change_ns == 900 * MS


def test_too_few_runs_are_no_noise() -> None:
    """With 6 against 6 not even samples that do not overlap are below the level after Holm's."""
    random = Random(1)
    phases = {**USUAL, "more": 10 * MS}
    slow = {**phases, "parse": 1_000 * MS}
    for n, is_tested in ((6, False), (7, True)):
        diff = compare(
            [noisy(phases, random) for _ in range(n)], [noisy(slow, random) for _ in range(n)]
        )
        assert diff.is_tested is is_tested
        assert diff.runs_needed == 7
        assert row(diff, "parse").verdict == ("slower" if is_tested else None)
        assert row(diff, "read").verdict == ("noise" if is_tested else None)


def test_a_slower_phase_is_found_and_nothing_else() -> None:
    """Not its node, of which the total grows with it, nor others, of which the shares fall."""
    random = Random(2)
    slow = {**USUAL, "parse": 120 * MS}
    for _ in range(20):
        before = [noisy(USUAL, random) for _ in range(20)]
        after = [noisy(slow, random) for _ in range(20)]
        diff = compare(before, after)
        assert changed(diff) == [("parse", "slower")]
        assert diff.verdict == "slower"
        assert row(diff, None).b.total_ns - row(diff, None).a.total_ns > 10 * MS
        assert row(diff, "write").b.share < row(diff, "write").a.share
        assert row(diff, "parse").change == pytest.approx(0.2, abs=0.06)
        assert changed(compare(after, before)) == [("parse", "faster")]


def test_equal_runs_give_no_alarms() -> None:
    """At most one in 20 comparisons of 20 and 20 runs, of which some are slow as a whole."""
    random = Random(3)
    alarms = 0
    for _ in range(20):
        runs = [noisy(USUAL, random, random.choice([0.01, 0.2])) for _ in range(40)]
        diff = compare(runs[:20], runs[20:])
        assert diff.is_tested
        alarms += bool(changed(diff)) or diff.verdict != "noise"
    assert alarms <= 1


def test_what_is_certain_and_not_worth_it_is_noise() -> None:
    """1 % of a phase; the double of a phase that is 0.1 ‰ of the execution is not even tested."""
    random = Random(4)
    after = {**USUAL, "parse": 101 * MS, "close": MS // 50}
    diff = compare(
        [noisy(USUAL, random, 0.001) for _ in range(20)],
        [noisy(after, random, 0.001) for _ in range(20)],
    )
    parse, close = row(diff, "parse"), row(diff, "close")
    assert parse.test is not None
    assert parse.test.p_corrected < ALPHA
    assert parse.verdict == "noise"
    assert close.is_small
    assert (close.test, close.verdict) == (None, None)


def test_no_percentages_of_next_to_nothing() -> None:
    """A change is told in parts only of a time that is some part of the execution."""
    diff = compare([run_of(USUAL)], [run_of({**USUAL, "close": 10 * MS, "write": 60 * MS})])
    assert row(diff, "close").change is None
    assert not row(diff, "close").is_small
    assert row(diff, "write").change == 1


def test_added_and_removed() -> None:
    """What only one side has; of one run each it is what the runs were."""
    diff = compare([run_of({"old": MS, "kept": MS})], [run_of({"kept": MS, "new": 2 * MS})])
    assert changed(diff) == [("new", "added"), ("old", "removed")]
    assert (row(diff, "new").a.runs, row(diff, "new").b.runs) == (0, 1)
    assert (row(diff, "new").change_ns, row(diff, "old").change_ns) == (2 * MS, -MS)


def test_what_occurs_at_times_is_not_added() -> None:
    """A phase in one of many runs may as well have come up on the other side."""
    random = Random(5)
    before = [noisy(USUAL, random) for _ in range(20)]
    retried = noisy({**USUAL, "retry": 50 * MS}, random)
    after = [*(noisy(USUAL, random) for _ in range(19)), retried]
    diff = compare(before, after)
    assert (row(diff, "retry").b.runs, row(diff, "retry").verdict) == (1, "noise")
    often = [noisy({**USUAL, "retry": 50 * MS}, random) for _ in range(15)]
    assert row(compare(before, [*after[:5], *often]), "retry").verdict == "added"
    assert row(compare([*after[:5], *often], before), "retry").verdict == "removed"


def test_iterations_are_aligned() -> None:
    """By their number, if that is in the key."""

    def iterated(*durations_ns: int) -> Run:
        spans, now_ns = [span(ROOT, None, 0, sum(durations_ns))], 0
        for number, duration_ns in enumerate(durations_ns):
            one = span(number + 10, ROOT, now_ns, now_ns + duration_ns, "n", "p")
            spans.append(one._replace(iteration=number))
            now_ns += duration_ns
        return as_run(recording(*spans), "phase of iteration")

    diff = compare([iterated(10, 20)], [iterated(10, 25, 3)])
    found = [(one.iteration, one.change_ns, one.verdict) for one in diff.rows]
    assert found == [(1, 5, None), (2, 3, "added"), (0, 0, None)]


@given(st.lists(executions(), min_size=2, max_size=8), st.data())
def test_what_is_small_is_so_whatever_side_it_is_on(
    recordings: list[Recording], data: st.DataObject
) -> None:
    """Which rows are tested tells nothing of how the sides differ."""
    runs = [as_run(one) for one in recordings]
    n = data.draw(st.integers(1, len(runs) - 1))
    mixed = data.draw(st.permutations(runs))

    def small(of: Sequence[Run]) -> set[tuple[str | None, str | None]]:
        rows = compare(of[:n], of[n:]).rows
        return {(one.node_id, one.phase) for one in rows if one.is_small}

    assert small(runs) == small(mixed)


def test_what_the_shorter_side_takes_time_for_is_not_small() -> None:
    """Even if it is next to nothing among all runs."""
    before, after = run_of(USUAL), run_of({**USUAL, "retry": MS // 4})
    assert not row(compare([before] * 30, [after]), "retry").is_small
    assert not row(compare([after], [before] * 30), "retry").is_small


def test_five_runs_are_enough_for_the_whole() -> None:
    """Whatever it takes for rows: it is not one of them, and is not corrected for being so many."""
    random = Random(1)
    slow = {**USUAL, "parse": 1_000 * MS}
    for n, verdict in ((4, None), (5, "slower")):
        diff = compare(
            [noisy(USUAL, random) for _ in range(n)], [noisy(slow, random) for _ in range(n)]
        )
        assert diff.verdict == verdict
        assert not diff.is_tested
        assert diff.test is not None
        assert diff.test.p_corrected == diff.test.p == least_p(n, n)
        assert {one.verdict for one in diff.rows} == {None}
    assert RUNS_FOR_THE_WHOLE == 5


def test_all_rows_count_in_the_correction() -> None:
    """Those of every row that is not small, and of what is unattributed; the whole by itself."""
    random = Random(6)
    diff = compare(*([noisy(USUAL, random) for _ in range(20)] for _ in "ab"))
    rows = [*(one for one in diff.rows if not one.is_small), diff.unattributed]
    tests = [test for test in (one.test for one in rows) if test is not None]
    assert len(tests) == len(rows) == 5
    assert [one.p_corrected for one in tests] == holm([one.p for one in tests])
    assert diff.test is not None
    assert diff.test.p_corrected == diff.test.p


def test_nothing_to_compare() -> None:
    """A side needs a run."""
    with pytest.raises(ValueError, match="both sides"):
        compare([], [run_of(USUAL)])


@given(series, series)
def test_as_json(before: list[Recording], after: list[Recording]) -> None:
    """Versioned, and what it is made of; times in whole nanoseconds."""
    diff = compare([as_run(one) for one in before], [as_run(one) for one in after])
    plain = json.loads(json.dumps(diff.to_dict()))
    assert plain["schema"] == "phasetrace.diff/1"
    assert plain["a"]["n"] == len(before)
    assert len(plain["rows"]) == len(diff.rows)

    def check(value: object, name: str = "") -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                check(inner, key)
        elif isinstance(value, list):
            for inner in value:
                check(inner)
        elif name.endswith("_ns"):
            assert isinstance(value, int)

    check(plain)
