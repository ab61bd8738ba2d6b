"""The messages that spans came in, span by span, and put together again of those that are wanted.

However they were written, what is put together is in the form that the OTLP specification asks
for: ids in hex, keys in lowerCamelCase, 64-bit integers as strings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from phasetrace.names import EXEC_ID
from phasetrace.recordings.json_values import (
    attributes_of,
    field,
    id_of,
    integer,
    message_in,
    messages,
    text_of,
)
from phasetrace.recordings.otlp_messages import traces_json
from phasetrace.recordings.otlp_writing import resource_message, scope_message, span_message

Belonging = tuple[bytes, str, bytes, str]
"""The message of a resource and that of a scope, each with its schema URL."""


class Original(NamedTuple):
    """A span as it came, with what it belongs under."""

    resource: Mapping[str, Any]
    resource_schema_url: str
    scope: Mapping[str, Any]
    scope_schema_url: str
    span: Mapping[str, Any]


def originals(document: Any) -> Iterator[Original]:
    """Give the spans of a ``TracesData``, in the order in which `SpanDecoder` does.

    Raises:
        MalformedJson: if it is something else.
    """
    if type(document.get("result")) is dict:  # as gateways answer
        document = document["result"]
    for group in messages(document, "resourceSpans", "resource_spans"):
        resource, url = message_in(group, "resource"), _schema_url(group)
        scopes = messages(group, "scopeSpans", "scope_spans") or messages(
            group, "instrumentationLibrarySpans", "instrumentation_library_spans"
        )
        for scope in scopes:
            of_scope = message_in(scope, "scope") or message_in(scope, "instrumentationLibrary")
            for span in messages(scope, "spans", "spans"):
                yield Original(resource, url, of_scope, _schema_url(scope), span)


def exec_id_of(span: Mapping[str, Any]) -> str | None:
    """Return the execution that a span names."""
    exec_id = attributes_of(span).get(EXEC_ID)
    return text_of(exec_id) if exec_id else None


def trace_id_in(span: Mapping[str, Any]) -> str:
    """Return the id of a span's trace, as 32 hex digits."""
    return f"{id_of(field(span, 'traceId', 'trace_id'), 16, 'traceId'):032x}"


def span_id_in(span: Mapping[str, Any]) -> int:
    """Return the id of a span."""
    return id_of(field(span, "spanId", "span_id"), 8, "spanId")


def key_of(span: Mapping[str, Any]) -> tuple[str, int, int, int]:
    """Return what tells a span from others: its ids and, as roots have the same, its times."""
    return (
        trace_id_in(span),
        span_id_in(span),
        integer(field(span, "startTimeUnixNano", "start_time_unix_nano"), "its start"),
        integer(field(span, "endTimeUnixNano", "end_time_unix_nano"), "its end"),
    )


def traces_data(
    documents: Iterable[Any], wanted: Callable[[Mapping[str, Any]], bool]
) -> Iterator[dict[str, Any]]:
    """Give documents with nothing in them but the spans that are wanted, each of these once.

    Raises:
        MalformedJson: if one is something else.
    """
    seen: set[tuple[str, int, int, int]] = set()
    for document in documents:
        belongings = Belongings()
        spans = []
        for original in originals(document):
            span = original.span
            if wanted(span) and (key := key_of(span)) not in seen:
                seen.add(key)
                spans.append((span_message(span), *belongings.of(original)))
        if spans:
            yield traces_json(spans)


class Belongings:
    """What originals belong under, as protobuf messages; of one document after the other."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str, int, str], tuple[Original, Belonging]] = {}

    def of(self, original: Original) -> Belonging:
        """Return the message of the resource with its schema URL, and that of the scope with its.

        Raises:
            MalformedJson: if something in them is not what OTLP has there.
        """
        resource, resource_url, scope, scope_url, _ = original
        key = (id(resource), resource_url, id(scope), scope_url)
        known = self._known.get(key)
        if known is None:
            belonging = resource_message(resource), resource_url, scope_message(scope), scope_url
            # With the original: while it is there, its number is no other object's.
            known = self._known[key] = original, belonging
        return known[1]


def _schema_url(group: Mapping[str, Any]) -> str:
    return text_of(field(group, "schemaUrl", "schema_url") or "")
