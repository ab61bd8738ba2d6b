"""Values of standard variables that cannot be used are told, and kept out of everybody's way."""

from __future__ import annotations

import importlib
import logging
import os
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBasedTraceIdRatio

from phasetrace.environment import standard_variables
from phasetrace.exporting import make_outlets
from phasetrace.sending import shipping_environment
from phasetrace.settings import settings_from, settings_with_sources
from phasetrace.standard_values import (
    AT_IMPORT,
    SAMPLERS,
    Unusable,
    in_force,
    unusable_values,
    without_effect,
)

PREFIX = "OTEL_EXPORTER_OTLP_"
HIDDEN = "hunter2"
READ = (
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_PROPAGATORS",
    AT_IMPORT,
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    f"{PREFIX}TIMEOUT",
    f"{PREFIX}TRACES_TIMEOUT",
    f"{PREFIX}COMPRESSION",
    f"{PREFIX}TRACES_COMPRESSION",
    f"{PREFIX}INSECURE",
    f"{PREFIX}TRACES_INSECURE",
)
"""What the SDK and the exporters read."""


def told(environ: dict[str, str], is_grpc: bool = False) -> list[str]:
    """Return what is said of an environment."""
    return [one.message for one in unusable_values(environ, is_grpc) if one.message]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OTEL_TRACES_SAMPLER", "half", f"expected one of {', '.join(SAMPLERS)}"),
        (AT_IMPORT, "abc", "expected a whole number"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-4", "expected a whole number"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1.5", "expected a whole number"),
        (f"{PREFIX}TIMEOUT", "abc", "expected a number of seconds"),
        (f"{PREFIX}TRACES_TIMEOUT", "-1", "expected a number of seconds"),
        (f"{PREFIX}TIMEOUT", "inf", "expected a number of seconds"),
        (f"{PREFIX}TIMEOUT", "nan", "expected a number of seconds"),
        (f"{PREFIX}COMPRESSION", "brotli", "expected one of none, gzip, deflate"),
        (f"{PREFIX}INSECURE", "perhaps", "expected true or false"),
    ],
)
def test_a_value_is_told_with_its_variable(name: str, value: str, message: str) -> None:
    """And with what is expected of it."""
    assert told({name: value}) == [f"{name}={value!r}: {message}; the default is used"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("OTEL_TRACES_SAMPLER", name) for name in SAMPLERS),
        ("OTEL_TRACES_SAMPLER", " Always_On "),
        (AT_IMPORT, " 5 "),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "0"),
        (f"{PREFIX}TIMEOUT", "2.5"),
        (f"{PREFIX}COMPRESSION", "GZIP"),
        (f"{PREFIX}COMPRESSION", "Deflate "),
        (f"{PREFIX}INSECURE", "TRUE"),
        ("OTEL_PROPAGATORS", "tracecontext, phasetrace"),
        ("OTEL_PROPAGATORS", "None"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c=,"),
        *((name, "") for name in READ),
        *((name, "  ") for name in READ),
    ],
)
def test_what_can_be_used_is_not_spoken_of(name: str, value: str) -> None:
    """Whatever its case; an empty value is none (OpenTelemetry, "Parsing empty value")."""
    assert told({name: value}) == []


def test_what_compresses_depends_on_the_protocol() -> None:
    """The exporter for gRPC knows gzip alone."""
    environ = {f"{PREFIX}COMPRESSION": "deflate"}
    assert told(environ) == []
    (message,) = told(environ, is_grpc=True)
    assert "expected one of none, gzip (over gRPC)" in message
    found = settings_with_sources({**environ, f"{PREFIX}PROTOCOL": "grpc"})
    assert [one.message for one in found.bad] == [message]


@pytest.mark.parametrize(
    ("sampler", "argument", "is_bad"),
    [
        ("traceidratio", "2", True),
        ("parentbased_traceidratio", "abc", True),
        ("TraceIdRatio", "-0.1", True),
        ("traceidratio", "0.25", False),
        ("traceidratio", "", False),
        ("always_on", "abc", False),
        ("", "abc", False),
    ],
)
def test_the_argument_counts_where_it_is_used(sampler: str, argument: str, is_bad: bool) -> None:
    """By the samplers that take a ratio."""
    environ = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    expected = f"OTEL_TRACES_SAMPLER_ARG={argument!r}: expected a number from 0 to 1; the default"
    assert [one.startswith(expected) for one in told(environ)] == [True] * is_bad


def test_a_sampler_of_a_package_is_its_own_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's provider may well know it."""
    monkeypatch.setattr("phasetrace.standard_values._installed", lambda group: {"mine"})
    assert told({"OTEL_TRACES_SAMPLER": "mine"}) == []


