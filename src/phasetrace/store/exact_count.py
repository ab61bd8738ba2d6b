"""A count that any thread adds to without a lock."""

from __future__ import annotations

import itertools
import threading


class ExactCount:
    """Counts exactly, from any number of threads and from signal handlers.

    ``+= 1`` on an attribute loses counts between threads, and a lock must not be waited for in a
    signal handler. One step of a C iterator has neither fault.
    """

    def __init__(self) -> None:
        self._steps = itertools.count()
        self._looking = threading.Lock()  # guards _looks
        self._looks = 0

    def add(self) -> None:
        """Count one."""
        next(self._steps)

    def value(self) -> int:
        """Return how many were counted."""
        with self._looking:
            # Looking is a step, too.
            steps = next(self._steps) - self._looks
            self._looks += 1
        return steps
