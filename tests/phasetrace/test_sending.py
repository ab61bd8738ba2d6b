"""How spans are sent is what the exporters of OpenTelemetry make of the same variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from phasetrace.sending import otlp_endpoint, shipping_environment, tls_of_grpc
from phasetrace.settings import settings_from


def test_another_process_finds_the_same_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It runs in another folder, so paths are made absolute."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/key.pem")
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}")
    environment = shipping_environment(settings_from())
    assert environment["OTEL_EXPORTER_OTLP_CERTIFICATE"] == str(tmp_path / "ca.pem")
    assert environment["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"] == "/key.pem"
    assert environment["PYTHONPATH"] == f"{tmp_path / 'lib'}{os.pathsep}{tmp_path}"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"ENDPOINT": "http://h/v1/traces"}, "http://h/v1/traces/v1/traces"),
        ({"ENDPOINT": "http://h//"}, "http://h//v1/traces"),
        ({"ENDPOINT": "http://h/a"}, "http://h/a/v1/traces"),
        ({"TRACES_ENDPOINT": "http://h", "ENDPOINT": "http://i"}, "http://h"),
        ({}, "http://localhost:4318/v1/traces"),
    ],
)
def test_the_address_is_the_one_that_the_exporter_posts_to(
    environ: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the path is there twice then."""
    for name, value in environ.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    exporter = OTLPSpanExporter()
    assert otlp_endpoint(settings_from(), False) == exporter._endpoint == address
    exporter.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("address", "environ", "is_tls"),
    [
        ("https://h", {"OTEL_EXPORTER_OTLP_INSECURE": "true"}, True),
        ("http://h", {"OTEL_EXPORTER_OTLP_INSECURE": "false"}, False),
        ("h:1", {}, True),
        ("h:1", {"OTEL_EXPORTER_OTLP_INSECURE": "TRUE"}, False),
        (
            "h:1",
            {"OTEL_EXPORTER_OTLP_INSECURE": "true", "OTEL_EXPORTER_OTLP_TRACES_INSECURE": "no"},
            True,
        ),
        ("https://h", {"OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER": "gcp"}, None),
    ],
)
def test_when_grpc_speaks_tls(
    address: str, environ: dict[str, str], is_tls: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheme says so; without one INSECURE does; credentials of the exporter's own are its."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert tls_of_grpc(address) is is_tls
