"""A program that records one execution with some of everything that a span can be or carry.

Usage: ``everything_program.py EXEC_ID``. What it records is the same every time, but for ids and
times: `SPANS` spans, those of an execution within it included.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final

from opentelemetry import trace

from phasetrace import execution, node, phase, propagate, time_phase, timing_collector

NAME: Final = "some of everything"
CHECKED_NODE: Final = "prüfen ✓"
LONG: Final = "so many characters: " * 3_000  # 60 kB
VALUES: Final[dict[str, Any]] = {
    "text": "schön 中文 🎉 \t\n\x01 end",
    "empty": "",
    "long": LONG,
    "truth": True,
    "untruth": False,
    "number": 42,
    "large": 2**63 - 1,
    "small": -(2**63),
    "ratio": 0.1,
    "tiny": 5e-324,
    "raw": b"\x00\xff raw",
    "texts": ["a", "ü", ""],
    "truths": [True, False],
    "numbers": [1, -2, 3],
    "ratios": [0.5, 2.5],
    "nothing": [],
    "mixed": [1, "x", None, 2.5, [True]],
    "nested": {"a": {"b": [1, {"c": "d"}]}, "e": None},
    "schlüssel": "keys, too",
}
"""Attributes of every type."""
SPANS: Final = 60


def work() -> None:
    """Take a few microseconds, so that no span is without a duration."""
    until_ns = time.perf_counter_ns() + 20_000
    while time.perf_counter_ns() < until_ns:
        pass


async def fetch(index: int) -> None:
    """Do what others do at the same time."""
    with phase("fetch", url=f"https://example.test/{index}"):
        await asyncio.sleep(0.001)
        with phase("parse"):
            work()


async def wait_for_ever() -> None:
    """Wait, in a phase within a phase."""
    with phase("wait"), phase("wait longer"):
        await asyncio.Event().wait()


async def cancelled() -> None:
    """Begin to wait, and be cancelled."""
    task = asyncio.ensure_future(wait_for_ever())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def in_thread() -> None:
    """Do a part of the work in a thread."""
    with phase("compute"), phase("add"):
        work()


async def main(exec_id: str) -> None:
    """Record the execution."""
    with execution(exec_id, name=NAME, user="ada"):
        async with node("extract", "io"):
            await asyncio.gather(*(fetch(index) for index in range(5)))
        for iteration in range(3):
            with node("transform", "cpu", iteration=iteration, depends_on=["extract"]):
                with phase("shape"), phase("clean", rows=100), phase("trim"):
                    work()
                with phase("join"):
                    work()
        with node("threads", "cpu", depends_on=["extract"]):
            threads = [propagate.Thread(target=in_thread) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        with node("fails"):
            try:
                with phase("attempt"), phase("boom"):
                    work()
                    raise ValueError("two\nlines ü")
            except ValueError:
                pass
        async with node("cancels"):
            await cancelled()
        with node(CHECKED_NODE, "check"):
            for number, (name, value) in enumerate(VALUES.items()):
                if number % 4 == 0:
                    with phase("value", **{name: value}):
                        work()
            with phase("values", **VALUES) as values:
                work()
                values.add_event("half way", {"at": 0.5, "who": ["ü"]})
                values.add_event("without attributes")
                values.add_link(trace.get_current_span().get_span_context(), {"why": "itself"})
        with node("calls", "io"):
            tracer = trace.get_tracer("a.library", "1.2", attributes={"of": "the scope"})
            with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT) as client:
                work()
                client.set_status(trace.StatusCode.OK)
                with tracer.start_as_current_span("send", kind=trace.SpanKind.PRODUCER):
                    work()
        with execution(f"{exec_id} within", name="within"), node("deep"), phase("deeper"):
            work()
        with node("load", "io", depends_on=["transform", "threads"]):
            with phase("write"):
                work()
            with phase("commit"):
                work()
        for _ in range(2):
            with time_phase(exec_id, "named", "by id"):
                work()
        timing_collector.record(exec_id, "named", "measured", 0.25, source="elsewhere")
        with time_phase(exec_id, "system", "tidy"):
            work()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
