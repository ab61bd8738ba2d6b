"""phasetrace's own tracer provider."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

from opentelemetry import trace as trace_api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanProcessor

from phasetrace.pipeline import Pipeline
from phasetrace.tracer import Tracer

_SDK_TRACER: Final[Any] = (
    Tracer.__base__
)  # what ours derives from, whatever stands in its place now

_lock = threading.RLock()  # guards the lean tracers of all providers, and what they send where


def _new_lock() -> None:
    global _lock
    _lock = threading.RLock()  # a thread may have held it when it forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


class TracerProvider(sdk.TracerProvider):
    """An SDK tracer provider whose spans cost a tenth, and are recorded whatever is sampled.

    Its sampler decides what is exported; the spans of executions are recorded in any case, for the
    local numbers. Takes the arguments of `opentelemetry.sdk.trace.TracerProvider`, and does what
    that does. Thread-safe.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.pipeline: Pipeline | None = None
        """Where finished spans go, beside the processors that were added."""
        self.first_tracer: Callable[[], None] | None = None
        """To be called before the first tracer is made."""
        self.has_processors = False
        """Some were added, and have not been shut down."""
        self._feeds_exporters = False
        self._on_change: Callable[[], None] | None = None
        self._lean_tracers: WeakSet[Tracer] = WeakSet()
        super().__init__(*args, **kwargs)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace_api.Tracer:
        """Return a tracer; one that does nothing where the SDK is disabled."""
        first_tracer, self.first_tracer = self.first_tracer, None
        if first_tracer is not None:
            first_tracer()
        made = super().get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        if not isinstance(made, _SDK_TRACER):
            return made
        tracer: Any = made
        with _lock:
            if tracer not in self._lean_tracers:
                # The SDK has made it, with whatever this release gives to a tracer; only its class
                # is ours.
                tracer.__class__ = Tracer
                tracer.set_up(self.pipeline, self._feeds_exporters)
                tracer.on_change = self._on_change
                self._lean_tracers.add(tracer)
        return made  # type: ignore[no-any-return]  # mypy takes it for what it is not

    def connect(
        self, pipeline: Pipeline, feeds_exporters: bool, on_change: Callable[[], None]
    ) -> None:
        """Send the finished spans of all tracers to `pipeline`, too.

        `feeds_exporters` says whether they go to phasetrace's exporters from there. `on_change` is
        called whenever spans have to do more, or other things, than they had before.
        """
        with _lock:
            self.first_tracer = None  # set up by now: its first tracer may be wanted right after
            self.pipeline, self._feeds_exporters = pipeline, feeds_exporters
            self._on_change = on_change
            for tracer in self._lean_tracers:
                tracer.set_up(pipeline, feeds_exporters)
                tracer.on_change = on_change

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Register a processor, which is then told of every span, phases included."""
        super().add_span_processor(span_processor)
        self.has_processors = True
        if self._on_change is not None:
            self._on_change()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Bring everything finished to where it goes, in time; return whether it is there."""
        deadline = time.monotonic() + timeout_millis / 1000
        flushed = super().force_flush(timeout_millis) is not False
        if self.pipeline is not None:
            flushed = self.pipeline.flush(max(0.0, deadline - time.monotonic())) and flushed
        return flushed

    def shutdown(self) -> None:
        """Shut the processors down, and write out, as at the end; what comes later is recorded."""
        self.has_processors = False
        super().shutdown()
        if self.pipeline is not None:
            self.pipeline.settle()
