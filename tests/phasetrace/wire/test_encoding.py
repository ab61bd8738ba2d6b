"""The bytes are the message that the official encoder makes, for everything it can encode."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum, IntFlag
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as Scope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from phasetrace import faults, redaction
from phasetrace.attributes import NESTED_VALUES
from phasetrace.redaction import Redaction
from phasetrace.redaction_rules import Rules
from phasetrace.wire import EncodedSpan, encode, encode_readable, encode_span, frame
from phasetrace.wire import values as values_module
from tests.phasetrace.wire.strategies import attributes, official, span_with, spans, values

thorough = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
everyday = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def canonical(message: type, data: bytes) -> bytes:
    """Return a message as protobuf writes it; comparing those, unlike messages, NaN is NaN."""
    parsed = message.FromString(data)  # type: ignore[attr-defined]
    return bytes(parsed.SerializeToString())


def decoded(encoded: EncodedSpan | None) -> SpanMessage:
    """Return the message of an encoded span."""
    assert encoded is not None
    message: SpanMessage = SpanMessage.FromString(encoded.span)
    return message


def plain(value: AnyValue) -> Any:
    """Return the value of a message."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def attributes_of(message: Any) -> dict[str, Any]:
    """Return the attributes of a message."""
    pairs: list[KeyValue] = list(message.attributes)
    return {pair.key: plain(pair.value) for pair in pairs}


def kept(value: Any, key: str = "key") -> Any:
    """Return what is encoded of an attribute."""
    (found,) = attributes_of(decoded(encode([span_with(attributes={key: value})])[0])).values()
    return found


def check_as_officially(span: ReadableSpan) -> None:
    """Compare all that there is of a span with what the official encoder makes of it."""
    expected = official(span)
    (encoded,) = encode([span])
    assert encoded is not None
    assert canonical(SpanMessage, encoded.span) == expected.span
    assert canonical(ResourceMessage, encoded.resource) == expected.resource
    assert canonical(InstrumentationScope, encoded.scope) == expected.scope
    assert encoded.resource_schema_url == expected.resource_schema_url
    assert encoded.scope_schema_url == expected.scope_schema_url


@everyday
@given(span=spans)
def test_a_span_is_encoded_as_officially(span: ReadableSpan) -> None:
    """Message for message: span, resource and scope, and both schema URLs."""
    check_as_officially(span)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@thorough
@given(span=spans)
def test_ten_thousand_spans_are_encoded_as_officially(span: ReadableSpan) -> None:
    """The same, for longer than one waits for a test."""
    check_as_officially(span)


@everyday
@given(span=spans)
def test_plain_values_are_encoded_like_the_span_that_has_them(span: ReadableSpan) -> None:
    """Another class of spans need not make the SDK's objects first."""
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    message = encode_span(
        context.trace_id,
        context.span_id,
        parent.span_id if parent else None,
        bool(parent and parent.is_remote),
        context.trace_state or None,
        span.name,
        span.kind,
        span.start_time,
        span.end_time,
        dict(span.attributes or {}) or None,
        span.dropped_attributes,
        span.events,
        span.dropped_events,
        span.links,
        span.dropped_links,
        None if span.status.is_unset else span.status,
    )
    assert canonical(SpanMessage, message) == official(span).span


@settings(everyday, max_examples=50)
@given(batch=st.lists(spans, max_size=6))
def test_a_batch_is_encoded_span_by_span(batch: list[ReadableSpan]) -> None:
    """In its order, whatever the spans have in common."""
    assert encode(batch) == [encoded for span in batch for encoded in encode([span])]


def test_spans_with_the_same_ids_are_not_mixed_up() -> None:
    """Another id generator may give them twice, and an execution may be given its root twice."""
    first, second = encode([span_with(name="first"), span_with(name="second")])
    assert (decoded(first).name, decoded(second).name) == ("first", "second")


def test_spans_that_have_their_resource_in_common_have_its_message_in_common() -> None:
    """It is encoded once a batch, and not once a span."""
    resource = Resource({"service.name": "x"})
    first, second = encode([span_with(resource=resource), span_with(resource=resource)])
    assert first is not None and second is not None
    assert first.resource is second.resource


def test_resources_that_are_made_on_demand_are_not_mixed_up() -> None:
    """One that is gone could leave its id to the next, so all stay while they are told apart."""
    made: list[weakref.ref[Resource]] = []
    alive: list[int] = []

    class OnDemand(ReadableSpan):
        @property
        def resource(self) -> Resource:
            resource = Resource({"service.name": self.name})
            alive.append(sum(one() is not None for one in made))
            made.append(weakref.ref(resource))
            return resource

    names = ["a", "b", "c", "d"]
    encoded = encode([OnDemand(name, SpanContext(1, 2, False)) for name in names])
    messages = [ResourceMessage.FromString(one.resource) for one in encoded if one is not None]
    assert [attributes_of(message)["service.name"] for message in messages] == names
    assert alive == [0, 1, 2, 3]


