"""phasetrace's own tracer provider."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk import trace as sdk

from phasetrace.planned_ids import PlannedIds


class TracerProvider(sdk.TracerProvider):
    """An SDK tracer provider on which the root of an execution gets the ids of its ``exec_id``.

    Takes the arguments of `opentelemetry.sdk.trace.TracerProvider`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        generator: Any = PlannedIds(self.id_generator)
        self.id_generator = generator
