"""In how many ways an expression matches one text, against counting them all."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.backtracking import LONGEST, ways

if sys.version_info >= (3, 11):
    from re import _constants as op
    from re import _parser as parser
else:
    import sre_constants as op
    import sre_parse as parser

_atoms = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\w", r"\s", " "])
_rounds = st.sampled_from(["?", "{2}", "{0,2}", "{1,3}", "??", "{2,3}?"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.lists(inner, min_size=2, max_size=3).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda some: f"(?:{'|'.join(some)})")
        | st.builds(lambda one, rounds: f"(?:{one}){rounds}", inner, _rounds)
    )


_expressions = st.recursive(_atoms, _larger, max_leaves=6)


def count(items: Iterable[Any], text: str, starts: Counter[int]) -> Counter[int]:
    """Return in how many ways a sequence comes from some places to others, by going each."""
    for kind, argument in items:
        starts = _count(kind, argument, text, starts)
    return starts


def _count(kind: Any, argument: Any, text: str, starts: Counter[int]) -> Counter[int]:
    ends: Counter[int] = Counter()
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, inner = argument
        for number in range(most + 1):
            if number >= least:
                ends.update(starts)
            starts = count(inner, text, starts)
    elif kind is op.BRANCH:
        for one in argument[1]:
            ends.update(count(one, text, starts))
    elif kind is op.SUBPATTERN:
        ends = count(argument[-1], text, starts)
    else:
        for place, number in starts.items():
            if place < len(text) and _is_one(kind, argument, text[place]):
                ends[place + 1] += number
    return ends


def _is_one(kind: Any, argument: Any, letter: str) -> bool:
    if kind is op.ANY:
        return letter != "\n"
    if kind is op.LITERAL:
        return bool(letter == chr(argument))
    if kind is op.NOT_LITERAL:
        return bool(letter != chr(argument))
    is_not = argument[0][0] is op.NEGATE
    members = [_is_member(member, value, letter) for member, value in argument[is_not:]]
    return is_not is not any(members)


def _is_member(kind: Any, argument: Any, letter: str) -> bool:
    if kind is op.CATEGORY:
        return letter.isspace() if argument is op.CATEGORY_SPACE else letter.isalnum()
    return bool(letter == chr(argument))


@given(_expressions, st.text("ab é", max_size=7))
def test_there_are_no_more_ways_than_are_found(expression: str, text: str) -> None:
    """To match any beginning of a text, in a repetition."""
    repeated = f"(?:{expression}){{1,4}}"
    tree: Any = parser.parse(repeated)
    most = max(count(tree, text, Counter({0: 1})).values(), default=0)
    assert most <= ways(repeated)


ONE_WAY = [
    *(r"(?:\d[ -]?){13,16}", r"\d{1,3}(?:\.\d{1,3}){3}", r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}"),
    *(r"(?:[^,]+,)+", r"[a-z]+(?:\.[a-z]+)*@", "(?:foo|bar)+", "a+b+", "(?i:[a-z]+[ -])+"),
    *(
        r"(?:[ä-ü]+ )+",
        r"(?:\w+\s)*",
        r"(a)(\1)*x",
        "(?P<n>a)(?(n)b|c)+",
        r"(?:(?=a)a|b)+",
        "^.*$y",
    ),
]
MANY_WAYS = [
    *(
        "(a+)+",
        "(a|aa)*",
        "(a?){30}",
        "(a*)*b",
        "(.*)*x",
        "([a-z]+)*!",
        "(?:x+x+)+y",
        r"(\w+\s?)*!",
    ),
    *("((a{1,20}){1,20})b", "(?:a|ab|b)+c", "(a+|b)*c", "(?=(a+)+b)", "(?<!a)(?!(a+)+b)"),
    *("(?:a+){10}", r"(?:(a*)\1)+", "(?i:a+A?)+", "(?i:k+[^!-~])+", "(?s:.+\n)+", "a?" * 30 + "b"),
    *("(|a)+", r"(?a:\w+\W?)+", "(?:[^a]+é)+", "(?P<n>a)(?(n)b+|c)+"),
]


@pytest.mark.parametrize("expression", ONE_WAY)
def test_the_next_character_chooses(expression: str) -> None:
    """There is one way only."""
    assert ways(expression) == 1


@pytest.mark.parametrize("expression", MANY_WAYS)
def test_there_may_be_many_ways(expression: str) -> None:
    """Two rounds can match what one can, or two alternatives the same."""
    assert ways(expression) > 1_000


@pytest.mark.parametrize(("expression", "number"), [(r"(\d{1,3}\.?){4}", 81), ("(a?){3}b", 8)])
def test_few_ways_are_counted(expression: str, number: int) -> None:
    """A short repetition has no more."""
    assert ways(expression) == number


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are none yet")
@pytest.mark.parametrize("expression", ["(?:a++)+b", "(?:(?>a+),)+b", "(?>a|ab)++c"])
def test_possessive_repetitions_try_one_way(expression: str) -> None:
    """And so do atomic groups."""
    assert ways(expression) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are none yet")
@pytest.mark.parametrize("expression", ["(?>(a+)+b)", "(?:(a+)+b)++", "(?:a++a?)+"])
def test_there_may_be_many_ways_inside_of_them(expression: str) -> None:
    """Until they have matched, they go back as others do."""
    assert ways(expression) > 1_000


BOUNDED = [
    *(r"(?:\d[ -]?){13,16}", r"(?:\d[ -]?){13,16}!", r"(?:\d{4}[ -]?){4}!", r"(\d{1,3}\.?){4}!"),
    *(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}!", r"(?:\w ){1,50}!"),
    *(r"(?:(?:25[0-5]|2[0-4]\d|[01]?\d\d?)\.){3}(?:25[0-5]|2[0-4]\d|[01]?\d\d?)!", "(?:a?){9}!"),
]


@pytest.mark.parametrize("expression", BOUNDED)
@pytest.mark.parametrize(
    "piece", ["1", "1 ", "1-", "1.", "12.", "a", "a ", "A1", "AA11 ", "25", "é"]
)
def test_a_bounded_repetition_takes_no_time(expression: str, piece: str) -> None:
    """On the longest texts, where it nearly fits at each place."""
    assert ways(expression) <= 1_000
    text = (piece * LONGEST)[:LONGEST]
    started = time.thread_time()
    re.sub(expression, "", text)
    assert time.thread_time() - started < 3.0
