"""Single keys from the terminal, while something is drawn there."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from types import FrameType
from typing import Any, Final

_SHELL_SIGNAL: Final = 128


class Keys:
    """Gives what is typed key by key, without showing it; the terminal is as before afterwards.

    Also when the process is ended by SIGTERM or SIGHUP, which leave by `SystemExit` meanwhile. Use
    it in the main thread. Where stdin is no terminal there are no keys.
    """

    def __init__(self) -> None:
        self._saved: list[Any] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Keys:
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _leave)
        try:
            import termios
            import tty

            self._saved = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno())
        except (ImportError, OSError, ValueError, AttributeError):  # no terminal, or no stdin
            self._saved = None
        except Exception:  # termios.error, which is no OSError
            self._saved = None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._saved)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> str:
        """Wait for a key for so long; return what was typed, empty for nothing."""
        if self._saved is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return ""
        typed = os.read(sys.stdin.fileno(), 64)
        if not typed:  # the terminal has gone away
            raise SystemExit(_SHELL_SIGNAL + signal.SIGHUP)
        return typed.decode(errors="replace")


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_SHELL_SIGNAL + number)
