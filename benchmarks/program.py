"""The program that is measured, as it is written for each kind of instrumentation.

`PhaseProgram` calls ``time_phase`` and its relatives, `SpanProgram` an OpenTelemetry tracer. Both
do the same, in the shapes that `shapes` lists: a method of a shape's name takes an execution's id
and a number of operations, and returns the work. What they call is called as a user would, without
an adapter in between.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, NamedTuple, Protocol

from benchmarks.rounds import Work

NODE = "node_1"
ITEMS = (1, 2, 3)
THREADS = 8


class PhaseApi(NamedTuple):
    """The calls that a `PhaseProgram` is written with."""

    time_phase: Callable[..., AbstractContextManager[Any]]
    atime_phase: Callable[..., AbstractAsyncContextManager[Any]]
    timed: Callable[[str], Callable[[Callable[..., Any]], Callable[..., Any]]]


class Tracer(Protocol):
    """What a `SpanProgram` needs of a tracer."""

    def start_as_current_span(self, name: str, *, attributes: Any = None) -> Any:
        """Return a context manager around a span."""


class Program:
    """What the two have in common: threads."""

    def single(self, exec_id: str, operations: int) -> Work:
        """Time one phase after the other, without metadata."""
        raise NotImplementedError

    def metadata(self, exec_id: str, operations: int) -> Work:
        """Time one phase after the other, with metadata."""
        raise NotImplementedError

    def one_thread(self, exec_id: str, operations: int) -> Work:
        """Time single phases in a thread."""
        return in_threads([self.single(exec_id, operations)])

    def threads(self, exec_id: str, operations: int) -> Work:
        """Time single phases in eight threads at once."""
        return in_threads([self.single(exec_id, operations // THREADS) for _ in range(THREADS)])


class PhaseProgram(Program):
    """A program that times phases."""

    def __init__(self, api: PhaseApi) -> None:
        self._api = api

    def single(self, exec_id: str, operations: int) -> Work:
        """Time one phase after the other, without metadata."""
        time_phase = self._api.time_phase

        def work() -> None:
            for _ in range(operations):
                with time_phase(exec_id, NODE, "work"):
                    pass

        return work

    def metadata(self, exec_id: str, operations: int) -> Work:
        """Time phases with two metadata, which makes four attributes."""
        time_phase = self._api.time_phase

        def work() -> None:
            for index in range(operations):
                with time_phase(exec_id, NODE, "work", model="m-large", index=index):
                    pass

        return work

    def nested(self, exec_id: str, operations: int) -> Work:
        """Time three phases within each other, with metadata; an operation is a phase."""
        time_phase = self._api.time_phase

        def work() -> None:
            for index in range(operations // 3):
                with (
                    time_phase(exec_id, NODE, "outer", model="m-large", index=index),
                    time_phase(exec_id, NODE, "middle", attempt=1),
                    time_phase(exec_id, NODE, "inner", cached=True, ratio=0.5),
                ):
                    pass

        return work

    def decorated(self, exec_id: str, operations: int) -> Work:
        """Call a decorated function of four parameters."""

        @self._api.timed("score")
        def score(node_id: str, execution_id: str, items: Sequence[int], factor: int = 1) -> int:
            return len(items) * factor

        def work() -> None:
            for _ in range(operations):
                score(NODE, exec_id, ITEMS, factor=2)

        return work

    def wrapped(self, exec_id: str, operations: int) -> Work:
        """Call the same function, undecorated, within a phase."""
        time_phase = self._api.time_phase

        def score(node_id: str, execution_id: str, items: Sequence[int], factor: int = 1) -> int:
            return len(items) * factor

        def work() -> None:
            for _ in range(operations):
                with time_phase(exec_id, NODE, "score"):
                    score(NODE, exec_id, ITEMS, factor=2)

        return work

    def tasks(self, exec_id: str, operations: int) -> Work:
        """Time a phase in each of many tasks, all of which are in it at the same time."""
        atime_phase = self._api.atime_phase

        async def task() -> None:
            async with atime_phase(exec_id, NODE, "work"):
                await asyncio.sleep(0)

        return in_tasks(task, operations)

    def exceptions(self, exec_id: str, operations: int) -> Work:
        """Time phases that an exception leaves."""
        time_phase = self._api.time_phase

        def work() -> None:
            for _ in range(operations):
                try:
                    with time_phase(exec_id, NODE, "work"):
                        raise ValueError("expected")
                except ValueError:
                    pass

        return work

    def disabled(self, exec_id: str, operations: int) -> Work:
        """Time nothing, by an empty id."""
        return self.single("", operations)


class SpanProgram(Program):
    """The same program, with an OpenTelemetry tracer."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def single(self, exec_id: str, operations: int) -> Work:
        """Make one span after the other, with the two ids."""
        tracer = self._tracer

        def work() -> None:
            for _ in range(operations):
                with tracer.start_as_current_span(
                    "work", attributes={"exec_id": exec_id, "node_id": NODE}
                ):
                    pass

        return work

    def metadata(self, exec_id: str, operations: int) -> Work:
        """Make spans of four attributes."""
        tracer = self._tracer

        def work() -> None:
            for index in range(operations):
                with tracer.start_as_current_span(
                    "work",
                    attributes={
                        "exec_id": exec_id,
                        "node_id": NODE,
                        "model": "m-large",
                        "index": index,
                    },
                ):
                    pass

        return work

    def nested(self, exec_id: str, operations: int) -> Work:
        """Make three spans within each other, with metadata; an operation is a span."""
        tracer = self._tracer

        def work() -> None:
            for index in range(operations // 3):
                ids = {"exec_id": exec_id, "node_id": NODE}
                outer = {**ids, "model": "m-large", "index": index}
                middle = {**ids, "attempt": 1}
                inner = {**ids, "cached": True, "ratio": 0.5}
                with (
                    tracer.start_as_current_span("outer", attributes=outer),
                    tracer.start_as_current_span("middle", attributes=middle),
                    tracer.start_as_current_span("inner", attributes=inner),
                ):
                    pass

        return work

    def decorated(self, exec_id: str, operations: int) -> Work:
        """Call a function of four parameters that makes a span with ids from its arguments.

        A tracer's own decorator cannot take them from there.
        """
        tracer = self._tracer

        def score(node_id: str, execution_id: str, items: Sequence[int], factor: int = 1) -> int:
            with tracer.start_as_current_span(
                "score", attributes={"exec_id": execution_id, "node_id": node_id}
            ):
                return len(items) * factor

        def work() -> None:
            for _ in range(operations):
                score(NODE, exec_id, ITEMS, factor=2)

        return work

    def tasks(self, exec_id: str, operations: int) -> Work:
        """Make a span in each of many tasks, all of which are in it at the same time."""
        tracer = self._tracer

        async def task() -> None:
            with tracer.start_as_current_span(
                "work", attributes={"exec_id": exec_id, "node_id": NODE}
            ):
                await asyncio.sleep(0)

        return in_tasks(task, operations)

    def exceptions(self, exec_id: str, operations: int) -> Work:
        """Make spans that an exception leaves."""
        tracer = self._tracer

        def work() -> None:
            for _ in range(operations):
                try:
                    with tracer.start_as_current_span(
                        "work", attributes={"exec_id": exec_id, "node_id": NODE}
                    ):
                        raise ValueError("expected")
                except ValueError:
                    pass

        return work

    def bare(self, exec_id: str, operations: int) -> Work:
        """Make spans with nothing but a name."""
        tracer = self._tracer

        def work() -> None:
            for _ in range(operations):
                with tracer.start_as_current_span("work"):
                    pass

        return work


def in_threads(works: Sequence[Work]) -> Work:
    """Start a thread for each work, and return the work of releasing them and waiting."""
    released = threading.Barrier(len(works) + 1)

    def run(work: Work) -> None:
        released.wait()
        work()

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()

    def work() -> None:
        released.wait()
        for thread in threads:
            thread.join()

    return work


def in_tasks(task: Callable[[], Coroutine[Any, Any, None]], number: int) -> Work:
    """Return the work of running so many tasks of this kind at once."""

    async def gather() -> None:
        await asyncio.gather(*(task() for _ in range(number)))

    return lambda: _loop().run_until_complete(gather())


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop
