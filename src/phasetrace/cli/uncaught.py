"""Reporting an uncaught exception as the interpreter does (CPython, ``_PyErr_PrintEx``)."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import Any, Final

_OURS: Final = "phasetrace.cli."
_MISSING: Final = object()


def report(error: BaseException) -> None:
    """Hand an exception to ``sys.excepthook``, without our own frames.

    Raises:
        SystemExit: if the hook does.
    """
    kind, trace = type(error), _without_ours(error.__traceback__)
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook: Any = getattr(sys, "excepthook", _MISSING)
    sys.audit("sys.excepthook", None if hook is _MISSING else hook, kind, error, trace)
    if hook is _MISSING:
        _write("sys.excepthook is missing\n")
        sys.__excepthook__(kind, error, trace)
        return
    try:
        hook(kind, error, trace)
    except SystemExit:
        raise
    except BaseException as fault:
        _write("Error in sys.excepthook:\n")
        fault.__traceback__ = _without_ours(fault.__traceback__)
        sys.__excepthook__(type(fault), fault, fault.__traceback__)
        _write("\nOriginal exception was:\n")
        sys.__excepthook__(kind, error, trace)


def silence() -> None:
    """Let the exception that leaves us pass without a second report."""
    hook: Any = getattr(sys, "excepthook", _MISSING)

    def say_nothing(kind: object, error: object, trace: object) -> None:
        if hook is not _MISSING:
            sys.excepthook = hook

    sys.excepthook = say_nothing


def interrupt_again() -> None:
    """Make sure that the interpreter ends by SIGINT, as it does after an uncaught interrupt.

    CPython keeps that in a flag, which every ``exec`` of a text clears (``run_eval_code_obj``), and
    imports and named tuples execute texts: so one more ends by an interrupt.
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(_OURS):
        trace = trace.tb_next
    return trace


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
