"""Test how budgets are written, and what their patterns fit."""

from __future__ import annotations

from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phasetrace.budgets.amounts import Unit
from phasetrace.budgets.budget import Budget, Limit, nearest, parse_budgets
from phasetrace.errors import ConfigError
from phasetrace.spans import PhaseKey

S = 1_000_000_000
PARTS = st.text("ab/:*?[]!", max_size=6)


def one(key: str, value: object = "2s") -> Budget:
    """Return the budget that an entry says."""
    (budget,) = parse_budgets({key: value}, "somewhere")
    return budget


@pytest.mark.parametrize(
    ("key", "scope", "pattern", "quantity"),
    [
        ("plan", "node", "plan", "total"),
        ("llm_*:p95", "node", "llm_*", "p95"),
        ("plan/draft", "phase", "plan/draft", "total"),
        ("*/draft:max", "phase", "*/draft", "max"),
        ("plan/*:self", "phase", "plan/*", "self"),
        ("duration", "execution", "", "duration"),
        ("critical_path", "execution", "", "critical_path"),
        ("duration:total", "node", "duration", "total"),
        ("agent:plan:total", "node", "agent:plan", "total"),
        ("http://x:p50", "phase", "http://x", "p50"),
    ],
)
def test_keys(key: str, scope: str, pattern: str, quantity: str) -> None:
    """A pattern of nodes or phases and a quantity; or what the whole execution has."""
    budget = one(key)
    assert (budget.scope, budget.pattern, budget.quantity) == (scope, pattern, quantity)


@pytest.mark.parametrize(
    ("key", "value", "unit", "limit"),
    [
        ("a", "2s", Unit.TIME, Limit("2s", 2 * S)),
        ("a:share", "40%", Unit.PART, Limit("40%", 0.4)),
        ("unattributed", "10%", Unit.PART, Limit("10%", 0.1)),
        ("errors", 0, Unit.NUMBER, Limit("0", 0)),
        ("cost", 0.1, Unit.MONEY, Limit("0.1", 0.1)),
        ("a", "+10%", Unit.TIME, Limit("+10%", 0, True, Fraction(1, 10))),
        ("a", "+ 500ms", Unit.TIME, Limit("+ 500ms", S // 2, True)),
        ("tokens", "+100", Unit.NUMBER, Limit("+100", 100, True)),
        ("a:share", "+5%", Unit.PART, Limit("+5%", 0, True, Fraction(1, 20))),
    ],
)
def test_limits(key: str, value: object, unit: Unit, limit: Limit) -> None:
    """Amounts in the quantity's unit, or more than the baseline."""
    budget = one(key, value)
    assert (budget.unit, budget.limit) == (unit, limit)


def test_tables() -> None:
    """Severity, and whether there has to be something that fits."""
    plain = one("a")
    assert (plain.severity, plain.required) == ("error", False)
    table = one("a", {"limit": "2s", "severity": "warn", "required": True})
    assert (table.severity, table.required) == ("warn", True)
    assert table.limit == plain.limit
    (given,) = parse_budgets({"a": "2s"}, "here", severity="warn", required=True)
    assert (given.severity, given.required) == ("warn", True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("a:totl", "2s", '"a:totl" = "2s": unknown quantity \'totl\', did you mean total'),
        ("agent:plan", "2s", 'if the name has a colon in it, write "agent:plan:total"'),
        ("a:duration", "2s", "only the whole execution has 'duration'; write it alone"),
        (":p95", "2s", "a pattern is missing"),
        ("", "2s", "a pattern is missing"),
        ("a", "soon", "expected a duration like 2s, 350ms, 1m30s or 2.5h; or with a plus"),
        ("a", 2, "the unit is missing; expected a duration"),
        ("a", "-2s", "it is negative"),
        ("a", "+soon", "expected a duration .*, or a percentage, after the plus"),
        ("a", "+-2s", "it is negative"),
        ("a", "+ten%", "expected a percentage"),
        ("a:share", "+2s", r"expected a percentage of the baseline like \+10%"),
        ("errors", 0.5, "expected a whole number"),
        ("a", {"severity": "warn"}, 'there is no limit; expected "…"'),
        ("a", {"limit": "2s", "sevrity": "warn"}, "unknown field 'sevrity', did you mean severity"),
        ("a", {"limit": "2s", "severity": "fatal"}, "severity is 'fatal'; expected warn or error"),
        ("a", {"limit": "2s", "required": "yes"}, "required is 'yes'; expected true or false"),
        ("a", {"b": "2s"}, "unknown field 'b', there are limit, severity, required"),
        ("a", [], "expected a duration"),
    ],
)
def test_bad_budgets(key: str, value: object, message: str) -> None:
    """Where it is, the key, the value, and what is expected."""
    with pytest.raises(ConfigError, match=message) as raised:
        parse_budgets({key: value}, "file.toml")
    assert str(raised.value).startswith("file.toml: a budget is wrong: ")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("status", "error", 'expected "ok"; for a node that is called so, write "status:total"'),
        ("status", "1s", 'write "status:total"'),
        ("status", {"severity": "warn"}, 'there is no limit; expected .* "ok"'),
        ("plan:status", "ok", "only the whole execution has 'status'; write it alone"),
        ("unattributd", "10%", "expected a duration like .*; did you mean unattributed?"),
        ("cots", 5, "the unit is missing; .*; did you mean cost?"),
    ],
)
def test_bad_budgets_of_the_whole(key: str, value: object, message: str) -> None:
    """What is a mistake for one is called by it."""
    with pytest.raises(ConfigError, match=message):
        parse_budgets({key: value}, "here")


