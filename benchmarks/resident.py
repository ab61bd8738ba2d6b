"""The memory of this process, in bytes."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident() -> int:
    """Return what is resident now; where the system does not say, what was at most."""
    return _status("VmRSS")


def peak_resident() -> int:
    """Return what was resident at most since the start of the program."""
    # Not from getrusage where it can be avoided: there, a process inherits the peak of whoever
    # started it.
    return _status("VmHWM")


def _status(name: str) -> int:
    if _STATUS.exists():
        found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
