"""Test how amounts are read and written."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.budgets.amounts import (
    Unit,
    exact_duration,
    parse_amount,
    parse_duration,
    percent,
    readable,
)

S = 1_000_000_000
UNITS = {"d": 86_400 * S, "h": 3_600 * S, "m": 60 * S, "s": S, "ms": 10**6, "us": 10**3, "ns": 1}


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("2s", 2 * S),
        ("350ms", 350_000_000),
        ("1m30s", 90 * S),
        ("2.5h", 9_000 * S),
        ("1d 2h 3m 4.5s", 93_784_500_000_000),
        (" 40 µs ", 40_000),
        ("40\u03bcs", 40_000),
        ("40us", 40_000),
        ("7ns", 7),
        (".5s", 500_000_000),
        ("0s", 0),
        ("0.1s", 100_000_000),
        ("0.3ms", 300_000),
    ],
)
def test_durations(text: str, duration_ns: int) -> None:
    """Any decimal of any unit, alone or one after another."""
    assert parse_duration(text) == duration_ns


NO_DURATIONS = (
    " |2|s|2 weeks|30s1m|1s1s|-2s|+2s|1e3s|2s.|2.s|2,5s|nan|infs|1m30|²s|٣s|9999999d|2S|1ms1s"
)


@pytest.mark.parametrize("text", ["", *NO_DURATIONS.split("|")])
def test_what_is_no_duration(text: str) -> None:
    """It is named, with what is expected."""
    with pytest.raises(ValueError, match=r"is not a duration like 2s, 350ms, 1m30s or 2\.5h"):
        parse_duration(text)


@given(st.integers(0, 2**63 - 1))
def test_what_is_written_is_read(duration_ns: int) -> None:
    """To the nanosecond."""
    assert parse_duration(exact_duration(duration_ns)) == duration_ns


@given(st.lists(st.sampled_from(list(UNITS)), min_size=1, unique=True), st.data())
def test_durations_are_sums_of_their_terms(units: list[str], data: st.DataObject) -> None:
    """By exact arithmetic, the whole rounded once."""
    terms, total = [], Fraction(0)
    for unit in sorted(units, key=list(UNITS).index):
        number = data.draw(st.decimals(0, 999, places=3))
        terms.append(f"{number}{unit}")
        total += Fraction(number) * UNITS[unit]
    assert parse_duration("".join(terms)) == round(total)


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (90 * S, "1m30s"),
        (9_000 * S, "2h30m"),
        (86_400 * S, "24h"),
        (1_500_000, "1.5ms"),
        (60 * S + 1, "1m0.000000001s"),
        (350_000, "350µs"),
        (7, "7ns"),
    ],
)
def test_durations_are_short(duration_ns: int, text: str) -> None:
    """As people would write them."""
    assert exact_duration(duration_ns) == text


@pytest.mark.parametrize(
    ("value", "unit", "amount"),
    [
        ("2s", Unit.TIME, 2 * S),
        ("40%", Unit.PART, 0.4),
        ("12.5 %", Unit.PART, 0.125),
        (0, Unit.NUMBER, 0),
        ("20000", Unit.NUMBER, 20_000),
        (1e6, Unit.NUMBER, 1_000_000),
        (0.1, Unit.MONEY, 0.1),
        ("0.10", Unit.MONEY, 0.1),
        (3, Unit.MONEY, 3.0),
    ],
)
def test_amounts(value: object, unit: Unit, amount: float) -> None:
    """As text or as the number they are; a whole number where there are no parts of one."""
    found = parse_amount(value, unit)
    assert found == amount
    assert isinstance(found, int) == (unit in (Unit.TIME, Unit.NUMBER))


@pytest.mark.parametrize(
    ("value", "unit", "message"),
    [
        (2, Unit.TIME, "the unit is missing; expected a duration"),
        ("2", Unit.TIME, "expected a duration"),
        ("40%", Unit.TIME, "expected a duration"),
        ("-2s", Unit.TIME, "it is negative; expected a duration"),
        ("2s", Unit.PART, "expected a percentage like 40%"),
        (0.4, Unit.PART, "expected a percentage"),
        (1.5, Unit.NUMBER, "expected a whole number"),
        (-1, Unit.NUMBER, "it is negative"),
        ("1/2", Unit.MONEY, "expected a number like 0.10"),
        ("$3", Unit.MONEY, "expected a number"),
        (float("nan"), Unit.MONEY, "expected a number"),
        (float("inf"), Unit.NUMBER, "expected a whole number"),
        (True, Unit.NUMBER, "expected a whole number"),
        (["2s"], Unit.TIME, "expected a duration"),
        (None, Unit.MONEY, "expected a number"),
    ],
)
def test_what_is_no_amount(value: object, unit: Unit, message: str) -> None:
    """What is expected of that unit is said."""
    with pytest.raises(ValueError, match=message):
        parse_amount(value, unit)


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (2_430_000_000, Unit.TIME, "2.43s"),
        (0.4016, Unit.PART, "40.2%"),
        (12_000, Unit.NUMBER, "12,000"),
        (0.1, Unit.MONEY, "0.10"),
        (0.01321, Unit.MONEY, "0.0132"),
        (1234.5, Unit.MONEY, "1,234.50"),
    ],
)
def test_amounts_for_people(amount: float, unit: Unit, text: str) -> None:
    """In the unit that people read."""
    assert readable(amount, unit) == text


def test_percentages_for_people() -> None:
    """A little is not nothing, and what is huge has no decimals."""
    shown = [percent(part) for part in (0, 0.000_01, 0.215, 1.5, 123.456)]
    assert shown == ["0.0%", "<0.1%", "21.5%", "150.0%", "12,346%"]
