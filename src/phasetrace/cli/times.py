"""Points in time as people write them: ``2h`` ago, ``yesterday``, ``2026-11-20``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

EXPECTED: Final = "a time such as 2h (ago), today, yesterday, 2026-11-20 or 2026-11-20T18:30"

_NS_PER_S: Final = 1_000_000_000
_LAST_S: Final = (2**63 - 1) // _NS_PER_S - 1
_DAYS: Final = {"today": 0, "yesterday": 1}


def duration(text: str) -> int:
    """Return a duration in nanoseconds, as an argument of the command line.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    from phasetrace.budgets.amounts import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def point_in_time(text: str) -> int:
    """Return a time in Unix nanoseconds, as an argument of the command line.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    from phasetrace.clock import now_ns

    try:
        return time_before(text, now_ns())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {EXPECTED}") from None


def time_before(text: str, now_ns: int) -> int:
    """Return a time in Unix nanoseconds.

    A duration is so long before now. A date is its first moment, and a time without an offset that
    of local time; both in ISO 8601. What is before 1970 is 1970.

    Raises:
        ValueError: if it is none of them.
    """
    from datetime import datetime, timedelta

    from phasetrace.budgets.amounts import parse_duration

    text = text.strip()
    try:
        return max(0, now_ns - parse_duration(text))
    except ValueError:
        pass
    days = _DAYS.get(text.lower())
    if days is not None:
        today = datetime.fromtimestamp(now_ns // _NS_PER_S)
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return _ns(midnight - timedelta(days=days))
    # Until Python 3.11 a time in UTC cannot be written with a Z.
    return _ns(datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" else text))


def _ns(time: datetime) -> int:
    try:
        seconds = int(time.replace(microsecond=0).timestamp())
    except OverflowError as error:
        raise ValueError(str(error)) from error
    if seconds > _LAST_S:
        raise ValueError(f"{time} is further away than 64 bits of nanoseconds reach")
    return max(0, seconds * _NS_PER_S + time.microsecond * 1_000)
