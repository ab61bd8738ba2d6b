"""Children of ``multiprocessing``: whether this process is one, and writing out before it ends.

A child that was forked (by the start methods fork and forkserver) ends with ``os._exit`` after
multiprocessing's own finalizers; the handlers of `atexit` do not run in it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

_AFTER_ALL_OTHERS = -100  # the queues of multiprocessing are joined at -5
_once_more: Final[list[Callable[[], None]]] = []  # multiprocessing does not keep them


def in_child(call: Callable[[], None]) -> None:
    """Call `call` if this process is a child of multiprocessing; more than once, it may be.

    Does nothing, and imports nothing, in any other process.
    """
    process: Any = sys.modules.get("multiprocessing.process")
    if process is None:
        return
    if process.parent_process() is not None:
        call()
    elif getattr(process.current_process(), "_inheriting", False):
        # The child is still importing its main module. Those that are then forked from it, by the
        # start method forkserver, forget finalizers.
        from multiprocessing import util

        call()
        _once_more.append(call)
        util.register_after_fork(call, _call)


def at_end_of_child(call: Callable[[], None]) -> None:
    """Call `call` when this process ends, if it is a child of multiprocessing; see `in_child`."""
    in_child(partial(_finalize, call))


def _call(call: Callable[[], None]) -> None:
    call()


def _finalize(call: Callable[[], None]) -> None:
    from multiprocessing import util

    util.Finalize(None, _after_threads, args=(call,), exitpriority=_AFTER_ALL_OTHERS)


def _after_threads(call: Callable[[], None]) -> None:
    """Call `call` when the other threads that the process waits for have ended."""
    here = threading.current_thread()
    others = [one for one in threading.enumerate() if one is not here and not one.daemon]
    if not others:
        call()
        return

    def wait_and_call() -> None:
        for thread in others:
            thread.join()
        call()

    # Not here: idle threads of a pool are told to end only after the finalizers have run.
    threading.Thread(target=wait_and_call, name="phasetrace-end").start()
