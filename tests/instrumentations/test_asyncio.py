"""opentelemetry-instrumentation-asyncio."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor

from phasetrace import atime_phase, execution, node, phase
from tests.conftest import Spans

from .attribution import EXEC_ID, NODE_ID, assert_attributed, phase_calls, the
from .conftest import Instrument


async def work() -> None:
    """Make a span, as a library would that knows nothing of phasetrace."""
    with trace.get_tracer("a library").start_as_current_span("work"):
        await asyncio.sleep(0)


def test_a_task_is_a_child_of_the_phase_around_it(
    spans: Spans, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span of the task, and what it makes itself, are below the phase that created it."""
    monkeypatch.setenv("OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE", "work")
    instrument(AsyncioInstrumentor())

    async def main() -> None:
        async with atime_phase(EXEC_ID, NODE_ID, "wait"):
            await asyncio.create_task(work())

    asyncio.run(main())
    finished = spans.get_finished_spans()
    assert_attributed(the("asyncio coro-work", finished), the("wait", finished))
    # The instrumentation does not make its span the current one.
    assert_attributed(the("work", finished), the("wait", finished))
    assert phase_calls() == {"wait": 1, "asyncio coro-work": 1, "work": 1}


def test_tasks_side_by_side_stay_in_their_phases(
    spans: Spans, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is gathered inside a phase is counted there, though others run meanwhile."""
    monkeypatch.setenv("OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE", "work")
    instrument(AsyncioInstrumentor())

    async def gather(name: str) -> None:
        async with phase(name):
            await asyncio.gather(work(), work())

    async def main() -> None:
        async with execution(EXEC_ID), node(NODE_ID):
            await asyncio.gather(gather("first"), gather("second"))

    asyncio.run(main())
    finished = spans.get_finished_spans()
    phases = {the(name, finished) for name in ("first", "second")}
    for around in phases:
        below = [
            span
            for span in finished
            if span.parent is not None and around.context is not None
            if span.parent.span_id == around.context.span_id
        ]
        assert sorted(span.name for span in below) == ["asyncio coro-work"] * 2 + ["work"] * 2
        for span in below:
            assert_attributed(span, around)
    assert phase_calls() == {"first": 1, "second": 1, "asyncio coro-work": 4, "work": 4}


def test_a_function_in_a_thread_is_below_the_phase(
    spans: Spans, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is what `asyncio.to_thread` runs, under the name of the function."""
    monkeypatch.setenv("OTEL_PYTHON_ASYNCIO_TO_THREAD_FUNCTION_NAMES_TO_TRACE", "count")
    instrument(AsyncioInstrumentor())

    def count() -> int:
        with phase("inside"):
            return 1

    async def main() -> int:
        async with execution(EXEC_ID), node(NODE_ID), phase("wait"):
            return await asyncio.to_thread(count)

    assert asyncio.run(main()) == 1
    finished = spans.get_finished_spans()
    assert_attributed(the("asyncio to_thread-count", finished), the("wait", finished))
    assert_attributed(the("inside", finished), the("wait", finished))
