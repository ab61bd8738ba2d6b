"""Test self times and shares against an oracle that looks at every nanosecond."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from phasetrace.shares import round_shares
from phasetrace.timeline import Timeline, TimelineResult

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from random import Random

ROOT = 1


class Span(NamedTuple):
    """A span of a made-up execution."""

    span_id: int
    parent_id: int | None
    start: int
    end: int
    key: str


class Expected(NamedTuple):
    """What the oracle found, with exact shares."""

    self_ns: dict[str, int]
    share_ns: dict[str, Fraction]
    unattributed_ns: int
    wall_ns: int
    first_ns: int
    last_ns: int
    root_self_ns: int


def oracle(spans: list[Span], root_id: int | None, unfinished: frozenset[int]) -> Expected:
    """Work everything out by the definitions, one nanosecond after the other."""
    root = next((span for span in spans if span.span_id == root_id), None)
    first = min((span.start for span in spans), default=0)
    last = max((span.end for span in spans), default=0)
    wall = range(root.start, root.end) if root else range(first, last)
    alone: Counter[int] = Counter()
    shares: defaultdict[str, Fraction] = defaultdict(Fraction)
    unattributed = 0
    for now in range(first, last):
        active = [span for span in spans if span.start <= now < span.end]
        parents = {span.parent_id for span in active}
        childless = [span for span in active if span.span_id not in parents]
        alone.update(span.span_id for span in childless)
        leaves = [span for span in childless if span is not root]
        if now in wall:
            unattributed += not leaves
            for span in leaves:
                shares[span.key] += Fraction(1, len(leaves))
    for span in spans:
        if span is not root:
            shares[span.key] += 0
    self_ns: Counter[str] = Counter()
    for span in spans:
        if span.span_id not in unfinished:
            self_ns[span.key] += alone[span.span_id]
    return Expected(
        dict(self_ns),
        dict(shares),
        unattributed,
        len(wall),
        first,
        last,
        alone[root.span_id] if root else 0,
    )


def check(result: TimelineResult, expected: Expected) -> None:
    """Compare a result with what the oracle found."""
    assert result.self_ns == expected.self_ns
    assert result.share_ns == pytest.approx({k: float(v) for k, v in expected.share_ns.items()})
    assert (
        result.unattributed_ns,
        result.wall_ns,
        result.first_ns,
        result.last_ns,
        result.root_self_ns,
    ) == expected[2:]


def opened(spans: Iterable[Span]) -> list[tuple[int, int | None, int, Hashable]]:
    """Return spans in the form in which open ones are given."""
    return [(span.span_id, span.parent_id, span.start, span.key) for span in spans]


def timeline_of(spans: Iterable[Span], root_id: int | None = ROOT) -> Timeline:
    """Return a timeline of finished spans."""
    timeline = Timeline(root_id)
    for span in spans:
        timeline.add(*span)
    return timeline


@st.composite
def executions(draw: st.DrawFn, longest: int = 30) -> list[Span]:
    """Draw spans without regard for nesting: overlapping, escaping, empty and orphaned ones.

    Times come from few values, so that spans often touch. Parents are any other span, the
    root, none, or an id that never comes up. The span with the root's id may be missing.
    """
    ids = draw(st.lists(st.integers(ROOT, 9), unique=True, max_size=9))
    spans = []
    for span_id in ids:
        parent = draw(st.one_of(st.none(), st.integers(ROOT, 10).filter(span_id.__ne__)))
        start = draw(st.integers(0, longest))
        length = draw(st.one_of(st.just(0), st.integers(0, 5), st.integers(0, longest)))
        spans.append(Span(span_id, parent, start, start + length, draw(st.sampled_from("abc"))))
    return spans


ROOTS = st.sampled_from([ROOT, ROOT, None])


@given(executions(), ROOTS)
def test_result_is_what_the_definitions_give(spans: list[Span], root_id: int | None) -> None:
    """Self times, shares, unattributed time and extent agree with the oracle."""
    event("root" if any(span.span_id == root_id for span in spans) else "no root")
    check(timeline_of(spans, root_id).result(), oracle(spans, root_id, frozenset()))


@given(executions(), ROOTS, st.randoms(use_true_random=False))
def test_order_of_adding_does_not_matter(
    spans: list[Span], root_id: int | None, random: Random
) -> None:
    """Spans may be added in any order."""
    shuffled = random.sample(spans, len(spans))
    check(timeline_of(shuffled, root_id).result(), oracle(spans, root_id, frozenset()))


@given(executions(), ROOTS, st.integers(0, 60))
def test_open_spans_last_until_now(spans: list[Span], root_id: int | None, now: int) -> None:
    """While spans are open they count up to now, with their share and without their self time."""
    finished = [span for span in spans if span.end <= now]
    running = [span for span in spans if span.start <= now < span.end]
    result = timeline_of(finished, root_id).result(now, opened(running))
    seen = finished + [span._replace(end=now) for span in running]
    check(result, oracle(seen, root_id, frozenset(span.span_id for span in running)))


@given(
    executions(),
    ROOTS,
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=8),
    st.integers(0, 60),
)
def test_folding_does_not_change_the_result(
    spans: list[Span], root_id: int | None, folds: list[tuple[int, int]], now: int
) -> None:
    """However often and wherever the past is folded, the result is that of the oracle.

    A fold happens at an instant, to a horizon at or before it; by then everything that ended
    has been added, and everything else that started is given as open.
    """
    timeline = Timeline(root_id)
    waiting = sorted(spans, key=lambda span: span.end)
    for instant, back in sorted((*folds, (now, 0))):
        if instant > now:
            break
        while waiting and waiting[0].end <= instant:
            timeline.add(*waiting.pop(0))
        if (instant, back) != (now, 0):
            running = [span for span in waiting if span.start <= instant]
            timeline.advance(instant - back, opened(running))
    while waiting and waiting[0].end <= now:
        timeline.add(*waiting.pop(0))
    running = [span for span in waiting if span.start <= now]
    seen = [span for span in spans if span.end <= now]
    seen += [span._replace(end=now) for span in running]
    expected = oracle(seen, root_id, frozenset(span.span_id for span in running))
    check(timeline.result(now, opened(running)), expected)
    assert timeline.late == 0


@given(executions(), ROOTS)
def test_result_changes_nothing(spans: list[Span], root_id: int | None) -> None:
    """Asking in between, with spans still open, leaves the final result as it is."""
    timeline = Timeline(root_id)
    for index, span in enumerate(spans):
        timeline.add(*span)
        timeline.result(100, opened(spans[index + 1 :]))
    check(timeline.result(), oracle(spans, root_id, frozenset()))


@given(executions(), ROOTS)
def test_rounded_shares_add_up_to_the_wall_time(spans: list[Span], root_id: int | None) -> None:
    """Rounded shares and unattributed time make up the wall time to the nanosecond."""
    result = timeline_of(spans, root_id).result()
    shares, unattributed = round_shares(result.share_ns, result.unattributed_ns, result.wall_ns)
    assert sum(shares.values()) + unattributed == result.wall_ns


@given(executions(), ROOTS)
def test_rounding_leaves_unattributed_time_alone(spans: list[Span], root_id: int | None) -> None:
    """Unattributed time is whole already and stays what it was."""
    result = timeline_of(spans, root_id).result()
    _, unattributed = round_shares(result.share_ns, result.unattributed_ns, result.wall_ns)
    assert unattributed == result.unattributed_ns


def test_empty_timeline_has_no_time() -> None:
    """Without a span every figure is 0."""
    check(Timeline().result(now_ns=5), Expected({}, {}, 0, 0, 0, 0, 0))


def test_parallel_leaves_split_the_time() -> None:
    """Two phases side by side get half of their common time each."""
    spans = [Span(1, None, 0, 10, "r"), Span(2, 1, 0, 10, "a"), Span(3, 1, 5, 10, "b")]
    assert timeline_of(spans).result().share_ns == {"a": 7.5, "b": 2.5}


def test_node_between_phases_is_its_own_leaf() -> None:
    """A node has a share of the time in which none of its phases runs."""
    spans = [
        Span(1, None, 0, 10, "r"),
        Span(2, 1, 0, 10, "node"),
        Span(3, 2, 0, 4, "phase"),
        Span(4, 2, 6, 10, "phase"),
    ]
    assert timeline_of(spans).result().share_ns == {"node": 2.0, "phase": 8.0}


def test_root_alone_is_unattributed() -> None:
    """The root is no leaf: its time without a node belongs to nobody."""
    result = timeline_of([Span(1, None, 0, 10, "r"), Span(2, 1, 3, 7, "a")]).result()
    assert (result.unattributed_ns, result.root_self_ns) == (6, 6)


def test_root_has_self_time_and_no_share() -> None:
    """The root's key is among the self times and not among the shares."""
    result = timeline_of([Span(1, None, 0, 10, "r"), Span(2, 1, 3, 7, "a")]).result()
    assert (result.self_ns, list(result.share_ns)) == ({"r": 6, "a": 4}, ["a"])


