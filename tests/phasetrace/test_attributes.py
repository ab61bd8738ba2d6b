"""Metadata of any type becomes the nearest value that a span can carry."""

from __future__ import annotations

import enum
import json
import logging
import math
import sys
import types
import warnings
from collections import OrderedDict, UserDict, UserList, UserString, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import phasetrace
from phasetrace.attributes import (
    CUT,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_VALUE_LENGTH,
    NESTED_VALUES,
    faithful,
    key,
    text,
)
from tests import stored_spans

nested_values = pytest.mark.skipif(not NESTED_VALUES, reason="the SDK has no nested values")


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


EXPORTED = InMemorySpanExporter()
PROVIDER = TracerProvider(shutdown_on_exit=False)
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTED))


def sent(value: object) -> Any:
    """Return what arrives in OTLP for `value`, through the SDK's span and the official encoder.

    Fails on any warning and on any log record of level WARNING or above.
    """
    EXPORTED.clear()
    records = _Records()
    logging.getLogger().addHandler(records)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            span = PROVIDER.get_tracer("t").start_span("s", attributes={"k": faithful(value)})
            span.end()
            data = encode_spans(EXPORTED.get_finished_spans()).SerializeToString()
            request = type(encode_spans(())).FromString(data)
    finally:
        logging.getLogger().removeHandler(records)
    assert [record.getMessage() for record in records.records] == []
    (attribute,) = request.resource_spans[0].scope_spans[0].spans[0].attributes
    assert attribute.key == "k"
    return plain(attribute.value)


def plain(value: Any) -> Any:
    """Return a protobuf ``AnyValue`` as Python's types."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: plain(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind)


class Unprintable:
    """Raises wherever it is looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no __str__")

    __repr__ = __str__


class LyingMapping(Mapping[Any, Any]):
    """A mapping that breaks half-way."""

    def __len__(self) -> int:
        raise RuntimeError("no len")

    def __iter__(self) -> Iterator[Any]:
        yield "a"
        raise RuntimeError("no more")

    def __getitem__(self, name: Any) -> Any:
        return name


class EndlessSequence(Sequence[Any]):
    """A sequence that never stops."""

    def __len__(self) -> int:
        return 2**62

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self

    def __getitem__(self, index: Any) -> Any:
        return self


class HostileSet(Set[Any]):
    """A set that cannot be iterated."""

    def __contains__(self, item: object) -> bool:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 3


class HostileClass:
    """Raises when asked for its class."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class")


class HostileStr(str):
    """A str whose own methods all raise."""

    def _no(self, *args: object) -> Any:
        raise RuntimeError("no")

    __str__ = __len__ = __getitem__ = isascii = encode = __iter__ = _no  # type: ignore[assignment]


class StrOfStr:
    """Its __str__ gives an instance of a hostile subclass."""

    def __str__(self) -> str:
        return HostileStr("inner")


class LyingInt(int):
    """An int that says it is another."""

    def __int__(self) -> int:
        return True

    __index__ = __int__


class LyingFloat(float):
    """A float that has no value."""

    def __float__(self) -> float:
        raise RuntimeError("no")


class HostileMeta(type):
    """Raises when a class of it is asked anything."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("no")


