"""Obvious secrets are known by their shape, in any text; what looks like one is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phasetrace.redaction import MARK, Redaction
from phasetrace.redaction_rules import Rules
from phasetrace.secret_shapes import IN_SQL, any_shape
from phasetrace.secret_shapes import shapes as patterns
from phasetrace.vendor_keys import UNMARKED
from tests.phasetrace.secrets_of_all_kinds import Written, secrets, shapes, surroundings

V = "k3Jx9QmZ7vTp2Wb4"
"""A value that is no word."""


def redacted(text: str) -> str:
    """Redact what is known of a text."""
    return Redaction(Rules()).text(text)


@pytest.mark.parametrize("shape", sorted(shapes))
@given(data=st.data())
@settings(max_examples=20)
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
    # A name that goes on to the left is another name: prompt_token is a count.
    assume(not (before[-1:].isalnum() and written.text[:1].isalnum()))
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
        ("key sk-ant-api03-" + "a-1_" * 10 + ", next", "key sk-ant-api03-[redacted], next"),
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
        ("pypi-AgEIcHlwaS5vcmcCJDAw", "pypi-AgEI[redacted]"),
        ("SG." + "a" * 22 + "." + "b" * 43, "SG.[redacted]"),
        ("gsk_" + "aB" * 26, "gsk_[redacted]"),
        ("xai-" + "aB" * 40, "xai-[redacted]"),
        ("pwd=hunter2", "pwd=[redacted]"),
        ('password: "Bearer abc123def456 x1" y', 'password: "[redacted]" y'),
        ("secret=TOKEN = abc123def456", "secret=[redacted] = [redacted]"),
        ("https://example.org/r.git", "https://example.org/r.git"),
        (f"https://{V}@github.com/o/r.git", "https://[redacted]@github.com/o/r.git"),
        (f"<password>{V}</password>", "<password>[redacted]</password>"),
        (f"<ns:dbPassword>{V}</ns:dbPassword>", "<ns:dbPassword>[redacted]</ns:dbPassword>"),
        (f"curl -u admin:{V} http://h", "curl -u admin:[redacted] http://h"),
        (f"curl -su 'admin:{V}'", "curl -su 'admin:[redacted]'"),
        (f"x --user admin:{V}", "x --user admin:[redacted]"),
        ("password: 'hunter'\nuser: u", "password: '[redacted]'\nuser: u"),
        ("password: 'it''s' # x", "password: '[redacted]' # x"),
        (f'api-key: "a\\"{V}" # x', 'api-key: "[redacted]" # x'),
        (f"Authorization: {V}\r\nHost: h", "Authorization: [redacted]\r\nHost: h"),
        (f"Authorization: Api-Token {V}", "Authorization: Api-Token [redacted]"),
        (f"x-honeycomb-team={V},a=b", "x-honeycomb-team=[redacted],a=b"),
        (f"Bearer%20{V},a=b", "Bearer%20[redacted],a=b"),
        (f"['curl', '--api-key', '{V}', 'x']", "['curl', '--api-key', '[redacted]', 'x']"),
        (f"--token={V} -x", "--token=[redacted] -x"),
        (f"export BOT_TOKEN={V}; x", "export BOT_TOKEN=[redacted]; x"),
        (f"Client(token='{V}')", "Client(token='[redacted]')"),
        (f'token = "{V}"', 'token = "[redacted]"'),
        (f"access_token: {V}", "access_token: [redacted]"),
        (f"GITHUB_TOKEN: {V}", "GITHUB_TOKEN: [redacted]"),
        (f'{{"bot_token": "{V}", "n": 1}}', '{"bot_token": "[redacted]", "n": 1}'),
        (f'"{{\\"bot_token\\": \\"{V}\\"}}"', '"{\\"bot_token\\": \\"[redacted]\\"}"'),
        (f"Bearer\t{V}", "Bearer\t[redacted]"),
        (f"Authorization: Bearer\t{V}", "Authorization: Bearer\t[redacted]"),
        ('{"password":12345678}', '{"password":[redacted]}'),
        ('{"api_key": 12345.5, "n": 1}', '{"api_key": [redacted], "n": 1}'),
        (f"{{b'authorization': b'{V}'}}", "{b'authorization': b'[redacted]'}"),
        ("b'x-api-key': b'abcdef',", "b'x-api-key': b'[redacted]',"),
        ("CREATE USER x IDENTIFIED BY 'hunter'", "CREATE USER x IDENTIFIED BY '[redacted]'"),
        ("alter role x with password 'it''s'", "alter role x with password '[redacted]'"),
        ("ALTER USER x PASSWORD 'hunter'", "ALTER USER x PASSWORD '[redacted]'"),
        ("password=$1$salt$hash", "password=[redacted]"),
        ("password=%session", "password=[redacted]"),
        ("password=:hunter2", "password=[redacted]"),
        ("password=get(x", "password=[redacted](x"),
        ("mongodb://me:123,a@h1:1,h2:2/db", "mongodb://me:[redacted]@h1:1,h2:2/db"),
        ("kafka://b1:9092,b2:hunter", "kafka://b1:[redacted]"),
        ("://:x&sig=a/b", "://:x&sig=[redacted]"),
        ("bot12345678:A" + "b" * 34 + "/send", "bot12345678:[redacted]/send"),
        (f"a {V} and --api-key={V}", f"a {V} and --api-key=[redacted]"),
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
        "token: 12 tokens: 5000 token=none token=12345678 token: EOF password: required",
        f"next_token_id={V} page_token={V} next-page-token: {V} eos_token='{V}'",
        f'{{"nextPageToken": "{V}", "cursor.token": "{V}"}}',
        f"<NextToken>{V}</NextToken><label>Password</label>",
        f"run --max-token 4096 --next-token {V} --stop-token={V}",
        "use <password> and </password>, or <user>:<password>@host/db",
        "docker run --user 1000:1000 x; git push -u origin:branch; rsync -u host1:/path1/x",
        "password: \"This field is required\", password: 'must not be empty'",
        "Authorization: required, Authorization: see RFC7235",
        "ssh://git@github.com:22/x https://user@example.org/x http://deploy-user@h",
        "550e8400-e29b-41d4-a716-446655440000 page 550e8400-e29b-41d4-a716-446655440000",
        "a-very-long-name-in-kebab-case-that-goes-on-and-on-1 and_one_in_snake_case_that_does_2",
        "model=accounts/fireworks/models/llama-v3p1-70b-instruct fw_models_of_fireworks",
        "WHERE password = ? AND api_key = %s OR secret=%(x)s",
        "WHERE password=:pw AND api_key = $1 OR secret = @p0 OR secret = :1",
        "password = get_password()",
        "secret = hashlib.sha256(x).hexdigest()",
        "api_key = os.environ['KEY']",
        "password = input('Password: ')",
        "kafka://b1:9092,b2:9092",
        "mongodb://h1:27017,h2:27017/db?x=a@b",
        "mongodb://h1:27017,h2:27017",
        "zookeeper://z1:2181,z2:2181,z3:2181/path and me@example.org",
        "docker build --secret id=npmrc,src=.npmrc1 --secret type=file,id=npmrc1 .",
        '{"max_tokens": 123456, "token_count": 123456, "password": 123, "secret": true}',
        "the user's password is his, and it's 'required'; WITH PASSWORD 'must not be empty'",
        "pk-lf-550e8400-e29b-41d4-a716-446655440000 is public",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    """Prose, addresses, hashes, certificates."""
    assert redacted(text) == text


@pytest.mark.parametrize("text", ["://:x&sig=a/b", "://u:p-----BEGIN PRIVATE KEY-----/"])
def test_what_is_cut_off_by_a_mark_is_left_alone(text: str) -> None:
    """What told that an address goes on may be what was redacted."""
    assert MARK in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_long_secret_is_redacted_to_its_end(quote: str) -> None:
    """However many of its characters are escaped."""
    value = "".join(f"line{number}\\n" for number in range(9_000)) + "tail"
    for text in (f"secret = {quote}{value}{quote} z", f"{{'secret': {quote}{value}{quote}}} z"):
        assert "line" not in redacted(text)
        assert "tail" not in redacted(text)
        assert redacted(text).endswith("z")


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
        "password: '",
        "password: 'a ",
        'password: "a\\',
        "token=",
        "token=a1",
        "next_token=a1b2c3d4 ",
        "token: a1b2c3d4 ",
        "'token':'a1",
        "--token ",
        "--max-token=a1b2c3d4 ",
        "--a','",
        "--token','a",
        "-u ",
        "-u a:",
        "-u a1:b2",
        "https://",
        "https://a1",
        "http://a1@",
        "<password>",
        "<password>a",
        "<token>a1b2c3d4",
        ">",
        "authorization: ",
        "authorization: a ",
        "authorization=a1",
        "Bearer%20",
        "12345678:A",
        "dapi",
        "dapi0",
        "SK",
        "SK0",
        "hv",
        "_a",
        "sk_0",
        "a-",
        "a.",
        "a~",
        "pylf_v1_us_",
        "'",
        "identified by '",
        "with password 'a",
        "password='\\n",
        "password=a[",
        "password=a(",
        "password=:",
        "://a:1,b:1",
        "'password':1111",
        "pat" + "a" * 14 + ".",
        "M" + "a" * 22 + ".",
        "1Q~",
    ),
]


@given(st.lists(st.sampled_from(HARD) | st.text(max_size=3)).map("".join), secrets)
def test_one_search_says_whether_there_is_any(text: str, written: Written) -> None:
    """Each shape is looked for only where one of them is."""
    for one in (text, text + written.text):
        if any(shape.search(one) for shape in patterns()):
            assert any_shape().search(one) or UNMARKED in one or IN_SQL in one


def test_each_shape_begins_with_a_rare_character() -> None:
    """No letter of many words: a search stops at each."""
    firsts = {shape.pattern.lstrip("\\")[0] for shape in patterns()}
    assert firsts <= set("-:Bb.=>_/z9KS~d'[")


@pytest.mark.parametrize("piece", HARD)
def test_no_text_takes_long(piece: str) -> None:
    """The time is linear in the length, for texts that keep every pattern busy."""

    def takes(length: int) -> float:
        text = (piece * length)[:length]
        best = 1e9
        for _ in range(3):
            started = time.thread_time()
            redacted(text)
            best = min(best, time.thread_time() - started)
        return best

    short, long = takes(50_000), takes(400_000)
    assert long < 0.01 + 30 * short  # 8 times as long; 64 times, if it were quadratic
    assert long < 2.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f'[["x-api-key", "{V}"]]', f'[["x-api-key", "{MARK}"]]'),
        (f"[['a', 'b'], ['password', '{V} {V}']]", f"[['a', 'b'], ['password', '{MARK}']]"),
        (f'[["x-api-key","{V}', f'[["x-api-key","{MARK}'),
        ('[["max_tokens", "12"]]', None),
        ('["password", "email"]', None),
    ],
)
def test_pairs_in_a_text(text: str, shown: str | None) -> None:
    """As attributes become one where OpenTelemetry takes none that are nested; cut, as well."""
    assert redacted(text) == (shown or text)
