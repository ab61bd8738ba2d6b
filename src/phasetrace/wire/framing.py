"""Requests made of stored spans, and taken apart, without decoding one.

Source: opentelemetry/proto/collector/trace/v1/trace_service.proto, in opentelemetry-proto 1.x; an
``ExportTraceServiceRequest`` is written like the ``TracesData`` of files.

    request
    └── resource_spans = 1         for each resource:
        ├── resource = 1
        ├── scope_spans = 2        for each of its scopes:
        │   ├── scope = 1
        │   ├── spans = 2
        │   └── schema_url = 3
        └── schema_url = 3

Fields of the same number concatenate, so a stored message needs only a tag and its length in front.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from phasetrace.protobuf.reading import Message
from phasetrace.protobuf.writing import delimited
from phasetrace.wire.stored import EncodedSpan

_Belonging = tuple[bytes, str]
"""The message of a resource or a scope, and its schema URL."""
_Resources = dict[_Belonging, dict[_Belonging, list[bytes]]]
"""Of each resource, of each of its scopes: runs of ``spans`` fields."""


class Block(NamedTuple):
    """Spans that belong under one scope of one resource, already written as its fields."""

    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str
    records: bytes
    """The spans, one behind the other, each with the tag and the length of a ``spans`` field."""


def frame(spans: Iterable[EncodedSpan]) -> bytes:
    """Return the request that carries some spans; the same spans give the same bytes.

    Resources, the scopes of a resource and the spans of a scope come in the order in which they
    came first.
    """
    resources: _Resources = {}
    records: list[bytes] = []
    latest: tuple[bytes, str, bytes, str] | None = None
    for span in spans:
        belonging = span[1:]
        # PERF: most spans belong where the one before them does.
        if belonging != latest:
            latest = belonging
            records = _records(resources, *latest)
        records.append(delimited(2, span[0]))
    return _request(resources)


def frame_blocks(blocks: Iterable[Block]) -> bytes:
    """Return the request that `frame` makes of the spans in some blocks, in their order."""
    resources: _Resources = {}
    for resource, resource_schema_url, scope, scope_schema_url, records in blocks:
        if records:
            belonging = resource, resource_schema_url, scope, scope_schema_url
            _records(resources, *belonging).append(records)
    return _request(resources)


def unframe(request: bytes) -> list[EncodedSpan]:
    """Return the spans of a request, or of a ``TracesData``, in their order.

    Raises:
        MalformedMessage: when the bytes are neither. The spans themselves are not looked into.
    """
    spans = []
    for resource_spans in map(Message, Message(request).messages(1)):
        resource = resource_spans.data(1), resource_spans.text(3)
        for scope_spans in map(Message, resource_spans.messages(2)):
            scope = scope_spans.data(1), scope_spans.text(3)
            spans += [EncodedSpan(span, *resource, *scope) for span in scope_spans.messages(2)]
    return spans


def _records(
    resources: _Resources,
    resource: bytes,
    resource_schema_url: str,
    scope: bytes,
    scope_schema_url: str,
) -> list[bytes]:
    """Return where the spans of a scope of a resource are gathered."""
    scopes = resources.setdefault((resource, resource_schema_url), {})
    return scopes.setdefault((scope, scope_schema_url), [])


def _request(resources: _Resources) -> bytes:
    written = []
    for resource, scopes in resources.items():
        groups = [delimited(2, _group(scope, records)) for scope, records in scopes.items()]
        written.append(delimited(1, _group(resource, groups)))
    return b"".join(written)


def _group(belonging: _Belonging, contents: list[bytes]) -> bytes:
    """Return a ``ResourceSpans`` or a ``ScopeSpans``, which number their fields alike."""
    message, schema_url = belonging
    fields = [delimited(1, message), *contents]
    if schema_url:
        fields.append(delimited(3, schema_url.encode()))
    return b"".join(fields)
