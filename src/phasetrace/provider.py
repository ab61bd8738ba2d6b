"""phasetrace's own tracer provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

from phasetrace.context import EXEC_ID, ids_in
from phasetrace.planned_ids import PlannedIds


class RecordsExecutions(Sampler):
    """Samples as `inner` does, and records the spans of executions also where that drops them.

    A sampler then decides what is exported, and costs the local numbers nothing: exporters take
    only spans with the sampled flag, which stays off.
    """

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return what the inner sampler says, except that no span of an execution is dropped."""
        result = self._inner.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        if result.decision is not Decision.DROP:
            return result
        if not (attributes and attributes.get(EXEC_ID)) and ids_in(parent_context) is None:
            return result
        # A sampler that drops a span gives none of its attributes back.
        kept = {**(attributes or {}), **(result.attributes or {})}
        return SamplingResult(Decision.RECORD_ONLY, kept, result.trace_state)

    def get_description(self) -> str:
        """Return the inner sampler's description, and ours around it."""
        return f"RecordsExecutions{{{self._inner.get_description()}}}"


class TracerProvider(sdk.TracerProvider):
    """An SDK tracer provider on which the root of an execution gets the ids of its ``exec_id``.

    Its sampler decides what is exported; spans of executions are recorded in any case.
    Takes the arguments of `opentelemetry.sdk.trace.TracerProvider`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        generator: Any = PlannedIds(self.id_generator)
        self.id_generator = generator
        self.sampler = RecordsExecutions(self.sampler)
