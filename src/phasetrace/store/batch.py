"""What is written to the store in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace import faults, redaction
from phasetrace.attributes import text
from phasetrace.encoded import belonging_of, message_of
from phasetrace.span import Span
from phasetrace.spans import EXECUTION, PHASE, PhaseKey
from phasetrace.stats import PhaseStats
from phasetrace.store.blocks import Columns, Label, Row
from phasetrace.store.entry import (
    SAMPLED,
    Entry,
    FirstSpan,
    RoutedSpan,
    entry_of,
    entry_without_execution,
    is_routed,
)
from phasetrace.store.totals import MAX_INTEGER, as_integer
from phasetrace.tally import ExecutionTotals
from phasetrace.wire import encode

_MAX_TOTALS: Final = 4_096

Belonging = tuple[bytes, str, bytes, str]
"""The message of a resource and that of a scope, each with its schema URL."""


class SpanGroup:
    """Spans that have their execution, trace and origin in common, in the order of their ends."""

    __slots__ = (
        "belonging",
        "errors",
        "exec_id",
        "is_raw",
        "is_routed",
        "roots",
        "sampled",
        "spans",
        "trace_id",
    )

    def __init__(
        self,
        exec_id: str | None,
        trace_id: int,
        sampled: bool,
        is_routed: bool,
        is_raw: bool,
        belonging: Belonging,
    ) -> None:
        self.exec_id = exec_id
        self.trace_id = trace_id
        self.sampled = sampled
        self.is_routed = is_routed
        """The spans are to be delivered, if there is anywhere."""
        self.is_raw = is_raw
        """The spans themselves are to be stored, and not only what they say of the execution."""
        self.belonging = belonging
        self.spans = Columns()
        self.roots: list[Entry] = []
        """Those that are spans of the execution itself; they are among the spans, too."""
        self.errors = 0
        """How many of the others failed."""

    @property
    def first(self) -> FirstSpan:
        """What the execution's row is made of, if there is none yet."""
        spans = self.spans
        return FirstSpan(self.exec_id or "", self.trace_id, spans.starts[0], spans.ends[0])

    def like(self) -> SpanGroup:
        """Return a group for the same spans that is empty."""
        return SpanGroup(
            self.exec_id,
            self.trace_id,
            self.sampled,
            self.is_routed,
            self.is_raw,
            self.belonging,
        )

    def add(self, entry: Entry, message: bytes) -> None:
        """Add a span."""
        self.spans.add(_row_of(entry, message))
        if entry.type == EXECUTION:
            self.roots.append(entry)
        elif entry.status == "error":
            self.errors += 1

    def join(self, later: SpanGroup) -> None:
        """Take in what another group for the same spans holds."""
        for row in later.spans.rows():
            self.spans.add(row)
        self.roots += later.roots
        self.errors += later.errors

    def parts(self) -> list[SpanGroup]:
        """Return groups of one span each."""
        roots = {root.span_id: root for root in self.roots}
        parts = []
        for row in self.spans.rows():
            part = self.like()
            part.spans.add(row)
            if row[0] in roots:
                part.roots.append(roots[row[0]])
            else:
                part.errors = int(row[4][-1] == "error")
            parts.append(part)
        return parts


class Taken(NamedTuple):
    """What became of spans that were taken into a batch."""

    span_ids: list[int]
    """Of those that are in it now."""
    lost: int
    """How many could not be encoded."""
    routed_lost: int
    """How many of these were to be delivered."""


