"""Tokens of models, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from phasetrace.analysis.groups import BY
from phasetrace.analysis.usage import Price, Spent, spent, usage_of
from phasetrace.spans import Usage

from .examples import examined, execution, phase

PRICES = {"gpt-4o": Price(2.5, 10.0), "claude-*": Price(3.0, 15.0)}


@pytest.mark.parametrize(
    ("attributes", "usage"),
    [
        ({}, None),
        ({"model": "m"}, None),
        ({"model": "m", "gen_ai.usage.input_tokens": 3}, Usage(3, 0, "m")),
        ({"gen_ai.usage.input_tokens": 3}, Usage(3)),
        ({"gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 4}, Usage(3, 4)),
        ({"gen_ai.usage.output_tokens": 4, "gen_ai.request.model": "m"}, Usage(0, 4, "m")),
        (
            {
                "gen_ai.usage.output_tokens": 4,
                "gen_ai.request.model": "m",
                "gen_ai.response.model": "m-2026",
            },
            Usage(0, 4, "m-2026"),
        ),
        ({"gen_ai.usage.cost": 0.25}, Usage(0, 0, None, 0.25)),
        ({"gen_ai.usage.input_tokens": True}, None),
        ({"gen_ai.usage.input_tokens": -1}, None),
        ({"gen_ai.usage.input_tokens": float("nan")}, None),
        ({"gen_ai.usage.input_tokens": "many"}, None),
    ],
)
def test_usage_is_what_the_attributes_say(attributes: dict[str, Any], usage: Usage | None) -> None:
    """By the names of today and of before; what is no number of tokens is nothing."""
    assert usage_of(attributes) == usage


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1_000_000, 0, "gpt-4o"), 2.5),
        (Usage(0, 1_000_000, "gpt-4o"), 10.0),
        (Usage(1_000_000, 1_000_000, "claude-x"), 18.0),
        (Usage(1_000_000, 0, "gpt-4o-2024-08-06"), 2.5),
        (Usage(1_000_000, 0, "gpt-4o-20240806"), 2.5),
        (Usage(1_000_000, 0, "gpt-4o", cost=1.25), 1.25),  # the program knows better
    ],
)
def test_cost_goes_by_the_table(usage: Usage, cost: float) -> None:
    """A model's own price, whatever its release, that of a pattern, or what the program says."""
    assert spent(usage, PRICES).cost == pytest.approx(cost)


@pytest.mark.parametrize("model", ["unknown", "gpt-4o-mini", "gpt-4o-mini-2024-08-06", None])
def test_what_has_no_price_is_counted_apart(model: str | None) -> None:
    """A sum that leaves something out says so."""
    assert spent(Usage(3, 4, model), PRICES) == Spent(3, 4, None, unpriced=7)


def test_usage_adds_up_by_phase_and_node() -> None:
    """With what is known of the cost."""
    examination = examined(
        execution(10),
        phase(2, 1, "call", 0, 5, usage=Usage(1_000_000, 0, "gpt-4o")),
        phase(3, 1, "call", 5, 9, usage=Usage(0, 500_000, "gpt-4o")),
        phase(4, 1, "other", 9, 10, usage=Usage(5, 0, "unknown")),
        prices=PRICES,
    )
    calls, other = examination.groups(BY["phase"]).rows
    assert calls.usage == Spent(1_000_000, 500_000, 7.5)
    assert other.usage == Spent(5, 0, None, unpriced=5)
    (whole,) = examination.groups(BY["node"]).rows
    assert whole.usage == Spent(1_000_005, 500_000, 7.5, unpriced=5)


def test_what_is_said_twice_counts_once() -> None:
    """A phase around an instrumented client, and an agent around its calls."""
    whole = Usage(300, 30, "gpt-4o", cost=3.0)
    one = Usage(100, 10, "gpt-4o", cost=1.0)
    examination = examined(
        execution(100),
        phase(2, 1, "agent", 0, 100, usage=whole),
        phase(3, 2, "between", 0, 50),
        phase(4, 3, "call", 0, 40, usage=one),
        phase(5, 4, "client", 0, 40, usage=one),
        phase(6, 2, "call", 50, 90, usage=one),
    )
    by_phase = {row.key: row.usage for row in examination.groups(BY["phase"]).rows}
    assert by_phase["agent",] == Spent(100, 10, 1.0)
    assert by_phase["call",] == Spent(100, 10, 1.0)
    assert by_phase["client",] == Spent(100, 10, 1.0)
    (all_of_them,) = examination.groups(BY["node"]).rows
    assert all_of_them.usage == Spent(300, 30, 3.0)


def test_what_is_inside_may_be_more() -> None:
    """Then nothing is left of the outer one, and not less than nothing."""
    examination = examined(
        execution(100),
        phase(2, 1, "outer", 0, 100, usage=Usage(10, 10)),
        phase(3, 2, "inner", 0, 40, usage=Usage(100, 0)),
    )
    by_phase = {row.key: row.usage for row in examination.groups(BY["phase"]).rows}
    assert (by_phase["outer",].input_tokens, by_phase["outer",].output_tokens) == (0, 10)