class HostileBase(metaclass=HostileMeta):
    """Raises from its class and from itself."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Colour(enum.Enum):
    """A plain enum."""

    RED = 1


class Level(enum.IntEnum):
    """An enum of ints."""

    HIGH = 3


class Model(str, enum.Enum):
    """An enum of strs."""

    SMALL = "small"


@dataclass
class Point:
    """A dataclass."""

    x: int


Pair = namedtuple("Pair", "a b")


def released() -> memoryview:
    """Return a memoryview whose bytes are gone."""
    view = memoryview(b"abc")
    view.release()
    return view


HOSTILE: list[Callable[[], Any]] = [
    Unprintable,
    LyingMapping,
    EndlessSequence,
    HostileSet,
    HostileClass,
    lambda: HostileStr("x"),
    StrOfStr,
    lambda: LyingInt(5),
    lambda: LyingFloat(2.5),
    lambda: HostileBase(),
    lambda: HostileBase,
    Mock,
    MagicMock,
    lambda: MagicMock(spec=int),
    lambda: MagicMock(spec=bool),
    lambda: MagicMock(spec=str),
    lambda: MagicMock(spec=dict),
    lambda: MagicMock(spec=list),
    lambda: MagicMock(spec=bytes),
    lambda: MagicMock(spec=float),
    released,
    lambda: memoryview(bytearray(6)).cast("B", (2, 3)),
    object,
    lambda: (item for item in (1, 2)),
    lambda: iter([1]),
    lambda: {1: 1}.values(),
    lambda: range(10**12),
    lambda: types.SimpleNamespace(a=1),
    lambda: sys,
    lambda: print,
    lambda: ValueError("\ud800"),
    lambda: KeyError(Unprintable()),
    lambda: Decimal("NaN"),
    lambda: Decimal("1e400"),
    lambda: Fraction(1, 3),
    lambda: 1 + 2j,
    lambda: 10**5_000,
    lambda: -(10**30),
    lambda: Colour.RED,
    lambda: Model.SMALL,
    lambda: Point(1),
    lambda: Pair(1, "b"),
    lambda: UserDict({"a": 1}),
    lambda: UserList([1, "a"]),
    lambda: UserString("u"),
    lambda: deque([1, 2]),
    lambda: NotImplemented,
    lambda: ...,
]


def everything() -> st.SearchStrategy[Any]:
    """Return a strategy for values of every kind, nested, hostile ones among them."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=-(10**40), max_value=10**40),
        st.floats(),
        st.text(st.characters()),
        st.text(st.characters(categories=["Cs", "Cc", "Lu"])),
        st.binary(),
        st.decimals(),
        st.fractions(),
        st.complex_numbers(),
        st.datetimes(),
        st.timedeltas(),
        st.uuids(),
        st.builds(bytearray, st.binary()),
        st.binary().map(lambda data: memoryview(data)),
        st.builds(PurePosixPath, st.text("ab/")),
        # Hypothesis asks what it draws for its class, so that one is left out.
        st.sampled_from([make for make in HOSTILE if make is not HostileClass]).map(
            lambda make: make()
        ),
    )
    keys = st.one_of(st.text(st.characters()), st.integers(), st.none(), st.binary(), st.booleans())
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner),
            st.lists(inner).map(tuple),
            st.lists(inner).map(deque),
            st.dictionaries(keys, inner),
            st.dictionaries(keys, inner).map(OrderedDict),
            st.frozensets(st.one_of(st.integers(), st.text(), st.floats())),
            st.lists(inner).map(lambda items: (item for item in items)),
        ),
        max_leaves=12,
    )


def what_otlp_can_say() -> st.SearchStrategy[Any]:
    """Return a strategy for the values that OTLP has a type for, at every level."""
    strings = st.text()  # without surrogates, which UTF-8 cannot carry
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        strings,
        st.binary(),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner), st.dictionaries(strings.filter(bool), inner, max_size=5)
        ),
        max_leaves=12,
    ).filter(lambda value: depth_of(value) <= MAX_DEPTH)


def depth_of(value: Any) -> int:
    """Return how many levels of containers there are."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of equal types, NaN equalling itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    return bool(one == other)


@given(everything())
def test_anything_is_sent_without_a_word(value: Any) -> None:
    """Any value goes through the SDK's span and the encoder: no error, no warning, no log."""
    sent(value)


@nested_values
@given(what_otlp_can_say())
def test_what_otlp_can_say_arrives_as_it_was(value: Any) -> None:
    """A value that OTLP has a type for arrives equal, with its type, at every level."""
    assert same(sent(value), value)


@given(st.one_of(st.booleans(), st.floats(), st.integers(-(2**63), 2**63 - 1), st.text()))
def test_scalars_arrive_as_they_were_with_every_sdk(value: Any) -> None:
    """The four usual types arrive as given, whatever the SDK's version."""
    assert same(sent(value), value)


@pytest.mark.parametrize("make", HOSTILE)
def test_a_hostile_value_is_sent(make: Callable[[], Any]) -> None:
    """Each hostile value has some form of its own in what is sent."""
    assert sent(make()) is not None


@pytest.mark.parametrize("make", HOSTILE)
def test_a_hostile_value_leaves_its_neighbours_alone(make: Callable[[], Any]) -> None:
    """The values beside a hostile one in a mapping stay what they are."""
    value = faithful({"before": 1, "hostile": make(), "after": "x"})
    if not NESTED_VALUES:
        assert isinstance(value, str)
        value = json.loads(value)
    assert isinstance(value, Mapping)
    assert (value["before"], value["after"]) == (1, "x")


