"""Phases on the short way and on the long one: the same spans, whatever is done to them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import StatusCode

import phasetrace
from phasetrace import execution, faults, node, phase, phase_span, time_phase, timing_collector
from phasetrace.encoded import encoded
from phasetrace.identity import root_span_id_of
from phasetrace.names import CANCELLED
from phasetrace.phase_span import PhaseSpan
from phasetrace.pipeline import pipeline
from phasetrace.span import Span
from phasetrace.spans import PhaseKey
from phasetrace.wire.decoding import decode_span


class Ended:
    """Keeps the spans that come by the pipeline."""

    behind = False

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def opened(self, span: Span) -> None:
        """Do nothing."""

    def ended(self, spans: Sequence[Span]) -> None:
        """Keep ended spans."""
        self._spans += spans

    def drained(self) -> None:
        """Do nothing."""

    def take(self) -> list[Span]:
        """Return the spans that have ended since the last call, in order."""
        pipeline.drain()
        taken, self._spans = self._spans, []
        return taken


@pytest.fixture(params=["short", "long"])
def ended(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Send phases one of the two ways; return what has ended.

    The execution ``e`` has been seen already: the first phase of any goes the long way.
    """
    sink = connected(monkeypatch)
    if request.param == "long":
        phase_span.disarm()
    return sink


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Send phases the short way; return what has ended."""
    return connected(monkeypatch)


def connected(monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Configure phasetrace, and return a sink that gets what ends from now on."""
    phasetrace.configure(store=False)
    with time_phase("e", "n", "first"):
        pass
    assert phase_span._origin is not None
    pipeline.drain()
    sink = Ended()
    monkeypatch.setattr(pipeline, "_sinks", (*pipeline._sinks, sink))
    return sink


def attributes_of(span: Span) -> dict[str, Any]:
    """Return a span's attributes as a plain dict."""
    return dict(span.attributes)


def stored_attributes(span: Span) -> dict[str, Any]:
    """Return the attributes of a span as they are in its OTLP message."""
    (message,) = encoded([span])
    assert message is not None
    return dict(decode_span(message.span, Resource({}), None).attributes or {})


def parent_id_of(span: Span) -> int:
    """Return the id of a span's parent, which it must have."""
    assert span.parent is not None
    return span.parent.span_id


def suppressing() -> list[Context]:
    """Return contexts that ask not to be traced: one with nothing else in it, and one with."""
    bare = context_api.set_value(context_api._SUPPRESS_INSTRUMENTATION_KEY, True, Context())
    return [bare, baggage.set_baggage("k", "v", bare)]


@pytest.mark.parametrize("context", suppressing())
def test_suppressed_phases_are_not_recorded(ended: Ended, context: Context) -> None:
    """Whether or not there is anything else in the context."""
    token = context_api.attach(context)
    with time_phase("e", "n", "p") as span:
        assert not span.is_recording()
    context_api.detach(token)
    assert ended.take() == []


def test_phases_suppressed_within_a_phase_are_not_recorded(ended: Ended) -> None:
    """The one around them is."""
    with time_phase("e", "n", "around"):
        key = context_api._SUPPRESS_INSTRUMENTATION_KEY
        token = context_api.attach(context_api.set_value(key, True))
        with time_phase("e", "n", "p") as span:
            assert not span.is_recording()
        context_api.detach(token)
    assert [span.name for span in ended.take()] == ["around"]


def test_metadata_changed_within_the_phase_stay_as_they_were(ended: Ended) -> None:
    """A list is copied when the phase is entered."""
    items = [1]
    with time_phase("e", "n", "p", items=items):
        items.append(2)
    (span,) = ended.take()
    assert attributes_of(span)["items"] == (1,)


