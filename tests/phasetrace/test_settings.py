"""A setting comes from the call, else the environment, else its default; a bad one is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from phasetrace.errors import ConfigError
from phasetrace.redaction_rules import Rules
from phasetrace.settings import (
    VARIABLES,
    BatchLimits,
    Settings,
    batch_limits,
    default_store,
    settings_from,
    settings_or_defaults,
    store_path,
)
from phasetrace.variables import redacted

HIDDEN = "hunter2"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Return a function's worth of messages: what phasetrace logs in the test."""
    messages: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Handler()
    logging.getLogger("phasetrace").addHandler(handler)
    yield messages
    logging.getLogger("phasetrace").removeHandler(handler)


def test_nothing_set_is_the_local_store_and_no_network() -> None:
    """Without any setting spans go to the user's store and nowhere else."""
    settings = settings_from({})
    assert settings == Settings(
        store=default_store(),
        retention=(500, 512 * 1024 * 1024),
        delivery="thread",
        timing=None,
        redact=Rules(),
        exporters=(),
        protocol="http/protobuf",
        endpoint=None,
        trace_url=None,
        service_name=None,
        disabled=False,
        max_value_length=None,
        handle_signals=None,
        given_endpoint=None,
        exporters_given=False,
    )


def test_the_default_store_is_an_absolute_path() -> None:
    """The store's place does not depend on the current folder."""
    assert default_store().is_absolute()


HERE = Path.cwd()

READ: list[tuple[str, str, str, Any]] = [
    ("PHASETRACE_STORE", "off", "store", None),
    ("PHASETRACE_STORE", "NO", "store", None),
    ("PHASETRACE_STORE", "/a/b.db", "store", Path("/a/b.db")),
    ("PHASETRACE_STORE", " b.db ", "store", HERE / "b.db"),
    ("PHASETRACE_STORE", "~/b.db", "store", Path.home() / "b.db"),
    ("PHASETRACE_STORE", "  ", "store", default_store()),
    ("PHASETRACE_RETENTION", "off", "retention", (None, None)),
    ("PHASETRACE_RETENTION", "3 executions", "retention", (3, None)),
    ("PHASETRACE_RETENTION", "1 execution,2KB", "retention", (1, 2048)),
    ("PHASETRACE_RETENTION", "5mb", "retention", (None, 5 * 1024**2)),
    ("PHASETRACE_RETENTION", "1 GB, 7 Executions", "retention", (7, 1024**3)),
    ("PHASETRACE_DELIVERY", "OFF", "delivery", "off"),
    ("PHASETRACE_DELIVERY", "thread", "delivery", "thread"),
    ("PHASETRACE_TIMING", "on", "timing", HERE / ".logs" / "phasetrace.log"),
    ("PHASETRACE_TIMING", "1", "timing", HERE / ".logs" / "phasetrace.log"),
    ("PHASETRACE_TIMING", "off", "timing", None),
    ("PHASETRACE_TIMING", "t.log", "timing", HERE / "t.log"),
    ("PHASETRACE_TRACE_URL", "off", "trace_url", None),
    ("PHASETRACE_TRACE_URL", "http://x/{trace_id}", "trace_url", "http://x/{trace_id}"),
    ("PHASETRACE_TRACE_URL", "HTTPS://x/{trace_id}", "trace_url", "HTTPS://x/{trace_id}"),
    ("OTEL_TRACES_EXPORTER", "none", "exporters", ()),
    ("OTEL_TRACES_EXPORTER", "otlp", "exporters", ("otlp",)),
    ("OTEL_TRACES_EXPORTER", " console , otlp,,console", "exporters", ("console", "otlp")),
    ("OTEL_TRACES_EXPORTER", ",", "exporters", ()),
    ("OTEL_TRACES_EXPORTER", "OTLP , Console", "exporters", ("otlp", "console")),
    ("OTEL_TRACES_EXPORTER", "NONE", "exporters", ()),
    ("OTEL_TRACES_EXPORTER", "Mine,OTLP,otlp", "exporters", ("Mine", "otlp")),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC", "protocol", "grpc"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf", "protocol", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318", "exporters", ("otlp",)),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://h:4318", "exporters", ("otlp",)),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "protocol", "grpc"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "protocol", "grpc"),
    ("OTEL_SDK_DISABLED", "TRUE ", "disabled", True),
    ("OTEL_SDK_DISABLED", "false", "disabled", False),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0", "max_value_length", 0),
    ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "12", "max_value_length", 12),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "unset", "max_value_length", None),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), READ)
