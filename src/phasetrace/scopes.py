"""The context managers around a span: enter starts it and makes it current, exit ends it.

Every entry makes a span, also of a scope that is open already, as in recursion; as a decorator it
makes a fresh scope for every call. It works with ``with`` and with ``async with``. Nothing in here
raises into the measured program: a fault of our own is counted, and the program goes on with a span
that records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, Final, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span

from phasetrace import faults
from phasetrace.attributes import MAX_ITEMS, text
from phasetrace.current import attach, current_context
from phasetrace.identity import new_exec_id
from phasetrace.instrument import instrumented
from phasetrace.leaving import give_back, leave, without_left
from phasetrace.recorder import Recorder, Started
from phasetrace.redaction import in_force

Function = TypeVar("Function", bound=Callable[..., Any])


def _nothing_to_record_with() -> Recorder | None:
    return None


class _Source:
    """Where the recorder comes from; wiring puts it here. None records nothing."""

    recorder: Callable[[], Recorder | None] = staticmethod(_nothing_to_record_with)
    process: object = object()
    """Replaced in a forked child, so that it leaves its parent's open spans alone."""


source: Final = _Source()


class Scope:
    """A span around a stretch of code."""

    __slots__ = (
        "_attached",
        "_context",
        "_inner",
        "_process",
        "_recorder",
        "_span",
        "_token",
        "_within",
    )

    def __init__(self) -> None:
        self._span: Span | None = None
        self._token: Any = None
        self._within: Context | None = None
        """What was current when the work was last interrupted."""
        self._inner: list[Scope] | None = None
        """The further entries of a scope that was open already, the latest last."""

    def __enter__(self) -> Span:
        if self._span is not None:
            inner = self._again()
            self._inner = [*(self._inner or ()), inner]
            return inner.__enter__()
        span = self.open()
        self.attach()
        return span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope = self if not self._inner else self._left()
        token, scope._token = scope._token, None
        if token is not None:
            span: Any = scope._span
            with suppress(AttributeError):
                span._token = None
            leave(token, span)
        scope.close(error)

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function, generator function or async one."""
        return instrumented(function, lambda args, kwargs: self._again())

    def is_open(self) -> bool:
        """Tell whether an entry has not been left yet."""
        return self._span is not None or bool(self._inner)

    def open(self) -> Span:
        """Start the span without making it current."""
        try:
            recorder = source.recorder()
            if recorder is None:
                return INVALID_SPAN
            span, context = self._start(recorder)
            if span is INVALID_SPAN:  # tracing is suppressed here
                return INVALID_SPAN
        except Exception as error:
            faults.report("starting a span", error)
            return INVALID_SPAN
        self._recorder, self._span, self._context = recorder, span, context
        self._process = source.process
        return span

    def attach(self) -> None:
        """Make the span current, until `detach`; or what was current at the last one."""
        if self._span is not None:
            self._attached = self._within or self._context
            self._token = attach(self._attached)
            with suppress(AttributeError):  # where it is told to whoever is left before its turn
                self._span._token = self._token  # type: ignore[attr-defined]

    def detach(self) -> None:
        """Give the context back that `attach` replaced, and keep what is current by now.

        That may be a phase around a ``yield``.
        """
        token, self._token = self._token, None
        if token is not None:
            self._within = without_left(current_context())
            with suppress(AttributeError):
                self._span._token = None  # type: ignore[union-attr]
            give_back(token, self._attached)

    def close(self, error: BaseException | None = None) -> None:
        """End the span; `error` is the exception that ended the work, if any."""
        span, self._span = self._span, None
        if span is None or self._process is not source.process:
            return
        try:
            self._end(self._recorder, span, error)
        except Exception as fault:
            faults.report("ending a span", fault)

    def _left(self) -> Scope:
        """Return the entry that is being left: the one whose context is current.

        Threads and tasks that share a scope do not leave it in the order in which they entered it.
        """
        inner = self._inner or []
        current = current_context()
        entries = [*reversed(inner), self]
        latest = entries[0]
        left = next((entry for entry in entries if context_of(entry) is current), latest)
        self._inner = [entry for entry in inner if entry is not left]
        return left

    def _start(self, recorder: Recorder) -> Started:
        raise NotImplementedError

    def _again(self) -> Scope:
        raise NotImplementedError

    def _end(self, recorder: Recorder, span: Span, error: BaseException | None) -> None:
        recorder.end(span, error)


class PhaseScope(Scope):
    """A phase of a node."""

    __slots__ = ("_exec_id", "_metadata", "_name", "_node_id")

    def __init__(
        self, exec_id: str | None, node_id: str | None, name: str, metadata: Mapping[str, Any]
    ) -> None:
        self._span = self._token = self._inner = self._within = None
        self._exec_id = exec_id
        self._node_id = node_id
        self._name = name
        self._metadata = metadata

    def _start(self, recorder: Recorder) -> Started:
        return recorder.start_phase(self._exec_id, self._node_id, self._name, self._metadata)

    def _again(self) -> Scope:
        return PhaseScope(self._exec_id, self._node_id, self._name, self._metadata)


class NodeScope(Scope):
    """A node of an execution."""

    __slots__ = ("_depends_on", "_exec_id", "_iteration", "_metadata", "_node_id", "_node_type")

    def __init__(
        self,
        exec_id: str | None,
        node_id: str,
        node_type: str | None,
        iteration: Any,
        depends_on: object,
        metadata: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._exec_id = exec_id
        self._node_id = node_id
        self._node_type = node_type
        self._iteration = iteration
        self._depends_on = _names(depends_on)
        self._metadata = metadata

    def _start(self, recorder: Recorder) -> Started:
        return recorder.start_node(
            self._exec_id,
            self._node_id,
            self._node_type,
            self._iteration,
            self._depends_on,
            self._metadata,
        )

    def _end(self, recorder: Recorder, span: Span, error: BaseException | None) -> None:
        recorder.end(span, error)
        recorder.node_ended(self._context)

    def _again(self) -> Scope:
        return NodeScope(
            self._exec_id,
            self._node_id,
            self._node_type,
            self._iteration,
            self._depends_on,
            self._metadata,
        )


class ExecutionScope(Scope):
    """A whole execution."""

    __slots__ = ("_exec_id", "_metadata", "_name")

    def __init__(self, exec_id: str | None, name: str | None, metadata: Mapping[str, Any]) -> None:
        super().__init__()
        self._exec_id = exec_id
        self._name = name
        self._metadata = metadata

    def _start(self, recorder: Recorder) -> Started:
        exec_id = self._exec_id
        if exec_id is None:
            name = text(self._name) if self._name is not None else ""
            # An id is never redacted, and nobody has chosen this one.
            exec_id = recorder.executions.ambient_id or new_exec_id(in_force().name(name) or "exec")
        return recorder.start_execution(exec_id, self._name, self._metadata)

    def _end(self, recorder: Recorder, span: Span, error: BaseException | None) -> None:
        recorder.end(span, error)
        recorder.node_ended(self._context)

    def _again(self) -> Scope:
        return ExecutionScope(self._exec_id, self._name, self._metadata)


def _names(depends_on: Any) -> tuple[Any, ...]:
    """Return the nodes of a `depends_on`: many, none, or one that is not in a list."""
    if depends_on is None:
        return ()
    if issubclass(type(depends_on), (str, bytes)):
        return (depends_on,)
    try:
        return tuple(islice(depends_on, MAX_ITEMS))
    except Exception:  # not iterable, or not to its end
        return (depends_on,)


class _Nothing(Scope):
    """The scope of an empty `exec_id`: one for all, free of state."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return INVALID_SPAN

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        return None

    def __call__(self, function: Function) -> Function:
        return function

    def open(self) -> Span:
        return INVALID_SPAN

    def attach(self) -> None:
        return None

    def detach(self) -> None:
        return None

    def close(self, error: BaseException | None = None) -> None:
        return None


NOTHING: Final[Scope] = _Nothing()


def context_of(scope: Scope) -> Context | None:
    """Return the context in which an open scope's work runs."""
    return scope._context if scope._span is not None else None
