"""What is to be redacted, as a setting says it: ``secrets, *.prompt, /sk-[a-z]+/``.

What is obviously a secret is, unless the setting says ``off``; patterns come on top of that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

if sys.version_info >= (3, 11):
    from re import _constants as operations
    from re import _parser as parser
else:
    import sre_constants as operations
    import sre_parse as parser

SECRETS: Final = "secrets"
OFF: Final = "off"
EXPECTED: Final = (
    "secrets, off, patterns of names like *.prompt or customer_*, and /regular expressions/ without"
    " a repetition in a repetition, with commas between"
)

_TRUE: Final = frozenset({"1", "true", "on", "yes", SECRETS})
_FALSE: Final = frozenset({"0", "false", "no", OFF})
_ITEM: Final = re.compile(r"\s*(/(?:\\.|[^\\])*?/(?=\s*(?:,|\Z))|[^,/]*)\s*(?:,|\Z)")
_NAME: Final = re.compile(r"[^\s/\[\]]+")

_REPETITIONS: Final = frozenset({operations.MAX_REPEAT, operations.MIN_REPEAT})
_FEW: Final = 10
"""So many rounds may be told apart in all ways there are, which is at most some thousand."""


class Rules(NamedTuple):
    """What is to be redacted."""

    secrets: bool = True
    """What `phasetrace.known_secrets` knows."""
    names: tuple[str, ...] = ()
    """Patterns of attributes' names, with ``*`` and ``?``; upper and lower case are the same."""
    texts: tuple[str, ...] = ()
    """Regular expressions for parts of any text."""

    def __str__(self) -> str:
        """Return the setting that says it."""
        expressions = [f"/{text}/" for text in self.texts]
        items = [SECRETS if self.secrets else OFF, *self.names, *expressions]
        return ", ".join(items)


def read_rules(value: Any) -> Rules:
    """Return the rules that a text, a list of items, True or False says.

    Raises:
        ValueError: if it makes no sense.
        TypeError: if it is none of these.
    """
    if isinstance(value, Rules):
        return value
    if isinstance(value, bool):
        return Rules(secrets=value)
    words: set[str] = set()
    names: list[str] = []
    texts: list[str] = []
    for item in _items(value) if isinstance(value, str) else map(str.strip, value):
        if len(item) > 1 and item[0] == item[-1] == "/":
            texts.append(_expression(item[1:-1]))
        elif item.lower() in _TRUE:
            words.add(SECRETS)
        elif item.lower() in _FALSE:
            words.add(OFF)
        elif _NAME.fullmatch(item):
            names.append(item.lower())
        else:
            raise ValueError(item)
    if len(words) > 1:
        raise ValueError(value)
    return Rules(OFF not in words, tuple(dict.fromkeys(names)), tuple(dict.fromkeys(texts)))


def _items(text: str) -> Iterator[str]:
    """Give what stands between the commas of a list, but for those in an expression."""
    position = 0
    while position < len(text):
        found = _ITEM.match(text, position)
        if found is None:
            raise ValueError(text[position:])
        if found[1].strip():
            yield found[1].strip()
        position = found.end()


def _expression(text: str) -> str:
    """Return a regular expression that may be used.

    Raises:
        ValueError: if it is none, fits nothing at all, or may take for ever.
    """
    try:
        pattern = re.compile(text)
        tree: Any = parser.parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(text) from error
    if pattern.fullmatch("") or _may_take_for_ever(tree):
        raise ValueError(text)
    return text


def _may_take_for_ever(tree: Iterable[Any], is_repeated: bool = False) -> bool:
    """Tell whether an expression has a repetition, or a choice, in one that goes on for long.

    As in ``(a+)+b``, for which the ways to match 30 times an ``a`` are a thousand million. The
    interpreter does nothing else while an expression is tried, in any thread, not even at Ctrl-C.
    Possessive repetitions and atomic groups try one way only.
    """
    for operation, argument in tree:
        if operation in _REPETITIONS:
            least, most, inner = argument
            if is_repeated and least != most:
                return True
            if _may_take_for_ever(inner, is_repeated or most > _FEW):
                return True
        elif operation is operations.BRANCH:
            if is_repeated and not _begin_differently(argument[1]):
                return True
            if any(_may_take_for_ever(one, is_repeated) for one in argument[1]):
                return True
        elif operation is operations.SUBPATTERN:
            if _may_take_for_ever(argument[-1], is_repeated):
                return True
        elif operation in (operations.ASSERT, operations.ASSERT_NOT):
            if _may_take_for_ever(argument[1]):
                return True
        elif operation is operations.GROUPREF_EXISTS and any(
            _may_take_for_ever(one or (), is_repeated) for one in argument[1:]
        ):
            return True
    return False


def _begin_differently(branches: Iterable[Any]) -> bool:
    """Tell whether the alternatives of a choice begin with one letter each, and another one."""
    firsts = [next(iter(one), None) for one in branches]
    if any(first is None or first[0] is not operations.LITERAL for first in firsts):
        return False
    letters = {chr(first[1]).lower() for first in firsts if first is not None}
    return len(letters) == len(firsts)
