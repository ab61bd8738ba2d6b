"""Puts phasetrace's classes where the SDK's are, in every process with this folder on its path.

Python imports a module of this name when it starts, so programs which a test starts are covered as
well. Whatever executes the SDK's module, be it an import or a test's `importlib.reload`, then finds
the names in `_OURS` taken; after a reload ours are imported anew, for they derive from the SDK's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Final

_SDK: Final = "opentelemetry.sdk.trace"
_OURS: Final = {
    "TracerProvider": ("phasetrace.provider", "TracerProvider"),
    "Tracer": ("phasetrace.tracer", "Tracer"),
    "_Span": ("phasetrace.span", "Span"),  # `Span` stays: it is what nobody may call
}


def put_ours_in_place(sdk: ModuleType) -> None:
    """Replace the SDK's classes by ours, as far as there are any."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "phasetrace":
            del sys.modules[name]
    found = {
        name: getattr(import_module(module), ours)
        for name, (module, ours) in _OURS.items()
        if find_spec(module) is not None
    }
    vars(sdk).update(found)  # all at once: ours derive from the SDK's


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        put_ours_in_place(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _SDK:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


sys.meta_path.insert(0, _Finder())
