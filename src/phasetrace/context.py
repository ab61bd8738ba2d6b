"""Which execution and node the running code belongs to.

The ids travel in the OpenTelemetry context, beside the current span, so they follow it wherever
Python carries context (tasks, `asyncio.to_thread`, ``contextvars.copy_context``).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from opentelemetry import context as context_api
from opentelemetry import trace

from phasetrace.names import EXEC_ID, ITERATION, NODE_ID, NODE_TYPE


class Ids(NamedTuple):
    """The execution and node that a span belongs to."""

    exec_id: str
    node_id: str | None = None
    node_type: str | None = None
    iteration: Any = None


_KEY: Final = context_api.create_key("phasetrace-ids")


def with_ids(ids: Ids, context: context_api.Context) -> context_api.Context:
    """Return `context` with `ids` in it."""
    return context_api.set_value(_KEY, ids, context)


def without_ids(context: context_api.Context) -> context_api.Context:
    """Return `context` as that of code outside any execution."""
    return context_api.set_value(_KEY, None, context)


def ids_in(context: context_api.Context | None = None) -> Ids | None:
    """Return the ids of the code running in `context` (default: the current one).

    The current span's own attributes come first: they know of spans that were given their ids by
    hand. The context knows where the span was not recorded or is remote.
    """
    span = trace.get_current_span(context)
    exec_id = getattr(span, "_exec_id", None)
    if exec_id is not None:  # a span of our own, which has them as fields
        return Ids(exec_id, span._node_id, *(span._node_details or (None, None)))  # type: ignore[attr-defined]
    attributes = getattr(span, "attributes", None)
    if attributes:
        exec_id = attributes.get(EXEC_ID)
        if exec_id:
            return Ids(
                str(exec_id),
                attributes.get(NODE_ID),
                attributes.get(NODE_TYPE),
                attributes.get(ITERATION),
            )
    return given_ids(context)


def given_ids(context: context_api.Context | None = None) -> Ids | None:
    """Return the ids that `with_ids` put into `context` (default: the current one)."""
    ids = context_api.get_value(_KEY, context)
    return ids if isinstance(ids, Ids) else None


_SUPPRESSED: Final = getattr(context_api, "_SUPPRESS_INSTRUMENTATION_KEY", "")
_SUPPRESSED_BY_NAME: Final = "suppress_instrumentation"  # as older instrumentations say it


def is_suppressed() -> bool:
    """Tell whether the running code asks not to be traced, as exporters do while they export."""
    return suppresses(context_api.get_current())


def suppresses(context: context_api.Context) -> bool:
    """Tell whether code that runs in `context` asks not to be traced."""
    return bool(context.get(_SUPPRESSED) or context.get(_SUPPRESSED_BY_NAME))
