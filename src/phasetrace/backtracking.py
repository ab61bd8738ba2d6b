r"""In how many ways a regular expression may match one and the same text.

Python's machine goes back when it fails, and tries the next way: of ``(a+)+b`` there are a
thousand million for 30 times an ``a``. Where the next character makes each choice, there is one way
only, and nothing to go back to, as for ``(?:\d[ -]?){13,16}``: behind a digit comes a blank, or a
dash, or else the next digit. Such expressions are called deterministic, or one-unambiguous
(Brüggemann-Klein and Wood: One-Unambiguous Regular Languages, 1998); here, what comes behind the
outermost repetition does not count, for it is come to once.

Sound, not exact: it may find more ways than there are, and never fewer.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, Final

if sys.version_info >= (3, 11):
    from re import _constants as op
    from re import _parser as parser
else:
    import sre_constants as op
    import sre_parse as parser

LONGEST: Final = 65_536
"""Texts are cut there, so that no repetition has more rounds."""
_FEW: Final = 10

_Letters = frozenset[str]
_BEYOND: Final = frozenset("é٣\u2003—")
"""One of each kind (letter, digit, blank, other) for all characters that are not ASCII."""
_ALL: Final = frozenset(map(chr, range(128))) | _BEYOND
_FOLDED_BEYOND: Final = frozenset("iksIKS")
"""Letters that are the same as one beyond ASCII, where upper and lower case are."""
_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: str.isdecimal,
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_WORD: lambda letter: letter.isalnum() or letter == "_",
}
_NO_CATEGORIES: Final = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
}
_REPEATS: Final = frozenset({op.MAX_REPEAT, op.MIN_REPEAT})
_POSSESSIVE: Final = getattr(op, "POSSESSIVE_REPEAT", None)
_ATOMIC: Final = getattr(op, "ATOMIC_GROUP", None)
_NOTHING: Final[_Letters] = frozenset()


def ways(expression: str) -> float:
    """Return how many ways there may be to match a text from one place, at most; may be infinite.

    Not counted is where a long repetition ends that is in no other one: that makes the time a power
    of the text's length, and a low one where there are few of them.

    Raises:
        re.error: if it is no expression.
    """
    tree: Any = parser.parse(expression)
    return _ways(tree, _NOTHING, tree.state.flags, False)


def _ways(items: Sequence[Any], after: _Letters, flags: int, is_repeated: bool) -> float:
    """Return the ways of a sequence of items behind which one of some letters comes."""
    found = 1.0
    for item in reversed(list(items)):
        found *= _ways_of(item, after, flags, is_repeated)
        first, may_be_empty = _first(item, flags)
        after = first | after if may_be_empty else first
    return found


def _ways_of(item: Any, after: _Letters, flags: int, is_repeated: bool) -> float:
    kind, argument = item
    if kind in _REPEATS:
        least, most, inner = argument
        return _rounds(least, most, inner, after, flags, is_repeated)
    if kind is op.BRANCH:
        return _choices(argument[1], after, flags, is_repeated)
    if kind is op.SUBPATTERN:
        _, added, taken, inner = argument
        return _ways(inner, after, (flags | added) & ~taken, is_repeated)
    if kind is op.GROUPREF_EXISTS:  # not the text decides
        return max(_ways(one or (), after, flags, is_repeated) for one in argument[1:])
    # Once these have matched, or not, nothing goes back into them; until then it does.
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return _inside(argument[1], flags)
    if kind is _ATOMIC:
        return _inside(argument, flags)
    if kind is _POSSESSIVE:
        return _inside(argument[2], flags)
    return 1.0


def _rounds(
    least: int,
    most: int,
    inner: Sequence[Any],
    after: _Letters,
    flags: int,
    is_repeated: bool,
) -> float:
    first, _ = _first_of(inner, flags)
    most = min(most, LONGEST)
    is_again = most > 1
    of_one = _ways(inner, after | first if is_again else after, flags, is_repeated or is_again)
    is_choice = least < most and not first.isdisjoint(after)
    is_counted = is_choice and (is_repeated or most <= _FEW)
    ends = float(most - least + 1) if is_counted else 1.0
    if of_one == 1.0:
        return ends
    try:
        return ends * of_one**most
    except OverflowError:
        return math.inf


def _choices(
    branches: Iterable[Sequence[Any]], after: _Letters, flags: int, is_repeated: bool
) -> float:
    seen: _Letters = _NOTHING
    is_choice = False
    found = []
    for one in branches:
        first, may_be_empty = _first_of(one, flags)
        first = first | after if may_be_empty else first
        is_choice = is_choice or not seen.isdisjoint(first)
        seen |= first
        found.append(_ways(one, after, flags, is_repeated))
    return sum(found) if is_choice else max(found)


def _inside(inner: Sequence[Any], flags: int) -> float:
    return _ways(inner, _NOTHING, flags, False)


def _first_of(items: Iterable[Any], flags: int) -> tuple[_Letters, bool]:
    """Return the letters that a sequence may begin with, and whether it may be empty."""
    letters: _Letters = _NOTHING
    for item in items:
        first, may_be_empty = _first(item, flags)
        letters |= first
        if not may_be_empty:
            return letters, False
    return letters, True


def _first(item: Any, flags: int) -> tuple[_Letters, bool]:
    kind, argument = item
    if kind in _REPEATS or kind is _POSSESSIVE:
        least, _, inner = argument
        first, may_be_empty = _first_of(inner, flags)
        return first, may_be_empty or not least
    if kind is op.SUBPATTERN:
        _, added, taken, inner = argument
        return _first_of(inner, (flags | added) & ~taken)
    if kind is _ATOMIC:
        return _first_of(argument, flags)
    if kind in (op.BRANCH, op.GROUPREF_EXISTS):
        branches = argument[1] if kind is op.BRANCH else [one or () for one in argument[1:]]
        firsts = [_first_of(one, flags) for one in branches]
        return reduce(frozenset.union, (first for first, _ in firsts)), any(e for _, e in firsts)
    if kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
        return _NOTHING, True
    if kind is op.GROUPREF:  # anything
        return _ALL, True
    return _letters(item, flags), False


def _letters(item: Any, flags: int) -> _Letters:
    """Return the letters that a single character's item matches."""
    kind, argument = item
    if kind is op.ANY:
        return _ALL if flags & re.DOTALL else _ALL - {"\n"}
    if kind in (op.LITERAL, op.NOT_LITERAL):
        is_not, members = kind is op.NOT_LITERAL, [(op.LITERAL, argument)]
    elif kind is op.IN:
        is_not = argument[0][0] is op.NEGATE
        members = argument[is_not:]
    else:
        return _ALL
    letters: _Letters = _NOTHING
    for member in members:
        letters |= _members(*member, flags, is_not)
    return _ALL - letters if is_not else letters


def _members(kind: Any, argument: Any, flags: int, is_excluded: bool) -> _Letters:
    """Return letters of a class: at least those that are in it; of one to be excluded, at most."""
    if kind is op.CATEGORY:
        plain = _NO_CATEGORIES.get(argument, argument)
        holds: Any = _CATEGORIES[plain]
        letters = frozenset(letter for letter in _ALL if holds(letter) is (plain is argument))
        if not flags & re.ASCII:
            return letters
        return letters - _BEYOND if is_excluded else letters | _BEYOND
    low, high = argument if kind is op.RANGE else (argument, argument)
    letters = frozenset(map(chr, range(low, min(high, 127) + 1)))
    if flags & re.IGNORECASE:
        folded = letters | frozenset(letter.swapcase() for letter in letters if letter.isalpha())
        is_beyond = high > 127 or not _FOLDED_BEYOND.isdisjoint(folded)
        letters = folded if high <= 127 or not is_excluded else letters
        if high > 127 and not is_excluded:
            letters |= frozenset("ikstIKST")  # the same as some of those
    else:
        is_beyond = high > 127
    return letters | _BEYOND if is_beyond and not is_excluded else letters
