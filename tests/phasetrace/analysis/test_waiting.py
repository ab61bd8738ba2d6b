"""Test the time for which nodes waited against its definition."""

from __future__ import annotations

from hypothesis import given

from phasetrace.analysis.network import WHOLE
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.replay import Replay
from phasetrace.analysis.waiting import waiting
from tests.phasetrace.analysis import oracles
from tests.phasetrace.analysis.timelines import executions, network, recording, span


@given(executions())
def test_a_node_waits_from_when_all_was_done(of: Recording) -> None:
    """For each nanosecond before its start in which its dependencies and what it is in allowed it.

    Nothing is said of nodes that do not depend on anything that is there, or on what went on.
    """
    found = network(of)
    expected = {}
    for place in range(len(found.starts)):
        runs = oracles.waited_for(found, place)
        if runs and all(found.ends[run] <= found.starts[place] for run in runs):
            began_in = found.starts[oracles.begins_in(found, place)]
            expected[place] = sum(
                began_in <= now and all(found.ends[run] <= now for run in runs)
                for now in range(found.starts[WHOLE], found.starts[place])
            )
    assert waiting(found) == expected


@given(executions())
def test_the_time_that_a_node_waited_is_its_lag_in_a_replay(of: Recording) -> None:
    """Without it the node starts when all that it waited for is done."""
    found = network(of)
    replay = Replay(found)
    assert all(replay.start_lag(place) == wait for place, wait in waiting(found).items())


def test_a_node_waits_no_longer_than_what_it_is_in() -> None:
    """Before that had started, nothing could have started in it."""
    of = recording(
        span(1, None, 0, 20),
        span(2, 1, 0, 5, "x"),
        span(3, 1, 10, 20, "p"),
        span(4, 3, 16, 20, "n", depends_on=["x"]),
    )
    assert waiting(network(of)) == {3: 6}


def test_a_node_that_runs_again_waits_for_itself() -> None:
    """Its runs follow each other, whatever has been done long before."""
    of = recording(
        span(1, None, 0, 20),
        span(2, 1, 0, 2, "x"),
        span(3, 1, 3, 8, "n", depends_on=["x"]),
        span(4, 1, 9, 20, "n", depends_on=["x"]),
    )
    assert waiting(network(of)) == {2: 1, 3: 1}
