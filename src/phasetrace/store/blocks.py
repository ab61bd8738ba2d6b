"""A block: some spans that have their stream in common, packed into one row.

A row for every span costs four times what the encoded spans do; a block of a thousand costs what
one of them did. Everything of a block that is asked for apart is apart:

- ``payload``: the OTLP message of each span as a field of ``ScopeSpans`` (number 2), one after the
  other. Fields of the same number concatenate, so what stands around them makes a request of it.
- ``columns``: little-endian numbers, a column after the other: the spans' ids and their parents'
  (unsigned, 8 bytes; 0: no parent), starts and ends (signed, 8 bytes; Unix nanoseconds), labels
  (unsigned, 4 bytes; the index of one) and the sizes of the fields in the payload (unsigned, 4
  bytes).
- ``labels``: a JSON list of those that occur, which are few: type, name, node's id and type,
  iteration, and how the span ended.

No OpenTelemetry in here: the reading commands start with it. Whatever is read may be damaged, which
raises `DamagedBlock`.
"""

from __future__ import annotations

import json
import struct
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain
from operator import add
from typing import Any, Final, NamedTuple

from phasetrace.spans import SpanRecord, SpanType, Status

MAX_SPANS: Final = 2_048
MAX_BYTES: Final = 1 << 20
"""Of messages, in one block. A single span may be larger."""

_TAG: Final = 2 << 3 | 2
"""Of field 2, a message with its length in front. Written out here, since `phasetrace.wire` imports
what the reading commands do without."""
_BYTES_OF_ONE: Final = 40
_MAX_KEPT: Final = 1_024


class Label(NamedTuple):
    """What many spans of a block have in common."""

    type: SpanType
    name: str
    node_id: str | None
    node_type: str | None
    iteration: str | int | float | None
    status: Status


Row = tuple[int, int, int, int, "tuple[Any, ...]", bytes]
"""Id, parent's id (0: none), start and end (Unix ns), the fields of a `Label`, and the message."""


class PackedBlock(NamedTuple):
    """A block's columns in the store."""

    spans: int
    labels: str
    columns: bytes
    payload: bytes


class DamagedBlock(ValueError):
    """What is stored is no block."""


class _Heads(dict[int, bytes]):
    """The tag and the length in front of a message of so many bytes."""

    def __missing__(self, length: int) -> bytes:
        head, rest = bytearray((_TAG,)), length
        while rest > 0x7F:
            head.append(rest & 0x7F | 0x80)
            rest >>= 7
        head.append(rest)
        if length < _MAX_KEPT:  # PERF: most are; found in the table they take a tenth
            self[length] = bytes(head)
        return bytes(head)


_heads: Final = _Heads()


class Columns:
    """Spans on their way into blocks, in lists side by side.

    PERF: the collector of garbage looks at tuples and not at numbers; a tuple for each of the
    thousands of spans that wait costs more than all that is done here. Whoever fills the lists has
    to fill all of them. Not thread-safe.
    """

    __slots__ = ("ends", "indices", "known", "messages", "parent_ids", "span_ids", "starts")

    def __init__(self) -> None:
        self.span_ids: list[int] = []
        self.parent_ids: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.known: defaultdict[tuple[Any, ...], int] = defaultdict()
        """The labels, and the index of each; one that is looked up gets the next."""
        self.known.default_factory = self.known.__len__
        self.indices: list[int] = []
        self.messages: list[bytes] = []

    def __len__(self) -> int:
        return len(self.span_ids)

    def add(self, row: Row) -> None:
        """Add a span."""
        span_id, parent_id, start_ns, end_ns, label, message = row
        self.span_ids.append(span_id)
        self.parent_ids.append(parent_id)
        self.starts.append(start_ns)
        self.ends.append(end_ns)
        self.indices.append(self.known[label])
        self.messages.append(message)

    def rows(self) -> Iterator[Row]:
        """Give the spans, in their order."""
        labels = list(self.known)
        return zip(
            self.span_ids,
            self.parent_ids,
            self.starts,
            self.ends,
            [labels[index] for index in self.indices],
            self.messages,
            strict=True,
        )

    def blocks(self) -> Iterator[PackedBlock]:
        """Give the blocks that the spans make.

        Raises:
            Exception: for numbers that the columns have no room for.
        """
        if len(self) <= MAX_SPANS and sum(map(len, self.messages)) <= MAX_BYTES:
            yield self.pack()
            return
        part, size = Columns(), 0
        for row in self.rows():
            size += len(row[-1])
            if len(part) >= MAX_SPANS or (len(part) and size > MAX_BYTES):
                yield part.pack()
                part, size = Columns(), len(row[-1])
            part.add(row)
        yield part.pack()

    def pack(self) -> PackedBlock:
        """Return one block of all spans.

        Raises:
            Exception: for numbers that the columns have no room for.
        """
        # PERF: 0.3 µs a span, nearly all of it in C.
        lengths = list(map(len, self.messages))
        heads = list(map(_heads.__getitem__, lengths))
        columns = _columns(len(self)).pack(
            *self.span_ids,
            *self.parent_ids,
            *self.starts,
            *self.ends,
            *self.indices,
            *map(add, map(len, heads), lengths),
        )
        payload = b"".join(chain.from_iterable(zip(heads, self.messages, strict=True)))
        return PackedBlock(len(self), json.dumps(list(self.known)), columns, payload)


