"""Test baselines: medians of several executions, and their file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.analysis.usage import Price
from phasetrace.budgets.baseline import (
    baseline_document,
    baseline_of,
    read_baseline,
)
from phasetrace.errors import ConfigError
from phasetrace.spans import PhaseKey
from tests.phasetrace.budgets.executions import MS, PIPELINE, measured, recording

NODE = PhaseKey("n", None)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=7))
def test_medians(durations: list[int]) -> None:
    """Of each figure, in whole nanoseconds."""
    runs = [measured(recording(("n", None, 0, ms / 1_000_000))) for ms in durations]
    figures = baseline_of(runs).figures
    lasted = [run.figures.nodes[NODE]["total"] for run in runs]
    known = [figure for figure in lasted if figure is not None]
    assert figures.nodes[NODE]["total"] == math.floor(median(known))
    assert isinstance(figures.nodes[NODE]["total"], int)


def test_what_only_some_have() -> None:
    """Its median is that of those."""
    with_it = recording(("n", None, 0, 10), ("m", None, 10, 12))
    without = recording(("n", None, 0, 20))
    baseline = baseline_of([measured(one) for one in (without, with_it, without)])
    assert baseline.figures.nodes[NODE]["total"] == 20 * MS
    assert baseline.figures.nodes[PhaseKey("m", None)]["total"] == 2 * MS
    assert baseline.exec_ids == ("exec_1",) * 3


def test_a_file_and_back(tmp_path: Path) -> None:
    """Everything is as it was, and the file can be read by people and by other programs."""
    run = measured(PIPELINE, {"gpt-*": Price(2.5, 10.0)})
    path = tmp_path / "baseline.json"
    text = json.dumps(baseline_document([run]), indent=2)
    path.write_text(text)
    assert read_baseline(path) == baseline_of([run])
    document = json.loads(text)
    assert document["schema"] == "phasetrace.baseline/1"
    assert document["executions"][0]["exec_id"] == "exec_1"
    assert document["whole"]["duration_ns"] == 10_000 * MS
    (draft,) = [one for one in document["phases"] if one["phase"] == "draft"]
    assert (draft["node_id"], draft["total_ns"], draft["cost"]) == ("plan", 2_430 * MS, None)


def test_quantities_that_a_file_lacks(tmp_path: Path) -> None:
    """One of an earlier version may have fewer; there is nothing to be held against then."""
    document = baseline_document([measured(PIPELINE)])
    del document["whole"]["spans"]
    document["whole"]["of a later version"] = 1
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(document))
    assert "spans" not in read_baseline(path).figures.whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "cannot read the baseline .*: No such file or directory; --save-baseline writes one",
        ),
        ("{", "is no baseline: "),
        ("\xff", "is no baseline: "),
        ("[]", "is no baseline: expected JSON with the schema phasetrace.baseline/1"),
        ('{"schema": "phasetrace.check/1"}', "is no baseline: expected JSON"),
        (
            '{"schema": "phasetrace.baseline/2"}',
            "is a phasetrace.baseline/2, written by another version; this one reads"
            " phasetrace.baseline/1",
        ),
        ('{"schema": "phasetrace.baseline/1"}', "is a damaged baseline .'executions'.: save"),
    ],
)
def test_what_is_no_baseline(content: str | None, message: str, tmp_path: Path) -> None:
    """It is said what is wrong with it."""
    path = tmp_path / "baseline.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=message):
        read_baseline(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration_ns", "1"),
        ("duration_ns", 1.5),
        ("duration_ns", True),
        ("duration_ns", []),
        ("unattributed", "1"),
        ("unattributed", False),
        ("unattributed", math.nan),
        ("unattributed", -math.inf),
    ],
)
def test_what_is_no_figure(field: str, value: Any, tmp_path: Path) -> None:
    """A damaged file is not taken for a fast execution."""
    document = baseline_document([measured(PIPELINE)])
    document["whole"][field] = value
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=rf"damaged baseline \({field} is "):
        read_baseline(path)


@pytest.mark.parametrize("field", ["duration_ns", "unattributed"])
def test_a_figure_beyond_all_numbers_is_damage(field: str, tmp_path: Path) -> None:
    """JSON has integers of any length."""
    document = baseline_document([measured(PIPELINE)])
    document["whole"][field] = 10**400
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="is a damaged baseline"):
        read_baseline(path)
