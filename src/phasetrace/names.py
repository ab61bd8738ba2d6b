"""The attributes of spans that have a meaning here, by name.

Sources: phasetrace's own; OpenTelemetry's semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/), their earlier names, and
for the cost, which they do not have, the name that OpenLLMetry uses.
"""

from __future__ import annotations

from typing import Final

EXEC_ID: Final = "exec_id"
NODE_ID: Final = "node_id"
NODE_TYPE: Final = "node_type"
ITERATION: Final = "iteration"
DEPENDS_ON: Final = "depends_on"
TYPE: Final = "phasetrace.type"
CANCELLED: Final = "phasetrace.cancelled"
IMPLICIT: Final = "phasetrace.implicit"
PARENT_EXEC_ID: Final = "phasetrace.parent_exec_id"

RESERVED: Final = frozenset(
    {EXEC_ID, NODE_ID, NODE_TYPE, ITERATION, DEPENDS_ON, TYPE, CANCELLED, IMPLICIT, PARENT_EXEC_ID}
)
"""Attributes with a meaning of their own; everything else on a phase is its metadata."""
IDENTIFYING: Final = RESERVED - {NODE_TYPE}
"""Those that traces are put together by, and so are never redacted."""

UNNAMED: Final = "execution"
"""The name of the span of an execution that was given none: there are few names of spans, and many
executions (OpenTelemetry, "Span": a name is the general class of spans, and not an instance)."""

INPUT_TOKENS: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT_TOKENS: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
MODEL: Final = ("gen_ai.response.model", "gen_ai.request.model", "model")
COST: Final = ("gen_ai.usage.cost",)
"""Of each, the first that is there counts."""

_OF_MODELS: Final = "gen_ai."
_RESULTS: Final = ("gen_ai.usage.", "gen_ai.response.")


def name_of_execution(name: str, exec_id: str) -> str:
    """Return what an execution is called whose span has a name: by its id if it was given none."""
    return exec_id if name == UNNAMED else name


def is_metadata(name: str) -> bool:
    """Tell whether an attribute says what a call was asked to do: no id, and no result."""
    return name not in RESERVED and not name.startswith(_RESULTS)


def tells_apart(name: str) -> bool:
    """Tell whether a text of this name says what one call did and another did not.

    What a model is called, and what else there is to say of one, is the same for all its calls.
    """
    return name not in RESERVED and name != "model" and not name.startswith(_OF_MODELS)
