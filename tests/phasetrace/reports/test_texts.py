"""Test what becomes of texts and numbers on their way into a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.reports.texts import LONGEST, MOST_LINES, for_page, shown, shown_lines


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("plain", "plain"),
        ("", "(no name)"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31m\x00", "\\x1b[31m\\x00"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\ud800", "\\ud800"),
        ("<b>&amp;", "<b>&amp;"),
    ],
)
def test_what_does_harm_is_spelt_out(text: str, as_shown: str) -> None:
    """Markup is not harmful here: it never becomes any."""
    assert shown(text) == as_shown


@given(st.text(min_size=LONGEST - 5, max_size=3 * LONGEST))
def test_no_text_is_longer_than_that(text: str) -> None:
    """Escapes make it longer, and count."""
    assert len(shown(text)) <= LONGEST


def test_of_a_long_text_the_middle_goes() -> None:
    """Names mostly differ at their ends."""
    text = shown("begin" + "x" * 10_000 + "end")
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "…" in text


def test_lines_stay_lines() -> None:
    """With what indents them, each as it is shown; ends of lines are none of them."""
    assert shown_lines("a:\n  b\x1b\r\n\n\tc\n") == ["a:", "  b\\x1b", "", "    c"]
    assert shown_lines(" \n") == []


@given(st.integers(1, 3 * MOST_LINES))
def test_of_many_lines_those_in_the_middle_go(number: int) -> None:
    """The last ones say most of a stack trace; how many are gone is said."""
    lines = shown_lines("\n".join(f"line {n}" for n in range(number)))
    assert len(lines) == min(number, MOST_LINES)
    assert lines[0] == "line 0"
    assert lines[-1] == f"line {number - 1}"
    gone = [line for line in lines if "more lines" in line]
    kept = len(lines) - len(gone)
    assert gone == ([f"… {number - kept:,} more lines …"] if number > MOST_LINES else [])


@pytest.mark.parametrize("number", [0, -1, 2**53 - 1, 1 - 2**53, 1.5])
def test_numbers_that_a_browser_can_keep_stay_numbers(number: float) -> None:
    """To 2^53 - 1 on both sides."""
    assert for_page({"a": [number]}) == {"a": [number]}


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**63 + 1])
def test_of_larger_numbers_no_digit_is_lost(number: int) -> None:
    """They come as texts of digits."""
    assert for_page(number) == str(number)


def test_flags_and_nothing_stay_what_they_are() -> None:
    """True is an integer in Python."""
    assert for_page([True, None]) == [True, None]
