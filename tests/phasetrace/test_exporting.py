"""Exporters: found by name whoever installed them, fed in batches, their faults our own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from phasetrace import faults
from phasetrace.errors import ConfigError
from phasetrace.exporting import GROUP, CountingExporter, batch_processor, make_exporters
from phasetrace.settings import settings_from

HIDDEN = "hunter2"


class Recorded:
    """An exporter that keeps what it was made with."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.ended = False

    def export(self, spans: object) -> SpanExportResult:
        """Take everything."""
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Note it."""
        self.ended = True


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that installs exporters, each under its name, and no others."""

    class Point:
        def __init__(self, name: str, factory: Callable[..., Any]) -> None:
            self.name = name
            self.load = lambda: factory

    def install(**factories: Callable[..., Any]) -> None:
        points = [Point(name, factory) for name, factory in factories.items()]
        monkeypatch.setattr("phasetrace.exporting.entry_points", lambda group: points)

    return install


def made(*exporters: Any, **given: Any) -> list[Any]:
    """Return the exporters that settings make, without their counters."""
    settings = settings_from({}, store=False, exporters=exporters, **given)
    return [exporter.inner for exporter in make_exporters(settings)]


@pytest.mark.parametrize("name", ["otlp", "otlp_proto_http", "otlp_proto_grpc", "console"])
def test_the_standard_names_are_installed(name: str) -> None:
    """What the specification names, and its packages install, can be made."""
    (exporter,) = made(name)
    exporter.shutdown()


@pytest.mark.parametrize(("protocol", "module"), [("http/protobuf", ".http."), ("grpc", ".grpc.")])
def test_the_protocol_chooses_the_transport(protocol: str, module: str) -> None:
    """``otlp`` is the official exporter for the protocol."""
    (exporter,) = made("otlp", protocol=protocol)
    assert module in type(exporter).__module__
    exporter.shutdown()


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://h:4318", "http://h:4318/v1/traces"),
        ("http://h:4318/", "http://h:4318/v1/traces"),
        ("http://h/base", "http://h/base/v1/traces"),
        ("http://h/v1/traces", "http://h/v1/traces"),
    ],
)
def test_an_http_endpoint_is_completed(
    install: Callable[..., None], endpoint: str, address: str
) -> None:
    """A base gets the path that the specification has for traces."""
    install(otlp_proto_http=Recorded)
    (exporter,) = made("otlp", endpoint=endpoint)
    assert exporter.arguments == {"endpoint": address}


def test_a_grpc_endpoint_is_left_as_it_is(install: Callable[..., None]) -> None:
    """An endpoint of gRPC has no path."""
    install(otlp_proto_grpc=Recorded)
    (exporter,) = made("otlp", endpoint="http://h:4317", protocol="grpc")
    assert exporter.arguments == {"endpoint": "http://h:4317"}


def test_the_environments_endpoint_is_the_exporters_to_read(install: Callable[..., None]) -> None:
    """Endpoint, headers and TLS of the environment are not touched by us."""
    install(otlp_proto_http=Recorded)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}
    (exporter,) = make_exporters(settings_from(environ))
    assert exporter.inner.arguments == {}


def test_console_is_the_tree_if_that_is_installed(install: Callable[..., None]) -> None:
    """Our console exporter takes the place of the SDK's."""
    install(console=lambda: "SDK", phasetrace_console=lambda: "tree")
    assert made("console") == ["tree"]


def test_console_is_the_sdks_otherwise(install: Callable[..., None]) -> None:
    """Without phasetrace's exporters the SDK's console is used."""
    install(console=lambda: "SDK")
    assert made("console") == ["SDK"]


def test_console_is_installed_as_a_tree() -> None:
    """The distribution registers its console exporter."""
    assert "phasetrace_console" in {point.name for point in entry_points(group=GROUP)}


def test_somebody_elses_exporter_is_found(install: Callable[..., None]) -> None:
    """Any name in the group can be used."""
    install(theirs=Recorded)
    (exporter,) = made("theirs")
    assert exporter.arguments == {}


def test_an_unknown_name_is_answered_with_those_there_are(install: Callable[..., None]) -> None:
    """The message names the installed exporters."""
    install(theirs=Recorded, mine=Recorded)
    with pytest.raises(ConfigError) as refused:
        made("thiers")
    assert str(refused.value) == (
        "exporters='thiers': no such exporter is installed; there are mine, none, otlp, theirs"
    )


