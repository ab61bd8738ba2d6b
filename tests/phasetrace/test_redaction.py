"""A policy says of an attribute what may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace import redaction
from phasetrace.names import COST, IDENTIFYING, INPUT_TOKENS, OUTPUT_TOKENS
from phasetrace.redaction import MARK, Redaction
from phasetrace.redaction_rules import Rules, read_rules

HIDDEN = "postgres://me:hunter2@db"
SHOWN = "postgres://me:[redacted]@db"
EVERYTHING = Redaction(read_rules(["*", "/./"]))


def by(setting: str) -> Redaction:
    """Return the policy of a setting."""
    return Redaction(read_rules(setting))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "x", MARK),
        ("password", "", MARK),
        ("password", 1234, MARK),
        ("password", None, MARK),
        ("credentials", {"user": "me"}, MARK),
        ("cookies", ["a=b"], MARK),
        ("api_key", b"raw", MARK),
        ("access_token", "x", MARK),
        ("access_token", 5, 5),
        ("token", 0.25, 0.25),
        ("token", ["x", 1], MARK),
        ("url", HIDDEN, SHOWN),
        ("url", HIDDEN.encode(), SHOWN.encode()),
        ("urls", [HIDDEN, "a"], [SHOWN, "a"]),
        ("urls", (1, (HIDDEN,)), [1, [SHOWN]]),
        ("headers", {"Authorization": "x", "accept": "y"}, {"Authorization": MARK, "accept": "y"}),
        ("http", {"request": {"cookie": 1}}, {"request": {"cookie": MARK}}),
        ("api", {"key": "x", "n": 1}, {"key": MARK, "n": 1}),
        ("config", {"tokens": 5, "max_tokens": 7}, {"tokens": 5, "max_tokens": 7}),
        ("num_secrets", 3, 3),
        ("secret_santa", "bob", "bob"),
        ("url_apikey", "https://h/p?apikey=x&n=1", f"https://h/p?apikey={MARK}&n=1"),
        ("url_apikey", f"https://h/p?apikey={MARK}", f"https://h/p?apikey={MARK}"),
        ("url_apikey", "https://h/hook/x", MARK),
        ("url_apikey", "the key https://h/p?apikey=x", MARK),
        ("url_apikey", "x", MARK),
        ("url_password", 5, MARK),
        ("apikey", "https://h/p?apikey=x", MARK),
        ("url_tokens", {"api": {"token": "x"}}, {"api": {"token": MARK}}),
    ],
)
def test_an_attribute_is_redacted(name: str, value: Any, shown: Any) -> None:
    """As a whole by its name, in part by its shape, and by the names in it."""
    assert Redaction(Rules()).attribute(name, value) == shown


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["run", "--api-key", "a b", "x"], ["run", "--api-key", MARK, "x"]),
        (("--token", "x"), ["--token", MARK]),
        (["--password", "--force"], ["--password", "--force"]),
        (["--max-tokens", "5", "--no-password", "x"], ["--max-tokens", "5", "--no-password", "x"]),
        (["-u", "me:hunter22", "-u"], ["-u", f"me:{MARK}", "-u"]),
        (["--user", "1000:1000", "--secret"], ["--user", "1000:1000", "--secret"]),
        (["--secret", 5, "--secret", ["x"]], ["--secret", 5, "--secret", ["x"]]),
        (["--secret", "id=npmrc,src=.npmrc"], ["--secret", "id=npmrc,src=.npmrc"]),
        (["password", "email"], ["password", "email"]),
    ],
)
def test_a_list_of_arguments_is_redacted(arguments: Any, shown: Any) -> None:
    """What stands behind an option that is called like a secret."""
    assert Redaction(Rules()).attribute("argv", arguments) == shown
    assert by("off").attribute("argv", arguments) is arguments


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([["x-api-key", "X"], ["accept", "y"]], [["x-api-key", MARK], ["accept", "y"]]),
        ([("password", "X"), ("n", 5)], [["password", MARK], ("n", 5)]),
        ([(b"authorization", b"X"), (b"n", b"X")], [[b"authorization", MARK], (b"n", b"X")]),
        ((("a", [("api_key", 5)]),), [["a", [["api_key", MARK]]]]),
        ([("token", 5), ("max_tokens", "x"), ("token", None)], None),
        (["password", "X"], None),
        ([["password", "X", 1], ["password"]], None),
        ([("token", ["x"])], [["token", MARK]]),
        ([(HIDDEN, "X"), ("password", MARK)], [[SHOWN, "X"], ("password", MARK)]),
        ([(f"{HIDDEN}?password", "X")], [[f"{SHOWN}?password", MARK]]),
    ],
)
def test_a_list_of_pairs_is_redacted(value: Any, shown: Any) -> None:
    """As raw headers are: by the names in front, as a mapping would be."""
    assert Redaction(Rules()).attribute("rows", value) == (value if shown is None else shown)
    assert by("off").attribute("rows", value) is value


def test_a_list_of_pairs_is_redacted_by_the_users_patterns() -> None:
    """By the name in front, and by the path to it."""
    value = [("customer_name", "X"), ("prompt", "Y")]
    assert by("customer_*, llm.prompt").attribute("llm", value) == [
        ["customer_name", MARK],
        ["prompt", MARK],
    ]


def test_a_pattern_redacts_an_address_as_a_whole() -> None:
    """It says so."""
    assert by("url_*").attribute("url_apikey", "https://h/p?apikey=x") == MARK


@pytest.mark.parametrize(
    ("setting", "name", "is_shown"),
    [
        ("*.prompt", "llm.prompt", False),
        ("*.prompt", "LLM.Prompt", False),
        ("*.prompt", "prompt", True),
        ("*.prompt", "llm.prompts", True),
        ("customer_*", "customer_name", False),
        ("Customer_*", "CUSTOMER_ID", False),
        ("customer_*", "my_customer_name", True),
        ("user.?d", "user.id", False),
        ("a.b", "axb", True),
        ("off,x", "password", True),
        ("off,x", "x", False),
        ("x", "password", False),
    ],
)
def test_names_are_patterns(setting: str, name: str, is_shown: bool) -> None:
    """For the whole name, in any case, and also for numbers."""
    for value in ("text", 5, True, 0.5, None, [1]):
        assert (by(setting).attribute(name, value) == value) is is_shown


def test_names_are_patterns_for_what_is_nested() -> None:
    """By the name of an item alone, and by the path to it."""
    value = {"prompt": "p", "customer_name": "c", "n": 1}
    assert by("*.prompt,customer_*").attribute("llm", value) == {
        "prompt": MARK,
        "customer_name": MARK,
        "n": 1,
    }


def test_expressions_are_for_parts_of_texts() -> None:
    """Wherever they stand, as often as they do, in their order."""
    policy = by(r"/C-\d+/, /x/")
    assert policy.attribute("note", "for C-17, C-4711 and cx") == (
        f"for {MARK}, {MARK} and c{MARK}"
    )
    assert policy.attribute("n", ["C-1", {"a": b"\xffC-2"}]) == [MARK, {"a": b"\xff[redacted]"}]
    assert policy.text("é C-1") == f"é {MARK}"


def test_an_expression_may_fit_nothing_at_some_places() -> None:
    """A mark stands for something."""
    assert by(r"/(?=a)|b/").text("ab") == f"a{MARK}"


@pytest.mark.parametrize("expression", ["/e/", r"/\w+/", "/[^ ]/", "/redacted/"])
def test_what_is_redacted_already_is_left_alone(expression: str) -> None:
    """So that doing it twice is doing it once."""
    once = by(expression).text("the secret")
    assert by(expression).text(once) == once


@pytest.mark.parametrize("name", sorted(IDENTIFYING))
def test_what_traces_are_put_together_by_is_as_it_is(name: str) -> None:
    """Whatever somebody has redacted."""
    for value in ("postgres://me:hunter2@db", 5, ["a", "b"]):
        assert EVERYTHING.attribute(name, value) is value


@pytest.mark.parametrize(
    "name",
    [
        *INPUT_TOKENS,
        *OUTPUT_TOKENS,
        *COST,
        "gen_ai.request.max_tokens",
        "gen_ai.request.model",
        "model",
        "node_type",
        "service.name",
        "telemetry.sdk.name",
        "exception.type",
    ],
)
def test_what_is_read_by_name_keeps_its_value(name: str) -> None:
    """No pattern of stars only fits these; a secret in their text is redacted."""
    assert by("*").attribute(name, 4096) == 4096
    assert by("*").attribute(name, "gpt-4o") == "gpt-4o"
    assert by("*").attribute(name, HIDDEN) == SHOWN


@pytest.mark.parametrize(
    "name",
    ["model", "gen_ai.request.model", "gen_ai.response.text", "gen_ai.usage.cost", "otel.x"],
)
def test_a_pattern_that_is_given_wins(name: str) -> None:
    """Over everything but what traces are put together by."""
    assert by("gen_ai.*, model, otel.?").attribute(name, "private") == MARK
    assert by("gen_ai.*, model, otel.?").attribute("exec_id", "private") == "private"


@pytest.mark.parametrize(
    "name",
    ["gen_ai.request.api_key", "otel.password", "telemetry.secret", "phasetrace.password"],
)
def test_no_beginning_of_a_name_saves_a_secret(name: str) -> None:
    """Only what is read by name is spared, each by its whole name."""
    assert Redaction(Rules()).attribute(name, "hunter2") == MARK


def test_keys_are_looked_at() -> None:
    """Those of mappings, at any depth, and two that become the same stay two."""
    value = {HIDDEN: 1, "postgres://me:other@db": {HIDDEN: 2}, "n": 3}
    assert Redaction(Rules()).attribute("seen", value) == {
        SHOWN: 1,
        f"{SHOWN} (1)": {SHOWN: 2},
        "n": 3,
    }
    assert Redaction(Rules()).attribute("seen", [{_Text(HIDDEN): 1}]) == [{SHOWN: 1}]


def test_keys_of_attributes_are_looked_at() -> None:
    """Those that may have a secret in them, and two that become the same stay two."""
    policy = Redaction(Rules())
    given_ = {HIDDEN: 1, "postgres://me:other@db": 2, SHOWN: 3, "n": 4}
    for _ in range(2):
        assert policy.attributes(given_) == {SHOWN: 1, f"{SHOWN} (1)": 2, f"{SHOWN} (2)": 3, "n": 4}
        assert policy.attributes({"n": 1, "note": "x", "a" * 40: 2}) is None
    assert HIDDEN not in policy.verdicts
    assert by("off").attributes(given_) is None


def test_a_short_name_of_an_attribute_is_left_alone() -> None:
    """And so is what traces are put together by, or is read by its name."""
    policy = by("/e/")
    for name in ("note", "exec_id", "phasetrace.parent_exec_id", "gen_ai.usage.input_tokens"):
        assert policy.key(name) == name
    assert policy.key("name=e") == f"nam{MARK}={MARK}"


@pytest.mark.parametrize(
    ("setting", "shown"),
    [("secrets", f"agent {SHOWN}"), ("node_type", MARK), ("*", f"agent {SHOWN}"), ("*_type", MARK)],
)
def test_the_type_of_a_node_is_looked_at(setting: str, shown: str) -> None:
    """As any text is; where there is none, nothing is made of it."""
    assert by(setting).node_type(f"agent {HIDDEN}") == shown
    assert by(setting).attribute("node_type", f"agent {HIDDEN}") == shown
    assert by(setting).node_type(None) is None


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab é", max_size=5)
values = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text("ab."), inner), max_leaves=8
)


@given(st.dictionaries(st.text("abc._"), values))
def test_what_is_no_secret_is_the_same_object(attributes: dict[str, Any]) -> None:
    """Nothing is copied that need not be, and whoever asks sees it at once."""
    assert Redaction(Rules()).attributes(attributes) is None
    for name, value in attributes.items():
        assert Redaction(Rules()).attribute(name, value) is value


@given(st.text(), values)
def test_off_is_off(name: str, value: Any) -> None:
    """Nothing is looked at."""
    policy = by("off")
    assert policy.is_off
    assert policy.attribute(name, value) is value
    assert policy.attribute("password", HIDDEN) == HIDDEN
    assert policy.name(HIDDEN) == HIDDEN


class _Lying(Sequence[str]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        raise OSError("no")


class _Text(str):
    def __str__(self) -> str:
        return "harmless"

    def __hash__(self) -> int:
        return hash("harmless")

    def __eq__(self, other: object) -> bool:
        return other == "harmless"


class _Changing(Mapping[str, str]):
    """Says something else each time that it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter(["k"])

    def __getitem__(self, key: str) -> str:
        self.asked += 1
        return "harmless" if self.asked == 1 else HIDDEN


