"""Our tracer starts the spans that the SDK's would start, and in the same order of calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

import phasetrace

PROVIDERS = (sdk.TracerProvider, phasetrace.TracerProvider)

can_disable_tracers = pytest.mark.skipif(
    not hasattr(sdk.TracerProvider, "_set_tracer_configurator"),
    reason="tracers can be disabled since SDK 1.40",
)


class CountingIds(IdGenerator):
    """Gives one id after the other."""

    def __init__(self, random: bool = False) -> None:
        self.given: list[str] = []
        self._random = random

    def generate_trace_id(self) -> int:
        """Return a trace id, spread over the range that a ratio is taken of."""
        self.given.append("trace")
        return 0x9E3779B97F4A7C15 * len(self.given) % 2**64 + 2**100

    def generate_span_id(self) -> int:
        """Return a span id."""
        self.given.append("span")
        return 1000 + len(self.given)

    def is_trace_id_random(self) -> bool:
        """Tell whether trace ids are to be called random."""
        return self._random


class Deciding(Sampler):
    """Decides as told, and says so in attributes and trace state."""

    def __init__(self, decision: Decision, adding: bool = False) -> None:
        self._decision = decision
        self._adding = adding

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        """Return the decision."""
        if not self._adding:
            return SamplingResult(self._decision, attributes)
        added = {**(attributes or {}), "asked": name}
        return SamplingResult(self._decision, added, TraceState([("asked", name)]))

    def get_description(self) -> str:
        """Return the name."""
        return "Deciding"


class Told(SpanProcessor):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Keep a started span and its context."""
        self.started.append((span.name, parent_context))

    def on_end(self, span: ReadableSpan) -> None:
        """Keep an ended span."""
        self.ended.append(span)


def remote(sampled: bool, random: bool = False) -> Context:
    """Return a context with a remote parent that has a trace state."""
    flags = TraceFlags((1 if sampled else 0) | (2 if random else 0))
    parent = SpanContext(0xA, 0xB, True, flags, TraceState([("vendor", "v")]))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def seen(span: Any) -> tuple[object, ...]:
    """Return what tells how a span was started."""
    context = span.get_span_context()
    return (
        context,
        context.is_remote,
        int(context.trace_flags),
        context.trace_state.to_header(),
        span.is_recording(),
        context_seen(getattr(span, "parent", None)),
        dict(getattr(span, "attributes", None) or {}),
    )


def context_seen(context: SpanContext | None) -> object:
    """Return everything about a span context; equality overlooks nothing of it here."""
    if context is None:
        return None
    return (context, context.is_remote, int(context.trace_flags), context.trace_state.to_header())


samplers = st.one_of(
    st.sampled_from([ALWAYS_ON, ALWAYS_OFF, DEFAULT_ON, DEFAULT_OFF]),
    st.builds(TraceIdRatioBased, st.sampled_from([0.0, 0.5, 1.0])),
    st.builds(Deciding, st.sampled_from(Decision), st.booleans()),
).flatmap(
    lambda sampler: st.sampled_from(
        [
            sampler,
            ParentBased(sampler),
            ParentBased(ALWAYS_ON, local_parent_sampled=sampler),
            ParentBased(ALWAYS_ON, local_parent_not_sampled=sampler),
            ParentBased(sampler, remote_parent_sampled=ALWAYS_OFF),
        ]
    )
)
parents = st.sampled_from(
    [
        None,
        Context(),
        set_span_in_context(INVALID_SPAN, Context()),
        baggage.set_baggage("k", "v", Context()),
        *(remote(sampled, random) for sampled in (False, True) for random in (False, True)),
    ]
)
exchanges = st.none() | samplers


@given(samplers, parents, st.booleans(), st.sampled_from([None, {}, {"a": 1}]), exchanges)
def test_a_family_of_spans_is_the_one_that_the_sdk_starts(
    sampler: Sampler,
    around: Context | None,
    random: bool,
    attributes: dict[str, Any] | None,
    exchanged: Sampler | None,
) -> None:
    """Ids, flags, trace state, parents, attributes and what is recorded, down to a grandchild.

    `exchanged` takes the tracer's sampler's place after the first span.
    """
    families = []
    for provider_type in PROVIDERS:
        ids, told = CountingIds(random), Told()
        provider = provider_type(sampler, shutdown_on_exit=False, id_generator=ids)
        provider.add_span_processor(told)
        tracer: Any = provider.get_tracer("t")
        spans, context = [], around
        for name in ("parent", "child", "grandchild"):
            span = tracer.start_span(name, context, attributes=attributes)
            context = set_span_in_context(span, context)
            spans.append(span)
            if exchanged is not None:
                tracer.sampler = exchanged
        before = [seen(span) for span in spans]
        for span in reversed(spans):
            span.end()
        parents_told = [context_seen(span.parent) for span in told.ended]
        after = [context_seen(getattr(span, "parent", None)) for span in spans]
        families.append((before, after, parents_told, len(told.started), sorted(ids.given)))
    assert families[1] == families[0]


