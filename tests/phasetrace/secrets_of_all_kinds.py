"""Secrets of every shape that is known, none of them real, and what may stand around them."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from hypothesis import strategies as st

from phasetrace.vendor_keys import VENDORS, Keys

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Written(NamedTuple):
    """A secret as it is written somewhere."""

    text: str
    secret: str


def _of(alphabet: str, least: int, most: int) -> st.SearchStrategy[str]:
    texts = st.text(alphabet, min_size=least, max_size=most)
    return texts.filter(lambda text: text not in ("undefined", "None", "null", "true", "false"))


def _basic(user: str, password: str) -> Written:
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Written(f"Basic {encoded}", encoded)


def _pem(kind: str, lines: list[str], is_cut: bool) -> Written:
    end = "" if is_cut else f"\n-----END {kind}PRIVATE KEY-----"
    body = "\n".join(lines)
    return Written(f"-----BEGIN {kind}PRIVATE KEY-----\n{body}{end}", body)


def _keys_of(keys: Keys) -> st.SearchStrategy[Written]:
    begins = [st.from_regex(one.replace(".", "[.]"), fullmatch=True) for one in keys.begins.split()]
    rests = st.from_regex(keys.goes_on.replace(",}", ",70}"), fullmatch=True)
    return st.builds(
        lambda begin, rest: Written(f" {begin}{rest}", _secret_in(rest, keys.goes_on)),
        st.one_of(begins),
        rests,
    )


def _secret_in(rest: str, pattern: str) -> str:
    found = re.fullmatch(pattern, rest)
    assert found is not None
    return str(found[found.lastindex or 0])


_opaque = _of(LETTERS, 12, 40).filter(
    lambda one: re.search("[0-9]", one) is not None and re.search("[A-Za-z]", one) is not None
)
_passwords = _of(LETTERS + "!$%*.~_-+", 8, 30).filter(
    lambda one: one[0] not in "$.~" and one != "undefined"
)
"""None that begins like a variable or a path, or that stands for nothing."""
_names = st.sampled_from(
    [
        "password",
        "PGPASSWORD",
        "db.passwd",
        "Pwd",
        "client_secret",
        "api_key",
        "X-API-Key",
        "apikey",
        "AccountKey",
        "aws_secret_access_key",
        "access_token",
        "refresh_token",
        "id_token",
    ]
)
shapes: dict[str, st.SearchStrategy[Written]] = {
    "an address": st.builds(
        lambda scheme, user, secret: Written(f"{scheme}://{user}:{secret}@host:5432/db", secret),
        st.sampled_from(["postgresql+psycopg", "redis", "https", "amqp"]),
        _of(LETTERS, 0, 8),
        _passwords,
    ),
    "a bearer": st.builds(
        lambda scheme, secret: Written(f"{scheme} {secret}", secret),
        st.sampled_from(["Bearer", "bearer", "BEARER", "Authorization: Bearer"]),
        _of(LETTERS + "-._~+/", 24, 80),
    ),
    "basic": st.builds(_basic, _of(LETTERS, 0, 12), _passwords),
    "another scheme": st.builds(
        lambda secret: Written(f"authorization: ApiKey {secret}", secret), _passwords
    ),
    "a JSON Web Token": st.builds(
        lambda body, signature: Written(f"eyJhbGciOiJIUzI1NiJ9.eyJ{body}.{signature}", body),
        _of(LETTERS + "-_", 20, 80),
        _of(LETTERS + "-_", 0, 43),
    ),
    "a private key": st.builds(
        _pem,
        st.sampled_from(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "]),
        st.lists(_of(LETTERS + "+/=", 20, 64), min_size=1, max_size=4),
        st.booleans(),
    ),
    "an assignment": st.builds(
        lambda name, between, secret: Written(f"{name}{between}{secret}", secret),
        _names,
        st.sampled_from(["=", " = "]),
        _passwords.filter(lambda one: "=" not in one[:1]),
    ),
    "a keyword argument": st.builds(
        lambda name, secret: Written(f"connect({name}='{secret} it')", secret), _names, _passwords
    ),
    "JSON": st.builds(
        lambda name, secret: Written(f'{{"{name}": "{secret}"}}', secret), _names, _passwords
    ),
    "JSON in JSON": st.builds(
        lambda name, secret: Written(f'"{{\\"{name}\\":\\"{secret}\\"}}"', secret),
        _names,
        _passwords,
    ),
    "a query": st.builds(
        lambda name, secret: Written(f"https://h/p?a=1&{name}={secret}&b=2", secret),
        st.sampled_from(["token", "sig", "X-Amz-Signature", "api_key"]),
        _of(LETTERS + "-._~%", 8, 60),
    ),
    "YAML": st.builds(
        lambda name, quote, secret: Written(f"a: 1\n{name}: {quote}{secret}{quote}\nb: 2", secret),
        _names,
        st.sampled_from("'\""),
        _passwords,
    ),
    "XML": st.builds(
        lambda name, secret: Written(f"<{name}>{secret}</{name}>", secret),
        _names.filter(lambda one: one != "X-API-Key"),
        _passwords,
    ),
    "a token": st.builds(
        lambda name, between, secret: Written(f"{name}{between}{secret}", secret),
        st.sampled_from(["TOKEN", "GITHUB_TOKEN", "--token", "x.authToken", "bot_token"]),
        st.sampled_from(["=", " = ", "='", ": ", ': "', '": "', "': '", '\\": \\"']),
        _opaque,
    ),
    "an option": st.builds(
        lambda name, between, secret: Written(f"run --{name}{between}{secret}", secret),
        st.sampled_from(["password", "db-password", "api-key", "token"]),
        st.sampled_from([" ", "=", "', '", '", "']),
        _opaque,
    ),
    "curl": st.builds(
        lambda before, secret: Written(f"curl {before}{secret} http://h", secret),
        st.sampled_from(["-u me:", "-su 'me:", "--user me:", "--user=me:"]),
        _opaque,
    ),
    "a header": st.builds(
        lambda name, secret: Written(f"{name}: {secret}", secret),
        st.sampled_from(["Authorization", "Proxy-Authorization", "X-Api-Key", "x-honeycomb-team"]),
        _opaque,
    ),
    "a user that is a token": st.builds(
        lambda secret: Written(f"git+https://{secret}@host/r.git", secret),
        _opaque.filter(lambda one: len(one) >= 16),
    ),
    "AWS": st.builds(
        lambda kind, secret: Written(kind + secret, secret),
        st.sampled_from(["AKIA", "ASIA"]),
        _of(CAPITALS, 16, 16),
    ),
    **{f"{keys.vendor} {place}": _keys_of(keys) for place, keys in enumerate(VENDORS)},
}
"""A key of a vendor has a space in front, for some must not stand directly behind a letter."""

secrets: st.SearchStrategy[Written] = st.sampled_from(sorted(shapes)).flatmap(shapes.__getitem__)

_PIECES = (
    *(
        "password",
        "secret=",
        "pwd=",
        '"api_key": "',
        "Bearer",
        "Bearer ",
        "basic ",
        "authorization:",
    ),
    *("://", "://u:p", "@", "eyJ", "eyJhbGciOi", ".eyJ", "AKIA", "AK", "ghp_", "sk-", "xoxb-"),
    *("-----BEGIN ", "-----", "-----BEGIN PRIVATE KEY", "[redacted]", "[", "]", "=", ":", " "),
    *('"', "'", "\\", '\\"', "\n", "?token", "&", "é", "\U0001f511", "\0", "prompt", "tokens"),
)
surroundings = st.lists(
    st.sampled_from(_PIECES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    max_size=5,
).map("".join)
