"""What a budget is, and how one is written.

A table of TOML from keys to limits: ``"plan/*:p95" = "2s"``. The key is a pattern, and a quantity
after the last colon of it (``total`` unless one is named). A pattern with a slash is that of
phases, and compared with ``node/phase``; one without is that of nodes. The names of what an
execution has as a whole (``duration``, ``cost`` …) stand for that when they stand alone, and so
does ``status``, of which the only limit is ``"ok"``. ``*``, ``?`` and ``[seq]`` mean what they mean
to `fnmatch`; ``*`` takes slashes as well, and what is written to the letter fits always.

A limit is an amount in the quantity's unit, and is kept by what is equal to it. With a plus in
front it is how much more than in the baseline there may be: a percentage of that, or an amount.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

from phasetrace.budgets.amounts import EXPECTED, Amount, Unit, parse_amount, parse_percentage
from phasetrace.budgets.figures import GROUP_QUANTITIES, WHOLE_QUANTITIES
from phasetrace.errors import ConfigError
from phasetrace.spans import PhaseKey

Severity = Literal["warn", "error"]
Scope = Literal["execution", "node", "phase"]

WARN: Final = "warn"
ERROR: Final = "error"
DEFAULT_QUANTITY: Final = "total"
STATUS: Final = "status"
"""How an execution ended: the figure is 1 if that was not well."""

_SEVERITIES: Final = (WARN, ERROR)
_FIELDS: Final = ("limit", "severity", "required")
_PLUS: Final = "+"
_WELL: Final = "ok"
_SIMILAR: Final = 0.7


class Limit(NamedTuple):
    """The most that there may be; ``text`` as it is written.

    A relative one allows a ``part`` of the baseline more than that, or an ``amount``.
    """

    text: str
    amount: Amount = 0
    is_relative: bool = False
    part: Fraction = Fraction(0)

    def at(self, baseline: Amount | None) -> Amount | None:
        """Return the most that there may be; None without the baseline that it takes."""
        if not self.is_relative:
            return self.amount
        if baseline is None:
            return None
        if isinstance(baseline, int):  # exactly, as what is compared with it is a whole number
            return int(baseline * (1 + self.part)) + int(self.amount)
        return baseline * float(1 + self.part) + self.amount


class Budget(NamedTuple):
    """A limit for a quantity of the execution, or of each node or phase that fits the pattern.

    ``required`` tells that it is an error if there is nothing to judge, and not just a warning.
    """

    key: str
    scope: Scope
    pattern: str
    quantity: str
    unit: Unit
    limit: Limit
    severity: Severity = ERROR
    required: bool = False

    def fits(self, one: PhaseKey) -> bool:
        """Tell whether a node (without a phase) or phase is meant by the pattern."""
        if (self.scope == "phase") != (one.phase is not None):
            return False
        name = name_of(one)
        return name == self.pattern or fnmatchcase(name, self.pattern)


ENDS_WELL: Final = Budget(STATUS, "execution", "", STATUS, Unit.NUMBER, Limit(_WELL), severity=WARN)
"""What every execution is judged by that is not told otherwise."""


def name_of(one: PhaseKey) -> str:
    """Return what a node or phase is called in a budget."""
    return one.node_id if one.phase is None else f"{one.node_id}/{one.phase}"


def parse_budgets(
    table: Mapping[str, Any], where: str, severity: Severity = ERROR, required: bool = False
) -> tuple[Budget, ...]:
    """Return the budgets of a table, in its order.

    `where` they are written goes into messages; `severity` and `required` are for those that do
    not say themselves.

    Raises:
        ConfigError: naming all that is wrong: the key, its value, and what is expected.
    """
    budgets, problems = [], []
    for key, value in table.items():
        try:
            budgets.append(_budget(key, value, severity, required))
        except ValueError as error:
            problems.append(f"{_quoted(key)} = {_shown(value)}: {error}")
    if problems:
        many = f"{len(problems)} budgets are" if len(problems) > 1 else "a budget is"
        raise ConfigError(f"{where}: {many} wrong: {'; '.join(problems)}")
    return tuple(budgets)


def nearest(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Return which of the known names may be meant, as the end of a message."""
    import difflib

    found = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f", did you mean {found[0]}?" if found else f", there are {', '.join(known)}"