def test_a_class_of_spans_may_bring_its_own_encoding() -> None:
    """Its resource and scope are encoded all the same, and what it raises costs that span only."""
    messages: list[bytes | Exception] = [b"message", ValueError("none")]

    def message_of(span: ReadableSpan) -> bytes:
        found = messages.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    scope = Scope("scope")
    first, second = encode([span_with(instrumentation_scope=scope)] * 2, message_of)
    assert first == EncodedSpan(b"message", b"", "", b"\n\x05scope", "")
    assert second is None


def test_spans_of_a_tracer_are_encoded_as_officially() -> None:
    """Of the SDK's own making, while they record, and when they have ended."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tracer", "1.0")
    with tracer.start_as_current_span("parent", kind=SpanKind.SERVER):
        span = tracer.start_span("name", attributes={"s": "x", "i": 7, "f": 0.5, "b": True})
        span.add_event("event", {"n": 1})
        span.set_status(Status(StatusCode.ERROR, "went wrong"))
        check_as_officially(span)  # type: ignore[arg-type]
        span.end()
        check_as_officially(span)  # type: ignore[arg-type]


def test_a_subclass_is_encoded_as_what_it_shows() -> None:
    """An exporter that takes secrets out may do so in a property."""

    class Redacted(ReadableSpan):
        @property
        def attributes(self) -> Any:
            return dict.fromkeys(super().attributes or {}, "***")

    span = Redacted(
        "name",
        SpanContext(1, 2, False),
        attributes=BoundedAttributes(attributes={"password": "x"}),
        events=BoundedList(1),
        links=BoundedList(1),
    )
    assert attributes_of(decoded(encode([span])[0])) == {"password": "***"}


def test_the_flags_of_w3c_are_written_when_they_are_given() -> None:
    """Beside what is known of the parent; without them the message is the official one."""
    for remote, flags, expected in [(False, 0, 0x100), (True, 1, 0x301), (False, 3, 0x103)]:
        message = encode_span(
            1, 2, 3, remote, None, "name", SpanKind.CLIENT, 4, 5, None, trace_flags=flags
        )
        assert SpanMessage.FromString(message).flags == expected


# What is kept of values that were seen before.


SIMILAR: list[Any] = [0, 0.0, False, "0", 1, 1.0, True, "1", "", "10", -1, 128, 10_000]


@pytest.mark.parametrize("value", SIMILAR, ids=repr)
def test_what_was_encoded_before_changes_nothing(value: Any) -> None:
    """A message is the same the second time, and after others."""
    span = span_with(name=f"{value}", attributes={"": value, "key": value})
    expected = official(span).span
    for other in SIMILAR:
        encode_readable(span_with(name=f"{other}", attributes={"key": other, "": other}))
        for _ in range(2):
            assert canonical(SpanMessage, encode_readable(span)) == expected


@pytest.mark.parametrize("order", [(1, True, 1.0, "1"), (1.0, 1, "1", True), (True, 1.0, 1, "1")])
def test_equal_values_of_other_types_are_told_apart(order: tuple[Any, ...]) -> None:
    """To a dict, 1, True and 1.0 are one key."""
    assert [repr(kept(value, "equal")) for value in order] == [repr(value) for value in order]
    assert [repr(kept(value, "equal")) for value in (-0.0, 0.0)] == ["-0.0", "0.0"]


def tables() -> Iterator[dict[Any, bytes]]:
    """Give the tables of what is kept."""
    policy = redaction.current
    for table in (*vars(values_module).values(), *vars(policy).values(), *policy.before_integers):
        if type(table) is dict and all(type(written) is bytes for written in table.values()):
            yield table


@pytest.mark.parametrize("bits", range(6, 65, 7))
def test_integers_are_written_in_as_many_bytes_as_they_take(bits: int) -> None:
    """Those on both sides of each length, whether their key was seen before or not."""
    for number in (2**bits - 1, 2**bits, 2 ** (bits + 1) - 1, 2 ** (bits + 1)):
        number = min(number, 2**63 - 1)
        for key in (f"{bits} {number}", "key"):
            assert kept(number, key) == number
            data = encode_readable(span_with(attributes={key: number}))
            assert data == canonical(SpanMessage, data)


def test_what_is_kept_is_bounded() -> None:
    """Whatever a program has for keys, names and values; what is long is not kept at all."""
    for number in range(10_000):
        name = f"{number}"
        span = span_with(name=name, attributes={name: name, f"f{name}": 0.5, "number": number})
        encode_readable(span)
    encode_readable(span_with(attributes={"k" * 1_000: 1, "text": "x" * 1_000}))
    assert len(list(tables())) >= 5
    for table in tables():
        assert len(table) <= 4_096
        assert max(map(len, table.values()), default=0) <= 128


class Forgetful(dict[Any, bytes]):
    """A table that another thread empties whenever it can."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what is there, for the last time."""
        found = super().get(key, default)
        self.clear()
        return found

    def __setitem__(self, key: Any, value: bytes) -> None:
        super().__setitem__(key, value)
        self.clear()


