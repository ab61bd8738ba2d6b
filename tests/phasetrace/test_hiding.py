"""What is secret of a request is taken out of whatever others say of it."""

from __future__ import annotations

import base64
import logging
import re
import threading
from typing import Any
from urllib.parse import unquote

import pytest

from phasetrace.hiding import NONE, hidden_in_logs, hide, secret_texts, secrets_in, secrets_of

HIDDEN = "hunter2&co"
LOGGER = logging.getLogger("urllib3.connectionpool")


def basic(text: str) -> str:
    """Return the value of a header with user and password."""
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        f"unknown token {HIDDEN}!",
        f"unknown token Bearer {HIDDEN}",
        "unknown token hunter2%26co",
        f"headers: {{'authorization': 'Bearer {HIDDEN}'}}",
    ],
)
def test_a_receiver_that_repeats_a_token(text: str) -> None:
    """With what stands before it or without, as it is or encoded."""
    hidden = hide(text, secrets_in([("authorization", f"Bearer {HIDDEN}")]))
    assert "hunter2" not in hidden
    assert "…" in hidden


@pytest.mark.parametrize("end", ["", "…", "...", "\ufffd", " \n"])
@pytest.mark.parametrize("size", [8, 9, 25])
def test_the_beginning_of_a_key_at_the_end_of_a_cut_text(size: int, end: str) -> None:
    """Whoever has cut it, and however they say so."""
    secrets = secrets_in([("authorization", "Bearer 0123456789abcdefghijklmnop")])
    assert hide(f"no: {'0123456789abcdefghijklmnop'[:size]}{end}", secrets) == "no: …"
    assert hide(f"no: {'Bearer 0123456789abcdefghijklmnop'[:size]}{end}", secrets) == "no: …"


def test_what_is_no_beginning_of_a_key() -> None:
    """Too little of it to be one, or in the midst of a text that was not cut there."""
    secrets = secrets_in([("key", "0123456789abcdefghijklmnop"), ("tenant", "test")])
    for text in ("no: 0123456", "no: 01234567 here", "no: te", "no way..."):
        assert hide(text, secrets) == text


def test_half_of_a_short_key_is_hidden_too() -> None:
    """What is left of it is soon guessed."""
    assert hide("no: hunte", secrets_in([("key", HIDDEN)])) == "no: …"


def test_a_password_of_basic_authentication() -> None:
    """It is in there, if not to be seen."""
    secrets = secrets_in([("Authorization", basic(f"me:{HIDDEN}"))])
    assert hide(f"{HIDDEN} is wrong for {basic(f'me:{HIDDEN}')}", secrets) == "… is wrong for …"
    assert secrets_in([("authorization", "Basic not base64")]) != NONE


@pytest.mark.parametrize(
    "text",
    [
        "invalid api key sk-proj-abcdefghijklmnop1234567890",
        "denied for Basic dXNlcjpodW50ZXIycGFzcw==",
        "no such user: postgres://me:hunter2pass@db",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    """Whoever's it is."""
    for secrets in (NONE, secrets_in([("key", "0123456789abcdef")])):
        hidden = hide(text, secrets)
        assert "…" in hidden
        assert not re.search("abcdef|dXNlcj|hunter", hidden)


@pytest.mark.parametrize("password", ["hunter2pass", "h%C3%BCnter2pass", "hunter%402pass%3A"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_the_header_that_clients_make_of_an_address(password: str, encoding: str) -> None:
    """As a whole, in part, and in either encoding."""
    both = f"user:{unquote(password)}"
    encoded = base64.b64encode(both.encode(encoding)).decode()
    secrets = secrets_of(Exporter(None, f"http://user:{password}@h:4318/v1/traces"))
    assert hide(f"denied for Basic {encoded}", secrets) == "denied for …"
    assert hide(f"denied for {encoded}!", secrets) == "denied for …!"
    assert hide(f"denied for {both}!", secrets) == "denied for …!"
    assert hide(f"denied: {encoded[:10]}", secrets) == "denied: …"


def test_an_address_without_a_password_makes_no_header() -> None:
    """There is nobody in it."""
    assert secrets_of(Exporter(None, "http://h:4318/v1/traces")) == NONE


def test_what_is_no_secret() -> None:
    """What every request has, and what is too short to be one."""
    assert secrets_in([("Content-Type", "application/x-protobuf"), ("tenant", "abc")]) == NONE
    assert secrets_in([("data-bin", b"\0")]) == NONE


def test_a_short_value_is_hidden_as_a_whole_word() -> None:
    """It may be a part of many."""
    secrets = secrets_in([("tenant", "test")])
    assert hide("the latest test: test-1 failed", secrets) == "the latest …: …-1 failed"


class Exporter:
    """Has what the official ones have."""

    def __init__(self, headers: Any, endpoint: str = "http://h") -> None:
        self._headers = headers
        self._endpoint = endpoint


class Outer:
    """Has a client inside."""

    def __init__(self, client: Exporter) -> None:
        self._client = client


@pytest.mark.parametrize(
    "exporter",
    [
        Exporter({"key": HIDDEN}),
        Exporter((("key", HIDDEN),)),
        Outer(Exporter({"key": HIDDEN})),
        Exporter(None, f"http://h/v1/traces?key={HIDDEN}"),
        Exporter(None, f"http://h/v1/traces?key={HIDDEN.replace('&', '%26')}"),
        Exporter(None, f"http://me:{HIDDEN}@h"),
    ],
)
def test_what_is_secret_of_an_exporter(exporter: Any) -> None:
    """Its headers, wherever it has them, and of its address what is not the way."""
    assert "hunter2" not in hide(f"GET /v1/traces?key={HIDDEN} {HIDDEN}", secrets_of(exporter))


class Hostile:
    """Has nothing, and says so loudly."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    @property
    def _headers(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("exporter", [object(), Hostile(), Exporter(1, "http://[")])
def test_any_exporter_can_be_asked(exporter: Any) -> None:
    """It may be anybody's."""
    assert secrets_of(exporter) == NONE


def test_logs_are_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Their words, and their tracebacks; only meanwhile, and only in this thread."""
    caplog.set_level(logging.DEBUG, "urllib3")

    def log() -> None:
        LOGGER.debug("%s and %d", HIDDEN, 1)

    with hidden_in_logs(secret_texts([HIDDEN])):
        log()
        try:
            raise ValueError(HIDDEN)
        except ValueError:
            LOGGER.exception("no")
        with hidden_in_logs(secret_texts(["else"])):
            LOGGER.debug("%s or else", HIDDEN)
        LOGGER.debug("nothing")
        thread = threading.Thread(target=log)
        thread.start()
        thread.join()
    log()
    lines = [logging.Formatter().format(record) for record in caplog.records]
    assert lines[0] == "… and 1"
    assert lines[1].startswith("no\nTraceback")
    assert "ValueError: …" in lines[1]
    assert lines[2:] == ["… or …", "nothing", f"{HIDDEN} and 1", f"{HIDDEN} and 1"]


def test_the_parser_of_headers_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What it cannot read, it shows; who makes an exporter tells of that without."""
    logger = logging.getLogger("opentelemetry.util.re")
    with hidden_in_logs(NONE):
        logger.warning("Header format invalid! %s", HIDDEN)
    assert caplog.records == []
    logger.warning("of somebody else's")
    assert len(caplog.records) == 1
