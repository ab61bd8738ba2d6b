"""Obvious secrets are known by their name; what is only called so is none."""

from __future__ import annotations

import re

import pytest

from phasetrace.known_secrets import is_secret, is_secret_number, may_be_address

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
    auth http_auth basicAuth redis.auth auth_header proxyAuthHeader creds aws_creds db_pass
    mysql.pass userPass dbpass token_value tokenValue session.token.value device_tokens push_tokens
    oauthtoken csrftoken SharedAccessSignature db.pwd
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
    secret_santa secret_sauce
    auth_type auth.method authType has_auth pass_rate pass_count render_pass compiler.pass
    first_pass
    token_str max_token_value token_values session_key sessionid session.id secret_id user_tokens
    process.pwd env.PWD password_file credentials_file privateKeyFile secret_filename secret_dir
    cancellation_token cancellationToken cancel_token fencing_token lock_token erc20.token jwt.sub
    jwt.issuer jwt_alg k8s.secret.uid
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
        ("secrets", True),
        ("num_secrets", False),
        ("numberOfPasswords", False),
        ("k8s.secrets", False),
        ("count_of_passwords", False),
        ("cached_api_keys", False),
        ("auth", False),
        ("db_pass", False),
        ("device_tokens", False),
        ("total.credentials", False),
    ],
)
def test_a_secret_number_by_its_name(name: str, expected: bool) -> None:
    """A number may be a password, and is no token, nor how many there are."""
    assert is_secret_number(name) is expected


@pytest.mark.parametrize("name", ["num_secrets", "bearer", "url_apikey"])
def test_in_doubt_a_text_is_a_secret(name: str) -> None:
    """Whatever it may be else."""
    assert is_secret(name)


def test_a_name_of_an_address() -> None:
    """It may have the secret in it."""
    assert may_be_address("url_apikey")
    assert may_be_address("secretEndpoint")
    assert not may_be_address("apikey")
