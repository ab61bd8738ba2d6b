"""The right parent, in every shape that programs have; on both kinds of provider."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import anyio
import anyio.to_thread
import greenlet
import pytest
from opentelemetry import context as context_api
from opentelemetry import propagate as standard
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from phasetrace import execution, node, phase, propagate, time_phase, timed
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.pipeline import pipeline
from tests.conftest import Spans

ByName = Callable[[], dict[str, ReadableSpan]]
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No span stays current or open, and nothing is said, whatever a test does."""
    caplog.set_level(logging.DEBUG)
    yield
    gc.collect()
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert not pipeline.open
    said = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert not said, [record.getMessage() for record in said]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return what runs a coroutine function, on each kind of event loop."""
    return functools.partial(anyio.run, backend=request.param)


def parent(spans: dict[str, ReadableSpan], name: str) -> str:
    """Return the name of a span's parent."""
    above = spans[name].parent
    assert above is not None
    found = [other for other, span in spans.items() if id_of(span) == above.span_id]
    return found[0] if found else "root" if above.span_id == root_span_id_of("e") else "?"


def id_of(span: ReadableSpan) -> int:
    """Return a span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def trace_of(span: ReadableSpan) -> int:
    """Return the id of a span's trace."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id


def is_cancelled(span: ReadableSpan) -> bool:
    """Tell whether a span says that it was cancelled."""
    return bool((span.attributes or {}).get("phasetrace.cancelled"))


# Generators.


def items(name: str = "inner") -> Iterator[int]:
    """Work in a phase between two items."""
    for number in range(3):
        with phase(f"{name}{number}"):
            pass
        yield number


@pytest.mark.parametrize("how", ["exhausted", "closed", "dropped", "thrown", "left"])
def test_a_timed_generator_ends_however_it_is_left(by_name: ByName, how: str) -> None:
    """Its phases are below its own, the consumer's are not."""

    @timed("generating")
    def generate() -> Iterator[int]:
        yield from items()

    with execution("e"), node("n"), phase("consumer"):
        generator: Any = generate()
        for number in generator:
            with phase(f"outer{number}"):
                pass
            if how != "exhausted":
                break
        if how == "closed":
            generator.close()
        elif how == "thrown":
            with pytest.raises(KeyError):
                generator.throw(KeyError("k"))
        del generator
        gc.collect()
        with phase("after"):
            pass
    spans = by_name()
    assert parent(spans, "inner0") == "generating"
    assert [parent(spans, name) for name in ("generating", "outer0", "after")] == ["consumer"] * 3
    failed = spans["generating"].status.status_code is StatusCode.ERROR
    assert failed == (how == "thrown")
    assert not is_cancelled(spans["generating"])


@pytest.mark.parametrize("how", ["exhausted", "closed", "dropped", "collected elsewhere", "thrown"])
def test_a_timed_async_generator_ends_however_it_is_left(by_name: ByName, how: str) -> None:
    """Also where the event loop closes it, in a task of its own."""

    @timed("generating")
    async def generate() -> AsyncIterator[int]:
        for number in items():
            await asyncio.sleep(0)
            yield number

    async def consume() -> None:
        generator: Any = generate()
        async for number in generator:
            with phase(f"outer{number}"):
                await asyncio.sleep(0)
            if how != "exhausted":
                break
        if how == "closed":
            await generator.aclose()
        elif how == "thrown":
            with pytest.raises(KeyError):
                await generator.athrow(KeyError("k"))
        elif how == "collected elsewhere":
            held = [generator]
            del generator
            await asyncio.gather(asyncio.create_task(drop(held)))
        else:
            del generator
        gc.collect()
        await asyncio.sleep(0)
        with phase("after"):
            pass

    async def drop(held: list[Any]) -> None:
        with phase("elsewhere"):
            held.clear()
            gc.collect()
            await asyncio.sleep(0)

    async def main() -> None:
        with execution("e"), node("n"), phase("consumer"):
            await consume()

    asyncio.run(main())
    spans = by_name()
    assert parent(spans, "inner0") == "generating"
    assert [parent(spans, name) for name in ("generating", "outer0", "after")] == ["consumer"] * 3