def test_open_root_has_self_time_so_far() -> None:
    """An open root's self time is given apart from the finished ones."""
    result = timeline_of([Span(2, 1, 3, 7, "a")]).result(9, [(1, None, 0, "r")])
    assert (result.root_self_ns, result.self_ns) == (5, {"a": 4})


def test_overlapping_children_are_not_subtracted_twice() -> None:
    """Self time goes without the union of the children and not without their sum."""
    spans = [Span(2, None, 0, 10, "p"), Span(3, 2, 1, 6, "c"), Span(4, 2, 4, 8, "c")]
    assert timeline_of(spans).result().self_ns["p"] == 3


def test_child_that_outlives_its_parent_is_clipped() -> None:
    """A child takes from its parent's self time what they have in common."""
    spans = [Span(2, None, 0, 10, "p"), Span(3, 2, 8, 30, "c")]
    assert timeline_of(spans).result().self_ns == {"p": 8, "c": 22}


def test_escaping_span_has_no_share_outside_the_root() -> None:
    """Wall time is the root's interval; what sticks out of it is not shared."""
    spans = [Span(1, None, 10, 20, "r"), Span(2, 1, 5, 25, "a")]
    assert timeline_of(spans).result().share_ns == {"a": 10.0}


def test_extent_includes_escaping_spans() -> None:
    """The extent is that of all spans although the wall time is the root's."""
    result = timeline_of([Span(1, None, 10, 20, "r"), Span(2, 1, 5, 25, "a")]).result()
    assert (result.first_ns, result.last_ns, result.wall_ns) == (5, 25, 10)


