"""Test what a phase took over the runs of a workflow, where runs are odd."""

from __future__ import annotations

from typing import Any

import pytest

from phasetrace.breakdowns import ExecutionBreakdown, OpenSpan, breakdown_of
from phasetrace.errors import UsageError
from phasetrace.recordings.series import MILLION, QUANTITIES, Run, Series, series_of
from phasetrace.spans import PhaseKey, SpanRecord
from phasetrace.store.stored import StoredExecution, header_of

S = 1_000_000_000


def stored(exec_id: str = "e", status: str = "ok", duration_ns: int = 10 * S) -> StoredExecution:
    """Return an execution that nothing else is known of."""
    return StoredExecution(
        1, exec_id, "nightly", "0" * 32, 1, None, status, 0, duration_ns, 2, 0, 1
    )


def phase(node_id: str, name: str, seconds: int) -> SpanRecord:
    """Return a phase right below the root, from the start on."""
    return SpanRecord(hash((node_id, name)), 1, "phase", name, node_id, None, 0, seconds * S, "ok")


class OneExecution:
    """A source with one execution of these spans, ten seconds long."""

    def __init__(self, *spans: SpanRecord, opened: tuple[OpenSpan, ...] = ()) -> None:
        self._spans = (SpanRecord(1, None, "execution", "e", None, None, 0, 10 * S, "ok"), *spans)
        self._opened = opened

    def breakdown(self, execution: StoredExecution) -> ExecutionBreakdown:
        """Return where the time of the one execution went."""
        return breakdown_of(header_of(execution), self._spans, 1, self._opened)


def value_of(source: OneExecution, of: str, phase: str = "n/p") -> int | None:
    """Return the value of the one execution."""
    anything: Any = source
    (run,) = series_of(anything, "nightly", [stored()], phase, of).runs
    return run.value


@pytest.mark.parametrize("of", ["total", "self", "p95"])
def test_a_phase_that_has_not_ended_has_taken_nothing_yet(of: str) -> None:
    """That is not the same as no time."""
    going_on = OneExecution(opened=((7, 1, 4 * S, PhaseKey("n", "p")),))
    with pytest.raises(UsageError, match=f"no call of 'n/p' has ended .* so that it has no {of}"):
        value_of(going_on, of)
    assert value_of(going_on, "share") == 0.6 * MILLION


def test_a_node_without_calls_has_what_its_phases_have() -> None:
    """Its total is theirs, as in the breakdown; there is nothing to have quantiles of."""
    source = OneExecution(phase("n", "p", 3), phase("n", "q", 2))
    assert value_of(source, "total", "n") == 5 * S
    with pytest.raises(UsageError, match="no call of 'n' has ended"):
        value_of(source, "p95", "n")


def test_a_slash_may_be_anywhere() -> None:
    """In ids of nodes, in names of phases; a phase goes before a node that is called so."""
    source = OneExecution(phase("a/b", "c", 1), phase("a", "x/y", 2), phase("a/b/c", "d", 4))
    assert value_of(source, "total", "a/b/c") == S
    assert value_of(source, "total", "a/b") == S
    assert value_of(source, "total", "a/x/y") == 2 * S
    assert value_of(source, "total", "a/b/c/d") == 4 * S


def test_the_latest_is_not_what_it_is_held_against() -> None:
    """It takes five others, of which none counts that did not end well."""
    runs = [Run(stored(f"e{at}"), 4 * S) for at in range(5)]
    slow = Run(stored("slow"), 9 * S)
    failed = Run(stored("failed", "error"), S)
    total = QUANTITIES["total"]
    assert Series("nightly", None, total, (slow, *runs[:4], failed)).verdict() is None
    verdict = Series("nightly", None, total, (slow, *runs)).verdict()
    assert verdict is not None
    assert (verdict.what, verdict.usual.max_ns) == ("slower", 4 * S)
    assert Series("nightly", None, QUANTITIES["share"], (slow, *runs)).verdict() is None
    assert Series("nightly", None, total, (failed,)).summary() is None
