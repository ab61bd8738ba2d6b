"""Blocks: what is packed is unpacked, and what is damaged is an error and nothing else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.protobuf.writing import delimited
from phasetrace.spans import SpanRecord
from phasetrace.store.blocks import (
    MAX_BYTES,
    MAX_SPANS,
    Columns,
    DamagedBlock,
    Label,
    PackedBlock,
    Row,
    labels_of,
    messages,
    pack,
    records,
    select,
    span_ids,
)
from phasetrace.wire import EncodedSpan, frame, unframe

ids = st.integers(1, 2**64 - 1)
times = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=5)
labels = st.builds(
    Label,
    st.sampled_from(["execution", "node", "phase"]),
    texts,
    st.none() | texts,
    st.none() | texts,
    st.none() | texts | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    st.sampled_from(["ok", "error", "cancelled"]),
)
contents = st.binary(max_size=300) | st.integers(0, 20_000).map(bytes)
some_rows = st.lists(
    st.tuples(ids, st.just(0) | ids, times, times, labels, contents), min_size=1, max_size=20
)

ONE: Row = (7, 0, 1, 2, Label("phase", "p", "n", None, None, "ok"), b"message")


def record_of(row: Row) -> SpanRecord:
    """Return what the reader is to say of a span."""
    span_id, parent_id, start_ns, end_ns, label, _ = row
    type_, name, node_id, node_type, iteration, status = label
    return SpanRecord(
        span_id,
        parent_id or None,
        type_,
        name,
        node_id,
        node_type,
        start_ns,
        end_ns,
        status,
        iteration,
    )


def unpack(block: PackedBlock) -> None:
    """Ask for everything that there is in a block."""
    spans, labels, columns, payload = block
    list(records(spans, labels, columns))
    span_ids(spans, columns)
    messages(spans, columns, payload)
    select(spans, columns, payload, 0, spans)


@given(rows=some_rows)
def test_what_is_packed_is_unpacked(rows: list[Row]) -> None:
    """In order, and each part apart from the others."""
    spans, known, columns, payload = pack(rows)
    assert spans == len(rows)
    assert list(records(spans, known, columns)) == [record_of(row) for row in rows]
    assert span_ids(spans, columns) == tuple(row[0] for row in rows)
    assert messages(spans, columns, payload) == [row[-1] for row in rows]
    assert set(labels_of(known)) == {row[4] for row in rows}
    assert len(labels_of(known)) == len({row[4] for row in rows})


@given(rows=some_rows, start=st.integers(-25, 25), stop=st.integers(-25, 25))
def test_a_part_of_the_payload_is_that_of_its_spans(rows: list[Row], start: int, stop: int) -> None:
    """As a slice of them, with every start and stop that slices have."""
    spans, _, columns, payload = pack(rows)
    part = select(spans, columns, payload, start, stop)
    assert part == b"".join(delimited(2, row[-1]) for row in rows[start:stop])
    assert select(spans, columns, payload, 0, spans) == payload


def test_a_payload_is_shipped_by_what_is_put_around_it() -> None:
    """The resource and the scope; the request is the one that is made of the single spans."""
    rows: list[Row] = [(*ONE[:5], bytes([number]) * number) for number in range(1, 200, 30)]
    payload = pack(rows).payload
    request = delimited(1, delimited(1, b"r") + delimited(2, delimited(1, b"s") + payload))
    spans = [EncodedSpan(row[-1], b"r", "", b"s", "") for row in rows]
    assert request == frame(spans)
    assert unframe(request) == spans


def test_the_columns_are_the_numbers_one_after_the_other() -> None:
    """Little-endian, as the format says; other programs read it, too."""
    label = ONE[4]
    block = pack([(1, 2, 3, 4, label, b"ab"), (5, 0, -1, 8, label, b"")])
    wide = [
        *(number.to_bytes(8, "little") for number in (1, 5, 2, 0, 3)),
        b"\xff" * 8,
        *(number.to_bytes(8, "little") for number in (4, 8)),
    ]
    narrow = [number.to_bytes(4, "little") for number in (0, 0, 4, 2)]
    assert block.columns == b"".join(wide + narrow)
    assert block.labels == '[["phase", "p", "n", null, null, "ok"]]'
    assert block.payload == b"\x12\x02ab\x12\x00"


def test_blocks_are_cut_at_their_limits() -> None:
    """By the number of spans and by their size; a larger span is a block of its own."""
    sizes = [1] * (MAX_SPANS + 1) + [MAX_BYTES // 2] * 3 + [MAX_BYTES + 1, 1]
    spans = Columns()
    for number, size in enumerate(sizes, 1):
        spans.add((number, 0, 0, 0, ONE[4], bytes(size)))
    blocks = list(spans.blocks())
    assert [block.spans for block in blocks] == [MAX_SPANS, 2, 2, 1, 1]
    assert [one for block in blocks for one in span_ids(block.spans, block.columns)] == list(
        range(1, len(sizes) + 1)
    )


def test_many_small_spans_are_several_blocks() -> None:
    """As many to each as it may have."""
    spans = Columns()
    for _ in range(2 * MAX_SPANS + 1):
        spans.add(ONE)
    assert [block.spans for block in spans.blocks()] == [MAX_SPANS, MAX_SPANS, 1]


def test_a_block_has_only_the_labels_that_occur_in_it() -> None:
    """Also where the spans had to be cut apart."""
    spans = Columns()
    for name in ("a", "b"):
        spans.add((1, 0, 0, 0, Label("phase", name, None, None, None, "ok"), bytes(MAX_BYTES)))
    names = [[label.name for label in labels_of(block.labels)] for block in spans.blocks()]
    assert names == [["a"], ["b"]]


@pytest.mark.parametrize(
    "change",
    [
        {"spans": 0},
        {"spans": 2},
        {"spans": -1},
        {"spans": "1"},
        {"labels": "["},
        {"labels": "[]"},
        {"labels": "{}"},
        {"labels": "[1]"},
        {"labels": "[[]]"},
        {"labels": "[[1, 2, 3, 4, 5, 6]]"},
        {"labels": "[" * 100_000},
        {"labels": b"\xff"},
        {"labels": None},
        {"columns": b""},
        {"columns": "x" * 40},
        {"columns": None},
        {"payload": b""},
        {"payload": b"\x12\x07message\x12\x00"},
        {"payload": b"\x12\x06message"},
        {"payload": b"\x1a\x07message"},
    ],
)
def test_damage_is_an_error_of_its_own(change: dict[str, Any]) -> None:
    """Whichever part it is in."""
    block = pack([ONE])
    unpack(block)
    with pytest.raises(DamagedBlock):
        unpack(block._replace(**change))


def test_messages_are_all_that_is_in_a_payload() -> None:
    """What is behind them belongs to something else."""
    spans, _, columns, payload = pack([ONE])
    with pytest.raises(DamagedBlock, match="longer than its spans"):
        messages(spans, columns, payload + b"\x12\x00")


@given(rows=some_rows, data=st.data())
def test_any_damage_is_noticed_or_does_no_harm(rows: list[Row], data: st.DataObject) -> None:
    """Other numbers are other numbers; everything else is an error of its own."""
    block: Any = pack(rows)
    field = data.draw(st.sampled_from(["columns", "payload"]))
    content = bytearray(getattr(block, field))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(DamagedBlock):
        unpack(block._replace(**{field: bytes(content)}))
