"""Carrying the execution, the node and the current span to where Python does not carry them.

Context flows by itself into tasks, `asyncio.to_thread` and whatever else copies `contextvars`. It
does not flow into threads, executors, other processes, or callbacks that somebody calls later:

=========================================  =====================================================
into a callable, whoever calls it          `wrap`
into a ``ThreadPoolExecutor``, or into     `executor`
a ``ProcessPoolExecutor``
into a thread                              `Thread`
into a program that is started             ``subprocess.run(command, env=propagate.environ())``
into a message, a request                  `inject` there, and ``with attached(message)`` here
=========================================  =====================================================

Code that names its execution and node (``time_phase("exec_1", "node_1", …)``) needs none of this to
be counted rightly; what it gains is its parent.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import MethodType
from typing import Any, TypeVar, cast

from phasetrace import carrier as carriers
from phasetrace.current import attach, current_context
from phasetrace.environment import environment
from phasetrace.leaving import give_back

__all__ = ["Thread", "attached", "environ", "executor", "inject", "wrap"]

Function = TypeVar("Function", bound=Callable[..., Any])


def wrap(function: Function) -> Function:
    """Return `function` as one that runs in the context that is current now.

    Whichever thread, task or callback calls it, however often, and also at the same time. Of a
    coroutine function or a generator function it is the work itself that runs there. What is
    returned for a function of a module can be sent to other processes; there it has execution, node
    and span, and nothing else of the context.

    Raises:
        TypeError: if `function` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"propagate.wrap() takes something to call, not {function!r}")
    context = current_context()
    if inspect.iscoroutinefunction(function):

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            token = attach(context)
            try:
                return await function(*args, **kwargs)
            finally:
                give_back(token, context)

        wrapper: Any = run_async
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        wrapper = _generator(function, context)
    else:
        wrapper = _Carried(function, contextvars.copy_context())
    try:
        return cast("Function", functools.wraps(function)(wrapper))
    except Exception:  # an object that is wrong about its own name
        return cast("Function", wrapper)


def executor(executor: Executor) -> Executor:
    """Return an executor that runs everything in the context of whoever submitted it.

    What is submitted to the one given is run as before. Processes get execution, node and span;
    what else is in the context cannot be sent there.

    Raises:
        TypeError: if it is none. A ``multiprocessing.Pool`` takes functions that `wrap` returned.
    """
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"propagate.executor() takes an executor of concurrent.futures, not {executor!r}; "
            "a pool of multiprocessing takes functions that propagate.wrap() returned"
        )
    return _Executor(executor)


class Thread(threading.Thread):
    """A thread that runs in the context in which it was started."""

    def start(self) -> None:
        """Start; see `threading.Thread.start`."""
        # An attribute of the instance hides the method, and `threading.Thread` calls that.
        self.run = functools.partial(  # type: ignore[method-assign]
            contextvars.copy_context().run, self.run
        )
        super().start()


def environ(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for a program that takes part in what is current now.

    It is `base` (default: this process's) with ``TRACEPARENT``, ``TRACESTATE``, ``BAGGAGE`` and
    ``PHASETRACE`` as they are to be. Phases of the program that are in no execution of its own then
    belong to the execution and node that are current here.
    """
    carried: dict[str, str] = {}
    carriers.inject(carried, current_context())
    variables = dict(environment() if base is None else base)
    if carried:  # what is left of another context would be taken for a part of this one
        for name in carriers.in_environment(dict.fromkeys(carriers.fields(), "")):
            variables.pop(name, None)
    return {**variables, **carriers.in_environment(carried)}


def inject(carrier: dict[str, str] | None = None) -> dict[str, str]:
    """Write what is current now into the headers of a message or a request; return them."""
    carrier = {} if carrier is None else carrier
    carriers.inject(carrier, current_context())
    return carrier


@contextmanager
def attached(carrier: Mapping[str, str]) -> Iterator[None]:
    """Run the block in the context that `inject` has written, here or elsewhere.

    What a carrier does not say, or says wrongly, is as it is outside of the block.
    """
    context = carriers.extract(carrier, current_context())
    token = attach(context)
    try:
        yield
    finally:
        give_back(token, context)


class _Executor(Executor):
    """Wraps what is submitted, and leaves everything else to the executor inside."""

    def __init__(self, inside: Executor) -> None:
        self._inside = inside
        # Whoever is no pool of threads may have to send what it runs to somewhere else.
        self._is_elsewhere = (
            not isinstance(inside, ThreadPoolExecutor) or "Interpreter" in type(inside).__name__
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._inside.submit(self._wrapped(fn), *args, **kwargs)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **others: Any,
    ) -> Iterator[Any]:
        return self._inside.map(
            self._wrapped(fn), *iterables, timeout=timeout, chunksize=chunksize, **others
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        # Not all executors know the latter.
        self._inside.shutdown(wait, **({"cancel_futures": True} if cancel_futures else {}))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _Sent(function, inject()) if self._is_elsewhere else wrap(function)


class _Carried:
    """A function that runs in the context it was wrapped in."""

    def __init__(self, function: Callable[..., Any], variables: contextvars.Context) -> None:
        self._function = function
        self._variables = variables

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A context can be entered once at a time, and its copies are cheap.
        return self._variables.copy().run(self._function, *args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> tuple[type[_Sent], tuple[Callable[..., Any], dict[str, str]]]:
        return _Sent, (self._function, self._variables.copy().run(inject))


class _Sent:
    """A function with the context that it is to run in, for another process."""

    def __init__(self, function: Callable[..., Any], carrier: dict[str, str]) -> None:
        self._function = function
        self._carrier = carrier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with attached(self._carrier):
            return self._function(*args, **kwargs)


def _generator(function: Callable[..., Any], context: Any) -> Callable[..., Any]:
    """Return a generator function whose steps run in `context`, and its consumer's do not."""
    from phasetrace.instrument import instrumented

    return instrumented(function, lambda args, kwargs: _Steps(context))


class _Steps:
    """The scope of a generator's steps: a context, and no span."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._token: Any = None

    def __enter__(self) -> None:
        self.attach()

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def open(self) -> None:
        return None

    def attach(self) -> None:
        self._attached = self._context
        self._token = attach(self._attached)

    def detach(self) -> None:
        attached, self._context = self._attached, current_context()
        give_back(self._token, attached)

    def close(self, error: BaseException | None = None) -> None:
        return None
