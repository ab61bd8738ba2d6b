"""Headers in a variable: read as OpenTelemetry reads them, and nothing of them is told."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.util.re import parse_env_headers

from phasetrace.header_list import NAMELESS, read_header_list, shown_names, what_is_wrong

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
        (f"a={HIDDEN};v=1", ["it cannot be read and is not sent"]),
        (f"a=b,{HIDDEN}", ["part 2 of 2 cannot be read and is not sent"]),
        (f"a={HIDDEN}%0A", []),
        (f"a={HIDDEN}%0Ax,b={HIDDEN};", ["part 2 of 2 cannot", "part 1 of 2 has a value that"]),
    ],
)
def test_what_is_wrong_is_told_by_its_place(text: str, wrong: list[str]) -> None:
    """And not by what it is."""
    told = what_is_wrong(text)
    assert len(told) == len(wrong)
    assert all(one.startswith(start) for one, start in zip(told, wrong, strict=True))
    assert HIDDEN not in "".join(told)


@pytest.mark.parametrize(
    ("text", "names"),
    [
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
