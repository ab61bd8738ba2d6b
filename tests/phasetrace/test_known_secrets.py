"""Obvious secrets are known, by name and by shape; what looks like one is none."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phasetrace.known_secrets import is_secret, is_secret_number
from phasetrace.redaction import MARK, Redaction
from phasetrace.redaction_rules import Rules
from tests.phasetrace.secrets_of_all_kinds import Written, secrets, shapes, surroundings

SECRET_NAMES = re.findall(
    r"\S+",
    """
    password passwd db_pwd Password PASSWORD db.password db_password DB-PASSWORD dbPassword
    DBPassword
    password2 user.password.hash new_password passwords passphrase ssh.passphrase secret
    client_secret clientSecret secret.value secrets token access_token accessToken auth.token
    csrf-token
    oauth2.refreshToken TOKEN api_key apiKey apikey APIKey OPENAI_API_KEY openai.api.key x-api-key
    api_keys access_key aws.secret_access_key account_key private_key privateKey ssh_key signing_key
    authorization http.request.header.authorization Authorization proxy-authorization
    http.request.header.proxy_authorization cookie set-cookie http.response.header.set_cookie
    setCookie cookies credential credentials gcp.credentials jwt bearer kundenpasswort.password
    PGPASSWORD dbpassword authtoken accesstoken clientsecret secretkey accesskey privatekey
    refresh_tokens access_tokens subscription_key x-functions-key hmac_key
""",
)

NO_SECRET_NAMES = re.findall(
    r"\S+",
    """
    tokens token_count max_tokens total.tokens tokenizer tokenize tokens_per_second prompt_tokens
    gen_ai.usage.input_tokens gen_ai.usage.output_tokens gen_ai.request.max_tokens
    time_to_first_token gen_ai.server.time_per_output_token cost_per_token next_token stop_token
    eos_token pad-token secretary secretariat author authority authorize authorized authorizer
    monkey keyboard key primary_key foreign_key public_key partition_key routing_key cache_key
    session.id session_id user.id passenger passed bypass compass pass has_password is_secret
    password_length password_attempts password_policy secret_name aws.secretsmanager.secret.arn
    k8s.secret.name cookie_count cookie_consent credential_type credentials_path api_key_id
    private_key_path authorization_url pwdx model prompt node_type description path url.full
    exec_id node_id iteration depends_on phasetrace.type db.connection_string dsn é 你好
    pwd PWD OLDPWD oldpwd page_token nextPageToken continuation_token cursor_token
