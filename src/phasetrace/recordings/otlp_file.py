"""Files of OTLP JSON: a ``TracesData`` a line, as the Collector's file exporter writes them.

Source: OTLP specification, "JSON File Serialization"
(https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/). A file of one object that goes
over many lines is read as well, and so is one that is compressed by gzip, whatever it is called.
So is what Jaeger's user interface lets download (`phasetrace.recordings.jaeger_json`).

Lines that are no JSON are left out and counted where others have spans: whoever appends to a file
may be stopped in the middle of one, and those that come after go on behind it.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from phasetrace.errors import SourceError
from phasetrace.recordings.assembled import AssembledSource
from phasetrace.recordings.jaeger_json import is_jaeger_json, otlp_of_jaeger
from phasetrace.recordings.json_values import MalformedJson
from phasetrace.recordings.otlp_json import DecodedSpan, SpanDecoder, documents
from phasetrace.recordings.uncollected import uncollected
from phasetrace.store.stored import StoredExecution

_GZIP: Final = b"\x1f\x8b"
_EXPECTED: Final = (
    'expected OTLP JSON lines, each an object with "resourceSpans", or Jaeger\'s JSON'
)
_SPANS: Final = frozenset(("resourceSpans", "resource_spans"))
_BUFFER: Final = 128 * 1024
_MOST_TEXT: Final = 2 * 1024**3
_ALWAYS_READ: Final = 64 * 1024**2
_MOST_TIMES: Final = 200
"""What is compressed may be so many times as long without: ids are random, so that the text of
spans is some 10 to 40 times as long. Compression by gzip makes zeros a thousand times as short."""


class Unread:
    """The lines of a file that cannot be read, of which there may be some between others.

    A program that was killed, or a disk that was full, leaves half a line behind.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.first = 0
        """The number of the first one."""

    def add(self, line: int) -> None:
        """Count one."""
        self.first = min(self.first, line) if self.lines else line
        self.lines += 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say about them."""
        if not self.lines:
            return ()
        if self.lines == 1:
            return (f"line {self.first} cannot be read, and is left out",)
        return (
            f"{self.lines:,} lines cannot be read, and are left out; the first is {self.first}",
        )


def file_source(name: str, data: bytes) -> AssembledSource:
    """Return the source that a file's content is; what did not end in it never will.

    Lines that cannot be read are in its notes.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    with uncollected():
        return _FileSource(name, data)


class _FileSource(AssembledSource):
    """The executions in a file's content."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        self._data = data
        self._line = 0
        """Where the message begins that was read last."""
        unread = Unread()
        spans = spans_of_file(name, data, unread)
        super().__init__(spans, lambda _: "abandoned", lambda _: self._messages())
        self.notes = (*unread.notes, *self.notes)

    def traces(
        self,
        execution: StoredExecution,
        rolled_up: bool = False,
        only: Collection[int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Give an execution's spans as ``TracesData`` of OTLP's JSON, each span once.

        Raises:
            SourceError: if something in one is not what OTLP has there.
        """
        try:
            yield from super().traces(execution, rolled_up, only)
        except MalformedJson as error:
            raise malformed(self._name, self._line, error) from None

    def _messages(self) -> Iterator[Any]:
        for line, message in documents_of_file(self._name, self._data):
            self._line = line
            yield message


def spans_of_file(name: str, data: bytes, unread: Unread | None = None) -> list[DecodedSpan]:
    """Return all spans of a file's content, whose `name` is for the messages.

    `unread` is told of the lines that are left out; see `documents_of_file`.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    decoder = SpanDecoder()
    found: list[DecodedSpan] = []
    for line, document in documents_of_file(name, data, unread):
        try:
            found += decoder.decode(document)
        except MalformedJson as error:
            raise malformed(name, line, error) from None
    return found


def documents_of_file(
    name: str, data: bytes, unread: Unread | None = None
) -> Iterator[tuple[int, Any]]:
    """Give the messages of a file's content, each with the line it begins in.

    A trace that was downloaded from Jaeger's user interface is turned into OTLP's. Of lines that
    are no JSON `unread` is told, as long as there are others with spans.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    for line, document in _documents(name, data, unread if unread is not None else Unread()):
        if not is_jaeger_json(document):
            yield line, document
            continue
        try:
            yield line, otlp_of_jaeger(document)
        except MalformedJson as error:
            raise malformed(name, line, error) from None


