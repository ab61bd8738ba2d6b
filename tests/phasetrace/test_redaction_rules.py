"""A setting says what is redacted, and one that makes no sense is refused."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.errors import ConfigError
from phasetrace.redaction_rules import Rules, read_rules
from phasetrace.settings import redaction_rules, settings_from, settings_or_defaults


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
        (r"/a,b/, x ,/c\/d/,/e/f/", Rules(True, ("x",), ("a,b", r"c\/d", "e/f"))),
        (["secrets", "*.prompt", "/a,b/"], Rules(True, ("*.prompt",), ("a,b",))),
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


def test_the_error_names_variable_value_and_what_is_expected() -> None:
    """As for every setting of our own; and a call's."""
    expected = re.escape("expected secrets, off, patterns of names like *.prompt or customer_*")
    with pytest.raises(ConfigError, match=rf"^PHASETRACE_REDACT='/\(/': {expected}"):
        settings_from({"PHASETRACE_REDACT": "/(/"})
    with pytest.raises(ConfigError, match=rf"^redact='off,on': {expected}"):
        settings_from({}, redact="off,on")
    with pytest.raises(ConfigError, match=r"^PHASETRACE_REDACT="):
        redaction_rules({"PHASETRACE_REDACT": "off,on"})


def test_a_bad_value_leaves_secrets_redacted() -> None:
    """Where the program is not to fail for a setting."""
    assert settings_or_defaults({"PHASETRACE_REDACT": "off,on"}).redact == Rules()


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


EVIL = [
    *("(a+)+b", "(a*)*b", "(a|a)+b", "(a|aa)+b", "([a-z]+)*!", "(?:x+x+)+y", "(a?){40}b", "(.*)*x"),
    *("(?=(a+)+b)", "((a{1,20}){1,20})b", "(?:(a)+)+b", r"(\w+\s?)*!", "(?:a|ab|b)+c", "(a+|b)*c"),
]
HARMLESS = [
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
    started = time.perf_counter()
    for letters in ("a" * 2_000, "ab" * 1_000, "1" * 2_000, "foo" * 700):
        re.sub(text, "", letters)
    assert time.perf_counter() - started < 2.0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are none yet")
@pytest.mark.parametrize("expression", ["(?:a++)+b", "(?:(?>a+),)+b", "(?>a|ab)++c"])
def test_what_tries_one_way_only_is_taken(expression: str) -> None:
    """Possessive repetitions, and atomic groups."""
    assert read_rules(f"/{expression}/").texts == (expression,)
