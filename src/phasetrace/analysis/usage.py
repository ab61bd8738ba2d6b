"""What calls of models took: tokens, and what they cost by a table of prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from phasetrace import names
from phasetrace.spans import Usage


class Price(NamedTuple):
    """What a model costs, in any currency, for a million tokens."""

    input_per_million: float
    output_per_million: float


Prices = Mapping[str, Price]
"""By the model's name, or a pattern for several (`fnmatch`); the first that fits counts."""

NO_PRICES: Final[Prices] = {}


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens, and what they cost; None where nothing is known of any cost.

    ``unpriced`` are the tokens of calls that no price is known for.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    unpriced: int = 0

    def __add__(self, other: Spent) -> Spent:
        costs = [one for one in (self.cost, other.cost) if one is not None]
        return Spent(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            sum(costs) if costs else None,
            self.unpriced + other.unpriced,
        )


def spent(usage: Usage, prices: Prices) -> Spent:
    """Return what a call took: at the cost that it says itself, otherwise by the prices."""
    tokens = usage.input_tokens + usage.output_tokens
    cost = usage.cost
    if cost is None:
        price = _price(usage.model, prices)
        if price is None:
            return Spent(usage.input_tokens, usage.output_tokens, None, tokens)
        cost = (
            usage.input_tokens * price.input_per_million
            + usage.output_tokens * price.output_per_million
        ) / 1e6
    return Spent(usage.input_tokens, usage.output_tokens, cost)


def _price(model: str | None, prices: Prices) -> Price | None:
    if model is None or not prices:
        return None
    return prices.get(model) or next(
        (price for pattern, price in prices.items() if fnmatchcase(model, pattern)), None
    )


def usage_of(attributes: Mapping[str, Any]) -> Usage | None:
    """Return what the attributes of a span say of a model's use; None if they say nothing.

    Numbers that are none, or negative, count for nothing.
    """
    input_tokens = _first(attributes, names.INPUT_TOKENS)
    output_tokens = _first(attributes, names.OUTPUT_TOKENS)
    cost = _first(attributes, names.COST)
    if input_tokens is None and output_tokens is None and cost is None:
        return None
    model = next((attributes[name] for name in names.MODEL if attributes.get(name)), None)
    return Usage(
        int(input_tokens or 0),
        int(output_tokens or 0),
        str(model) if model is not None else None,
        float(cost) if cost is not None else None,
    )


def _first(attributes: Mapping[str, Any], keys: Sequence[str]) -> int | float | None:
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18:
            return value
    return None
