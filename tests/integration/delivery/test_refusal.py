"""A receiver that refuses a span for good does not keep the others."""

from __future__ import annotations

from pathlib import Path

from .programs import environment, run, ship_all, status
from .receivers import Counting

SPANS = 10_000
POISONED = 4321


def test_one_poisoned_span_is_the_only_one_refused(down: Counting, store: Path) -> None:
    """Every request that holds it is answered with 400, and it is shown."""
    down.start("refuse")
    env = environment(store, down.endpoint)
    run(env, "phasetrace", "--spans", SPANS, "--poison", POISONED)
    ship_all(env)
    arrivals = down.arrivals("phasetrace")
    assert arrivals.seqs == set(range(SPANS)) - {POISONED}
    assert not arrivals.doubled
    counts = status(env)
    assert counts["refused"] == 1
    assert counts["waiting"] == 0
    assert counts["delivered"] == counts["stored"] - 1


def test_a_busy_receiver_gets_it_all_later(down: Counting, store: Path) -> None:
    """503 is no refusal."""
    down.start("busy")
    env = environment(store, down.endpoint)
    run(env, "phasetrace", "--spans", SPANS)
    assert not down.arrivals("phasetrace").seqs
    down.start()
    ship_all(env)
    assert down.arrivals("phasetrace").seqs == set(range(SPANS))
    counts = status(env)
    assert counts["refused"] == 0
    assert counts["delivered"] == counts["stored"]
