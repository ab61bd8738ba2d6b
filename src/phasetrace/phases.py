"""The calls a program instruments itself with.

`time_phase`, `atime_phase`, `timed` and `atimed` take their ids by argument; `execution`, `node`
and `phase` nest, and take from the context what they are not given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from phasetrace.attributes import text
from phasetrace.instrument import CallScope, instrumented, is_descriptor, require_function
from phasetrace.scopes import NOTHING, ExecutionScope, NodeScope, PhaseScope, Scope

Function = TypeVar("Function", bound=Callable[..., Any])


def time_phase(exec_id: str, node_id: str, phase: str, **metadata: Any) -> Scope:
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
    if _is_empty(exec_id):
        return NOTHING
    return PhaseScope(exec_id, node_id, phase, metadata)


def atime_phase(exec_id: str, node_id: str, phase: str, **metadata: Any) -> Scope:
    """Time a phase of asynchronous code: `time_phase`, for ``async with``."""
    if _is_empty(exec_id):
        return NOTHING
    return PhaseScope(exec_id, node_id, phase, metadata)


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
        node_id_of = _argument(parameters, node_id_param)
        exec_id_of = _argument(parameters, exec_id_param)

        def scope_for(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallScope:
            exec_id = exec_id_of(args, kwargs)
            if exec_id is not None and _is_empty(exec_id):
                return NOTHING
            return PhaseScope(exec_id, node_id_of(args, kwargs), name, {})

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


def phase(name: str, /, **attributes: Any) -> Scope:
    """Time a phase of the current node: context manager and decorator; gives the span.

    `attributes` may have a ``name`` of their own.
    """
    return PhaseScope(None, None, name, attributes)


def _is_empty(exec_id: object) -> bool:
    """Tell whether an id switches timing off; asks no ``__bool__`` or ``==`` of the program's."""
    # PERF: on the path of every phase; the usual type takes one comparison.
    if type(exec_id) is str:
        return not exec_id
    return exec_id is None or text(exec_id) == ""


_ArgumentOf = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except Exception:  # a builtin without a signature, or an object that is wrong about its own
        return []


def _argument(parameters: list[inspect.Parameter], name: str) -> _ArgumentOf:
    """Return a function that finds one argument of a call; the search is done here, once."""
    positions = {parameter.name: index for index, parameter in enumerate(parameters)}
    declared = {parameter.name: parameter for parameter in parameters}.get(name)
    default = None
    position = len(parameters) + 1_000_000  # past any argument list
    if declared is not None:
        if declared.default is not inspect.Parameter.empty:
            default = declared.default
        if declared.kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            position = positions[name]

    def argument_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if position < len(args):
            return args[position]
        return kwargs.get(name, default)

    return argument_of
