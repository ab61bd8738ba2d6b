"""Faults of phasetrace itself: counted, said once, never raised into the measured program."""

from __future__ import annotations

import logging
import threading

from phasetrace.hiding import NONE, Secrets, hide
from phasetrace.variables import redacted

logger = logging.getLogger("phasetrace")

# Reentrant: a signal handler or a finalizer may meet a fault while its own thread reports one.
_lock = threading.RLock()
_counts: dict[str, int] = {}  # guarded by _lock


def report(where: str, error: BaseException | None = None, secrets: Secrets = NONE) -> None:
    """Count a fault at `where`, and log it the first time; `secrets` are not in what is logged.

    Safe to call from any thread and from an ``except`` block; never raises.
    """
    with _lock:
        _counts[where] = seen = _counts.get(where, 0) + 1
    if seen == 1:
        reason = f": {hide(_reason(error), secrets)}" if error is not None else ""
        logger.warning("phasetrace: %s%s (further ones are only counted)", where, reason)


def tell(what: str) -> None:
    """Log, the first time, what is wrong with the settings. Thread-safe; never raises."""
    with _lock:
        _counts[what] = seen = _counts.get(what, 0) + 1
    if seen == 1:
        logger.warning("phasetrace: %s", what)


def counts() -> dict[str, int]:
    """Return how often each fault happened in this process."""
    with _lock:
        return dict(_counts)


def forget() -> None:
    """Forget all faults, and say them anew."""
    with _lock:
        _counts.clear()


def after_fork() -> None:
    """Start afresh in a forked child, whose lock may be held by a thread that it does not have."""
    global _lock
    _lock = threading.RLock()
    _counts.clear()


def _reason(error: BaseException) -> str:
    try:
        return redacted(f"{type(error).__name__}: {error}")
    except Exception:  # the message of a hostile exception
        return type(error).__name__