@given(found=attributes)
def test_what_is_kept_may_be_gone_at_any_time(found: dict[str, Any]) -> None:
    """Between any two steps."""
    span = span_with(attributes=found)
    expected = encode_readable(span)
    with pytest.MonkeyPatch.context() as patched:
        policy = Redaction(Rules(secrets=False))
        for name in ("strings", "truths", "before_floats", "number_keys", "names_and_kinds"):
            setattr(policy, name, Forgetful())
        policy.before_integers = (Forgetful(), Forgetful(), Forgetful())
        redaction.put_in_force(policy)
        patched.setattr(values_module, "_keys", Forgetful())
        assert [encode_readable(span) for _ in range(2)] == [expected, expected]


def test_threads_may_encode_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while one of them empties what all of them look into."""
    monkeypatch.setattr(values_module, "_MAX_KEPT", 3)
    batches = [
        [span_with(attributes={f"k{i % 7}": f"v{i % 5}", "n": i % 9, "f": i / 2, "b": i % 2 == 0})]
        for i in range(40)
    ]
    expected = [encode(batch) for batch in batches]
    wrong: list[object] = []

    def encode_all() -> None:
        for _ in range(300):
            if [encode(batch) for batch in batches] != expected:
                wrong.append(threading.get_ident())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=encode_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_plain_values_are_not_encoded_to_see_whether_they_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the common case nothing is converted before."""

    def refuse(*value: object) -> str:
        raise AssertionError(value)

    monkeypatch.setattr(values_module, "text", refuse)
    monkeypatch.setattr(values_module, "faithful", refuse)
    assert kept("é") == "é"
    assert kept(["x", 2**63 - 1]) == ["x", 2**63 - 1]


# What protobuf cannot carry.

hostile_text = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=6)
hostile_values = st.recursive(
    hostile_text | st.integers(-(2**80), 2**80) | values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text, inner, max_size=3),
    max_leaves=5,
)


def nearest(value: Any) -> Any:
    """Return what protobuf can carry of a value."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if type(value) is int and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, Mapping):
        return {nearest(key): nearest(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [nearest(item) for item in value]
    return value


def has_one_key_for_two(value: Any) -> bool:
    """Tell whether two keys of a mapping become one; both are encoded then."""
    if isinstance(value, Mapping):
        return len({nearest(key) for key in value}) < len(value) or any(
            map(has_one_key_for_two, value.values())
        )
    return isinstance(value, list) and any(map(has_one_key_for_two, value))


@everyday
@given(
    name=hostile_text,
    found=st.dictionaries(hostile_text, hostile_values, max_size=3).filter(
        lambda found: not has_one_key_for_two(found)
    ),
    start_time=st.integers(-(2**70), 2**70),
)
def test_a_hostile_span_is_encoded_as_the_nearest_one(
    name: str, found: dict[str, Any], start_time: int
) -> None:
    """As it would be officially, if it held what protobuf can carry; all of the rest is kept."""

    def span(name: str, found: Any, description: str, start_time: int) -> ReadableSpan:
        return span_with(
            name=name,
            attributes=found,
            events=[Event(name, found, start_time)],
            links=[Link(SpanContext(3, 4, is_remote=True), found)],
            status=Status(StatusCode.ERROR, description),
            start_time=start_time,
            end_time=start_time,
        )

    time_ns = min(max(start_time, 0), 2**64 - 1)
    expected = official(span(nearest(name), nearest(found), nearest(name), time_ns)).span
    hostile = encode_readable(span(name, found, name, start_time))
    assert canonical(SpanMessage, hostile) == expected


UNCARRIED = {
    "text": ("a\ud800b", "a\\ud800b"),
    "number": (2**70, str(2**70)),
    "list": (["\ud800", "x"], ["\\ud800", "x"]),
}


@pytest.mark.parametrize("kind", UNCARRIED)
def test_an_attribute_that_protobuf_cannot_carry_is_kept(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In escaped form, beside the others, and without a traceback in the log."""
    value, nearest_value = UNCARRIED[kind]
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("foreign")
    span = tracer.start_span("name", attributes={"before": 1, "bad": value, "after": "é"})  # type: ignore[dict-item]
    span.end()
    assert isinstance(span, ReadableSpan)
    expected = {"before": 1, "bad": nearest_value, "after": "é"}
    assert attributes_of(decoded(encode([span])[0])) == expected
    assert caplog.records == []


