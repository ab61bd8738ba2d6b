"""Running a program: asyncio, threads and exceptions are real; what a scope does is a subclass's.

Everything that runs is told, as an `Env`, which span is the current one at its place in the
program. The model goes by that; the run with phasetrace is held to it.

Tasks take turns: one of them runs until it gives its turn away, and the program's schedule says who
goes on. So both runs of a program do the same things in the same order.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Sequence,
)
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, TypeVar

from tests.contract.programs import (
    Body,
    Boom,
    Cancel,
    Crash,
    Elsewhere,
    Generate,
    Hang,
    Open,
    Program,
    Raise,
    Scope,
    Step,
    Tasks,
    Together,
    Try,
    Turn,
)
from tests.contract.turns import (
    Turns,
    caught_thread,
    drive,
    drop,
    exhaust,
    finish,
    throw,
    throw_async,
)

Result = TypeVar("Result")


class Env(NamedTuple):
    """The current span, and what a `Hang` is to call."""

    span: Any
    hung: Callable[[], None] | None = None


Enter = Callable[[], AbstractContextManager[Env]]
"""To be called when a generator's body starts: gives the `Env` that it runs in."""


class Cell:
    """What is known of a generator while it is consumed."""

    def __init__(self, env: Env) -> None:
        self.env = env
        """Where the first item was asked for."""
        self.enter: Enter = lambda: nullcontext(self.env)
        """What its body starts with; the model and phasetrace have their own."""
        self.inside: Env | None = None
        """Where its body is, while it is within a scope that spans its yields."""


