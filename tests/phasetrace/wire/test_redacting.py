"""Messages of spans are without what is not to leave the process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from phasetrace import redaction
from phasetrace.redaction import MARK, Redaction
from phasetrace.redaction_rules import Rules, read_rules
from phasetrace.wire import encode, encode_readable, frame
from phasetrace.wire.decoding import decode_span
from tests.phasetrace.secrets_of_all_kinds import Written, secrets, surroundings
from tests.phasetrace.wire.strategies import official, span_with, spans

HIDDEN = "postgres://me:hunter2@db"
SHOWN = "postgres://me:[redacted]@db"
CONTEXT = SpanContext(3, 4, is_remote=False)
everyday = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def _secrets_are_redacted(_nothing_is_redacted: None) -> Iterator[None]:
    redaction.put_in_force(Redaction(Rules()))
    yield


def read(span: ReadableSpan) -> ReadableSpan:
    """Return what a span's message says."""
    return decode_span(encode_readable(span), span.resource, span.instrumentation_scope)


def shown(**attributes: Any) -> dict[str, Any]:
    """Return what is written of some attributes."""
    return dict(read(span_with(attributes=attributes)).attributes or {})


def test_every_part_of_a_span_is_redacted() -> None:
    """Attributes of the span, its events, links, resource and scope; status and names."""
    attributes: dict[str, Any] = {"password": "hunter2", "url": HIDDEN, "n": 1}
    span = span_with(
        name=f"connect {HIDDEN}",
        resource=Resource(attributes),
        instrumentation_scope=InstrumentationScope("scope", attributes=attributes),
        attributes=attributes,
        events=[
            Event(f"event {HIDDEN}", attributes, 5),
            Event("exception", {"exception.message": HIDDEN, "exception.stacktrace": HIDDEN}, 6),
        ],
        links=[Link(CONTEXT, attributes)],
        status=Status(StatusCode.ERROR, f"no {HIDDEN}"),
    )
    (message,) = encode([span])
    assert message is not None
    assert b"hunter2" not in frame([message])
    found = read(span)
    expected: dict[str, Any] = {"password": MARK, "url": SHOWN, "n": 1}
    assert found.name == f"connect {SHOWN}"
    assert found.attributes == found.links[0].attributes == found.events[0].attributes == expected
    assert found.events[0].name == f"event {SHOWN}"
    assert found.status.description == f"no {SHOWN}"
    assert message.resource == official(span_with(resource=Resource(expected))).resource


@everyday
@given(written=secrets, before=surroundings, after=surroundings, where=st.integers(0, 7))
def test_no_secret_survives_in_the_bytes(
    written: Written, before: str, after: str, where: int
) -> None:
    """Of any known shape, whatever surrounds it, in any part of a span; also the second time."""
    text = before + written.text + after
    assume(text.count(written.secret) == 1)
    fields: list[dict[str, Any]] = [
        {"name": text},
        {"attributes": {"note": text}},
        {"attributes": {"deep": [{"note": text.encode()}]}},
        {"attributes": {"deep": {text: 1}}},
        {"events": [Event("exception", {"exception.message": text}, 1)]},
        {"links": [Link(CONTEXT, {"note": text})]},
        {"resource": Resource({"note": text})},
        {"status": Status(StatusCode.ERROR, text)},
    ]
    for _ in range(2):
        (message,) = encode([span_with(**fields[where])])
        assert message is not None
        assert written.secret.encode() not in frame([message])


@everyday
@given(span=spans)
def test_what_is_no_secret_is_the_official_message(span: ReadableSpan) -> None:
    """As long as nothing in it is redacted."""
    policy = redaction.in_force()
    parts: list[Any] = [span, *span.events, *span.links]
    for part in parts:
        assume(policy.attributes(part.attributes or {}) is None)
    assert SpanMessage.FromString(encode_readable(span)) == SpanMessage.FromString(
        official(span).span
    )


