"""Can the TIMING log be written?"""

from __future__ import annotations

import os
from pathlib import Path

from phasetrace.checks.finding import Finding, Level
from phasetrace.checks.writing import folder_findings

_VARIABLE = "PHASETRACE_TIMING"


def findings(path: Path | None) -> list[Finding]:
    """Return what there is to say of the log's file; nothing if there is to be none."""
    if path is None:
        return []
    if path.is_dir():
        advice = f"{_VARIABLE} is on, off, or the path of a file"
        return [Finding(Level.PROBLEM, "file", f"{path}: it is a folder", advice)]
    if not path.exists():
        text = f"{path}: not there yet; the first program that records makes it"
        return folder_findings(path, _VARIABLE) or [Finding(Level.OK, "file", text)]
    if not os.access(path, os.W_OK):
        advice = f"may you write it? {_VARIABLE} names another one"
        return [Finding(Level.PROBLEM, "file", f"{path}: permission denied", advice)]
    return [Finding(Level.OK, "file", f"{path}: can be written")]
