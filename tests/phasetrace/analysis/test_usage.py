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
        (Usage(1_000_000, 0, "gpt-4o", cost=1.25), 1.25),  # the program knows better
    ],
)
def test_cost_goes_by_the_table(usage: Usage, cost: float) -> None:
    """A model's own price, that of a pattern it fits, or what the program says itself."""
    assert spent(usage, PRICES).cost == pytest.approx(cost)


@pytest.mark.parametrize("model", ["unknown", None])
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