NUMBERS = [0, 1, 127, 128, 2**14, 2**21, 2**40, -1, 2**63 - 1, 2**70, 0.5, True, False, None]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_redacted_by_its_name(number: Any) -> None:
    """Whether the name was seen before or not, with and without a text, and what is around it."""
    for _ in range(2):
        assert shown(a=1, passwd=number, b="x", pin=number, passphrase=3, c=2) == {
            "a": 1,
            "passwd": MARK,
            "b": "x",
            "pin": str(number) if number == 2**70 else number,
            "passphrase": MARK,
            "c": 2,
        }


def test_counts_of_tokens_are_never_redacted() -> None:
    """What models take is asked for by everybody."""
    attributes = {
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.request.max_tokens": 4096,
        "token_count": 7,
        "time_to_first_token": 0.25,
        "token": 3,
    }
    assert shown(**attributes) == attributes
    redaction.put_in_force(Redaction(read_rules("*")))
    assert list(shown(**attributes).values()) == [5, 4096, MARK, MARK, MARK]


def test_another_policy_is_followed_at_once() -> None:
    """Whatever was written, and kept, under the one before."""
    attributes = {"note": "C-17", "n": 5, "large": 2**40, "r": 0.5, "flag": True}
    assert shown(**attributes) == attributes
    redaction.put_in_force(Redaction(read_rules(r"n,large,r,flag,/C-\d+/")))
    assert set(shown(**attributes).values()) == {MARK}
    assert read(span_with(name="C-17")).name == MARK
    redaction.put_in_force(Redaction(read_rules("off")))
    assert shown(**attributes) == attributes
    assert read(span_with(name="C-17")).name == "C-17"


def test_ids_are_as_they_are() -> None:
    """Or traces would fall apart."""
    redaction.put_in_force(Redaction(read_rules(["*", "/./"])))
    attributes = {"exec_id": HIDDEN, "node_id": HIDDEN, "depends_on": ("a", HIDDEN), "iteration": 3}
    assert shown(**attributes) == attributes


def test_a_long_value_does_not_take_long() -> None:
    """Ten million characters."""
    started = time.perf_counter()
    message = encode_readable(span_with(attributes={"text": "a quick brown fox " * 555_555}))
    assert len(message) > 9_999_000
    assert time.perf_counter() - started < 2.0


@pytest.mark.parametrize(
    ("asked", "setting", "changes"),
    [
        ("attribute", "customer", {"attributes": {"customer": "alice"}}),
        ("verdict", "customer", {"attributes": {"customer": 5}}),
        ("verdict", "customer", {"attributes": {"customer": 500}}),
        ("verdict", "customer", {"attributes": {"customer": 2**20}}),
        ("verdict", "customer", {"attributes": {"customer": 2**40}}),
        ("verdict", "customer", {"attributes": {"customer": 0.5}}),
        ("verdict", "customer", {"attributes": {"customer": True}}),
        ("name", "/alice/", {"name": "alice"}),
    ],
)
def test_no_answer_outlives_its_policy(
    monkeypatch: pytest.MonkeyPatch, asked: str, setting: str, changes: dict[str, Any]
) -> None:
    """Also where another thread changes the policy between the question and the keeping."""
    ask = getattr(Redaction, asked)

    def interrupted(policy: Redaction, *arguments: Any) -> Any:
        answer = ask(policy, *arguments)
        monkeypatch.setattr(Redaction, asked, ask)
        redaction.put_in_force(Redaction(read_rules(setting)))
        return answer

    monkeypatch.setattr(Redaction, asked, interrupted)
    first = read(span_with(**changes))
    assert MARK not in f"{first.name} {dict(first.attributes or {})}"
    found = read(span_with(**changes))
    assert MARK in f"{found.name} {dict(found.attributes or {})}"


class _Text(str):
    def __str__(self) -> str:
        return "harmless"


def test_a_description_of_another_class_is_redacted() -> None:
    """As any text is."""
    status = Status(StatusCode.ERROR, _Text(f"no {HIDDEN}"))
    assert read(span_with(status=status)).status.description == f"no {SHOWN}"
