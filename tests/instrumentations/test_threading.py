"""opentelemetry-instrumentation-threading: it makes no spans, and takes the context along."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

from phasetrace import execution, node, phase, time_phase
from tests.conftest import Spans

from .attribution import EXEC_ID, NODE_ID, assert_attributed, phase_calls, the
from .conftest import Instrument


def work() -> None:
    """Make a span, as a library would that knows nothing of phasetrace."""
    with trace.get_tracer("a library").start_as_current_span("work"):
        pass


def in_a_thread(function: Callable[[], None]) -> None:
    """Call it in a thread."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def in_a_timer(function: Callable[[], None]) -> None:
    """Call it in a timer's thread."""
    timer = threading.Timer(0, function)
    timer.start()
    timer.join()


def in_a_pool(function: Callable[[], None]) -> None:
    """Call it in a thread of a pool."""
    with ThreadPoolExecutor() as pool:
        pool.submit(function).result()


@pytest.mark.parametrize("start", [in_a_thread, in_a_timer, in_a_pool])
def test_what_a_phase_starts_in_a_thread_is_below_it(
    spans: Spans, instrument: Instrument, start: Callable[[Callable[[], None]], None]
) -> None:
    """A span of another thread is a child of the phase that started the thread."""
    instrument(ThreadingInstrumentor())
    with time_phase(EXEC_ID, NODE_ID, "start"):
        start(work)
    finished = spans.get_finished_spans()
    assert_attributed(the("work", finished), the("start", finished))
    assert phase_calls() == {"start": 1, "work": 1}


def test_a_phase_in_a_thread_needs_no_ids(spans: Spans, instrument: Instrument) -> None:
    """The nested form finds its node in the thread, too."""

    def count() -> None:
        with phase("count"):
            pass

    instrument(ThreadingInstrumentor())
    with execution(EXEC_ID), node(NODE_ID), phase("start"):
        in_a_thread(count)
    finished = spans.get_finished_spans()
    assert_attributed(the("count", finished), the("start", finished))


def test_a_pool_follows_each_submission(spans: Spans, instrument: Instrument) -> None:
    """A thread that is used again takes the phase of what it is doing, not of what it did."""
    instrument(ThreadingInstrumentor())
    with execution(EXEC_ID), node(NODE_ID), ThreadPoolExecutor(max_workers=1) as pool:
        with phase("first"):
            pool.submit(work).result()
        with phase("second"):
            pool.submit(work).result()
    finished = spans.get_finished_spans()
    for span, around in zip(
        [span for span in finished if span.name == "work"], ("first", "second"), strict=True
    ):
        assert_attributed(span, the(around, finished))
    assert phase_calls() == {"first": 1, "second": 1, "work": 2}
