"""Test that the page's script is tested against what Python makes of durations."""

from __future__ import annotations

import json
from pathlib import Path

from phasetrace.rendering import human

KNOWN = Path(__file__).parents[3] / "report-ui" / "tests" / "durations.json"


def durations() -> list[int]:
    """Return durations of every size, and those around which something changes."""
    tens = [10**power for power in range(20)]
    units = [60 * 10**9, 3_600 * 10**9, 86_400 * 10**9, 2**53]
    around = [base * times + off for base in tens for times in (1, 5) for off in (-1, 0, 1)]
    near = [
        base * times // 1_000 + off
        for base in (*tens, *units)
        for times in (994, 999, 1_000, 1_004, 9_996)
        for off in (-1, 0, 1)
    ]
    return sorted({*around, *near, *(-one for one in near[::7])})


def test_the_durations_that_the_script_is_tested_by_are_ours() -> None:
    """``report-ui/tests/durations.json``; write it anew by what this test expects."""
    expected = [[str(one), human(one)] for one in durations()]
    assert json.loads(KNOWN.read_text("utf-8")) == expected