def test_a_phase_belongs_to_the_execution_around_each_entry(ended: Ended) -> None:
    """Entered again elsewhere, it takes its ids from there."""
    step = phase("step")
    for exec_id in ("a", "b"):
        with execution(exec_id), node("n" + exec_id), step:
            pass
    steps = [span for span in ended.take() if span.name == "step"]
    assert [span._exec_id for span in steps] == ["a", "b"]
    assert [span._node_id for span in steps] == ["na", "nb"]


def test_a_phase_that_was_entered_can_still_decorate(ended: Ended) -> None:
    """The function's calls belong where they are made, with the metadata that was given."""
    step = phase("step", m=1)
    with execution("a"), step as span:
        span.set_attribute("later", 2)

    @step
    def work() -> None:
        pass

    with execution("b"):
        work()
    steps = [span for span in ended.take() if span.name == "step"]
    assert attributes_of(steps[1]) == {"m": 1, "exec_id": "b", "node_id": "system"}


@pytest.mark.parametrize("metadata", [{"m": 1}, {"m": 1, "list": [1, 2]}])
def test_each_entry_has_the_metadata_that_was_given(ended: Ended, metadata: dict[str, Any]) -> None:
    """What was set on an earlier span of the phase, or read from it, makes no difference."""
    step = time_phase("e", "n", "p", **metadata)
    with step as current:
        span: Any = current
        span.set_attribute("later", 2)
        span.set_attribute("m", 3)
        assert span.attributes["m"] == 3
        with step:
            pass
    with step:
        pass
    ids = {"exec_id": "e", "node_id": "n"}
    expected = {name: tuple(v) if type(v) is list else v for name, v in metadata.items()}
    inner, outer, again = ended.take()
    assert attributes_of(inner) == attributes_of(again) == {**expected, **ids}
    assert attributes_of(outer) == {**expected, **ids, "m": 3, "later": 2}
    assert parent_id_of(inner) == outer.context.span_id


def test_texts_that_utf_8_cannot_carry_are_counted_and_read_alike(ended: Ended) -> None:
    """Name, node and metadata have lone surrogates written out."""
    with time_phase("e", "n\udc80", "p\udc80", **{"k\udc80": "v\udc80"}):
        pass
    (span,) = ended.take()
    expected = {"exec_id": "e", "node_id": "n\\udc80", "k\\udc80": "v\\udc80"}
    assert attributes_of(span) == stored_attributes(span) == expected
    assert span.key() == PhaseKey("n\\udc80", "p\\udc80")


