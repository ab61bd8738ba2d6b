"""Two libraries in one process that configure phasetrace, each for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from .claims import (
    assert_kept,
    assert_once,
    assert_quiet,
    assert_right_at_the_host,
    assert_right_locally,
)
from .process import run, stored
from .work import EARLY

_SAME: dict[str, str] = {}
_DIFFERENT = {"SECOND_SERVICE": "another", "SECOND_TIMING": "timing.log"}
_ORDERS = {
    "before": ("sdk", "library-one", "early", "library-two", "work"),
    "between": ("library-one", "early", "sdk", "library-two", "work"),
    "after": ("library-one", "early", "library-two", "sdk", "work"),
}


@pytest.mark.parametrize("settings", [_SAME, _DIFFERENT], ids=["same", "different"])
@pytest.mark.parametrize("steps", _ORDERS.values(), ids=_ORDERS)
def test_the_application_has_a_provider(
    tmp_path: Path, steps: tuple[str, ...], settings: dict[str, str]
) -> None:
    """Whenever it sets it: it is kept, and gets every span of what comes then once."""
    outcome = run(tmp_path, *steps, env=settings)
    assert_kept(outcome, "opentelemetry.sdk.trace.TracerProvider")
    assert_quiet(outcome)
    assert_right_locally(outcome)
    assert_right_at_the_host(outcome)
    assert_once(span_id for span_id, *_ in stored(outcome, EARLY))
    _assert_timing_log(tmp_path, settings)


@pytest.mark.parametrize("settings", [_SAME, _DIFFERENT], ids=["same", "different"])
def test_the_application_has_none(tmp_path: Path, settings: dict[str, str]) -> None:
    """Then ours is the global one, and the latest configuration counts."""
    outcome = run(tmp_path, "library-one", "early", "library-two", "listen", "work", env=settings)
    assert not outcome.seen["had_a_host"]
    assert outcome.seen["provider"] == "phasetrace.provider.TracerProvider"
    assert_quiet(outcome)
    assert_right_locally(outcome)
    assert_right_at_the_host(outcome)
    assert_once(span_id for span_id, *_ in stored(outcome, EARLY))
    _assert_timing_log(tmp_path, settings)


def _assert_timing_log(folder: Path, settings: dict[str, str]) -> None:
    if "SECOND_TIMING" in settings:
        lines = (folder / settings["SECOND_TIMING"]).read_text(encoding="utf-8").splitlines()
        assert sum("exec_id=exec_1 node_id=fetch phase=check" in line for line in lines) == 3