def test_gap_without_a_root_is_unattributed() -> None:
    """As long as the root is not known, gaps between spans belong to nobody."""
    result = timeline_of([Span(2, 1, 0, 4, "a"), Span(3, 1, 7, 9, "a")]).result()
    assert (result.wall_ns, result.unattributed_ns) == (9, 3)


def test_root_id_may_be_set_later() -> None:
    """The root's id counts from when it is set, before the root is added."""
    timeline = timeline_of([Span(2, 1, 0, 4, "a")], None)
    timeline.root_id = 1
    timeline.add(1, None, 0, 10, "r")
    assert timeline.result().unattributed_ns == 6


def test_end_before_the_start_is_no_duration() -> None:
    """A span whose clock went back has no length."""
    result = timeline_of([Span(2, None, 5, 3, "a")]).result()
    assert (result.self_ns, result.last_ns) == ({"a": 0}, 5)


def test_repeated_span_is_ignored() -> None:
    """A span that is delivered again does not count again, whatever it says."""
    spans = [Span(2, None, 0, 4, "a"), Span(2, None, 0, 4, "a"), Span(2, None, 6, 9, "b")]
    assert timeline_of(spans).result().self_ns == {"a": 4}


def test_repeated_open_span_is_ignored() -> None:
    """A span that is open, or given as open, twice counts once."""
    result = timeline_of([]).result(8, [(2, None, 0, "a"), (2, None, 0, "a")])
    assert result.share_ns == {"a": 8.0}


