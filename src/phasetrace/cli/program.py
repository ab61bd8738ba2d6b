"""Running somebody's script or module as ``__main__``, as the interpreter would."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import runpy
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path


class CannotStart(Exception):
    """There is no such program; ``exit_code`` is the one Python would end with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def prepared(program: Sequence[str], as_module: bool) -> Callable[[], None]:
    """Set ``sys.argv``, ``sys.path`` and ``__main__`` up for a program; return what runs it.

    Raises:
        CannotStart: if there is no such script or module.
    """
    if as_module:
        return _module(program)
    script = Path(program[0])
    if script.is_dir() or script.suffix in (".zip", ".pyz"):
        sys.argv = list(program)
        return lambda: _discard(runpy.run_path(str(script), run_name="__main__"))
    return _script(script, program)


def _discard(value: object) -> None:
    del value


def _script(script: Path, program: Sequence[str]) -> Callable[[], None]:
    try:
        source = script.read_bytes()
    except OSError as error:
        raise CannotStart(
            f"can't open file {str(script.absolute())!r}: [Errno {error.errno}] {error.strerror}", 2
        ) from None
    path = str(script.absolute())
    sys.argv = list(program)
    _set_first_path(str(script.resolve().parent))
    main = _new_main(path)
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)

    def run() -> None:
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102

    return run


def _module(program: Sequence[str]) -> Callable[[], None]:
    name = program[0]
    _set_first_path(str(Path.cwd()))
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            package, spec = spec, importlib.util.find_spec(f"{name}.__main__")
            if spec is None:
                raise CannotStart(
                    f"No module named {package.name}.__main__; {name!r} is a package and cannot be "
                    "directly executed",
                    1,
                )
    except (ImportError, AttributeError, ValueError) as error:
        raise CannotStart(f"Error while finding module {name!r} ({error})", 1) from None
    if spec is None or spec.loader is None:
        raise CannotStart(f"No module named {name}", 1)
    loader, origin = spec.loader, spec.origin or name
    sys.argv = [origin, *program[1:]]
    main = _new_main(origin)
    main.__spec__, main.__package__, main.__loader__ = spec, spec.parent, loader

    def run() -> None:
        code = loader.get_code(spec.name)  # type: ignore[attr-defined]
        exec(code, main.__dict__)  # noqa: S102

    return run


def _new_main(path: str) -> types.ModuleType:
    """Return a fresh ``__main__`` that stays in place when the program has ended.

    Threads, exit handlers and multiprocessing look things up in it until the very end, so it is not
    put back as `runpy` would.
    """
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    return main


def _set_first_path(folder: str) -> None:
    if getattr(sys.flags, "safe_path", False):  # python -P, since 3.11
        return
    if sys.path and sys.path[0] in ("", os.getcwd(), os.path.dirname(sys.argv[0])):  # noqa: PTH109, PTH120 - compared as the interpreter wrote them
        sys.path[0] = folder
    else:
        sys.path.insert(0, folder)
