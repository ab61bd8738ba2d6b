"""Can files be made where phasetrace is to make one?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from phasetrace.checks.finding import Finding, Level


def existing_folder(path: Path) -> Path:
    """Return what is there of the folders that a path is in: the innermost."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def folder_findings(path: Path, variable: str) -> list[Finding]:
    """Return what keeps a file, or the folders that it is to be in, from being made; or nothing.

    `variable` is the one that says where the file is.
    """
    folder = existing_folder(path)
    reason = _obstacle(folder)
    if not reason:
        return []
    advice = f"make it a folder that you may write to, or set {variable} to another place"
    text = f"{folder}: files cannot be made in it: {reason}"
    return [Finding(Level.PROBLEM, "folder", text, advice)]


def _obstacle(folder: Path) -> str:
    """Return why nothing can be made in a folder; empty if it can."""
    if not folder.is_dir():
        return "it is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "permission denied"
    # Rights do not tell of file systems that are read-only, or of the kernel's own; a file does.
    # Where the system can make one without a name, nobody gets to see it.
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""
