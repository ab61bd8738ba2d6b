"""A credential provider that is not installed is told with its variable, and what to install."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import grpc
import pytest

from phasetrace.credential_provider import GROUP, PROVIDERS, missing_provider
from phasetrace.errors import ConfigError
from phasetrace.exporting import make_outlets
from phasetrace.settings import settings_from

PREFIX = "OTEL_PYTHON_EXPORTER_OTLP_"
GOOGLE_S = "opentelemetry-exporter-credential-provider-gcp"
made: list[grpc.ChannelCredentials] = []


def credentials() -> grpc.ChannelCredentials:
    """Return what the exporter for gRPC takes, and remember it."""
    made.append(grpc.ssl_channel_credentials())
    return made[-1]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install four providers, for us and for OpenTelemetry."""
    points = [
        EntryPoint(name, f"{__name__}:credentials", GROUP)
        for name in ("our", "mine", "his", "their")
    ]

    def find(group: str, name: str | None = None) -> list[EntryPoint]:
        return [one for one in points if group == GROUP and name in (None, one.name)]

    monkeypatch.setattr("importlib.metadata.entry_points", find)
    monkeypatch.setattr("opentelemetry.exporter.otlp.proto.grpc.exporter.entry_points", find)


@pytest.mark.parametrize(("protocol", "is_grpc"), [("HTTP", False), ("GRPC", True)])
@pytest.mark.parametrize("signal", ["", "TRACES_"])
def test_a_known_one_names_its_package(protocol: str, is_grpc: bool, signal: str) -> None:
    """And the variable that is set."""
    variable, name = (
        f"{PREFIX}{protocol}_{signal}CREDENTIAL_PROVIDER",
        f"gcp_{protocol.lower()}_credentials",
    )
    assert missing_provider({variable: f"{name} "}, is_grpc) == (
        f"{variable}='{name}': no such credential provider is installed; install {GOOGLE_S}"
    )
    assert missing_provider({variable: name}, not is_grpc) == ""


def test_the_wider_variable_wins() -> None:
    """As it does in the exporters."""
    general, traces = PROVIDERS[False]
    line = missing_provider({general: "nobody", traces: "gcp_http_credentials"}, False)
    assert line.startswith(f"{general}='nobody': no such credential provider is installed; there")


@pytest.mark.usefixtures("installed")
def test_an_unknown_one_is_answered_with_those_there_are() -> None:
    """In order; what is installed is fine."""
    general, _ = PROVIDERS[True]
    assert missing_provider({general: "her"}, True).endswith(
        "installed; there are his, mine, our, their"
    )
    assert missing_provider({general: "his"}, True) == ""


def test_no_address_with_a_password_is_shown() -> None:
    """Which was put there by mistake."""
    assert "hunter2" not in missing_provider({PROVIDERS[True][0]: "http://me:hunter2@h"}, True)


@pytest.mark.parametrize("variable", [*PROVIDERS[False], *PROVIDERS[True]])
def test_an_exporter_cannot_be_made_without_it(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to do about it, in place of what OpenTelemetry says."""
    monkeypatch.setenv(variable, "gcp_http_credentials")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:1")
    protocol = "grpc" if "GRPC" in variable else "http/protobuf"
    with pytest.raises(ConfigError) as refused:
        make_outlets(settings_from(store=False, protocol=protocol))
    assert str(refused.value) == (
        f"{variable}='gcp_http_credentials': no such credential provider is installed; install"
        f" {GOOGLE_S}"
    )


def test_what_else_keeps_an_exporter_from_being_made_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The provider is not blamed where none is named, or it is there."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setattr("phasetrace.exporting._arguments", lambda *_: {"nonsense": 1})
    with pytest.raises(ConfigError, match="cannot make the exporter 'otlp': TypeError"):
        make_outlets(settings_from(store=False))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("variable", PROVIDERS[True])
def test_grpc_uses_the_one_for_traces_too(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself the exporter does so only beside an authority's certificate for traces."""
    monkeypatch.setenv(variable, " mine ")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:1")
    made.clear()
    (outlet,) = make_outlets(settings_from(store=False, protocol="grpc"))
    assert made == [outlet.exporter._credentials]
    outlet.exporter.shutdown()
