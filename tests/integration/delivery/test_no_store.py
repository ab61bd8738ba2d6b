"""The store cannot be written, as where the file system is read-only: the receiver gets it all."""

from __future__ import annotations

from pathlib import Path

import pytest

from .figures import figure
from .programs import UNDER_RUN, environment, run, start
from .receivers import Counting

AT_ONCE = 3
MANY = 50_000
END_S = 5.0
"""What receivers get at the end of a program without a store."""
ADDED_S = 1.0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return where no store can be made."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "traces.db"


@pytest.mark.parametrize("delivery", ["thread", "process"])
@pytest.mark.parametrize("spans", [AT_ONCE, MANY])
def test_everything_arrives_once(
    counting: Counting, store: Path, spans: int, delivery: str
) -> None:
    """From a program that ends at once, and from one that ends spans as fast as it can."""
    env = environment(store, counting.endpoint, PHASETRACE_DELIVERY=delivery)
    done = run(env, "phasetrace", "--spans", spans)
    arrivals = counting.arrivals("phasetrace")
    assert arrivals.seqs == set(range(spans))
    assert not arrivals.doubled
    assert not arrivals.repeated
    (line,) = done.stderr.splitlines()
    assert line.endswith("this run is not stored")


def test_it_is_told_at_the_end(counting: Counting, store: Path) -> None:
    """Under ``run``: that the run is not stored, and that it was delivered."""
    env = environment(store, counting.endpoint)
    done = start(env, "phasetrace", "--spans", AT_ONCE, under=UNDER_RUN).finished()
    assert counting.arrivals("phasetrace").seqs == set(range(AT_ONCE))
    assert f"{AT_ONCE + 1} spans delivered to otlp_proto_http from memory" in done.stderr


def test_a_silent_receiver_does_not_hold_up_the_end_for_long(down: Counting, store: Path) -> None:
    """Longer than with a store, where the spans could wait, but not for ever."""
    down.start("silent")
    done = run(environment(store, down.endpoint), "phasetrace", "--spans", AT_ONCE)
    figure(f"the end took {done.exit_s:.2f} s")
    assert done.exit_s <= END_S + ADDED_S
    down.vanish()
