"""Telling whether the process that wrote something is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def birth_of(pid: int) -> str:
    """Return what tells a process from a later one with the same pid ('' where unknown).

    On Linux the start time in clock ticks since boot: field 22 of ``/proc/<pid>/stat`` (proc(5)).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field is the name in parentheses, which may itself contain both and spaces.
    return stat.rpartition(")")[2].split()[19]


def is_alive(pid: int, birth: str, host: str) -> bool:
    """Tell whether a process is still running; one of another host is taken to be."""
    if host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is there, and is somebody else's
    now = birth_of(pid)
    return not (birth and now) or birth == now
