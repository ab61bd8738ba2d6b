"""A program ends while the receiver is away: at once, and what is left is shipped later."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .figures import figure
from .programs import UNDER_RUN, Finished, environment, run, ship_all, start, status
from .receivers import Counting, black_hole

SPANS = 1000
ADDED_S = 1.0

STDERR_LINES = {"exit": 1, "sigterm under run": 4, "sigterm handled": 1}
"""Why something waits may be said, and what ``run`` says at every end; no more."""

ENDINGS = ("exit", "sigterm under run", "sigterm handled")
AWAY = ("closed", "black hole", "silent", "trickle")


@contextmanager
def away(receiver: Counting, how: str) -> Iterator[None]:
    """Keep a receiver from being of any use."""
    if how == "black hole":
        with black_hole(receiver.port):
            yield
        return
    if how != "closed":
        receiver.start(how)
    yield
    receiver.vanish()


def ended(env: dict[str, str], ending: str) -> tuple[Finished, float]:
    """Run the program to an end of this kind; return how long the end took, too, in seconds."""
    if ending == "exit":
        done = run(env, "phasetrace", "--spans", SPANS)
        return done, done.exit_s
    under = UNDER_RUN if ending == "sigterm under run" else (sys.executable,)
    options = ["--handle-signals"] if ending == "sigterm handled" else []
    running = start(env, "phasetrace", "--spans", SPANS, "--linger", 60, *options, under=under)
    running.wait_for("done")
    signalled_ns = time.monotonic_ns()
    running.process.send_signal(signal.SIGTERM)
    done = running.finished()
    assert done.returncode == -signal.SIGTERM, done.stderr
    return done, (done.ended_ns - signalled_ns) / 1e9


@pytest.fixture(scope="module", params=ENDINGS)
def ending(request: pytest.FixtureRequest) -> str:
    """Return how the program is to end."""
    return str(request.param)


@pytest.fixture(scope="module")
def without_exporter_s(ending: str, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return how long this end takes without an exporter."""
    env = environment(tmp_path_factory.mktemp("without") / "traces.db")
    return ended(env, ending)[1]


@pytest.mark.parametrize("how", AWAY)
def test_the_end_is_quick_and_loses_nothing(
    down: Counting, store: Path, ending: str, without_exporter_s: float, how: str
) -> None:
    """However the receiver is away, and however the program ends."""
    env = environment(store, down.endpoint)
    with away(down, how):
        done, taken_s = ended(env, ending)
    added_s = taken_s - without_exporter_s
    figure(f"{ending}, {how}: {added_s:+.2f} s")
    down.start()
    ship_all(env)
    arrivals = down.arrivals("phasetrace")
    assert arrivals.seqs == set(range(SPANS))
    assert not arrivals.doubled
    assert status(env)["waiting"] == 0
    assert added_s <= ADDED_S
    assert len(done.stderr.splitlines()) <= STDERR_LINES[ending], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", AWAY)
def test_the_stock_sdk_for_comparison(down: Counting, store: Path, how: str) -> None:
    """The control: what it loses, and how long its end takes (up to 20 seconds are waited)."""
    with away(down, how):
        running = start(environment(store, down.endpoint), "stock", "--spans", SPANS)
        running.wait_for_report(20)
        done = running.finished()
    down.start()
    arrived = len(down.arrivals("phasetrace").seqs)
    took = f"{done.exit_s:.1f} s" if done.report else "did not end"
    figure(f"stock SDK, {how}: {SPANS - arrived} of {SPANS} lost, end: {took}")
    assert arrived == 0


@pytest.mark.parametrize("how", AWAY)
def test_force_flush_keeps_its_deadline(down: Counting, store: Path, how: str) -> None:
    """It says False, within 10 percent of the time it was given."""
    with away(down, how):
        env = environment(store, down.endpoint)
        report = run(env, "phasetrace", "--spans", SPANS, "--flush", 1.0).report
    assert report["flushed"] is False
    assert report["flush_s"] <= 1.1
