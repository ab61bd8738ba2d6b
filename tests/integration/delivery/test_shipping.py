"""``phasetrace ship``: what the programs themselves do not deliver."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from .programs import Running, environment, run, ship, ship_all, status
from .receivers import Collector, Counting

SPANS = 2000
PATIENCE_S = 20.0


def test_only_ship_delivers_when_delivery_is_off(counting: Counting, store: Path) -> None:
    """All of it, and nothing more at the second time."""
    env = environment(store, counting.endpoint, PHASETRACE_DELIVERY="off")
    run(env, "phasetrace", "--spans", SPANS)
    assert not counting.arrivals("phasetrace").seqs
    assert status(env)["waiting"] == SPANS + 2
    ship_all(env)
    ship_all(env)
    arrivals = counting.arrivals("phasetrace")
    assert arrivals.seqs == set(range(SPANS))
    assert not arrivals.repeated


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_ship_delivers_to_a_real_collector(store: Path, protocol: str) -> None:
    """Over both protocols, what was recorded while it was away."""
    with Collector(protocol) as rotel:
        rotel.vanish()
        env = environment(store, rotel.endpoint, protocol)
        run(env, "phasetrace", "--spans", SPANS)
        rotel.start()
        ship_all(env)
        arrivals = rotel.arrivals("phasetrace")
    assert arrivals.seqs == set(range(SPANS))
    assert not arrivals.doubled


def test_ship_says_that_something_still_waits(down: Counting, store: Path) -> None:
    """With exit code 1, when its time is up, and leaves it for the next."""
    env = environment(store, down.endpoint, PHASETRACE_DELIVERY="off")
    run(env, "phasetrace", "--spans", SPANS)
    before = time.monotonic()
    assert ship(env, "--timeout", 1).returncode == 1
    assert time.monotonic() - before < 5
    assert status(env)["waiting"] == SPANS + 2
    down.start()
    ship_all(env)
    assert down.arrivals("phasetrace").seqs == set(range(SPANS))


def test_replay_sends_an_execution_again(counting: Counting, store: Path) -> None:
    """With the same ids, and only the one that was named."""
    env = environment(store, counting.endpoint, PHASETRACE_DELIVERY="off")
    run(env, "phasetrace", "--spans", SPANS)
    ship_all(env)
    assert ship(env, "--replay", "workload_0").returncode == 0
    arrivals = counting.arrivals("phasetrace")
    assert arrivals.seqs == set(range(SPANS))
    assert arrivals.repeated == 1000
    assert not arrivals.doubled


def test_follow_goes_on_until_it_is_interrupted(counting: Counting, store: Path) -> None:
    """It delivers what programs record after it has started."""
    env = environment(
        store, counting.endpoint, PHASETRACE_DELIVERY="off", OTEL_BSP_SCHEDULE_DELAY="200"
    )
    follower = Running([sys.executable, "-m", "phasetrace", "ship", "--follow"], env)
    try:
        for first in (0, SPANS):
            run(env, "phasetrace", "--spans", SPANS, "--first", first)
            assert arrive(counting, first + SPANS)
        assert follower.process.poll() is None
    finally:
        # Not SIGINT, which a shell switches off for what it starts in the background.
        follower.process.send_signal(signal.SIGTERM)
        done = follower.finished()
    assert "Traceback" not in done.stderr
    assert counting.arrivals("phasetrace").seqs == set(range(2 * SPANS))


def test_follow_says_when_the_receiver_is_back(down: Counting, store: Path) -> None:
    """As it said that it was away; at the end, what was delivered."""
    env = environment(store, down.endpoint, PHASETRACE_DELIVERY="off")
    run(env, "phasetrace", "--spans", SPANS)
    follower = Running([sys.executable, "-m", "phasetrace", "ship", "--follow"], env)
    try:
        follower.wait_for_complaint("cannot deliver to")
        down.start()
        follower.wait_for_complaint("takes spans again")
    finally:
        follower.process.send_signal(signal.SIGTERM)
        done = follower.finished()
    assert "Traceback" not in done.stderr
    assert done.words[-1].endswith(f": {SPANS + 2:,} spans delivered")


def arrive(receiver: Counting, count: int) -> bool:
    """Tell whether so many spans arrive within reasonable time."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if len(receiver.arrivals("phasetrace").seqs) >= count:
            return True
        time.sleep(0.05)
    return False