def test_a_node_that_utf_8_cannot_carry_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A span that cannot be written would be lost, and flushing would never succeed again."""
    phasetrace.configure()
    for _ in range(2):
        with time_phase("e", "n\udc80", "p"):
            pass
    assert phasetrace.force_flush()
    assert faults._counts == {}


class Hostile:
    """Raises whatever it is asked."""

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


values = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["\udc80", "x" * 70_000, "é" * 70_000]),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 10**5000]),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.binary(max_size=3),
    st.lists(st.integers() | st.text(max_size=2), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.just(object),
    st.sampled_from([["x"] * 2000, range(10**9), {1, 2}]),
)
names = st.one_of(
    st.text(max_size=3),
    st.sampled_from(
        ["k\udc80", "node_type", "iteration", "depends_on", "phasetrace.type", CANCELLED]
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(names, values, max_size=4)
    | st.integers(30, 140).map(lambda number: {f"k{i}": i for i in range(number)})
)
@example({"": 1})
@example({"long": "x" * 70_000})
def test_metadata_of_any_type_becomes_the_same_attributes(
    short: Ended, metadata: Mapping[str, Any]
) -> None:
    """On both ways, and in the OTLP messages as on the spans."""
    seen = []
    for way in (phase_span._origin, None):
        phase_span._origin, armed = way, phase_span._origin
        with time_phase("e", "n", "p", **metadata):
            pass
        phase_span._origin = armed
        (span,) = short.take()
        stored = stored_attributes(span)  # before anybody has looked at them
        attributes = (attributes_of(span), span.dropped_attributes)
        seen.append((stored, *attributes, span.metadata(), span.key(), span.outcome()))
    assert seen[0] == seen[1]


def test_a_hostile_value_does_not_reach_the_program(ended: Ended) -> None:
    """Neither where it is given nor where it is read."""
    with time_phase("e", "n", "p", a=Hostile(), b=[Hostile()], c={"k": Hostile()}):
        pass
    (span,) = ended.take()
    assert "unprintable" in attributes_of(span)["a"]
    assert faults._counts == {}


class HostileKind(type):
    """The type of exceptions that do not tell their name."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        """Refuse."""
        raise ValueError


def test_a_phase_ends_though_its_exception_cannot_be_recorded(ended: Ended) -> None:
    """The exception goes on, the fault is counted, and the span is not left open."""
    error: Any = HostileKind("Error", (Exception,), {})()
    with pytest.raises(type(error)) as raised, time_phase("e", "n", "p"):
        raise error
    assert raised.value is error
    assert [span.name for span in ended.take()] == ["p"]
    assert faults._counts == {"recording an exception": 1}
    assert pipeline.open == {}


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (ValueError("v"), StatusCode.ERROR, "error"),
        (ValueError("\udc80"), StatusCode.ERROR, "error"),
        (StopIteration(), StatusCode.ERROR, "error"),
        (asyncio.CancelledError(), StatusCode.UNSET, "cancelled"),
        (KeyboardInterrupt(), StatusCode.UNSET, "cancelled"),
        (GeneratorExit(), StatusCode.UNSET, "ok"),
        (SystemExit(), StatusCode.UNSET, "ok"),
    ],
)
def test_what_an_exception_makes_of_a_phase(
    ended: Ended, error: BaseException, code: StatusCode, outcome: str
) -> None:
    """A failure is an error with an event; other interruptions are none."""
    raised: BaseException | None = None
    try:
        with time_phase("e", "n", "p"):
            raise error
    except BaseException as caught:
        raised = caught
    assert raised is error
    (span,) = ended.take()
    assert (span.status.status_code, span.outcome()) == (code, outcome)
    assert [event.name for event in span.events] == ["exception"] * (code is StatusCode.ERROR)


def test_an_ended_phase_takes_nothing_more(ended: Ended) -> None:
    """It was ended in its body, with a time; what comes later, its exit too, changes nothing."""
    with suppress(ValueError), time_phase("e", "n", "p") as current:
        span: Any = current
        span.end(span.start_time + 5)
        span.set_attribute("a", 1)
        span.update_name("other")
        raise ValueError
    span.set_attributes({"a": 1, "exec_id": "other"})
    span.set_status(StatusCode.ERROR)
    span.end()
    assert ended.take() == [span]
    assert (span.name, span.end_time - span.start_time) == ("p", 5)
    assert attributes_of(span) == {"exec_id": "e", "node_id": "n"}
    assert span.status.status_code is StatusCode.UNSET


def test_a_phase_ended_in_its_body_keeps_that_end(ended: Ended) -> None:
    """Leaving it gives the context back, and that is all."""
    with time_phase("e", "n", "p") as current:
        span: Any = current
        span.end(span.start_time + 5)
    assert ended.take() == [span]
    assert span.end_time - span.start_time == 5
    assert context_api.get_current() == {}


def test_attributes_looked_at_after_the_end_cannot_be_changed(ended: Ended) -> None:
    """Whether or not anybody looked before."""
    for looked_at in (False, True):
        with time_phase("e", "n", "p", m=1) as current:
            span: Any = current
            if looked_at:
                assert span.attributes
        with pytest.raises(TypeError):
            span._attributes["m"] = 2


def test_leaving_what_was_not_entered_does_nothing(ended: Ended) -> None:
    """Never, or once too often."""
    never: Any = time_phase("e", "n", "never")
    never.__exit__(None, None, None)
    never.__exit__(ValueError, ValueError(), None)
    once: Any = time_phase("e", "n", "once")
    once.__enter__()
    for _ in range(2):
        once.__exit__(None, None, None)
    assert [span.name for span in ended.take()] == ["once"]
    assert faults._counts == {}


def test_entered_and_left_in_different_contexts(ended: Ended) -> None:
    """The span ends, and is not current in either once the phases there have been left."""
    inside: Any = time_phase("e", "n", "inside")
    contextvars.copy_context().run(inside.__enter__)
    inside.__exit__(None, None, None)
    outside: Any = time_phase("e", "n", "outside")
    with time_phase("e", "n", "around") as around:
        outside.__enter__()
        context = contextvars.copy_context()
        context.run(outside.__exit__, None, None, None)
        assert context.run(trace.get_current_span) is around
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert [span.name for span in ended.take()] == ["inside", "outside", "around"]


def test_an_abandoned_generator_ends_its_phase(ended: Ended) -> None:
    """When it is collected."""

    def working() -> Iterator[int]:
        with time_phase("e", "n", "p"):
            yield 1

    generator = working()
    next(generator)
    del generator
    gc.collect()
    assert [span.name for span in ended.take()] == ["p"]


def test_a_phase_shared_by_threads(ended: Ended) -> None:
    """Each entry is a span of its own, with what was begun in it below it."""
    step = time_phase("e", "n", "step")
    together = threading.Barrier(4)

    def work() -> None:
        for _ in range(10):
            with step as span:
                together.wait()
                with phase("below") as current:
                    below: Any = current
                    assert below.parent.span_id == span.get_span_context().span_id
                together.wait()

    with step:  # from here on, all find it entered
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    spans = ended.take()
    assert sum(span.name == "step" for span in spans) == 41
    assert sum(span.name == "below" for span in spans) == 40
    assert faults._counts == {}


def test_a_phase_shared_by_tasks(ended: Ended) -> None:
    """They leave it in another order than they entered it, and each leaves its own."""
    step = time_phase("e", "n", "step")

    async def work(turns: int) -> tuple[int, int]:
        async with step as span:
            for _ in range(turns):
                await asyncio.sleep(0)
            async with phase("below") as current:
                below: Any = current
                await asyncio.sleep(0)
            return span.get_span_context().span_id, below.parent.span_id

    async def main() -> list[tuple[int, int]]:
        return await asyncio.gather(*(work(turns) for turns in (1, 3, 2)))

    pairs = asyncio.run(main())
    assert all(own == parent for own, parent in pairs)
    left = [span.context.span_id for span in ended.take() if span.name == "step"]
    assert left == [pairs[0][0], pairs[2][0], pairs[1][0]]


@pytest.mark.parametrize("change", [lambda: phasetrace.configure(store=False), phasetrace.shutdown])
def test_a_phase_outlasts_a_configuration(ended: Ended, change: Callable[[], None]) -> None:
    """What was entered before it is left after it, and gives the context back."""
    with time_phase("e", "n", "p") as current:
        span: Any = current
        change()
    assert span.end_time is not None
    assert context_api.get_current() == {}
    assert pipeline.open == {}
    assert faults._counts == {}


def test_an_application_installs_its_provider_within_a_phase(ended: Ended) -> None:
    """The phase ends as it began; the next one is made by the new provider."""
    with time_phase("e", "n", "p"):
        trace.set_tracer_provider(sdk.TracerProvider(shutdown_on_exit=False))
        with phase("below") as below:
            assert not isinstance(below, Span)
    assert timing_collector.get("e")["n"].keys() == {"first", "p", "below"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_phase_around_a_fork_is_ended_by_the_parent_alone(ended: Ended) -> None:
    """The child leaves it, and nothing is recorded there."""
    running: Any = time_phase("e", "n", "p")
    running.__enter__()
    child = os.fork()
    if child == 0:
        recorded = 99
        try:
            running.__exit__(None, None, None)
            recorded = len(pipeline.queue) + len(pipeline.open)
        finally:
            os._exit(recorded)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    running.__exit__(None, None, None)
    assert [span.name for span in ended.take()] == ["p"]


@pytest.mark.skipif(
    not hasattr(sdk.TracerProvider, "_set_tracer_configurator"),
    reason="tracers can be disabled since SDK 1.40",
)
def test_phases_can_be_disabled_at_run_time(ended: Ended) -> None:
    """By the tracer configurator, and enabled again."""
    provider: Any = trace.get_tracer_provider()
    configurators = (sdk._disable_tracer_configurator, sdk._default_tracer_configurator)
    recording = []
    for configurator in configurators:
        provider._set_tracer_configurator(tracer_configurator=configurator)
        with time_phase("e", "n", "p") as span:
            recording.append(span.is_recording())
    assert recording == [False, True]


def test_a_processor_added_later_is_told_of_phases(ended: Ended) -> None:
    """Also of the end of one that was open."""
    told: list[str] = []

    class Telling(sdk.SpanProcessor):
        def on_end(self, span: sdk.ReadableSpan) -> None:
            told.append(span.name)

    provider: Any = trace.get_tracer_provider()
    with time_phase("e", "n", "before"):
        provider.add_span_processor(Telling())
        with time_phase("e", "n", "after"):
            pass
    assert told == ["after", "before"]


def test_baggage_stays_in_the_context(ended: Ended) -> None:
    """A phase puts its span beside what is there."""
    token = context_api.attach(baggage.set_baggage("k", "v"))
    with time_phase("e", "n", "p"), phase("q"):
        assert baggage.get_baggage("k") == "v"
    context_api.detach(token)
    below, around = ended.take()
    assert parent_id_of(below) == around.context.span_id
    assert parent_id_of(around) == root_span_id_of("e")


def test_an_ended_phase_is_kept_by_nobody(ended: Ended) -> None:
    """Not by its children, nor by tasks that were started in it, nor by what it raised."""
    tracer = trace.get_tracer("t")
    dead: list[weakref.ref[Any]] = []
    kept: list[Any] = []

    async def step(left: int) -> None:
        with phase("p") as span:
            child = tracer.start_span("c")
            child.end()
            kept.append(child)
            dead.append(weakref.ref(span))
            if left:
                tasks.append(asyncio.create_task(step(left - 1)))

    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        with time_phase("e", "n", "root"):
            tasks.append(asyncio.create_task(step(20)))
        while tasks:
            await tasks.pop(0)

    asyncio.run(main())
    ended.take()
    gc.collect()
    assert len(dead) == 21
    assert [reference() for reference in dead if reference() is not None] == []


def test_the_local_variables_of_a_failure_are_not_kept(ended: Ended) -> None:
    """The span has the exception's texts, not its traceback."""

    class Local:
        pass

    def failing() -> weakref.ref[Any]:
        local = Local()
        try:
            with time_phase("e", "n", "p"):
                raise ValueError
        except ValueError:
            return weakref.ref(local)

    reference = failing()
    (span,) = ended.take()
    assert reference() is None
    assert span.outcome() == "error"


def test_the_short_way_is_a_span_that_is_its_own_context_manager(short: Ended) -> None:
    """These tests compare what they say they compare."""
    step: Any = time_phase("e", "n", "p")
    with step as span:
        assert span is step
    phase_span.disarm()
    long: Any = time_phase("e", "n", "p")
    with long as span:
        assert span is not long
        assert not isinstance(span, PhaseSpan)


def test_both_ways_count_alike(ended: Ended) -> None:
    """The collector has the calls of both."""
    with time_phase("e", "n", "p"), phase("q"):
        pass
    assert timing_collector.get("e")["n"].keys() == {"first", "p", "q"}