def test_a_variable_is_read(
    name: str, text: str, field: str, value: Any, logged: list[str]
) -> None:
    """A good value is taken, and nothing is said about it."""
    assert getattr(settings_from({name: text}), field) == value
    assert logged == []


@pytest.mark.parametrize(
    ("environ", "field", "value"),
    [
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            "protocol",
            "http/protobuf",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b",
            },
            "endpoint",
            "http://b",
        ),
        (
            {
                "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1",
                "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2",
            },
            "max_value_length",
            2,
        ),
        (
            {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"},
            "exporters",
            (),
        ),
    ],
)
def test_the_narrower_variable_wins(environ: dict[str, str], field: str, value: Any) -> None:
    """The variable for traces wins over the one for all signals; a named exporter over a guess."""
    assert getattr(settings_from(environ), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PHASETRACE_RETENTION", "many"),
        ("PHASETRACE_RETENTION", "5 executions,"),
        ("PHASETRACE_RETENTION", "-5 executions"),
        ("PHASETRACE_DELIVERY", "carrier pigeon"),
        ("PHASETRACE_TRACE_URL", "http://x/"),
        ("PHASETRACE_TRACE_URL", "x/{trace_id}"),
        ("PHASETRACE_TRACE_URL", "--option{trace_id}"),
        ("PHASETRACE_TRACE_URL", "file:///{trace_id}"),
        ("PHASETRACE_TRACE_URL", "javascript:'http://{trace_id}'"),
        ("PHASETRACE_STORE", "~no such user/b.db"),
        ("PHASETRACE_TIMING", "~no such user/t.log"),
    ],
)
def test_a_bad_value_of_ours_is_refused(name: str, text: str) -> None:
    """The message names the variable, the value and what is expected."""
    (expected,) = [variable.expected for variable in VARIABLES if variable.name == name]
    with pytest.raises(ConfigError) as refused:
        settings_from({name: text})
    assert str(refused.value) == f"{name}={text!r}: expected {expected}"


@pytest.mark.parametrize(
    ("name", "text", "field", "default"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "protocol", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "smoke", "protocol", "http/protobuf"),
        ("OTEL_SDK_DISABLED", "maybe", "disabled", False),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-5", "max_value_length", None),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "protocol", "http/protobuf"),
        ("OTEL_TRACES_SAMPLER", "half", "protocol", "http/protobuf"),
    ],
)
def test_a_bad_standard_value_is_warned_about(
    name: str, text: str, field: str, default: Any, logged: list[str]
) -> None:
    """For a standard variable there is one warning, and the default."""
    assert getattr(settings_from({name: text}), field) == default
    (message,) = logged
    assert name in message
    assert repr(text) in message
    assert "expected" in message