@pytest.mark.parametrize("value", [_Lying(), {HIDDEN}, object(), [{1, 2}], range(3)])
def test_any_value_is_looked_through(value: Any) -> None:
    """One that is not what it says, or that no attribute can be, as what it will be written as."""
    shown = Redaction(Rules()).attribute("name", value)
    assert "hunter2" not in repr(shown)


def test_what_a_value_really_is_counts() -> None:
    """Not what it says it is, and what was looked at is what is shown."""
    assert Redaction(Rules()).attribute("url", _Text(HIDDEN)) == SHOWN
    assert dict(Redaction(Rules()).attribute("url", _Changing())) == {"k": "harmless"}
    nested: Any = HIDDEN
    for _ in range(100):
        nested = [nested]
    assert "hunter2" not in repr(Redaction(Rules()).attribute("deep", nested))


def test_names_of_spans_are_looked_at() -> None:
    """For shapes only: a name is no attribute."""
    assert Redaction(Rules()).name("password") == "password"
    assert Redaction(Rules()).name(f"connect {HIDDEN}") == f"connect {SHOWN}"
    assert by("*").name("connect") == "connect"


def test_what_is_kept_of_names_is_bounded() -> None:
    """Of attributes, and of spans."""
    policy = Redaction(Rules())
    for number in range(10_000):
        policy.verdict(f"key_{number}")
        policy.name(f"name_{number}")
    policy.verdict("k" * 10_000)
    policy.name("n" * 10_000)
    assert len(policy.verdicts) <= 4_096 >= len(policy.clean_names)
    assert max(map(len, [*policy.verdicts, *policy.clean_names])) < 300


def test_a_policy_that_nobody_has_chosen_redacts_secrets() -> None:
    """Also where nothing else of phasetrace is set up."""
    assert redaction.in_force().rules == Rules()
    assert not redaction.is_chosen()