def test_nothing_is_made_if_a_name_is_unknown(install: Callable[..., None]) -> None:
    """Names are looked at before exporters are made, which may connect."""
    calls: list[str] = []
    install(mine=lambda: calls.append("made"))
    with pytest.raises(ConfigError):
        made("mine", "thiers")
    assert calls == []


def test_an_exporter_that_cannot_be_made_is_told_without_secrets(
    install: Callable[..., None],
) -> None:
    """The message names the exporter and the reason, but no password; the others are ended."""
    fine = Recorded()

    def broken() -> None:
        raise ValueError(f"cannot connect to http://me:{HIDDEN}@host:4318")

    install(mine=lambda: fine, broken=broken)
    given = Recorded()
    with pytest.raises(ConfigError) as refused:
        made(given, "mine", "broken")
    assert str(refused.value) == (
        "cannot make the exporter 'broken': ValueError: cannot connect to http://…@host:4318"
    )
    assert refused.value.__suppress_context__  # the trace does not show the cause either


def test_an_exporter_given_as_such_is_used_as_it_is() -> None:
    """No entry point is needed, and none is looked for."""
    exporter = Recorded()
    assert made(exporter) == [exporter]


def spans(number: int) -> tuple[Any, ...]:
    """Return that many finished spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    made_spans = [tracer.start_span(f"s{index}") for index in range(number)]
    for span in made_spans:
        span.end()
    return tuple(made_spans)


@pytest.mark.parametrize(
    ("answer", "delivered", "failed"),
    [(SpanExportResult.SUCCESS, 3, 0), (SpanExportResult.FAILURE, 0, 3), (None, 0, 3)],
)
def test_what_became_of_spans_is_counted(answer: Any, delivered: int, failed: int) -> None:
    """Only what the exporter calls a success counts as delivered."""

    class Answering(Recorded):
        def export(self, spans: object) -> Any:
            return answer

    exporter = CountingExporter("mine", Answering())
    exporter.export(spans(3))
    assert (exporter.delivered, exporter.failed) == (delivered, failed)


def test_a_raising_exporter_is_a_fault_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """What an exporter raises is counted and said once, and goes no further."""

    class Raising(Recorded):
        def export(self, spans: object) -> Any:
            raise OSError("no")

        def shutdown(self) -> None:
            raise OSError("no")

    exporter = CountingExporter("mine", Raising())
    assert exporter.export(spans(2)) is SpanExportResult.FAILURE
    assert exporter.export(spans(2)) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert (exporter.failed, len(caplog.records)) == (4, 2)
    assert faults.counts()["exporting to mine"] == 2


def test_the_queue_takes_a_burst(caplog: pytest.LogCaptureFixture) -> None:
    """A burst larger than the SDK's queue of 2,048 is exported whole."""
    exporter = InMemorySpanExporter()
    processor = batch_processor(CountingExporter("mine", exporter))
    for span in spans(10_000):
        processor.on_end(span)
    assert processor.force_flush()
    assert len(exporter.get_finished_spans()) == 10_000
    processor.shutdown()  # type: ignore[no-untyped-call]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("environ", "name", "wanted"),
    [
        ({}, "mine", {"max_queue_size": 65_536}),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "600"}, "mine", {}),
        ({}, "phasetrace_console", {"max_queue_size": 65_536, "schedule_delay_millis": 200}),
        (
            {"OTEL_BSP_SCHEDULE_DELAY": "1000"},
            "phasetrace_console",
            {"max_queue_size": 65_536},
        ),
    ],
)
def test_limits_that_are_set_are_left_to_the_sdk(
    environ: dict[str, str], name: str, wanted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours replace the SDK's defaults only."""
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        "phasetrace.exporting.BatchSpanProcessor",
        lambda exporter, **arguments: given.update(arguments),
    )
    batch_processor(CountingExporter(name, Recorded()))
    assert given == wanted


def test_limits_that_make_no_sense_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad standard variable is a warning and the default."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1")
    processor = batch_processor(CountingExporter("mine", Recorded()))
    assert isinstance(processor, BatchSpanProcessor)
    processor.shutdown()  # type: ignore[no-untyped-call]
    assert "OTEL_BSP_*" in caplog.text