FORMS: list[tuple[Any, Any]] = [
    (10**30, "1" + "0" * 30),
    (2**63, "9223372036854775808"),
    (-(2**63), -(2**63)),
    (Level.HIGH, 3),
    (Model.SMALL, "small"),
    (Colour.RED, "Colour.RED"),
    (LyingInt(5), 5),
    (LyingFloat(2.5), 2.5),
    (HostileStr("x"), "x"),
    (StrOfStr(), "inner"),
    (Decimal("1.10"), "1.10"),
    (Fraction(1, 3), "1/3"),
    (PurePosixPath("/a"), "/a"),
    (Point(1), "Point(x=1)"),
    (KeyError("a"), "KeyError('a')"),
    (TimeoutError(), "TimeoutError()"),
    ("\ud800a", "\\ud800a"),
    ("", ""),
    ([], []),
    (["a", "b"], ["a", "b"]),
    ((1, 2), [1, 2]),
    (deque([1.5]), [1.5]),
    (range(3), [0, 1, 2]),
    ({7}, [7]),
]


@pytest.mark.parametrize(("value", "form"), FORMS, ids=[repr(form)[:30] for _, form in FORMS])
def test_the_form_that_says_it_best(value: Any, form: Any) -> None:
    """A type that OTLP has no word for arrives in the form a reader expects."""
    assert same(sent(value), form)


@nested_values
@pytest.mark.parametrize(
    ("value", "form"),
    [
        (bytearray(b"\xff"), b"\xff"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (UserDict({"a": [1, None]}), {"a": [1, None]}),
        ({1: "a", "1": "b"}, {"1": "a", "1 (str 1)": "b"}),
        ({"": 1}, {"''": 1}),
        ([1, "a", None, {"b": b"c"}], [1, "a", None, {"b": b"c"}]),
        (Pair(1, "b"), [1, "b"]),
        ({"e": ValueError("x")}, {"e": "ValueError('x')"}),
    ],
)
def test_the_form_of_what_nests(value: Any, form: Any) -> None:
    """Mappings, mixed sequences and bytes arrive as themselves where the SDK carries them."""
    assert same(sent(value), form)


@pytest.mark.skipif(NESTED_VALUES, reason="the SDK has nested values")
@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"a": [1, None]}, '{"a": [1, null]}'),
        ([1, "é"], '[1, "é"]'),
        ([[1]], "[[1]]"),
        ({"a": b"\xff"}, '{"a": "\\\\xff"}'),
        (b"a\xff", "a\\xff"),
        (None, "null"),
    ],
)
def test_an_older_sdk_gets_json(value: Any, form: Any) -> None:
    """Before SDK 1.45 what nests is written as JSON."""
    assert sent(value) == form


@pytest.mark.parametrize("kind", [bool, int, float, str, bytes, list, dict])
def test_a_mock_is_told_as_a_mock(kind: type) -> None:
    """What only says that it is of a type is not taken for one."""
    assert "MagicMock" in sent(MagicMock(spec=kind))


def test_a_generator_is_not_consumed() -> None:
    """A generator still gives all it had."""
    generator = (item for item in (1, 2))
    faithful({"a": [generator]})
    assert list(generator) == [1, 2]


def test_an_iterator_is_not_consumed() -> None:
    """An iterator still gives all it had."""
    iterator = iter([1, 2])
    faithful(iterator)
    assert list(iterator) == [1, 2]


def test_a_value_is_a_snapshot() -> None:
    """A list changed later does not change what was recorded."""
    value = [1, 2]
    recorded = faithful(value)
    value.append(3)
    assert recorded == [1, 2]


