"""Single keys from the terminal, while something is drawn there."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from phasetrace.cli.suspension import stop_here

_SHELL_SIGNAL: Final = 128
_LEAVING: Final = ("SIGTERM", "SIGHUP", "SIGQUIT")
_STOPPING: Final = ("SIGTSTP", "SIGCONT")


class Keys:
    """Gives what is typed key by key, without showing it; the terminal is as before afterwards.

    Also when the process is ended by SIGTERM, SIGHUP or SIGQUIT, which leave by
    `SystemExit` meanwhile. Use it in the main thread. Where stdin is no terminal there are no keys.

    When the process is stopped (Ctrl-Z), `wait` first has `pause` called, which is to take away
    what is drawn, and `resume` when it goes on; after a stop that could not be seen to come, both
    are called then.
    """

    def __init__(self) -> None:
        self.pause: Callable[[], object] = _nothing
        self.resume: Callable[[], object] = _nothing
        self._saved: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._stops = self._continues = False
        self._waking = (-1, -1)

    def __enter__(self) -> Keys:
        # A signal that comes just before `select` blocks does not interrupt it, but this does.
        self._waking = reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._handle(_LEAVING, _leave)
        self._handle(_STOPPING, self._note)
        self._take_keys(save=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._give_keys_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        for end in self._waking:
            os.close(end)

    def wait(self, seconds: float) -> str:
        """Wait for a key for so long; return what was typed, empty for nothing.

        Returns at once when the process goes on after a stop, since it is time to draw again.
        """
        waking, _ = self._waking
        watched = [waking] if self._saved is None else [waking, sys.stdin.fileno()]
        ready, _, _ = select.select(watched, [], [], seconds)
        if waking in ready:
            with suppress(BlockingIOError):
                os.read(waking, 512)
        if self._stops or self._continues:
            self._stop_and_go_on()
            return ""
        if not ready or ready == [waking]:
            return ""
        typed = os.read(sys.stdin.fileno(), 64)
        if not typed:  # the terminal has gone away
            raise SystemExit(_SHELL_SIGNAL + signal.SIGHUP)
        return typed.decode(errors="replace")

    def _stop_and_go_on(self) -> None:
        was_told = self._stops
        if was_told:
            self.pause()
            self._give_keys_back()
            stop_here()
            signal.signal(signal.SIGTSTP, self._note)
        # In the background this stops the process once more, before anything is drawn.
        self._take_keys(save=was_told)
        self._stops = self._continues = False
        if not was_told:
            self.pause()
        self.resume()

    def _take_keys(self, save: bool) -> None:
        try:
            import termios
            import tty

            modes = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno())
        except Exception:  # no terminal, or no stdin; termios.error is no OSError
            self._saved = None
        else:
            if save:  # else they may be what was set here
                self._saved = modes

    def _give_keys_back(self) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._saved)

    def _handle(self, names: tuple[str, ...], handler: Any) -> None:
        """Handle signals, but those that were ignored when this was started (``nohup``)."""
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self._stops = True
        else:
            self._continues = True


def _nothing() -> None:
    return None


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_SHELL_SIGNAL + number)