def test_a_node_may_be_called_status() -> None:
    """It is limited by any of its quantities."""
    (budget,) = parse_budgets({"status:total": "1s"}, "here")
    assert (budget.scope, budget.pattern) == ("node", "status")
    (budget,) = parse_budgets({"status": "ok"}, "here")
    assert (budget.scope, budget.quantity, budget.severity) == ("execution", "status", "error")


def test_all_problems_at_once() -> None:
    """And not only the first."""
    with pytest.raises(ConfigError) as raised:
        parse_budgets({"a:x": "2s", "b": "2s", "c": "2"}, "file.toml")
    assert str(raised.value).startswith('file.toml: 2 budgets are wrong: "a:x" = "2s": ')
    assert '; "c" = "2": ' in str(raised.value)


@given(PARTS, PARTS, PARTS.filter(bool))
@example("a", "b/c", "a/b/c")
@example("a/b", "c", "a/*")
@example("tool[x]", "", "tool[x]")
def test_patterns_against_the_definition(node_id: str, phase: str, pattern: str) -> None:
    """What is written to the letter fits, and what `fnmatch` says of the whole name."""

    def fits(name: str) -> bool:
        return name == pattern or fnmatchcase(name, pattern)

    budget = one(f"{pattern}:total")
    is_of_phases = "/" in pattern
    assert budget.fits(PhaseKey(node_id, None)) == (not is_of_phases and fits(node_id))
    assert budget.fits(PhaseKey(node_id, phase)) == (is_of_phases and fits(f"{node_id}/{phase}"))


@given(st.integers(0, 10**15), st.integers(0, 1000), st.integers(0, 10**9))
def test_relative_limits_are_exact(baseline: int, thousandths: int, more: int) -> None:
    """A whole number is over a limit if it is over the exact one."""
    part: Any = Fraction(thousandths, 1000)
    assert Limit("", 0, True, part).at(baseline) == baseline * (1000 + thousandths) // 1000
    assert Limit("", more, True).at(baseline) == baseline + more
    assert Limit("", more).at(baseline) == Limit("", more).at(None) == more
    assert Limit("", 0, True, part).at(None) is None


def test_relative_limits_of_parts() -> None:
    """They are floats."""
    limit = Limit("+10%", 0, True, Fraction(1, 10)).at(0.5)
    assert limit == pytest.approx(0.55)


def test_the_nearest() -> None:
    """One that looks like it, or else all that there are."""
    assert nearest("p96", ("p95", "total")) == ", did you mean p95?"
    assert nearest("xyz", ("p95", "total")) == ", there are p95, total"