def test_a_phase_around_a_yield_is_its_generator_s_and_its_consumer_s(by_name: ByName) -> None:
    """In a generator that is not timed; Python runs it in the context of whoever asks."""

    def generate() -> Iterator[int]:
        with phase("around"):
            yield 1
            yield 2

    with execution("e"), node("n"), phase("consumer"):
        for number in generate():
            with phase(f"outer{number}"):
                pass
        with phase("after"):
            pass
    spans = by_name()
    assert [parent(spans, name) for name in ("outer1", "outer2")] == ["around"] * 2
    assert [parent(spans, name) for name in ("around", "after")] == ["consumer"] * 2


@pytest.mark.parametrize("opener", [phase, node])
def test_a_phase_around_a_yield_may_be_left_among_others(
    by_name: ByName, opener: Callable[[str], Any]
) -> None:
    """Whoever is current then stays so, and what has been left does not come back."""

    def generate() -> Iterator[int]:
        with opener("around"):
            yield 1

    with execution("e"), node("n"), phase("consumer"):
        generator: Any = generate()
        next(generator)
        with opener("other"):
            with phase("deeper"):
                generator.close()
                with phase("within"):
                    pass
            with phase("beside"):
                pass
        with phase("after"):
            pass
    spans = by_name()
    assert parent(spans, "within") == "deeper"
    assert parent(spans, "beside") == "other"
    assert parent(spans, "after") == "consumer"


def test_a_phase_around_a_yield_of_a_timed_generator_is_its_own(by_name: ByName) -> None:
    """It lasts over several items, and the consumer does not see it."""

    @timed("generating")
    def generate() -> Iterator[int]:
        with phase("around"):
            yield from items()

    with execution("e"), node("n"), phase("consumer"):
        for number in generate():
            with phase(f"outer{number}"):
                pass
    spans = by_name()
    assert {parent(spans, f"inner{number}") for number in range(3)} == {"around"}
    assert {parent(spans, f"outer{number}") for number in range(3)} == {"consumer"}


# Tasks.


def test_tasks_of_a_group_are_below_what_started_them(by_name: ByName, run: Run) -> None:
    """Each has a current phase of its own."""

    async def work(name: str) -> None:
        async with phase(name):
            await anyio.sleep(0)
            with phase(f"{name}_inner"):
                await anyio.sleep(0)

    async def main() -> None:
        with execution("e"), node("n"), phase("outer"):
            async with anyio.create_task_group() as group:
                for name in "abc":
                    group.start_soon(work, name)

    run(main)
    spans = by_name()
    for name in "abc":
        assert (parent(spans, name), parent(spans, f"{name}_inner")) == ("outer", name)


def test_a_cancelled_scope_is_cancelled_and_not_failed(by_name: ByName, run: Run) -> None:
    """What times out is cancelled, and what catches that is fine."""

    async def main() -> None:
        with execution("e"), node("n"), phase("patient"):
            with anyio.move_on_after(0):
                async with phase("cut_short"):
                    await anyio.sleep_forever()

    run(main)
    spans = by_name()
    assert is_cancelled(spans["cut_short"])
    assert not is_cancelled(spans["patient"])
    assert {span.status.status_code for span in spans.values()} == {StatusCode.UNSET}


