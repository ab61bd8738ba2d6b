"""The programs that the recorded executions are of; `python -m tests.golden.executions.record`."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from phasetrace import execution, node, phase, propagate, time_phase


def call_model(seconds: float, prompt: str, fails: bool = False) -> None:
    """Wait as for a model."""
    with phase("llm_completion", prompt=prompt) as span:
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.usage.input_tokens", 1_200)
        span.set_attribute("gen_ai.usage.output_tokens", 300)
        time.sleep(seconds)
        if fails:
            raise RuntimeError("rate limit")


def iterations() -> None:
    """An agent: nested phases, a loop, a retry, two lookups that need not wait for each other."""
    with execution("iterations", name="agent"):
        with node("plan", node_type="llm"), phase("prompt_building"):
            time.sleep(0.004)
            call_model(0.03, "plan")
        with node("search", node_type="tool", depends_on=["plan"]):
            for query in "abca":
                with phase("fetch", url=f"http://example.com/{query}"):
                    time.sleep(0.008)
        with node("lookup", node_type="tool", depends_on=["plan"]), phase("sql", table="orders"):
            time.sleep(0.02)
        for turn in range(3):
            with node("write", node_type="llm", iteration=turn, depends_on=["search", "lookup"]):
                try:
                    call_model(0.01, f"write {turn}", fails=turn == 1)
                except RuntimeError:
                    call_model(0.012, f"write {turn}")
                with phase("check"):
                    time.sleep(0.003)


async def fan_out() -> None:
    """A pipeline: twenty requests at once, then eight pieces of work in four threads."""
    async with execution("fan_out", name="pipeline"):
        async with node("download", node_type="io"):
            await asyncio.gather(*(download(number) for number in range(20)))
        async with node("transform", node_type="cpu", depends_on=["download"]):
            with ThreadPoolExecutor(4) as pool:
                list(propagate.executor(pool).map(transform, range(8)))
        async with node("load", node_type="io", depends_on=["transform"]):
            with phase("insert"):
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.004)


async def download(number: int) -> None:
    """One request."""
    async with time_phase("fan_out", "download", "request", number=number):
        await asyncio.sleep(0.002 * (1 + number % 5))


def transform(number: int) -> None:
    """One piece of work."""
    with phase("transform", number=number):
        with phase("parse"):
            time.sleep(0.003)
        time.sleep(0.001 * (number % 3))


def processes() -> None:
    """A batch in three processes: one of them fails, and a task in another is cancelled."""
    context = multiprocessing.get_context("spawn")
    with execution("processes", name="batch"), node("coordinate"):
        headers = propagate.inject()
        workers = [context.Process(target=worker, args=(number, headers)) for number in range(1, 3)]
        with phase("start"):
            for one in workers:
                one.start()
        with phase("join"):
            for one in workers:
                one.join()


def worker(number: int, headers: dict[str, str]) -> None:
    """What the other two processes do."""
    with propagate.attached(headers), node(f"worker_{number}", node_type="process"):
        if number == 1:
            try:
                with phase("parse", file="broken.csv"):
                    time.sleep(0.01)
                    raise ValueError("no header")
            except ValueError:
                pass
        else:
            asyncio.run(times_out())


async def times_out() -> None:
    """Wait for longer than is granted."""

    async def slow() -> None:
        async with node("worker_2"), phase("poll"):
            await asyncio.sleep(10)

    task = asyncio.create_task(slow())
    await asyncio.sleep(0.015)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


if __name__ == "__main__":
    name = sys.argv[1]
    if name == "fan_out":
        asyncio.run(fan_out())
    else:
        {"iterations": iterations, "processes": processes}[name]()