def test_a_bad_narrow_protocol_falls_back_to_the_wide_one(logged: list[str]) -> None:
    """A bad value for traces leaves the one for all signals in force."""
    environ = {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "x",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    assert settings_from(environ).protocol == "grpc"
    assert len(logged) == 1


def test_who_never_asked_gets_defaults_and_a_line_each(logged: list[str]) -> None:
    """Without a call of configure() bad values are told, once each, and the others are kept."""
    settings = settings_or_defaults(
        {
            "PHASETRACE_STORE": "off",
            "PHASETRACE_RETENTION": "PHASETRACE_STORE",
            "PHASETRACE_DELIVERY": "x",
        }
    )
    assert (settings.store, settings.retention) == (None, (500, 512 * 1024 * 1024))
    assert settings.delivery == "thread"
    assert [message.split("=")[0] for message in logged] == [
        "phasetrace: PHASETRACE_RETENTION",
        "phasetrace: PHASETRACE_DELIVERY",
    ]


EXPORTER = InMemorySpanExporter()

GIVEN: list[tuple[str, Any, Any]] = [
    ("store", False, None),
    ("store", "off", None),
    ("store", Path("b.db"), HERE / "b.db"),
    ("retention", (5, None), (5, None)),
    ("retention", [5, 1024], (5, 1024)),
    ("retention", False, (None, None)),
    ("delivery", False, "off"),
    ("timing", True, HERE / ".logs" / "phasetrace.log"),
    ("timing", False, None),
    ("timing", "t.log", HERE / "t.log"),
    ("trace_url", False, None),
    ("exporters", "console,none", ("console",)),
    ("exporters", ["console", "console"], ("console",)),
    ("exporters", [], ()),
    ("exporters", ["console", EXPORTER, EXPORTER], ("console", EXPORTER)),
    ("exporters", EXPORTER, (EXPORTER,)),
    ("protocol", "grpc", "grpc"),
    ("protocol", "GRPC", "grpc"),
    ("endpoint", "http://h:4317", "http://h:4317"),
    ("service_name", "s", "s"),
    ("disabled", True, True),
    ("max_value_length", 5, 5),
]


@pytest.mark.parametrize(("field", "given", "value"), GIVEN)
def test_a_call_wins_over_the_environment(field: str, given: Any, value: Any) -> None:
    """What a call gives is taken, in Python's types or as text, whatever the variables say."""
    environ = {
        "PHASETRACE_STORE": "/x.db",
        "PHASETRACE_RETENTION": "9 executions",
        "PHASETRACE_DELIVERY": "thread",
        "PHASETRACE_TIMING": "/x.log",
        "PHASETRACE_TRACE_URL": "http://x/{trace_id}",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9",
    }
    assert getattr(settings_from(environ, **{field: given}), field) == value


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("store", 5),
        ("store", True and b"\xff\xfe"),
        ("store", "a\0b"),
        ("retention", 5),
        ("retention", (1, 2, 3)),
        ("retention", (-1, None)),
        ("delivery", 5),
        ("timing", 5),
        ("trace_url", 5),
        ("trace_url", "file:///{trace_id}"),
        ("exporters", 5),
        ("exporters", [5]),
        ("protocol", "smoke"),
        ("protocol", ["grpc"]),
        ("endpoint", 5),
        ("endpoint", " "),
        ("endpoint", True),
        ("service_name", 5),
        ("disabled", "maybe"),
        ("max_value_length", -1),
        ("max_value_length", True),
        ("max_value_length", "5"),
    ],
)
def test_a_bad_value_in_a_call_is_refused(field: str, given: Any) -> None:
    """The message names the setting, the value and what is expected."""
    with pytest.raises(ConfigError, match=rf"^{field}=.*: expected "):
        settings_from({}, **{field: given})


def test_an_unknown_setting_names_those_there_are() -> None:
    """A misspelled setting is answered with the list."""
    with pytest.raises(ConfigError, match=r"unknown setting stor; there are store, retention"):
        settings_from({}, stor="x")


def test_none_is_not_given() -> None:
    """None in a call leaves the environment in force."""
    assert settings_from({"PHASETRACE_STORE": "/x.db"}, store=None).store == Path("/x.db")


