"""Files of OTLP JSON: a ``TracesData`` a line, as the Collector's file exporter writes them.

Source: OTLP specification, "JSON File Serialization"
(https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/). A file of one object that goes
over many lines is read as well, and so is one that is compressed by gzip, whatever it is called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from phasetrace.errors import SourceError
from phasetrace.recordings.assembled import AssembledSource
from phasetrace.recordings.json_values import MalformedJson
from phasetrace.recordings.otlp_json import DecodedSpan, SpanDecoder, documents
from phasetrace.recordings.uncollected import uncollected

_GZIP: Final = b"\x1f\x8b"
_EXPECTED: Final = 'expected OTLP JSON, an object with "resourceSpans" a line'


def file_source(name: str, data: bytes) -> AssembledSource:
    """Return the source that a file's content is; what did not end in it never will.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    with uncollected():
        return AssembledSource(spans_of_file(name, data), lambda _: "abandoned")


def spans_of_file(name: str, data: bytes) -> list[DecodedSpan]:
    """Return all spans of a file's content, whose `name` is for the messages.

    Raises:
        SourceError: if it is something else, or damaged; names the line.
    """
    decoder = SpanDecoder()
    found: list[DecodedSpan] = []
    for line, document in _documents(name, _text(name, data)):
        try:
            found += decoder.decode(document)
        except MalformedJson as error:
            raise SourceError(f"{name}, line {line}: {error}; {_EXPECTED}") from None
    return found


def _text(name: str, data: bytes) -> str:
    if data.startswith(_GZIP):
        import gzip
        import zlib

        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{name} is compressed by gzip, and is damaged: {error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{name}, line {line}: it is not UTF-8; {_EXPECTED}") from None


def _documents(name: str, text: str) -> Iterator[tuple[int, Any]]:
    """Give the JSON values of a file, each with the line it begins in."""
    line = 1
    try:
        lines = text.split("\n")  # what else ends a line may be in a string
        for line, content in enumerate(lines, 1):
            if content and not content.isspace():
                try:
                    document = json.loads(content)
                except json.JSONDecodeError:
                    if any(before and not before.isspace() for before in lines[: line - 1]):
                        raise
                    yield from documents(text)  # the first goes over several lines
                    return
                yield line, document
    except json.JSONDecodeError as error:
        # What was looked at is one line, unless it was everything.
        at = error.lineno if error.doc is text else line
        message = f"{name}, line {at}: no JSON ({error.msg}, column {error.colno}); {_EXPECTED}"
        raise SourceError(message) from None
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond all limits
        raise SourceError(f"{name}, line {line}: no JSON ({error}); {_EXPECTED}") from None