@pytest.mark.skipif(not NESTED_VALUES, reason="this SDK drops nested values")
def test_what_protobuf_cannot_carry_is_kept_in_nested_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Keys and values, however deep."""
    value: Any = {"\ud800": [{"x": "\ud801"}, 2**64]}
    assert kept(value) == {"\\ud800": [{"x": "\\ud801"}, str(2**64)]}
    assert caplog.records == []


class Colour(str, Enum):
    """A string that is more than one."""

    RED = "red"


class Access(IntFlag):
    """A number that is more than one."""

    READ = 1


class Raises:
    """Whatever is asked of it, it has no answer."""

    def __str__(self) -> str:
        raise ValueError


class Broken(dict[str, Any]):
    """A mapping that is none."""

    def items(self) -> Any:
        """Give nothing."""
        raise ValueError


class Long(bytes):
    """Bytes that say there were more of them."""

    def __len__(self) -> int:
        return 1_000


STRANGE: dict[str, tuple[Any, Callable[[Any], bool]]] = {
    "enumerated text": (Colour.RED, lambda value: value == "red"),
    "enumerated number": (Access.READ, lambda value: value == 1),
    "set": ({"one"}, lambda value: value in (["one"], '["one"]')),
    "decimal": (Decimal("1.5"), lambda value: value == "1.5"),
    "object": (Raises(), lambda value: "Raises" in value),
    "broken mapping": (Broken(), lambda value: isinstance(value, str)),
    "lying bytes": (Long(b"x"), lambda value: value == b"x"),
    "range": (range(3), lambda value: value == [0, 1, 2]),
    "huge number": (10**5_000, lambda value: value.startswith(("1000", "0x"))),
    "very long text": ("x" * 5_000_000, lambda value: value == "x" * 5_000_000),
    "none": (None, lambda value: value is None),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_value_of_any_type_is_kept(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A span that was not made by an SDK may have any; whatever it is, something says so."""
    value, says_it = STRANGE[kind]
    assert says_it(kept(value))
    assert says_it(kept(value, Colour.RED))
    assert caplog.records == []


def test_keys_and_names_may_be_anything() -> None:
    """The nearest string stands for them, and an empty one for nothing."""
    (encoded,) = encode([span_with(name=["n"], attributes={1: "x", None: "y", "": "z"})])
    message = decoded(encoded)
    assert message.name == "['n']"
    assert attributes_of(message) == {"1": "x", "None": "y", "": "z"}
    assert decoded(encode([span_with(name=None)])[0]).name == ""