@pytest.mark.parametrize(
    ("value", "message", "instead"),
    [
        ("a=b", None, "a=b"),
        (f"{HIDDEN},a=b", "part 1 of 2 is not name=value, and is left out", "a=b"),
        (f"a=b,{HIDDEN},c", "part 2 and 3 of 3 is not name=value, and is left out", "a=b"),
        (HIDDEN, "its value is not name=value, and is left out", None),
        ("a=b,,", None, "a=b"),
    ],
)
def test_attributes_that_are_none(value: str, message: str | None, instead: str | None) -> None:
    """Are told by their place, and the others are used."""
    environ = {"OTEL_RESOURCE_ATTRIBUTES": value}
    found = unusable_values(environ, False)
    assert told(environ) == ([f"OTEL_RESOURCE_ATTRIBUTES: {message}"] if message else [])
    assert in_force(environ, found).get("OTEL_RESOURCE_ATTRIBUTES") == instead


@pytest.mark.parametrize(
    ("value", "missing", "instead"),
    [
        ("foo", "foo", None),
        ("foo, TraceContext,baggage", "foo", "tracecontext,baggage"),
        ("BAGGAGE,", None, "baggage"),
    ],
)
def test_propagators_that_are_not_installed(
    value: str, missing: str | None, instead: str | None
) -> None:
    """Are told with those there are, and the others are used."""
    environ = {"OTEL_PROPAGATORS": value}
    start = f"OTEL_PROPAGATORS={missing!r}: no such propagator is installed; there are baggage,"
    assert [one.startswith(start) for one in told(environ)] == [True] * bool(missing)
    assert in_force(environ, unusable_values(environ, False)).get("OTEL_PROPAGATORS") == instead


def test_a_secret_in_an_address_is_not_told() -> None:
    """Whatever variable it was put into by mistake."""
    environ = {f"{PREFIX}TIMEOUT": f"http://me:{HIDDEN}@h", "OTEL_PROPAGATORS": f"x://{HIDDEN}@h"}
    assert len(told(environ)) == 2
    assert HIDDEN not in "".join(told(environ))


class Complaints(logging.Handler):
    """What OpenTelemetry logs."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.said.append(record.getMessage())


values = st.one_of(
    st.sampled_from(["", " ", "unset", "brotli", "none", "gzip", "abc", "-1", "nan", "0", "7"]),
    st.sampled_from(["a=b,", "x,a=b", "foo", "b3,tracecontext", " always_on", "traceidratio"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=300), max_size=8),
)


@given(st.dictionaries(st.sampled_from(READ), values, max_size=6), st.booleans())
def test_opentelemetry_never_complains(environ: dict[str, str], is_grpc: bool) -> None:
    """Nor raises, whatever the variables hold; and afterwards they hold it again."""
    complaints = Complaints()
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(complaints)
    propagator = propagate.get_global_textmap()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            before = dict(os.environ)
            with standard_variables():
                Resource.create()
                SpanLimits()
                importlib.reload(propagate)  # which then loads the propagators
                TracerProvider(shutdown_on_exit=False)
            name = "otlp_proto_grpc" if is_grpc else "otlp_proto_http"
            (outlet,) = make_outlets(settings_from(store=False, exporters=name))
            outlet.exporter.shutdown()
            assert dict(os.environ) == before
    finally:
        logger.removeHandler(complaints)
        propagate.set_global_textmap(propagator)
    assert complaints.said == []


def test_what_can_be_used_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The narrower variable gives way to the wider one where it cannot be used."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", " parentbased_traceidratio ")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "3")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "abc")
    monkeypatch.setenv(f"{PREFIX}TRACES_TIMEOUT", "abc")
    monkeypatch.setenv(f"{PREFIX}TIMEOUT", "7")
    with standard_variables():
        provider = TracerProvider(shutdown_on_exit=False)
        exporter = OverGrpc(endpoint="http://h:1")
    assert isinstance(provider.sampler, ParentBasedTraceIdRatio)
    assert provider.sampler._root.rate == 0.25  # type: ignore[attr-defined]
    assert (provider._span_limits.max_events, provider._span_limits.max_links) == (3, 128)
    assert exporter._timeout == 7
    exporter.shutdown()


NAMES = [
    *("ENDPOINT", "HEADERS", "TIMEOUT", "COMPRESSION"),
    *("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"),
]
GIVEN = dict(
    zip(NAMES, ["http://h:1", "key=value", "7", "gzip", "/ca", "/client", "/key"], strict=True)
)


def files_of(exporter: Any) -> tuple[Any, Any]:
    """Return whom an exporter over HTTP trusts, and who it is."""
    if not hasattr(exporter, "_client"):
        return exporter._certificate_file, exporter._client_cert
    session = exporter._client._transport._session
    return session.verify, session.cert


@pytest.mark.parametrize("signal", ["", "TRACES_"])
@pytest.mark.parametrize("blanks", ["{} ", " {}", "\t{}\r\n"])
def test_blanks_at_the_ends_belong_to_no_value(
    signal: str, blanks: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The exporter gets what it would have got without them, and nobody speaks of it."""
    for name, value in GIVEN.items():
        monkeypatch.setenv(f"{PREFIX}{signal}{name}", blanks.format(value))
    (outlet,) = make_outlets(settings_from(store=False))
    exporter = outlet.exporter
    assert exporter._endpoint == f"http://h:1{'' if signal else '/v1/traces'}"
    assert exporter._compression.value == "gzip"
    client = getattr(exporter, "_client", exporter)  # releases before 1.45 have it in themselves
    assert (client._timeout, client._headers["key"]) == (7, "value")
    assert files_of(exporter) == ("/ca", ("/client", "/key"))
    exporter.shutdown()
    assert caplog.text == ""
    assert os.environ[f"{PREFIX}{signal}ENDPOINT"] == blanks.format("http://h:1")


