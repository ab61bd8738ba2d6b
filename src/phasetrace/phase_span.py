"""The hot path: a phase that is its own span.

`time_phase` returns a span that has not started. Entering it is the start, leaving it the end; that
way a phase is one object. All phases pay for what is done in here, so nothing is allocated, locked,
looked up or converted that can wait:

- Ids, flags and trace come from the span around, or from the register of executions, as integers.
- Nobody is asked whether to sample, and there are no processors to be called. Where there are, or a
  sampler has to be asked about every span, or the provider is not ours, `arm` has not been called,
  and a phase goes the long way by `phasetrace.scopes`, which is right in every case.
- The end is an append to the pipeline's queue; adding up, encoding and writing come later.

The contract tests run over both ways. What the parts cost is in ``benchmarks``.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from time import monotonic_ns
from types import TracebackType
from typing import Any, Final, TypeVar

from opentelemetry import trace as trace_api
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context

from phasetrace import clock, current, faults
from phasetrace.attributes import MAX_VALUE_LENGTH, faithful, key
from phasetrace.context import suppresses
from phasetrace.current import (
    IS_STANDARD,
    SPAN_KEY,
    current_context,
    standard_attach,
    standard_context,
    standard_reset,
)
from phasetrace.executions import ExecutionState
from phasetrace.instrument import instrumented
from phasetrace.leaving import leave
from phasetrace.names import RESERVED
from phasetrace.pipeline import Pipeline
from phasetrace.recorder import Recorder, mark
from phasetrace.scopes import PhaseScope, Scope
from phasetrace.span import PLAIN_TYPES, Origin, Span
from phasetrace.spans import SYSTEM_NODE
from phasetrace.tracer import Tracer

Function = TypeVar("Function", bound=Callable[..., Any])

_UNUSUAL_KEYS: Final = RESERVED | {""}
_SHORT: Final = 1_024
_MAX_PLAIN: Final = 32

_new: Final = object.__new__
_new_span_id: Final = random.getrandbits

is_off = False
"""Nothing is recorded at all, because OpenTelemetry is disabled. Wiring sets it."""

# Set by arm(), all at once; no origin means that phases go the long way.
_origin: Any = None
_provider: Any = None
_offset_ns = 0
_recorder: Recorder
_states: dict[str, ExecutionState] = {}
_queue: Any = None
_append: Any = None
_open: Any = None
_close: Any = None
_crowded: Any = None
_pipeline: Any = None
_convert: Any = None
_max_length = MAX_VALUE_LENGTH


def arm(recorder: Recorder, provider: Any, pipeline: Pipeline) -> None:
    """Let phases take the short way, for as long as `provider` is the one installed globally.

    Does nothing where a phase has to do more than the short way does.
    """
    global _origin, _provider, _offset_ns, _states, _queue, _append, _open, _close, _crowded
    global _pipeline, _convert, _max_length, _recorder
    tracer = recorder.tracer
    if not (
        isinstance(tracer, Tracer)
        and tracer.is_plain()
        and tracer.origin.pipeline is pipeline
        and IS_STANDARD
        and not current.is_apart
        and hasattr(trace_api, "_TRACER_PROVIDER")
    ):
        return
    length, number = recorder.max_length, recorder.max_attributes
    if (length is not None and length < _SHORT) or (number is not None and number < _MAX_PLAIN):
        return  # each value would have to be looked at
    _max_length = length if length is not None else sys.maxsize
    _provider = provider
    _offset_ns = clock.OFFSET_NS
    _recorder = recorder
    _states = recorder.executions.states
    _convert = recorder.attributes
    _queue, _append = pipeline.queue, pipeline.queue.append
    _pipeline = pipeline
    _open, _close, _crowded = pipeline.open, pipeline.open.pop, pipeline.crowded
    _origin = tracer.origin


def disarm() -> None:
    """Send all phases the long way."""
    global _origin
    _origin = None


def new_phase(
    exec_id: str | None, node_id: str | None, name: str, metadata: dict[str, Any]
) -> PhaseSpan:
    """Return a phase that has not started; None is taken from the context."""
    # PERF: what each phase is asked for is set here although the class has the same: Python 3.11
    # finds a class-level default in 0.045 µs, an instance's own value in 0.005.
    span: PhaseSpan = _new(PhaseSpan)
    span._exec_id = exec_id
    span._node_id = node_id
    span._name = name
    span._start_time = None
    span._is_plain = True
    span._handed_on = False
    span._wire = None
    if metadata:
        span._plain = span._given = metadata
    else:
        span._plain = None
    return span


def new_nested_phase(name: str, metadata: dict[str, Any]) -> PhaseSpan:
    """Return a phase that has not started, of the execution and node around each entry."""
    span = new_phase(None, None, name, metadata)
    span._is_nested = True
    return span


class PhaseSpan(Span):
    """A phase: a span that starts when it is entered, becomes current, and ends when it is left.

    It can be entered more than once; each entry after the first makes a span of its own. As a
    decorator it makes a fresh phase for every call.
    """

    # `_token` is that of an entry by the short way, and None as soon as its end has to be looked at
    # closely.
    _kept_token: Any = None
    """The same, then."""
    _is_nested = False
    """Its ids come from the context; once it was entered, the fields are those of the span."""
    _scope: Scope | None = None
    """Holds the entries that went the long way."""

    def __init__(self) -> None:
        raise TypeError("phases are made by time_phase() and phase()")

    def __enter__(self) -> trace_api.Span:
        """Start the phase and make it current."""
        origin = _origin
        if (
            origin is None
            or trace_api._TRACER_PROVIDER is not _provider
            or self._start_time is not None
        ):
            return self._enter_scope()
        context = standard_context()
        parent: Any = None
        has_more = False  # the context, than a span
        if context:
            parent = context.get(SPAN_KEY)
            has_more = parent is None or len(context) > 1
            if has_more and suppresses(context):
                return self._enter_scope()
        exec_id, node_id = self._exec_id, self._node_id
        if (
            parent is not None
            and ((kind := type(parent)) is PhaseSpan or kind is Span)
            and (around_exec_id := parent._exec_id) is not None
            and (exec_id is None or exec_id == around_exec_id)
        ):
            around = parent._node_id
            if node_id is None or node_id == around:
                node_id = around or SYSTEM_NODE
                details = self._node_details = parent._node_details
                if details is not None:
                    self._is_plain = False
            elif (
                around is None
                and (known := _states.get(around_exec_id)) is not None
                and node_id in known.open_nodes
            ):
                return self._enter_scope()  # it belongs below the node's own span
            exec_id = around_exec_id
            self._trace_id = parent._trace_id
            self._parent_id = parent._span_id
            self._flags = parent._flags
            trace_state = self._trace_state = parent._trace_state
        else:
            if parent is not None and (has_more or (kind is not PhaseSpan and kind is not Span)):
                return self._enter_scope()  # it may be a remote one, of the same execution
            state = _states.get(exec_id) or _new_state(exec_id)  # type: ignore[arg-type]
            if state is None or node_id is None or node_id in state.open_nodes:
                return self._enter_scope()
            self._trace_id = state.trace_id
            self._parent_id = state.root_id
            self._flags = state.flags
            trace_state = self._trace_state = state.trace_state
        if trace_state is not None:
            self._is_plain = False
        metadata = self._plain
        if metadata is not None:
            is_plain = len(metadata) <= _MAX_PLAIN and _UNUSUAL_KEYS.isdisjoint(metadata)
            for value in metadata.values():
                if type(value) not in PLAIN_TYPES:
                    is_plain = False
                    break
            if not is_plain and not self._convert_metadata(origin):
                return self._enter_scope()
        self._exec_id, self._node_id = exec_id, node_id
        self._origin = origin
        span_id = self._span_id = _new_span_id(64)
        _open[span_id] = self
        # PERF: most contexts have nothing but a span in them, and a copy would cost 0.1 µs.
        self._token = standard_attach(
            Context({**context, SPAN_KEY: self} if has_more else {SPAN_KEY: self})
        )
        self._start_time = monotonic_ns() + _offset_ns
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the phase; an exception is recorded and goes on."""
        now_ns = monotonic_ns() + _offset_ns
        token = self._token
        if (
            token is None
            or error is not None
            or self._origin is not _origin
            or standard_context().get(SPAN_KEY) is not self
        ):
            self._exit_slowly(kind, error, traceback, now_ns)
            return
        self._token = None
        try:
            standard_reset(token)
        except ValueError:  # left by another thread or task than it was entered in
            leave(token, self)
        self._end_time = now_ns
        _append(self)
        _close(self._span_id, None)
        if len(_queue) > _pipeline.limit:
            _crowded()

    async def __aenter__(self) -> trace_api.Span:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function, generator function or async one."""
        exec_id, node_id = self._ids_given()
        name, metadata = self._name, self._given
        return instrumented(
            function, lambda args, kwargs: new_phase(exec_id, node_id, name, dict(metadata or {}))
        )

    def end(self, end_time: int | None = None) -> None:
        """End the span, at `end_time` (Unix ns) or now."""
        self.look_closely()
        super().end(end_time)

    def leave_to_parent(self) -> None:
        """In a forked child: leave the end to the process that started the span."""
        self.look_closely()
        super().leave_to_parent()

    # For a generator's work, which starts and ends more often than the phase.

    def open(self) -> trace_api.Span:
        """Start the phase without making it current."""
        return self._long_way().open()

    def attach(self) -> None:
        """Make the phase current, until `detach`."""
        self._long_way().attach()

    def detach(self) -> None:
        """Give the context back that `attach` replaced, and keep what is current by then."""
        self._long_way().detach()

    def close(self, error: BaseException | None = None) -> None:
        """End the phase; `error` is the exception that ended the work, if any."""
        self._long_way().close(error)

    def look_closely(self) -> None:
        """Have the end go the long way: there is more to it than ending this span."""
        if self._token is not None:
            self._kept_token, self._token = self._token, None

    def _enter_scope(self) -> trace_api.Span:
        return self._long_way().__enter__()

    def _long_way(self) -> Scope:
        self.look_closely()
        if self._scope is None:
            self._scope = PhaseScope(*self._ids_given(), self._name, self._given or {})
        return self._scope

    def _ids_given(self) -> tuple[str | None, str | None]:
        return (None, None) if self._is_nested else (self._exec_id, self._node_id)

    def _exit_slowly(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        now_ns: int,
    ) -> None:
        self.look_closely()
        token, scope = self._kept_token, self._scope
        if scope is not None and (
            token is None or (scope.is_open() and current_context().get(SPAN_KEY) is not self)
        ):
            scope.__exit__(kind, error, traceback)
            return
        if token is None:
            return
        self._kept_token = None
        leave(token, self)
        if self._end_time is None:
            try:
                if error is not None:
                    mark(self, error, now_ns, _max_length)
            except Exception as fault:  # a hostile exception; the span ends all the same
                faults.report("recording an exception", fault)
            try:
                self.end(now_ns)
            except Exception as fault:
                faults.report("ending a span", fault)

    def _convert_metadata(self, origin: Origin) -> bool:
        """Convert what was given; return False if it says more than metadata can."""
        metadata = self._plain or {}
        if len(metadata) > _MAX_PLAIN or not RESERVED.isdisjoint(metadata):
            return False
        self._origin = origin
        self._bounded = super()._bound(_convert(metadata))
        self._plain = None
        self._is_plain = False
        return True

    def exceeds_limits(self) -> bool:
        """Tell whether a value is longer than one may be; looked at only when it is encoded."""
        plain = self._plain or {}
        return any(type(value) is str and len(value) > _max_length for value in plain.values())

    def _bound(self, attributes: Mapping[str, Any] | None) -> BoundedAttributes:
        # Only here, since hardly anybody looks: what a span cannot carry becomes what it can.
        given = (attributes or {}).items()
        return super()._bound({key(name): faithful(value, _max_length) for name, value in given})


class _LeftPhase(PhaseSpan):
    """A phase that was left while others were open; `__enter__` does not take it for a parent."""


PhaseSpan.left_class = _LeftPhase


def _new_state(exec_id: str | None) -> ExecutionState | None:
    """Take note of an execution that nobody has opened; None where more than that is to be done."""
    if exec_id is None or not exec_id.isascii() or _pipeline.first_use is not None:
        return None
    try:
        return _recorder.state_of(exec_id)
    except Exception as fault:  # a sampler of the application's
        faults.report("starting an execution", fault)
        return None


def _make_room() -> None:
    """Have every phase made with room for what it is given later, when it has ended.

    PERF: since Python 3.11 the values of an instance lie in place, as many as its class has been
    seen with. One more, and they move to a dict of their own, which is 0.8 kB for each span that
    waits to be exported.
    """
    phase = new_phase("", "", "", {"": ""})
    phase._trace_id = phase._parent_id = phase._flags = phase._span_id = 0
    phase._start_time = phase._end_time = 0
    phase._origin = phase._token = phase._wire = None  # type: ignore[assignment]
    phase._handed_on = True


_make_room()
