"""The calls a program instruments itself with.

`time_phase`, `atime_phase`, `timed` and `atimed` take their ids by argument; `execution`, `node`
and `phase` nest, and take from the context what they are not given.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, TypeVar, overload

from opentelemetry.trace import Span

from phasetrace import phase_span
from phasetrace.attributes import text
from phasetrace.instrument import CallScope, instrumented, is_descriptor, require_function
from phasetrace.phase_span import new_nested_phase, new_phase
from phasetrace.scopes import NOTHING, ExecutionScope, NodeScope, PhaseScope, Scope

Function = TypeVar("Function", bound=Callable[..., Any])


class Phase(Protocol):
    """A phase: for ``with`` and ``async with``, and a decorator; gives the span."""

    def __enter__(self) -> Span: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    async def __aenter__(self) -> Span: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __call__(self, function: Function, /) -> Function: ...  # noqa: D102


def time_phase(exec_id: str, node_id: str, phase: str, **metadata: Any) -> Phase:
    """Time a phase of a node of an execution, as a span.

    Works with ``with`` and ``async with``, in any thread or task; gives the span. `metadata` become
    attributes, values of any type. The span's parent is the enclosing phase of the same execution;
    without one it is the open node, or the execution's root, in the trace that `exec_id` names.

    An exception is recorded, marks the span as error and goes on; a cancelled task is marked
    cancelled. An empty `exec_id` does nothing.

    Example:
        with time_phase("exec_1", "node_1", "llm_completion", model="m") as span:
            span.set_attribute("gen_ai.usage.output_tokens", 42)
    """
    # PERF: three types in a row take 0.04 µs.
    if phase_span.is_off:
        return NOTHING
    if type(exec_id) is str is type(node_id) is type(phase):
        return new_phase(exec_id, node_id, phase, metadata) if exec_id else NOTHING
    return _unusual_phase(exec_id, node_id, phase, metadata)


def atime_phase(exec_id: str, node_id: str, phase: str, **metadata: Any) -> Phase:
    """Time a phase of asynchronous code: `time_phase`, for ``async with``."""
    if phase_span.is_off:
        return NOTHING
    if type(exec_id) is str is type(node_id) is type(phase):
        return new_phase(exec_id, node_id, phase, metadata) if exec_id else NOTHING
    return _unusual_phase(exec_id, node_id, phase, metadata)


@overload
def timed(phase: Function) -> Function: ...
@overload
def timed(
    phase: str | None = None,
    node_id_param: str = "node_id",
    exec_id_param: str = "execution_id",
) -> Callable[[Function], Function]: ...
def timed(
    phase: Any = None,
    node_id_param: str = "node_id",
    exec_id_param: str = "execution_id",
) -> Any:
    """Time every call of a function as a phase (default name: the function's).

    The ids are taken from the call's arguments of these names, positional, keyword or default; what
    is absent or None is taken from the enclosing phase. Works on functions, coroutine functions,
    generators and async generators.

    Raises:
        TypeError: at decoration, if what is decorated is no function, but a descriptor, say.
    """
    if callable(phase) or is_descriptor(phase):
        return timed()(phase)

    def decorate(function: Function) -> Function:
        require_function(function)
        name = phase
        if phase is None or text(phase) == "":
            name = getattr(function, "__name__", type(function).__name__)
        parameters = _parameters(function)
        node_at, node_default = _argument(parameters, node_id_param)
        exec_at, exec_default = _argument(parameters, exec_id_param)
        usual = type(name) is str

        # PERF: one call for all that has to be found out about a call of the function.
        def scope_for(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallScope:
            if exec_at < len(args):
                exec_id = args[exec_at]
            else:
                exec_id = kwargs.get(exec_id_param, exec_default)
            if node_at < len(args):
                node_id = args[node_at]
            else:
                node_id = kwargs.get(node_id_param, node_default)
            if phase_span.is_off:
                return NOTHING
            if (
                usual
                and (type(exec_id) is str or exec_id is None)
                and (type(node_id) is str or node_id is None)
            ):
                return NOTHING if exec_id == "" else new_phase(exec_id, node_id, name, {})
            if exec_id is not None and _is_empty(exec_id):
                return NOTHING
            return PhaseScope(exec_id, node_id, name, {})

        return instrumented(function, scope_for)

    return decorate


atimed = timed
"""`timed`, under the name that the seed gave it for coroutine functions."""


def execution(exec_id: str | None = None, name: str | None = None, **attributes: Any) -> Scope:
    """Open an execution: one run of a workflow, one trace.

    `exec_id` None takes the id that ``phasetrace run --exec-id`` was given, or makes a new one; an
    empty one does nothing. Context manager (``with``, ``async with``) and decorator; gives the root
    span. `name` is what the run is called in lists and in the trace (default: its id).
    """
    if exec_id is not None and _is_empty(exec_id):
        return NOTHING
    return ExecutionScope(exec_id, name, attributes)


def node(
    node_id: str,
    node_type: str | None = None,
    iteration: int | None = None,
    depends_on: Iterable[str] | None = (),
    **attributes: Any,
) -> Scope:
    """Open a node of the current execution: context manager and decorator; gives the span.

    `iteration` tells repeated runs of a node apart; `depends_on` names the nodes it waited for.
    """
    return NodeScope(None, node_id, node_type, iteration, depends_on, attributes)


def phase(name: str, /, **attributes: Any) -> Phase:
    """Time a phase of the current node: context manager and decorator; gives the span.

    `attributes` may have a ``name`` of their own.
    """
    if type(name) is str:
        return new_nested_phase(name, attributes)
    return PhaseScope(None, None, name, attributes)


def _unusual_phase(exec_id: Any, node_id: Any, phase: Any, metadata: dict[str, Any]) -> Scope:
    """Return a phase whose ids or name are not strings."""
    if _is_empty(exec_id):
        return NOTHING
    return PhaseScope(exec_id, node_id, phase, metadata)


def _is_empty(exec_id: object) -> bool:
    """Tell whether an id switches timing off; asks no ``__bool__`` or ``==`` of the program's."""
    # PERF: on the path of every phase; the usual type takes one comparison.
    if type(exec_id) is str:
        return not exec_id
    return exec_id is None or text(exec_id) == ""


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except Exception:  # a builtin without a signature, or an object that is wrong about its own
        return []


def _argument(parameters: list[inspect.Parameter], name: str) -> tuple[int, Any]:
    """Find an argument of a call; return where it stands in ``args``, and its default."""
    for position, parameter in enumerate(parameters):
        if parameter.name == name:
            default = parameter.default if parameter.default is not parameter.empty else None
            positional = parameter.kind in (
                inspect.Parameter.POSITIONAL_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
            )
            return (position if positional else sys.maxsize), default
    return sys.maxsize, None
