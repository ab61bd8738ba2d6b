"""What programs take turns with, and small things that they do with threads and generators."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from typing import Any

from tests.contract.programs import Boom


class Turns:
    """Whose turn it is: only one task at a time does not wait for it."""

    def __init__(self, schedule: Iterator[int]) -> None:
        self._schedule = schedule
        self._waiting: list[asyncio.Future[None]] = []

    def waiting(self) -> asyncio.Future[None]:
        """Return what to await until it is one's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        return turn

    def next(self) -> None:
        """Give the turn to whom the schedule says."""
        self._waiting.pop(next(self._schedule, 0) % len(self._waiting)).set_result(None)

    async def pause(self) -> None:
        """Give the turn away, and wait for the next one."""
        turn = self.waiting()
        self.next()
        try:
            await turn
        finally:
            self.forget([turn])

    def forget(self, turns: list[asyncio.Future[None]]) -> None:
        """Do without those who will not come any more."""
        self._waiting = [turn for turn in self._waiting if turn not in turns]


def drive(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing, outside of any event loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise AssertionError("it waits")


def finish(threads: list[threading.Thread]) -> None:
    """Run threads to their end; what one raises is raised here."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in threads:
        error = getattr(thread, "error", None)
        if error is not None:
            raise error


def caught_thread(
    run: Callable[[], Any], kind: type[threading.Thread] = threading.Thread
) -> threading.Thread:
    """Return a thread that keeps what `run` raises, for whoever joins it."""

    def target() -> None:
        try:
            run()
        except Exception as error:
            thread.error = error  # type: ignore[attr-defined]

    thread = kind(target=target)
    return thread


def throw(generator: Generator[int, None, None]) -> None:
    """Throw a `Boom` into a generator, which may survive it, or end."""
    with suppress(StopIteration):
        generator.throw(Boom("thrown"))


async def throw_async(generator: AsyncGenerator[int, None]) -> None:
    """Throw a `Boom` into an asynchronous generator."""
    with suppress(StopAsyncIteration):
        await generator.athrow(Boom("thrown"))


async def exhaust(generator: AsyncGenerator[int, None]) -> None:
    """Take all items that are left."""
    async for _ in generator:
        pass


async def drop(box: list[Any]) -> None:
    """Drop an asynchronous generator, and wait until the event loop has closed it."""
    box.clear()
    gc.collect()
    for _ in range(4):
        await asyncio.sleep(0)
