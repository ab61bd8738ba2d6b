"""The executions that this process has seen: where their root is, and who ends it.

An execution is *explicit* when `execution()` opened it, and *implicit* when its first phase did. An
implicit one gets its root span when it is popped, evicted, or the process ends; the process that
first wrote it to the store owns that duty, so that the trace has one root.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

_MAX_REMEMBERED: Final = 10_000
_MAX_NODES: Final = 2_000


class ExecutionState:
    """What is known of one execution; each change is a single atomic operation."""

    __slots__ = (
        "_root",
        "ended",
        "exec_id",
        "explicit",
        "flags",
        "handed_on",
        "nodes",
        "open_nodes",
        "root_id",
        "rooted",
        "trace_id",
        "trace_state",
    )

    def __init__(self, exec_id: str, root: SpanContext, explicit: bool) -> None:
        self.exec_id = exec_id
        self.root = root
        self.explicit = explicit
        self.rooted = explicit or root.is_remote
        """A root span was started, or is another process's task."""
        self.handed_on = False
        """Others take part who were given its context, and leave the root to this process."""
        self.ended = False
        """The root span has ended: what is known may be forgotten."""
        self.nodes: dict[str, SpanContext] = {}
        """The latest span of each node, open or ended (for links); of the latest 2,000 nodes."""
        self.open_nodes: dict[str, dict[int, SpanContext]] = {}
        """The open spans of each node by span id, the latest last."""

    @property
    def root(self) -> SpanContext:
        """The root span, which may be yet to come."""
        return self._root

    @root.setter
    def root(self, root: SpanContext) -> None:
        # Once more in plain, for phases that are named by their ids alone.
        self.trace_id, self.root_id, self.flags = root.trace_id, root.span_id, int(root.trace_flags)
        self.trace_state = root.trace_state or None
        self._root = root

    def node_opened(self, node_id: str, span: SpanContext) -> None:
        """Note that a span of a node was started."""
        self.nodes[node_id] = span
        if len(self.nodes) > _MAX_NODES:
            self.nodes.pop(next(iter(self.nodes)), None)
        self.open_nodes.setdefault(node_id, {})[span.span_id] = span

    def node_closed(self, node_id: str, span_id: int) -> None:
        """Note that a span of a node was ended."""
        spans = self.open_nodes.get(node_id)
        if spans is not None:
            spans.pop(span_id, None)
            if not spans:
                self.open_nodes.pop(node_id, None)

    def open_node(self, node_id: str) -> SpanContext | None:
        """Return the span that was opened last of those of a node that are open."""
        spans = self.open_nodes.get(node_id)
        while spans:
            try:
                return spans[next(reversed(spans))]
            except (KeyError, RuntimeError, StopIteration):  # another thread has closed it
                continue
        return None


class Executions:
    """Registry of executions by id. Thread-safe; remembers 10,000, and all that have not ended."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may time a phase while its own thread is in here.
        self._lock = threading.RLock()  # guards states
        self.states: dict[str, ExecutionState] = {}
        """What is known, by id; to be read only."""
        self._forget_from = _MAX_REMEMBERED
        self.ambient: Callable[[Any], Context | str] | None = None
        """Gives the execution for phases that are in none (``phasetrace run``): the context of its
        span, or its id to take part in it; is given the recorder."""
        self.end_ambient: Callable[[], None] | None = None
        """Ends the span that `ambient` opened."""
        self.cancelled = False
        """What is still to end was ended from outside, by a signal or a time limit."""
        self.claim: Callable[[], object] | None = None
        """Makes this process the owner of what it records and nobody else has written, or tells of
        who is."""
        self.inherited: Context | None = None
        """The context that the process was started with, if there is one."""
        self.ambient_id: str | None = None
        """The id of an execution that is opened without one (``phasetrace run --exec-id``)."""

    def get(self, exec_id: str) -> ExecutionState | None:
        """Return what is known of an execution."""
        return self.states.get(exec_id)

    def ids(self) -> list[str]:
        """Return the ids of the executions that this process has taken part in, oldest first."""
        with self._lock:
            return list(self.states)

    def find(self, exec_id: str, make_root: Callable[[], SpanContext]) -> ExecutionState:
        """Return an execution's state; on first sight make it an implicit execution."""
        state = self.states.get(exec_id)
        if state is None:
            state = self._add(ExecutionState(exec_id, make_root(), explicit=False))
        return state

    def open(self, exec_id: str, make_root: Callable[[], SpanContext]) -> bool:
        """Note that `execution()` opens an execution; return True if it is to start the root."""
        state = self.find(exec_id, make_root)
        with self._lock:
            first = not state.rooted
            state.explicit = state.rooted = True
            state.ended = False
        return first

    def take_root(self, exec_id: str) -> ExecutionState | None:
        """Return an implicit execution that still needs its root, and note that it gets it."""
        with self._lock:
            state = self.states.get(exec_id)
            if state is None or state.rooted:
                return None
            state.rooted = state.ended = True
            return state

    def root_ended(self, exec_id: str) -> None:
        """Note that the root span of an execution has ended."""
        state = self.states.get(exec_id)
        if state is not None:
            state.ended = True

    def handed_on(self, exec_id: str) -> None:
        """Note that the context of an execution is given to others."""
        state = self.states.get(exec_id)
        if state is None or state.rooted or state.handed_on:
            return
        if self.claim is not None:
            self.claim()  # the first to write it would have the root otherwise; it tells
        if not state.rooted:
            state.handed_on = True

    def rooted_elsewhere(self, exec_id: str) -> None:
        """Note that another process ends the root of an execution, unless that is done here."""
        with self._lock:
            state = self.states.get(exec_id)
            if state is not None and not state.handed_on:
                state.rooted = True
                state.ended = not state.explicit

    def after_fork(self) -> None:
        """In a forked child: the executions known so far are the parent's to end."""
        self._lock = threading.RLock()
        for state in self.states.values():
            state.rooted = True

    def _add(self, state: ExecutionState) -> ExecutionState:
        with self._lock:
            kept = self.states.setdefault(state.exec_id, state)
            if len(self.states) > self._forget_from:
                ended = [one for one, known in self.states.items() if known.ended]
                for one in ended[: len(self.states) - _MAX_REMEMBERED]:
                    del self.states[one]
                # Where all are still open, looking for ended ones again soon would be in vain.
                self._forget_from = max(_MAX_REMEMBERED, len(self.states) * 5 // 4)
        return kept
