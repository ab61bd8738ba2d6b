"""OTLP bytes: what is stored of a span, and what is sent.

Each span, resource and scope is encoded once, as its own protobuf message. Repeated fields of
protobuf concatenate, so a request can later be framed from stored messages without decoding them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace import faults


class EncodedSpan(NamedTuple):
    """A span and what it belongs under, each as its serialized OTLP message."""

    span: bytes
    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str


def encode(spans: Sequence[ReadableSpan]) -> list[EncodedSpan | None]:
    """Encode spans, in order; None in place of one that cannot be."""
    try:
        return _encode(spans)
    except Exception as error:
        if len(spans) == 1:
            faults.report("encoding a span", error)
            return [None]
    # One span spoils the batch: find it.
    return [encoded for span in spans for encoded in encode([span])]


def _encode(spans: Sequence[ReadableSpan]) -> list[EncodedSpan | None]:
    # Imported here because protobuf takes longer to import than most programs to start, and only
    # the writing thread needs it.
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    # The encoder groups by resource and scope and keeps the order within a group; the ids lead
    # back to the order given.
    encoded: dict[tuple[bytes, bytes], EncodedSpan] = {}
    for resource_spans in encode_spans(spans).resource_spans:
        resource = resource_spans.resource.SerializeToString()
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope.SerializeToString()
            for span in scope_spans.spans:
                encoded[span.trace_id, span.span_id] = EncodedSpan(
                    span.SerializeToString(),
                    resource,
                    resource_spans.schema_url,
                    scope,
                    scope_spans.schema_url,
                )
    return [encoded.get(_ids(span)) for span in spans]


def _ids(span: ReadableSpan) -> tuple[bytes, bytes]:
    context = span.get_span_context()
    if context is None:
        return b"", b""
    return context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")
