"""How long something takes on a machine that others use, too."""

from __future__ import annotations

import time
from collections.abc import Callable


def least_s(attempt: Callable[[], object], tries: int = 3) -> float:
    """Return the least time (seconds) that an attempt takes: others only ever add to it."""
    taken = []
    for _ in range(tries):
        started = time.monotonic()
        attempt()
        taken.append(time.monotonic() - started)
    return min(taken)
