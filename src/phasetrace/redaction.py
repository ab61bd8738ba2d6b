"""Redaction: what of an attribute is neither stored nor sent.

A name decides over an attribute as a whole, a shape over a part of any text. The one policy in
force is asked where spans become bytes, and where exporters are handed spans as they are; never
where a span is made. Pure: a policy knows rules, names and values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from phasetrace import known_secrets
from phasetrace.attributes import faithful, text
from phasetrace.names import MODEL, RESERVED
from phasetrace.redaction_rules import Rules

MARK: Final = "[redacted]"
"""What stands in the place of what was redacted."""

# What the name of an attribute says about its value.
EXEMPT: Final = 0
"""It is as it is: traces are put together by it."""
LOOKED_AT: Final = 1
"""What of its text has the shape of a secret is redacted."""
TEXT: Final = 2
"""It is redacted, unless it is a number or a truth."""
ALL: Final = 3

_OWN: Final = "phasetrace."
_NEEDED: Final = frozenset(
    {
        *MODEL,
        "error.type",
        "exception.escaped",
        "exception.type",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.system",
        "service.instance.id",
        "service.name",
        "service.namespace",
        "service.version",
    }
)
_NEEDED_OF: Final = ("gen_ai.request.", "gen_ai.response.", "gen_ai.usage.", "otel.", "telemetry.")
"""What these begin is read by name, here and by every backend, and no name of it is redacted."""

_MAX_KEPT: Final = 4_096
_MAX_KEPT_LENGTH: Final = 256
_SHORT: Final = 64
"""Values of so many characters at most are kept like names; others seldom come again."""
_MAX_LEVELS: Final = 31
_UNLIMITED: Final = 2**62


class Redaction:
    """A policy. Thread-safe: what it keeps is one item of a dict at a time."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._names = [_wildcards(name) for name in rules.names]
        self._texts = [re.compile(expression) for expression in rules.texts]
        self._any_shape = known_secrets.any_shape() if rules.secrets else None
        self.verdicts: dict[str, int] = {}
        """Of names that were seen before; `verdict` puts them here."""
        self.clean_names: dict[str, str] = {}
        """Names, and other short texts, as they may be shown; `name` puts them here."""
        self.is_off = rules == Rules(secrets=False)
        """Nothing is redacted."""

    def verdict(self, name: object) -> int:
        """Return what the name of an attribute says about its value."""
        key = name if type(name) is str else text(name)
        known = self.verdicts.get(key)
        if known is None:
            known = self._verdict(key)
            if len(key) <= _MAX_KEPT_LENGTH:
                if len(self.verdicts) >= _MAX_KEPT:
                    self.verdicts.clear()
                self.verdicts[key] = known
        return known

    def attribute(self, name: object, value: Any) -> Any:
        """Return the value of an attribute as it may be shown: itself, if nothing is redacted.

        Never raises; a value that cannot be looked through becomes one that can.
        """
        verdict = self.verdict(name)
        if verdict == EXEMPT:
            return value
        if type(value) is str:
            if verdict != LOOKED_AT:
                return MARK
            return self.name(value) if len(value) <= _SHORT else self.text(value)
        try:
            return self._value(verdict, text(name), value, _MAX_LEVELS)
        except Exception:  # it is not what it says it is
            return self._value(verdict, text(name), faithful(value, _UNLIMITED), _MAX_LEVELS)

    def text(self, value: str) -> str:
        """Return a text without what in it has the shape of a secret."""
        shape = self._any_shape
        if shape is not None and _may_have_one(value) and shape.search(value) is not None:
            for one in known_secrets.shapes():
                value = one.sub(_without_group, value)
        for expression in self._texts:
            # What is redacted already is left alone, so that to do it again changes nothing.
            value = MARK.join(expression.sub(_without, part) for part in value.split(MARK))
        return value

    def name(self, value: str) -> str:
        """Return the name of a span or an event without the same; most come again and again."""
        known = self.clean_names.get(value)
        if known is None:
            known = self.text(value)
            if len(value) <= _MAX_KEPT_LENGTH:
                if len(self.clean_names) >= _MAX_KEPT:
                    self.clean_names.clear()
                self.clean_names[value] = known
        return known

    def attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return attributes as they may be shown; None if that is as they are."""
        shown = {name: self.attribute(name, value) for name, value in attributes.items()}
        if all(shown[name] is value for name, value in attributes.items()):
            return None
        return shown

    def _verdict(self, key: str) -> int:
        if key in RESERVED or key.startswith(_OWN):
            return EXEMPT
        if key in _NEEDED or key.startswith(_NEEDED_OF):
            return LOOKED_AT
        lower = key.lower()
        if any(name.fullmatch(lower) for name in self._names):
            return ALL
        if self.rules.secrets and known_secrets.is_secret(key):
            return ALL if known_secrets.is_secret_number(key) else TEXT
        return LOOKED_AT

    def _value(self, verdict: int, path: str, value: Any, levels: int) -> Any:
        if verdict == ALL:
            return MARK
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if verdict == TEXT:
            return MARK
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, bytes):
            plain = bytes(memoryview(value)).decode("latin-1")
            shown = self.text(plain)
            return value if shown == plain else shown.encode("latin-1", "replace")
        if not levels:
            raise RecursionError("nested too deep")
        if isinstance(value, Sequence):
            items = list(value)
            seen = [self._value(verdict, path, item, levels - 1) for item in items]
            is_same = type(value) in (list, tuple) and _are_same(seen, items)
            return value if is_same else seen
        if isinstance(value, Mapping):
            pairs = dict(value.items())
            shown_pairs = {
                name: self._value(self._inner(path, name), f"{path}.{name}", item, levels - 1)
                for name, item in pairs.items()
            }
            is_same = type(value) is dict and _are_same(shown_pairs.values(), pairs.values())
            return value if is_same else shown_pairs
        raise TypeError(f"no attribute can be a {type(value).__name__}")

    def _inner(self, path: str, name: object) -> int:
        """Return what the name of an item says, by itself or with the path to it."""
        inner = self.verdict(f"{path}.{text(name)}")
        return max(inner, LOOKED_AT, self.verdict(name))


def _may_have_one(value: str) -> bool:
    """Tell, for most short texts in a tenth of the time, that there is no secret in one."""
    return len(value) >= known_secrets.SHORTEST or "=" in value or ":" in value or " " in value


def _are_same(some: Any, others: Any) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))


def _wildcards(name: str) -> re.Pattern[str]:
    # Single stars only: two in a row would be tried against each other.
    parts = re.split(r"(\*+|\?)", name)
    return re.compile(
        "".join(
            "." if part == "?" else ".*" if part[:1] == "*" else re.escape(part) for part in parts
        ),
        re.DOTALL,
    )


def _without(found: re.Match[str]) -> str:
    return MARK if found[0] else ""


def _without_group(found: re.Match[str]) -> str:
    start, end = found.span(found.lastindex or 0)
    before, after = found.string[found.start() : start], found.string[end : found.end()]
    return f"{before}{MARK}{after}"


_in_force: Redaction = Redaction(Rules())
_is_chosen = False
_listeners: list[Callable[[], None]] = []


def in_force() -> Redaction:
    """Return the policy in force: that of `Rules` itself, until somebody has put one in force."""
    return _in_force


def put_in_force(redaction: Redaction) -> None:
    """Redact by a policy from now on; what is bytes already stays as it is."""
    global _in_force, _is_chosen
    _in_force, _is_chosen = redaction, True
    for listener in _listeners:
        listener()


def is_chosen() -> bool:
    """Tell whether somebody has put a policy in force."""
    return _is_chosen


def forget() -> None:
    """Bring the policy to what it is after an import (for tests)."""
    global _is_chosen
    put_in_force(Redaction(Rules()))
    _is_chosen = False


def on_change(listener: Callable[[], None]) -> None:
    """Call a function whenever another policy is in force, to forget what it says of values."""
    _listeners.append(listener)
