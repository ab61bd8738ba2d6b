"""What calls of models took: tokens, and what they cost by a table of prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasetrace import names
from phasetrace.spans import Usage


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
