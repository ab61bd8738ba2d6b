"""Test replays and slacks against the constraints that they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.network import WHOLE
from phasetrace.analysis.path import critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.replay import Replay
from tests.phasetrace.analysis import oracles
from tests.phasetrace.analysis.timelines import executions, network

CHOICES = st.lists(st.integers(0, 10), max_size=4)


@given(executions())
def test_nothing_changed_takes_what_it_took(of: Recording) -> None:
    """A replay of what happened is what happened."""
    found = network(of)
    assert Replay(found).duration() == found.ends[WHOLE] - found.starts[WHOLE]


@given(executions())
def test_lags_are_those_of_the_definition(of: Recording) -> None:
    """The time since the last event on the timelines that a start waits for, or has to."""
    found = network(of)
    replay = Replay(found)
    had_to = oracles.lags(found, in_turn=False).lags
    in_turn = oracles.lags(found, in_turn=True).lags
    for place in range(1, len(found.starts)):
        assert replay.start_lag(place) == had_to[place, False]
        assert replay.turn_lag(place) == in_turn[place, False]


@given(executions(), CHOICES)
def test_spans_that_take_no_time_leave_the_rest(of: Recording, choices: list[int]) -> None:
    """Every event comes its lag after what it waits for, those of the timeless ones at once."""
    found = network(of)
    places = [place for place in choices if place < len(found.starts)]
    expected = oracles.without(found, places, oracles.lags(found, in_turn=True))
    assert Replay(found).duration(without=places) == expected


@given(executions(), st.dictionaries(st.integers(1, 10), st.integers(0, 40), max_size=4))
def test_spans_may_begin_after_other_times(of: Recording, given_lags: dict[int, int]) -> None:
    """Other lags of starts, everything else as it was."""
    found = network(of)
    chosen = {place: lag for place, lag in given_lags.items() if place < len(found.starts)}
    changed = {(place, False): lag for place, lag in chosen.items()}
    expected = oracles.relaxed(found, oracles.lags(found, in_turn=True), changed)
    assert Replay(found).duration(start_lags=chosen) == expected


@given(executions(), st.integers(1, 10))
def test_slack_is_the_most_that_changes_nothing(of: Recording, choice: int) -> None:
    """To start or end so much later does no harm, and a nanosecond more does.

    What may come later to the very end of the execution is not asked for more.
    """
    found = network(of)
    place = 1 + choice % max(1, len(found.starts) - 1)
    if place >= len(found.starts):
        return
    constraints = oracles.lags(found, in_turn=False)
    wall_ns = found.ends[WHOLE] - found.starts[WHOLE]
    slack_ns = Replay(found).slacks()[place]

    def later_by(delay_ns: int) -> int:
        """Return how long the execution takes if a span starts later, or if it ends later."""
        return max(
            oracles.relaxed(found, constraints, {event: constraints.lags[event] + delay_ns})
            for event in ((place, False), (place, True))
        )

    rest_ns = found.ends[WHOLE] - found.ends[place]
    assert 0 <= slack_ns <= rest_ns
    assert later_by(slack_ns) == wall_ns
    assert slack_ns == rest_ns or later_by(slack_ns + 1) > wall_ns


@given(executions())
def test_what_is_on_the_critical_path_has_no_slack(of: Recording) -> None:
    """Neither may who owns a part of it come later."""
    found = network(of)
    slacks = Replay(found).slacks()
    for segment in critical_path(found):
        assert slacks[segment.place] == 0


@given(executions(), CHOICES)
def test_a_saving_is_no_longer_than_its_spans(of: Recording, choices: list[int]) -> None:
    """Nothing gains by more than the time in which what takes no time was active."""
    found = network(of)
    places = [place for place in choices if place < len(found.starts)]
    gone = oracles.timeless(found, places)
    whole = range(found.starts[WHOLE], found.ends[WHOLE])
    active_ns = sum(bool(oracles.active_at(found, gone, now)) for now in whole)
    saving_ns = len(whole) - Replay(found).duration(without=places)
    assert 0 <= saving_ns <= active_ns


@given(executions(), CHOICES)
def test_a_saving_is_no_more_than_its_part_of_the_path(of: Recording, choices: list[int]) -> None:
    """What is not on the critical path was not waited for, unless a node waited in vain."""
    found = network(of)
    places = [place for place in choices if place < len(found.starts)]
    gone = oracles.timeless(found, places)
    owned_ns = sum(
        segment.end_ns - segment.start_ns
        for segment in critical_path(found)
        if segment.place in gone or segment.waiting is not None
    )
    wall_ns = found.ends[WHOLE] - found.starts[WHOLE]
    assert wall_ns - Replay(found).duration(without=places) <= owned_ns
