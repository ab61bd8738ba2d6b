"""Expressions are looked for in long texts a piece at a time, and found as in the whole."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phasetrace import windows
from phasetrace.redaction import MARK, Redaction
from phasetrace.redaction_rules import read_rules
from phasetrace.windows import REACH, WINDOW, spans, without

atoms = st.sampled_from(
    [*("a", "b", "[ab]", ".", r"\w", r"\d", r"[^a]", "-", "(?:ab)"), *(r"\s", "1", "(?:a|b1)")]
)
repeated = st.builds(
    str.__add__, atoms, st.sampled_from(["", "", "+", "*", "?", "{2,5}", "+?", "{1,300}"])
)
edges = st.sampled_from([r"\b", r"\B", "$", r"\Z", "^", "(?=b)", "(?!a)", "(?<=a)", "(?<!b)", ""])
branches = st.lists(repeated | edges, min_size=1, max_size=4).map("".join)
expressions = st.builds(
    str.__add__,
    st.sampled_from(["", "", "(?s)", "(?m)"]),
    st.lists(branches, min_size=1, max_size=2).map(lambda some: f"(?:{'|'.join(some)})"),
).filter(lambda expression: len(re.findall(r"[+*]|300", expression)) < 2)
"""None that takes more than the square of a text's length."""
texts = st.lists(
    st.builds(
        str.__mul__, st.sampled_from(["a", "b", "ab", "1", " ", "-", "a1", "\n", "b1-"]),
        st.integers(1, 40) | st.sampled_from([255, 700, 1_023, 1_024, 1_025]),
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(expressions, texts)
@settings(max_examples=300, deadline=None)
def test_what_is_not_too_long_is_found_as_in_the_whole_text(expression: str, text: str) -> None:
    """Place by place, where no match in the whole text takes more than is promised."""
    pattern = re.compile(expression)
    text = text[: 3 * WINDOW]
    whole = [one.span() for one in pattern.finditer(text) if one[0]]
    assume(all(end - start <= REACH for start, end in whole))
    found = list(spans(pattern, text))
    assert found == whole
    assert without(pattern, text, MARK) == pattern.sub(lambda one: MARK if one[0] else "", text)


@given(expressions, st.text("ab1 -\n", max_size=60))
def test_a_short_text_is_looked_at_as_a_whole(expression: str, text: str) -> None:
    """As without windows."""
    pattern = re.compile(expression)
    assert without(pattern, text, MARK) == pattern.sub(lambda one: MARK if one[0] else "", text)


@pytest.mark.parametrize("place", [0, 5, 1_000, 1_023, 1_024, 1_025, 2_040, 2_048, 3_071, 9_000])
@pytest.mark.parametrize("length", [6, 900, REACH, 5_000])
def test_a_match_is_found_wherever_it_begins(place: int, length: int) -> None:
    """Also where a window ends in it, and one that is longer than a window."""
    text = "-" * place + "k:" + "x" * (length - 2) + "-" * 3_000
    assert list(spans(re.compile(r"k:x+"), text)) == [(place, place + length)]


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        (r"a+$", "a" * 3_000 + "!" + "a" * 9, [(3_001, 3_010)]),
        (r"a+$", "a" * 3_000, [(0, 3_000)]),
        (r"(?m)a+$", "a" * 3_000 + "!\na\n" + "b" * 3_000, [(3_002, 3_003)]),
        (r"^a+", "a" * 3_000 + "!aaa", [(0, 3_000)]),
        (r"(?m)^b", "a" * 3_000 + "b\nb", [(3_002, 3_003)]),
        (r"\ba{1,2000}\b", "a" * 3_000 + " aa", [(3_001, 3_003)]),
        (r"\ba{1,2000}", "a" * 6_000, [(0, 2_000)]),
        (r"a+(?!a|b)", "a" * 3_000 + "b" + "a" * 5, [(3_001, 3_006)]),
        (r"a{1020}(?!.{9}b)", "a" * 2_049 + "b" + "a" * 99, [(0, 1_020), (1_021, 2_041)]),
        (
            r"k:[^!]{0,900}!|k:",
            "." * 1_500 + "k:" + "a" * 600 + "!" + "." * 3_000,
            [(1_500, 2_103)],
        ),
        (r"(?<=b)a", "b" * WINDOW + "a", [(WINDOW, WINDOW + 1)]),
    ],
)
def test_the_edge_of_a_window_is_no_edge_of_the_text(
    expression: str, text: str, found: list[tuple[int, int]]
) -> None:
    """What is only there because a window ends is looked at again in the whole."""
    pattern = re.compile(expression)
    assert [one.span() for one in pattern.finditer(text)] == found
    assert list(spans(pattern, text)) == found


def test_what_needs_more_than_a_window_is_not_found() -> None:
    """Where that cannot be told from a part of it."""
    pattern = re.compile("BEGIN.*END")
    assert list(spans(pattern, "BEGIN" + "." * 5_000 + "END")) == []
    assert list(spans(pattern, "." * 3_000 + "BEGIN" + "." * 1_000 + "END")) == [(3_000, 4_008)]


def test_a_policy_looks_through_windows() -> None:
    """For the expressions of a setting, between what is redacted already."""
    policy = Redaction(read_rules(r"/C-\d+/"))
    text = f"{'.' * 3_000}C-17{MARK}{'C-2 ' * 2_000}"
    assert policy.text(text) == f"{'.' * 3_000}{MARK}{MARK}{f'{MARK} ' * 2_000}"


HOSTILE = ["a" * 65_536, "1" * 65_536, " " * 65_535 + "x", "Qa9/" * 16_384, "0f1e2d3c" * 8_192]
EVERYDAY = [
    *(r"[\w.+-]+@[\w-]+\.\w+", r"\d+-\d+", r"\b\d{13,16}\b", "[a-z]+_secret", r"\s+$", ".*secret"),
]


@pytest.mark.parametrize("expression", EVERYDAY)
def test_no_search_is_long(expression: str) -> None:
    """Each is over a window, or from one place."""
    pattern = _Timed(re.compile(expression))
    started = time.thread_time()
    for text in HOSTILE:
        without(pattern, text, MARK)  # type: ignore[arg-type]
    assert pattern.longest < 1.0
    assert time.thread_time() - started < 30.0


def test_looks_in_vain_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then what ends with a window is taken as it is: rather too much than too little."""
    monkeypatch.setattr(windows, "_MOST_IN_VAIN", 5_000)
    text = "a" * 4_000 + "!"
    assert next(spans(re.compile("a+$"), text)) == (2, 2 + WINDOW)


class _Timed:
    """An expression that says how long its longest search took."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self.longest = 0.0

    def match(self, *arguments: Any) -> Any:
        """Match from one place."""
        return self._timed(lambda: self._pattern.match(*arguments))

    def finditer(self, *arguments: Any) -> Any:
        """Search again and again."""
        matches = self._pattern.finditer(*arguments)
        while (found := self._timed(lambda: next(matches, None))) is not None:
            yield found

    def _timed(self, search: Any) -> Any:
        started = time.thread_time()
        found = search()
        self.longest = max(self.longest, time.thread_time() - started)
        return found
