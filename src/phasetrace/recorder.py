"""Starting and ending the spans of executions, nodes and phases.

This is the seam between phasetrace and the SDK: everything above asks for a phase, everything below
is an ordinary OpenTelemetry tracer, whoever's provider it came from.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, StatusCode, TraceFlags

from phasetrace import faults
from phasetrace.attributes import faithful, key, text
from phasetrace.clock import NowNs
from phasetrace.collector import TimingCollector
from phasetrace.context import Ids, given_ids, ids_in, is_suppressed, with_ids, without_ids
from phasetrace.current import SPAN_KEY, context_with, current_context
from phasetrace.executions import Executions, ExecutionState
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.leaving import around_a_start
from phasetrace.names import (
    CANCELLED,
    DEPENDS_ON,
    EXEC_ID,
    IMPLICIT,
    ITERATION,
    NODE_ID,
    NODE_TYPE,
    PARENT_EXEC_ID,
    TYPE,
    UNNAMED,
)
from phasetrace.planned_ids import PlannedIds
from phasetrace.span import Span as LeanSpan
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE
from phasetrace.tracer import Tracer

_ROOM_FOR_IDS: Final = 8
_NO_CONTEXT: Final = Context()


class Started(NamedTuple):
    """A started span and the context in which its work runs."""

    span: Span
    context: Context


class Recorder:
    """Starts and ends spans through one tracer. Thread-safe.

    Where instrumentation is suppressed nothing is started: the span is the invalid one.

    `max_attributes` and `max_length` are the limits put on metadata; None is no limit.
    """

    def __init__(
        self,
        tracer: trace.Tracer,
        planned_ids: PlannedIds | None,
        executions: Executions,
        sampler: Sampler | None,
        now_ns: NowNs,
        max_attributes: int | None,
        max_length: int | None,
    ) -> None:
        self.executions = executions
        self.now_ns = now_ns
        self.tracer = tracer
        self._planned_ids = planned_ids
        self._sampler = sampler
        self.max_attributes = (
            max(0, max_attributes - _ROOM_FOR_IDS) if max_attributes is not None else None
        )
        self.max_length = max_length

    def start_phase(
        self,
        exec_id: str | None,
        node_id: str | None,
        name: str,
        metadata: Mapping[str, Any],
        start_ns: int | None = None,
    ) -> Started:
        """Start a phase; what is None is taken from the context.

        Without any execution the span is an ordinary one in the current trace.
        """
        if is_suppressed():
            return _nothing_started()
        ids, context = self._place(exec_id, node_id)
        attributes = self.attributes(metadata)
        if ids is not None:
            attributes[EXEC_ID] = ids.exec_id
            attributes[NODE_ID] = ids.node_id or SYSTEM_NODE
            self._add_node_details(attributes, ids)
        return self._start(name, context, attributes, ids, start_ns=start_ns)

    def start_node(
        self,
        exec_id: str | None,
        node_id: str,
        node_type: str | None,
        iteration: Any,
        depends_on: Iterable[str],
        metadata: Mapping[str, Any],
        start_ns: int | None = None,
    ) -> Started:
        """Start a node of an execution (None: the current one)."""
        if is_suppressed():
            return _nothing_started()
        node_id = text(node_id)
        ids, context = self._place(exec_id, None)
        attributes = self.attributes(metadata)
        if ids is not None:
            node_type = text(node_type) if node_type is not None else None
            iteration = faithful(iteration) if iteration is not None else None
            ids = Ids(ids.exec_id, node_id, node_type, iteration)
            attributes[EXEC_ID] = ids.exec_id
        attributes[NODE_ID] = node_id
        attributes[TYPE] = NODE
        if ids is not None:
            self._add_node_details(attributes, ids)
        dependencies = [text(dependency) for dependency in depends_on]
        if dependencies:
            attributes[DEPENDS_ON] = dependencies
        links = self._links(ids, dependencies)
        started = self._start(node_id, context, attributes, ids, links, start_ns)
        state = self.executions.get(ids.exec_id) if ids is not None else None
        if state is not None:
            state.node_opened(node_id, started.span.get_span_context())
        return started

    def start_execution(
        self,
        exec_id: str,
        name: str | None,
        metadata: Mapping[str, Any],
        start_ns: int | None = None,
    ) -> Started:
        """Start an execution: the root of its trace, with the ids that derive from `exec_id`.

        Within another execution it becomes a child in that one's trace, unless it has spans in a
        trace of its own. An execution that was already opened in this process goes on below its
        root.
        """
        if is_suppressed():
            return _nothing_started()
        exec_id = text(exec_id)
        current = self._current()
        around = ids_in(current)
        attributes = self.attributes(metadata)
        attributes[EXEC_ID] = exec_id
        attributes[TYPE] = EXECUTION
        span_name = name if name is not None else UNNAMED
        ids = Ids(exec_id)
        is_new = self.executions.get(exec_id) is None
        first = self.executions.open(exec_id, lambda: self._root_context(exec_id))
        is_within = around is not None and around.exec_id != exec_id
        if around is not None and is_within:
            attributes[PARENT_EXEC_ID] = around.exec_id
        if is_within and is_new:
            started = self._start(span_name, current, attributes, ids, start_ns=start_ns)
            state = self.executions.get(exec_id)
            if state is not None and first:
                state.root = started.span.get_span_context()
            return started
        outside = trace.get_current_span(current).get_span_context()
        links = [Link(outside)] if outside.is_valid else []
        if not first:
            context = self._below(self.state_of(exec_id).root)
            within = links if is_within else []
            return self._start(span_name, context, attributes, ids, within, start_ns)
        return self._start_root(exec_id, span_name, current, attributes, links, start_ns)

    def end(
        self,
        span: Span,
        error: BaseException | str | None = None,
        end_ns: int | None = None,
    ) -> None:
        """End a span; `error` is what ended the work, if anything did (a text if that is all)."""
        if end_ns is None:
            end_ns = self.now_ns()
        if error is not None:
            try:
                mark(span, error, end_ns, self.max_length)
            except Exception as fault:  # a hostile exception; the span ends all the same
                faults.report("recording an exception", fault)
        span.end(end_ns)

    def state_of(self, exec_id: str) -> ExecutionState:
        """Return what is known of an execution; on first sight it becomes an implicit one."""
        return self.executions.find(exec_id, lambda: self._root_context(exec_id))

    def end_of_measurement(
        self, exec_id: str, node_id: str, duration_ns: int, collector: TimingCollector
    ) -> int:
        """Return when a measurement ended that was recorded without a place (Unix ns).

        The collector lays what belongs together one before the other: the measurements made within
        one phase of the execution, elsewhere those of one node.
        """
        exec_id, key = text(exec_id), text(node_id)
        context = current_context()
        around = ids_in(context)
        if around is not None and around.exec_id == exec_id:
            parent = trace.get_current_span(context).get_span_context()
            key = f"within {parent.span_id:016x}"
        return collector.place(exec_id, key, duration_ns)

    def node_ended(self, context: Context) -> None:
        """Note that phases named by id alone no longer belong below a node's span.

        Of an execution's span, note that it has ended. `context` is the one that the span was
        started with. A span's attributes do not tell: one that was sampled out has none, and
        limits may have cut them.
        """
        span = trace.get_current_span(context)
        ids = ids_in(context) if isinstance(span, LeanSpan) else given_ids(context)
        state = self.executions.get(ids.exec_id) if ids is not None else None
        span_context = span.get_span_context()
        if ids is None or state is None:
            return
        if ids.node_id is None:
            self.executions.root_ended(ids.exec_id)
            return
        state.node_closed(ids.node_id, span_context.span_id)

    def emit_root(self, exec_id: str, start_ns: int, end_ns: int) -> None:
        """Give an implicit execution its root span, unless it has one."""
        if self.executions.take_root(exec_id) is None:
            return
        attributes: dict[str, Any] = {EXEC_ID: exec_id, TYPE: EXECUTION, IMPLICIT: True}
        if self.executions.cancelled:
            attributes[CANCELLED] = True
        root = self._start_root(exec_id, UNNAMED, _NO_CONTEXT, attributes, [], start_ns)
        root.span.end(end_ns)

    def _start_root(
        self,
        exec_id: str,
        name: str,
        context: Context,
        attributes: dict[str, Any],
        links: list[Link],
        start_ns: int | None,
    ) -> Started:
        """Start the root of an execution's trace, with the ids that derive from `exec_id`."""
        trace_id, span_id = trace_id_of(exec_id), root_span_id_of(exec_id)
        outside = trace.set_span_in_context(trace.INVALID_SPAN, context)
        if isinstance(self.tracer, Tracer):
            span = self.tracer.start_span(
                text(name),
                outside,
                attributes=attributes,
                links=links,
                start_time=start_ns if start_ns is not None else self.now_ns(),
                root_ids=(trace_id, span_id),
            )
            return self._started(span, context, Ids(exec_id))
        if self._planned_ids is None:  # a tracer without an id generator: the trace at least is one
            below = self._below(self._root_context(exec_id))
            return self._start(name, below, attributes, Ids(exec_id), links, start_ns)
        with self._planned_ids.plan(trace_id, span_id):
            return self._start(name, outside, attributes, Ids(exec_id), links, start_ns)

    def _place(self, exec_id: str | None, node_id: str | None) -> tuple[Ids | None, Context]:
        """Find the ids of a new span and the context that holds its parent."""
        # Under `phasetrace run` there is an execution for what is in none, a part of what the
        # process was started by.
        context = self._current(is_alone=self.executions.ambient is None)
        around = ids_in(context)
        exec_id = text(exec_id) if exec_id is not None else None
        node_id = text(node_id) if node_id is not None else None
        if exec_id is None:
            if around is None:
                if self.executions.ambient is None:
                    return None, context
                ambient = self.executions.ambient(self)
                if isinstance(ambient, str):
                    exec_id = ambient
                else:
                    # Only its span and ids: baggage, and whatever else there is, is the caller's.
                    around = ids_in(ambient)
                    context = trace.set_span_in_context(trace.get_current_span(ambient), context)
            if exec_id is None:
                exec_id = around.exec_id if around is not None else ""
        if around is None or around.exec_id != exec_id:
            around = Ids(exec_id)
            state = self.state_of(exec_id)
            outside = trace.get_current_span(context).get_span_context()
            # A request came with a parent, and with the id in what was asked for.
            if not (outside.is_remote and outside.trace_id == state.trace_id):
                context = self._below(state.root)
        if node_id is None or node_id == around.node_id:
            return around, context
        if around.node_id is None:
            # Code that only knows its ids belongs below the node's span, if that is open.
            known = self.executions.get(exec_id)
            parent = known.open_node(node_id) if known is not None else None
            if parent is not None and parent.is_valid:
                context = self._below(parent)
        return Ids(exec_id, node_id), context

    def _current(self, is_alone: bool = True) -> Context:
        """Return the current context; where it is empty, that which the process was started in.

        Not the latter where the process has something else for that.
        """
        context = around_a_start(current_context())
        inherited = self.executions.inherited
        if (
            inherited is None
            or not is_alone
            or SPAN_KEY in context
            or given_ids(context) is not None
        ):
            return context
        return Context({**inherited, **context})

    def _root_context(self, exec_id: str) -> SpanContext:
        trace_id = trace_id_of(exec_id)
        inherited = self.executions.inherited
        if inherited is not None:
            ids = given_ids(inherited)
            if ids is not None and ids.exec_id == exec_id:
                # It goes on in its trace, below that by which this process was started.
                return trace.get_current_span(inherited).get_span_context()
        sampled = True
        if self._sampler is not None:
            # The root may be started later, or elsewhere: ask what will be decided then.
            attributes = {EXEC_ID: exec_id, TYPE: EXECUTION}
            result = self._sampler.should_sample(
                _NO_CONTEXT, trace_id, UNNAMED, attributes=attributes
            )
            sampled = result.decision is Decision.RECORD_AND_SAMPLE
        return SpanContext(
            trace_id,
            root_span_id_of(exec_id),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT),
        )

    def _below(self, parent: SpanContext) -> Context:
        return trace.set_span_in_context(NonRecordingSpan(parent))

    def _links(self, ids: Ids | None, dependencies: list[str]) -> list[Link]:
        state = self.executions.get(ids.exec_id) if ids is not None and dependencies else None
        if state is None:
            return []
        known = (state.nodes.get(dependency) for dependency in dependencies)
        return [Link(span_context) for span_context in known if span_context is not None]

    def attributes(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return metadata of any type as attributes, within the limits."""
        if not metadata:
            return {}
        length = self.max_length
        limited = list(metadata.items())[: self.max_attributes]
        if length is None:
            return {key(name): faithful(value, 2**62) for name, value in limited}
        return {key(name): faithful(value, length) for name, value in limited}

    @staticmethod
    def _add_node_details(attributes: dict[str, Any], ids: Ids) -> None:
        if ids.node_type is not None:
            attributes[NODE_TYPE] = ids.node_type
        if ids.iteration is not None:
            attributes[ITERATION] = ids.iteration

    def _start(
        self,
        name: str,
        context: Context,
        attributes: dict[str, Any],
        ids: Ids | None,
        links: list[Link] | None = None,
        start_ns: int | None = None,
    ) -> Started:
        span = self.tracer.start_span(
            text(name),
            context,
            attributes=attributes,
            links=links,
            start_time=start_ns if start_ns is not None else self.now_ns(),
        )
        return self._started(span, context, ids)

    def _started(self, span: Span, context: Context, ids: Ids | None) -> Started:
        context = context_with(span, context)
        if ids is None or isinstance(span, LeanSpan):  # such a span has them as fields
            return Started(span, context)
        return Started(span, with_ids(ids, context))


def _nothing_started() -> Started:
    # Without ids, so that its end is not taken for that of what is around it.
    return Started(trace.INVALID_SPAN, without_ids(trace.set_span_in_context(trace.INVALID_SPAN)))


def mark(span: Span, error: BaseException | str, at_ns: int, max_length: int | None) -> None:
    """Say on the span how its work was cut short, in texts of `max_length` characters at most.

    A failure is an error with its ``exception`` event (semantic conventions, "Exceptions"). Other
    interruptions (a cancelled task, Ctrl-C) are not failures; a generator closed early and a
    program that exits are not even interruptions.
    """
    if isinstance(error, str):
        span.set_status(StatusCode.ERROR, text(error)[:max_length] or None)
        return
    if isinstance(error, (GeneratorExit, SystemExit)):
        return
    if not isinstance(error, Exception):
        span.set_attribute(CANCELLED, True)
        return
    if not span.is_recording():
        return
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ and kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    message = text(error)[:max_length]
    stack = "".join(traceback.format_exception(kind, error, error.__traceback__))
    span.add_event(
        "exception",
        {
            "exception.type": name,
            "exception.message": message,
            "exception.stacktrace": text(stack)[:max_length],
        },
        timestamp=at_ns,
    )
    span.set_status(StatusCode.ERROR, f"{kind.__name__}: {message}"[:max_length])
