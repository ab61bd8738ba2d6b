"""What a phase is, on phasetrace's own provider and on an application's stock SDK provider."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

import phasetrace
from phasetrace import (
    atime_phase,
    atimed,
    configuration,
    execution,
    faults,
    node,
    phase,
    scopes,
    time_phase,
    timed,
    timing_collector,
)
from phasetrace.attributes import MAX_VALUE_LENGTH
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.recorder import Recorder
from tests.conftest import Spans

SUPPRESSED_BY_NAME = "suppress_instrumentation"

ByName = Callable[[], dict[str, ReadableSpan]]


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes as a plain dict."""
    return dict(span.attributes or {})


def parent_id_of(span: ReadableSpan) -> int:
    """Return the id of a span's parent, which it must have."""
    assert span.parent is not None
    return span.parent.span_id


def span_id_of(span: ReadableSpan) -> int:
    """Return a span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def trace_id_of_span(span: ReadableSpan) -> int:
    """Return the id of the trace a span is in."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id


def test_a_phase_is_a_span_with_its_ids_and_metadata(by_name: ByName) -> None:
    """The span's name is the phase; ids and metadata are its attributes."""
    with time_phase("e", "n", "think", model="m", tokens=42):
        pass
    span = by_name()["think"]
    assert attributes_of(span) == {"exec_id": "e", "node_id": "n", "model": "m", "tokens": 42}


def test_a_phase_without_parent_joins_the_execution_s_trace(by_name: ByName) -> None:
    """Its trace and its parent follow from the exec_id alone."""
    with time_phase("e", "n", "p"):
        pass
    span = by_name()["p"]
    assert trace_id_of_span(span) == trace_id_of("e")
    assert parent_id_of(span) == root_span_id_of("e")


def test_a_nested_phase_is_a_child(by_name: ByName) -> None:
    """A phase within a phase of the same execution has it as its parent."""
    with time_phase("e", "n", "outer"), time_phase("e", "m", "inner"):
        pass
    spans = by_name()
    assert parent_id_of(spans["inner"]) == span_id_of(spans["outer"])


def test_another_execution_s_phase_is_in_its_own_trace(by_name: ByName) -> None:
    """One execution is one trace, also where two are entangled."""
    with time_phase("a", "n", "outer"), time_phase("b", "n", "inner"):
        pass
    inner = by_name()["inner"]
    assert trace_id_of_span(inner) == trace_id_of("b")
    assert parent_id_of(inner) == root_span_id_of("b")


def test_popping_gives_an_implicit_execution_its_one_root(spans: Spans) -> None:
    """The root has the derived ids, no parent, and spans all phases; it is not made twice."""
    with time_phase("e", "n", "p"):
        pass
    timing_collector.pop("e")
    with time_phase("e", "n", "late"):
        pass
    timing_collector.pop("e")
    finished = {span.name: span for span in spans.get_finished_spans()}
    roots = [span for span in spans.get_finished_spans() if span.parent is None]
    assert [span_id_of(root) for root in roots] == [root_span_id_of("e")]
    assert trace_id_of_span(roots[0]) == trace_id_of("e")
    assert roots[0].start_time == finished["p"].start_time
    assert roots[0].end_time == finished["p"].end_time


def test_execution_node_and_phase_nest(by_name: ByName) -> None:
    """The nested form takes its ids from the context and makes one tree with the derived root."""
    with (
        execution("e", "workflow", user="u"),
        node("n", "llm", iteration=3),
        phase("p", x=1),
    ):
        pass
    spans = by_name()
    root, middle, leaf = spans["workflow"], spans["n"], spans["p"]
    assert root.parent is None
    assert span_id_of(root) == root_span_id_of("e")
    assert parent_id_of(middle) == span_id_of(root)
    assert parent_id_of(leaf) == span_id_of(middle)
    assert attributes_of(leaf) == {
        "exec_id": "e",
        "node_id": "n",
        "node_type": "llm",
        "iteration": 3,
        "x": 1,
    }


def test_every_span_of_an_explicit_execution_is_in_one_trace(spans: Spans) -> None:
    """The root has the derived ids although the SDK makes them up as it goes."""
    with execution("e"), node("n"), phase("p"), time_phase("e", "m", "q"):
        pass
    traces = {trace_id_of_span(span) for span in spans.get_finished_spans()}
    assert traces == {trace_id_of("e")}