def malformed(name: str, line: int, error: MalformedJson) -> SourceError:
    """Return the error for a message of a file that is none."""
    return SourceError(f"{name}, line {line}: {error}; {_EXPECTED}")


class _NoJson(SourceError):
    """A line of a file, or all of its text, is no JSON."""


def _documents(name: str, data: bytes, unread: Unread) -> Iterator[tuple[int, Any]]:
    """Give the JSON values of a file, each with the line it begins in; of its text, hold one line.

    The exception is where the first line is none: then it is all of the text.
    """
    with _opened(name, data) as file:
        lines: Iterator[tuple[int, bytes]] = enumerate(file, 1)
        is_first = True
        for line, content in lines:
            if not content.strip():
                continue
            try:
                document = _value(name, line, content)
            except _NoJson as error:
                if is_first:
                    yield from _not_by_lines(name, [(line, content), *lines], error, unread)
                    return
                unread.add(line)
                continue
            is_first = False
            yield line, document


def _not_by_lines(
    name: str, lines: Sequence[tuple[int, bytes]], error: _NoJson, unread: Unread
) -> Iterator[tuple[int, Any]]:
    """Give the values of a file whose first line is none: they go over several, or it is torn.

    Raises:
        SourceError: if it is neither; that is `error` where the text does not begin as a value.
    """
    if lines[0][1].removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        is_any = False
        try:
            for line, document in _over_lines(name, lines):
                is_any = True
                yield line, document
            return
        except _NoJson as other:
            if is_any:
                raise
            error = other
    is_any = False
    for line, content in lines:
        try:
            document = _value(name, line, content) if content.strip() else None
        except _NoJson:
            unread.add(line)
            continue
        # What else is a value may be part of one that goes over lines, and is not whole.
        is_any = is_any or _has_spans(document)
        if is_any and document is not None:
            yield line, document
    if not is_any:
        raise error


def _has_spans(document: Any) -> bool:
    return type(document) is dict and not _SPANS.isdisjoint(document)


def _over_lines(name: str, lines: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, Any]]:
    """Give values that go over several lines.

    Raises:
        _NoJson: when it comes to something else.
    """
    before = lines[0][0] - 1
    text = "".join(_text(name, *one) for one in lines)
    try:
        for line, document in documents(text):
            yield before + line, document
    except json.JSONDecodeError as error:
        raise _no_json(name, before + error.lineno, error) from None
    except (ValueError, RecursionError) as error:
        raise _no_json(name, before + 1, error) from None


def _value(name: str, line: int, content: bytes) -> Any:
    """Return the value that is in a line.

    Raises:
        _NoJson: if it is none.
    """
    text = _text(name, line, content)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond all limits, too
        raise _no_json(name, line, error) from None


def _no_json(name: str, line: int, error: Exception) -> _NoJson:
    said = str(error)
    if isinstance(error, json.JSONDecodeError):
        said = f"{error.msg}, column {error.colno}"
    return _NoJson(f"{name}, line {line}: no JSON ({said}); {_EXPECTED}")


def _text(name: str, line: int, content: bytes) -> str:
    """Return the text of a line of a file.

    Raises:
        _NoJson: if it is none.
    """
    try:
        return content.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError:
        raise _NoJson(f"{name}, line {line}: it is not UTF-8; {_EXPECTED}") from None


@contextmanager
def _opened(name: str, data: bytes) -> Iterator[BinaryIO]:
    """Give a file's content to read, less its compression."""
    if not data.startswith(_GZIP):
        yield io.BytesIO(data)
        return
    import gzip
    import zlib

    most = min(_MOST_TEXT, max(_ALWAYS_READ, _MOST_TIMES * len(data)))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            yield io.BufferedReader(_Limited(file, name, most), _BUFFER)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{name} is compressed by gzip, and is damaged: {error}") from None


class _Limited(io.RawIOBase):
    """What is in another file, which must not be longer than so many bytes."""

    def __init__(self, file: io.BufferedIOBase, name: str, most: int) -> None:
        self._file = file
        self._name = name
        self._most = self._left = most

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what comes next."""
        count = self._file.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise SourceError(
                f"{self._name} is compressed by gzip, and more than {self._most // 1024**2:,} MiB"
                " without: no recording is; expand it and read that if it is one all the same"
            )
        return count