def test_added_span_given_as_open_is_finished() -> None:
    """If a span is both, the finished one holds."""
    result = timeline_of([Span(2, None, 0, 4, "a")]).result(9, [(2, None, 0, "a")])
    assert (result.share_ns, result.last_ns) == ({"a": 4.0}, 4)


def test_span_may_name_itself_as_parent() -> None:
    """A malformed parent does no damage: the span is its own child and has no self time."""
    result = timeline_of([Span(2, 2, 0, 4, "a")]).result()
    assert (result.self_ns, result.unattributed_ns) == ({"a": 0}, 4)


def test_large_clock_values_keep_nanoseconds() -> None:
    """Times since 1970 lose no precision, as shares are worked out from differences."""
    epoch = 1_700_000_000_000_000_000
    spans = [Span(2, None, epoch, epoch + 3, "a"), Span(3, None, epoch + 1, epoch + 3, "b")]
    assert timeline_of(spans).result().share_ns == {"a": 2.0, "b": 1.0}


def test_pause_restores_precision() -> None:
    """Fractions of a nanosecond survive a long past, once nothing was active in between."""
    far = 1 << 62
    spans = [
        Span(2, None, 0, far, "past"),
        Span(3, None, far + 5, far + 8, "a"),
        Span(4, None, far + 5, far + 8, "b"),
    ]
    shares = timeline_of(spans).result().share_ns
    assert (shares["a"], shares["b"]) == (1.5, 1.5)


def test_fold_drops_finished_spans() -> None:
    """What a timeline holds after a fold does not grow with the spans folded."""
    timeline = Timeline(ROOT)
    for index in range(1000):
        timeline.add(index + 2, 1, index, index + 1, "a")
    timeline.advance(1000, [(1, None, 0, "r")])
    held = (timeline._log, timeline._ends, timeline._state.active, timeline._state.children)
    assert [len(part) for part in held] == [0, 0, 1, 0]


def test_span_open_at_a_fold_is_counted_once() -> None:
    """Adding a span that was open at a fold completes it."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "a")])
    timeline.add(2, None, 0, 8, "a")
    result = timeline.result()
    assert (result.self_ns, result.share_ns, timeline.late) == ({"a": 8}, {"a": 8.0}, 0)


def test_span_open_at_a_fold_may_be_repeated() -> None:
    """A second delivery of such a span is ignored as well."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "a")])
    timeline.add(2, None, 0, 8, "a")
    timeline.add(2, None, 0, 9, "a")
    assert timeline.result().self_ns == {"a": 8}


def test_span_open_at_a_fold_stays_open() -> None:
    """It need not be given again to be counted."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "a")])
    assert timeline.result(9).share_ns == {"a": 9.0}


def test_span_open_at_a_fold_lasts_to_the_horizon() -> None:
    """Without a current time it reaches at least as far as the fold."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "a")])
    assert (timeline.result().share_ns, timeline.result().wall_ns) == ({"a": 5.0}, 5)


def test_span_open_at_a_fold_takes_its_final_key() -> None:
    """A share gathered while a span was open goes where the finished span belongs."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "so far")])
    timeline.add(2, None, 0, 8, "final")
    assert timeline.result().share_ns == {"final": 8.0}


def test_open_span_takes_its_latest_key() -> None:
    """An open span that is given again under another key is moved there."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "first")])
    assert timeline.result(8, [(2, None, 0, "second")]).share_ns == {"second": 8.0}


def test_open_span_takes_its_latest_key_at_a_fold() -> None:
    """The key given at a later fold holds from then on."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "first")])
    timeline.advance(6, [(2, None, 0, "second")])
    assert timeline.result(8).share_ns == {"second": 8.0}


def test_span_open_at_a_fold_cannot_end_before_it() -> None:
    """An end that contradicts the fold is taken as the horizon."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "a")])
    timeline.add(2, None, 0, 3, "a")
    assert timeline.result().self_ns == {"a": 5}


