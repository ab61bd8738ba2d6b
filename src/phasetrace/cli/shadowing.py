"""Modules next to a program that have the name of one that we have already loaded.

Started by Python, a script finds the ``queue.py`` beside it, not the standard library's. Run by us
it would find the library's, since we use that one. What the program has under such a name is
therefore taken out of ``sys.modules``; we keep what we hold.
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from typing import Final

_OURS: Final = frozenset({"phasetrace", "phasetrace_exporters", "opentelemetry", "__main__"})


def make_room(folder: str) -> None:
    """Let the modules in `folder` be found that a module of ours stands in the way of."""
    there = {module.name for module in pkgutil.iter_modules([folder or "."])}
    taken = (there & sys.modules.keys()) - _OURS - set(sys.builtin_module_names)
    if not taken:
        return
    at_start = _loaded_at_start()
    for name in taken - at_start if at_start else ():
        for module in list(sys.modules):
            if module == name or module.startswith(f"{name}."):
                del sys.modules[module]


def _loaded_at_start() -> set[str]:
    """Return the modules that this interpreter starts with.

    Which ones that are depends on what is installed (``.pth`` files), so one is asked.
    """
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    answer = subprocess.run(  # noqa: S603
        [sys.executable, *flags, "-c", "import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return set(answer.stdout.split())