class Batch:
    """Spans, totals and open spans on their way to the store; kept until they are in it.

    Every span is encoded once, however often its writing is tried. Not thread-safe.
    """

    def __init__(self) -> None:
        self.waiting: list[ReadableSpan | RoutedSpan] = []
        """Taken, and not encoded yet."""
        self.groups: dict[Any, SpanGroup] = {}
        self.spans = 0
        """How many there are in the groups."""
        self.totals: dict[tuple[str, int], ExecutionTotals] = {}
        self.opened: list[Entry] = []
        self.closed: list[int] = []
        """Ids of spans whose rows as open ones are to go."""

    def __bool__(self) -> bool:
        return bool(self.groups or self.totals or self.opened or self.closed)

    @property
    def routed(self) -> int:
        """How many spans are to be delivered, once they are stored."""
        return sum(len(group.spans) for group in self._raw_groups() if group.is_routed)

    @property
    def raw(self) -> int:
        """How many spans are to be stored, and not only counted."""
        return sum(len(group.spans) for group in self._raw_groups())

    def routed_spans(self) -> list[ReadableSpan]:
        """Return the spans that are to be delivered, read back from their messages."""
        from phasetrace.wire.decoding import (  # rarely needed
            decode_resource,
            decode_scope,
            decode_span,
        )

        spans: list[ReadableSpan] = []
        for group in self._raw_groups():
            if not group.is_routed:
                continue
            resource_message, resource_schema_url, scope_message, scope_schema_url = group.belonging
            try:
                resource = decode_resource(resource_message, resource_schema_url)
                scope = decode_scope(scope_message, scope_schema_url)
                spans += [
                    decode_span(message, resource, scope, SAMPLED)
                    for message in group.spans.messages
                ]
            except Exception as error:
                faults.report("reading spans back that cannot be stored", error)
        return spans

    def encode(self, raw: bool = True) -> Taken:
        """Encode what is waiting. With `raw` False nothing is, and the spans are only counted."""
        waiting, self.waiting = self.waiting, []
        span_ids: list[int] = []
        lost = routed_lost = 0
        origin, exec_id, trace_id, flags = None, None, 0, -1
        group: SpanGroup | None = None
        kind: type | None = None
        is_ours = False
        policy = redaction.in_force()
        clean_name = policy.clean_names.get
        handed: Any
        for handed in waiting:
            try:
                if type(handed) is not kind:  # PERF: isinstance() asks an ABC, for 0.3 µs
                    kind = type(handed)
                    is_ours = issubclass(kind, Span)
                is_plain = is_ours and handed._is_plain
                if not is_ours or (not is_plain and handed._span_type == EXECUTION):
                    span_ids.append(self._add(handed, raw))
                    continue
                # PERF: a node or phase of our own, written out: a third of what `_add` takes. Most
                # belong where the one before belonged.
                if (
                    handed._exec_id != exec_id
                    or handed._origin is not origin
                    or handed._trace_id != trace_id
                    or handed._flags != flags
                    or group is None
                ):
                    group = self._group_of(handed, raw)
                    spans = group.spans
                    add_span_id, add_parent_id = spans.span_ids.append, spans.parent_ids.append
                    add_start, add_end = spans.starts.append, spans.ends.append
                    index_of, add_index = spans.known.__getitem__, spans.indices.append
                    add_message = spans.messages.append
                    origin, exec_id = handed._origin, handed._exec_id
                    trace_id, flags = handed._trace_id, handed._flags
                start_ns: int = handed._start_time or 0
                end_ns: int = handed._end_time or 0
                if not 0 <= start_ns <= end_ns <= MAX_INTEGER:
                    start_ns, end_ns = as_integer(start_ns), as_integer(max(start_ns, end_ns))
                status, type_, node_type, iteration = "ok", PHASE, None, None
                if not is_plain:
                    status, type_ = handed.outcome(), handed._span_type
                    if handed._node_details is not None:
                        node_type, iteration = handed._node_details
                        node_type = policy.node_type(node_type)
                        iteration = _plain(iteration)
                name, node_id = handed._name, handed._node_id
                name = clean_name(name) or policy.name(name)
                span_id, parent_id = handed._span_id, handed._parent_id or 0
                message = message_of(handed) if raw else b""
                index = index_of((type_, name, node_id, node_type, iteration, status))
                add_span_id(span_id)
                add_parent_id(parent_id)
                add_start(start_ns)
                add_end(end_ns)
                add_index(index)
                add_message(message)
                if status == "error":
                    group.errors += 1
                span_ids.append(span_id)
            except Exception as error:
                faults.report("encoding a span", error)
                lost += 1
                routed_lost += is_routed(handed)
        self.spans += len(span_ids)
        self.groups = {key: one for key, one in self.groups.items() if len(one.spans)}
        return Taken(span_ids, lost, routed_lost)

    def add_totals(self, totals: Iterable[ExecutionTotals]) -> None:
        """Take totals in, in place of earlier ones of the same execution; the latest 4,096."""
        for counted in totals:
            one = counted._replace(stats=_shown_stats(counted.stats))
            self.totals.pop((one.exec_id, one.part), None)
            self.totals[one.exec_id, one.part] = one
        while len(self.totals) > _MAX_TOTALS:
            del self.totals[next(iter(self.totals))]

    def parts(self) -> list[Batch]:
        """Return batches of one thing each."""
        parts = []
        for opened in self.opened:
            part = Batch()
            part.opened.append(opened)
            parts.append(part)
        for key, group in self.groups.items():
            for one in group.parts():
                part = Batch()
                part.groups[key] = one
                part.spans = 1
                parts.append(part)
        for totals in self.totals.values():
            part = Batch()
            part.add_totals([totals])
            parts.append(part)
        if self.closed:  # after the rows that are to go
            part = Batch()
            part.closed += self.closed
            parts.append(part)
        return parts

    def join(self, later: Batch) -> None:
        """Take in what another batch holds."""
        for key, group in later.groups.items():
            self.groups.setdefault(key, group.like()).join(group)
        self.spans += later.spans
        self.opened += later.opened
        self.closed += later.closed
        self.add_totals(later.totals.values())

    def _raw_groups(self) -> Iterable[SpanGroup]:
        return (group for group in self.groups.values() if group.is_raw)

    def _group_of(self, span: Span, raw: bool) -> SpanGroup:
        """Return the group that a span of our own belongs to."""
        origin, exec_id = span._origin, span._exec_id
        # What belongs to no execution needs no streams of its own for every trace.
        trace_id = span._trace_id if exec_id is not None else 0
        key = (exec_id, trace_id, span._flags, origin, raw)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = SpanGroup(
                exec_id,
                trace_id,
                bool(span._flags & SAMPLED),
                is_routed(span),
                raw,
                belonging_of(origin),
            )
        return group

    def _add(self, handed: ReadableSpan | RoutedSpan, raw: bool) -> int:
        """Add the span of an execution, or of another provider; return its id.

        Raises:
            Exception: when it cannot be encoded.
        """
        span = handed.span if isinstance(handed, RoutedSpan) else handed
        entry = shown(entry_of(span) or entry_without_execution(span))
        if isinstance(span, Span):
            group = self._group_of(span, raw)
            group.add(entry, message_of(span) if raw else b"")
            return entry.span_id
        (data,) = encode([span])
        if data is None:
            raise ValueError("it has no message")
        exec_id = entry.exec_id or None
        trace_id = entry.trace_id if exec_id is not None else 0
        routed = is_routed(handed)
        key = (exec_id, trace_id, entry.sampled, routed, data[1:], raw)
        group = self.groups.get(key)  # type: ignore[assignment]
        if group is None:
            group = self.groups[key] = SpanGroup(
                exec_id, trace_id, entry.sampled, routed, raw, data[1:]
            )
        group.add(entry, data.span if raw else b"")
        return entry.span_id