def test_horizon_does_not_go_back() -> None:
    """A fold to before the previous one changes nothing."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "a")])
    timeline.advance(3, [])
    assert timeline.result(9).share_ns == {"a": 9.0}


def test_late_span_has_no_share_before_the_horizon() -> None:
    """A span reported after a fold beyond its start gets its self time and the rest's share."""
    timeline = Timeline()
    timeline.add(2, None, 0, 10, "a")
    timeline.advance(10, [])
    timeline.add(3, None, 4, 12, "b")
    result = timeline.result()
    assert (result.self_ns, result.share_ns) == ({"a": 10, "b": 8}, {"a": 10.0, "b": 2.0})


def test_late_span_in_the_past_has_self_time_only() -> None:
    """A late span that ended before the horizon takes no share from those folded."""
    timeline = Timeline()
    timeline.add(2, None, 0, 10, "a")
    timeline.advance(10, [])
    timeline.add(3, None, 4, 6, "b")
    result = timeline.result()
    assert (result.self_ns, result.share_ns) == ({"a": 10, "b": 2}, {"a": 10.0, "b": 0.0})


def test_late_span_in_the_past_does_not_disturb_its_open_parent() -> None:
    """A parent that is active across the fold keeps the self time it had."""
    timeline = Timeline()
    timeline.advance(10, [(2, None, 0, "a")])
    timeline.add(3, 2, 4, 6, "b")
    timeline.add(2, None, 0, 12, "a")
    assert timeline.result().self_ns == {"a": 12, "b": 2}


def test_late_spans_are_counted() -> None:
    """The number of late spans is known, repeated ones not included."""
    timeline = Timeline()
    timeline.advance(10, [])
    timeline.add(3, None, 4, 6, "b")
    timeline.add(3, None, 4, 6, "b")
    timeline.add(4, None, 9, 16, "b")
    timeline.add(5, None, 10, 16, "b")
    assert timeline.late == 2


def test_late_span_extends_the_extent() -> None:
    """The wall time before the first span known in time is unattributed."""
    timeline = Timeline()
    timeline.add(2, None, 5, 10, "a")
    timeline.advance(10, [])
    timeline.add(3, None, 2, 6, "b")
    result = timeline.result()
    assert (result.first_ns, result.wall_ns, result.unattributed_ns) == (2, 8, 3)


def test_late_open_span_is_counted() -> None:
    """A span that is first given as open at a later fold is late, and once only."""
    timeline = Timeline()
    timeline.advance(10, [])
    timeline.advance(15, [(2, None, 4, "a")])
    timeline.add(2, None, 4, 20, "a")
    result = timeline.result()
    assert (timeline.late, result.self_ns, result.share_ns) == (1, {"a": 16}, {"a": 10.0})


def test_late_open_span_extends_the_extent() -> None:
    """The extent begins where a late open span says."""
    timeline = Timeline()
    timeline.advance(10, [])
    result = timeline.result(15, [(2, None, 4, "a")])
    assert (result.first_ns, result.share_ns, result.unattributed_ns) == (4, {"a": 5.0}, 6)


def test_span_no_longer_open_is_given_up() -> None:
    """A span that is never finished stops taking its share when it is no longer reported."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "lost"), (3, None, 0, "kept")])
    timeline.advance(10, [(3, None, 0, "kept")])
    timeline.add(3, None, 0, 20, "kept")
    assert timeline.result().share_ns == {"lost": 5.0, "kept": 15.0}


def test_span_given_up_has_no_self_time() -> None:
    """Self time is that of finished spans."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "lost")])
    timeline.advance(10, [])
    assert timeline.result().self_ns == {"lost": 0}