def test_the_parent_of_an_ended_span_has_the_parent_s_own_state() -> None:
    """Flags and trace state of a span can be others than its parent's, which has ended before."""
    results = []
    for provider_type in PROVIDERS:
        told = Told()
        provider = provider_type(Deciding(Decision.RECORD_AND_SAMPLE, True), shutdown_on_exit=False)
        provider.add_span_processor(told)
        tracer: Any = provider.get_tracer("t")
        parent = tracer.start_span("parent")
        tracer.sampler = Deciding(Decision.RECORD_ONLY, True)
        child = tracer.start_span("child", set_span_in_context(parent))
        child.end()
        states = [span.parent.trace_state.to_header() for span in (child, *told.ended)]
        results.append(
            (states, int(child.parent.trace_flags), child.parent.span_id == parent_id(parent))
        )
    assert results[1] == results[0]


def parent_id(span: Any) -> int:
    """Return the id of a span that is somebody's parent."""
    span_id: int = span.get_span_context().span_id
    return span_id


def test_a_child_of_a_span_that_is_recorded_only_is_not_recorded() -> None:
    """The parent is not sampled, and that is what a sampler that follows parents goes by."""
    provider = phasetrace.TracerProvider(
        ParentBased(Deciding(Decision.RECORD_ONLY)), shutdown_on_exit=False
    )
    tracer = provider.get_tracer("t")
    parent = tracer.start_span("parent")
    assert parent.is_recording()
    assert not tracer.start_span("child", set_span_in_context(parent)).is_recording()


@pytest.mark.parametrize("stand_in", [Mock, MagicMock])
def test_what_is_no_span_is_no_parent(stand_in: Callable[[], Any]) -> None:
    """Tests of programs put mocks into the context, which have every attribute there is."""
    tracer = phasetrace.TracerProvider(shutdown_on_exit=False).get_tracer("t")
    span: Any = tracer.start_span("s", set_span_in_context(stand_in()))
    assert span.parent is None


def other_resource(tracer: Any) -> None:
    """Exchange the resource."""
    tracer.resource = Resource({"other": 1})


def other_ids(tracer: Any) -> None:
    """Exchange the id generator."""
    tracer.id_generator = CountingIds()


def other_sampler(tracer: Any) -> None:
    """Exchange the sampler."""
    tracer.sampler = ALWAYS_OFF


def other_limits(tracer: Any) -> None:
    """Exchange the limits."""
    tracer._span_limits = SpanLimits(max_span_attributes=1)


@pytest.mark.parametrize("exchange", [other_resource, other_ids, other_sampler, other_limits])
def test_parts_of_a_tracer_can_be_exchanged(exchange: Callable[[Any], None]) -> None:
    """The next span is made with the new one, as the SDK's tracer would."""
    results = []
    for provider_type in PROVIDERS:
        provider = provider_type(
            shutdown_on_exit=False, id_generator=CountingIds(), resource=Resource({"first": 1})
        )
        tracer = provider.get_tracer("t")
        exchange(tracer)
        span: Any = tracer.start_span("s", attributes={"a": 1, "b": 2})
        results.append((seen(span), getattr(span, "resource", None)))
    assert results[1] == results[0]


def test_the_processor_of_a_tracer_can_be_exchanged() -> None:
    """The new one is told of the next span, the old one is not."""
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    first, second = Told(), Told()
    provider.add_span_processor(first)
    tracer: Any = provider.get_tracer("t")
    tracer.span_processor = second
    tracer.start_span("s").end()
    assert [span.name for span in second.ended] == ["s"]
    assert first.started == []


def test_the_sampler_of_a_provider_is_for_its_later_tracers() -> None:
    """A tracer that was there before keeps what it had."""
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    before = provider.get_tracer("before")
    provider.sampler = ALWAYS_OFF
    assert before.start_span("s").is_recording()
    assert not provider.get_tracer("after").start_span("s").is_recording()