@nested_values
def test_a_cycle_ends() -> None:
    """A list in itself is followed to the limit of depth."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    depth, inner = 0, faithful(cycle)
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[1]
    assert (depth, inner) == (MAX_DEPTH, CUT)


def test_a_wide_cycle_ends() -> None:
    """A thousand references to itself at every level cost a thousand elements, not their power."""
    cycle: dict[int, Any] = {}
    cycle.update(dict.fromkeys(range(MAX_ITEMS // 2), cycle))
    assert len(json.dumps(faithful(cycle))) < 100 * MAX_ITEMS


@nested_values
@pytest.mark.parametrize("extra", [0, 1])
def test_too_many_elements_say_so(extra: int) -> None:
    """Past the limit of elements the mark of the cut stands last; at the limit it does not."""
    value = faithful([1] * (MAX_ITEMS + extra))
    assert isinstance(value, list)
    assert len(value) == MAX_ITEMS + extra
    assert (value[-1] == CUT) is bool(extra)


@nested_values
def test_too_many_entries_say_so() -> None:
    """A mapping past the limit of elements has the mark of the cut as its last entry."""
    value = faithful(dict.fromkeys(range(MAX_ITEMS + 1), 0))
    assert isinstance(value, dict)
    assert len(value) == MAX_ITEMS + 1
    assert list(value)[-1] == CUT


@pytest.mark.parametrize("character", ["a", "é", "\ud800", "\N{GRINNING FACE}"])
def test_a_huge_string_is_cut(character: str) -> None:
    """A string past the limit keeps its beginning, whatever it is made of."""
    value = faithful(character * 10_000_000)
    assert isinstance(value, str)
    assert len(value) == MAX_VALUE_LENGTH
    assert value.startswith(text(character))


def test_a_huge_number_is_cut() -> None:
    """A number that Python refuses to write in decimal is written in hexadecimal, and cut."""
    value = faithful(16**500_000)
    assert isinstance(value, str)
    assert value.startswith("0x1000")
    assert len(value) == MAX_VALUE_LENGTH


@nested_values
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_huge_bytes_are_cut(kind: Callable[[bytes], Any]) -> None:
    """Bytes past the limit keep their beginning."""
    assert faithful(kind(bytes(10_000_000))) == bytes(MAX_VALUE_LENGTH)


def test_the_strings_of_one_value_share_a_limit() -> None:
    """A thousand huge strings in one list take no more than one huge string would."""
    value = faithful(["a" * MAX_VALUE_LENGTH] * 500)
    assert isinstance(value, list)
    assert sum(map(len, value)) < MAX_VALUE_LENGTH + 500


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_limit_holds_for_each_string(length: int) -> None:
    """A limit that was set counts per string, as OpenTelemetry has it."""
    assert faithful(["abcdefgh"] * 3, length) == ["abcdefgh"[:length]] * 3
    assert faithful("abcdefgh", length) == "abcdefgh"[:length]
    assert faithful("éééééééé", length) == "éééééééé"[:length]
    assert faithful(Fraction(1, 12345678), length) == "1/12345678"[:length]


@nested_values
def test_numpy_values_are_python_values() -> None:
    """NumPy's scalars and small arrays arrive as the values they stand for."""
    numpy = pytest.importorskip("numpy")
    value = [numpy.int64(1), numpy.float32(0.5), numpy.bool_(True), numpy.array([[1], [2]])]
    assert same(sent(value), [1, 0.5, True, [[1], [2]]])


def test_a_large_numpy_array_is_summarised() -> None:
    """A large array is not written out, let alone copied."""
    numpy = pytest.importorskip("numpy")
    assert len(str(sent(numpy.zeros(10_000_000)))) < 1_000


@pytest.mark.parametrize(
    ("value", "form"),
    [("a", "a"), ("é", "é"), ("a\ud800", "a\\ud800"), (5, "5"), (KeyError("a"), "'a'")],
)
def test_text_is_utf_8(value: object, form: str) -> None:
    """Text can be encoded; what cannot be is escaped."""
    assert text(value) == form


def test_text_of_the_unprintable_names_its_type() -> None:
    """What has no text of its own is told by its type."""
    assert text(Unprintable()).startswith("<unprintable ")
    assert "Unprintable object" in text(Unprintable())
    assert "HostileBase object" in text(HostileBase())


def test_a_key_is_never_empty() -> None:
    """OpenTelemetry drops an empty key, so it is written as one can see it."""
    assert (key(""), key("a"), key("\ud800")) == ("''", "a", "\\ud800")


@pytest.mark.parametrize("stock", [False, True])
def test_no_span_is_lost_for_its_metadata(tmp_path: Path, stock: bool) -> None:
    """Phases with hostile values and keys are all counted and stored, without a log record."""
    records = _Records()
    logging.getLogger().addHandler(records)
    try:
        if stock:
            trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
        phasetrace.configure(store=tmp_path / "traces.db")
        for index, make in enumerate(HOSTILE):
            metadata = {"value": make(), "": 1, "\ud800": [make()]}
            with phasetrace.time_phase("exec_1", "node_1", f"p{index}", **metadata):
                pass
            phasetrace.timing_collector.record("exec_1", "node_1", f"r{index}", 1.0, **metadata)
        phasetrace.shutdown()
    finally:
        logging.getLogger().removeHandler(records)
    assert [record.getMessage() for record in records.records] == []
    with closing(stored_spans.connect(tmp_path / "traces.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM spans")}
    wanted = {f"{letter}{index}" for index in range(len(HOSTILE)) for letter in "pr"}
    assert names == wanted | {"exec_1"}
    metadata = phasetrace.timing_collector.get("exec_1")["node_1"]["p0_metadata"]
    assert set(metadata) == {"value", "''", "\\ud800"}
