"""A pytest plugin that gives tests a working tracer or span where they make one that does nothing.

The tests of opentelemetry-api do without an SDK: where they need a span they make a
`NonRecordingSpan`, and none of their code would ever meet one of phasetrace's. With this plugin
what they get under the names in `_STAND_INS` are provider, tracer and spans of the SDK, or of
whatever stands in its place (see `in_place`). OpenTelemetry's own code keeps its classes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState
from opentelemetry.util.types import Attributes

tests: Final[set[str]] = set()
"""The tests that have got something from here."""

_KEEPS_ITS_OWN: Final = frozenset({"opentelemetry", "phasetrace"})


class _Provider(sdk.TracerProvider):
    def __init__(self) -> None:
        _note()
        super().__init__(shutdown_on_exit=False)


class _Tracer(sdk.Tracer):
    def __new__(cls) -> Any:
        tracer: Any = _Provider().get_tracer("test")
        tracer.__class__ = cls
        return tracer

    def __init__(self) -> None:
        """Leave it as the provider has made it; the arguments differ between releases."""


class _Span(sdk._Span):
    """A span with the ids, the flags and the state of a context, but made by a tracer."""

    def __new__(cls, context: SpanContext) -> Any:
        _note()
        as_said = _AsSaid(context)
        provider = sdk.TracerProvider(as_said, id_generator=as_said, shutdown_on_exit=False)
        span: Any = provider.get_tracer("test").start_span("test", Context())
        span.__class__ = cls
        return span

    def __init__(self, context: SpanContext) -> None:
        """Leave it as the tracer has made it."""


class _AsSaid(IdGenerator, Sampler):
    """Brings about a given context."""

    def __init__(self, context: SpanContext) -> None:
        self._context = context

    def generate_trace_id(self) -> int:
        return self._context.trace_id

    def generate_span_id(self) -> int:
        return self._context.span_id

    def is_trace_id_random(self) -> bool:
        return bool(getattr(self._context.trace_flags, "random_trace_id", False))

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
        sampled = self._context.trace_flags.sampled
        return SamplingResult(
            Decision.RECORD_AND_SAMPLE if sampled else Decision.RECORD_ONLY,
            trace_state=self._context.trace_state,
        )

    def get_description(self) -> str:
        return "AsSaid"


def _note() -> None:
    test = os.environ.get("PYTEST_CURRENT_TEST")
    if test is not None:
        tests.add(test.rpartition(" (")[0])


_STAND_INS: Final[dict[ModuleType, dict[str, type]]] = {
    trace: {"NoOpTracerProvider": _Provider, "NoOpTracer": _Tracer, "NonRecordingSpan": _Span},
    trace.span: {"NonRecordingSpan": _Span},
}


def _answer(name: str, implementation: type) -> property:
    """Return a property of a module, which is asked before what is in the module itself."""

    def get(module: ModuleType) -> Any:
        asking = sys._getframe(1).f_globals["__name__"].partition(".")[0]
        return vars(module)[name] if asking in _KEEPS_ITS_OWN else implementation

    return property(get)


for _module, _names in _STAND_INS.items():
    _properties = {name: _answer(name, implementation) for name, implementation in _names.items()}
    _module.__class__ = type("Module", (ModuleType,), _properties)