def misspelt(key: str) -> str:
    """Return which quantity of the whole a key may be meant to be; empty for none."""
    import difflib

    found = difflib.get_close_matches(key, [*WHOLE_QUANTITIES, STATUS], 1, _SIMILAR)
    return found[0] if found else ""


def _budget(key: str, value: object, severity: Severity, required: bool) -> Budget:
    scope, pattern, quantity, unit = _target(key)
    fields: Mapping[str, Any] = value if isinstance(value, dict) else {"limit": value}
    for name in fields:
        if name not in _FIELDS:
            raise ValueError(f"unknown field {name!r}{nearest(name, _FIELDS)}")
    if "limit" not in fields:
        expected = _quoted(_WELL) if quantity == STATUS else EXPECTED[unit]
        raise ValueError(f'there is no limit; expected "…" or {{ limit = "…" }}, {expected}')
    severity = fields.get("severity", severity)
    if severity not in _SEVERITIES:
        raise ValueError(f"severity is {severity!r}; expected {' or '.join(_SEVERITIES)}")
    required = fields.get("required", required)
    if not isinstance(required, bool):
        raise ValueError(f"required is {required!r}; expected true or false")
    try:
        limit = _ok(fields["limit"]) if quantity == STATUS else _limit(fields["limit"], unit)
    except ValueError as error:
        meant = misspelt(key) if key == pattern else ""
        raise ValueError(f"{error}; did you mean {meant}?" if meant else str(error)) from None
    return Budget(key, scope, pattern, quantity, unit, limit, severity, required)


def _target(key: str) -> tuple[Scope, str, str, Unit]:
    if key in WHOLE_QUANTITIES:
        return "execution", "", key, WHOLE_QUANTITIES[key]
    if key == STATUS:
        return "execution", "", key, Unit.NUMBER
    pattern, colon, quantity = key.rpartition(":")
    if not colon:
        pattern, quantity = key, DEFAULT_QUANTITY
    if not pattern:
        raise ValueError("a pattern is missing, such as the name of a node")
    if quantity not in GROUP_QUANTITIES:
        if quantity in WHOLE_QUANTITIES or quantity == STATUS:
            raise ValueError(f"only the whole execution has {quantity!r}; write it alone")
        hint = f"; if the name has a colon in it, write {_quoted(f'{key}:{DEFAULT_QUANTITY}')}"
        known = nearest(quantity, tuple(GROUP_QUANTITIES)).rstrip("?")
        raise ValueError(f"unknown quantity {quantity!r}{known}{hint}")
    scope: Scope = "phase" if "/" in pattern else "node"
    return scope, pattern, quantity, GROUP_QUANTITIES[quantity]


def _ok(value: object) -> Limit:
    if value == _WELL:
        return ENDS_WELL.limit
    of_a_node = _quoted(f"{STATUS}:{DEFAULT_QUANTITY}")
    raise ValueError(f"expected {_quoted(_WELL)}; for a node that is called so, write {of_a_node}")


def _limit(value: object, unit: Unit) -> Limit:
    text = value.strip() if isinstance(value, str) else str(value)
    if not text.startswith(_PLUS):
        try:
            return Limit(text, parse_amount(value, unit))
        except ValueError as error:
            raise ValueError(f"{error}; or with a plus like +10%, against a baseline") from None
    more = text[1:].strip()
    if more.endswith("%"):
        return Limit(text, is_relative=True, part=parse_percentage(more) / 100)
    if unit is Unit.PART:
        raise ValueError("expected a percentage of the baseline like +10%")
    try:
        return Limit(text, parse_amount(more, unit), is_relative=True)
    except ValueError as error:
        raise ValueError(f"{error}, or a percentage, after the plus") from None


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _shown(value: object) -> str:
    """Return a value nearly as TOML has it."""
    if isinstance(value, (str, bool)):
        return _quoted(value) if isinstance(value, str) else str(value).lower()
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_shown(one)}' for key, one in value.items())} }}"
    return str(value)
