"""What is to be redacted, as a setting says it: ``secrets, *.prompt, /sk-[a-z]+/``.

What is obviously a secret is, unless the setting says ``off``; patterns come on top of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from phasetrace.backtracking import ways

SECRETS: Final = "secrets"
OFF: Final = "off"
EXPECTED: Final = (
    "secrets, off, patterns of names like *.prompt or customer_*, and /regular expressions/, with"
    " commas between"
)

_TRUE: Final = frozenset({"1", "true", "on", "yes", SECRETS})
_FALSE: Final = frozenset({"0", "false", "no", OFF})
_ITEM: Final = re.compile(r"\s*(/(?:(?s:\\.)|[^\\])*?/(?=\s*(?:,|\Z))|[^,/]*)\s*(?:,|\Z)")
_NAME: Final = re.compile(r"[^\s/\[\]]+")
_NO_NAME: Final = (
    "is no pattern of names, which has no blanks, slashes and brackets: write a regular expression"
    " between slashes"
)
_COMMA: Final = "has a comma in it: make two items of it"
_NO_TEXT: Final = "is no text: give a list of texts"
_AN_END: Final = re.compile(r"(?s:(\\.))|/(?=\s*,)")
"""A slash that would be the end of an expression, if a text said it."""
_NO_END: Final = "begins as a regular expression does and ends otherwise: put a / at its end"
_JOINED: Final = re.compile(r"(?<!\\)/\s|,\s+/")
"""What is rather the end of one expression, or the beginning of another."""
_TWO: Final = "looks like more than one item: put commas between them, and \\/ for a slash in one"
_SLOW: Final = (
    "may take for ever on a long text, for a repetition in it can match the same characters in many"
    " ways, as (a+)+, (a|ab)* and (a?){30} can: let what is repeated begin with what cannot end it,"
    " as (a+,)+ does"
)

_MOST_WAYS: Final = 1_000
_MOST_SHOWN: Final = 80


class UnreadableItemsError(ValueError):
    """Items of the setting cannot be used; the message names each, why, and what to do.

    ``rest`` is what can be redacted all the same: what the other items say, and known secrets, for
    ``off`` may not be the whole of what was meant.
    """

    def __init__(self, problems: Iterable[str], rest: Rules) -> None:
        super().__init__("; ".join(problems))
        self.rest = rest


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
        UnreadableItemsError: if items of it make no sense, or not together.
        TypeError: if it is none of these.
    """
    if isinstance(value, Rules):
        return value
    if isinstance(value, bool):
        return Rules(secrets=value)
    words: dict[str, str] = {}
    names: list[str] = []
    texts: list[str] = []
    problems: list[str] = []
    for item in _items(value) if isinstance(value, str) else _listed(value):
        if not isinstance(item, str):
            problem: str | None = _NO_TEXT
        elif len(item) > 1 and item[0] == item[-1] == "/":
            problem = _what_is_wrong(item[1:-1])
            if problem is None:
                texts.append(_AN_END.sub(lambda found: found[1] or "\\/", item[1:-1]))
        elif item.lower() in _TRUE:
            words[SECRETS], problem = item, None
        elif item.lower() in _FALSE:
            words[OFF], problem = item, None
        elif "," in item and _NAME.fullmatch(item):
            problem = _COMMA
        elif _NAME.fullmatch(item):
            names.append(item.lower())
            problem = None
        else:
            problem = _NO_NAME if item[:1] != "/" else _NO_END
        if problem is not None:
            problems.append(f"{_shown(str(item))} {problem}")
    if len(words) > 1:
        problems.append(f"{words[SECRETS]} and {words[OFF]} contradict each other: leave one away")
    some, others = tuple(dict.fromkeys(names)), tuple(dict.fromkeys(texts))
    if problems:
        raise UnreadableItemsError(problems, Rules(True, some, others))
    return Rules(OFF not in words, some, others)


def usable_rules(value: Any) -> Rules:
    """Return what can be read of a setting, and known secrets at least; never raises."""
    try:
        return read_rules(value)
    except UnreadableItemsError as error:
        return error.rest
    except (ValueError, TypeError, AttributeError):
        return Rules()


def _listed(value: Any) -> Iterator[Any]:
    """Give the items of a list, as a text would have them.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(value, (bytes, bytearray)):
        raise TypeError("bytes are no text and no list")
    return (item.strip() if isinstance(item, str) else item for item in value)


def _items(text: str) -> Iterator[str]:
    """Give what stands between the commas of a list, but for those in an expression."""
    position = 0
    while position < len(text):
        found = _ITEM.match(text, position)
        if found is None:  # what stands up to the next comma is neither a name nor an expression
            item, _, _ = text[position:].partition(",")
            position += len(item) + 1
        else:
            item, position = found[1], found.end()
        if item.strip():
            yield item.strip()


def _what_is_wrong(text: str) -> str | None:
    """Return why an expression cannot be used, and what to do; None if it can be."""
    if _JOINED.search(text):
        return _TWO
    try:
        pattern = re.compile(text)
        is_slow = ways(text) > _MOST_WAYS
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression ({error}): put a \\ before what is meant as it is"
    if pattern.fullmatch(""):
        return "matches everywhere, even where nothing is: write + in place of *, or more around it"
    return _SLOW if is_slow else None


def _shown(item: str) -> str:
    shown = item if item.isprintable() else repr(item)[1:-1]
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
