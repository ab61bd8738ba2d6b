"""A setting says what is redacted, and one that makes no sense is refused."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.errors import ConfigError
from phasetrace.redaction_rules import Rules, UnreadableItemsError, read_rules, usable_rules
from phasetrace.settings import (
    redaction_rules,
    settings_from,
    settings_or_defaults,
    settings_with_sources,
)


@pytest.mark.parametrize(
    ("value", "rules"),
    [
        ("secrets", Rules()),
        ("Secrets ", Rules()),
        ("on", Rules()),
        (True, Rules()),
        (",", Rules()),
        ("off", Rules(False)),
        ("OFF", Rules(False)),
        ("false", Rules(False)),
        (False, Rules(False)),
        ("*.prompt", Rules(True, ("*.prompt",))),
        ("secrets, *.Prompt,customer_*", Rules(True, ("*.prompt", "customer_*"))),
        ("off, user.?", Rules(False, ("user.?",))),
        (r"/\d{3,4}-\d+/", Rules(True, (), (r"\d{3,4}-\d+",))),
        (r"/a\/ b/", Rules(True, (), (r"a\/ b",))),
        (r"/a,b/, x ,/c\/d/,/e/f/", Rules(True, ("x",), ("a,b", r"c\/d", "e/f"))),
        (["secrets", "*.prompt", "/a,b/"], Rules(True, ("*.prompt",), ("a,b",))),
        (["/a/,x/"], Rules(True, (), (r"a\/,x",))),
        ([r"/a\/,[/],\\/,x/"], Rules(True, (), (r"a\/,[/],\\\/,x",))),
        (("off", "/(?i:x)y/"), Rules(False, (), ("(?i:x)y",))),
        ("a,a,/b/,/b/", Rules(True, ("a",), ("b",))),
    ],
)
def test_rules_are_read(value: Any, rules: Rules) -> None:
    """Words, names with wildcards, and expressions, in which commas are commas."""
    assert read_rules(value) == rules


@pytest.mark.parametrize(
    "value",
    [
        *("off, secrets", "a b", "[ab]", "/open", "/(/", "/x*/", "//", "/", "a/b", "/a/ b", "x/y/"),
        *(5, [5], None, b"off", object()),
    ],
)
def test_what_makes_no_sense_is_refused(value: Any) -> None:
    """Both words at once, what is neither name nor expression, and what fits everywhere."""
    with pytest.raises((ValueError, TypeError, AttributeError)):
        read_rules(value)


@pytest.mark.parametrize(
    ("value", "shown", "why", "rest"),
    [
        (
            "*.prompt, /(/, /x/",
            "/(/",
            "is no regular expression (missing )",
            Rules(True, ("*.prompt",), ("x",)),
        ),
        ("/x*/,k", "/x*/", "matches everywhere", Rules(True, ("k",))),
        ("k, //", "//", "matches everywhere", Rules(True, ("k",))),
        ("/(a+)+b/, k", "/(a+)+b/", "may take for ever", Rules(True, ("k",))),
        ("/open, k", "/open", "put a / at its end", Rules(True, ("k",))),
        ("/a/ b, k", "/a/ b", "put a / at its end", Rules(True, ("k",))),
        ("/a/ /x/, k", "/a/ /x/", "more than one item", Rules(True, ("k",))),
        ("/open, /x/, k", "/open, /x/", "more than one item", Rules(True, ("k",))),
        ("a b,k", "a b", "is no pattern of names", Rules(True, ("k",))),
        ("k,a/b", "a/b", "is no pattern of names", Rules(True, ("k",))),
        (["[ab]", "k"], "[ab]", "is no pattern of names", Rules(True, ("k",))),
        ("off, k, a b", "a b", "is no pattern of names", Rules(True, ("k",))),
        ("off, k, on", "on and off", "leave one away", Rules(True, ("k",))),
        ("k,\x1b[1m", r"\x1b[1m", "is no pattern of names", Rules(True, ("k",))),
        (["a,b", "k"], "a,b", "has a comma in it", Rules(True, ("k",))),
        ([1, "k"], "1", "is no text", Rules(True, ("k",))),
        ([None, "k"], "None", "is no text", Rules(True, ("k",))),
        (["k", b"/x/"], "b'/x/'", "is no text", Rules(True, ("k",))),
        ("[" * 500, "[" * 80 + "…", "is no pattern of names", Rules()),
    ],
)
def test_a_bad_item_is_named_and_the_others_hold(
    value: Any, shown: str, why: str, rest: Rules
) -> None:
    """Which one, why, and what to do; known secrets stay known, whatever else was said."""
    with pytest.raises(UnreadableItemsError) as raised:
        read_rules(value)
    assert f"{shown} " in f"{raised.value} "
    assert why in str(raised.value)
    assert raised.value.rest == usable_rules(value) == rest


def test_all_bad_items_are_named() -> None:
    """In one line."""
    with pytest.raises(
        UnreadableItemsError, match=r"^/\(/ is .*; a b is .*; on and off contra[^\n]*$"
    ):
        read_rules("/(/, a b, on, off")


def test_the_error_names_the_item_and_not_the_rest() -> None:
    """Of the variable, and of a call; no backslash is doubled."""
    bad = r"*.prompt, /\d(/"
    with pytest.raises(ConfigError, match=r"^PHASETRACE_REDACT: /\\d\(/ is no [^\n*]*$"):
        settings_from({"PHASETRACE_REDACT": bad})
    with pytest.raises(ConfigError, match=r"^PHASETRACE_REDACT: /\\d\(/ is no [^\n*]*$"):
        redaction_rules({"PHASETRACE_REDACT": bad})
    with pytest.raises(ConfigError, match=r"^redact: /\\d\(/ is no [^\n*]*$"):
        settings_from({}, redact=bad)


def test_what_is_no_setting_is_told_what_is_expected() -> None:
    """As for every setting of our own."""
    with pytest.raises(ConfigError, match=r"^redact=5: expected secrets, off, patterns of names"):
        settings_from({}, redact=5)


@pytest.mark.parametrize("value", [5, [5], None, b"off", object()])
def test_what_is_no_setting_leaves_secrets_redacted(value: Any) -> None:
    """Whatever was meant."""
    assert usable_rules(value) == Rules()


def test_a_bad_item_switches_nothing_off(caplog: pytest.LogCaptureFixture) -> None:
    """Where the program is not to fail for a setting; it is told what is not in force."""
    rules = settings_or_defaults({"PHASETRACE_REDACT": "off, *.prompt, /(/, /x+y/"}).redact
    assert rules == Rules(True, ("*.prompt",), ("x+y",))
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("phasetrace: PHASETRACE_REDACT: /(/ is no regular")
    assert record.getMessage().endswith(
        "; what cannot be used is left out; all else, and known secrets, are redacted"
    )


def test_what_can_be_used_is_said_to_be_in_force() -> None:
    """And from where it is."""
    sources = settings_with_sources({"PHASETRACE_REDACT": "*.prompt, /(/"})
    (value,) = (value for value in sources.values if value.setting == "redact")
    assert (value.shown, value.source) == ("secrets, *.prompt", "PHASETRACE_REDACT")
    assert [bad.message[:23] for bad in sources.bad] == ["PHASETRACE_REDACT: /(/ "]


def test_a_call_wins() -> None:
    """Over the environment."""
    assert settings_from({"PHASETRACE_REDACT": "off"}, redact=["x.*"]).redact.names == ("x.*",)
    assert settings_from({"PHASETRACE_REDACT": "off"}).redact == Rules(False)
    assert settings_from({}).redact == Rules()


names = st.text("abc.*?_-", min_size=1).filter(lambda name: name != "on")
expressions = st.sampled_from([r"\d{2,3}", "a,b", r"x\/y", "[,]", "a/,?b", r"\\", "é+", "(?:a|b)c"])


@given(st.booleans(), st.lists(names, unique=True), st.lists(expressions, unique=True))
def test_rules_are_told_as_they_are_read(secrets: bool, some: list[str], others: list[str]) -> None:
    """So that another process can be told."""
    rules = Rules(secrets, tuple(some), tuple(others))
    if not any("/," in one for one in others):  # an expression would end there
        assert read_rules(str(rules)) == rules
    assert read_rules(rules) is rules


pieces = st.sampled_from(
    ["/", ",", " ", "a", "b", r"\/", r"\\", "[/,]", "[,]", "\n", "*", ".", "é", "secrets", "off"]
)
items = st.lists(pieces, max_size=8).map("".join)
an_expression = items.map(lambda inside: f"/{inside}/")


@given(st.lists(items | an_expression, max_size=4) | items | an_expression)
def test_what_was_read_is_told_so_that_it_is_read_again(value: Any) -> None:
    """Whatever was said; a delivering process gets the text."""
    try:
        rules = read_rules(value)
    except ValueError:
        rules = usable_rules(value)
    assert read_rules(str(rules)) == rules


EVIL = [
    *("(a+)+b", "(a*)*b", "(a|a)+b", "(a|aa)+b", "([a-z]+)*!", "(?:x+x+)+y", "(a?){40}b", "(.*)*x"),
    *("(?=(a+)+b)", "((a{1,20}){1,20})b", "(?:(a)+)+b", r"(\w+\s?)*!", "(?:a|ab|b)+c", "(a+|b)*c"),
]
HARMLESS = [
    *(r"(?:\d[ -]?){13,16}", r"(?:[\w-]+\.)+\w+", r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}"),
    *(r"\d{1,3}(?:\.\d{1,3}){3}", "a+b+", "[a-z]+@[a-z.]+", "(?:foo|bar)+", r"(?:\d{4}[ -]?){4}"),
    *("x(?:ab)+y", "(?i:kunde)-[0-9]{4,}", "^.*$y", "(a|b)+", "(?P<n>a)(?(n)b|c)", "(?<=a)b+"),
]


@pytest.mark.parametrize("expression", EVIL)
def test_an_expression_that_may_take_for_ever_is_refused(expression: str) -> None:
    """The whole program would stand still for as long."""
    with pytest.raises(ValueError, match=re.escape(expression)):
        read_rules(f"/{expression}/")


@pytest.mark.parametrize("expression", HARMLESS)
def test_usual_expressions_are_taken(expression: str) -> None:
    """And take no time on what makes others explode."""
    (text,) = read_rules(f"/{expression}/").texts
    started = time.thread_time()
    for letters in ("a" * 2_000, "ab" * 1_000, "1" * 2_000, "foo" * 700, "1 " * 1_000):
        re.sub(text, "", letters)
    assert time.thread_time() - started < 2.0