def test_span_given_up_may_still_be_added() -> None:
    """It then has its self time in full, and the share of the time after as a late span."""
    timeline = Timeline()
    timeline.advance(5, [(2, None, 0, "a")])
    timeline.advance(10, [])
    timeline.add(2, None, 0, 12, "a")
    result = timeline.result()
    assert (result.self_ns, result.share_ns, timeline.late) == ({"a": 12}, {"a": 12.0}, 1)


def test_root_is_not_given_up() -> None:
    """A root that is missing among the open spans keeps its execution going."""
    timeline = Timeline(ROOT)
    timeline.advance(5, [(1, None, 0, "r")])
    timeline.advance(10, [])
    timeline.add(2, 1, 10, 20, "a")
    assert timeline.result(20).share_ns == {"a": 10.0}


def test_root_is_not_repeated_after_a_fold() -> None:
    """The root's id is remembered: delivered or given as open again it changes nothing."""
    timeline = timeline_of([Span(1, None, 0, 10, "r")])
    timeline.advance(10, [])
    timeline.add(1, None, 0, 10, "r")
    result = timeline.result(20, [(1, None, 0, "r")])
    assert (result.wall_ns, result.unattributed_ns, result.self_ns) == (10, 10, {"r": 10})


def test_root_repeated_beyond_the_horizon_is_no_root() -> None:
    """Contradictory news of a root that is done does not reopen its execution."""
    timeline = timeline_of([Span(1, None, 0, 10, "r")])
    timeline.advance(10, [])
    timeline.add(1, None, 15, 20, "r")
    result = timeline.result()
    assert (result.wall_ns, result.unattributed_ns, result.root_self_ns) == (10, 10, 10)


def test_time_folded_before_the_root_started_is_taken_back() -> None:
    """If the root turns up in time, a fold before it does no harm."""
    timeline = Timeline(ROOT)
    timeline.add(2, 1, 0, 4, "a")
    timeline.advance(5, [(3, 1, 2, "b")])
    timeline.add(3, 1, 2, 12, "b")
    timeline.add(1, None, 8, 20, "r")
    result = timeline.result()
    assert (result.share_ns, result.unattributed_ns) == ({"a": 0.0, "b": 4.0}, 8)


def test_time_folded_without_a_late_root_stays() -> None:
    """If the root is late, the wall time grows by what was folded, and still adds up."""
    timeline = Timeline(ROOT)
    timeline.add(2, 1, 0, 4, "a")
    timeline.advance(5, [])
    timeline.add(1, None, 2, 9, "r")
    result = timeline.result()
    assert (result.wall_ns, result.share_ns, result.unattributed_ns) == (9, {"a": 4.0}, 5)


def test_late_root_has_its_self_time() -> None:
    """Like any late span's, the part before the horizon counts in full."""
    timeline = Timeline(ROOT)
    timeline.add(2, 1, 0, 4, "a")
    timeline.advance(5, [])
    timeline.add(1, None, 2, 9, "r")
    assert (timeline.result().root_self_ns, timeline.result().self_ns["r"]) == (7, 7)


def test_late_root_may_lie_within_the_folded_time() -> None:
    """A late root does not shorten the wall time that was folded."""
    timeline = Timeline(ROOT)
    timeline.add(2, 1, 0, 10, "a")
    timeline.advance(10, [])
    timeline.add(1, None, 2, 6, "r")
    result = timeline.result()
    assert (result.wall_ns, result.share_ns, result.unattributed_ns) == (10, {"a": 10.0}, 0)


def test_late_open_root_starts_when_it_says() -> None:
    """A root first given as open after a fold begins the wall time at its own start."""
    timeline = Timeline(ROOT)
    timeline.add(2, 1, 4, 8, "a")
    timeline.advance(10, [])
    result = timeline.result(15, [(1, None, 2, "r")])
    assert (result.wall_ns, result.share_ns, result.unattributed_ns) == (13, {"a": 4.0}, 9)


