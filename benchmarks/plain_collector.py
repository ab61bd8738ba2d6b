"""The yardstick: the timing collector that many programs write for themselves.

No spans, no threads, no export: a context manager that reads the clock twice and adds the
difference to a dict, ``{exec_id: {node_id: {phase: dur_ms, phase + "_metadata": {...}}}}``, under a
lock.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

Mapping = dict[str, dict[str, Any]]


class PlainCollector:
    """Durations and metadata by execution, node and phase. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the dict
        self._timings: dict[str, Mapping] = {}

    def record(
        self, exec_id: str, node_id: str, phase: str, dur_ms: float, **metadata: Any
    ) -> None:
        """Add a duration; metadata replace the earlier ones of the phase."""
        with self._lock:
            phases = self._timings.setdefault(exec_id, {}).setdefault(node_id, {})
            phases[phase] = phases.get(phase, 0.0) + dur_ms
            if metadata:
                phases[f"{phase}_metadata"] = metadata

    def pop(self, exec_id: str) -> Mapping:
        """Return what was collected of an execution, and forget it."""
        with self._lock:
            return self._timings.pop(exec_id, {})


timing_collector = PlainCollector()


@contextmanager
def time_phase(exec_id: str, node_id: str, phase: str, **metadata: Any) -> Iterator[None]:
    """Time a phase; an empty `exec_id` does nothing."""
    if not exec_id:
        yield
        return
    started = time.perf_counter()
    try:
        yield
    finally:
        dur_ms = (time.perf_counter() - started) * 1000
        timing_collector.record(exec_id, node_id, phase, dur_ms, **metadata)


@asynccontextmanager
async def atime_phase(
    exec_id: str, node_id: str, phase: str, **metadata: Any
) -> AsyncIterator[None]:
    """Time a phase of asynchronous code; an empty `exec_id` does nothing."""
    if not exec_id:
        yield
        return
    started = time.perf_counter()
    try:
        yield
    finally:
        dur_ms = (time.perf_counter() - started) * 1000
        timing_collector.record(exec_id, node_id, phase, dur_ms, **metadata)


def timed(
    phase: str, node_id_param: str = "node_id", exec_id_param: str = "execution_id"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Time every call of a function, with the ids from its arguments."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            arguments = signature.bind(*args, **kwargs).arguments
            exec_id = arguments.get(exec_id_param, "")
            with time_phase(exec_id, arguments.get(node_id_param, ""), phase):
                return function(*args, **kwargs)

        return wrapper

    return decorate
