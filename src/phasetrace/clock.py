"""Time: wall-clock stamps whose differences are monotonic.

A span needs Unix time for the reader and a duration that no clock step can spoil. The clock is
therefore anchored once to wall time and carried on by the monotonic clock: every stamp is
``anchor + monotonic elapsed``, in integer nanoseconds, and spans of one process nest exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

NowNs = Callable[[], int]
"""Returns the present in Unix nanoseconds; never goes backwards within a process."""


def offset(wall_ns: NowNs = time.time_ns, monotonic_ns: NowNs = time.monotonic_ns) -> int:
    """Return what has to be added to ``monotonic_ns()`` to get Unix time, in nanoseconds."""
    # The wall clock is read between two monotonic readings, so that a preempted thread does not
    # anchor late: their middle is the moment nearest to the wall reading.
    before = monotonic_ns()
    wall = wall_ns()
    return wall - (before + monotonic_ns()) // 2


def anchored(
    wall_ns: NowNs = time.time_ns,
    monotonic_ns: NowNs = time.monotonic_ns,
) -> NowNs:
    """Return a clock that starts at ``wall_ns()`` and advances with ``monotonic_ns()``.

    Safe to call from any thread. The monotonic clock of Linux and macOS is shared by all processes
    of a machine, so the returned clock stays right in a forked child.
    """
    offset_ns = offset(wall_ns, monotonic_ns)

    def now_ns() -> int:
        return monotonic_ns() + offset_ns

    return now_ns


OFFSET_NS: Final = offset()
"""What the clock of this process adds to ``time.monotonic_ns()``."""


def now_ns() -> int:
    """Return the present by the clock of this process (Unix ns)."""
    return monotonic_ns() + OFFSET_NS
