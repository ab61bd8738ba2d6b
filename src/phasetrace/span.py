"""The lean span: an SDK span whose parts are made when somebody asks for them.

A recording span of the SDK is some ten objects: a context with flags and trace state, bounded
attributes, two bounded lists, two locks. Most spans are ended without anyone having looked at any
of them. Here they are class-level defaults and properties; what a span has from its start is a few
integers and references. What is not on the way of an ordinary span is the SDK's own code, which
finds the parts under the names it expects.
"""

# The SDK's parts are attributes, and here they are made by properties of the same names.
# mypy: disable-error-code="override"

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from time import monotonic_ns
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    Event,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes

from phasetrace import clock
from phasetrace.attributes import text
from phasetrace.bounded import bounded_attributes
from phasetrace.names import (
    CANCELLED,
    EXEC_ID,
    IDENTIFYING,
    ITERATION,
    NODE_ID,
    NODE_TYPE,
    RESERVED,
)
from phasetrace.redaction import Redaction
from phasetrace.spans import EXECUTION, NODE, PHASE, SYSTEM_NODE, PhaseKey, SpanType
from phasetrace.spans import Status as Outcome

_log: Final = logging.getLogger("opentelemetry.sdk.trace")  # the warnings are the SDK's

PLAIN_TYPES: Final = frozenset({str, int, float, bool})
"""Values of exactly these types cannot change, and need no cleaning but for their length."""

_NO_TRACE_STATE: Final = TraceState()
_UNSET: Final = Status(StatusCode.UNSET)
_NO_LIMITS: Final = SpanLimits(*[SpanLimits.UNSET] * 8)
_PASS_ON_ONLY: Final = (SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor)
"""Processors that do nothing but pass spans on to those in ``_span_processors``."""

# PERF: a lock of its own costs every span 0.1 µs and 100 bytes, and most spans are never changed
# by two threads. Spans share these by their id; reentrant, because a finalizer may change another
# span in the midst of a change.
_LOCKS: Final = [threading.RLock() for _ in range(64)]


def _new_locks() -> None:
    _LOCKS[:] = [threading.RLock() for _ in _LOCKS]  # a thread may have held one when it forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_locks)


class _Somebody:
    _span_processors = (None,)


_SOMEBODY: Final = _Somebody()


class Outlet(Protocol):
    """Where spans go, beside their provider's processors; see `phasetrace.pipeline`."""

    @property
    def open(self) -> dict[int, Span]:
        """The spans of executions that have started and not ended, by span id."""

    def start(self, span: Span) -> None:
        """Take note of a started span."""

    def end(self, span: Span) -> None:
        """Take an ended span."""


class Origin:
    """What the spans of one tracer have in common; never changed once a span has it."""

    __slots__ = (
        "encoded",
        "feeds_exporters",
        "info",
        "limits",
        "listeners",
        "pipeline",
        "processor",
        "resource",
        "sampler",
        "scope",
    )

    def __init__(
        self,
        sampler: Any,
        resource: Resource,
        processor: SpanProcessor,
        limits: SpanLimits,
        scope: InstrumentationScope | None,
        info: InstrumentationInfo | None,
        pipeline: Outlet | None = None,
        feeds_exporters: bool = False,
    ) -> None:
        self.sampler = sampler
        self.resource = resource
        self.processor = processor
        self.listeners: Any = processor if type(processor) in _PASS_ON_ONLY else _SOMEBODY
        """Has ``_span_processors``; empty if `processor` has nobody to pass spans on to."""
        self.limits = limits
        self.scope = scope
        self.info = info
        self.pipeline = pipeline
        """Where the spans go, beside the processors."""
        self.feeds_exporters = feeds_exporters
        """They go on to phasetrace's exporters from there."""
        self.encoded: tuple[Redaction, tuple[bytes, str, bytes, str]] | None = None
        """Resource and scope as OTLP messages, with their schema URLs, once they were needed; and
        the policy by which they are redacted."""


