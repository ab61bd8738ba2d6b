"""Whether child processes may write to the same terminal. Only Linux tells (proc(5)).

A child whose output is piped or thrown away cannot print. One that has the terminal for its stdout
or stderr can do so at any time, and nothing tells of it before: neither the system, nor Python,
when the child is another interpreter's, such as a worker of ``multiprocessing``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_PROCESSES: Final = Path("/proc")
_MOST_PROCESSES: Final = 16
_MOST_THREADS: Final = 64
_CONTROLLING: Final = os.makedev(5, 0) if hasattr(os, "makedev") else -1
"""``/dev/tty``, whichever terminal that is (devices.txt of the kernel)."""


def children_may_print(descriptor: int) -> bool:
    """Tell whether a child, or one of its own, may write to the terminal; True if in doubt.

    Leaves the children as they are (waitid(2)). Stdin, which is open for writing, too, where it is
    the terminal, is taken to be read only.
    """
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    try:
        terminal = os.fstat(descriptor).st_rdev
        return any(_has_open(pid, terminal) for pid in _descendants())
    except (OSError, ValueError):
        return True


def _descendants() -> list[str]:
    """Return the processes below this one.

    Raises:
        OSError: if the kernel does not tell.
        ValueError: if they are too many to be looked at again and again.
    """
    found = _children("self")
    for pid in found:  # which grows meanwhile
        try:
            found += _children(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if len(found) > _MOST_PROCESSES:
            raise ValueError("too many processes")
    return found


def _children(pid: str) -> list[str]:
    tasks = _PROCESSES / pid / "task"
    threads = os.listdir(tasks)  # noqa: PTH208 - names are enough
    if len(threads) > _MOST_THREADS:
        raise ValueError("too many threads")
    children = []
    for thread in threads:
        try:
            children += (tasks / thread / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            if (tasks / thread).exists():  # a kernel that does not tell
                raise
    return children


def _has_open(pid: str, terminal: int) -> bool:
    """Tell whether a process has a terminal open other than as its stdin.

    Raises:
        OSError: if it is another user's.
    """
    folder = _PROCESSES / pid / "fd"
    try:
        descriptors = os.listdir(folder)  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        if _is_over(pid):
            return False
        raise
    for one in descriptors:
        if one == "0":
            continue
        try:
            status = (folder / one).stat()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat.S_ISCHR(status.st_mode) and status.st_rdev in (terminal, _CONTROLLING):
            return True
    return False


def _is_over(pid: str) -> bool:
    """Tell whether a process has ended and only waits for its parent to notice."""
    try:
        text = (_PROCESSES / pid / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text.rpartition(")")[2].split()[0] == "Z"
