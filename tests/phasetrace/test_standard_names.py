"""A variable that is almost one of OpenTelemetry's is told; one of somebody else's is not."""

from __future__ import annotations

import opentelemetry.environment_variables as of_api
import opentelemetry.sdk.environment_variables as of_sdk
import pytest

from phasetrace.settings import settings_with_sources
from phasetrace.standard_names import KNOWN, mistyped


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OLTP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_HEADER", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_EXPORTER_OTLP_TRACE_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTEL_TRACE_SAMPLER", "OTEL_TRACES_SAMPLER"),
        ("OTEL_TRACE_EXPORTER", "OTEL_TRACES_EXPORTER"),
        ("OTEL_RESOURCE_ATTRIBUTE", "OTEL_RESOURCE_ATTRIBUTES"),
        ("OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_what_was_meant(name: str, meant: str) -> None:
    """Two letters that changed places, one that is missing, a prefix that was forgotten."""
    assert mistyped({name: "x", "PATH": "y"}) == [(name, meant)]


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_PYTHON_LOG_LEVEL",
        "OTEL_PYTHON_TRACER_PROVIDERS",
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
        "OTEL_JAVAAGENT_ENABLED",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
        "OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL",
        "OTEL_EXPORTER_JAEGER_AGENT_HOST",
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "OTEL_SERVICE_NAMESPACE",
        "OTEL_SERVICE_VERSION",
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "OTEL_TRACES_ENABLED",
        "OTEL_COLLECTOR_CONFIG",
        "OTLP_SOMETHING",
        "SERVICENAME",
    ],
)
def test_names_of_others(name: str) -> None:
    """Are nobody's business."""
    assert mistyped([name]) == []


def test_all_that_the_sdk_knows_are_known() -> None:
    """Nothing of this release is taken for a mistake."""
    names = {name for module in (of_api, of_sdk) for name in vars(module)}
    assert mistyped(name for name in names if name.startswith("OTEL_")) == []
    assert mistyped(KNOWN) == []


def test_ours_are_told_as_well() -> None:
    """With the one that was meant, where there is one."""
    found = settings_with_sources({"PHASETRACE_STOER": "x", "PHASETRACE_COLOUR": "x"}).unknown
    assert found == [("PHASETRACE_COLOUR", ""), ("PHASETRACE_STOER", "PHASETRACE_STORE")]


def test_nothing_is_compared_where_all_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take its time at each start."""
    monkeypatch.setattr("phasetrace.standard_names.nearest", lambda *_: pytest.fail("it was"))
    assert mistyped(["OTEL_SERVICE_NAME", "OTEL_PYTHON_ODD", "PATH"]) == []
