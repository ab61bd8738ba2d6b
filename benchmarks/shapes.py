"""The shapes in which phases occur, and how many operations of each are timed in a block.

A block of recording takes some milliseconds and makes fewer than 512 spans where it can, so that
the background threads (which wake every 100 ms, or when a batch of 512 is full) do their work
between the blocks. Eight threads need more than that to get in each other's way.
"""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """A way to use phases."""

    method: str
    """The method of a program that does it."""
    operations: int
    title: str


SHAPES = {
    "single": Shape("single", 500, "single phase"),
    "nested": Shape("nested", 480, "3 deep, with metadata"),
    "decorated": Shape("decorated", 500, "@timed, 4 parameters"),
    "tasks": Shape("tasks", 500, "async tasks"),
    "threads": Shape("threads", 8_000, "8 threads"),
    "exceptions": Shape("exceptions", 400, "exception"),
    "disabled": Shape("disabled", 20_000, "disabled: empty exec_id"),
    "bare": Shape("bare", 500, "bare span of a provider"),
    "wrapped": Shape("wrapped", 500, "function within time_phase"),
    "off": Shape("single", 20_000, "disabled: OTEL_SDK_DISABLED"),
    "off_bare": Shape("bare", 20_000, "no-op span"),
    "many_threads": Shape("threads", 32_000, "8 threads, 4,000 phases each"),
    "many_in_one": Shape("one_thread", 32_000, "1 thread, 32,000 phases"),
}

OVERVIEW = (
    "single",
    "nested",
    "decorated",
    "tasks",
    "threads",
    "exceptions",
    "disabled",
    "bare",
)
"""The shapes that every contestant is put through that has them."""