class Interpreter(ABC):
    """Runs one program; `journal` then tells which steps ran, and how each one ended."""

    nowhere: Any = None
    """The current span of code without context."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.journal: Counter[tuple[str, str]] = Counter()
        self._turns = Turns(iter(program.schedule))
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()  # guards journal and _times

    def run(self) -> None:
        """Run the program in an event loop of its own."""
        asyncio.run(self.steps(self.program.body, Env(self.nowhere)))

    # What a subclass says.

    @abstractmethod
    def entries(
        self, scope: Scope, uids: Sequence[str], env: Env
    ) -> list[AbstractContextManager[Env]]:
        """Return a context manager for each of the spans `uids`, all of one scope."""

    @abstractmethod
    def async_entries(self, scope: Scope, uids: Sequence[str], env: Env) -> list[Any]:
        """Return the same for ``async with``."""

    @abstractmethod
    def call(self, scope: Scope, uid: str, env: Env, function: Callable[[Env], Result]) -> Result:
        """Call a function that the scope decorates."""

    @abstractmethod
    async def call_async(
        self, scope: Scope, uid: str, env: Env, function: Callable[[Env], Coroutine[Any, Any, None]]
    ) -> None:
        """Call a coroutine function that the scope decorates."""

    @abstractmethod
    def generator(
        self, scope: Scope | None, uid: str, cell: Cell, function: Callable[..., Any]
    ) -> Any:
        """Return a generator of a generator function, sync or async, that the scope decorates."""

    @abstractmethod
    def thread(self, env: Env, how: str, run: Callable[[Env], None]) -> threading.Thread:
        """Return a thread that has not started."""

    @abstractmethod
    def pool(self, env: Env, how: str, run: Callable[[Env], None]) -> None:
        """Run something in a pool of threads."""

    @abstractmethod
    def wrapped(
        self, env: Env, run: Callable[[Env], Result], is_async: bool
    ) -> Callable[[], Result]:
        """Return a callable that runs in the context of here, whoever calls it."""

    def check(self, env: Env, where: str) -> None:
        """Hold what is current to what should be; the model has nothing to check."""
        return

    # The steps.

    async def steps(self, steps: Body, env: Env) -> None:
        """Run steps one after the other."""
        for step in steps:
            self.check(env, "before " + step.id)
            outcome = "done"
            try:
                await self._step(step, env)
            except BaseException as error:
                outcome = type(error).__name__
                raise
            finally:
                self.check(env, "after " + step.id)
                with self._lock:
                    self.journal[step.id, outcome] += 1

    async def _step(self, step: Step, env: Env) -> None:
        run: Any = getattr(self, f"_{type(step).__name__.lower()}")
        await run(step, env)

    def uid(self, step_id: str) -> str:
        """Return what a step that runs calls its span."""
        with self._lock:
            self._times[step_id] += 1
            return f"{step_id}#{self._times[step_id]}"

    async def _open(self, step: Open, env: Env) -> None:
        uids = [self.uid(step.id) for _ in range(step.times)]
        if step.how == "function":
            self.call(step.scope, uids[0], env, lambda inner: drive(self.steps(step.body, inner)))
        elif step.how == "coroutine":
            await self.call_async(
                step.scope, uids[0], env, lambda inner: self.steps(step.body, inner)
            )
        elif step.how == "with":
            await self._nested(self.entries(step.scope, uids, env), step.body, env)
        else:
            await self._nested_async(self.async_entries(step.scope, uids, env), step.body, env)

    async def _nested(
        self, entries: list[AbstractContextManager[Env]], body: Body, env: Env
    ) -> None:
        if not entries:
            await self.steps(body, env)
            return
        with entries[0] as inner:
            await self._nested(entries[1:], body, inner)

    async def _nested_async(self, entries: list[Any], body: Body, env: Env) -> None:
        if not entries:
            await self.steps(body, env)
            return
        async with entries[0] as inner:
            await self._nested_async(entries[1:], body, inner)

    def _maybe(self, scope: Scope | None, at: str, env: Env) -> AbstractContextManager[Env]:
        if scope is None:
            return nullcontext(env)
        return self.entries(scope, [self.uid(at)], env)[0]

    async def _raise(self, step: Raise, env: Env) -> None:
        raise Boom(step.id) if step.error == "Boom" else Crash(step.id)

    async def _try(self, step: Try, env: Env) -> None:
        caught = {"Boom": Boom, "Exception": Exception, "nothing": ()}[step.caught]
        try:
            await self.steps(step.body, env)
        except caught:  # type: ignore[misc]  # a class, or none
            await self.steps(step.handler, env)
        finally:
            await self.steps(step.final, env)

    async def _turn(self, step: Turn, env: Env) -> None:
        await self._turns.pause()

    async def _hang(self, step: Hang, env: Env) -> None:
        assert env.hung is not None
        env.hung()
        await asyncio.get_running_loop().create_future()

    async def _cancel(self, step: Cancel, env: Env) -> None:
        if step.how == "timeout":
            try:
                async with asyncio.timeout(None) as limit:  # type: ignore[attr-defined,unused-ignore]
                    await self.steps(step.body, env._replace(hung=lambda: limit.reschedule(-1)))
            except TimeoutError:
                pass
            return
        reached = asyncio.Event()
        task = asyncio.create_task(self.steps(step.body, env._replace(hung=reached.set)))
        task.add_done_callback(lambda _: reached.set())
        try:
            await reached.wait()
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _tasks(self, step: Tasks, env: Env) -> None:
        starts = [self._turns.waiting() for _ in step.branches]
        left = [len(starts)]

        async def branch(start: asyncio.Future[None], body: Body) -> None:
            try:
                await start
                await self.steps(body, env)
            except asyncio.CancelledError:
                raise
            except BaseException:
                left[0] -= 1
                if step.how == "gather" and left[0]:  # a group cancels the others
                    self._turns.next()
                raise
            left[0] -= 1
            if left[0]:
                self._turns.next()

        branches = [branch(*each) for each in zip(starts, step.branches, strict=True)]
        try:
            if step.how == "group":
                await self._group(branches)
            else:
                tasks = [asyncio.create_task(one) for one in branches]
                self._turns.next()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, BaseException):
                        raise result
        finally:
            self._turns.forget(starts)

    async def _group(self, branches: list[Coroutine[Any, Any, None]]) -> None:
        """Run branches in a task group, which leaves its task as often cancelled as it was.

        Before Python 3.13 one that a branch made fail does not: it cancels its task, never takes
        that back (https://github.com/python/cpython/issues/116720), and a timeout around it that
        expires later lets the cancellation out.
        """
        group = asyncio.TaskGroup()  # type: ignore[attr-defined,unused-ignore]
        try:
            async with group:
                for one in branches:
                    group.create_task(one)
                self._turns.next()
        except BaseException:
            if sys.version_info < (3, 13) and group._parent_cancel_requested:
                group._parent_task.uncancel()
            raise

    async def _elsewhere(self, step: Elsewhere, env: Env) -> None:
        def run(inner: Env) -> None:
            drive(self.steps(step.body, inner._replace(hung=None)))

        if step.how == "to_thread":
            await asyncio.to_thread(run, env)
        elif step.how in ("pool", "executor"):
            self.pool(env, step.how, run)
        elif step.how in ("thread", "Thread"):
            finish([self.thread(env, step.how, run)])
        elif step.how == "wrap in thread":
            wrapped = self.wrapped(env, run, is_async=False)
            finish([self.thread(env, "thread", lambda _: wrapped())])
        elif step.how == "wrap":
            wrapped = self.wrapped(env, run, is_async=False)
            with self._maybe(step.within, step.id, env):
                wrapped()
        else:
            work = self.wrapped(env, lambda inner: self.steps(step.body, inner), is_async=True)
            with self._maybe(step.within, step.id, env):
                await work()

    async def _together(self, step: Together, env: Env) -> None:
        barrier = threading.Barrier(len(step.bodies))

        def make(body: Body) -> threading.Thread:
            def run(inner: Env) -> None:
                barrier.wait()
                drive(self.steps(body, inner._replace(hung=None)))

            return self.thread(env, "Thread", run)

        finish([make(body) for body in step.bodies])

    # Generators.

    async def _generate(self, step: Generate, env: Env) -> None:
        cell = Cell(env)
        produce = self._async_producer if step.is_async else self._producer
        box = [self.generator(step.scope, self.uid(step.id), cell, produce(step, cell))]
        with self._maybe(step.within, f"{step.id}.within", env) as inner:
            cell.env = inner
            # An undecorated one leaves its span current where it was dropped by somebody else.
            leaks = step.scope is None and (
                step.ending == "dropped elsewhere" or (step.is_async and step.ending == "dropped")
            )
            if step.is_async:
                consuming = self._consume_async(step, box, cell, inner)
                await (asyncio.create_task(consuming) if leaks else consuming)
            elif leaks:
                contextvars.copy_context().run(drive, self._consume(step, box, cell, inner))
            else:
                await self._consume(step, box, cell, inner)

    def _producer(self, step: Generate, cell: Cell) -> Callable[..., Iterator[int]]:
        def produce(node_id: Any = None, execution_id: Any = None) -> Iterator[int]:
            with cell.enter() as env:
                try:
                    with self._around(step, cell, env) as inner:
                        for number, section in enumerate(step.sections):
                            drive(self.steps(section, inner))
                            try:
                                yield number
                            except Boom:
                                if not step.catches:
                                    raise
                finally:
                    drive(self.steps(step.cleanup, env))

        return produce

    def _async_producer(self, step: Generate, cell: Cell) -> Callable[..., AsyncIterator[int]]:
        async def produce(node_id: Any = None, execution_id: Any = None) -> AsyncIterator[int]:
            with cell.enter() as env:
                try:
                    with self._around(step, cell, env) as inner:
                        for number, section in enumerate(step.sections):
                            await self.steps(section, inner)
                            try:
                                yield number
                            except Boom:
                                if not step.catches:
                                    raise
                finally:
                    await self.steps(step.cleanup, env)

        return produce

    @contextmanager
    def _around(self, step: Generate, cell: Cell, env: Env) -> Iterator[Env]:
        with self._maybe(step.around, f"{step.id}.around", env) as inner:
            cell.inside = inner
            try:
                yield inner
            finally:
                cell.inside = None

    def _between(self, step: Generate, cell: Cell, env: Env) -> Env:
        """Return what is current for the consumer: an undecorated generator's span is."""
        if step.scope is None and cell.inside is not None:
            return env._replace(span=cell.inside.span)
        return env

    async def _consume(self, step: Generate, box: list[Any], cell: Cell, env: Env) -> None:
        drops = step.ending.startswith("dropped")
        try:
            for _ in range(len(step.sections) if step.ending == "consumed" else step.taken):
                next(box[0])
                if not drops:
                    await self.steps(step.consumer, self._between(step, cell, env))
            between = self._between(step, cell, env)
            with self._maybe(_finale(step), f"{step.id}.finale", between):
                if step.ending == "moved" and step.scope is not None:
                    cell.env = cell.env if step.taken else Env(self.nowhere)
                    finish([caught_thread(lambda: list(box[0]))])
                elif step.ending == "thrown":
                    throw(box[0])
                elif step.ending == "closed":
                    box[0].close()
                elif step.ending == "dropped elsewhere":
                    finish([threading.Thread(target=box.clear)])
                elif drops:
                    box.clear()
                    gc.collect()
            if box:
                list(box[0])
        finally:
            while box:
                box.pop().close()

    async def _consume_async(self, step: Generate, box: list[Any], cell: Cell, env: Env) -> None:
        drops = step.ending.startswith("dropped")
        try:
            for _ in range(len(step.sections) if step.ending == "consumed" else step.taken):
                await anext(box[0])
                if not drops:
                    await self.steps(step.consumer, self._between(step, cell, env))
            between = self._between(step, cell, env)
            with self._maybe(_finale(step), f"{step.id}.finale", between) as last:
                if step.ending == "moved" and step.scope is not None:
                    cell.env = cell.env if step.taken else last
                    await asyncio.create_task(exhaust(box[0]))
                elif step.ending == "thrown":
                    await throw_async(box[0])
                elif step.ending == "closed":
                    await box[0].aclose()
                elif step.ending == "dropped elsewhere":
                    await asyncio.create_task(drop(box))
                elif drops:
                    await drop(box)
            if box:
                await exhaust(box[0])
        finally:
            while box:
                await box.pop().aclose()


def _finale(step: Generate) -> Scope | None:
    # The body of an undecorated generator that goes on would be within whatever is around that.
    goes_on = step.scope is None and step.ending == "thrown" and step.catches
    return None if goes_on else step.finale