class Span(sdk.Span):
    """A recording span; see `opentelemetry.sdk.trace.Span`, whose behaviour it has.

    ``exec_id`` and ``node_id`` (with ``node_type`` and ``iteration``) are fields of it, and not
    among its attributes until these are looked at. No limit on attributes pushes them out or cuts
    them, nor what else traces are put together by.

    Thread-safe. Made by a tracer; the constructor is that of the SDK's span.
    """

    is_lean = True

    # What nothing else was said of. An assignment to the instance hides these.
    _trace_id = 0
    _span_id = 0
    _flags = 0
    _trace_state: TraceState | None = None
    _parent_id: int | None = None
    _parent_given: SpanContext | None = None
    """The parent, where its id alone does not tell all of it (it is remote, say)."""
    _parent_span: Span | None = None
    """The parent itself, as long as this span is open, if it is one of ours."""
    _kind = SpanKind.INTERNAL
    _start_time: int | None = None
    _end_time: int | None = None
    _status = _UNSET
    _record_exception = True
    _set_status_on_exception = True
    _record_end_metrics: Any = None
    _context_made: SpanContext | None = None
    _plain: dict[str, Any] | None = None
    """Attributes of `PLAIN_TYPES`, as they were given; None once they are in `_bounded`."""
    _given: dict[str, Any] | None = None
    """What `_plain` was at first, where that must not be changed."""
    _bounded: BoundedAttributes | None = None
    _event_list: BoundedList[Any] | None = None
    _link_list: BoundedList[Any] | None = None
    _exec_id: str | None = None
    _node_id: str | None = None
    _node_details: tuple[str | None, Any] | None = None
    """The type and the iteration of the node, if there are any."""
    _kept: Mapping[str, Any] | None = None
    """What else it was started with that traces are put together by; on nodes and executions."""
    _span_type: SpanType = PHASE
    _cancelled = False
    _is_plain = False
    """Nothing is known of it but ids, times, a name and `_plain`: a phase like most are.

    PERF: whoever works off finished spans asks this, instead of a question for each of the parts.
    """
    _handed_on = False
    """The pipeline has passed the span on; it is not to do so twice."""
    _forked = False
    """The span was started by the process that this one was forked from, which will end it."""
    _wire: bytes | None = None
    """The span's OTLP message, once somebody has needed that."""
    left_class: ClassVar[type[Span]]
    """What it becomes when it is left while others are open; see `phasetrace.leaving`."""
    _left_for: Context | None = None
    """What was current before it, where it was left while something else was."""
    _token: Any = None
    """What gives back the context that it replaced; until it is left."""
    _origin: Origin

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None = None,
        sampler: Any = None,
        trace_config: None = None,
        resource: Resource | None = None,
        attributes: Attributes = None,
        events: Sequence[Event] | None = None,
        links: Sequence[Link] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        span_processor: SpanProcessor | None = None,
        instrumentation_info: InstrumentationInfo | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        limits: SpanLimits | None = None,
        instrumentation_scope: InstrumentationScope | None = None,
        *,
        record_end_metrics: Any = None,
    ) -> None:
        self._origin = Origin(
            sampler,
            resource if resource is not None else Resource.create({}),
            span_processor or SpanProcessor(),
            limits or _NO_LIMITS,
            instrumentation_scope,
            instrumentation_info,
        )
        self._name = name
        self._context_made = context
        if type(getattr(context, "span_id", None)) is int:  # tests give stand-ins, and None
            self._trace_id, self._span_id = context.trace_id, context.span_id
            self._flags, self._trace_state = context.trace_flags, context.trace_state
        if parent is not None:
            self._parent_given, self._parent_id = parent, parent.span_id
        self._kind = kind
        self._record_exception = record_exception
        self._set_status_on_exception = set_status_on_exception
        self._record_end_metrics = record_end_metrics
        if attributes:
            self._take_attributes(attributes)
        if events:
            self._take_events(events)
        if links:
            self._link_list = self._new_links(links)

    # The parts, under the names that the SDK's code knows them by.

    @property
    def _lock(self) -> Any:
        return _LOCKS[self._span_id & 63]

    @property
    def _limits(self) -> SpanLimits:
        return self._origin.limits

    @property
    def _sampler(self) -> Any:
        return self._origin.sampler

    @property
    def _resource(self) -> Resource:
        return self._origin.resource

    @property
    def _span_processor(self) -> SpanProcessor:
        return self._origin.processor

    @property
    def _instrumentation_scope(self) -> InstrumentationScope | None:
        return self._origin.scope

    @property
    def _instrumentation_info(self) -> InstrumentationInfo | None:
        return self._origin.info

    @property
    def _context(self) -> SpanContext:
        made = self._context_made
        if made is None:
            made = self._context_made = SpanContext(
                self._trace_id,
                self._span_id,
                is_remote=False,
                trace_flags=TraceFlags(self._flags),
                trace_state=self._trace_state or _NO_TRACE_STATE,
            )
        return made

    @property
    def _parent(self) -> SpanContext | None:
        around = self._parent_span  # which another thread may end the use of
        if around is not None:
            return around._context
        if self._parent_given is not None or self._parent_id is None:
            return self._parent_given
        return SpanContext(
            self._trace_id,
            self._parent_id,
            is_remote=False,
            trace_flags=TraceFlags(self._flags),
            trace_state=self._trace_state or _NO_TRACE_STATE,
        )

    @property
    def _attributes(self) -> BoundedAttributes:
        """The attributes that were set; without the ids, which are fields."""
        if self._bounded is None:
            with self._lock:
                if self._bounded is None:
                    self._is_plain = False
                    self._bounded, self._plain = self._bound(self._plain), None
        if self._end_time is not None:  # PERF: here, since most spans' ends have nobody looking
            self._bounded._immutable = True
        return self._bounded

    @property
    def _events(self) -> Any:
        if self._event_list is None:
            with self._lock:
                if self._event_list is None:
                    self._is_plain = False
                    self._event_list = BoundedList(self._origin.limits.max_events)
        return self._event_list

    @property
    def _links(self) -> Any:
        if self._link_list is None:
            with self._lock:
                if self._link_list is None:
                    self._is_plain = False
                    self._link_list = self._new_links(())
        return self._link_list

    # Reading.

    @property
    def context(self) -> SpanContext:
        """The span's own context."""
        return self._context

    def get_span_context(self) -> SpanContext:
        """Return the span's own context."""
        return self._context

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes, ids included."""
        if self._exec_id is None:
            return MappingProxyType(self._attributes)
        return MappingProxyType(self._all_attributes())

    @property
    def events(self) -> Sequence[Event]:
        """The events, in order."""
        return tuple(self._event_list) if self._event_list is not None else ()

    @property
    def links(self) -> Sequence[Link]:
        """The links, in order."""
        return tuple(self._link_list) if self._link_list is not None else ()

    @property
    def dropped_attributes(self) -> int:
        """How many attributes a limit took."""
        return self._bounded.dropped if self._bounded is not None else 0

    @property
    def dropped_events(self) -> int:
        """How many events a limit took."""
        return self._event_list.dropped if self._event_list is not None else 0

    @property
    def dropped_links(self) -> int:
        """How many links a limit took."""
        return self._link_list.dropped if self._link_list is not None else 0

    def to_json(self, indent: int | None = 4) -> str:
        """Return the span as JSON, as the SDK writes it."""
        return str(self._readable_span().to_json(indent))

    def _readable_span(self) -> ReadableSpan:
        attributes = self._attributes
        if self._exec_id is not None:
            # A limit that has been kept to already must not be applied to the ids again.
            attributes = bounded_attributes(
                self._all_attributes(), attributes.dropped, immutable=self._end_time is not None
            )
        return ReadableSpan(
            name=self._name,
            context=self._context,
            parent=self._parent,
            resource=self._resource,
            attributes=attributes,
            events=self._event_list if self._event_list is not None else (),
            links=self._link_list if self._link_list is not None else (),
            kind=self._kind,
            status=self._status,
            start_time=self._start_time,
            end_time=self._end_time,
            instrumentation_info=self._instrumentation_info,
            instrumentation_scope=self._instrumentation_scope,
        )

    def _all_attributes(self) -> dict[str, Any]:
        attributes = self._attributes.copy()
        if self._exec_id is not None:
            for name, value in self.ids().items():
                attributes.setdefault(name, value)
            for name, value in (self._kept or {}).items():
                attributes.setdefault(name, value)
        return attributes  # type: ignore[return-value]

    def ids(self) -> dict[str, Any]:
        """Return the attributes that name the execution and the node; empty outside of any."""
        if self._exec_id is None:
            return {}
        ids: dict[str, Any] = {EXEC_ID: self._exec_id}
        if self._node_id is not None:
            ids[NODE_ID] = self._node_id
        if self._node_details is not None:
            node_type, iteration = self._node_details
            if node_type is not None:
                ids[NODE_TYPE] = node_type
            if iteration is not None:
                ids[ITERATION] = iteration
        return ids

    def key(self) -> PhaseKey | None:
        """Return what the span is counted under; None for an execution's own span."""
        if self._span_type == EXECUTION:
            return None
        node_id = self._node_id or SYSTEM_NODE
        return PhaseKey(node_id, None if self._span_type == NODE else self._name)

    def outcome(self) -> Outcome:
        """Return how the span's work ended."""
        if self._status is not _UNSET and self._status.status_code is StatusCode.ERROR:
            return "error"
        return "cancelled" if self._cancelled else "ok"

    def metadata(self) -> dict[str, Any]:
        """Return the attributes that mean nothing to phasetrace; not to be changed."""
        attributes = self._plain if self._bounded is None else self._bounded.copy()
        if not attributes:
            return {}
        if RESERVED.isdisjoint(attributes):
            return attributes  # type: ignore[return-value]
        return {name: value for name, value in attributes.items() if name not in RESERVED}

    def exceeds_limits(self) -> bool:
        """Tell whether attributes that nobody has looked at are to be cut first."""
        return False

    def make_texts(self) -> None:
        """Make name and node ones that UTF-8 can carry; see `phasetrace.attributes.text`."""
        self._name = text(self._name)
        if self._node_id is not None:
            self._node_id = text(self._node_id)

    # Changing.

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute; see `opentelemetry.trace.Span.set_attribute`."""
        kind = type(value)
        # PERF: 0.3 µs for a plain value; through the SDK's bounded attributes it is 2.
        if kind in PLAIN_TYPES and type(key) is str and key and key not in RESERVED:
            with _LOCKS[self._span_id & 63]:
                if self._bounded is None and self._end_time is None:
                    limits = self._origin.limits
                    length, number = limits.max_span_attribute_length, limits.max_span_attributes
                    plain = self._plain
                    if plain is None:
                        plain = {}
                    elif plain is self._given:
                        plain = plain.copy()
                    if (kind is not str or length is None or len(value) <= length) and (
                        number is None or len(plain) < number
                    ):
                        plain.pop(key, None)  # what is set again comes last
                        plain[key] = value
                        self._plain = plain
                        return
        super().set_attribute(key, value)
        if isinstance(key, str) and key in RESERVED:
            self._reserved_was_set({key: value})

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        super().set_attributes(attributes)
        if not RESERVED.isdisjoint(attributes):
            self._reserved_was_set(attributes)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; see `opentelemetry.trace.Span.set_status`."""
        self._is_plain = False
        super().set_status(status, description)

    def update_name(self, name: str) -> None:
        """Give the span another name."""
        super().update_name(name if type(name) is str else text(name))

    def start(self, start_time: int | None = None, parent_context: Context | None = None) -> None:
        """Start the span; a tracer does that."""
        with self._lock:
            if self._start_time is not None:
                _log.warning("Calling start() on a started span.")
                return
            self._start_time = start_time if start_time is not None else clock.now_ns()
        if self._origin.listeners._span_processors:
            self._origin.processor.on_start(self, parent_context=parent_context)

    def end(self, end_time: int | None = None) -> None:
        """End the span, at `end_time` (Unix ns) or now."""
        now_ns = monotonic_ns() + clock.OFFSET_NS if end_time is None else instant(end_time)
        with _LOCKS[self._span_id & 63]:
            if self._start_time is None:
                raise RuntimeError("Calling end() on a not started span.")
            if self._end_time is not None:
                _log.warning("Calling end() on an ended span.")
                return
            self._end_time = now_ns
            if self._forked:
                return
        origin = self._origin
        around = self._parent_span
        if around is not None:  # the parent is not kept alive for longer than need be
            self._parent_span = None
            self._parent_given = around._context_made
            if around._flags != self._flags or around._trace_state is not self._trace_state:
                self._parent_given = around._context
        if self._record_end_metrics is not None:
            self._record_end_metrics()
        if origin.listeners._span_processors:
            try:
                on_ending = getattr(origin.processor, "_on_ending", None)  # SDK 1.40 and later
                if on_ending is not None:
                    on_ending(self)
                origin.processor.on_end(self._readable_span())
            finally:  # what somebody else's processor raises costs nobody a span
                if origin.pipeline is not None:
                    origin.pipeline.end(self)
        elif origin.pipeline is not None:
            origin.pipeline.end(self)

    def leave_to_parent(self) -> None:
        """In a forked child: leave the end to the process that started the span."""
        self._forked = True

    def __repr__(self) -> str:
        return f'{type(self).__name__}(name="{self._name}", context={self._context})'

    def _reserved_was_set(self, given: Mapping[str, Any]) -> None:
        """Follow an attribute that says where the span belongs, if it was set by hand."""
        attributes = self._attributes
        if not attributes._immutable:
            self._keep_whole(attributes, given)
        exec_id = attributes.get(EXEC_ID)
        if exec_id:
            late = self._exec_id is None
            self._exec_id = text(exec_id)
            if late and self._node_id is None and self._span_type != EXECUTION:
                self._node_id = SYSTEM_NODE
            if late and self._origin.pipeline is not None and self._end_time is None:
                self._origin.pipeline.open[self._span_id] = self
        node_id = attributes.get(NODE_ID)
        if node_id is not None:
            self._node_id = text(node_id)
        self._cancelled = bool(attributes.get(CANCELLED))

    def _take_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Take the attributes that a span starts with."""
        limits = self._origin.limits
        if (
            type(attributes) is dict
            and (
                limits.max_span_attributes is None or len(attributes) <= limits.max_span_attributes
            )
            and limits.max_span_attribute_length is None
            and PLAIN_TYPES.issuperset(map(type, attributes.values()))
            and all(type(name) is str and name for name in attributes)
        ):
            self._plain = attributes.copy()
        else:
            self._bounded = self._bound(attributes)

    def _take_events(self, events: Sequence[Event]) -> None:
        limits = self._limits
        for event in events:
            event._attributes = BoundedAttributes(
                limits.max_event_attributes,
                event.attributes,
                max_value_len=limits.max_attribute_length,
            )
            self._events.append(event)

    def _bound(self, attributes: Mapping[str, Any] | None) -> BoundedAttributes:
        limits = self._origin.limits
        bounded = BoundedAttributes(
            limits.max_span_attributes,
            attributes,
            immutable=False,
            max_value_len=limits.max_span_attribute_length,
        )
        if attributes and limits.max_span_attribute_length is not None:
            self._keep_whole(bounded, attributes)
        return bounded

    def _keep_whole(self, bounded: BoundedAttributes, given: Mapping[str, Any]) -> None:
        """Undo what a limit on lengths has done to ids: cut, they could be those of others."""
        is_in_execution = self._exec_id is not None or EXEC_ID in given
        if is_in_execution and self._origin.limits.max_span_attribute_length is not None:
            for name in IDENTIFYING.intersection(given):
                if type(given[name]) is str and name in bounded:
                    bounded._dict[name] = given[name]


class LeftSpan(Span):
    """A span that was left while others were open; a tracer does not take it for a parent."""


Span.left_class = LeftSpan


def instant(given: Any) -> int:
    """Return a time that was given (Unix ns) as an integer; the present for what is no time.

    ``time.time() * 1e9`` is a float.
    """
    if type(given) is int:
        return given
    try:
        return int(given)
    except Exception:
        return clock.now_ns()