def test_a_failing_task_fails_and_its_siblings_are_cancelled(by_name: ByName, run: Run) -> None:
    """A group that is taken down by one of its tasks."""
    started = []

    async def waiting() -> None:
        async with phase("waiting"):
            started.append(1)
            await anyio.sleep_forever()

    async def failing() -> None:
        async with phase("failing"):
            while not started:
                await anyio.sleep(0)
            raise KeyError("k")

    async def main() -> None:
        with execution("e"), node("n"), phase("group"):
            async with anyio.create_task_group() as group:
                group.start_soon(waiting)
                group.start_soon(failing)

    with pytest.raises(BaseException) as raised:
        run(main)
    del raised
    spans = by_name()
    assert spans["failing"].status.status_code is StatusCode.ERROR
    assert spans["group"].status.status_code is StatusCode.ERROR
    assert is_cancelled(spans["waiting"])
    assert spans["waiting"].status.status_code is StatusCode.UNSET


def test_a_generator_with_a_task_group_around_it_is_timed(by_name: ByName, run: Run) -> None:
    """A timed async generator on each kind of loop, closed as it should be."""

    @timed("generating")
    async def generate() -> AsyncIterator[int]:
        for number in range(3):
            with phase(f"inner{number}"):
                await anyio.sleep(0)
            yield number

    async def main() -> None:
        with execution("e"), node("n"), phase("consumer"):
            generator: Any = generate()
            try:
                async for number in generator:
                    with phase(f"outer{number}"):
                        await anyio.sleep(0)
                    break
            finally:
                await generator.aclose()

    run(main)
    spans = by_name()
    assert (parent(spans, "inner0"), parent(spans, "outer0")) == ("generating", "consumer")


def test_work_in_a_thread_of_the_loop_is_below_its_task(by_name: ByName, run: Run) -> None:
    """`asyncio.to_thread`, and what anyio has for both loops, carry the context."""

    async def main() -> None:
        with execution("e"), node("n"), phase("outer"):
            await anyio.to_thread.run_sync(phase("inner")(lambda: None))

    run(main)
    assert parent(by_name(), "inner") == "outer"


def test_to_thread_carries_the_context(by_name: ByName) -> None:
    """As the standard library promises."""

    async def main() -> None:
        with execution("e"), node("n"), phase("outer"):
            await asyncio.to_thread(phase("inner")(lambda: None))

    asyncio.run(main())
    assert parent(by_name(), "inner") == "outer"


def test_a_callback_runs_in_the_context_that_it_was_given(by_name: ByName) -> None:
    """`loop.call_soon` copies the one that is current; another one may be passed."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        outside = contextvars.copy_context()
        done = asyncio.Event()
        with execution("e"), node("n"), phase("outer"):
            loop.call_soon(phase("soon")(lambda: None))
            loop.call_soon(lambda: time_phase("e", "n", "given")(lambda: None)(), context=outside)
            loop.call_soon(done.set)
            await done.wait()

    asyncio.run(main())
    spans = by_name()
    assert (parent(spans, "soon"), parent(spans, "given")) == ("outer", "n")


# Threads.


def test_ids_alone_find_execution_and_node_in_a_bare_thread(by_name: ByName) -> None:
    """Where there is no context at all."""

    def work() -> None:
        with time_phase("e", "n", "named"), phase("inner"):
            pass

    with execution("e"), node("n"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    spans = by_name()
    assert (parent(spans, "named"), parent(spans, "inner")) == ("n", "named")
    assert trace_of(spans["named"]) == trace_id_of("e")


def carried_by_thread(work: Callable[[], None]) -> None:
    """Run in a thread that takes the context along."""
    thread = propagate.Thread(target=work)
    thread.start()
    thread.join()


def carried_by_executor(work: Callable[[], None]) -> None:
    """Run by an executor, submitted and mapped."""
    with ThreadPoolExecutor(1) as pool:
        carrying = propagate.executor(pool)
        carrying.submit(work).result()
        assert list(carrying.map(lambda _: trace.get_current_span().is_recording(), "ab")) == [
            True,
            True,
        ]
        assert not pool.submit(lambda: trace.get_current_span().is_recording()).result()


def carried_by_wrapping(work: Callable[[], None]) -> None:
    """Wrap, and have somebody else call, in a thread without context."""
    thread = threading.Thread(target=propagate.wrap(work))
    thread.start()
    thread.join()


def carried_by_loop(work: Callable[[], None]) -> None:
    """Run by an event loop's executor."""

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(propagate.executor(pool), work)

    asyncio.run(main())