@pytest.mark.parametrize(
    ("environ", "given", "exporters", "exporters_given"),
    [
        ({}, {"endpoint": "http://h"}, ("otlp",), True),
        ({"OTEL_TRACES_EXPORTER": "none"}, {"endpoint": "http://h"}, ("otlp",), True),
        ({"OTEL_TRACES_EXPORTER": "console"}, {"endpoint": "h"}, ("console", "otlp"), True),
        (
            {"OTEL_TRACES_EXPORTER": "otlp_proto_grpc"},
            {"endpoint": "h"},
            ("otlp_proto_grpc",),
            True,
        ),
        ({}, {"endpoint": "http://h", "exporters": []}, (), True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, {}, ("otlp",), False),
    ],
)
def test_an_endpoint_asks_for_otlp(
    environ: dict[str, str],
    given: dict[str, Any],
    exporters: tuple[str, ...],
    exporters_given: bool,
) -> None:
    """Naming an endpoint is enough; whether a call named it is known."""
    settings = settings_from(environ, **given)
    assert (settings.exporters, settings.exporters_given) == (exporters, exporters_given)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://localhost:4318", "http://localhost:16686/trace/{trace_id}"),
        ("http://user:hunter2@h:4318/v1/traces", "http://h:16686/trace/{trace_id}"),
        ("HTTP://h:4317", "http://h:16686/trace/{trace_id}"),
        ("http://[::1]:4317", "http://[::1]:16686/trace/{trace_id}"),
        ("https://api.example.com", None),
        ("https://api.example.com:4317", None),
        ("https://h:4318/v1/traces", None),
        ("h:4317", None),
        ("//h:4317", None),
        ("http://h:99999", None),
        ("http://[::1:4317", None),
    ],
)
def test_jaegers_page_is_guessed(endpoint: str, url: str | None) -> None:
    """The page is Jaeger's on the same host, if the port is one of OTLP's, and there is no TLS."""
    assert settings_from({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}).trace_url == url


@pytest.mark.parametrize(
    "given",
    [
        {"trace_url": f"https://user:{HIDDEN}@h/x"},
        {"protocol": f"http://user:{HIDDEN}@h"},
        {"exporters": [f"http://{HIDDEN}@h".encode()]},
    ],
)
def test_messages_hold_no_secrets(given: dict[str, Any]) -> None:
    """What stands before the host of an address is left out of messages."""
    with pytest.raises(ConfigError) as refused:
        settings_from({}, **given)
    assert HIDDEN not in str(refused.value)
    assert "@h" in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, default_store()),
        ({"PHASETRACE_STORE": "off"}, None),
        ({"PHASETRACE_STORE": "/x.db"}, Path("/x.db")),
    ],
)
def test_reading_commands_find_the_store(environ: dict[str, str], path: Path | None) -> None:
    """Reading needs one setting only, and does not mind the others."""
    assert store_path({**environ, "PHASETRACE_DELIVERY": "bad"}) == path


def test_a_bad_store_is_refused_when_reading() -> None:
    """The reading commands tell of a bad path, too."""
    with pytest.raises(ConfigError, match="PHASETRACE_STORE"):
        store_path({"PHASETRACE_STORE": "~no such user/x.db"})


def test_batch_limits_come_from_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not set is nobody's word."""
    assert batch_limits() == (None, None, None)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", " 5 ")
    assert batch_limits() == BatchLimits(schedule_delay_ms=5)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100")
    assert batch_limits() == (100, 100, 5)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "1e3"])
def test_batch_limits_that_make_no_sense_are_told(
    value: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad standard variable is a warning and the default; the others hold."""
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": value, "OTEL_BSP_SCHEDULE_DELAY": "7"}
    assert batch_limits(environ) == (None, None, 7)
    assert [record.getMessage() for record in caplog.records] == [
        f"phasetrace: OTEL_BSP_MAX_QUEUE_SIZE={value!r}: expected a whole number above 0; "
        "the default is used"
    ]


def test_a_batch_has_to_fit_into_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise it could never be full."""
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "11"}
    assert batch_limits(environ) == BatchLimits(max_queue_size=10)
    assert "OTEL_BSP_MAX_EXPORT_BATCH_SIZE='11': expected at most" in caplog.text


def test_secrets_in_addresses_are_not_shown() -> None:
    """Neither in front of the host, nor in a query."""
    text = "cannot reach https://u:secret@h/v1?api_key=secret, nor 'http://h?k=secret#secret'"
    assert "secret" not in redacted(text)
    assert redacted("http://h:4318/v1/traces (why?)") == "http://h:4318/v1/traces (why?)"
