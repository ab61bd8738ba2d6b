"""Running somebody's script or module as ``__main__``, as the interpreter would.

Modules, folders and zip files go through `runpy` by the very function that ``python -m`` calls, so
that messages and tracebacks are the same. A script is compiled and executed here; the differences
that remain are in the wording of some errors (a script that is not text in its encoding).
"""

from __future__ import annotations

import builtins
import os
import runpy
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from typing import Any, Final

from phasetrace.cli.shadowing import make_room

_STDIN: Final = "-"


class CannotStart(Exception):
    """There is no such program; ``exit_code`` is the one Python would end with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def prepared(program: Sequence[str], as_module: bool) -> Callable[[], None]:
    """Set ``sys.argv``, ``sys.path`` and ``__main__`` up for a program; return what runs it.

    Raises:
        CannotStart: if there is no such script.
    """
    if as_module:
        sys.argv = ["-m", *program[1:]]  # runpy puts the file there when it has found it
        _put_first_on_path(str(Path.cwd()), instead=True)
        return _with_runpy(program[0], True)
    name = program[0]
    sys.argv = list(program)
    if name == _STDIN:
        _put_first_on_path("", instead=True)
        return _script(sys.stdin.buffer.read(), "<stdin>", None)
    path = _absolute(name)
    if _holds_modules(path):
        _put_first_on_path(path, instead=not _safe_path())
        return _with_runpy("__main__", False)
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise CannotStart(
            f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}", 2
        ) from None
    if not _safe_path():
        _put_first_on_path(str(Path(path).resolve().parent), instead=True)
    return _script(source, path, path)


def name_of(program: Sequence[str], as_module: bool) -> str:
    """Return what a program is called: a module by its name, others by their file or folder."""
    if as_module:
        return program[0]
    return Path(program[0]).stem or Path(program[0]).absolute().name or "program"


def said_by_runpy(exit_: SystemExit) -> bool:
    """Tell whether `runpy` gave up because there is no such module."""
    trace = exit_.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals is vars(runpy)


def _script(source: bytes, shown: str, path: str | None) -> Callable[[], None]:
    main = _new_main()
    compiled = path is not None and path.endswith(".pyc")
    if path is not None:
        loader = SourcelessFileLoader if compiled else SourceFileLoader
        main.__loader__ = loader("__main__", path)
        main.__file__ = path
        main.__dict__["__cached__"] = None

    def run() -> None:
        if compiled:
            code: Any = main.__loader__.get_code("__main__")  # type: ignore[union-attr]
        else:
            code = compile(source, shown, "exec", dont_inherit=True)
        exec(code, main.__dict__)  # noqa: S102

    return run


def _with_runpy(name: str, alter_argv: bool) -> Callable[[], None]:
    _new_main()

    def run() -> None:
        runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]

    return run


def _new_main() -> types.ModuleType:
    """Return a fresh ``__main__`` that stays in place when the program has ended.

    Threads, exit handlers and multiprocessing look things up in it until the very end, so it is not
    put back as `runpy.run_path` would.
    """
    main = types.ModuleType("__main__")
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _holds_modules(path: str) -> bool:
    """Tell whether a path can stand in ``sys.path``: a folder, or a zip file of whatever name."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _absolute(name: str) -> str:
    """Return a path as the interpreter shows it: absolute, and otherwise as it was written."""
    if os.path.isabs(name):  # noqa: PTH117 - pathlib would tidy the path up
        return name
    return os.path.join(os.getcwd(), name)  # noqa: PTH109, PTH118


def _safe_path() -> bool:
    """Tell whether nothing unsafe is to be on the path (``python -I``; ``-P`` since 3.11)."""
    return bool(getattr(sys.flags, "safe_path", sys.flags.isolated))


def _put_first_on_path(folder: str, instead: bool) -> None:
    """Put the program's folder where the interpreter has put ours."""
    if instead and _safe_path():
        return
    if instead and sys.path:
        sys.path[0] = folder
    else:
        sys.path.insert(0, folder)
    make_room(folder)
