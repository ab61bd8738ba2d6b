"""Breakdowns and analyses as data frames, in real pandas and polars."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import polars as pl
import pytest

from phasetrace import analyse, breakdown, execution, node, phase
from phasetrace.frames import dataframe


@pytest.fixture
def recorded() -> str:
    """Record an execution: two nodes with phases, one of which has time of its own."""
    with execution("e"):
        for name in ("a", "b"):
            with node(name, node_type="io"):
                for _ in range(2):
                    with phase("p", **{"gen_ai.usage.input_tokens": 3}):
                        pass
    return "e"


def hide(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    """Make libraries look as if they were not installed."""
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)


def test_a_breakdown_is_a_row_a_phase(recorded: str) -> None:
    """And one for each node's own time; all self times and shares add up."""
    answer = breakdown(recorded)
    frame = answer.to_dataframe()
    assert isinstance(frame, pd.DataFrame)
    assert sorted(zip(frame["node_id"], frame["phase"].fillna(""), strict=True)) == [
        ("a", ""),
        ("a", "p"),
        ("b", ""),
        ("b", "p"),
    ]
    assert frame["share_ns"].sum() + answer.unattributed_ns == answer.execution.duration_ns
    assert frame.groupby("node_id")["self_ns"].sum().tolist() == [
        node.self_ns + sum(phase.self_ns for phase in node.phases)
        for node in sorted(answer.nodes, key=lambda node: node.node_id)
    ]


def test_polars_will_do_as_well(recorded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no pandas."""
    monkeypatch.delitem(sys.modules, "pandas")
    frame = breakdown(recorded).to_dataframe()
    assert isinstance(frame, pl.DataFrame)
    assert frame["count"].sum() == 6


def test_without_either_the_error_says_what_to_install(
    recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else needs them."""
    answer: Any = breakdown(recorded)
    hide(monkeypatch, "pandas", "polars")
    with pytest.raises(ImportError, match="needs pandas or polars"):
        dataframe([], ("a",))
    with pytest.raises(ImportError, match="pip install pandas"):
        answer.to_dataframe()


def test_what_the_program_uses_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pandas, where both are imported."""
    assert isinstance(dataframe([{"a": 1}], ("a",)), pd.DataFrame)
    monkeypatch.delitem(sys.modules, "pandas")
    assert isinstance(dataframe([{"a": 1}], ("a",)), pl.DataFrame)


def test_an_analysis_is_a_row_a_group(recorded: str) -> None:
    """With tokens and the critical path beside the times."""
    frame = analyse(recorded, prices={"*": (1.0, 2.0)}).to_dataframe()
    assert set(frame.columns) >= {"node_id", "phase", "critical_ns", "input_tokens", "cost"}
    assert frame["input_tokens"].sum() == 12


def test_an_analysis_of_nothing_is_a_frame_of_nothing() -> None:
    """An execution without a node."""
    with execution("e"):
        pass
    assert len(analyse("e").to_dataframe()) == 0
    assert len(breakdown("e").to_dataframe()) == 0


def test_importing_phasetrace_imports_neither() -> None:
    """They take a second to import."""
    source = (
        "import sys, phasetrace; phasetrace.breakdown;"
        "assert not {'pandas', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", source], check=True)
