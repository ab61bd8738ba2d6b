"""OTLP bytes: what is stored of a span, and what is sent.

Each span, resource and scope is encoded once, as its own protobuf message. Repeated fields of
protobuf concatenate, so a request can later be framed from stored messages without decoding them.

The official encoder drops an attribute that protobuf cannot carry (a string with lone surrogates,
an integer past 64 bits) and logs a traceback for it; a span whose name is such a string it does not
encode at all. So spans are looked through before (2 µs, where encoding takes 24), and those few are
encoded with the nearest values that can be carried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from phasetrace import faults
from phasetrace.attributes import faithful, text

_INT64 = range(-(2**63), 2**63)
_UINT64_MAX = 2**64 - 1
_UNLIMITED = 2**62


class EncodedSpan(NamedTuple):
    """A span and what it belongs under, each as its serialized OTLP message."""

    span: bytes
    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str


def encode(spans: Sequence[ReadableSpan]) -> list[EncodedSpan | None]:
    """Encode spans, in order; None in place of one that cannot be. Never raises."""
    encoded: list[EncodedSpan | None] = [None] * len(spans)
    # By identity: comparing two resources takes longer than encoding a span.
    groups: dict[tuple[int, int], list[int]] = {}
    for index, span in enumerate(spans):
        groups.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(index)
    for indexes in groups.values():
        group = [spans[index] for index in indexes]
        for index, one in zip(indexes, _encode_group(group), strict=True):
            encoded[index] = one
    return encoded


def _encode_group(spans: list[ReadableSpan]) -> list[EncodedSpan | None]:
    """Encode spans that have their resource and scope in common."""
    try:
        if _belongs_to_encodable(spans[0]):
            return list(_encode([span if _encodable(span) else _Carried(span) for span in spans]))
        return list(_encode([_Carried(span) for span in spans]))
    except Exception as error:
        if len(spans) > 1:  # one span spoils the group: find it
            return [encoded for span in spans for encoded in _encode_group([span])]
        try:
            return list(_encode([_Carried(spans[0])]))
        except Exception:
            faults.report("encoding a span", error)
            return [None]


def _encode(spans: Sequence[Any]) -> Iterable[EncodedSpan]:
    # Imported here because protobuf takes longer to import than most programs to start, and only
    # the writing thread needs it.
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    # The encoder groups by resource and scope, of which there is one here, and keeps the order.
    (resource_spans,) = encode_spans(spans).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    resource = resource_spans.resource.SerializeToString()
    scope = scope_spans.scope.SerializeToString()
    return [
        EncodedSpan(
            message.SerializeToString(),
            resource,
            resource_spans.schema_url,
            scope,
            scope_spans.schema_url,
        )
        for message in scope_spans.spans
    ]


def _encodable(span: ReadableSpan) -> bool:
    """Tell whether protobuf can carry a span's strings and numbers as they are."""
    attributes: Any = span.attributes
    if attributes:
        # PERF: written out, and on a plain dict, which the SDK's own copy is: half of what it
        # takes to call a function for each value and to iterate over the SDK's mapping.
        attributes = attributes.copy() if hasattr(attributes, "copy") else dict(attributes)
        for key, value in attributes.items():
            kind = type(value)
            if kind is str:
                if not value.isascii() and not _carries(value):
                    return False
            elif (kind is not int or value not in _INT64) and not _carries(value):
                return False
            if not key.isascii() and not _carries(key):
                return False
    return (
        (span.name.isascii() or _carries(span.name))
        and (span.status.is_unset or _carries(span.status.description))
        # PERF: the properties copy under a lock, 0.5 µs each; most spans have neither.
        and (not getattr(span, "_events", True) or all(map(_carries_event, span.events)))
        and (not getattr(span, "_links", True) or all(map(_carries_link, span.links)))
    )


def _carries_event(event: Any) -> bool:
    return _carries(event.name) and _carries(event.attributes)


def _carries_link(link: Any) -> bool:
    return _carries(link.attributes)


def _belongs_to_encodable(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return (
        _carries(span.resource.attributes)
        and _carries(span.resource.schema_url)
        and (
            scope is None
            or all(map(_carries, (scope.name, scope.version, scope.schema_url, scope.attributes)))
        )
    )


def _carries(value: Any) -> bool:
    """Tell whether protobuf can carry a value as it is."""
    if value is None or isinstance(value, (bool, float, bytes)):
        return True
    if isinstance(value, str):
        return value.isascii() or text(value) == value
    if isinstance(value, int):
        return value in _INT64
    if isinstance(value, Mapping):
        return all(map(_carries, value)) and all(map(_carries, value.values()))
    return isinstance(value, Sequence) and all(map(_carries, value))


class _Carried:
    """A span with the nearest values that protobuf can carry; has what the encoder asks for."""

    def __init__(self, span: ReadableSpan) -> None:
        self._span = span
        self.name = text(span.name)
        self.attributes = _nearest(span.attributes)
        self.events = [_CarriedPart(event) for event in span.events]
        self.links = [_CarriedPart(link) for link in span.links]
        self.status = _CarriedStatus(span.status)
        self.start_time = _time(span.start_time)
        self.end_time = _time(span.end_time)
        resource = span.resource
        self.resource = Resource(_nearest(resource.attributes), text(resource.schema_url))
        scope = span.instrumentation_scope
        self.instrumentation_scope = (
            InstrumentationScope(
                text(scope.name),
                _optional_text(scope.version),
                _optional_text(scope.schema_url),
                _nearest(scope.attributes),
            )
            if scope is not None
            else None
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)


class _CarriedPart:
    """An event or a link."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self.name = _optional_text(getattr(part, "name", None))
        self.timestamp = _time(getattr(part, "timestamp", None))
        self.attributes = _nearest(part.attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


class _CarriedStatus:
    def __init__(self, status: Any) -> None:
        self.status_code = status.status_code
        self.description = _optional_text(status.description)


def _nearest(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {text(key): faithful(value, _UNLIMITED) for key, value in (attributes or {}).items()}


def _optional_text(value: object) -> str | None:
    return text(value) if value is not None else None


def _time(time_ns: int | None) -> int | None:
    return min(max(time_ns, 0), _UINT64_MAX) if time_ns is not None else None
