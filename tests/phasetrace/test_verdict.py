"""A verdict says in one line, without secrets, what became of a request."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from phasetrace.hiding import hidden_in_logs, secrets_in
from phasetrace.verdict import DELIVERED, Outcome, Verdict, answered, raised, shortened


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("one\r\n  two\tthree ", "one two three"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "…"),
        ("no way to https://me:secret@host/path", "no way to https://…@host/path"),
    ],
)
def test_a_text_is_cut_to_one_line_without_passwords(text: str, line: str) -> None:
    """It may be a page of HTML."""
    assert shortened(text) == line


def test_a_password_is_not_cut_into_sight() -> None:
    """The end of the address may be past the end of the line."""
    assert "secret" not in shortened("x" * 180 + " http://me:secret@" + "h" * 300)


def test_a_key_is_not_cut_into_sight() -> None:
    """A part of it would not be recognized; it is hidden while it is whole."""
    key = "".join(map(chr, range(33, 127))) * 3
    with hidden_in_logs(secrets_in([("authorization", f"Bearer {key}")])):
        assert shortened(f"invalid token: Bearer {key}") == "invalid token: …"
        assert shortened(" " * 5_000 + f"invalid token: {key[:8]}") == "invalid token: …"


def test_a_key_that_nobody_here_has_sent_is_hidden() -> None:
    """A receiver tells of it by its shape, also where it would be cut."""
    key = "sk-proj-abcdefghijklmnop1234567890"
    assert shortened(f"invalid api key {key}") == "invalid api key sk-proj-…"
    assert "abcdef" not in shortened("x" * 180 + f" {key}")
    assert "hunter" not in shortened("no way to postgres://me:hunter2…")


def test_an_exception_tells_its_type_and_its_words() -> None:
    """Which may not be there."""

    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert raised(OSError("no\nroom")) == Verdict(Outcome.UNKNOWN, "OSError: no room")
    assert raised(Hostile()) == Verdict(Outcome.UNKNOWN, "Hostile")


def test_no_answer_is_no_failure() -> None:
    """The SDK does not look at the answer, and some exporters give none."""
    assert answered(None) is DELIVERED


def test_only_success_is_delivery() -> None:
    """Whatever else an exporter answers, the spans may not have arrived."""
    assert answered(SpanExportResult.SUCCESS) is DELIVERED
    assert {answered(one).outcome for one in (SpanExportResult.FAILURE, 0, True)} == {
        Outcome.UNKNOWN
    }
