"""Redaction: what of an attribute is neither stored nor sent.

A name decides over an attribute as a whole, a shape over a part of any text. The one policy in
force is asked where spans become bytes, and where exporters are handed spans as they are; never
where a span is made. Pure: a policy knows rules, names and values.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from phasetrace import known_secrets, secret_shapes, windows
from phasetrace.attributes import faithful, text
from phasetrace.names import COST, IDENTIFYING, INPUT_TOKENS, MODEL, NODE_TYPE, OUTPUT_TOKENS
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

_NEEDED: Final = frozenset(
    {
        *MODEL,
        *INPUT_TOKENS,
        *OUTPUT_TOKENS,
        *COST,
        NODE_TYPE,
        "error.type",
        "exception.escaped",
        "exception.type",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.max_tokens",
        "gen_ai.system",
        "otel.scope.name",
        "otel.scope.version",
        "otel.status_code",
        "service.instance.id",
        "service.name",
        "service.namespace",
        "service.version",
        "telemetry.distro.name",
        "telemetry.distro.version",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "telemetry.sdk.version",
    }
)
"""What is read by name, here and by every backend: by no pattern of stars only is it redacted."""

_MAX_KEPT: Final = 4_096
_MAX_KEPT_LENGTH: Final = 256
_SHORT: Final = 64
"""Values of so many characters at most are kept like names; others seldom come again."""
_MAX_LEVELS: Final = 31
_UNLIMITED: Final = 2**62
_MARKS: Final = frozenset(":=@ ")
"""What shapes have that are short."""
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_USERS: Final = ("-u", "--user")
"""Options of curl and others that have ``user:password`` behind them."""


class Redaction:
    """A policy. Thread-safe: what it keeps is one item of a dict at a time."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._names = [_wildcards(name) for name in rules.names]
        self._texts = [re.compile(expression) for expression in rules.texts]
        self.verdicts: dict[str, int] = {}
        """Of names that were seen before, and may be shown; `verdict` puts them here."""
        self.clean_names: dict[str, str] = {}
        """Names, and other short texts, as they may be shown; `name` puts them here."""

        # What was written, by `phasetrace.wire`, of what this policy has looked at. Whoever asks a
        # policy and keeps the answer does so in tables of its own: no answer outlives it.
        self.keys: dict[Any, bytes] = {}
        self.strings: dict[tuple[str, str], bytes] = {}
        self.truths: dict[tuple[str, bool], bytes] = {}
        self.before_floats: dict[str, bytes] = {}
        self.before_integers: tuple[dict[str, bytes], ...] = ({}, {}, {})
        """Of one, two and three bytes."""
        self.number_keys: dict[Any, bytes] = {}
        """Those of which numbers may be shown."""
        self.names_and_kinds: dict[str, bytes] = {}
        """Of internal spans."""
        self.is_off = rules == Rules(secrets=False)
        """Nothing is redacted."""

    def verdict(self, name: object) -> int:
        """Return what the name of an attribute says about its value."""
        key = name if type(name) is str else text(name)
        known = self.verdicts.get(key)
        if known is None:
            known = self._verdict(key)
            # PERF: who finds a name here need not ask whether it may be shown.
            if len(key) <= _MAX_KEPT_LENGTH and self.key(key) == key:
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
                return self._instead_of(text(name), value)
            if len(value) > _SHORT:
                return self.text(value)
            shown = self.name(value)
            return value if shown == value else shown
        try:
            return self._value(verdict, text(name), value, _MAX_LEVELS)
        except Exception:  # it is not what it says it is
            return self._value(verdict, text(name), faithful(value, _UNLIMITED), _MAX_LEVELS)

    def text(self, value: str) -> str:
        """Return a text without what in it has the shape of a secret."""
        if type(value) is not str:
            value = text(value)
        if self.rules.secrets:
            value = secret_shapes.without(value, MARK)
        for expression in self._texts:
            # What is redacted already is left alone, so that to do it again changes nothing.
            parts = value.split(MARK)
            value = MARK.join(windows.without(expression, part, MARK) for part in parts)
        return value

    def name(self, value: str) -> str:
        """Return the name of a span or an event without the same; most come again and again."""
        if type(value) is not str:
            value = text(value)
        known = self.clean_names.get(value)
        if known is None:
            known = self.text(value)
            if len(value) <= _MAX_KEPT_LENGTH:
                if len(self.clean_names) >= _MAX_KEPT:
                    self.clean_names.clear()
                self.clean_names[value] = known
        return known

    def key(self, key: object) -> str:
        """Return the name of an attribute as it may be shown: by shapes, like any text."""
        plain = key if type(key) is str else text(key)
        may_be_more = len(plain) >= secret_shapes.SHORTEST or not _MARKS.isdisjoint(plain)
        if not may_be_more or plain in IDENTIFYING or plain in _NEEDED:
            return plain
        return self.name(plain)

    def node_type(self, value: str | None) -> str | None:
        """Return the type of a node as it may be shown."""
        if value is None:
            return None
        shown: str = self.attribute(NODE_TYPE, value)
        return shown

    def attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return attributes as they may be shown; None if that is as they are."""
        shown: dict[str, Any] = {}
        is_same = True
        for name, value in attributes.items():
            seen = self.attribute(name, value)
            key: Any = name if name in self.verdicts else self.key(name)
            is_same = is_same and seen is value and key == name
            shown[name if is_same else _apart(key, shown)] = seen
        return None if is_same else shown

    def _verdict(self, key: str) -> int:
        if key in IDENTIFYING:
            return EXEMPT
        if self._is_named(key):
            return ALL
        if key in _NEEDED:
            return LOOKED_AT
        if self.rules.secrets and known_secrets.is_secret(key):
            return ALL if known_secrets.is_secret_number(key) else TEXT
        return LOOKED_AT

    def _is_named(self, key: str) -> bool:
        """Tell whether a pattern of the rules fits a name."""
        lower, is_needed = key.lower(), key in _NEEDED
        return any(
            pattern.fullmatch(lower) and not (is_needed and not name.strip("*?"))
            for name, pattern in zip(self.rules.names, self._names, strict=True)
        )

    def _instead_of(self, name: str, value: str) -> str:
        """Return what is shown of a text whose name is a secret's: only of an address, a part."""
        if known_secrets.may_be_address(name) and _ADDRESS.fullmatch(value):
            shown = self.text(value)
            if MARK in shown and not self._is_named(name):
                return shown
        return MARK

    def _hide_arguments(self, items: list[Any], seen: list[Any]) -> None:
        """Redact what stands behind ``--api-key`` in a list, as a command line is one."""
        for place, (option, item) in enumerate(pairwise(items), 1):
            if not (isinstance(option, str) and option[:1] == "-" and isinstance(item, str)):
                continue
            is_value = item[:1] != "-" and not item.startswith("id=")  # as of docker build
            if option[:2] == "--" and is_value and known_secrets.is_secret(option):
                seen[place] = MARK
            elif option in _USERS:
                seen[place] = self.text(f"{option} {item}")[len(option) + 1 :]

    def _value(self, verdict: int, path: str, value: Any, levels: int) -> Any:
        if verdict > LOOKED_AT and isinstance(value, str):
            return self._instead_of(path, str.__str__(value))
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
            seen = [self._item(verdict, path, item, levels - 1) for item in items]
            if self.rules.secrets:
                self._hide_arguments(items, seen)
            is_same = type(value) in (list, tuple) and _are_same(seen, items)
            return value if is_same else seen
        if isinstance(value, Mapping):
            pairs = dict(value.items())
            shown_pairs: dict[Any, Any] = {}
            for name, item in pairs.items():
                inner, path_to = self._inner(path, name), f"{path}.{text(name)}"
                seen_item = self._value(inner, path_to, item, levels - 1)
                shown_pairs[self._shown_key(name, shown_pairs)] = seen_item
            is_same = (
                type(value) is dict
                and _are_same(shown_pairs, pairs)
                and _are_same(shown_pairs.values(), pairs.values())
            )
            return value if is_same else shown_pairs
        raise TypeError(f"no attribute can be a {type(value).__name__}")

    def _item(self, verdict: int, path: str, item: Any, levels: int) -> Any:
        """Return an item of a sequence; one of two with a name in front is as a mapping's is."""
        if type(item) in (tuple, list) and len(item) == 2:
            name, value = item
            inner = self._inner(path, name) if isinstance(name, (str, bytes)) else LOOKED_AT
            if inner > LOOKED_AT:
                shown = [
                    self._value(LOOKED_AT, path, name, levels - 1),
                    self._value(inner, f"{path}.{text(name)}", value, levels - 1),
                ]
                return item if _are_same(shown, item) else shown
        return self._value(verdict, path, item, levels)

    def _shown_key(self, key: object, others: Mapping[Any, Any]) -> object:
        """Return the key of an item as it may be shown, which is none of the others."""
        plain = key if type(key) is str else text(key)
        shown = self.name(plain)
        return key if shown == plain else _apart(shown, others)

    def _inner(self, path: str, name: object) -> int:
        """Return what the name of an item says, by itself or with the path to it."""
        inner = self.verdict(f"{path}.{text(name)}")
        return max(inner, LOOKED_AT, self.verdict(name))


def _apart(key: str, others: Mapping[Any, Any]) -> str:
    """Return a key that is none of the others."""
    return f"{key} ({len(others)})" if key in others else key


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


current: Redaction = Redaction(Rules())
"""The policy in force; to be read only."""
_is_chosen = False
_listeners: list[Callable[[Redaction], None]] = []
_changing = threading.RLock()


def in_force() -> Redaction:
    """Return the policy in force: that of `Rules` itself, until somebody has put one in force."""
    return current


def put_in_force(redaction: Redaction) -> None:
    """Redact by a policy from now on; what is bytes already stays as it is."""
    global current, _is_chosen
    with _changing:
        current, _is_chosen = redaction, True
        for listener in _listeners:
            listener(redaction)


def is_chosen() -> bool:
    """Tell whether somebody has put a policy in force."""
    return _is_chosen


def forget() -> None:
    """Bring the policy to what it is after an import (for tests)."""
    global _is_chosen
    put_in_force(Redaction(Rules()))
    _is_chosen = False


def on_change(listener: Callable[[Redaction], None]) -> None:
    """Call a function with the policy in force, now and whenever it is another one.

    It must not raise, and must not put a policy in force.
    """
    with _changing:
        _listeners.append(listener)
        listener(current)
