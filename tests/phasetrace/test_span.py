"""Our span does what the SDK's does: each operation is carried out on one of either."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

import phasetrace
from phasetrace import execution, time_phase, timing_collector
from phasetrace.encoded import encoded
from phasetrace.pipeline import pipeline
from phasetrace.span import Span
from phasetrace.spans import PhaseKey
from phasetrace.wire import encode_readable

START_NS = 1_700_000_000_000_000_000
UNLIMITED = SpanLimits.UNSET


class FixedIds(IdGenerator):
    """Gives the same ids every time."""

    def generate_trace_id(self) -> int:
        """Return the trace id."""
        return 0xABC

    def generate_span_id(self) -> int:
        """Return the span id."""
        return 0xDEF

    def is_trace_id_random(self) -> bool:
        """Tell that it is not."""
        return False


class RecordOnly(Sampler):
    """Records all, and samples nothing: OTLP messages of the SDK's spans do not say either."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Return the decision, with the attributes that were given."""
        attributes = args[4] if len(args) > 4 else kwargs.get("attributes")
        return SamplingResult(Decision.RECORD_ONLY, attributes)

    def get_description(self) -> str:
        """Return the name."""
        return "RecordOnly"


class Ended(SpanProcessor):
    """Keeps what it is told of ended spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the span."""
        self.spans.append(span)


class Twin(NamedTuple):
    """A span, and what the processors of its provider were told."""

    span: Any
    ended: Ended


Operation = Callable[[Any], object]


def twins(
    attributes: Any = None, limits: SpanLimits | None = None, kind: SpanKind = SpanKind.INTERNAL
) -> tuple[Twin, Twin]:
    """Return a span of the SDK's, and one of ours that was started in the same way."""
    made = []
    for provider_type in (sdk.TracerProvider, phasetrace.TracerProvider):
        provider = provider_type(
            RecordOnly(),
            Resource({"service.name": "s"}),
            shutdown_on_exit=False,
            id_generator=FixedIds(),
            span_limits=limits,
        )
        ended = Ended()
        provider.add_span_processor(ended)
        span = provider.get_tracer("t", "1").start_span(
            "name", kind=kind, attributes=attributes, start_time=START_NS
        )
        made.append(Twin(span, ended))
    assert isinstance(made[1].span, Span)
    return made[0], made[1]


def outcome(operation: Operation, span: Any) -> object:
    """Return what an operation returns, or the type of what it raises."""
    try:
        return operation(span)
    except Exception as error:
        return type(error)


def reading(span: ReadableSpan) -> tuple[object, ...]:
    """Return everything that can be read from a span."""
    return (
        outcome(lambda span: span.to_json(), span),  # bytes have none
        dict(span.attributes or {}),
        list(span.attributes or {}),
        [(event.name, event.timestamp, dict(event.attributes or {})) for event in span.events],
        [(link.context, dict(link.attributes or {})) for link in span.links],
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
        (span.status.status_code, span.status.description),
        (span.name, span.kind, span.parent, span.start_time, span.end_time),
        span.get_span_context(),
        (span.resource, span.instrumentation_scope),
    )


keys = st.sampled_from(["a", "b", "c", "d", "é", "node_id", "iteration", "phasetrace.cancelled"])
odd_keys = st.sampled_from(["", None, 5, b"k", ("t",)])
plain_values = st.one_of(
    st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans()
)
values = st.one_of(
    plain_values,
    st.none(),
    st.binary(max_size=4),
    st.lists(st.text(max_size=8), max_size=3),
    st.lists(plain_values, max_size=3),
    st.dictionaries(st.text(max_size=3), plain_values, max_size=2),
    st.just(object),
)
attribute_maps = st.dictionaries(keys | odd_keys, values, max_size=4)
link_contexts = st.builds(
    SpanContext,
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([TraceFlags(0), TraceFlags(1)]),
    st.sampled_from([TraceState(), TraceState([("k", "v")])]),
)
statuses = st.one_of(
    st.builds(Status, st.just(StatusCode.ERROR), st.text(max_size=5)),
    st.sampled_from([Status(code) for code in StatusCode]),
)


