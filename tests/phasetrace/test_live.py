"""Test what is said to be running: the deepest calls, the speed, what is longer than usual."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.live import (
    Activity,
    Known,
    LastCall,
    LiveCall,
    LiveExecution,
    OpenSpan,
    Speed,
    deepest,
    enough,
    in_order,
    last_call,
    nested,
    rank,
)
from tests.phasetrace.analysis.timelines import span

S = 1_000_000_000


def call(age_ns: int, known: Known | None, alive: bool = True) -> LiveCall:
    """Return an open call."""
    return LiveCall("n", "p", 0, age_ns, alive, known)


def execution(exec_id: str, status: str = "running", started_ns: int = 0) -> LiveExecution:
    """Return an execution that has just begun, or ended an instant after that."""
    ended_ns = None if status == "running" else started_ns + 1
    return LiveExecution(
        exec_id, None, status, "0" * 32, None, started_ns, 1, ended_ns, 0, 0, 0, 0, None, (), None
    )


def test_longer_than_usual_is_a_tenth_more_than_the_longest() -> None:
    """Of those that are known; not the longest itself, and nothing of a process that is gone."""
    assert not call(110, Known(5, 100)).is_longer_than_usual
    assert call(111, Known(5, 100)).is_longer_than_usual
    assert not call(111, Known(5, 100), alive=False).is_longer_than_usual
    assert not call(111, None).is_longer_than_usual


def test_a_few_calls_do_not_tell_what_is_usual() -> None:
    """It takes five."""
    assert enough(Known(4, 10)) is None
    assert enough(Known(5, 10)) == Known(5, 10)


def test_known_calls_add_up() -> None:
    """The longest of both is the longest."""
    assert Known(2, 30) + Known(3, 10) == Known(5, 30)


def test_the_deepest_calls_have_no_open_one_in_them() -> None:
    """The execution itself is no call; those that began first come first."""
    spans = [
        OpenSpan(1, None, "execution", "e", None, 0, True),
        OpenSpan(2, 1, "node", "a", "a", 10, True),
        OpenSpan(3, 2, "phase", "p", "a", 30, True),
        OpenSpan(4, 1, "node", "b", "b", 20, True),
    ]
    assert [one.span_id for one in deepest(spans)] == [4, 3]


def test_the_last_call_is_the_one_that_ended_last() -> None:
    """Whatever order they are stored in; the execution's own span is none."""
    spans = [span(2, 1, 0, 20, "a", "p"), span(3, 1, 0, 10, "b"), span(1, None, 0, 30)]
    assert last_call(spans, None) == LastCall("a", "p", 20)
    assert last_call(spans, LastCall("c", None, 25)) == LastCall("c", None, 25)
    assert last_call([], None) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50)), min_size=2, max_size=30))
def test_the_speed_is_that_of_the_last_seconds(steps: list[tuple[int, int]]) -> None:
    """By the last look that is as long ago as the window, or longer; else by the first."""
    speed, at_ns, number, seen, result = Speed(5 * S), 0, 0, [], None
    for seconds, more in steps:
        at_ns, number = at_ns + seconds * S, number + more
        seen.append((at_ns, number))
        result = speed.note(at_ns, number)
    before = [one for one in seen if one[0] <= at_ns - 5 * S]
    first_ns, first = before[-1] if before else seen[0]
    assert result == (number - first) * 1e9 / (at_ns - first_ns)


def test_one_look_tells_no_speed() -> None:
    """It takes two, at different times; and numbers that go down (a store anew) are no speed."""
    speed = Speed()
    assert speed.note(S, 10) is None
    assert speed.note(S, 20) is None
    assert speed.note(2 * S, 5) == 0


def test_running_executions_come_first() -> None:
    """The oldest of them first; then those that were abandoned, and those that have ended."""
    shuffled = [
        execution("ended", "ok", 30),
        execution("newer", started_ns=20),
        execution("gone", "abandoned", 10),
        execution("older", started_ns=10),
        execution("ended earlier", "error", 20),
    ]
    assert [one.exec_id for one in in_order(shuffled)] == [
        "older",
        "newer",
        "gone",
        "ended",
        "ended earlier",
    ]


def test_executions_come_after_the_ones_that_they_are_in() -> None:
    """At any depth; but what runs is not below what does not."""
    within = {"b": "a", "c": "b", "d": "a", "e": "ended", "f": "gone from here"}
    names = ["f", "e", "d", "c", "b", "a"]
    some = [execution(one)._replace(parent_exec_id=within.get(one)) for one in names]
    some.append(execution("ended", "ok"))
    assert [(one.exec_id, depth) for one, depth in nested(some)] == [
        ("f", 0),
        ("e", 0),
        ("a", 0),
        ("d", 1),
        ("b", 1),
        ("c", 2),
        ("ended", 0),
    ]


@given(st.lists(st.tuples(st.sampled_from(["running", "abandoned", "ok"]), st.integers(-1, 7))))
def test_each_execution_is_there_once(made: list[tuple[str, int]]) -> None:
    """Also where some are said to be within each other."""
    some = [
        execution(str(at), status)._replace(parent_exec_id=str(parent) if parent >= 0 else None)
        for at, (status, parent) in enumerate(made)
    ]
    found = nested(some)
    assert sorted(one.exec_id for one, _ in found) == sorted(one.exec_id for one in some)
    path: list[LiveExecution] = []
    for one, depth in found:
        del path[depth:]
        assert len(path) == depth
        assert not path or one.parent_exec_id == path[-1].exec_id
        assert not path or rank(path[-1]) <= rank(one)
        path.append(one)


def test_the_speeds_of_all_are_added_up() -> None:
    """Of those that have one."""
    some = [execution("a")._replace(spans_per_s=2.0), execution("b")]
    assert Activity(0, tuple(some)).spans_per_s == 2.0
    assert Activity(0, tuple(some[1:])).spans_per_s is None