def nested(levels: int, wrap: Callable[[Any], Any]) -> Any:
    """Return a value within so many others."""
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPS: dict[str, Callable[[Any], Any]] = {
    "lists": lambda value: [value],
    "mappings": lambda value: {"k": value},
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_values_nest_as_deep_as_a_receiver_can_follow(wrap: str) -> None:
    """Which is as deep as protobuf parses; one level more is cut to what `faithful` keeps."""
    for levels in (31, 32, 10_000):
        value = nested(levels, WRAPS[wrap])
        span = span_with(events=[Event("event", {"deep": value}, 1)])
        (encoded,) = encode([span])
        assert encoded is not None
        traces = TracesData.FromString(frame([encoded]))
        (event,) = traces.resource_spans[0].scope_spans[0].spans[0].events
        found = attributes_of(event)["deep"]
        assert (found == value) is (levels == 31)
        assert ("…" in str(found)) is (levels > 31)


def test_a_value_that_contains_itself_is_cut() -> None:
    """Soon, although it branches."""
    value: list[Any] = []
    value += [value, value]
    assert "…" in str(kept(value))


def test_every_string_of_a_span_may_be_hostile(caplog: pytest.LogCaptureFixture) -> None:
    """Names, keys, descriptions, events, links; nothing is lost and nothing is logged."""
    bad, escaped = "\ud800", "\\ud800"
    link = Link(SpanContext(3, 4, is_remote=True), {bad: bad})
    (encoded,) = encode(
        [
            span_with(
                name=bad,
                attributes={bad: bad},
                events=[Event(bad, {bad: bad}, 7)],
                links=[link],
                status=Status(StatusCode.ERROR, bad),
                resource=Resource({bad: bad}, bad),
                instrumentation_scope=Scope(bad, bad, bad, {bad: bad}),
            )
        ]
    )
    message = decoded(encoded)
    assert encoded is not None
    assert (message.name, message.status.message) == (escaped, escaped)
    assert (message.events[0].name, message.events[0].time_unix_nano) == (escaped, 7)
    assert message.links[0].span_id == (4).to_bytes(8, "big")
    resource = ResourceMessage.FromString(encoded.resource)
    scope = InstrumentationScope.FromString(encoded.scope)
    for one in (message, message.events[0], message.links[0], resource, scope):
        assert attributes_of(one) == {escaped: escaped}
    assert (scope.name, scope.version) == (escaped, escaped)
    assert (encoded.resource_schema_url, encoded.scope_schema_url) == (escaped, escaped)
    assert caplog.records == []


def test_a_hostile_resource_costs_no_plain_span_anything(caplog: pytest.LogCaptureFixture) -> None:
    """The service's name comes from the environment, where any bytes may be."""
    (encoded,) = encode([span_with(resource=Resource({"service.name": "caf\udce9"}))])
    assert encoded is not None
    resource = ResourceMessage.FromString(encoded.resource)
    assert attributes_of(resource) == {"service.name": "caf\\udce9"}
    assert caplog.records == []


def test_times_that_protobuf_cannot_carry_are_the_nearest() -> None:
    """A span with a time of its own making is kept, too."""
    message = decoded(encode([span_with(start_time=-5, end_time=2**70)])[0])
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == (0, 2**64 - 1)
    message = decoded(encode([span_with(start_time=None, end_time=float("inf"))])[0])
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == (0, 2**64 - 1)


def test_what_was_dropped_before_stays_counted() -> None:
    """Whatever else has to be replaced."""
    provider = TracerProvider(span_limits=SpanLimits(max_attributes=1), shutdown_on_exit=False)
    logging.getLogger("opentelemetry.attributes").disabled = True
    span = provider.get_tracer("x").start_span("n", attributes={"a": 1, "b": "\ud800"})
    logging.getLogger("opentelemetry.attributes").disabled = False
    span.end()
    assert isinstance(span, ReadableSpan)
    assert decoded(encode([span])[0]).dropped_attributes_count == 1


BROKEN: dict[str, dict[str, Any]] = {
    "kind": {"kind": "no kind"},
    "no context": {"context": None},
    "trace id": {"context": SpanContext(2**128, 2, is_remote=False)},
    "span id": {"context": SpanContext(1, 2**64, is_remote=False)},
    "event": {"events": ["no event"]},
    "link": {"links": [Link(SpanContext(-1, 2, is_remote=False))]},
    "time": {"start_time": "today"},
    "resource": {"resource": "no resource"},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_span_that_cannot_be_encoded_costs_only_itself(
    what: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of its batch are encoded, and one line says so."""
    monkeypatch.setattr(faults, "_counts", {})
    broken = span_with(**BROKEN[what])
    encoded = encode([span_with(name="a"), broken, span_with(name="b"), broken])
    assert [one is None for one in encoded] == [False, True, False, True]
    assert decoded(encoded[2]).name == "b"
    assert [record.name for record in caplog.records] == ["phasetrace"]


def test_encoding_imports_neither_protobuf_nor_the_sdk() -> None:
    """Both take longer to import than most programs to start."""
    program = (
        "import sys, phasetrace.wire as wire\n"
        "from opentelemetry.trace import SpanKind\n"
        "span = wire.encode_span(1, 2, None, False, None, 'n', SpanKind.CLIENT, 3, 4, {'k': 'v'})\n"
        "wire.unframe(wire.frame([wire.EncodedSpan(span, b'', '', b'', '')]))\n"
        "loaded = [name for name in sys.modules if name.startswith("
        "('google.protobuf', 'opentelemetry.sdk', 'opentelemetry.proto'))]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("bits", [7, 14, 21, 28, 63])
@pytest.mark.parametrize("beside", [-2, -1, 0, 1])
def test_integers_at_the_edges_of_their_lengths_are_what_protobuf_makes_of_them(
    bits: int, beside: int
) -> None:
    """Each length of a varint is written in a way of its own."""
    value = min(2**bits + beside, 2**63 - 1)
    check_as_officially(span_with(attributes={"n": value, "negative": -value}))
    assert kept(value) == value