def call(method: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    """Return operations that call a method of the span."""
    return st.tuples(*arguments).map(lambda args: lambda span: getattr(span, method)(*args))


operations = st.lists(
    st.one_of(
        call("set_attribute", keys, plain_values),
        call("set_attribute", keys | odd_keys, values),
        call("set_attributes", attribute_maps),
        call("add_event", st.text(max_size=4), st.none() | attribute_maps, st.integers(1, 9)),
        call("add_link", link_contexts, st.none() | attribute_maps),
        call("set_status", statuses),
        call("set_status", st.sampled_from(StatusCode), st.none() | st.text(max_size=4)),
        call("set_status", statuses, st.just("ignored")),
        call("update_name", st.text(max_size=4)),
        call("record_exception", st.just(ValueError("v")), st.none() | attribute_maps, st.just(7)),
        call("end", st.integers(START_NS, START_NS + 9)),
        st.just(lambda span: span.is_recording()),
        st.just(reading),
    ),
    max_size=8,
)
counts = st.sampled_from([0, 1, 2, 3, 128])
limits = st.builds(
    SpanLimits,
    max_span_attributes=counts,
    max_events=counts,
    max_links=counts,
    max_event_attributes=counts,
    max_link_attributes=counts,
    max_attribute_length=st.sampled_from([UNLIMITED, 0, 3]),
    max_span_attribute_length=st.sampled_from([UNLIMITED, 0, 2]),
)


@given(st.none() | attribute_maps, limits, st.sampled_from(SpanKind), operations)
def test_whatever_is_done_gives_the_span_that_the_sdk_gives(
    attributes: dict[Any, Any] | None,
    limits: SpanLimits,
    kind: SpanKind,
    operations: list[Operation],
) -> None:
    """Every call has the same outcome, and what can be read, is told and is encoded is the same."""
    stock, own = twins(attributes, limits, kind)
    for operation in [*operations, lambda span: span.end(START_NS + 10)]:
        assert outcome(operation, own.span) == outcome(operation, stock.span)
    assert reading(own.span) == reading(stock.span)
    (told_own,), (told_stock,) = own.ended.spans, stock.ended.spans
    assert reading(told_own) == reading(told_stock)
    (message,) = encoded([own.span])
    assert message is not None
    assert message.span == encode_readable(told_stock)


def test_a_key_that_cannot_be_hashed_is_refused_as_any_other() -> None:
    """Whatever the SDK does about it, no more and no less comes of it."""
    stock, own = twins()
    results = [
        outcome(lambda span: span.set_attribute(["k"], 1), twin.span) for twin in (stock, own)
    ]
    assert results[0] == results[1]
    assert reading(own.span) == reading(stock.span)


def test_what_is_changed_after_it_was_given_stays_as_it_was() -> None:
    """Lists and mappings are copied, in the attributes of the start and in later ones."""
    items, attributes = ["x"], {"plain": 1}
    stock, own = twins(attributes)
    for twin in (stock, own):
        twin.span.set_attribute("list", items)
    attributes["plain"] = 2
    items.append("y")
    assert reading(own.span) == reading(stock.span)
    assert dict(own.span.attributes) == {"plain": 1, "list": ("x",)}


def test_attributes_that_were_read_follow_the_span() -> None:
    """What is set later shows in the mapping that was got before."""
    _, own = twins({"a": 1})
    attributes = own.span.attributes
    own.span.set_attribute("b", 2)
    assert attributes == {"a": 1, "b": 2}


def test_attributes_of_an_ended_span_cannot_be_changed() -> None:
    """Not by the way that processors have to them, either, even if nobody looked before the end."""
    _, own = twins({"a": 1})
    own.span.end()
    (told,) = own.ended.spans
    for attributes in (told._attributes, own.span._attributes):
        with pytest.raises(TypeError):
            attributes["b"] = 2  # type: ignore[index]


@pytest.mark.parametrize("in_execution", [False, True])
def test_an_ended_span_takes_nothing_more(in_execution: bool) -> None:
    """Every change is refused, and the second end changes no time."""
    _, own = twins({"exec_id": "e"} if in_execution else None)
    own.span.end(START_NS + 1)
    before = reading(own.span)
    own.span.set_attribute("a", 1)
    own.span.set_attribute("exec_id", "other")
    own.span.set_attributes({"a": 1, "node_id": "other"})
    own.span.add_event("e")
    own.span.add_link(SpanContext(1, 2, False))
    own.span.update_name("other")
    own.span.set_status(StatusCode.ERROR)
    own.span.end(START_NS + 2)
    assert reading(own.span) == before
    assert len(own.ended.spans) == 1


def test_copies_are_possible_as_far_as_the_sdk_s_are() -> None:
    """Copied, deep-copied or pickled, a span and what processors are told fare as the SDK's do."""
    ways: list[Operation] = [
        lambda span: reading(copy.copy(span)) == reading(span),
        lambda span: reading(copy.deepcopy(span)) == reading(span),
        lambda span: reading(pickle.loads(pickle.dumps(span))) == reading(span),  # noqa: S301 - our own
    ]
    results = []
    for twin in twins({"a": ["x"]}):
        twin.span.add_event("e")
        twin.span.end()
        results.append(
            [outcome(way, one) for one in (twin.span, *twin.ended.spans) for way in ways]
        )
    assert results[1] == results[0]


@pytest.mark.parametrize("error", [None, ValueError("v"), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("marked", [False, True])
def test_as_a_context_manager_it_tells_of_exceptions_as_the_sdk_s_does(
    error: BaseException | None, recorded: bool, marked: bool
) -> None:
    """``with span:`` ends it, and records and marks what the span was started to."""
    results = []
    for provider_type in (sdk.TracerProvider, phasetrace.TracerProvider):
        tracer = provider_type(shutdown_on_exit=False).get_tracer("t")
        span: Any = tracer.start_span(
            "s", record_exception=recorded, set_status_on_exception=marked
        )
        with suppress(BaseException), span:
            if error is not None:
                raise error
        events = [
            (event.name, (event.attributes or {}).get("exception.escaped")) for event in span.events
        ]
        results.append(
            (events, span.status.status_code, span.status.description, span.is_recording())
        )
    assert results[1] == results[0]


def test_made_by_hand_it_has_no_limits_and_needs_no_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The constructor has the defaults of the SDK's."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    span = Span("s", None)  # type: ignore[arg-type]
    span.set_attributes({"a": 1, "b": 2})
    assert dict(span.attributes) == {"a": 1, "b": 2}
    assert not span.get_span_context().is_valid


@pytest.mark.parametrize("name", [None, 5, b"b", ["l"]])
def test_a_name_that_is_no_string_loses_no_other_span(name: Any) -> None:
    """It is taken as text, at the start and later; what ends beside it is counted."""
    phasetrace.configure(store=False)
    tracer = trace.get_tracer("t")
    with execution("e"):
        tracer.start_span(name).end()
        with time_phase("e", "n", "p") as span:
            span.update_name(name)
        with time_phase("e", "n", "q"):
            pass
    assert timing_collector.get("e").keys() == {"system", "n"}
    assert timing_collector.get("e")["n"].keys() == {str(name), "q"}


@pytest.mark.parametrize("given_ns", [1.5e18, "yesterday", float("nan"), object(), -5, 2**70])
def test_a_time_that_is_none_loses_no_other_span(given_ns: Any) -> None:
    """A float becomes an integer, what is no time the present; what ends beside it is counted."""
    phasetrace.configure(store=False)
    tracer = trace.get_tracer("t")
    with execution("e"):
        tracer.start_span("started", start_time=given_ns).end()
        tracer.start_span("ended").end(given_ns)
        with time_phase("e", "n", "p"):
            pass
    counted = timing_collector.get("e")
    assert counted["system"].keys() == {"started", "ended"}
    assert counted["n"].keys() == {"p"}


def test_attributes_set_by_two_threads_are_all_there() -> None:
    """Also while a third one reads them, which changes where they are kept."""
    for _ in range(20):
        _, own = twins()
        together = threading.Barrier(3)

        def setting(prefix: str, span: Any = own.span, start: Any = together) -> None:
            start.wait()
            for number in range(20):
                span.set_attribute(f"{prefix}{number}", number)

        def looking(span: Any = own.span, start: Any = together) -> None:
            start.wait()
            for _ in range(20):
                dict(span.attributes)

        threads = [threading.Thread(target=setting, args=(prefix,)) for prefix in "ab"]
        threads.append(threading.Thread(target=looking))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(own.span.attributes) == 40


def test_ids_that_were_given_are_read_as_they_were_given() -> None:
    """Though they are texts where they are counted under."""
    _, own = twins({"exec_id": 7, "node_id": 8, "node_type": 9})
    assert dict(own.span.attributes) == {"exec_id": 7, "node_id": 8, "node_type": 9}
    assert own.span.key() == PhaseKey("8", "name")


def test_limits_do_not_push_the_ids_out() -> None:
    """The execution and the node are on the span, however many attributes come after them."""
    _, own = twins({"exec_id": "e", "node_id": "n"}, SpanLimits(max_span_attributes=2))
    own.span.set_attributes({"a": 1, "b": 2, "c": 3})
    assert dict(own.span.attributes) == {"b": 2, "c": 3, "exec_id": "e", "node_id": "n"}


def test_limits_do_not_push_out_what_a_span_is() -> None:
    """A node stays one, an execution stays a child of another, whatever is set on them."""
    limits = SpanLimits(max_span_attributes=2)
    for ids in (
        {"exec_id": "e", "node_id": "n", "phasetrace.type": "node", "depends_on": ("a", "b")},
        {"exec_id": "e", "phasetrace.type": "execution", "phasetrace.parent_exec_id": "f"},
        {"exec_id": "e", "phasetrace.type": "execution", "phasetrace.implicit": True},
    ):
        _, own = twins(ids, limits)
        own.span.set_attributes({"a": 1, "b": 2, "c": 3})
        assert dict(own.span.attributes) == {**ids, "b": 2, "c": 3}
        own.span.end()
        (data,) = encoded([own.span])
        message = SpanMessage.FromString(data.span if data is not None else b"")
        assert {one.key for one in message.attributes} == {*ids, "b", "c"}


def test_a_limit_on_lengths_leaves_ids_whole() -> None:
    """Cut, they could be those of another execution."""
    ids = {"exec_id": "exec_1234", "node_id": "a node", "phasetrace.type": "node"}
    _, own = twins({**ids, "text": "a text"}, SpanLimits(max_span_attribute_length=3))
    whole = {**ids, "text": "a t"}
    assert dict(own.span.attributes) == whole
    own.span.set_attribute("exec_id", "exec_5678")
    own.span.set_attributes({"node_id": "another", "text": "other"})
    whole |= {"exec_id": "exec_5678", "node_id": "another", "text": "oth"}
    assert dict(own.span.attributes) == whole
    assert (own.span._exec_id, own.span._node_id) == ("exec_5678", "another")
    own.span.end()
    own.span.set_attribute("exec_id", "exec_9")
    assert dict(own.ended.spans[0].attributes or {}) == dict(own.span.attributes) == whole


@pytest.mark.parametrize("when", ["on_end", "_on_ending"])
def test_a_processor_that_raises_costs_no_span(when: str) -> None:
    """It is counted, and not taken for open for ever."""

    class Raising(SpanProcessor):
        """Somebody else's."""

    setattr(Raising, when, lambda *_: 1 / 0)
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Raising())
    trace.set_tracer_provider(provider)
    with execution("e"), phasetrace.node("n"), phasetrace.phase("p"):
        pass
    assert timing_collector.get("e")["n"].keys() >= {"p"}
    assert not pipeline.open
