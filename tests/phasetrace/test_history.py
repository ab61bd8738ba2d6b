"""Test what is usual, and when a run is out of the ordinary."""

from __future__ import annotations

import statistics
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace import history
from phasetrace.history import Usual

S = 1_000_000_000
DURATIONS = st.integers(0, 10**15)
RUNS = st.lists(DURATIONS, min_size=1, max_size=30)
STEADY = [4_100_000_000 + 10_000_000 * (number % 5 - 2) for number in range(12)]


@given(RUNS)
def test_the_median_is_the_middle(durations: list[int]) -> None:
    """That of the standard library, rounded down."""
    assert history.median(durations) == int(statistics.median(map(Fraction, durations)))


@given(RUNS)
def test_a_summary(durations: list[int]) -> None:
    """Its deviation is the median of how far each is from the median."""
    summary = history.summary(durations)
    middle = int(statistics.median(map(Fraction, durations)))
    deviations = [Fraction(abs(one - middle)) for one in durations]
    assert summary == Usual(
        runs=len(durations),
        median_ns=middle,
        mad_ns=int(statistics.median(deviations)),
        min_ns=min(durations),
        max_ns=max(durations),
    )


@given(st.lists(DURATIONS, max_size=40))
def test_the_last_twenty_runs_tell_what_is_usual(durations: list[int]) -> None:
    """From five on; those before them count for nothing, nor do those before a step."""
    usual = history.usual(durations)
    step = history.change(durations[:20])
    if len(durations) < 5:
        assert usual is None
    else:
        assert usual == history.summary(durations[: step.recent if step else 20])


def test_the_last_runs_come_first() -> None:
    """Of thirty, those that are usual now, and not those that were usual then."""
    usual = history.usual([4 * S] * 20 + [9 * S] * 10)
    assert usual == Usual(runs=20, median_ns=4 * S, mad_ns=0, min_ns=4 * S, max_ns=4 * S)


@given(st.lists(DURATIONS, min_size=5, max_size=20), DURATIONS)
def test_a_verdict(durations: list[int], duration_ns: int) -> None:
    """By the rule, worked out in fractions."""
    usual = history.summary(durations)
    off = duration_ns - usual.median_ns
    tolerance = max(3 * Fraction("1.4826") * usual.mad_ns, Fraction(usual.median_ns, 10))
    expected = "as usual" if abs(off) <= tolerance else "slower" if off > 0 else "faster"
    assert history.judge(duration_ns, usual) == (expected, duration_ns, usual)


