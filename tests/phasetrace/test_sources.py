"""Where each setting comes from is told, and no secret with it."""

from __future__ import annotations

import pytest

from phasetrace.settings import settings_with_sources

HIDDEN = "hunter2"


def told(**environ: str) -> dict[str, tuple[str, str | None]]:
    """Return the value and the source of each setting."""
    values = settings_with_sources(environ).values
    return {one.setting: (one.shown, one.source) for one in values}


def test_the_defaults() -> None:
    """They have no source, and standard variables that are not set do not show."""
    values = told(PHASETRACE_STORE="off")
    assert values.pop("store") == ("off", "PHASETRACE_STORE")
    assert values == {
        "retention": ("500 executions, 512MB", None),
        "delivery": ("thread", None),
        "timing": ("off", None),
        "trace url": ("none", None),
        "exporters": ("none", None),
    }


def test_the_variable_for_traces_wins() -> None:
    """It is the one that is named."""
    values = told(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://all",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://traces",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
    )
    assert values["endpoint"] == ("http://traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    assert values["protocol"] == ("grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
    assert values["exporters"] == ("otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("500 executions", "500 executions"),
        ("3KB", "3KB"),
        ("2GB, 1 execution", "1 executions, 2048MB"),
        ("off", "off"),
    ],
)
def test_retention(text: str, shown: str) -> None:
    """As it would be written in the variable."""
    assert told(PHASETRACE_RETENTION=text)["retention"] == (shown, "PHASETRACE_RETENTION")


def test_a_bad_value_is_not_the_source() -> None:
    """The default is in force then."""
    assert told(PHASETRACE_DELIVERY="pigeon")["delivery"] == ("thread", None)


def test_no_secrets() -> None:
    """Neither of headers nor of addresses, however they are written."""
    sources = settings_with_sources(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:{HIDDEN}@host:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": f"a={HIDDEN}, b = {HIDDEN},{HIDDEN}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": f"http://{HIDDEN}@x",
            "PHASETRACE_TRACE_URL": f"http://{HIDDEN}@x",
            "PHASETRACE_SOURCE_HEADERS": f"authorization={HIDDEN},{HIDDEN}",
        }
    )
    assert HIDDEN not in repr((sources.values, sources.bad, sources.unknown))
    values = {one.setting: one.shown for one in sources.values}
    assert values["headers"] == "a, b, one without a name"
    assert values["source headers"] == "authorization, one without a name"
    assert any(one.message.startswith("PHASETRACE_SOURCE_HEADERS=…") for one in sources.bad)