@given(executions(), ROOTS, st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=9))
def test_shares_add_up_whatever_is_reported(
    spans: list[Span], root_id: int | None, steps: list[tuple[int, bool]]
) -> None:
    """Late, forgotten and contradictory reports never make the figures disagree."""
    timeline = Timeline(root_id)
    for index, (instant, truthful) in enumerate(steps):
        for span in spans[index : index + 1]:
            timeline.add(*span)
        timeline.advance(instant, opened(spans[index + truthful :]))
        result = timeline.result(instant, opened(spans[::2]))
        assert sum(result.share_ns.values()) + result.unattributed_ns == pytest.approx(
            result.wall_ns
        )
        assert result.unattributed_ns >= 0
        assert min(result.share_ns.values(), default=0) > -1e-6
        assert min(result.self_ns.values(), default=0) >= 0


AMOUNTS = st.floats(0, 1e12, allow_nan=False)


@given(st.lists(AMOUNTS, max_size=8), AMOUNTS, st.integers(0, 1 << 62))
def test_rounding_adds_up_for_any_amounts(
    amounts: list[float], unattributed: float, wall: int
) -> None:
    """The integers add up to the wall time even if the amounts did not."""
    shares, rest = round_shares(dict(enumerate(amounts)), unattributed, wall)
    assert sum(shares.values()) + rest == wall


@given(st.lists(AMOUNTS, max_size=8), AMOUNTS, st.integers(0, 10**12))
def test_rounding_is_never_negative(amounts: list[float], unattributed: float, wall: int) -> None:
    """No key ends up with less than nothing."""
    shares, rest = round_shares(dict(enumerate(amounts)), unattributed, wall)
    assert min((*shares.values(), rest)) >= 0


@given(st.lists(st.integers(0, 10**12), max_size=8), st.integers(0, 10**12))
def test_rounding_keeps_whole_amounts(amounts: list[int], unattributed: int) -> None:
    """Amounts that are integers and add up are not touched."""
    shares = dict(enumerate(amounts))
    wall = sum(amounts) + unattributed
    assert round_shares(shares, unattributed, wall) == (shares, unattributed)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), st.integers(0, 10**12))
def test_rounding_moves_by_less_than_one(weights: list[int], wall: int) -> None:
    """Each integer is a neighbour of the amount it stands for."""
    amounts = {i: wall * weight / sum(weights) for i, weight in enumerate(weights)}
    shares, _ = round_shares(amounts, 0, wall)
    assert all(abs(shares[i] - amounts[i]) < 1.001 for i in amounts)


def test_rounding_adds_up_where_floats_are_coarse() -> None:
    """A wall time of decades, beyond a float's nanoseconds, is still made up exactly."""
    wall = (1 << 62) - 1
    shares, rest = round_shares({"a": wall / 3, "b": wall / 7}, wall - wall / 3 - wall / 7, wall)
    assert sum(shares.values()) + rest == wall


def test_rounding_gives_to_the_largest_remainders() -> None:
    """The nanoseconds left over go to the largest fractions."""
    assert round_shares({"a": 1.5, "b": 1.6, "c": 1.9}, 0, 5) == ({"a": 1, "b": 2, "c": 2}, 0)


def test_rounding_breaks_ties_in_order() -> None:
    """Of equal fractions the first one is served."""
    assert round_shares({"a": 0.5, "b": 0.5}, 1, 2) == ({"a": 1, "b": 0}, 1)


def test_rounding_nothing_leaves_all_unattributed() -> None:
    """If nobody has any time, the wall time is nobody's."""
    assert round_shares({"a": 0.0}, 0, 7) == ({"a": 0}, 7)


@pytest.mark.parametrize(
    ("share", "unattributed", "wall"),
    [(-1.0, 2, 1), (1.0, -1, 0), (1.0, 0, -1), (float("nan"), 0, 1), (float("inf"), 0, 1)],
)
def test_rounding_refuses_impossible_amounts(share: float, unattributed: int, wall: int) -> None:
    """Negative and non-finite amounts are errors."""
    with pytest.raises(ValueError, match="finite"):
        round_shares({"a": share}, unattributed, wall)
