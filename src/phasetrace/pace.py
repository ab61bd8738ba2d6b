"""Who drains the pipeline, and when the program has to wait for those behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from phasetrace.feed import Feed
from phasetrace.pipeline import HIGH_WATER, Pipeline
from phasetrace.store.forks import watch
from phasetrace.worker import Worker

INTERVAL_S: Final = 0.1


class Draining(Protocol):
    """A thread that drains the pipeline."""

    @property
    def backlog(self) -> int:
        """How many spans wait with it."""

    @property
    def keeps_up(self) -> bool:
        """Whether it is worth waiting for."""

    def wake(self) -> bool:
        """Have the pipeline drained soon; return False if nobody will do it."""


class Drainer:
    """Drains the pipeline ten times a second, where there is no store whose thread does it."""

    backlog = 0
    keeps_up = True

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._worker = Worker("phasetrace-drain", self._step)
        watch(self)

    def wake(self) -> bool:
        """Have the pipeline drained soon; return False if nobody will do it."""
        if self._worker.stopped:
            return False
        self._worker.wake()
        return True

    def stop(self) -> None:
        """Drain no more."""
        self._worker.stop()

    def before_fork(self) -> None:
        """End the thread; see `Worker`."""
        self._worker.before_fork(0.0)

    def after_fork_in_parent(self) -> None:
        """Go on with the next span."""
        self._worker.after_fork_in_parent()

    def after_fork(self) -> None:
        """Do nothing any more, in a forked child, which makes one of its own."""
        self._worker.after_fork()

    def _step(self) -> float:
        self._pipeline.drain()
        return INTERVAL_S


class Pace:
    """A draining thread, and the feeds behind it, which `feeds` returns."""

    def __init__(self, draining: Draining, feeds: Callable[[], Sequence[Feed]]) -> None:
        self._draining = draining
        self._feeds = feeds

    def wake(self) -> bool:
        """Have the pipeline drained soon; return False if nobody will do it."""
        return self._draining.wake()

    @property
    def keeps_up(self) -> bool:
        """Whether the draining thread is worth waiting for."""
        return self._draining.keeps_up

    @property
    def backlog(self) -> int:
        """How many spans wait with whoever has most; past `HIGH_WATER` the program waits.

        A receiver is slower than a disk, and has a longer queue: it counts from half of that on,
        and only while it answers.
        """
        backlog = self._draining.backlog
        for feed in self._feeds():
            if feed.keeps_up:
                backlog = max(backlog, feed.backlog - feed.limit // 2 + HIGH_WATER)
        return backlog
