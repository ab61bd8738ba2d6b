"""The way to a destination: what may be wrong with one process, and right with the next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phasetrace.sending import shipping_environment
from phasetrace.settings import settings_from
from phasetrace.way import sender, way

HTTPS = "https://receiver:4318/v1/traces"
OTLP = "OTEL_EXPORTER_OTLP_"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the machine says of proxies and authorities."""
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_bundle", "_file_path")) or "SSL_CERT" in name:
            monkeypatch.delenv(name)


def now() -> str:
    """Return the way that the environment describes."""
    return way(settings_from(exporters="otlp"))


def test_nothing_special_is_no_way_of_its_own() -> None:
    """As with most programs."""
    assert now() == ""


@pytest.mark.parametrize(
    "name",
    [
        f"{OTLP}CERTIFICATE",
        f"{OTLP}TRACES_CLIENT_KEY",
        f"{OTLP}INSECURE",
        "HTTPS_PROXY",
        "http_proxy",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    ],
)
def test_what_may_be_mended_is_another_way(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each value by itself."""
    ways = {now()}
    for value in ("true", "false"):
        monkeypatch.setenv(name, value)
        ways.add(now())
    assert len(ways) == 3


@pytest.mark.parametrize(
    "name",
    [
        f"{OTLP}HEADERS",
        f"{OTLP}TRACES_ENDPOINT",
        f"{OTLP}METRICS_CERTIFICATE",
        f"{OTLP}LOGS_TIMEOUT",
        "OTEL_SERVICE_NAME",
        "PYTHONPATH",
    ],
)
def test_what_says_where_or_nothing_is_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It is in the key, or of no account."""
    monkeypatch.setenv(name, "a=1")
    assert now() == ""


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy may want a password."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy")
    assert len(now()) == 12
    assert "hunter2" not in now()


def test_the_process_that_delivers_goes_the_same_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is in another folder, and has an environment made for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{OTLP}CERTIFICATE", "authority.pem")
    monkeypatch.setenv(f"{OTLP}TIMEOUT", "soon")  # which cannot be used
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    settings = settings_from(endpoint="http://h:4318", exporters="otlp")
    ours, environment = way(settings), shipping_environment(settings)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(f"{OTLP}TIMEOUT")
    monkeypatch.chdir("/")
    assert ours == now() != ""


def test_who_sends_is_told_by_the_path_of_a_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its content is renewed; a relative path is one in this folder."""
    monkeypatch.chdir(tmp_path)
    settings = settings_from(exporters="otlp")
    assert sender(settings, False, HTTPS) == []
    monkeypatch.setenv(f"{OTLP}CLIENT_CERTIFICATE", "me.pem")
    monkeypatch.setenv(f"{OTLP}CLIENT_KEY", "me.key")
    assert sender(settings, False, HTTPS) == [f"client certificate {tmp_path}/me.pem"]
    assert sender(settings, False, "http://receiver:4318") == []


def test_who_sends_is_told_by_a_credential_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the protocol; the one for all signals wins, as it does in the exporters."""
    settings = settings_from(exporters="otlp")
    name = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"
    monkeypatch.setenv(name.format("TRACES_"), "mine")
    assert sender(settings, False, HTTPS) == ["credential provider mine"]
    monkeypatch.setenv(name.format(""), "ours")
    assert sender(settings, False, HTTPS) == ["credential provider ours"]
    assert sender(settings, True, HTTPS) == []
