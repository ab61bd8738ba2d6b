"""Telling whether the process that wrote something is still there."""

from __future__ import annotations

import os
from pathlib import Path

_GONE = ("Z", "X")  # it has ended, and its parent has not looked yet


def host_name() -> str:
    """Return what tells the machines (and containers) apart whose pids mean different processes."""
    try:
        # Containers may share a host's name, and its files, but not its pids (pid_namespaces(7)).
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return os.uname().nodename
    return f"{os.uname().nodename} {namespace}"


def birth_of(pid: int) -> str:
    """Return what tells a process from a later one with the same pid ('' where unknown).

    On Linux the start time in clock ticks since boot: field 22 of ``/proc/<pid>/stat`` (proc(5)).
    """
    fields = _stat(pid)
    return fields[19] if fields else ""


def is_alive(pid: int, birth: str, host: str) -> bool:
    """Tell whether a process is still running; one of another host is taken to be."""
    if host != host_name():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is there, and is somebody else's
    fields = _stat(pid)
    if not fields:
        return True
    return fields[0] not in _GONE and (not birth or fields[19] == birth)


def _stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/<pid>/stat`` from the third (the state) on."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The second field is the name in parentheses, which may itself contain both and spaces.
    fields = stat.rpartition(")")[2].split()
    return fields if len(fields) > 19 else []
