"""An id generator that can be told the ids of the next span."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator


class PlannedIds(IdGenerator):
    """Asks `inner` for ids, except where `plan` says which the next span is to have.

    Thread-safe: a plan holds for the thread that made it.
    """

    def __init__(self, inner: IdGenerator | None = None) -> None:
        self._inner = inner or RandomIdGenerator()
        self._planned = threading.local()

    @contextmanager
    def plan(self, trace_id: int, span_id: int) -> Iterator[None]:
        """Give these ids to the root span that the body of the ``with`` starts."""
        self._planned.ids = (trace_id, span_id)
        try:
            yield
        finally:
            self._planned.ids = None

    def generate_trace_id(self) -> int:
        """Return the planned trace id, or a new one."""
        ids = getattr(self._planned, "ids", None)
        return ids[0] if ids is not None else self._inner.generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the planned span id, or a new one."""
        ids = getattr(self._planned, "ids", None)
        return ids[1] if ids is not None else self._inner.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """Tell whether trace ids carry the W3C random flag; planned ones, being hashes, do not."""
        if getattr(self._planned, "ids", None) is not None:
            return False
        inner_says = getattr(self._inner, "is_trace_id_random", None)  # SDK 1.42 and later
        return bool(inner_says()) if inner_says is not None else False
