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
        "redact": ("secrets", None),
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


@pytest.mark.parametrize(
    ("variable", "address", "protocol", "is_bad"),
    [
        ("ENDPOINT", "http://h/v1/traces", "", True),
        ("ENDPOINT", "http://h/v1/traces/", "http/protobuf", True),
        ("ENDPOINT", "http://h/v1/traces", "grpc", False),
        ("ENDPOINT", "http://h", "", False),
        ("TRACES_ENDPOINT", "http://h/v1/traces", "", False),
    ],
)
def test_a_path_that_is_added_twice(
    variable: str, address: str, protocol: str, is_bad: bool
) -> None:
    """The variable for all signals is a base, the one for traces is taken whole."""
    environ = {
        f"OTEL_EXPORTER_OTLP_{variable}": address,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    bad = settings_with_sources(environ).bad
    assert bool(bad) is is_bad
    if is_bad:
        assert not bad[0].is_ours
        assert "spans are sent to http://h/v1/traces/v1/traces; take it away" in bad[0].message
        assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, which is taken whole" in bad[0].message


@pytest.mark.parametrize(
    ("variable", "address", "protocol", "scheme"),
    [
        ("ENDPOINT", f" htp://me:{HIDDEN}@localhost:4318", "", "htp://"),
        ("TRACES_ENDPOINT", "grpc://h:4317", "grpc", "grpc://"),
        ("TRACES_ENDPOINT", "unix:///tmp/otlp", "", "unix://"),
        ("TRACES_ENDPOINT", "unix:///tmp/otlp", "grpc", None),
        ("ENDPOINT", "dns:///h:4317", "grpc", None),
        ("ENDPOINT", "h:4317", "grpc", None),
        ("ENDPOINT", "HTTPS://h:4318", "", None),
    ],
)
def test_a_scheme_that_nobody_knows(
    variable: str, address: str, protocol: str, scheme: str | None
) -> None:
    """Is told before anything is sent; gRPC has some of its own."""
    environ = {
        f"OTEL_EXPORTER_OTLP_{variable}": address,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    message = (
        f"OTEL_EXPORTER_OTLP_{variable}: {scheme} is neither http:// nor https://; begin it with"
        " http://, or with https:// if the receiver speaks TLS"
    )
    bad = settings_with_sources(environ).bad
    assert bad == ([(message, False)] if scheme else [])


def test_files_of_tls() -> None:
    """Their paths are shown, and not a key that stands in place of one."""
    values = told(
        OTEL_EXPORTER_OTLP_CERTIFICATE="ca.pem",
        OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY=f"-----BEGIN PRIVATE KEY-----\n{HIDDEN}",
        OTEL_EXPORTER_OTLP_INSECURE="true",
    )
    assert values["certificate"] == ("ca.pem", "OTEL_EXPORTER_OTLP_CERTIFICATE")
    assert values["client key"] == ("…", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY")
    assert values["insecure"] == ("true", "OTEL_EXPORTER_OTLP_INSECURE")


def test_headers_without_a_value_are_told() -> None:
    """They are sent, and most likely not meant."""
    (bad,) = settings_with_sources({"OTEL_EXPORTER_OTLP_HEADERS": "x-api-key="}).bad
    assert bad.message == (
        "OTEL_EXPORTER_OTLP_HEADERS: x-api-key has no value: is the variable in it set?"
    )
    assert not bad.is_ours


def test_headers_with_a_variable_s_name_are_told() -> None:
    """In place of its value; nothing else of them is shown."""
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": f"a={HIDDEN},Authorization=Bearer%20$API_KEY"}
    (bad,) = settings_with_sources(environ).bad
    assert bad == (
        "OTEL_EXPORTER_OTLP_HEADERS: $API_KEY stands in it as it is: was it in single quotes, or in"
        " a file that nobody expands?",
        False,
    )


def test_a_protocol_in_capital_letters_has_its_source() -> None:
    """It is the one that is in force."""
    values = told(OTEL_EXPORTER_OTLP_PROTOCOL="GRPC", OTEL_EXPORTER_OTLP_ENDPOINT="http://h")
    assert values["protocol"] == ("grpc", "OTEL_EXPORTER_OTLP_PROTOCOL")


def test_headers_that_cannot_be_read() -> None:
    """Are told by their variable and their place."""
    environ = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"a=b,key={HIDDEN};"}
    (bad,) = settings_with_sources(environ).bad
    start = "OTEL_EXPORTER_OTLP_TRACES_HEADERS: part 2 of 2 cannot be read and is not sent"
    assert bad.message.startswith(start)
    assert HIDDEN not in bad.message