@pytest.mark.parametrize(
    "carry", [carried_by_thread, carried_by_executor, carried_by_wrapping, carried_by_loop]
)
def test_a_helper_carries_the_context(
    by_name: ByName, carry: Callable[[Callable[[], None]], None]
) -> None:
    """To where Python does not."""
    with execution("e"), node("n"), phase("outer"):
        carry(phase("inner")(lambda: None))
    assert parent(by_name(), "inner") == "outer"


def test_a_wrapped_function_can_be_called_at_the_same_time(by_name: ByName) -> None:
    """By several threads, and from within itself."""
    barrier = threading.Barrier(3)

    def work(depth: int) -> None:
        with phase(f"depth{depth}_{threading.get_ident()}"):
            if depth:
                wrapped(depth - 1)
            else:
                barrier.wait()

    with execution("e"), node("n"), phase("outer"):
        wrapped = propagate.wrap(work)
        threads = [threading.Thread(target=wrapped, args=(1,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    spans = by_name()
    assert {parent(spans, name) for name in spans if name.startswith("depth")} == {"outer"}


def test_wrapped_coroutines_and_generators_run_in_that_context(by_name: ByName) -> None:
    """It is the work that is carried, not only the call."""

    async def coroutine() -> None:
        await asyncio.sleep(0)
        with phase("in_coroutine"):
            await asyncio.sleep(0)

    def generator() -> Iterator[int]:
        yield from items("in_generator")

    async def async_generator() -> AsyncIterator[int]:
        for number in items("in_async_generator"):
            await asyncio.sleep(0)
            yield number

    with execution("e"), node("n"), phase("outer"):
        works: list[Any] = [
            propagate.wrap(work) for work in (coroutine, generator, async_generator)
        ]

    async def main() -> None:
        await works[0]()
        with time_phase("e2", "n2", "elsewhere"):
            assert list(works[1]()) == [0, 1, 2]
            assert [number async for number in works[2]()] == [0, 1, 2]
            with phase("still_elsewhere"):
                pass

    asyncio.run(main())
    spans = by_name()
    assert parent(spans, "in_coroutine") == "outer"
    assert parent(spans, "in_generator1") == "outer"
    assert parent(spans, "in_async_generator2") == "outer"
    assert parent(spans, "still_elsewhere") == "elsewhere"


def test_what_cannot_be_called_cannot_be_wrapped() -> None:
    """And it is said."""
    with pytest.raises(TypeError, match="takes something to call, not 3"):
        propagate.wrap(3)  # type: ignore[type-var]
    with ThreadPool(1) as pool, pytest.raises(TypeError, match=r"not <multiprocessing.*wrap"):
        propagate.executor(pool)  # type: ignore[arg-type]


def test_a_wrapped_function_is_a_function_in_all_but_its_type(by_name: ByName) -> None:
    """It has its name and signature, and is bound to the object whose method it is made."""

    class Worker:
        with time_phase("e", "n", "outer"):

            @propagate.wrap
            def work(self, number: int) -> tuple[Any, int]:
                """Work."""
                with phase("inner"):
                    return self, number

    worker = Worker()
    assert worker.work(1) == (worker, 1)
    assert Worker.work(worker, 2) == (worker, 2)
    assert (Worker.work.__name__, Worker.work.__doc__) == ("work", "Work.")
    assert list(inspect.signature(Worker.work).parameters) == ["self", "number"]
    assert parent(by_name(), "inner") == "outer"


# Other processes.


def test_a_carrier_brings_execution_node_and_parent(by_name: ByName) -> None:
    """Over to where nothing of it is known."""
    with execution("é;=e"), node("n", node_type="t"), phase("outer"):
        carrier = propagate.inject()
    assert carrier.keys() == {"traceparent", "phasetrace"}
    with propagate.attached(carrier), phase("inner"):
        pass
    spans = by_name()
    assert parent(spans, "inner") == "outer"
    attributes = dict(spans["inner"].attributes or {})
    assert attributes == {"exec_id": "é;=e", "node_id": "n", "node_type": "t"}


def test_ids_alone_go_below_the_carried_parent_too(by_name: ByName) -> None:
    """Code that names its execution and node has the parent that was carried."""
    with execution("e"), node("n"), phase("outer"):
        carrier = propagate.inject()
    with propagate.attached(carrier), time_phase("e", "n", "inner"):
        pass
    assert parent(by_name(), "inner") == "outer"


def test_the_standard_propagators_carry_the_parent(by_name: ByName) -> None:
    """An HTTP request between two processes that both know the execution's id."""
    with execution("e"), node("n"), phase("outer"):
        headers: dict[str, str] = {}
        standard.inject(headers)
    token = context_api.attach(standard.extract(headers))
    with time_phase("e", "n", "inner"), phase("deeper"):
        pass
    context_api.detach(token)
    spans = by_name()
    assert trace_of(spans["inner"]) == trace_of(spans["outer"]) == trace_id_of("e")
    assert parent(spans, "inner") == "outer"
    assert parent(spans, "deeper") == "inner"


@pytest.mark.parametrize(
    "carrier",
    [
        {},
        {"traceparent": "nonsense", "phasetrace": "nonsense"},
        {"phasetrace": "exec_id="},
        {"phasetrace": "exec_id=" + "x" * 10_000},
        {"phasetrace": "exec_id=%ff%fe;node_id=%"},
    ],
)
def test_a_broken_carrier_raises_nothing(spans: Spans, carrier: dict[str, str]) -> None:
    """What cannot be read is not there."""
    with propagate.attached(carrier), time_phase("e", "n", "p"):
        pass
    assert "p" in [span.name for span in spans.get_finished_spans()]


def test_nothing_is_carried_where_there_is_nothing(spans: Spans) -> None:
    """Outside of any phase."""
    assert propagate.inject() == {}
    assert "TRACEPARENT" not in propagate.environ({"A": "b"})


def test_a_sub_execution_carried_elsewhere_stays_in_its_trace(by_name: ByName) -> None:
    """It is not in the one that follows from its own id."""
    with execution("outer"), execution("inner"), phase("here"):
        carrier = propagate.inject()
    with propagate.attached(carrier), time_phase("inner", "n", "there"):
        pass
    spans = by_name()
    assert parent(spans, "there") == "here"
    assert trace_of(spans["there"]) == trace_id_of("outer")


# Greenlets.


def test_greenlets_have_contexts_of_their_own(by_name: ByName) -> None:
    """And so have those of gevent and eventlet, which are made of them."""

    def work(name: str) -> None:
        with time_phase("e", "n", name):
            greenlet.getcurrent().parent.switch()
            with phase(f"{name}_inner"):
                pass

    with execution("e"), node("n"):
        lets = [greenlet.greenlet(work) for _ in range(2)]
        for name, let in zip("ab", lets, strict=True):
            let.switch(name)
        for let in lets:
            let.switch()
    spans = by_name()
    assert (parent(spans, "a_inner"), parent(spans, "b_inner")) == ("a", "b")


# Leaving out of turn.


def test_phases_that_are_suppressed_are_left_in_any_order(spans: Spans) -> None:
    """They have no span of their own that anything could be noted on."""
    token = context_api.attach(context_api.set_value("suppress_instrumentation", True))
    first, second = phase("first"), phase("second")
    first.__enter__()
    contextvars.copy_context().run(first.__exit__, None, None, None)
    for one in (first, second):
        one.__enter__()
    for one in (first, second):
        one.__exit__(None, None, None)
    with phase("third"), phase("fourth"):
        pass
    context_api.detach(token)
    assert getattr(trace.INVALID_SPAN, "_left_for", None) is None
    assert spans.get_finished_spans() == ()


def test_what_was_attached_within_a_phase_goes_with_it(by_name: ByName) -> None:
    """As with spans of OpenTelemetry's own; programs attach and do not detach."""
    with time_phase("e", "n", "outer"):
        carrier = propagate.inject()
    with time_phase("other", "n", "handling"):
        context_api.attach(standard.extract(carrier))
    assert trace.get_current_span() is trace.INVALID_SPAN
    with trace.get_tracer("t").start_as_current_span("handling too"):
        context_api.attach(standard.extract(carrier))
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert "handling" in by_name()


def test_what_is_left_stays_left_however_deep_it_was(by_name: ByName) -> None:
    """Whoever comes back to several of them goes past all."""

    def generate(name: str) -> Iterator[int]:
        with phase(name):
            yield 1

    with execution("e"), node("n"), phase("outer"):
        deepest: Any = generate("x")
        next(deepest)
        with phase("p"):
            deeper: Any = generate("a")
            next(deeper)
            with phase("b"):
                deeper.close()
                deepest.close()
            with phase("beside_b"):
                pass
        with phase("beside_p"):
            pass
    spans = by_name()
    assert (parent(spans, "beside_b"), parent(spans, "beside_p")) == ("p", "outer")


def test_phases_left_hand_over_hand_are_not_kept(spans: Spans) -> None:
    """A state machine that enters the next one before it leaves the last."""
    with execution("e"), node("n"):
        last = phase("state")
        last.__enter__()
        for _ in range(200):
            following = phase("state")
            following.__enter__()
            last.__exit__(None, None, None)
            last = following
        spans.clear()
        gc.collect()
        alive = sum(type(one).__name__ == "_LeftPhase" for one in gc.get_objects())
        last.__exit__(None, None, None)
    assert alive <= 5


def test_what_is_closed_elsewhere_changes_nothing_there(by_name: ByName) -> None:
    """A generator that a thread has begun, collected by another one."""
    with time_phase("e", "n", "far"):
        carrier = propagate.inject()

    def messages() -> Iterator[int]:
        with propagate.attached(carrier):
            yield 1

    held: list[Any] = []

    def begin() -> None:
        with time_phase("e", "n", "first"):
            held.append(messages())
            next(held[0])

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    with execution("e"), node("k"), phase("main"):
        held.pop().close()
        with phase("child"):
            pass
    assert parent(by_name(), "child") == "main"


def test_a_task_that_outlives_its_phase_keeps_its_execution(by_name: ByName) -> None:
    """Also where that is left in another context, as fixtures and dependencies are."""

    async def background(ended: asyncio.Event) -> None:
        await ended.wait()
        with phase("background"):
            pass

    async def main() -> None:
        ended = asyncio.Event()
        request = time_phase("e", "n", "request")
        request.__enter__()
        task = asyncio.create_task(background(ended))
        contextvars.copy_context().run(request.__exit__, None, None, None)
        ended.set()
        await task

    asyncio.run(main())
    spans = by_name()
    assert parent(spans, "background") == "request"


def test_an_environment_has_nothing_left_of_another_context(spans: Spans) -> None:
    """What is handed over is what is current, and nothing of what it replaces."""
    old = {"TRACESTATE": "v=1", "PHASETRACE": "exec_id=old", "BAGGAGE": "a=b", "A": "b"}
    with trace.get_tracer("t").start_as_current_span("s"):
        assert propagate.environ(old).keys() == {"TRACEPARENT", "A"}
    assert propagate.environ(old) == old


def test_any_executor_will_do() -> None:
    """Also one that knows less than those of the standard library."""

    class Plain(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True) -> None:  # type: ignore[override]
            super().shutdown(wait)

    with propagate.executor(Plain(1)) as pool:
        assert pool.submit(sum, [1, 2]).result() == 3
