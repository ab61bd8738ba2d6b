"""What calls of models took: tokens, and what they cost by a table of prices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from phasetrace import names
from phasetrace.spans import Usage

if TYPE_CHECKING:
    from phasetrace.analysis.network import Network


class Price(NamedTuple):
    """What a model costs, in any currency, for a million tokens."""

    input_per_million: float
    output_per_million: float


Prices = Mapping[str, Price]
"""By the model's name, or a pattern for several (`fnmatch`); the first that fits counts."""

NO_PRICES: Final[Prices] = {}

_RELEASE: Final = r"-(\d{8}|\d{4}-\d{2}-\d{2})$"
"""As in ``gpt-4o-2024-08-06``, ``claude-sonnet-4-20250514``."""


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


def own_usages(network: Network) -> dict[int, Usage]:
    """Return what each span took beside what the spans in it say that they took; by index.

    A phase around a client that is instrumented itself says the same as the client's span, and an
    agent's span what all of its calls took: counted twice, it would be twice the money. So a span's
    tokens and cost count less those of the nearest spans below it that have any, and not below 0.
    """
    spans, parents = network.spans, network.parents
    used = {
        place: span.usage
        for place, span in enumerate(spans)
        if span is not None and span.usage is not None
    }
    if not used:
        return {}
    nearest: dict[int, int | None] = {}

    def using(place: int) -> int | None:
        """Return the nearest span above one that used something."""
        way = []
        found: int | None = None
        at = place
        while at:
            at = parents[at]
            if at in nearest:
                found = nearest[at] if at not in used else at
                break
            if at in used:
                found = at
                break
            way.append(at)
        for between in way:
            nearest[between] = found
        return found

    below: dict[int, list[Usage]] = {}
    for place, usage in used.items():
        above = using(place)
        if above is not None:
            below.setdefault(above, []).append(usage)
    return {place: _less(usage, below.get(place, ())) for place, usage in used.items()}


def _less(usage: Usage, inner: Iterable[Usage]) -> Usage:
    for one in inner:
        cost = usage.cost
        if cost is not None and one.cost is not None:
            cost = max(0.0, cost - one.cost)
        usage = usage._replace(
            input_tokens=max(0, usage.input_tokens - one.input_tokens),
            output_tokens=max(0, usage.output_tokens - one.output_tokens),
            cost=cost,
        )
    return usage


def _price(model: str | None, prices: Prices) -> Price | None:
    """Return a model's price; the date of a release, which ends its name, may be left out."""
    if model is None or not prices:
        return None
    for name in dict.fromkeys((model, re.sub(_RELEASE, "", model))):
        if name in prices:
            return prices[name]
        for pattern, price in prices.items():
            if fnmatchcase(name, pattern):
                return price
    return None


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
