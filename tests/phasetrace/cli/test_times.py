"""Test how times and durations are read from a command line."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from phasetrace.cli import times

S = 1_000_000_000
NOW = datetime(2026, 11, 23, 18, 7, 43, tzinfo=timezone.utc)
NOW_NS = int(NOW.timestamp()) * S + 5


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have local time an hour ahead of UTC, two in summer."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", "2026-11-23T17:37:43+00:00"),
        ("2h", "2026-11-23T16:07:43+00:00"),
        (" 3d ", "2026-11-20T18:07:43+00:00"),
        ("1h30m", "2026-11-23T16:37:43+00:00"),
        ("today", "2026-11-22T23:00:00+00:00"),
        ("Yesterday", "2026-11-21T23:00:00+00:00"),
        ("2026-11-20", "2026-11-19T23:00:00+00:00"),
        ("2026-07-20", "2026-07-19T22:00:00+00:00"),
        ("2026-11-20T10:30", "2026-11-20T09:30:00+00:00"),
        ("2026-11-20 10:30:15", "2026-11-20T09:30:15+00:00"),
        ("2026-11-20T10:30Z", "2026-11-20T10:30:00+00:00"),
        ("2026-11-20T10:30:00+05:30", "2026-11-20T05:00:00+00:00"),
    ],
)
def test_a_point_in_time(text: str, expected: str) -> None:
    """Local, unless it says otherwise."""
    found = times.time_before(text, NOW_NS) // S
    assert datetime.fromtimestamp(found, timezone.utc).isoformat() == expected


@pytest.mark.usefixtures("berlin")
def test_days_begin_at_midnight_when_clocks_change() -> None:
    """Yesterday began 25 hours before today, where it was that long."""
    noon_ns = int(datetime(2026, 10, 26, 12, tzinfo=timezone.utc).timestamp()) * S
    today, yesterday = (times.time_before(day, noon_ns) for day in ("today", "yesterday"))
    assert today - yesterday == 25 * 3_600 * S


def test_fractions_of_a_second() -> None:
    """To the microsecond, and a time ago to the nanosecond."""
    assert times.time_before("2026-11-20T10:30:00.123456Z", NOW_NS) % S == 123_456_000
    assert times.time_before("1ns", NOW_NS) == NOW_NS - 1


@pytest.mark.parametrize("text", ["", "tomorrow", "2", "-2h", "2026-13-01", "1w", "0001-01-01x"])
def test_what_is_no_time(text: str) -> None:
    """Is said, with what would be one."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a time such as 2h \(ago\)"):
        times.point_in_time(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+23:59", "1969-12-30", "99999d"])
def test_before_1970_is_1970(text: str) -> None:
    """So that all that there is has started since."""
    assert times.time_before(text, NOW_NS) == 0


@pytest.mark.parametrize("text", ["9999-12-31", "9999-12-31T23:59-23:59"])
def test_what_is_too_far_away_is_no_time(text: str) -> None:
    """No store could have it."""
    with pytest.raises(ValueError, match=r"64 bits|range|convert"):
        times.time_before(text, NOW_NS)


def test_a_duration() -> None:
    """As limits are written."""
    assert times.duration("1m30s") == 90 * S
    with pytest.raises(argparse.ArgumentTypeError, match="'2' is not a duration like 2s"):
        times.duration("2")
