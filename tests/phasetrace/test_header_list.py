"""Headers in a variable: read as OpenTelemetry reads them, and nothing of them is told."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.util.re import parse_env_headers

from phasetrace.header_list import (
    NAMELESS,
    missing_values,
    read_header_list,
    shown_names,
    what_is_wrong,
)

HIDDEN = "hunter2"

texts = st.one_of(
    st.text(max_size=20),
    st.lists(st.text(alphabet='aB1-_=%20;,/ \t\n"é\0:', max_size=8), max_size=4).map(",".join),
    st.lists(
        st.builds("{}={}".format, st.from_regex(r"[a-zA-Z-]{1,4}"), st.text(max_size=5)), max_size=3
    ).map(" , ".join),
)


@given(texts)
def test_it_reads_what_opentelemetry_reads(text: str) -> None:
    """The same headers, and as many parts that are none as that one complains of."""
    complaints = logging.Handler()
    complained: list[str] = []
    complaints.emit = lambda record: complained.append(str(record.args))  # type: ignore[method-assign]
    logger = logging.getLogger("opentelemetry.util.re")
    logger.addHandler(complaints)
    try:
        theirs = parse_env_headers(text, liberal=True)
    finally:
        logger.removeHandler(complaints)
    ours = read_header_list(text)
    assert (ours.headers, len(ours.unread)) == (theirs, len(complained))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a=b", []),
        ("", []),
        ("a=Bearer x,b=%2C%3B", []),
        (f"a={HIDDEN};v=1", ["its value cannot be read and is not sent"]),
        (f"a=b,{HIDDEN}", ["part 2 of 2 cannot be read and is not sent"]),
        (f"a={HIDDEN}%0A", []),
        (
            f"a={HIDDEN}%0Ax,b={HIDDEN};",
            ["part 2 of 2 cannot", "part 1 of 2 holds what cannot be sent"],
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_place(text: str, wrong: list[str]) -> None:
    """And not by what it is."""
    told = what_is_wrong(text)
    assert len(told) == len(wrong)
    assert all(one.startswith(start) for one, start in zip(told, wrong, strict=True))
    assert HIDDEN not in "".join(told)


UNREAD = "its value cannot be read and is not sent; "
QUOTED = "there are quotes around the whole, which do not belong to it; take them away"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"x-api-key: {HIDDEN}", f"{UNREAD}there is a colon behind its name; expected name=value"),
        (f"Authorization : Basic {HIDDEN}==", f"{UNREAD}there is a colon behind its name"),
        (f'"x-api-key={HIDDEN}"', QUOTED),
        (f"'x-api-key={HIDDEN},a=b'", QUOTED),
        (f' "x-api-key={HIDDEN},a=b" ', QUOTED),
        (f'x-api-key="{HIDDEN}"', f"{UNREAD}there are quotes behind its =; take them away"),
        (f"authorization=Basic {HIDDEN}\n{HIDDEN}==", f"{UNREAD}there is a line break in it"),
        (f"authorization=Basic {HIDDEN}\r\n{HIDDEN}", f"{UNREAD}there is a line break in it"),
        (f"{HIDDEN}:{HIDDEN}", f"{UNREAD}expected name=value, with %2C for a comma"),
        (f"a={HIDDEN};v=1", f"{UNREAD}expected name=value"),
    ],
)
def test_the_usual_mistakes_are_recognised(text: str, told: str) -> None:
    """And nothing of what is behind the name is shown."""
    (wrong,) = what_is_wrong(text)
    assert wrong.startswith(told)
    assert HIDDEN not in wrong


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x-api-key=", "x-api-key has no value: is the variable in it set?"),
        (
            "x-api-key=,Langsmith-Project= ,a=b",
            "x-api-key and Langsmith-Project have no value: are the variables in them set?",
        ),
        (
            "authorization=Bearer%20",
            "authorization has nothing behind Bearer: is the variable in it set?",
        ),
        (
            "a=b,Authorization=basic ,x-team=",
            "x-team has no value, Authorization has nothing behind basic: are the variables in"
            " them set?",
        ),
        (f"a=b,{HIDDEN}=", "part 2 has no value: is the variable in it set?"),
        (f"a={HIDDEN}=", ""),
        ("authorization=Bearer%20x", ""),
        ("a=b", ""),
        ("", ""),
    ],
)
def test_what_has_no_value_is_told(text: str, told: str) -> None:
    """It is sent, for it is allowed; a name that may be a key is not shown."""
    assert missing_values(text) == told
    assert what_is_wrong(text) == []
    assert len(read_header_list(text).headers) == len([one for one in text.split(",") if one])


ONE = "stands in it as it is: was it in single quotes, or in a file that nobody expands?"
SOME = "stand in it as they are: were they in single quotes, or in a file that nobody expands?"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Authorization=Bearer%20$API_KEY", f"$API_KEY {ONE}"),
        ("Authorization=Bearer $API_KEY", f"$API_KEY {ONE}"),
        ("authorization=Odd-Scheme%20${api_key}", f"${{api_key}} {ONE}"),
        ("x-api-key=%API_KEY%", f"%API_KEY% {ONE}"),
        ("x-api-key=%ACCESS%", f"%ACCESS% {ONE}"),
        (f"x-api-key = $KEY ,a={HIDDEN}", f"$KEY {ONE}"),
        ("a=$A,b=${B},c=$A", f"$A and ${{B}} {SOME}"),
        (
            "x-team=,x-api-key=$KEY",
            f"x-team has no value: is the variable in it set?; $KEY {ONE}",
        ),
        (f"x-api-key=${HIDDEN}", f"$… {ONE}"),
        (f"x-api-key=%{HIDDEN}%", f"$… {ONE}"),
        (f"x-api-key={HIDDEN}$KEY", ""),
        (f"x-api-key=$KEY-{HIDDEN}", ""),
        (f"authorization=Basic me:{HIDDEN} $KEY", ""),
        (f"x-api-key=${{KEY:-{HIDDEN}}}", ""),
        ("x-api-key=$1", ""),
        ("x-api-key=$", ""),
        ("x-api-key=100%", ""),
        (f"x-api-key=${'A' * 65}", ""),
    ],
)
def test_a_variable_that_nobody_has_expanded_is_told(text: str, told: str) -> None:
    """By its name, if it is the whole of a key; not by what may be a password with a dollar."""
    assert missing_values(text) == told


@given(texts)
def test_whatever_is_there_can_be_looked_at(text: str) -> None:
    """No list is too odd to be told about."""
    assert isinstance(missing_values(text), str)
    assert all(isinstance(one, str) for one in what_is_wrong(text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x-api-key=,DD-API-KEY=,Langsmith-Project=", "x-api-key, DD-API-KEY, Langsmith-Project"),
        ("aGVsbG8gd29ybGQgaGVsbG8=", NAMELESS),
        ("qwertyuiopasdfghjklzxcvb=", NAMELESS),
        ("AbCdEfGh=", NAMELESS),
        ("a=b, C = d", "a, C"),
        (f"{HIDDEN}", NAMELESS),
        (f"{HIDDEN}==", NAMELESS),
        (f"{HIDDEN}=", NAMELESS),
        (f"{HIDDEN * 20}=x", NAMELESS),
    ],
)
def test_names_are_shown(text: str, names: str) -> None:
    """But what may be a key in base64, with its padding, is none."""
    assert shown_names(text) == names