@given(st.lists(DURATIONS, min_size=5, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_runs_does_not_matter(durations: list[int], random: object) -> None:
    """Nor would it tell anything, of runs that count."""
    shuffled = durations.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert history.summary(shuffled) == history.summary(durations)


@given(st.lists(DURATIONS, min_size=5, max_size=20), st.data())
def test_one_run_moves_nothing_much(durations: list[int], data: st.DataObject) -> None:
    """However long it took: what is usual stays within what the others took."""
    place = data.draw(st.integers(0, len(durations) - 1))
    others = durations[:place] + durations[place + 1 :]
    durations[place] = data.draw(st.integers(0, 10**30))
    assert min(others) <= history.summary(durations).median_ns <= max(others)


@pytest.mark.parametrize(
    ("duration_ns", "what"),
    [
        (4 * S, "as usual"),
        (4_400_000_000, "as usual"),
        (4_400_000_001, "slower"),
        (3_600_000_000, "as usual"),
        (3_599_999_999, "faster"),
    ],
)
def test_a_tenth_is_always_ordinary(duration_ns: int, what: str) -> None:
    """Even after runs that took the same to the nanosecond."""
    assert history.judge(duration_ns, history.summary([4 * S] * 9)).what == what


def test_what_varies_may_vary() -> None:
    """Runs that differ by half make much ordinary."""
    usual = history.summary([2 * S, 3 * S, 4 * S, 5 * S, 6 * S])
    assert history.judge(8 * S, usual).what == "as usual"
    assert history.judge(9 * S, usual).what == "slower"


@pytest.mark.parametrize("status", ["ok", "error", "cancelled", "running", "abandoned"])
def test_a_run_that_did_not_end_well_is_not_fast(status: str) -> None:
    """But it may have taken too long."""
    usual = history.summary(STEADY)
    slow = history.judge_run(status, 6 * S, usual)
    assert slow is not None
    assert slow.what == "slower"
    for duration_ns, what in ((S, "faster"), (4 * S, "as usual")):
        verdict = history.judge_run(status, duration_ns, usual)
        assert verdict == (history.Verdict(what, duration_ns, usual) if status == "ok" else None)  # type: ignore[arg-type]


def test_without_anything_usual_there_is_nothing_to_say() -> None:
    """Too few runs, or none."""
    assert history.judge_run("ok", S, history.usual([S] * 4)) is None


@pytest.mark.parametrize(
    ("duration_ns", "expected"),
    [
        (
            6_040_000_000,
            "slower than usual: 6.04s, the last 12 runs took 4.10s (4.08s to 4.12s)",
        ),
        (
            604_000_000,
            "faster than usual: 604ms, the last 12 runs took 4.10s (4.08s to 4.12s)",
        ),
        (4_050_000_000, "as usual: 4.05s, the last 12 runs took 4.10s (4.08s to 4.12s)"),
    ],
)
def test_the_sentence(duration_ns: int, expected: str) -> None:
    """Says what it is, and what it is held against."""
    assert history.sentence(history.judge(duration_ns, history.summary(STEADY))) == expected


def test_the_sentence_of_runs_that_took_the_same() -> None:
    """There is no spread to tell of."""
    verdict = history.judge(S, history.summary([4 * S] * 5))
    assert history.sentence(verdict) == "faster than usual: 1.00s, the last 5 runs took 4.00s"


def test_a_verdict_as_plain_values() -> None:
    """Ready for JSON, with what it was held against."""
    assert history.judge(9 * S, history.summary([2 * S, 2 * S, 5 * S])).to_dict() == {
        "what": "slower",
        "duration_ns": 9 * S,
        "usual": {
            "runs": 3,
            "median_ns": 2 * S,
            "mad_ns": 0,
            "min_ns": 2 * S,
            "max_ns": 5 * S,
        },
    }


def test_a_step_is_a_change() -> None:
    """The last five runs, and all before them."""
    recent = [4_500_000_000 + number for number in range(5)]
    change = history.change([*recent, *(4 * S + number for number in range(10))])
    assert change is not None
    assert change[:4] == (5, 4_500_000_002, 10, 4_000_000_004)
    # All of five above all of ten: the most extreme two of the C(15, 5) orders, at six places.
    assert change.p == pytest.approx(6 * 2 / 3_003)


@given(st.integers(5, 25), st.integers(5, 40), st.integers())
def test_a_step_is_found_where_it_is(since: int, before: int, seed: int) -> None:
    """However long ago, up or down; of what lies further back, nothing counts."""
    random, shown = Random(seed), min(30, since + before)
    for level_ns in (3 * S, 6 * S):
        durations = [round(level_ns * random.uniform(0.95, 1.05)) for _ in range(since)]
        durations += [round(4.5 * S * random.uniform(0.95, 1.05)) for _ in range(before)]
        change = history.change(durations)
        assert change is not None
        assert (change.recent, change.before) == (since, shown - since)


def test_what_is_usual_is_so_since_the_last_step() -> None:
    """The runs before it do not make the new time out of the ordinary, nor the old one usual."""
    steady = [number * 10_000_000 for number in range(20)]
    now, then = [6 * S + one for one in steady[:7]], [4 * S + one for one in steady]
    usual = history.usual([*now, *then])
    assert usual == history.summary(now)
    assert history.judge(4 * S, usual).what == "faster"
    assert history.usual([*now[:4], *then]) == history.summary([*now[:4], *then[:16]])


def test_equal_runs_have_no_step() -> None:
    """But for one series in a hundred, however many places there are to look at."""
    random = Random(1)
    for number in (10, 20, 30):
        found = sum(
            history.change([round(S * random.lognormvariate(0, 0.1)) for _ in range(number)])
            is not None
            for _ in range(500)
        )
        assert found <= 0.02 * 500


@pytest.mark.parametrize(
    "durations",
    [
        pytest.param([5 * S] * 5 + [4 * S] * 4, id="four runs before are too few"),
        pytest.param([S, 5 * S] * 10, id="the same to and fro"),
        pytest.param(
            [4_070_000_000 + number for number in range(5)]
            + [4 * S + number for number in range(9)],
            id="sure, and next to nothing",
        ),
        pytest.param([9 * S, *[4 * S + number for number in range(12)]], id="only the latest"),
        pytest.param([], id="no run"),
    ],
)
def test_what_is_no_change(durations: list[int]) -> None:
    """What chance makes, what does not matter, and what too few runs say."""
    assert history.change(durations) is None