def shown(entry: Entry) -> Entry:
    """Return what the store keeps of a span with a name and a type that may be shown."""
    policy = redaction.in_force()
    name, node_type = policy.name(entry.name), policy.node_type(entry.node_type)
    if name == entry.name and node_type == entry.node_type:
        return entry
    return entry._replace(name=name, node_type=node_type)


def _shown_stats(stats: dict[PhaseKey, PhaseStats]) -> dict[PhaseKey, PhaseStats]:
    """Return the totals of phases by names and types that may be shown; equal ones are added up."""
    policy = redaction.in_force()
    if all(
        (key.phase is None or policy.name(key.phase) == key.phase)
        and policy.node_type(stat.node_type) == stat.node_type
        for key, stat in stats.items()
    ):
        return stats
    merged: dict[PhaseKey, PhaseStats] = {}
    for key, stat in stats.items():
        name = key if key.phase is None else PhaseKey(key.node_id, policy.name(key.phase))
        one = merged.setdefault(name, PhaseStats())
        node_type = one.node_type
        one.merge(stat)
        one.node_type = node_type or policy.node_type(stat.node_type)
    return merged


def _row_of(entry: Entry, message: bytes) -> Row:
    label = Label(
        entry.type,
        entry.name,
        entry.node_id,
        entry.node_type,
        _plain(entry.iteration),
        entry.status,
    )
    start_ns, end_ns = as_integer(entry.start_ns), as_integer(entry.end_ns)
    return entry.span_id, entry.parent_id or 0, start_ns, end_ns, label, message


def _plain(value: object) -> str | int | float | None:
    if value is None:
        return None
    if isinstance(value, float):
        return value if isfinite(value) else str(value)  # JSON has no other numbers
    if isinstance(value, int) and as_integer(value) == value:
        return int(value)
    return text(value)
