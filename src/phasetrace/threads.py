"""Waiting for threads of our own to be gone, also for the operating system."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final

_GLANCE_S: Final = 0.000_05
_OWN_THREADS: Final = Path("/proc/self/task")


def join_for_good(thread: threading.Thread, timeout_s: float) -> bool:
    """Wait until a thread has ended and its process has one thread less; return whether it has.

    `threading.Thread.join` returns while the operating system still winds the thread up. Whoever
    forks just then has two threads by the kernel's count, and Python 3.12 and later warn of that.
    """
    deadline = time.monotonic() + timeout_s
    thread.join(max(0.0, timeout_s))
    if thread.is_alive():
        return False
    task = _OWN_THREADS / str(thread.native_id)
    if not _OWN_THREADS.exists() or not hasattr(os, "fork"):
        return True
    while task.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_GLANCE_S)
    return True
