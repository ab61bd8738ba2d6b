"""Files of OTLP JSON: a ``TracesData`` a line, as the Collector's file exporter writes them.

Source: OTLP specification, "JSON File Serialization"
(https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/). A file of one object that goes
over many lines is read as well, and so is one that is compressed by gzip, whatever it is called.
So is what Jaeger's user interface lets download (`phasetrace.recordings.jaeger_json`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from phasetrace.errors import SourceError
from phasetrace.recordings.assembled import AssembledSource
from phasetrace.recordings.jaeger_json import is_jaeger_json, otlp_of_jaeger
from phasetrace.recordings.json_values import MalformedJson
from phasetrace.recordings.otlp_json import DecodedSpan, SpanDecoder, documents
from phasetrace.recordings.uncollected import uncollected

_GZIP: Final = b"\x1f\x8b"
_EXPECTED: Final = (
    'expected OTLP JSON lines, each an object with "resourceSpans", or Jaeger\'s JSON'
)
_BUFFER: Final = 128 * 1024
_MOST_TEXT: Final = 2 * 1024**3
_ALWAYS_READ: Final = 64 * 1024**2
_MOST_TIMES: Final = 200
"""What is compressed may be so many times as long without: ids are random, so that the text of
spans is some 10 to 40 times as long. Compression by gzip makes zeros a thousand times as short."""


def file_source(name: str, data: bytes) -> AssembledSource:
    """Return the source that a file's content is; what did not end in it never will.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    with uncollected():
        return AssembledSource(
            spans_of_file(name, data),
            lambda _: "abandoned",
            lambda _: (document for _, document in documents_of_file(name, data)),
        )


def spans_of_file(name: str, data: bytes) -> list[DecodedSpan]:
    """Return all spans of a file's content, whose `name` is for the messages.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    decoder = SpanDecoder()
    found: list[DecodedSpan] = []
    for line, document in documents_of_file(name, data):
        try:
            found += decoder.decode(document)
        except MalformedJson as error:
            raise malformed(name, line, error) from None
    return found


def documents_of_file(name: str, data: bytes) -> Iterator[tuple[int, Any]]:
    """Give the messages of a file's content, each with the line it begins in.

    A trace that was downloaded from Jaeger's user interface is turned into OTLP's.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    for line, document in _documents(name, data):
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


def _documents(name: str, data: bytes) -> Iterator[tuple[int, Any]]:
    """Give the JSON values of a file, each with the line it begins in; of its text, hold one line.

    The exception is a value that goes over several lines: then it is all of the text.
    """
    line, is_first, at, text = 1, True, 1, ""
    try:
        with _opened(name, data) as file:
            for line, content in enumerate(file, 1):  # what else ends a line may be in a string
                at, text = line, _text(name, line, content)
                if not text or text.isspace():
                    continue
                try:
                    document = json.loads(text)
                except json.JSONDecodeError:
                    if not is_first or not text.lstrip().startswith("{"):
                        raise
                    others = (_text(name, *other) for other in enumerate(file, line + 1))
                    at, text = 0, "".join((text, *others))
                    for begins, document in documents(text):
                        yield line - 1 + begins, document
                    return
                is_first = False
                yield line, document
    except json.JSONDecodeError as error:
        # What was looked at is a line, unless it was all from there on.
        where = at or line - 1 + error.lineno
        message = f"{name}, line {where}: no JSON ({error.msg}, column {error.colno}); {_EXPECTED}"
        raise SourceError(message) from None
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond all limits
        raise SourceError(f"{name}, line {line}: no JSON ({error}); {_EXPECTED}") from None


def _text(name: str, line: int, content: bytes) -> str:
    """Return the text of a line of a file."""
    try:
        return content.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError:
        raise SourceError(f"{name}, line {line}: it is not UTF-8; {_EXPECTED}") from None


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