""",
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_by_its_name(name: str) -> None:
    """In every spelling."""
    assert is_secret(name)


@pytest.mark.parametrize("name", ["", *NO_SECRET_NAMES])
def test_no_secret_by_its_name(name: str) -> None:
    """What has such a word in it, counts them, or says something about one."""
    assert not is_secret(name)
    assert not is_secret_number(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PGPASSWORD", True),
        ("api_key", True),
        ("token", False),
        ("cookies.seen", False),
        ("pin", False),
    ],
)
def test_a_secret_number_by_its_name(name: str, expected: bool) -> None:
    """A number may be a password, and is no token."""
    assert is_secret_number(name) is expected


def redacted(text: str) -> str:
    """Redact what is known of a text."""
    return Redaction(Rules()).text(text)


@pytest.mark.parametrize("shape", sorted(shapes))
@given(data=st.data())
@settings(max_examples=50, derandomize=True)
def test_every_shape_is_known(shape: str, data: st.DataObject) -> None:
    """Standing alone."""
    written = data.draw(shapes[shape])
    assume(written.text.count(written.secret) == 1)
    assert written.secret not in redacted(written.text)
    assert MARK in redacted(written.text)


@given(written=secrets, before=surroundings, after=surroundings)
@settings(max_examples=1_500, derandomize=True)
def test_no_secret_survives_whatever_surrounds_it(
    written: Written, before: str, after: str
) -> None:
    """Other secrets, halves of such, quotes, and what was redacted already."""
    text = before + written.text + after
    assume(text.count(written.secret) == 1)
    assert written.secret not in redacted(text)


@given(written=secrets, before=surroundings, after=surroundings)
@settings(max_examples=500, derandomize=True)
def test_to_redact_again_changes_nothing_of_one_secret(
    written: Written, before: str, after: str
) -> None:
    """As what is delivered from the store may be."""
    again = redacted(redacted(f"{before} {written.text} {after}"))
    assert redacted(again) == again


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://me:hunter2@db:5432/x?a=b", "postgres://me:[redacted]@db:5432/x?a=b"),
        ("redis://:hunter2@cache", "redis://:[redacted]@cache"),
        (
            "two http://a:b@c and http://d:e@f",
            "two http://a:[redacted]@c and http://d:[redacted]@f",
        ),
        ("Bearer abc123def456", "Bearer [redacted]"),
        ("Authorization: Bearer short", "Authorization: Bearer [redacted]"),
        ("basic dXNlcjpwYXNz", "basic [redacted]"),
        ("host=h user=u password=x1 port=1", "host=h user=u password=[redacted] port=1"),
        ("Server=h;User Id=u;Password=x y;", "Server=h;User Id=u;Password=[redacted] y;"),
        ('{"n": 1, "password": "a\\"b", "m": 2}', '{"n": 1, "password": "[redacted]", "m": 2}'),
        ("{'pwd': 'x', 'n': 1}", "{'pwd': '[redacted]', 'n': 1}"),
        ("id AKIAIOSFODNN7EXAMPLE.", "id AKIA[redacted]."),
        ("ghp_" + "a" * 36, "ghp_[redacted]"),
        ("key sk-ant-api03-" + "a-1_" * 10 + ", next", "key sk-[redacted], next"),
        ("eyJh.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln", "eyJh.[redacted]"),
        (
            "a\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nz",
            "a\n[redacted]\nz",
        ),
        ("postgresql://admin:hunter2secret77", "postgresql://admin:[redacted]"),
        ("to redis://:hunt", "to redis://:[redacted]"),
        ("postgres://u:pa/ss@h/db", "postgres://u:[redacted]@h/db"),
        ("postgres://u:p#ss@h/db", "postgres://u:[redacted]@h/db"),
        ("AWS_SESSION_TOKEN=IQoJb3JpZ2lu", "AWS_SESSION_TOKEN=[redacted]"),
        ("GITHUB_TOKEN=abcdef0123456789", "GITHUB_TOKEN=[redacted]"),
        ("https://h/p?api_token=abcdef", "https://h/p?api_token=[redacted]"),
        ("Cookie: session=abc\r\nHost: h", "Cookie: [redacted]\r\nHost: h"),
        ("Set-Cookie: sid=abc; Path=/", "Set-Cookie: [redacted]"),
        ("X-API-Key: abcdef1234", "X-API-Key: [redacted]"),
        ("{'authorization': 'abcdef'}", "{'authorization': '[redacted]'}"),
        ('{"token": "abcdefabcdefabcdef12"}', '{"token": "[redacted]"}'),
        ("user: u\npassword: hunter2\nport: 1", "user: u\npassword: [redacted]\nport: 1"),
        ("run --password hunter2 --user u", "run --password [redacted] --user u"),
        ("run --db-password letmein", "run --db-password [redacted]"),
        ("run --password 'a b' x", "run --password '[redacted]' x"),
        ("hf_" + "aB" * 17, "hf_[redacted]"),
        ("npm_" + "aB" * 18, "npm_[redacted]"),
        ("pypi-AgEIcHlwaS5vcmcCJDAw", "pypi-[redacted]"),
        ("SG." + "a" * 22 + "." + "b" * 43, "SG.[redacted]"),
        ("gsk_" + "aB" * 26, "gsk_[redacted]"),
        ("xai-" + "aB" * 40, "xai-[redacted]"),
        ("pwd=hunter2", "pwd=[redacted]"),
    ],
)
def test_what_is_no_secret_stays(text: str, shown: str) -> None:
    """What a secret is for, and all around it."""
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of bad news brings authentication problems",
        "Basic functionality, basic arithmetic and Basic English",
        "task-learn-pipeline-with-a-very-long-name-that-goes-on",
        "https://example.org:8080/path?query=1&page=2#top",
        "see http://host:80/a@b and mail me@example.org",
        "max_tokens=4096 tokens=12 token_count=7 password_length=8",
        "risk-assessment ask_live_audience desk-proj",
        "12:30:59 ratio=1:2 a=b==c {'key': 'value', \"tokens\": 5}",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        "AKIA is a prefix, and so are ASIA, AIza, ghp_, eyJ and sk-",
        "password:",
        "password=",
        '"password": ""',
        "Your password is wrong: try again",
        "/usr/lib/python3.11/site-packages/secrets.py:17",
        "3f786850e387550fdab836ed7e6dc881de23001b",
        "PWD=/home/me OLDPWD=~/x pwd=./y pwd='/a b' PWD=C:\\me",
        "password = None",
        "login(password=None, secret=True, api_key=null)",
        "PASSWORD=$DB_PASSWORD SECRET=${SECRET} API_KEY=$(cat key)",
        "NEXT_PAGE_TOKEN=abcdef0123456789 MAX_TOKEN=4096 page_token=abc123def456",
        "http://localhost:8080",
        "see http://host:443.",
        "open http://[::1]",
        "http://{host}:{port}",
        "http://[::1]:80/a@b",
        "set the password: it is needed",
        "--password is required, and so is --token",
        "usage: run [--password PASSWORD] [--user USER]",
        "Cookie: none was sent",
        '{"token": "the"}',
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    """Prose, addresses, hashes, certificates."""
    assert redacted(text) == text


@given(st.text())
def test_any_other_text_is_itself(text: str) -> None:
    """The same object, by which those who ask know that nothing was redacted."""
    shown = redacted(text)
    assert shown is text or MARK in shown


HARD = [
    *(
        "a",
        "eyJ",
        ".eyJ",
        "eyJ.",
        "-",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "://",
        "://a:",
    ),
    *("pwd=", '"password": "', "bearer ", "bearer x", "basic ", "basic AAAA", " sk-", " sk-proj-"),
    *("ghp_", '\\"', "=", ":", "@", "://:@", "pwd='\\", "authorization: bearer ", "'pwd':'", "A"),
    *(
        "password =",
        '\\":',
        "AKIA",
        "xoxb-",
        "z",
        "9.",
        "basic " + "A" * 60,
        "token",
        "?sig=",
        "- ",
        "://u:p/",
        "://u:1",
        "://:",
        "--",
        "--a-",
        "--password ",
        "--password x",
        "cookie: ",
        "cookie: a",
        "password: ",
        "password: a",
        "'token': '",
        "'token': 'a",
        "A_TOKEN=",
        "A_TOKEN=a",
        "SG.",
        "SG.aaaaaaaaaaaaaaaaaaaaa.",
        "hf_",
        "pwd=",
        "password=$A",
    ),
]


@pytest.mark.parametrize("piece", HARD)
def test_no_text_takes_long(piece: str) -> None:
    """The time is linear in the length, for texts that keep every pattern busy."""

    def takes(length: int) -> float:
        text = (piece * length)[:length]
        best = 1e9
        for _ in range(3):
            started = time.perf_counter()
            redacted(text)
            best = min(best, time.perf_counter() - started)
        return best

    short, long = takes(50_000), takes(400_000)
    assert long < 0.01 + 30 * short  # 8 times as long; 64 times, if it were quadratic
    assert long < 2.0
