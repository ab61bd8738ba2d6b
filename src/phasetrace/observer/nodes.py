"""A node of an engine's execution: which ending belongs to which run, and what its runs add up to.

An ending names its run by the iteration, if at all; it may come before the start of its run, or
more than once.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from phasetrace.attributes import text
from phasetrace.names import DEPENDS_ON, NODE_TYPE
from phasetrace.observer.events import Event
from phasetrace.observer.metrics import NodeMetrics, added, higher, milliseconds, seconds
from phasetrace.observer.spans import EventSpan


class OpenRun(NamedTuple):
    """A run of a node that is under way."""

    iteration: Any
    start_ns: int
    span: EventSpan


class _EarlyEnding(NamedTuple):
    """The ending of a run whose start was not announced, or not yet."""

    event: Event
    repeated: bool
    """Whatever it ends is known to have ended, unless another run starts."""


class Node:
    """What is known of a node; its execution opens and closes the spans of its runs."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.node_type: str | None = None
        self.dependencies: dict[str, None] | None = None  # in the order given; None: not known
        self.open: list[OpenRun] = []  # oldest first
        self._early: list[_EarlyEnding] = []
        self._start_ns: int | None = None
        self._end_ns: int | None = None
        self._total_ns: int | None = None
        self._error: str | None = None
        self._token_usage: Any = None
        self._memory_usage: Any = None
        self._last_start: tuple[Any, int] | None = None
        self._last_end: tuple[Any, int] | None = None

    def describe(self, event: Event) -> None:
        """Take what an event says about the node itself."""
        self.node_type = event.node_type or self.node_type
        if event.dependencies is not None:
            self.dependencies = {**(self.dependencies or {}), **dict.fromkeys(event.dependencies)}

    def starts(self, event: Event) -> bool:
        """Note a start; return False if it is one that is known already."""
        start = (event.iteration, event.at_ns)
        if any(run.iteration == event.iteration for run in self.open) or (
            event.stamped and start == self._last_start
        ):
            return False
        self._last_start = start
        if self._start_ns is None or event.at_ns < self._start_ns:
            self._start_ns = event.at_ns
        return True

    def run_of(self, ending: Event) -> OpenRun | None:
        """Return the open run that an ending is for; only one may leave the iteration out."""
        same = (run for run in self.open if run.iteration == ending.iteration)
        alike = (run for run in self.open if None in (ending.iteration, run.iteration))
        return next(same, None) or next(alike, None)

    def ended_before(self, ending: Event) -> bool:
        """Tell whether this very ending has been taken."""
        return ending.stamped and (ending.iteration, ending.at_ns) == self._last_end

    def keep_early(self, ending: Event) -> None:
        """Keep an ending that no open run is there for."""
        iterations = [early.event.iteration for early in self._early]
        if self._last_end is not None:
            iterations.append(self._last_end[0])
        failed = self._error is not None or any(e.event.error is not None for e in self._early)
        repeated = ending.iteration in iterations and (ending.error is None or failed)
        self._early.append(_EarlyEnding(ending, repeated))

    def take_early(self, iteration: Any, from_ns: int = 0) -> Event | None:
        """Return the ending that came before the start of its run, if there is one."""
        for place, (ending, _) in enumerate(self._early):
            alike = ending.iteration == iteration or None in (ending.iteration, iteration)
            if alike and ending.at_ns >= from_ns:
                return self._early.pop(place).event
        return None

    def take_unexplained(self) -> list[Event]:
        """Return the endings of runs that never started."""
        early, self._early = self._early, []
        return [ending for ending, repeated in early if not repeated]

    def ended(self, start_ns: int | None, end_ns: int, ending: Event) -> None:
        """Count a run; one without a start has no duration."""
        self._last_end = (ending.iteration, ending.at_ns)
        self._end_ns = max(self._end_ns or 0, end_ns)
        if start_ns is not None:
            self._total_ns = (self._total_ns or 0) + end_ns - start_ns
        self._token_usage = added(self._token_usage, ending.token_usage)
        self._memory_usage = higher(self._memory_usage, ending.memory_usage)
        self._error = _message(ending) or self._error

    def fill_in(self, late: Event) -> None:
        """Take what came too late, as far as it was not known."""
        if late.outcome == "started":
            if self._start_ns is None:
                self._start_ns = late.at_ns
        else:
            if self._end_ns is None:
                self._end_ns = late.at_ns
            if self._token_usage is None:
                self._token_usage = late.token_usage
            if self._memory_usage is None:
                self._memory_usage = late.memory_usage
            self._error = self._error or _message(late)
        if self._total_ns is None and self._start_ns is not None and self._end_ns is not None:
            self._total_ns = max(0, self._end_ns - self._start_ns)

    def attributes(self) -> dict[str, Any]:
        """Return what the span of a run says at its end."""
        attributes: dict[str, Any] = {}
        if self.node_type is not None:
            attributes[NODE_TYPE] = self.node_type
        if self.dependencies:
            attributes[DEPENDS_ON] = list(self.dependencies)
        return attributes

    def metrics(self, module_timings: dict[str, float]) -> NodeMetrics:
        """Return the node's numbers, so far or in the end."""
        return NodeMetrics(
            node_id=self.node_id,
            node_type=self.node_type,
            start_time=seconds(self._start_ns),
            end_time=seconds(self._end_ns),
            duration_ms=milliseconds(self._total_ns),
            memory_usage=self._memory_usage,
            token_usage=copy.copy(self._token_usage),
            error=self._error,
            dependencies=set(self.dependencies or ()),
            module_timings=module_timings,
        )


def _message(ending: Event) -> str | None:
    """Return what went wrong, never an empty text; None if nothing did."""
    error = ending.error
    if isinstance(error, BaseException):
        message = text(error)
        return f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "failed" if error == "" else error