def pack(rows: Iterable[Row]) -> PackedBlock:
    """Return the block of some spans, in their order.

    Raises:
        Exception: for numbers that the columns have no room for.
    """
    columns = Columns()
    for row in rows:
        columns.add(row)
    return columns.pack()


def records(spans: int, labels: str, columns: bytes, process: int = 0) -> Iterator[SpanRecord]:
    """Give the spans of a block, in their order; `process` is what told them all.

    Raises:
        DamagedBlock: before the first one, if there is no sense in it.
    """
    known = labels_of(labels)
    span_ids, parent_ids, starts, ends, indices, _ = _unpack(spans, columns)
    if max(indices) >= len(known):
        raise DamagedBlock("a span has a label that its block does not have")
    # PERF: put together from halves that many have in common, a third of what the constructor
    # takes; there are executions of millions of spans.
    heads = [label[:4] for label in known]
    tails = [(label.status, label.iteration, (), None, None, process) for label in known]
    new = tuple.__new__
    for span_id, parent_id, start_ns, end_ns, index in zip(
        span_ids, parent_ids, starts, ends, indices, strict=True
    ):
        fields = (span_id, parent_id or None, *heads[index], start_ns, end_ns, *tails[index])
        yield new(SpanRecord, fields)


def labels_of(labels: str) -> list[Label]:
    """Return what the spans of a block are called, each once.

    Raises:
        DamagedBlock: if these are no labels.
    """
    try:
        known = [Label(*map(_once, label)) for label in json.loads(labels)]
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedBlock(f"the labels of a block cannot be read: {error}") from None
    if not all(isinstance(label.type, str) and isinstance(label.name, str) for label in known):
        raise DamagedBlock("the labels of a block have no names")
    return known


def _once(value: Any) -> Any:
    # Names recur from label to label, and a million runs of a node have as many labels.
    return sys.intern(value) if type(value) is str else value


def span_ids(spans: int, columns: bytes) -> tuple[int, ...]:
    """Return the spans' ids, in their order.

    Raises:
        DamagedBlock: if the columns are not those of so many spans.
    """
    _check(spans, columns)
    return struct.unpack_from(f"<{spans}Q", columns)


def messages(spans: int, columns: bytes, payload: bytes) -> list[bytes]:
    """Return the OTLP message of each span, in their order.

    Raises:
        DamagedBlock: if the payload does not consist of so many.
    """
    *_, sizes = _unpack(spans, columns)
    found = []
    start = 0
    for size in sizes:
        end = start + size
        head = _head(payload, start, end)
        found.append(payload[start + head : end])
        start = end
    if start != len(payload):
        raise DamagedBlock("the payload of a block is longer than its spans")
    return found


def select(spans: int, columns: bytes, payload: bytes, start: int, stop: int) -> bytes:
    """Return the part of the payload with the spans from `start` up to `stop`, which it is without.

    Raises:
        DamagedBlock: if the payload does not consist of so many spans.
    """
    *_, sizes = _unpack(spans, columns)
    edges = [0, *accumulate(sizes)]
    if edges[-1] != len(payload):
        raise DamagedBlock("the payload of a block is not as long as its spans")
    first, last, _ = slice(start, stop).indices(spans)
    return payload[edges[first] : edges[max(first, last)]]


def _head(payload: bytes, start: int, end: int) -> int:
    """Return how many bytes a span's field has in front of the message; check them."""
    for size in range(2, 7):
        length = end - start - size
        head = _heads[length] if length >= 0 else b""
        if len(head) == size and payload[start : start + size] == head and end <= len(payload):
            return size
    raise DamagedBlock("the payload of a block does not consist of its spans")


def _columns(spans: int) -> struct.Struct:
    return struct.Struct(f"<{2 * spans}Q{2 * spans}q{2 * spans}I")


def _unpack(spans: int, columns: bytes) -> Iterable[tuple[int, ...]]:
    _check(spans, columns)
    numbers = _columns(spans).unpack(columns)
    return [numbers[start : start + spans] for start in range(0, len(numbers), spans)]


def _check(spans: int, columns: bytes) -> None:
    if not (isinstance(spans, int) and isinstance(columns, bytes) and spans > 0):
        raise DamagedBlock("a block is not made of spans")
    if len(columns) != spans * _BYTES_OF_ONE:
        raise DamagedBlock(f"the columns of a block are not those of {spans} spans")
