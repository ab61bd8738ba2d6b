"""Under logfire: its provider stands for one of the SDK's, which it makes anew when configured."""

from __future__ import annotations

from pathlib import Path

from .claims import (
    assert_kept,
    assert_once,
    assert_quiet,
    exec_id_of,
    places,
)
from .process import Outcome, run, stored
from .work import COUNTS, EARLY, EXEC_ID, PLACES

_PROVIDER = "logfire._internal.tracer.ProxyTracerProvider"


def assert_good(outcome: Outcome) -> None:
    """Assert all that has to be true under logfire, but for the parent of the execution."""
    assert_quiet(outcome)
    assert_kept(outcome, _PROVIDER)
    assert outcome.seen["counts"] == COUNTS
    below = [place for place in PLACES if place[0] != EXEC_ID]
    spans = stored(outcome, EXEC_ID)
    assert_once(span_id for span_id, *_ in spans)
    assert [place for place in places(spans) if place[0] != EXEC_ID] == below
    assert_once(span["context"]["span_id"] for span in outcome.exported)
    exported = {
        int(span["context"]["span_id"], 16): span["attributes"].get("node_id")
        for span in outcome.exported
        if exec_id_of(span) == EXEC_ID
    }
    assert exported == {span_id: node_id for span_id, _, _, node_id in spans}


def test_phases_are_made_through_logfire(tmp_path: Path) -> None:
    """Its exporter gets every phase once, and ``logfire.span`` is counted among them."""
    assert_good(run(tmp_path, "logfire", "work"))


def test_logfire_may_come_later(tmp_path: Path) -> None:
    """What was recorded before stays ours; from then on phases are made through logfire."""
    outcome = run(tmp_path, "early", "logfire", "work")
    assert_good(outcome)
    assert "warm up" not in {span["name"] for span in outcome.exported}
    assert [name for *_, name, node in stored(outcome, EARLY) if node == "early"] == ["warm up"]


def test_logfire_may_be_configured_again(tmp_path: Path) -> None:
    """It replaces the provider behind its own then; nothing is missed, nor taken twice."""
    assert_good(run(tmp_path, "logfire", "early-execution", "logfire", "work"))


def test_roots_come_before_the_end_of_logfire(tmp_path: Path) -> None:
    """An implicit execution gets its root before the provider is shut down, which would warn."""
    assert_good(run(tmp_path, "logfire", "early", "logfire", "work"))


def test_libraries_may_configure_phasetrace_beside_it(tmp_path: Path) -> None:
    """Neither the first call nor another one with other settings comes between."""
    outcome = run(
        tmp_path, "library-one", "logfire", "library-two", "work", env={"SECOND_SERVICE": "another"}
    )
    assert_good(outcome)


def test_the_execution_is_the_root_of_its_trace(tmp_path: Path) -> None:
    """Its span has no parent, as with any other provider."""
    assert places(stored(run(tmp_path, "logfire", "work"), EXEC_ID)) == PLACES
