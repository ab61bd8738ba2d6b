"""Amounts of time, parts, numbers and money, as people write them in a limit and read them."""

from __future__ import annotations

import re
from enum import Enum
from fractions import Fraction
from math import isfinite
from typing import Final

from phasetrace.rendering import human

Amount = int | float
"""Nanoseconds, a number of something (both int), a part of the whole, or money (both float)."""


class Unit(Enum):
    """What an amount is an amount of; the value is what it is called in JSON."""

    TIME = "ns"
    PART = "part"
    NUMBER = "number"
    MONEY = "money"


EXPECTED: Final = {
    Unit.TIME: "a duration like 2s, 350ms, 1m30s or 2.5h",
    Unit.PART: "a percentage like 40%",
    Unit.NUMBER: "a whole number",
    Unit.MONEY: "a number like 0.10",
}
"""How each is written."""

_UNITS_NS: Final = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_MICROSECONDS: Final = re.compile("[µμ]s")
_DECIMAL: Final = r"(?:\d+(?:\.\d+)?|\.\d+)"
_TERM: Final = re.compile(rf"\s*({_DECIMAL})\s*(ms|us|ns|[dhms])", re.ASCII)
_LONGEST_NS: Final = 2**63 - 1
_FEWEST_PERCENT: Final = 0.1


def parse_duration(text: str) -> int:
    """Return a duration in whole nanoseconds: ``2s``, ``350ms``, ``1m30s``, ``2.5h``, ``40 µs``.

    Units are d, h, m, s, ms, us (or µs) and ns; each at most once, the larger ones first.

    Raises:
        ValueError: if it is not one, or longer than 292 years.
    """
    rest = _MICROSECONDS.sub("us", text).strip()
    units = list(_UNITS_NS)
    total = Fraction(0)
    while rest:
        term = _TERM.match(rest)
        if term is None or term[2] not in units:
            raise ValueError(f"{text!r} is not {EXPECTED[Unit.TIME]}")
        units = units[units.index(term[2]) + 1 :]
        total += Fraction(term[1]) * _UNITS_NS[term[2]]
        rest = rest[term.end() :]
    if not text.strip() or total > _LONGEST_NS:
        raise ValueError(f"{text!r} is not {EXPECTED[Unit.TIME]}")
    return round(total)


def exact_duration(duration_ns: int) -> str:
    """Return a duration as `parse_duration` reads it, to the nanosecond: ``1m30s``, ``1.5ms``."""
    minutes, below_ns = divmod(duration_ns, _UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    if not below_ns:
        return text or "0s"
    smallest = "s" if text else next(u for u, ns in _UNITS_NS.items() if ns <= below_ns)
    return f"{text}{_decimal(below_ns, _UNITS_NS[smallest])}{smallest.replace('us', 'µs')}"


def parse_amount(value: object, unit: Unit) -> Amount:
    """Return what is written as the amount of a unit.

    Raises:
        ValueError: if it is something else, or negative.
    """
    unreadable = f"expected {EXPECTED[unit]}"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(unreadable)
    text = str(value).strip()
    if text.startswith("-"):
        raise ValueError(f"it is negative; {unreadable}")
    if unit is Unit.TIME:
        if not isinstance(value, str):
            raise ValueError(f"the unit is missing; {unreadable}")
        return _or_say(unreadable, text)
    if unit is Unit.PART:
        return float(parse_percentage(text, unreadable) / 100)
    if isinstance(value, str):
        if not re.fullmatch(_DECIMAL, text, re.ASCII):
            raise ValueError(unreadable)
        number = Fraction(text)
    elif isfinite(value):  # TOML has inf and nan
        number = Fraction(value)
    else:
        raise ValueError(unreadable)
    if unit is Unit.MONEY:
        return float(number)
    if number.denominator != 1:
        raise ValueError(unreadable)
    return int(number)


def parse_percentage(text: str, unreadable: str = "expected a percentage like 10%") -> Fraction:
    """Return the number before the percent sign.

    Raises:
        ValueError: with what is `unreadable`, if there is no such number.
    """
    number = re.fullmatch(rf"({_DECIMAL})\s*%", text, re.ASCII)
    if number is None:
        raise ValueError(unreadable)
    return Fraction(number[1])


def readable(amount: Amount, unit: Unit) -> str:
    """Return an amount for people: ``2.43s``, ``40.2%``, ``12,000``, ``0.0132``."""
    if unit is Unit.TIME:
        return human(int(amount))
    if unit is Unit.PART:
        return percent(amount)
    if unit is Unit.NUMBER:
        return f"{amount:,}"
    return f"{amount:,.2f}" if amount >= 100 or round(amount, 2) == amount else f"{amount:.3g}"


def percent(part: float) -> str:
    """Return a part as a percentage: ``21.5%``; what is very little is not shown as nothing."""
    number = 100 * part
    if 0 < number < _FEWEST_PERCENT:
        return f"<{_FEWEST_PERCENT}%"
    return f"{number:,.0f}%" if number >= 1000 else f"{number:.1f}%"


def _or_say(unreadable: str, text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(unreadable) from None


def _decimal(number: int, unit: int) -> str:
    """Return a number in a unit, a power of ten, with as many decimals as it takes."""
    whole, fraction = divmod(number, unit)
    if not fraction:
        return str(whole)
    return f"{whole}.{str(unit + fraction)[1:].rstrip('0')}"
