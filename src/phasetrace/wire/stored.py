"""A span as it is stored: encoded once, beside the resource and the scope that it belongs under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from phasetrace import faults
from phasetrace.attributes import text
from phasetrace.wire.encoding import encode_readable, encode_resource, encode_scope

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class EncodedSpan(NamedTuple):
    """A span and what it belongs under, each as its serialized OTLP message."""

    span: bytes
    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str


def encode(
    spans: Sequence[ReadableSpan], message_of: Callable[[Any], bytes] = encode_readable
) -> list[EncodedSpan | None]:
    """Encode spans, in order; None in place of one that cannot be. Never raises.

    `message_of` returns a span's own message. A class that has what `encode_span` takes need not
    make the SDK's objects of it.
    """
    # By identity: comparing two resources takes longer than encoding a span. The objects are held
    # on to, or another one could get the same id.
    belongings: dict[tuple[int, int], tuple[Any, Any, tuple[bytes, str, bytes, str]]] = {}
    encoded: list[EncodedSpan | None] = []
    for span in spans:
        try:
            resource, scope = span.resource, span.instrumentation_scope
            ids = (id(resource), id(scope))
            known = belongings.get(ids)
            if known is None:
                messages = (
                    encode_resource(resource),
                    _optional_text(resource.schema_url),
                    encode_scope(scope),
                    _optional_text(scope.schema_url) if scope is not None else "",
                )
                known = belongings[ids] = (resource, scope, messages)
            # PERF: a named tuple's own way to be made takes 0.2 µs longer.
            encoded.append(tuple.__new__(EncodedSpan, (message_of(span), *known[2])))
        except Exception as error:
            faults.report("encoding a span", error)
            encoded.append(None)
    return encoded


def _optional_text(value: object) -> str:
    return text(value) if value is not None else ""
