"""Putting a scope around every call of a function, whatever kind of function it is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


class CallScope(Protocol):
    """What is put around a call.

    A generator's is opened and closed once, and attached while the work runs; any other call's is
    entered and left.
    """

    def __enter__(self) -> Any: ...
    def __exit__(self, kind: Any, error: Any, traceback: Any, /) -> None: ...
    def open(self) -> Any: ...  # noqa: D102
    def attach(self) -> None: ...  # noqa: D102
    def detach(self) -> None: ...  # noqa: D102
    def close(self, error: BaseException | None = None) -> None: ...  # noqa: D102


_DESCRIPTORS: Final = (staticmethod, classmethod, property)
# A staticmethod object can be called since Python 3.10, yet what is put around it is no longer one.

ScopeFor = Callable[[tuple[Any, ...], dict[str, Any]], CallScope]


def is_descriptor(decorated: object) -> bool:
    """Tell whether this is what @staticmethod, @classmethod or @property make of a function."""
    return issubclass(type(decorated), _DESCRIPTORS)


def require_function(decorated: object) -> None:
    """Refuse what no scope can be put around.

    Raises:
        TypeError: saying where the decorator belongs.
    """
    if is_descriptor(decorated) or not callable(decorated):
        kind = "descriptor" if is_descriptor(decorated) else "object that is not callable"
        raise TypeError(
            f"cannot time {decorated!r}, a {type(decorated).__name__} {kind}; put the decorator "
            "below @staticmethod, @classmethod or @property, next to the function"
        )


def instrumented(function: Function, scope_for: ScopeFor) -> Function:
    """Return `function` with the scope that `scope_for(args, kwargs)` gives around each call.

    The result is of the same kind (coroutine function, generator function, …). The scope of a
    generator lasts from the first item asked for to its end; between items, while the consumer
    works, it is not current.

    Raises:
        TypeError: if `function` is not a function, as `require_function` says.
    """
    require_function(function)
    if inspect.iscoroutinefunction(function):
        wrapper: Any = _coroutine(function, scope_for)
    elif inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, scope_for)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, scope_for)
    else:
        wrapper = _plain(function, scope_for)
    return cast("Function", functools.wraps(function)(wrapper))


@contextmanager
def _current(scope: CallScope) -> Generator[None, None, None]:
    scope.attach()
    try:
        yield
    finally:
        scope.detach()


def _plain(function: Callable[..., Any], scope_for: ScopeFor) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with scope_for(args, kwargs):
            return function(*args, **kwargs)

    return wrapper


def _coroutine(function: Callable[..., Any], scope_for: ScopeFor) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with scope_for(args, kwargs):
            return await function(*args, **kwargs)

    return wrapper


def _generator(function: Callable[..., Any], scope_for: ScopeFor) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        scope = scope_for(args, kwargs)
        generator = function(*args, **kwargs)
        scope.open()
        try:
            resume, value = generator.send, None
            while True:
                with _current(scope):
                    try:
                        item = resume(value)
                    except StopIteration as stop:
                        result = stop.value
                        break
                try:
                    value = yield item
                    resume = generator.send
                except GeneratorExit:
                    with _current(scope):
                        generator.close()
                    raise
                except BaseException as thrown:
                    resume, value = generator.throw, thrown
        except BaseException as error:
            scope.close(error)
            raise
        scope.close()
        return result

    return wrapper


def _async_generator(function: Callable[..., Any], scope_for: ScopeFor) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        scope = scope_for(args, kwargs)
        generator = function(*args, **kwargs)
        scope.open()
        try:
            resume, value = generator.asend, None
            while True:
                with _current(scope):
                    try:
                        item = await resume(value)
                    except StopAsyncIteration:
                        break
                try:
                    value = yield item
                    resume = generator.asend
                except GeneratorExit:
                    with _current(scope):
                        await generator.aclose()
                    raise
                except BaseException as thrown:
                    resume, value = generator.athrow, thrown
        except BaseException as error:
            scope.close(error)
            raise
        scope.close()

    return wrapper
