"""The tracer that makes lean spans, for phases and for every other library."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from types import TracebackType
from typing import Any, Final, TypeVar

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.util.types import Attributes

from phasetrace import current
from phasetrace.attributes import faithful, text
from phasetrace.clock import OFFSET_NS
from phasetrace.context import Ids, given_ids
from phasetrace.current import (
    SPAN_KEY,
    context_with,
    standard_attach,
    standard_context,
    standard_reset,
)
from phasetrace.identity import root_span_id_of
from phasetrace.leaving import around_a_start, leave, skip_left
from phasetrace.names import (
    CANCELLED,
    DEPENDS_ON,
    EXEC_ID,
    IMPLICIT,
    ITERATION,
    NODE_ID,
    NODE_TYPE,
    PARENT_EXEC_ID,
    TYPE,
)
from phasetrace.span import Origin, Outlet, Span, instant
from phasetrace.spans import EXECUTION, NODE, PHASE, SYSTEM_NODE

Function = TypeVar("Function", bound=Callable[..., Any])

_KEPT: Final = frozenset({TYPE, IMPLICIT, PARENT_EXEC_ID, DEPENDS_ON})
"""What a node or an execution is started with that the fields of a span do not tell."""
_SAMPLED: Final = int(TraceFlags.SAMPLED)
_RANDOM: Final = int(getattr(TraceFlags, "RANDOM_TRACE_ID", 0))
_PARTS: Final = frozenset(
    {"sampler", "resource", "span_processor", "id_generator", "_span_limits", "_tracer_config"}
)
"""Attributes of an SDK tracer that can be exchanged while it is in use."""
_new: Final = object.__new__
_random: Final = random.getrandbits


class Tracer(sdk.Tracer):
    """An SDK tracer whose spans are `phasetrace.span.Span`.

    The provider makes it of a tracer that the SDK has made, so that it has whatever a release gives
    to one; see `phasetrace.provider`.
    """

    _inherits = False
    """A local child is sampled as its parent is, and nobody need be asked."""
    _samples_roots = False
    """Every root is sampled, and nobody need be asked."""
    _random_ids = False
    _is_off = False
    _metrics: Any = None

    origin: Origin
    """What its spans have in common; replaced as a whole."""
    on_change: Callable[[], None] | None = None
    """To be called when `origin` was replaced."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_up(None, False)

    def set_up(self, pipeline: Outlet | None, feeds_exporters: bool) -> None:
        """Send finished spans to `pipeline`, too; to be called before the tracer is used."""
        self.origin = Origin(
            self.sampler,
            self.resource,
            self.span_processor,
            self._span_limits,
            self._instrumentation_scope,
            self.instrumentation_info,
            pipeline,
            feeds_exporters,
        )
        self._inherits = follows_parent(self.sampler)
        self._samples_roots = samples_roots(self.sampler)
        self._random_ids = type(self.id_generator) is RandomIdGenerator
        self._is_off = hasattr(self, "_is_enabled") and not self._is_enabled()  # SDK 1.40 and later
        metrics = getattr(self, "_tracer_metrics", None)
        if type(metrics).__name__ != "NoOpTracerMetrics":
            self._metrics = metrics

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the next span is made with what is exchanged."""
        super().__setattr__(name, value)
        origin = self.__dict__.get("origin") if name in _PARTS else None
        if origin is not None:
            self.set_up(origin.pipeline, origin.feeds_exporters)
            if self.on_change is not None:
                self.on_change()

    def is_plain(self) -> bool:
        """Tell whether a phase's start has nobody to ask and its end nobody to tell."""
        return (
            self._inherits
            and self._metrics is None
            and self._random_ids
            and not self.origin.listeners._span_processors
            and not self._is_off
        )

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        *,
        root_ids: tuple[int, int] | None = None,
    ) -> trace_api.Span:
        """Start a span; see `opentelemetry.trace.Tracer.start_span`.

        A root gets the `root_ids` (trace, span), if they are given.
        """
        if context is not None:
            around = context
        else:
            around = current.current_context() if current.is_apart else standard_context()
        parent = around.get(SPAN_KEY)
        lean: Span | None = None
        outer: SpanContext | None = None
        # PERF: the fields of a parent of ours tell what a SpanContext would be made for.
        if parent is not None:
            if getattr(type(parent), "is_lean", False):
                lean = parent  # type: ignore[assignment]
                if lean._left_for is not None:  # type: ignore[union-attr]
                    around = around_a_start(around)
                    parent = around.get(SPAN_KEY)
                    is_ours = getattr(type(parent), "is_lean", False)
                    lean = parent if is_ours else None  # type: ignore[assignment]
                    outer = None if is_ours or parent is None else _context_of(parent)
            else:
                outer = _context_of(parent)
        if self._is_off:
            return NonRecordingSpan(
                lean._context if lean is not None else outer or INVALID_SPAN_CONTEXT
            )
        if outer is not None and not outer.is_valid:
            outer = None

        span: Span = _new(Span)
        origin = span._origin = self.origin
        span._name = name if type(name) is str else text(name)
        is_placed = attributes or len(around) > 1
        if lean is not None:
            span._trace_id = lean._trace_id
            span._parent_id = lean._span_id
            span._parent_span = lean
            span._flags = lean._flags
            is_placed = is_placed or lean._exec_id is not None
        elif outer is not None:
            span._trace_id = outer.trace_id
            span._parent_id, span._parent_given = outer.span_id, outer
            span._flags = outer.trace_flags & _RANDOM
        elif root_ids is not None:
            span._trace_id = root_ids[0]
        elif self._random_ids:
            span._trace_id = _random(128)
            span._flags = _RANDOM
        else:
            span._trace_id = self.id_generator.generate_trace_id()
            span._flags = self._random_flag()
        if root_ids is not None and lean is None and outer is None:
            span._span_id = root_ids[1]
        else:
            span._span_id = (
                _random(64) if self._random_ids else self.id_generator.generate_span_id()
            )
        # PERF: a context with a span alone, or with nothing, names no execution.
        if is_placed or (around and parent is None):
            _place(span, attributes, lean, around)

        if (
            lean is not None
            and self._inherits
            and lean._origin.sampler is origin.sampler
            # A parent may be recorded without being sampled; its children are then not recorded.
            and (lean._flags & _SAMPLED or span._exec_id is not None)
        ):
            span._trace_state = lean._trace_state
        elif self._samples_roots and lean is None and outer is None:
            span._flags |= _SAMPLED
        else:
            attributes = self._ask_sampler(span, context, kind, attributes, links)
            if attributes is None:
                return self._not_recording(span, lean, outer)
        if self._metrics is not None:
            self._count_start(span, lean, outer)

        if attributes:
            if CANCELLED in attributes:
                span._cancelled = bool(attributes[CANCELLED])
            span._take_attributes(attributes)
        if links:
            span._link_list = span._new_links(links)
        if kind is not SpanKind.INTERNAL:
            span._kind = kind
        if not record_exception:
            span._record_exception = False
        if not set_status_on_exception:
            span._set_status_on_exception = False
        if origin.pipeline is not None:
            origin.pipeline.start(span)
        span._start_time = monotonic_ns() + OFFSET_NS if start_time is None else instant(start_time)
        if origin.listeners._span_processors:
            origin.processor.on_start(span, parent_context=context)
        return span

    def _ask_sampler(
        self,
        span: Span,
        context: Context | None,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] | None,
    ) -> Mapping[str, Any] | None:
        """Have the sampler decide; return the attributes to start with, None to drop the span."""
        result = self.sampler.should_sample(
            context, span._trace_id, span._name, kind, attributes, links or ()
        )
        span._flags = span._flags & _RANDOM
        span._trace_state = result.trace_state
        decision: Any = result.decision
        if decision.is_recording():
            if decision.is_sampled():
                span._flags |= _SAMPLED
            return result.attributes or {}
        if span._exec_id is None:
            return None
        # What is exported is the sampler's to say; local numbers are whole all the same. A sampler
        # that drops a span gives none of its attributes back.
        return {**(attributes or {}), **(result.attributes or {})}

    def _not_recording(
        self, span: Span, lean: Span | None, outer: SpanContext | None
    ) -> NonRecordingSpan:
        if self._metrics is not None:
            known = lean._context if lean is not None else outer
            self._metrics.start_span(known, Decision.DROP)
        return NonRecordingSpan(span._context)

    def _count_start(self, span: Span, lean: Span | None, outer: SpanContext | None) -> None:
        """Report the start to the SDK's own metrics."""
        sampled = span._flags & _SAMPLED
        span._record_end_metrics = self._metrics.start_span(
            lean._context if lean is not None else outer,
            Decision.RECORD_AND_SAMPLE if sampled else Decision.RECORD_ONLY,
        )

    def start_as_current_span(  # type: ignore[override]
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """Start a span and make it current; a context manager, and a decorator."""
        made: CurrentSpan = _new(CurrentSpan)
        made._tracer = self
        made._arguments = (
            name,
            context,
            kind,
            attributes,
            links,
            start_time,
            record_exception,
            set_status_on_exception,
        )
        made._end_on_exit = end_on_exit
        return made

    def _random_flag(self) -> int:
        says = getattr(self.id_generator, "is_trace_id_random", None)  # SDK 1.42 and later
        return _RANDOM if says is not None and says() else 0


class CurrentSpan:
    """A span for the length of a ``with`` block, or of the calls of a decorated function."""

    __slots__ = ("_arguments", "_end_on_exit", "_span", "_token", "_tracer")

    _tracer: Tracer
    _arguments: tuple[Any, ...]
    _end_on_exit: bool
    _span: trace_api.Span
    _token: Any

    def __enter__(self) -> trace_api.Span:
        span = self._span = self._tracer.start_span(*self._arguments)
        if current.is_apart:
            self._token = current.attach(context_with(span, current.current_context()))
        else:
            self._token = standard_attach(context_with(span, standard_context()))
        if self._end_on_exit and type(span) is Span:
            span._token = self._token
        return span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        span = self._span
        if type(span) is Span:
            span._token = None
        # PERF: as `leave` does, but for what is usual.
        if standard_context().get(SPAN_KEY) is not span:
            leave(self._token, span)
        else:
            try:
                standard_reset(self._token)
            except ValueError:  # left by another thread or task than it was entered in
                leave(self._token, span)
            else:
                around: Any = standard_context().get(SPAN_KEY)
                if around is not None and getattr(around, "_left_for", None) is not None:
                    skip_left()
        if error is None:
            if self._end_on_exit:
                span.end()
            return
        try:
            # GeneratorExit, KeyboardInterrupt and the like are no errors of the work.
            if isinstance(error, Exception) and span.is_recording():
                if self._arguments[6]:
                    span.record_exception(error)
                if self._arguments[7]:
                    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        finally:
            if self._end_on_exit:
                span.end()

    def __call__(self, function: Function) -> Function:
        """Decorate a function or coroutine function: each call has a span of its own."""

        def again() -> CurrentSpan:
            made: CurrentSpan = _new(CurrentSpan)
            made._tracer, made._arguments = self._tracer, self._arguments
            made._end_on_exit = self._end_on_exit
            return made

        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            with again():
                return await function(*args, **kwargs)

        def calling(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        wrapper = awaiting if inspect.iscoroutinefunction(function) else calling
        return functools.wraps(function)(wrapper)  # type: ignore[return-value]


def follows_parent(sampler: Sampler) -> bool:
    """Tell whether a sampler decides on a local child as it did on the parent, and adds nothing.

    True of the samplers of the OpenTelemetry specification: those that always or never sample, the
    one that asks only the trace id, and `ParentBased` with its defaults for local parents.
    """
    if sampler is ALWAYS_ON or sampler is ALWAYS_OFF or type(sampler) is TraceIdRatioBased:
        return True
    return (
        isinstance(sampler, ParentBased)
        and type(sampler).should_sample is ParentBased.should_sample
        and getattr(sampler, "_local_parent_sampled", None) is ALWAYS_ON
        and getattr(sampler, "_local_parent_not_sampled", None) is ALWAYS_OFF
    )


def samples_roots(sampler: Sampler) -> bool:
    """Tell whether a sampler samples every span without a parent, and adds nothing."""
    if (
        isinstance(sampler, ParentBased)
        and type(sampler).should_sample is ParentBased.should_sample
    ):
        sampler = getattr(sampler, "_root", sampler)
    return sampler is ALWAYS_ON


def _context_of(parent: object) -> SpanContext | None:
    if not isinstance(parent, trace_api.Span):
        return None
    context: Any = parent.get_span_context()
    if context is not None and not isinstance(context, SpanContext):
        raise TypeError("parent_span_context must be a SpanContext or None.")
    return context


def _place(
    span: Span, attributes: Mapping[str, Any] | None, parent: Span | None, context: Context
) -> None:
    """Give a span the execution and node that its attributes name, or those around it."""
    given = attributes.get(EXEC_ID) if attributes else None
    around_exec_id = parent._exec_id if parent is not None else None
    ids: Ids | None = None
    if around_exec_id is None:
        ids = given_ids(context)
        around_exec_id = ids.exec_id if ids is not None else None
    if not given and around_exec_id is None:
        return
    exec_id = span._exec_id = text(given) if given else around_exec_id
    if attributes and (NODE_ID in attributes or (given and TYPE in attributes)):
        node_id = attributes.get(NODE_ID)
        if node_id is not None:
            span._node_id = text(node_id)
        if NODE_TYPE in attributes or ITERATION in attributes:
            node_type, iteration = attributes.get(NODE_TYPE), attributes.get(ITERATION)
            span._node_details = (
                text(node_type) if node_type is not None else None,
                faithful(iteration) if iteration is not None else None,
            )
    elif exec_id != around_exec_id:
        pass  # `_settle_type` tells by the span's id
    elif ids is not None:
        span._node_id = ids.node_id or SYSTEM_NODE
        if ids.node_type is not None or ids.iteration is not None:
            span._node_details = (ids.node_type, ids.iteration)
    elif parent is not None:
        span._node_id = parent._node_id or SYSTEM_NODE
        if parent._node_details is not None:
            span._node_details = parent._node_details
    _settle_type(span, attributes)


def _settle_type(span: Span, attributes: Mapping[str, Any] | None) -> None:
    """Say what a span of an execution is: the execution itself, a node, a phase."""
    declared: Any = attributes.get(TYPE) if attributes else None
    if attributes and declared in (NODE, EXECUTION):
        span._span_type = declared
        span._kept = {
            name: tuple(value) if type(value) is list else value  # as the SDK has it
            for name, value in attributes.items()
            if name in _KEPT
        }
    elif span._node_id is None and declared is None:
        if span._span_id == root_span_id_of(span._exec_id or ""):
            span._span_type = EXECUTION
        else:
            span._node_id = SYSTEM_NODE
    elif declared is not None:
        span._span_type = PHASE
