"""What spans say, packed: columns of small numbers, and tables in which everything is once.

Texts, the names that attributes have together, spans' attributes as a whole, and stack traces by
their lines: what is equal to something that is there takes the room of a number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from phasetrace.names import (
    CANCELLED,
    EXEC_ID,
    IMPLICIT,
    INPUT_TOKENS,
    ITERATION,
    MODEL,
    NODE_ID,
    NODE_TYPE,
    OUTPUT_TOKENS,
)
from phasetrace.recordings.details import EXCEPTION_STACK, Details, failure_of
from phasetrace.reports.columns import NONE, deltas
from phasetrace.reports.page import in_markup
from phasetrace.reports.texts import shown, shown_lines
from phasetrace.spans import SpanRecord

MOST_EVENTS: Final = 20
"""Of a span that has more events, the others are only counted."""
_TOLD: Final = frozenset({EXEC_ID, NODE_ID, NODE_TYPE, ITERATION, CANCELLED, IMPLICIT})
"""Attributes that the page has in its rows and columns."""
_TOLD_OF_USE: Final = frozenset((*INPUT_TOKENS, *OUTPUT_TOKENS))
_EMPTY: Final = "(empty)"

_Equal = TypeVar("_Equal", bound=Hashable)


class _Row(NamedTuple):
    """What is in the columns of a span; what it says is there by its numbers."""

    number: int
    entry: int
    message: int
    more_events: int
    events: list[tuple[int, int, int, int]]

    def size(self) -> int:
        """Return how many bytes its numbers take, at most: those of spans are told by deltas."""
        numbers = [self.number, self.entry]
        if self.message != NONE:
            numbers += (self.number, self.message)
        if self.more_events:
            numbers += (self.number, self.more_events)
        for event in self.events:
            numbers += (self.number, *event)
        return _list_size(numbers)


class _Event(NamedTuple):
    name: str
    offset_ns: int
    attributes: tuple[tuple[str, str], ...]
    stack: tuple[str, ...]


class SaidOnPage:
    """What a span says, as texts that can be shown."""

    def __init__(self, span: SpanRecord, details: Details) -> None:
        told = _TOLD | _TOLD_OF_USE if span.usage is not None else _TOLD
        model = span.usage.model if span.usage is not None else None
        self.attributes = tuple(
            (shown(name), _value_text(value))
            for name, value in details.attributes.items()
            if name not in told and not (name in MODEL and value == model)
        )
        self.events = [
            _Event(
                shown(event.name),
                event.time_ns - span.start_ns,
                tuple(
                    (shown(name), _value_text(value))
                    for name, value in event.attributes.items()
                    if name != EXCEPTION_STACK
                ),
                tuple(shown_lines(str(event.attributes.get(EXCEPTION_STACK) or ""))),
            )
            for event in details.events[:MOST_EVENTS]
        ]
        self.more_events = len(details.events) - len(self.events)
        message = details.message
        is_told = not message or message == failure_of(details._replace(message=""))
        self.message = "" if is_told else shown(message)

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.attributes or self.events or self.message)


class _Numbers(Generic[_Equal]):
    """Things by number, each once; ``bytes`` is the room that they take."""

    def __init__(self, size: Callable[[_Equal], int]) -> None:
        self.known: dict[_Equal, int] = {}
        self.bytes = 0
        self._size = size

    def __call__(self, one: _Equal) -> int:
        number = self.known.get(one)
        if number is None:
            number = self.known[one] = len(self.known)
            self.bytes += self._size(one)
        return number

    def go_back(self, length: int) -> None:
        """Forget all but the first ones."""
        while len(self.known) > length:
            one, _ = self.known.popitem()
            self.bytes -= self._size(one)


class Packer:
    """Puts what spans say into columns until there is no room for more."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._row_bytes = 0
        self._texts = _Numbers[str](_text_size)
        self._shapes = _Numbers[tuple[int, ...]](_list_size)
        self._entries = _Numbers[tuple[int, ...]](_list_size)
        self._stacks = _Numbers[tuple[int, ...]](_list_size)
        self._tables: tuple[_Numbers[Any], ...] = (
            self._texts,
            self._shapes,
            self._entries,
            self._stacks,
        )
        self._rows: list[_Row] = []

    def put(self, number: int, page: SaidOnPage) -> bool:
        """Put what a span says, if there is room for it; tell whether there was."""
        before = [len(table.known) for table in self._tables]
        events = [
            (
                self._texts(event.name),
                event.offset_ns,
                self._entry(event.attributes),
                self._stacks(tuple(map(self._texts, event.stack))) if event.stack else NONE,
            )
            for event in page.events
        ]
        message = self._texts(page.message) if page.message else NONE
        row = _Row(number, self._entry(page.attributes), message, page.more_events, events)
        row_bytes = self._row_bytes + row.size()
        if row_bytes + sum(table.bytes for table in self._tables) > self._most_bytes:
            for table, length in zip(self._tables, before, strict=True):
                table.go_back(length)
            return False
        self._row_bytes = row_bytes
        self._rows.append(row)
        return True

    def _entry(self, attributes: Sequence[tuple[str, str]]) -> int:
        shape = self._shapes(tuple(self._texts(name) for name, _ in attributes))
        return self._entries((shape, *(self._texts(value) for _, value in attributes)))

    def columns(self) -> dict[str, Any]:
        """Return what was put, by the numbers of the spans."""
        spans = sorted(self._rows)
        said = [one for one in spans if one.message != NONE]
        more = [one for one in spans if one.more_events]
        events = [(one.number, *event) for one in spans for event in one.events]
        return {
            "texts": list(self._texts.known),
            "shapes": list(map(list, self._shapes.known)),
            "entries": list(map(list, self._entries.known)),
            "stacks": list(map(list, self._stacks.known)),
            "at": deltas(one.number for one in spans),
            "entry": [one.entry for one in spans],
            "message": {
                "at": deltas(one.number for one in said),
                "text": [one.message for one in said],
            },
            "event": {
                "at": deltas(number for number, *_ in events),
                "name": [name for _, name, *_ in events],
                "offset": [offset_ns for _, _, offset_ns, *_ in events],
                "entry": [entry for *_, entry, _ in events],
                "stack": [stack for *_, stack in events],
            },
            "more_events": {
                "at": deltas(one.number for one in more),
                "count": [one.more_events for one in more],
            },
        }


def _value_text(value: Any) -> str:
    """Return an attribute's value in a line: a text as it is, others as JSON."""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=_bytes_text)
    return shown(value) if value else _EMPTY


def _bytes_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _text_size(text: str) -> int:
    return len(in_markup(text).encode("utf-8")) + 1


def _list_size(numbers: Iterable[int]) -> int:
    # With a comma behind each, and quotes around those that a browser could not keep.
    return 3 + sum(len(str(number)) + (1 if abs(number) < 2**53 else 3) for number in numbers)