def test_a_span_of_another_library_inherits_the_ids(by_name: ByName) -> None:
    """Whatever is started inside a phase carries its exec_id and node_id."""
    with execution("e"), node("n", iteration=1), phase("p"):
        trace.get_tracer("a.library").start_span("GET").end()
    library = by_name()["GET"]
    assert attributes_of(library) == {"exec_id": "e", "node_id": "n", "iteration": 1}


def test_a_library_s_span_outside_any_node_belongs_to_system(by_name: ByName) -> None:
    """Directly below the execution there is no node to take the id from."""
    with execution("e"):
        trace.get_tracer("a.library").start_span("GET").end()
    assert attributes_of(by_name()["GET"]) == {"exec_id": "e", "node_id": "system"}


def test_a_bare_span_with_ids_is_counted(spans: Spans) -> None:
    """A span of a bare tracer counts if it says where it belongs, and so do its children."""
    tracer = trace.get_tracer("a.program")
    with tracer.start_as_current_span("x", attributes={"exec_id": "e", "node_id": "n"}):
        tracer.start_span("y").end()
    assert set(timing_collector.get("e")["n"]) == {"x", "y"}


def test_a_span_outside_any_execution_is_left_alone(by_name: ByName) -> None:
    """A guest does not touch what is not its own."""
    trace.get_tracer("a.library").start_span("GET").end()
    assert attributes_of(by_name()["GET"]) == {}
    assert timing_collector.executions() == ()


