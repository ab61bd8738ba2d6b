"""The metrics of an execution and its nodes, as programs get them, and how usages add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000


@dataclass
class NodeMetrics:
    """One node of an execution.

    Times are Unix seconds: the start of its first run and the end of its last; `duration_ms` adds
    up the runs (None: none is known from start to end), and so does `token_usage`, a number or a
    mapping of numbers; `memory_usage` is the highest. `error` is the latest one. `module_timings`
    are the milliseconds of each phase. A node that was never announced is of type ``system``; its
    duration is that of its phases, nested ones counted once.
    """

    node_id: str
    node_type: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    duration_ms: float | None = None
    memory_usage: Any = None
    token_usage: Any = None
    error: str | None = None
    dependencies: set[str] = field(default_factory=set)
    module_timings: dict[str, float] = field(default_factory=dict)


@dataclass
class ExecutionMetrics:
    """One execution; times in Unix seconds, `end_time` and `total_duration_ms` None while it runs.

    `critical_path`, `parallelizable_groups` and `bottlenecks` name nodes as the functions in
    `phasetrace.critical_path` find them: the path through single runs, each node once, and for the
    bottlenecks the time that a node spends on it.
    """

    execution_id: str
    start_time: float | None = None
    end_time: float | None = None
    total_duration_ms: float | None = None
    node_metrics: dict[str, NodeMetrics] = field(default_factory=dict)
    critical_path: list[str] = field(default_factory=list)
    parallelizable_groups: list[list[str]] = field(default_factory=list)
    bottlenecks: list[str] = field(default_factory=list)


def seconds(ns: int | None) -> float | None:
    """Return nanoseconds as seconds; None stays None."""
    return ns / _NS_PER_S if ns is not None else None


def milliseconds(ns: int | None) -> float | None:
    """Return nanoseconds as milliseconds; None stays None."""
    return ns / _NS_PER_MS if ns is not None else None


def phase_timings(entries: Mapping[str, Any]) -> dict[str, float]:
    """Return the times of a node's phases, without the phases' metadata."""
    return {name: value for name, value in entries.items() if is_number(value)}


def added(before: Any, more: Any) -> Any:
    """Add usages up, mappings by their keys; what is no number is replaced."""
    if before is None or more is None:
        return more if before is None else before
    if isinstance(before, Mapping) and isinstance(more, Mapping):
        return {**before, **{key: added(before.get(key), more[key]) for key in more}}
    return before + more if is_number(before) and is_number(more) else more


def higher(before: Any, now: Any) -> Any:
    """Return the higher of two usages; what is no number is replaced."""
    if now is None or (is_number(before) and is_number(now) and before > now):
        return before
    return now


def is_number(value: object) -> bool:
    """Tell whether a value is a quantity; a bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
