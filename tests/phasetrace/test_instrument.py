"""Putting a scope around calls: every kind of function, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from phasetrace.instrument import instrumented


class Log:
    """A scope that writes down what is done with it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __enter__(self) -> None:
        self.open()
        self.attach()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.detach()
        self.close(error)

    def open(self) -> None:
        """Note it."""
        self.calls.append("open")

    def attach(self) -> None:
        """Note it."""
        self.calls.append("attach")

    def detach(self) -> None:
        """Note it."""
        self.calls.append("detach")

    def close(self, error: BaseException | None = None) -> None:
        """Note it, with the error."""
        self.calls.append(f"close {type(error).__name__}" if error is not None else "close")


def plain() -> int:
    """Return a number."""
    return 1


async def coroutine() -> int:
    """Return a number."""
    return 1


def generator() -> Iterator[int]:
    """Give a number."""
    yield 1


async def async_generator() -> AsyncIterator[int]:
    """Give a number."""
    yield 1


@pytest.mark.parametrize("function", [plain, coroutine, generator, async_generator])
def test_the_result_is_of_the_same_kind(function: Any) -> None:
    """Frameworks ask what kind of function it is."""
    wrapped = instrumented(function, lambda args, kwargs: Log())
    for ask in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert ask(wrapped) == ask(function)
    assert wrapped.__name__ == function.__name__


def test_a_scope_is_attached_around_the_work_only() -> None:
    """It is opened before, and closed after."""
    log = Log()
    assert instrumented(plain, lambda args, kwargs: log)() == 1
    assert log.calls == ["open", "attach", "detach", "close"]


def test_a_scope_is_closed_with_the_error() -> None:
    """After it is no longer current."""
    log = Log()
    with pytest.raises(ZeroDivisionError):
        instrumented(lambda: 1 // 0, lambda args, kwargs: log)()
    assert log.calls == ["open", "attach", "detach", "close ZeroDivisionError"]


def test_a_generator_s_scope_is_not_current_between_items() -> None:
    """The consumer's work is its own."""
    log = Log()
    for _ in instrumented(generator, lambda args, kwargs: log)():
        log.calls.append("consume")
    around = ["attach", "detach"]
    assert log.calls == ["open", *around, "consume", *around, "close"]


def test_a_callable_object_can_be_instrumented() -> None:
    """A partial has no name, and is called all the same."""
    assert instrumented(partial(max, 1), lambda args, kwargs: Log())(2) == 2


@pytest.mark.parametrize("make", [staticmethod, classmethod, property, lambda function: 7])
def test_what_is_no_function_is_refused(make: Any) -> None:
    """A staticmethod can be called, yet would no longer be one in the class."""
    decorated = make(plain)
    with pytest.raises(TypeError, match="below @staticmethod, @classmethod or @property"):
        instrumented(decorated, lambda args, kwargs: Log())