@pytest.mark.parametrize("signal", ["", "TRACES_"])
@pytest.mark.parametrize("value", ["", " "])
def test_what_holds_blanks_only_is_not_set(
    signal: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the wider variable, or the default, is in force."""
    for name in NAMES:
        monkeypatch.setenv(f"{PREFIX}{signal}{name}", value)
    settings = settings_from(store=False, exporters="otlp_proto_http,otlp_proto_grpc")
    over_http, over_grpc = make_outlets(settings)
    assert over_http.exporter._endpoint == "http://localhost:4318/v1/traces"
    assert over_grpc.exporter._endpoint == "localhost:4317"
    assert files_of(over_http.exporter)[0] is True
    for one in (over_http, over_grpc):
        one.exporter.shutdown()


def test_a_process_that_delivers_gets_no_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it get what is empty."""
    monkeypatch.setenv(f"{PREFIX}ENDPOINT", "http://h:1 ")
    monkeypatch.setenv(f"{PREFIX}TRACES_ENDPOINT", " ")
    environment = shipping_environment(settings_from())
    assert environment[f"{PREFIX}ENDPOINT"] == "http://h:1"
    assert f"{PREFIX}TRACES_ENDPOINT" not in environment


def test_an_unknown_sampler_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the specification has it."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "half")
    with standard_variables():
        assert TracerProvider(shutdown_on_exit=False).sampler is DEFAULT_ON


def test_others_wait_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they could find them back in the middle of what they do."""
    monkeypatch.setenv(AT_IMPORT, "abc")
    at_door = threading.Event()
    seen: list[str | None] = []

    def looked(*args: Any) -> list[Unusable]:
        seen.append("looked")
        return unusable_values(*args)

    def read() -> None:
        at_door.set()
        with standard_variables():
            seen.append(os.environ.get(AT_IMPORT))

    thread = threading.Thread(target=read)
    with standard_variables(), standard_variables():
        # Whoever looks at the variables now is inside already.
        monkeypatch.setattr("phasetrace.environment.unusable_values", looked)
        thread.start()
        at_door.wait()
        thread.join(0.1)
        assert seen == []
        assert AT_IMPORT not in os.environ
    thread.join()
    assert seen == ["looked", None]
    assert os.environ[AT_IMPORT] == "abc"


def test_nothing_is_touched_where_all_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is the rule."""
    monkeypatch.setenv(f"{PREFIX}TIMEOUT", "7")
    monkeypatch.setattr("phasetrace.environment._set", lambda *_: pytest.fail("it was"))
    with standard_variables():
        assert os.environ[f"{PREFIX}TIMEOUT"] == "7"


def test_the_settings_show_what_is_in_force() -> None:
    """And not what cannot be used."""
    environ = {
        f"{PREFIX}COMPRESSION": "brotli",
        f"{PREFIX}TRACES_TIMEOUT": "abc",
        f"{PREFIX}TIMEOUT": "7",
        "OTEL_TRACES_SAMPLER": "half",
    }
    shown = {one.setting: one.shown for one in settings_with_sources(environ).values}
    assert shown["timeout"] == "7"
    assert not {"compression", "sampler"} & shown.keys()


def test_a_process_that_delivers_can_import_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not given what cannot be used."""
    monkeypatch.setenv(AT_IMPORT, "abc")
    assert AT_IMPORT not in shipping_environment(settings_from())


def test_a_time_that_is_too_long_is_said() -> None:
    """It was meant in milliseconds, as the specification has it."""
    (line,) = without_effect({"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"})
    assert line == (
        "OTEL_EXPORTER_OTLP_TIMEOUT=10000 is in seconds, as Python's exporters read it; a request"
        " is given 60 at most"
    )
    assert without_effect({"OTEL_EXPORTER_OTLP_TIMEOUT": "60"}) == []
