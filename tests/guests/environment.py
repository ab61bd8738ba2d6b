"""A copy of this environment, of links, that shows what a test wants to be installed."""

from __future__ import annotations

import sysconfig
import venv
from pathlib import Path

_DISTRO = "opentelemetry_distro"


def without_the_distro(folder: Path) -> Path:
    """Make one in which opentelemetry-distro is not installed; return its Python."""
    venv.create(folder, symlinks=True)
    ours = Path(sysconfig.get_path("purelib"))
    (theirs,) = folder.glob("lib/python*/site-packages")
    for entry in ours.iterdir():
        if not entry.name.startswith((_DISTRO, "__pycache__")) and entry.name != "opentelemetry":
            (theirs / entry.name).symlink_to(entry)
    (theirs / "opentelemetry").mkdir()
    for package in (ours / "opentelemetry").iterdir():
        if package.name not in ("distro", "__pycache__"):
            (theirs / "opentelemetry" / package.name).symlink_to(package)
    return folder / "bin" / "python"


def with_our_distro_first(folder: Path) -> str:
    """Return a ``PYTHONPATH`` by which phasetrace's distro is found before any other."""
    (metadata,) = Path(sysconfig.get_path("purelib")).glob("phasetrace-*.dist-info")
    folder.mkdir()
    (folder / metadata.name).symlink_to(metadata)
    return str(folder)