def test_a_multi_processor_of_the_application_s_own_is_always_told() -> None:
    """It may do something itself, though nobody was added to it."""

    class Counting(sdk.SynchronousMultiSpanProcessor):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.told: list[str] = []

        def on_start(self, span: Any, parent_context: Context | None = None) -> None:
            self.told.append("start")

        def on_end(self, span: ReadableSpan) -> None:
            self.told.append("end")

    counting = Counting()
    provider = phasetrace.TracerProvider(shutdown_on_exit=False, active_span_processor=counting)
    provider.get_tracer("t").start_span("s").end()
    assert counting.told == ["start", "end"]


@pytest.mark.parametrize(
    "multi", [sdk.SynchronousMultiSpanProcessor, sdk.ConcurrentMultiSpanProcessor]
)
def test_a_processor_added_later_is_told_of_the_next_span(multi: type[Any]) -> None:
    """Also by a tracer, and of a span's end, that were there before."""
    provider = phasetrace.TracerProvider(shutdown_on_exit=False, active_span_processor=multi())
    tracer = provider.get_tracer("t")
    open_span = tracer.start_span("open")
    told = Told()
    provider.add_span_processor(told)
    tracer.start_span("s").end()
    open_span.end()
    provider.shutdown()
    assert [name for name, _ in told.started] == ["s"]
    assert [span.name for span in told.ended] == ["s", "open"]


@can_disable_tracers
@pytest.mark.parametrize("around", [None, Context(), remote(True)])
def test_a_tracer_disabled_at_run_time_passes_the_context_on(around: Context | None) -> None:
    """Its spans record nothing, and have the parent's context, or the invalid one."""
    results = []
    for provider_type in PROVIDERS:
        provider: Any = provider_type(shutdown_on_exit=False)
        tracer = provider.get_tracer("t")
        provider._set_tracer_configurator(tracer_configurator=sdk._disable_tracer_configurator)
        span = tracer.start_span("s", around)
        assert not span.is_recording()
        results.append(context_seen(span.get_span_context()))
    assert results[1] == results[0]


@pytest.mark.parametrize(
    "error", [None, ValueError("v"), KeyboardInterrupt(), GeneratorExit(), SystemExit(1)]
)
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_current_span_tells_of_exceptions_as_the_sdk_s_does(
    error: BaseException | None, recorded: bool, marked: bool, ended: bool
) -> None:
    """Events, status, whether it has ended and what is current afterwards are the same."""
    results = []
    for provider_type in PROVIDERS:
        tracer = provider_type(shutdown_on_exit=False).get_tracer("t")
        raised: BaseException | None = None
        try:
            with tracer.start_as_current_span(
                "s",
                record_exception=recorded,
                set_status_on_exception=marked,
                end_on_exit=ended,
            ) as current:
                span: Any = current
                assert trace.get_current_span() is span
                if error is not None:
                    raise error
        except BaseException as caught:
            raised = caught
        assert raised is error
        assert trace.get_current_span() is INVALID_SPAN
        events = [event.name for event in span.events]
        results.append(
            (events, span.status.status_code, span.status.description, span.is_recording())
        )
    assert results[1] == results[0]


def test_the_iteration_of_a_node_is_inherited_as_it_was() -> None:
    """A list that is changed afterwards does not change what later phases say."""
    iteration = [1]
    tracer = phasetrace.TracerProvider(shutdown_on_exit=False).get_tracer("t")
    ids: Any = {"exec_id": "e", "node_id": "n", "iteration": iteration}
    node: Any = tracer.start_span("n", attributes=ids)
    iteration.append(2)
    phase: Any = tracer.start_span("p", set_span_in_context(node))
    assert list(phase.attributes["iteration"]) == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_forked_while_a_tracer_is_made_can_make_tracers() -> None:
    """The lock that another thread held at the fork is a new one in the child."""
    program = """
import os, signal, threading
from phasetrace import TracerProvider, provider
made = TracerProvider(shutdown_on_exit=False)
def fork():
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        made.get_tracer("t").start_span("s").end()
        os._exit(0)
    statuses.append(os.waitpid(child, 0)[1])
statuses = []
with provider._lock:
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
print(statuses)
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert result.stdout == "[0]\n", result.stderr
