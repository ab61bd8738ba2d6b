"""A program whose event loop is watched while spans are recorded in it.

Usage: ``loop_delay.py phasetrace|nothing SECONDS``. It prints how late the loop was each time that
a task which sleeps for a millisecond was woken, in milliseconds, as one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

RATE = 500
WARM_UP = 200
"""Spans that are recorded first: imports and the store's making happen with the first ones."""
_TICK_S = 0.001


async def watch(seconds: float) -> list[float]:
    """Return the delays beyond the tick."""
    delays: list[float] = []
    end = time.monotonic() + seconds
    while (before := time.monotonic()) < end:
        await asyncio.sleep(_TICK_S)
        delays.append((time.monotonic() - before - _TICK_S) * 1000)
    return delays


async def record(span: Callable[[int], AbstractContextManager[Any]]) -> None:
    """Record spans at the rate until cancelled."""
    loop = asyncio.get_running_loop()
    due, seq = loop.time(), 0
    while True:
        with span(seq):
            pass
        seq += 1
        due += 1 / RATE
        await asyncio.sleep(max(0, due - loop.time()))


async def main() -> list[float]:
    """Record, and watch from the time that all is set up."""
    kind, seconds = sys.argv[1], float(sys.argv[2])
    recording = asyncio.create_task(record(span_of(kind)))
    await asyncio.sleep(WARM_UP / RATE)
    delays = await watch(seconds)
    recording.cancel()
    return delays


def span_of(kind: str) -> Callable[[int], AbstractContextManager[Any]]:
    """Return what makes a span of a number."""
    if kind == "nothing":
        return lambda seq: nullcontext()
    from phasetrace import time_phase

    return lambda seq: time_phase("loop", "node", "work", seq=seq)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"delays_ms": asyncio.run(main())}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what the end of a program takes is measured elsewhere