def test_an_exception_is_recorded_and_goes_on(by_name: ByName) -> None:
    """The very exception leaves the phase; the span says what it was."""
    error = ValueError("no")
    with pytest.raises(ValueError) as caught, time_phase("e", "n", "p"):
        raise error
    assert caught.value is error
    span = by_name()["p"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError: no"
    (event,) = span.events
    recorded = dict(event.attributes or {})
    assert event.name == "exception"
    assert recorded["exception.type"] == "ValueError"
    assert "in test_an_exception_is_recorded_and_goes_on" in str(recorded["exception.stacktrace"])
    assert phasetrace.breakdown("e").nodes[0].errors == 1


def test_a_cancelled_task_is_cancelled_and_not_failed(by_name: ByName) -> None:
    """Cancellation is no error, and the time up to it counts."""

    async def work(started: asyncio.Event) -> None:
        async with atime_phase("e", "n", "p"):
            started.set()
            await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(work(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    span = by_name()["p"]
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span)["phasetrace.cancelled"] is True
    breakdown = phasetrace.breakdown("e")
    assert (breakdown.errors, breakdown.cancelled) == (0, 1)


def test_an_exception_that_cannot_be_printed_still_goes_on(by_name: ByName) -> None:
    """A hostile __str__ is the program's business and reaches nobody through us."""

    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("never")

    with pytest.raises(HostileError), time_phase("e", "n", "p"):
        raise HostileError
    assert by_name()["p"].status.status_code is StatusCode.ERROR


def test_an_empty_exec_id_does_nothing(spans: Spans) -> None:
    """No span, no numbers; what is given takes a span's calls."""
    with time_phase("", "n", "p", x=1) as nothing:
        nothing.set_attribute("a", 1)
    with execution(""):
        pass
    timing_collector.record("", "n", "p", 1.0)
    assert spans.get_finished_spans() == ()
    assert timing_collector.executions() == ()


def test_an_empty_exec_id_makes_no_objects() -> None:
    """The same scope serves all phases that are switched off."""
    assert time_phase("", "n", "p") is time_phase("", "m", "q", x=1)


def test_a_phase_works_with_async_with(by_name: ByName) -> None:
    """`time_phase` and `atime_phase` are the same in asynchronous code."""

    async def main() -> None:
        async with time_phase("e", "n", "one") as span, atime_phase("e", "n", "two"):
            assert span.is_recording()

    asyncio.run(main())
    assert set(by_name()) == {"one", "two"}


def test_tasks_do_not_mix_their_parents_up(spans: Spans) -> None:
    """Each of many concurrent tasks has its own current phase."""

    async def work(index: int) -> None:
        with node(f"n{index}"):
            await asyncio.sleep(0)
            with phase("p"):
                await asyncio.sleep(0)

    async def main() -> None:
        async with execution("e"):
            await asyncio.gather(*(work(index) for index in range(50)))

    asyncio.run(main())
    finished = spans.get_finished_spans()
    nodes = {span_id_of(span): span.name for span in finished if span.name.startswith("n")}
    for span in finished:
        if span.name == "p":
            assert nodes[parent_id_of(span)] == attributes_of(span)["node_id"]


def test_a_thread_without_context_finds_its_open_node(by_name: ByName) -> None:
    """Ids alone lead to the node's span, where Python carries no context."""

    def work() -> None:
        with time_phase("e", "n", "p"):
            pass

    with execution("e"), node("n"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    spans = by_name()
    assert parent_id_of(spans["p"]) == span_id_of(spans["n"])


def test_dependencies_are_an_attribute_and_links(by_name: ByName) -> None:
    """A node names what it waited for, and links to its span."""
    with execution("e"):
        with node("a"):
            pass
        with node("b", depends_on=["a", "unknown"]):
            pass
    spans = by_name()
    assert list(attributes_of(spans["b"])["depends_on"]) == ["a", "unknown"]
    assert [link.context.span_id for link in spans["b"].links] == [span_id_of(spans["a"])]


def test_a_sub_execution_is_a_child_with_numbers_of_its_own(by_name: ByName) -> None:
    """Its span and its phases are in the outer trace; each execution has its own breakdown."""
    with execution("outer"), node("n"), execution("inner", "sub"), phase("p"):
        pass
    spans = by_name()
    assert parent_id_of(spans["sub"]) == span_id_of(spans["n"])
    assert trace_id_of_span(spans["p"]) == trace_id_of("outer")
    assert attributes_of(spans["p"])["exec_id"] == "inner"
    assert phasetrace.breakdown("inner").execution.trace_id == f"{trace_id_of('outer'):032x}"
    assert "p" not in timing_collector.get("outer").get("system", {})


def test_an_execution_started_within_a_foreign_span_links_to_it(by_name: ByName) -> None:
    """The execution keeps its own trace, and tells where it was started from."""
    with trace.get_tracer("a.server").start_as_current_span("request"), execution("e", "run"):
        pass
    spans = by_name()
    assert spans["run"].parent is None
    assert [link.context.span_id for link in spans["run"].links] == [span_id_of(spans["request"])]


def test_an_execution_opened_again_goes_on_below_its_root(spans: Spans) -> None:
    """There is one root, and the later part is its child."""
    for _ in range(2):
        with execution("e", "run"), node("n"):
            pass
    runs = [span for span in spans.get_finished_spans() if span.name == "run"]
    assert [span_id_of(span) for span in runs if span.parent is None] == [root_span_id_of("e")]
    assert parent_id_of(runs[1]) == root_span_id_of("e")


def test_scopes_decorate_functions(by_name: ByName) -> None:
    """Each call has a span of its own, also when calls nest."""

    @phase("work")
    def work(depth: int) -> int:
        return depth and work(depth - 1)

    @node("n")
    async def run() -> int:
        return work(2)

    @execution("e", "all")
    def main() -> int:
        return asyncio.run(run())

    assert main() == 0
    assert set(by_name()) == {"all", "n", "work"}
    assert phasetrace.breakdown("e").nodes[0].phases[0].count == 3


def test_timed_takes_ids_from_every_kind_of_argument(spans: Spans) -> None:
    """Positional, keyword and default arguments are found by name."""

    @timed()
    def work(a: int, node_id: str = "default", *, execution_id: str = "e") -> int:
        return a

    assert work(1) == 1
    assert work(2, "second", execution_id="f") == 2
    assert work(a=3, node_id="third", execution_id="f") == 3
    assert set(timing_collector.get("e")) == {"default"}
    assert set(timing_collector.get("f")) == {"second", "third"}


def test_timed_finds_the_parameters_it_is_told_of(spans: Spans) -> None:
    """Names other than the seed's can be given, also ones that only ``**kwargs`` takes."""

    @timed("step", node_id_param="step_id", exec_id_param="run")
    def work(step_id: str, **options: str) -> None:
        return None

    work("s", run="r")
    assert set(timing_collector.get("r")["s"]) == {"step"}


def test_timed_takes_what_is_absent_from_the_enclosing_phase(spans: Spans) -> None:
    """A function without the parameters, or called with None, belongs to where it is called."""

    @timed
    def bare() -> None:
        return None

    @timed
    def with_none(node_id: str | None = None, execution_id: str | None = None) -> None:
        return None

    with execution("e"), node("n"):
        bare()
        with_none()
    assert set(timing_collector.get("e")["n"]) == {"bare", "with_none"}


def test_timed_with_an_empty_exec_id_just_calls(spans: Spans) -> None:
    """An empty id switches timing off for that call."""

    @timed
    def work(node_id: str, execution_id: str) -> int:
        return 7

    assert work("n", "") == 7
    assert spans.get_finished_spans() == ()


def test_timed_works_on_methods(spans: Spans) -> None:
    """The bound object counts as a position like any other."""

    class Engine:
        @timed
        def run(self, node_id: str, execution_id: str) -> str:
            return node_id

    assert Engine().run("n", "e") == "n"
    assert set(timing_collector.get("e")["n"]) == {"run"}


def test_timed_on_a_coroutine_function_times_the_awaiting(spans: Spans) -> None:
    """The span lasts until the coroutine is done, and stays a coroutine function."""

    @atimed("wait")
    async def work(node_id: str, execution_id: str) -> int:
        await asyncio.sleep(0.01)
        return 5

    assert asyncio.iscoroutinefunction(work) if hasattr(asyncio, "iscoroutinefunction") else True
    assert asyncio.run(work("n", "e")) == 5
    assert timing_collector.get("e")["n"]["wait"] >= 9.0


def test_timed_on_a_generator_is_not_current_between_items(by_name: ByName) -> None:
    """What the consumer does between two items is not part of the generator's tree."""

    @timed("produce")
    def items(node_id: str, execution_id: str) -> Iterator[int]:
        with phase("inside"):
            yield 1
        yield 2

    with execution("e"), node("consumer"):
        for item in items("n", "e"):
            with phase(f"consume_{item}"):
                pass
    spans = by_name()
    assert parent_id_of(spans["consume_2"]) == span_id_of(spans["consumer"])
    assert parent_id_of(spans["inside"]) == span_id_of(spans["produce"])


def test_timed_on_a_generator_keeps_its_protocol(spans: Spans) -> None:
    """Send, throw, close and the return value work as before."""
    closed = []

    @timed
    def echo(node_id: str, execution_id: str) -> Any:
        received: list[Any] = []
        try:
            while True:
                try:
                    received.append((yield len(received)))
                except KeyError:
                    return received
        finally:
            closed.append(True)

    generator = echo("n", "e")
    assert [next(generator), generator.send("a")] == [0, 1]
    with pytest.raises(StopIteration) as stop:
        generator.throw(KeyError())
    assert stop.value.value == ["a"]
    abandoned = echo("n", "e")
    next(abandoned)
    abandoned.close()
    assert closed == [True, True]
    assert phasetrace.breakdown("e").errors == 0
    assert len(spans.get_finished_spans()) == 2


def test_timed_on_an_async_generator_ends_when_it_is_left_early(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    """An early break leaves no open span, no current span, and nothing in the log."""

    @timed("stream")
    async def stream(node_id: str, execution_id: str) -> AsyncIterator[int]:
        for index in range(3):
            with phase("make"):
                await asyncio.sleep(0)
            yield index

    async def main() -> None:
        iterator = stream("n", "e")
        async for item in iterator:
            assert not trace.get_current_span().get_span_context().is_valid
            if item == 1:
                break
        await iterator.aclose()  # type: ignore[attr-defined]
        assert [item async for item in stream("n", "e")] == [0, 1, 2]

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert phasetrace.breakdown("e").nodes[0].phases[0].count in (2, 5)
    assert len([span for span in spans.get_finished_spans() if span.name == "stream"]) == 2


def test_timed_refuses_what_cannot_be_called() -> None:
    """The message says where the decorator belongs."""
    with pytest.raises(TypeError, match="below @staticmethod, @classmethod"):

        class Engine:
            @timed("x")  # type: ignore[prop-decorator]
            @property
            def value(self) -> int:
                return 1


def test_without_an_execution_a_phase_is_an_ordinary_span(by_name: ByName) -> None:
    """It joins whatever trace is current, and is counted nowhere."""
    with trace.get_tracer("t").start_as_current_span("request"), phase("p", x=1):
        pass
    spans = by_name()
    assert parent_id_of(spans["p"]) == span_id_of(spans["request"])
    assert attributes_of(spans["p"]) == {"x": 1}
    assert timing_collector.executions() == ()


def test_a_measurement_is_a_span_too(by_name: ByName) -> None:
    """`record` makes a span of the given length that ends now."""
    timing_collector.record("e", "n", "p", 1.5, rows=3)
    span = by_name()["p"]
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time == 1_500_000
    assert timing_collector.get("e") == {"n": {"p": 1.5, "p_metadata": {"rows": 3}}}


def test_durations_are_those_of_the_spans(spans: Spans) -> None:
    """What the collector adds up is what is exported, to the nanosecond."""
    for _ in range(20):
        with time_phase("e", "n", "p"):
            pass
    exported = sum(
        span.end_time - span.start_time
        for span in spans.get_finished_spans()
        if span.end_time is not None and span.start_time is not None
    )
    assert phasetrace.breakdown("e").nodes[0].phases[0].total_ns == exported


def test_fifty_threads_and_a_thousand_tasks_are_counted_exactly(spans: Spans) -> None:
    """50 threads x 1,000 phases and 1,000 tasks x 50 phases in 20 executions."""

    def thread(index: int) -> None:
        for call in range(1_000):
            with time_phase(f"e{call % 20}", f"n{index % 5}", "threaded"):
                pass

    async def task(index: int) -> None:
        for call in range(50):
            async with atime_phase(f"e{(index + call) % 20}", "n", "tasked"):
                if call % 10 == 0:
                    await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(task(index) for index in range(1_000)))

    threads = [threading.Thread(target=thread, args=(index,)) for index in range(50)]
    for one in threads:
        one.start()
    asyncio.run(main())
    for one in threads:
        one.join()
    rows = [
        row
        for exec_id in timing_collector.executions()
        for entry in phasetrace.breakdown(exec_id).nodes
        for row in entry.phases
    ]
    exported = [span for span in spans.get_finished_spans() if span.parent is not None]
    assert sum(row.count for row in rows if row.phase == "threaded") == 50_000
    assert sum(row.count for row in rows if row.phase == "tasked") == 50_000
    assert sum(row.total_ns for row in rows) == sum(
        (span.end_time or 0) - (span.start_time or 0) for span in exported
    )


class Unruly:
    """An object of the program's that cannot be compared, asked for its truth, or hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        """Refuse, as an array does."""
        raise ValueError("ambiguous")

    def __eq__(self, other: object) -> bool:
        """Refuse as well."""
        raise ValueError("incomparable")

    def __str__(self) -> str:
        """Have a name all the same."""
        return "unruly"


def test_ids_of_any_type_are_taken_by_their_text(spans: Spans) -> None:
    """Nothing is asked of an id but its text, in whichever call it comes."""
    odd: Any = Unruly()

    @timed("timed")
    def work(node_id: Any, execution_id: Any) -> None:
        return None

    with time_phase(odd, odd, "timed"), atime_phase(odd, odd, "timed"):
        work(odd, odd)
    with execution(odd, odd), node(odd, odd, odd, depends_on=[odd]), phase(odd, odd=odd):
        pass
    with execution(name=odd):
        pass
    assert set(timing_collector.get("unruly")["unruly"]) >= {"timed", "unruly"}
    assert timing_collector.executions()[1].startswith("unruly_")
    assert faults.counts() == {}


@pytest.mark.parametrize(
    ("depends_on", "named"), [(None, ()), (7, ("7",)), ("a", ("a",)), (b"a", ("b'a'",))]
)
def test_dependencies_of_any_type_raise_nothing(
    by_name: ByName, depends_on: Any, named: tuple[str, ...]
) -> None:
    """None are none, and what is no list is one dependency."""
    with execution("e"), node("n", depends_on=depends_on):
        pass
    assert tuple(attributes_of(by_name()["n"]).get("depends_on", ())) == named


def test_dependencies_without_end_are_cut(by_name: ByName) -> None:
    """An iterator that never stops does not stop the program."""
    with execution("e"), node("n", depends_on=map(str, itertools.count())):
        pass
    assert 0 < len(attributes_of(by_name()["n"])["depends_on"]) <= 1_000


def test_metadata_of_a_phase_may_be_called_name(by_name: ByName) -> None:
    """The phase's own name is given by position."""
    with phase("p", name="file"):
        pass
    assert attributes_of(by_name()["p"]) == {"name": "file"}


@pytest.mark.parametrize("descriptor", [staticmethod, classmethod, property])
@pytest.mark.parametrize("decorator", [timed, timed("x"), phase("x"), node("n"), execution("e")])
def test_decorating_a_descriptor_is_refused(descriptor: Any, decorator: Any) -> None:
    """Also a staticmethod, which can be called, but would no longer be one."""
    with pytest.raises(TypeError, match="below @staticmethod, @classmethod or @property"):
        decorator(descriptor(lambda: None))


def test_a_huge_message_is_cut(by_name: ByName) -> None:
    """The message, the stack trace and the status are within the limit of values."""
    with pytest.raises(ValueError), time_phase("e", "n", "p"):
        raise ValueError("x" * 1_000_000)
    span = by_name()["p"]
    (event,) = span.events
    recorded = dict(event.attributes or {})
    assert len(str(recorded["exception.message"])) == MAX_VALUE_LENGTH
    assert len(str(recorded["exception.stacktrace"])) == MAX_VALUE_LENGTH
    assert len(span.status.description or "") == MAX_VALUE_LENGTH


def test_a_scope_entered_again_has_a_span_for_each_entry(spans: Spans) -> None:
    """Recursion through one scope nests, and leaves nothing open or current."""
    step = phase("step")

    def descend(depth: int) -> None:
        with step:
            if depth:
                descend(depth - 1)

    for _ in range(2):
        with execution("e"):
            descend(2)
    steps = [span for span in spans.get_finished_spans() if span.name == "step"]
    assert len(steps) == 6
    assert [parent_id_of(inner) for inner in steps[:2]] == [span_id_of(span) for span in steps[1:3]]
    assert not trace.get_current_span().get_span_context().is_valid


def test_tasks_that_share_a_scope_end_their_own_entries(spans: Spans) -> None:
    """Whoever leaves first ends the span that he entered, not the latest one."""
    shared = phase("shared")

    async def work(name: str, mine: asyncio.Event, other: asyncio.Event) -> None:
        async with shared as span:
            span.set_attribute("task", name)
            mine.set()
            await other.wait()
        other.clear()

    async def main() -> None:
        first_in, second_in, never = asyncio.Event(), asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(work("first", first_in, second_in))
        await first_in.wait()
        second = asyncio.create_task(work("second", second_in, never))
        await first
        assert [attributes_of(span)["task"] for span in spans.get_finished_spans()] == ["first"]
        never.set()
        await second

    asyncio.run(main())
    finished = spans.get_finished_spans()
    assert [attributes_of(span)["task"] for span in finished] == ["first", "second"]


@pytest.mark.parametrize("key", [context_api._SUPPRESS_INSTRUMENTATION_KEY, SUPPRESSED_BY_NAME])
def test_nothing_is_recorded_where_instrumentation_is_suppressed(spans: Spans, key: str) -> None:
    """An exporter's own work inside a phase is not the program's."""
    with execution("e"), node("n"):
        token = context_api.attach(context_api.set_value(key, True))
        with execution("f"), node("n"), phase("p") as inner, time_phase("e", "n", "q"):
            assert inner is trace.INVALID_SPAN
        timing_collector.record("g", "n", "r", 1.0)
        context_api.detach(token)
        state = configuration.executions.get("e")
        assert state is not None
        assert state.open_node("n") is not None
        with phase("after"):
            pass
    assert sorted(span.name for span in spans.get_finished_spans()) == ["after", "execution", "n"]
    assert timing_collector.executions() == ("e",)


def test_what_is_suppressed_ends_nothing_around_it(spans: Spans) -> None:
    """An execution that was not started is not taken for the one that it is in."""
    with execution("e"):
        token = context_api.attach(context_api.set_value(SUPPRESSED_BY_NAME, True))
        with execution("f"):
            pass
        context_api.detach(token)
        state = configuration.executions.get("e")
        assert state is not None
        assert not state.ended


def test_an_ambient_execution_leaves_the_context_to_the_caller(by_name: ByName) -> None:
    """Baggage is the caller's, not that of whichever phase opened the execution."""
    contexts: list[Context] = []

    def ambient(recorder: Recorder) -> Context:
        if not contexts:
            contexts.append(recorder.start_execution("ambient", None, {}).context)
        return contexts[0]

    configuration.executions.ambient = ambient
    token = context_api.attach(baggage.set_baggage("tenant", "first"))
    with phase("a"):
        assert baggage.get_all() == {"tenant": "first"}
    context_api.detach(token)
    with phase("b"):
        assert baggage.get_all() == {}
    token = context_api.attach(baggage.set_baggage("tenant", "second"))
    with phase("c"):
        assert baggage.get_all() == {"tenant": "second"}
    context_api.detach(token)
    for span in by_name().values():
        assert parent_id_of(span) == root_span_id_of("ambient")
        assert attributes_of(span) == {"exec_id": "ambient", "node_id": "system"}


def test_measurements_recorded_within_a_phase_do_not_overlap(spans: Spans) -> None:
    """Those that are handed in together lie one before the other, as outside of a phase."""
    with time_phase("e", "n", "outer"):
        for name in ("a", "b", "c"):
            timing_collector.record("e", name, name, 1_000.0)
    extents = sorted(
        (span.start_time or 0, span.end_time or 0)
        for span in spans.get_finished_spans()
        if span.name != "outer"
    )
    assert len(extents) == 3
    for (_, end_ns), (start_ns, _) in itertools.pairwise(extents):
        assert end_ns <= start_ns


def test_of_several_runs_of_a_node_the_latest_open_one_takes_its_phases(by_name: ByName) -> None:
    """When it ends, the one before is the latest again."""

    def by_ids_alone(name: str) -> None:
        def work() -> None:
            with time_phase("e", "n", name):
                pass

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    with execution("e"):
        with node("n", iteration=1) as first:
            with node("n", iteration=2) as second:
                by_ids_alone("a")
            by_ids_alone("b")
        by_ids_alone("c")
    spans = by_name()
    assert parent_id_of(spans["a"]) == second.get_span_context().span_id
    assert parent_id_of(spans["b"]) == first.get_span_context().span_id
    assert parent_id_of(spans["c"]) == root_span_id_of("e")


def test_an_execution_that_ended_may_be_forgotten(spans: Spans) -> None:
    """While it is open, it may not."""
    with execution("e"):
        state = configuration.executions.get("e")
        assert state is not None
        assert not state.ended
        with node("n"):
            pass
        assert not state.ended
    assert state.ended


def test_a_run_that_was_cut_short_has_a_cancelled_root(by_name: ByName) -> None:
    """The root of an implicit execution says so, if it is told."""
    with time_phase("e", "n", "p"):
        recorder = scopes.source.recorder()
    assert recorder is not None
    recorder.executions.cancelled = True
    recorder.emit_root("e", 1, 2)
    assert attributes_of(by_name()["execution"])["phasetrace.cancelled"] is True


def test_spans_of_executions_have_few_names(by_name: ByName) -> None:
    """One that was given no name is not called by its id, of which there are as many as runs."""
    for number in range(3):
        with execution(f"run_{number}"), phase("p"):
            pass
        with time_phase(f"seen_{number}", "n", "p"):
            pass
        timing_collector.pop(f"seen_{number}")
    assert set(by_name()) == {"execution", "p"}
    names = {
        timing_collector.breakdown(one).execution.name for one in timing_collector.executions()
    }
    assert names == {"run_0", "run_1", "run_2"}
