"""What is compared of a run's executions, and where it comes from."""

from __future__ import annotations

import pytest

import phasetrace
from phasetrace import configuration, execution, node, phase
from phasetrace.cli import recorded as module
from phasetrace.cli.main_execution import Recorded
from phasetrace.cli.recorded import recorded


def found(own: str = "", *exec_ids: str) -> list[Recorded]:
    """Shut down, and return what is known of these executions."""
    phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    return recorded(tracing, exec_ids, own)


@pytest.mark.parametrize("store", ["traces.db", "off", "/dev/null/traces.db"])
def test_the_store_and_the_collector_tell_the_same(
    store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """How long, how much of it is covered, and what was started in what."""
    monkeypatch.setenv("PHASETRACE_STORE", store if store != "traces.db" else f"{tmp_path}/{store}")
    with execution("outer"), phase("around"), execution("inner"):
        pass
    with execution("empty"):
        pass
    outer, inner, empty = found("", "outer", "inner", "nobody's", "empty")
    assert (outer.exec_id, outer.within) == ("outer", None)
    assert (inner.exec_id, inner.within) == ("inner", "outer")
    assert (empty.exec_id, empty.within) == ("empty", None)
    assert outer.started_ns < inner.started_ns < empty.started_ns
    assert 0 == inner.covered_ns < inner.duration_ns < outer.covered_ns < outer.duration_ns
    assert empty.covered_ns == 0 < empty.duration_ns


def test_of_very_many_the_latest_are_compared_and_the_runs_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is among the first."""
    monkeypatch.setattr(module, "MOST_COMPARED", 2)
    ids = ["own", "a", "b", "c"]
    for exec_id in ids:
        with execution(exec_id), node("n"):
            pass
    assert [one.exec_id for one in found("own", *ids)] == ["own", "b", "c"]
    assert [one.exec_id for one in found("", *ids)] == ["b", "c"]
