"""When to try again after a failure."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
MOST_S: Final = 5.0
"""Short, so that a receiver that is back is noticed within seconds: a try costs next to nothing."""
SLOW_S: Final = 30.0
"""Where the receiver refuses whatever comes, until somebody does something about it."""
MOST_ASKED_S: Final = 300.0
"""What a receiver that asks for more gets: it may have meant milliseconds, or a date."""


class Backoff:
    """Doubles the wait with each failure in a row, and takes a random part of it off.

    The jitter keeps many programs that lost one receiver from coming back to it all at once
    ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015: "equal jitter").
    """

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._failures = 0

    def next_s(self, retry_after_s: float | None = None, is_hopeless: bool = False) -> float:
        """Return for how many seconds to wait after one more failure.

        What the receiver asks for is the least. `is_hopeless` waits longer: trying alone does not
        help.
        """
        most_s = SLOW_S if is_hopeless else MOST_S
        wait_s = min(FIRST_S * 2.0 ** min(self._failures, 30), most_s)
        self._failures += 1
        wait_s = self._uniform(wait_s / 2, wait_s)
        return max(wait_s, min(retry_after_s or 0.0, MOST_ASKED_S))

    @property
    def failures(self) -> int:
        """How many failures there have been in a row."""
        return self._failures

    def resume(self, failures: int) -> None:
        """Go on after so many failures in a row, whoever has had them."""
        self._failures = failures

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._failures = 0
