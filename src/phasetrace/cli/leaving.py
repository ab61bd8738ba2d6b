"""SIGTERM and SIGHUP as exits, so that what has been begun is put in order before."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SHELL_SIGNAL: Final = 128


@contextmanager
def signals_exit() -> Iterator[None]:
    """Have signals leave by `SystemExit` meanwhile, with the code that a shell would see.

    Not those that are ignored (``nohup``) or handled already; in another thread than the main one
    nothing is changed.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(one) == signal.SIG_DFL:
                before[one] = signal.signal(one, _leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_SHELL_SIGNAL + number)
