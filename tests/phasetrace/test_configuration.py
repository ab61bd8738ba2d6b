"""Wiring: one configuration in force, a good guest beside other libraries' providers."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import phasetrace
from phasetrace import (
    ConfigError,
    StoreError,
    UnknownExecution,
    configuration,
    configure,
    execution,
    faults,
    force_flush,
    shutdown,
    time_phase,
    timing_collector,
)
from phasetrace.store.reader import StoreReader
from phasetrace.tracing import EXIT_PATIENCE_S, Tracing
from tests import stored_spans
from tests.phasetrace.timing import least_s


class Exporter(InMemorySpanExporter):
    """Keeps the names of what it was given, and knows how often it was shut down."""

    def __init__(self) -> None:
        super().__init__()
        self.shut_down = 0

    def shutdown(self) -> None:
        """Count, and go on."""
        self.shut_down += 1

    def names(self) -> list[str]:
        """Return the names of the exported spans, sorted."""
        return sorted(span.name for span in self.get_finished_spans())


def application_provider(exporter: SpanExporter | None = None) -> TracerProvider:
    """Return a stock SDK provider, as an application would set it up."""
    provider = TracerProvider(shutdown_on_exit=False)
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def run_phase(name: str, exec_id: str = "exec_1") -> None:
    """Record one phase."""
    with time_phase(exec_id, "node_1", name):
        pass


def stored(path: Path) -> list[str]:
    """Return the names of the spans in a store, sorted; none if there is no store."""
    if not path.exists():
        return []
    with contextlib.closing(stored_spans.connect(path)) as connection:
        return sorted(name for (name,) in connection.execute("SELECT name FROM spans"))


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Return what any logger says at WARNING or above during the test."""
    messages: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Handler(logging.WARNING)
    logging.getLogger().addHandler(handler)
    yield messages
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def environment_exporter(monkeypatch: pytest.MonkeyPatch) -> Exporter:
    """Install an exporter under the name ``test`` and name it in the environment."""
    exporter = Exporter()
    install(monkeypatch, test=lambda: exporter)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "test")
    return exporter


def install(monkeypatch: pytest.MonkeyPatch, **factories: Callable[..., Any]) -> None:
    """Install exporters, each under its name, in place of those that are there."""

    class Point:
        def __init__(self, name: str, factory: Callable[..., Any]) -> None:
            self.name = name
            self._factory = factory

        def load(self) -> Callable[..., Any]:
            return self._factory

    points = [Point(name, factory) for name, factory in factories.items()]
    monkeypatch.setattr("phasetrace.exporting.entry_points", lambda group: points)


# What is in force


def test_a_phase_needs_no_configuration(tmp_path: Path) -> None:
    """The first phase sets everything up from the environment."""
    run_phase("a")
    assert force_flush()
    assert stored(tmp_path / "store" / "traces.db") == ["a"]


def test_importing_and_configuring_makes_no_network_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With nothing set there are no exporters."""
    configure()
    assert configuration.current_tracing().exporters == []


def test_the_same_settings_again_change_nothing() -> None:
    """A second call with what is in force keeps everything, open files included."""
    configure(store=False, service_name="s")
    tracing = configuration.current_tracing()
    configure(store=False, service_name="s")
    assert configuration.current_tracing() is tracing


def test_the_first_phase_after_a_call_uses_its_settings() -> None:
    """A phase does not configure again."""
    configure(store=False)
    tracing = configuration.current_tracing()
    run_phase("a")
    assert configuration.current_tracing() is tracing


def test_another_store_gets_the_later_spans(tmp_path: Path) -> None:
    """Each span is in the store that was in force when it ended, with the roots."""
    configure(store=tmp_path / "a.db")
    run_phase("first", "exec_1")
    configure(store=tmp_path / "b.db")
    run_phase("second", "exec_2")
    shutdown()
    assert stored(tmp_path / "a.db") == ["exec_1", "first"]
    assert stored(tmp_path / "b.db") == ["exec_2", "second"]


@pytest.mark.parametrize("change", [{"delivery": "off"}, {"service_name": "other"}])
def test_the_same_store_goes_on(tmp_path: Path, change: dict[str, Any]) -> None:
    """Other settings do not end an execution, nor count or lose anything of it."""
    store = tmp_path / "a.db"
    configure(store=store)
    run_phase("first")
    configure(store=store, **change)
    run_phase("second")
    assert timing_collector.breakdown("exec_1").spans == 2
    shutdown()
    assert stored(store) == ["exec_1", "first", "second"]
    with StoreReader(store) as reader:
        assert reader.breakdown(reader.find("exec_1")).spans == 3


def test_a_span_open_across_a_change_is_counted_once(tmp_path: Path) -> None:
    """A span that starts under one configuration and ends under the next is there once."""
    with time_phase("exec_1", "node_1", "across"):
        configure(store=tmp_path / "b.db")
    shutdown()
    assert timing_collector.breakdown("exec_1").nodes[0].phases[0].count == 1
    assert "across" in stored(tmp_path / "b.db")
    assert "across" not in stored(tmp_path / "store" / "traces.db")


def test_old_exporters_are_flushed_and_shut_down() -> None:
    """A new configuration ends the exporters of the old one, after they got everything."""
    old, new = Exporter(), Exporter()
    configure(store=False, exporters=[old])
    run_phase("first", "exec_1")
    configure(store=False, exporters=[new])
    run_phase("second", "exec_2")
    shutdown()
    assert (old.names(), old.shut_down) == (["first"], 1)
    assert "second" in new.names()
    assert "first" not in new.names()
    assert new.shut_down == 1


@pytest.mark.parametrize("kind", [None, TracerProvider])
def test_spans_go_to_the_destination_in_force_when_they_ended(
    kind: type[TracerProvider] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the first tenant's gets to the second one's receiver, and none of them is lost."""
    if kind is not None:
        trace.set_tracer_provider(kind(shutdown_on_exit=False))
    first, second = Exporter(), Exporter()
    install(monkeypatch, first=lambda: first, second=lambda: second)
    for name in ("first", "second", "first"):
        configure(exporters=[name])
        run_phase(f"to the {name}")
    configure(exporters=[])
    run_phase("to nobody")
    assert force_flush()
    assert first.names() == ["to the first", "to the first"]
    assert second.names() == ["to the second"]


def test_an_exporter_that_stays_is_not_shut_down() -> None:
    """An exporter given again goes on, and gets every span once."""
    exporter = Exporter()
    configure(store=False, exporters=[exporter])
    run_phase("first")
    configure(store=False, exporters=[exporter], max_value_length=5)
    assert exporter.shut_down == 0
    run_phase("second")
    shutdown()
    assert exporter.names() == ["execution", "first", "second"]
    assert exporter.shut_down == 1


def test_libraries_keep_their_tracers_across_a_change() -> None:
    """A tracer that a library got under one configuration records under the next."""
    exporter = Exporter()
    configure(store=False, service_name="one")
    tracer = trace.get_tracer("library")
    configure(store=False, service_name="two", exporters=[exporter])
    tracer.start_span("library's").end()
    shutdown()
    assert exporter.names() == ["library's"]


def test_a_bad_setting_changes_nothing(tmp_path: Path) -> None:
    """A refused call leaves the configuration before it at work."""
    configure(store=tmp_path / "a.db")
    tracing = configuration.current_tracing()
    with pytest.raises(ConfigError):
        configure(store=tmp_path / "b.db", exporters=["no such exporter"])
    with pytest.raises(ConfigError):
        configure(delivery="by hand")
    assert configuration.current_tracing() is tracing
    run_phase("a")
    shutdown()
    assert stored(tmp_path / "a.db") == ["a", "exec_1"]
    assert not (tmp_path / "b.db").exists()


def test_two_threads_configure_at_once() -> None:
    """Whoever comes second wins, and one configuration is in force."""
    exporters = [Exporter() for _ in range(8)]
    barrier = threading.Barrier(8)

    def call(exporter: Exporter) -> None:
        barrier.wait()
        configure(store=False, exporters=[exporter])

    threads = [threading.Thread(target=call, args=(exporter,)) for exporter in exporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run_phase("a")
    shutdown()
    assert sum(exporter.names().count("a") for exporter in exporters) == 1
    assert [exporter.shut_down for exporter in exporters] == [1] * 8


def test_no_span_is_lost_or_doubled_while_configurations_change(tmp_path: Path) -> None:
    """Phases of another thread are each counted once, stored once and exported once."""
    exporters = [Exporter()]
    stores = [tmp_path / "a.db", tmp_path / "b.db"]
    configure(store=stores[0], exporters=exporters)
    made, turns = 2_000, 10
    turn = threading.Semaphore(0)

    def work() -> None:
        for index in range(made):
            if index % (made // turns) == 0:
                turn.acquire()
            run_phase(f"p{index}")

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(turns):
        exporters.append(Exporter())
        turn.release()
        configure(store=stores[len(exporters) % 2], exporters=exporters[-1:])
    worker.join()
    shutdown()
    wanted = sorted(f"p{index}" for index in range(made))
    got = [name for exporter in exporters for name in exporter.names() if name[0] == "p"]
    assert sorted(got) == wanted
    assert sorted(name for path in stores for name in stored(path) if name[0] == "p") == wanted


def test_after_shutdown_nothing_is_recorded() -> None:
    """A phase after shutdown() runs, and leaves no span."""
    exporter = Exporter()
    configure(store=False, exporters=[exporter])
    shutdown()
    run_phase("a")
    timing_collector.record("exec_2", "node_1", "recorded", 5.0)
    assert exporter.names() == []
    assert timing_collector.get("exec_1") == {}
    assert timing_collector.get("exec_2")["node_1"]["recorded"] == 5.0


def test_shutdown_twice_is_one() -> None:
    """A second shutdown() has nothing to do."""
    exporter = Exporter()
    configure(store=False, exporters=[exporter])
    shutdown()
    shutdown()
    assert exporter.shut_down == 1


def test_configure_after_shutdown_records_again() -> None:
    """shutdown() is not the end if configure() follows."""
    exporter = Exporter()
    configure(store=False)
    shutdown()
    configure(store=False, exporters=[exporter])
    run_phase("a")
    assert force_flush()
    assert exporter.names() == ["a"]


def test_flushing_without_a_configuration_is_done() -> None:
    """Nothing was recorded, so nothing is missing."""
    assert force_flush()


def test_defaults_win_over_the_environment_and_lose_to_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What ``phasetrace run`` sets stands between the two; None in a call is not given."""
    monkeypatch.setenv("PHASETRACE_DELIVERY", "off")
    configuration.set_defaults(delivery="thread", service_name="run")
    configure(service_name=None)
    settings = configuration.current_tracing().settings
    assert (settings.delivery, settings.service_name) == ("thread", "run")
    configure(service_name="call")
    assert configuration.current_tracing().settings.service_name == "call"


def test_the_service_name_is_on_the_spans() -> None:
    """``service_name`` becomes the resource's ``service.name``."""
    exporter = Exporter()
    configure(store=False, service_name="mine", exporters=[exporter])
    run_phase("a")
    assert force_flush()
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "mine"


@pytest.mark.parametrize(("variable", "given"), [("8", None), ("8", 20), ("20", 8)])
def test_the_shortest_limit_of_values_holds(
    monkeypatch: pytest.MonkeyPatch, logged: list[str], variable: str, given: int | None
) -> None:
    """Values are cut to the standard limit before the SDK would, which warns."""
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", variable)
    exporter = Exporter()
    configure(store=False, exporters=[exporter], max_value_length=given)
    with time_phase("exec_1", "node_1", "p", model="a long name, longer than 20"):
        pass
    assert force_flush()
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {})["model"] == "a long n"
    assert logged == []


def test_values_may_be_cut_to_nothing(logged: list[str]) -> None:
    """A limit of 0 is a limit."""
    exporter = Exporter()
    configure(store=False, max_value_length=0, exporters=[exporter])
    with time_phase("exec_1", "node_1", "p", model="name"):
        pass
    assert force_flush()
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {})["model"] == ""


# Bad values at the first phase


def test_a_bad_value_at_the_first_phase_is_one_line(
    monkeypatch: pytest.MonkeyPatch, logged: list[str], tmp_path: Path
) -> None:
    """A program that never asked runs on, with the default and one line."""
    monkeypatch.setenv("PHASETRACE_RETENTION", "a lot")
    run_phase("a")
    run_phase("b")
    assert force_flush()
    assert stored(tmp_path / "store" / "traces.db") == ["a", "b"]
    assert logged == [
        "phasetrace: PHASETRACE_RETENTION='a lot': expected like '500 executions, 512MB', either "
        "part alone, or off; the default is used"
    ]


def test_configure_refuses_the_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that asks is told."""
    monkeypatch.setenv("PHASETRACE_RETENTION", "a lot")
    with pytest.raises(ConfigError, match="PHASETRACE_RETENTION='a lot'"):
        configure()


def test_an_unknown_exporter_at_the_first_phase_is_one_line(
    monkeypatch: pytest.MonkeyPatch, logged: list[str], tmp_path: Path
) -> None:
    """Recording goes on locally, and the line names the exporters there are."""
    install(monkeypatch, mine=Exporter)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "minne")
    run_phase("a")
    run_phase("b")
    assert force_flush()
    assert stored(tmp_path / "store" / "traces.db") == ["a", "b"]
    assert logged == [
        "phasetrace: OTEL_TRACES_EXPORTER='minne': no such exporter is installed; "
        "there are mine, none, otlp; nothing is exported"
    ]


def test_a_fault_of_the_wiring_is_one_line(
    monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """If recording cannot start at all the program still runs, and is told once."""

    def broken(*args: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("phasetrace.tracing.Tracing.start", broken)
    run_phase("a")
    run_phase("b")
    timing_collector.record("exec_2", "n", "p", 1.0)
    assert len(logged) == 1
    assert "boom" in logged[0]
    assert faults.counts() == {"recording cannot start": 1}  # it was tried once


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1"),
        ("OTEL_TRACES_SAMPLER", "dice"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=,=,a"),
        ("OTEL_PYTHON_TRACER_PROVIDER", "no such provider"),
    ],
)
def test_a_bad_standard_variable_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Whatever the SDK makes of a standard variable, phases are recorded and exported."""
    monkeypatch.setenv(name, value)
    exporter = Exporter()
    configure(store=False, exporters=[exporter])
    run_phase("a")
    assert force_flush()
    assert exporter.names() == ["a"]


@pytest.mark.parametrize("where", ["environment", "call"])
def test_disabled_does_nothing(monkeypatch: pytest.MonkeyPatch, where: str, tmp_path: Path) -> None:
    """OTEL_SDK_DISABLED, or a call, turns everything off: no span, no store, no exporter."""
    exporter = Exporter()
    install(monkeypatch, test=lambda: exporter)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "test")
    if where == "environment":
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    else:
        configure(disabled=True)
    with execution("exec_1") as span:
        run_phase("a")
    timing_collector.record("exec_1", "node_1", "p", 5.0)
    shutdown()
    assert not span.is_recording()
    assert timing_collector.executions() == ()
    assert exporter.names() == []
    assert not (tmp_path / "store").exists()


# Exporters


def test_exporters_may_be_given_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and exporters can stand side by side."""
    named, given = Exporter(), Exporter()
    install(monkeypatch, test=lambda: named)
    configure(store=False, exporters=["test", given])
    run_phase("a")
    assert force_flush()
    assert (named.names(), given.names()) == (["a"], ["a"])


def test_delivery_off_feeds_no_exporter(environment_exporter: Exporter) -> None:
    """PHASETRACE_DELIVERY=off keeps spans local."""
    configure(store=False, delivery="off")
    run_phase("a")
    shutdown()
    assert environment_exporter.names() == []


# Providers


def test_an_installed_provider_is_used(tmp_path: Path) -> None:
    """Phases become spans of the application's provider, and are stored and counted as well."""
    exporter = Exporter()
    provider = application_provider(exporter)
    trace.set_tracer_provider(provider)
    run_phase("a")
    assert force_flush()
    assert trace.get_tracer_provider() is provider
    assert exporter.names() == ["a"]
    assert stored(tmp_path / "store" / "traces.db") == ["a"]


def test_a_later_provider_is_moved_to(logged: list[str], tmp_path: Path) -> None:
    """The application may set its provider after our first phase, without a warning."""
    run_phase("before")
    exporter = Exporter()
    provider = application_provider(exporter)
    trace.set_tracer_provider(provider)
    run_phase("after")
    shutdown()
    assert trace.get_tracer_provider() is provider
    assert logged == []
    assert exporter.names() == ["after", "execution"]
    assert stored(tmp_path / "store" / "traces.db") == ["after", "before", "exec_1"]


def test_a_second_later_provider_is_refused_as_always(logged: list[str]) -> None:
    """Our offer does not use up the one call of set_tracer_provider, nor does it allow two."""
    run_phase("before")
    provider = application_provider()
    trace.set_tracer_provider(provider)
    trace.set_tracer_provider(application_provider())
    assert trace.get_tracer_provider() is provider
    assert logged == ["Overriding of current TracerProvider is not allowed"]


def test_other_libraries_find_our_provider() -> None:
    """Without a provider of the application's, libraries' spans are recorded by ours."""
    with time_phase("exec_1", "node_1", "p"):
        trace.get_tracer("library").start_span("library's").end()
    assert set(timing_collector.get("exec_1")["node_1"]) == {"p", "library's"}


def test_a_proxy_tracer_from_before_records_through_ours() -> None:
    """A library that got its tracer at import joins when there is a provider."""
    tracer = trace.get_tracer("library")
    with time_phase("exec_1", "node_1", "p"):
        tracer.start_span("library's").end()
    assert set(timing_collector.get("exec_1")["node_1"]) == {"p", "library's"}


def test_a_proxy_tracer_first_used_after_the_application_is_the_applications() -> None:
    """A tracer from before everything follows the application, if it was not used meanwhile."""
    tracer = trace.get_tracer("library")
    run_phase("ours")
    exporter = Exporter()
    trace.set_tracer_provider(application_provider(exporter))
    tracer.start_span("library's").end()
    assert exporter.names() == ["library's"]


def test_a_tracer_from_in_between_stays_ours(environment_exporter: Exporter) -> None:
    """What a late call cannot change: a library keeps the tracer it used, and we its spans."""
    configure(store=False)
    tracer = trace.get_tracer("library")
    exporter = Exporter()
    trace.set_tracer_provider(application_provider(exporter))
    run_phase("a")
    with time_phase("exec_1", "node_1", "p"):
        tracer.start_span("library's").end()
    assert force_flush()
    shutdown()
    assert "library's" not in exporter.names()
    assert "library's" in environment_exporter.names()
    assert "library's" in timing_collector.get("exec_1")["node_1"]


def test_a_phase_open_across_the_applications_call_ends_where_it_began() -> None:
    """The parent is recorded by ours, the child by the application's, in one trace."""
    exporter = Exporter()
    with time_phase("exec_1", "node_1", "outer") as outer:
        trace.set_tracer_provider(application_provider(exporter))
        run_phase("inner")
    (inner,) = exporter.get_finished_spans()
    assert inner.parent is not None
    assert inner.parent.span_id == outer.get_span_context().span_id
    assert set(timing_collector.get("exec_1")["node_1"]) == {"outer", "inner"}


def test_the_applications_exporters_are_not_doubled(environment_exporter: Exporter) -> None:
    """With a provider of the application's the environment's exporters are its affair."""
    trace.set_tracer_provider(application_provider(environment_exporter))
    run_phase("a")
    assert force_flush()
    shutdown()
    assert environment_exporter.names() == ["a", "execution"]
    assert environment_exporter.shut_down == 0


def test_the_environments_exporters_are_not_even_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a provider of the application's an exporter of the environment costs nothing."""
    made: list[str] = []
    install(monkeypatch, test=lambda: made.append("made"))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "test")
    trace.set_tracer_provider(application_provider())
    run_phase("a")
    assert made == []


def test_after_moving_over_the_environments_exporters_are_not_doubled(
    environment_exporter: Exporter,
) -> None:
    """Phases after the application's call go to its exporters only."""
    run_phase("before")
    exporter = Exporter()
    trace.set_tracer_provider(application_provider(exporter))
    run_phase("after")
    assert force_flush()
    configuration.current_tracing().write_out()
    assert environment_exporter.names() == ["before"]
    assert exporter.names() == ["after"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_exporters_given_by_a_call_are_fed_beside_the_applications(when: str) -> None:
    """A call that names exporters means them, whoever's the provider is."""
    theirs, ours = Exporter(), Exporter()
    if when == "before":
        trace.set_tracer_provider(application_provider(theirs))
    configure(store=False, exporters=[ours])
    if when == "after":
        trace.set_tracer_provider(application_provider(theirs))
    run_phase("a")
    assert force_flush()
    assert (theirs.names(), ours.names()) == (["a"], ["a"])


def test_a_provider_without_processors_is_left_alone(tmp_path: Path) -> None:
    """A provider of another kind stays installed; phases are recorded by one of ours."""

    class Provider(trace.NoOpTracerProvider):
        __slots__ = ()  # cannot be referred to weakly
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not comparable")

    provider = Provider()
    trace.set_tracer_provider(provider)
    run_phase("a")
    assert force_flush()
    assert trace.get_tracer_provider() is provider
    assert stored(tmp_path / "store" / "traces.db") == ["a"]


def test_a_provider_that_refuses_processors_is_left_alone(logged: list[str]) -> None:
    """If our processor is refused, phases are recorded by a provider of ours, after one line."""

    class Provider(TracerProvider):
        def add_span_processor(self, span_processor: SpanProcessor) -> None:
            raise RuntimeError("full up")

    provider = Provider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    run_phase("a")
    assert trace.get_tracer_provider() is provider
    assert "a" in timing_collector.get("exec_1")["node_1"]
    assert len(logged) == 1


def test_a_user_may_install_our_provider_with_exporters_of_his_own(
    environment_exporter: Exporter,
) -> None:
    """phasetrace.TracerProvider set up by hand is the application's provider like any other."""
    exporter = Exporter()
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    run_phase("a")
    assert force_flush()
    assert exporter.names() == ["a"]
    assert environment_exporter.names() == []


def test_the_applications_shutdown_of_its_provider_keeps_the_store_going(tmp_path: Path) -> None:
    """Phases after the provider's shutdown are still stored."""
    provider = application_provider()
    trace.set_tracer_provider(provider)
    run_phase("before")
    provider.shutdown()
    run_phase("after")
    shutdown()
    assert stored(tmp_path / "store" / "traces.db") == ["after", "before", "exec_1"]


def test_the_applications_flush_flushes_the_store(tmp_path: Path) -> None:
    """Our processors are flushed with the provider."""
    provider = application_provider()
    trace.set_tracer_provider(provider)
    run_phase("a")
    provider.force_flush()
    assert stored(tmp_path / "store" / "traces.db") == ["a"]


class Held(Exporter):
    """Takes nothing before it is let go; longer than a minute nobody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def export(self, spans: Any) -> SpanExportResult:
        """Wait."""
        self.go.wait(60.0)
        return super().export(spans)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Install an exporter that is held, under the name ``held``."""
    exporter = Held()
    install(monkeypatch, held=lambda: exporter)
    yield exporter
    exporter.go.set()


PROVIDERS = pytest.mark.parametrize("kind", [TracerProvider, phasetrace.TracerProvider])
STORES = pytest.mark.parametrize("store", [None, False], ids=["store", "no store"])


@PROVIDERS
@STORES
def test_a_providers_flush_says_whether_it_is_delivered(
    held: Held, kind: type[TracerProvider], store: bool | None
) -> None:
    """Being in the store is not enough (OpenTelemetry specification, SpanProcessor, ForceFlush)."""
    provider = kind(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    configure(store=store, exporters=["held"])
    run_phase("a")
    assert not provider.force_flush(100)
    assert not force_flush(0.1)
    held.go.set()
    assert provider.force_flush(10_000)
    assert held.names() == ["a"]
    assert force_flush(10.0)


@PROVIDERS
def test_a_providers_flush_takes_its_time_once(held: Held, kind: type[TracerProvider]) -> None:
    """However many there are to be waited for."""

    class Slow(SpanProcessor):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            threading.Event().wait(timeout_millis / 1000)
            return False

    provider = kind(shutdown_on_exit=False)
    provider.add_span_processor(Slow())
    trace.set_tracer_provider(provider)
    configure(store=False, exporters=["held", held])
    run_phase("a")
    assert 0.3 < least_s(lambda: provider.force_flush(400), tries=2) < 0.75
    assert 0.3 < least_s(lambda: force_flush(0.4), tries=2) < 0.75


@PROVIDERS
def test_a_providers_shutdown_waits_no_longer_than_a_programs_end(
    held: Held, kind: type[TracerProvider], tmp_path: Path
) -> None:
    """For a receiver that takes nothing, and not again at the end; and recording goes on."""
    provider = kind(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    configure(exporters=["held"])
    run_phase("a")
    started = time.monotonic()
    provider.shutdown()
    assert EXIT_PATIENCE_S <= time.monotonic() - started < 5.0
    run_phase("b")
    tracing = configuration.current_tracing()
    assert tracing._patience_s() == 0.0
    shutdown()
    assert stored(tmp_path / "store" / "traces.db") == ["a", "b", "exec_1"]


@PROVIDERS
def test_a_providers_shutdown_delivers(
    environment_exporter: Exporter, kind: type[TracerProvider]
) -> None:
    """What a receiver takes is with it afterwards."""
    provider = kind(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    configure(exporters=["test"])
    run_phase("a")
    provider.shutdown()
    assert environment_exporter.names() == ["a"]
    assert configuration.current_tracing()._patience_s() == EXIT_PATIENCE_S


@PROVIDERS
def test_a_flush_after_the_end_waits_for_nobody(held: Held, kind: type[TracerProvider]) -> None:
    """Exit handlers of an application may come after phasetrace's own."""
    provider = kind(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    configure(exporters=["held"])
    run_phase("a")
    configuration._at_exit()
    started = time.monotonic()
    assert not provider.force_flush(30_000)
    assert not force_flush(30.0)
    provider.shutdown()
    assert time.monotonic() - started < 5.0


def test_a_provider_gets_one_processor_of_ours() -> None:
    """However often it is configured, the application's provider has one processor more."""
    provider = application_provider()
    trace.set_tracer_provider(provider)
    for length in range(5):
        configure(store=False, max_value_length=length)
        run_phase("a")
    assert len(provider._active_span_processor._span_processors) == 1


@pytest.mark.parametrize("name", ["sdk_tracer_provider", "phasetrace"])
def test_the_provider_that_the_environment_selects_is_used(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    environment_exporter: Exporter,
) -> None:
    """OTEL_PYTHON_TRACER_PROVIDER's provider gets the exporters of the environment."""
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", name)
    configure(store=False)
    provider = trace.get_tracer_provider()
    assert type(provider) is (phasetrace.TracerProvider if name == "phasetrace" else TracerProvider)
    run_phase("a")
    assert force_flush()
    assert trace.get_tracer_provider() is provider
    assert environment_exporter.names() == ["a"]
    provider.shutdown()  # else the SDK's does it when the tests end


@pytest.mark.parametrize("first", ["phase", "provider", "tracer", "configure"])
def test_the_selected_provider_is_set_up_once(
    first: str, monkeypatch: pytest.MonkeyPatch, environment_exporter: Exporter
) -> None:
    """OTEL_PYTHON_TRACER_PROVIDER=phasetrace works whoever asks first, and delivers at the end."""
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "phasetrace")
    made = []
    start = Tracing.start

    def counted(self: Tracing, previous: Tracing | None) -> None:
        made.append(self)
        start(self, previous)

    monkeypatch.setattr(Tracing, "start", counted)
    if first == "provider":
        trace.get_tracer_provider()
    elif first == "tracer":
        trace.get_tracer_provider().get_tracer("library")
    elif first == "configure":
        configure()
    run_phase("a")
    provider = trace.get_tracer_provider()
    assert type(provider) is phasetrace.TracerProvider
    assert made == [configuration.current_tracing()]
    shutdown()
    assert environment_exporter.names() == ["a", "execution"]


def test_the_selected_provider_exports_for_programs_without_phases(
    monkeypatch: pytest.MonkeyPatch, environment_exporter: Exporter
) -> None:
    """By its entry point, and set up as soon as a library asks it for a tracer."""
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "phasetrace")
    with trace.get_tracer("library").start_as_current_span("work"):
        pass
    assert type(trace.get_tracer_provider()) is phasetrace.TracerProvider
    assert force_flush()
    assert environment_exporter.names() == ["work"]


# Sampling


def sampled_executions(exported: Exporter) -> dict[str, int]:
    """Return how many exported spans each execution has."""
    counts: dict[str, int] = {}
    for span in exported.get_finished_spans():
        exec_id = str((span.attributes or {})["exec_id"])
        counts[exec_id] = counts.get(exec_id, 0) + 1
    return counts


@pytest.mark.parametrize(
    ("sampler", "ratio", "least", "most"),
    [
        ("always_on", "", 40, 40),
        ("always_off", "", 0, 0),
        ("traceidratio", "0.1", 1, 39),
        ("parentbased_always_on", "", 40, 40),
        ("parentbased_always_off", "", 0, 0),
        ("parentbased_traceidratio", "0.1", 1, 39),
    ],
)
def test_sampling_costs_no_local_number(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sampler: str,
    ratio: str,
    least: int,
    most: int,
) -> None:
    """Every phase is counted and stored; an execution is exported as a whole, or not at all."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    exported = Exporter()
    configure(exporters=[exported])
    for index in range(20):
        with execution(f"explicit_{index}"):
            for _ in range(3):
                run_phase("p", f"explicit_{index}")
            trace.get_tracer("a.library").start_span("GET").end()
        for _ in range(4):
            run_phase("p", f"implicit_{index}")
    for kind, calls in (("explicit", 3), ("implicit", 4)):
        for index in range(20):
            found = phasetrace.breakdown(f"{kind}_{index}")
            (row,) = [row for one in found.nodes for row in one.phases if row.phase == "p"]
            assert row.count == calls
    shutdown()
    whole = sampled_executions(exported)
    assert set(whole.values()) <= {5}  # the root among them
    assert least <= len(whole) <= most
    assert len(stored(tmp_path / "store" / "traces.db")) == 200


def test_a_sampler_that_is_given_samples_and_records() -> None:
    """Spans outside of executions are left to it; attributes are not lost where it drops."""
    provider = phasetrace.TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    exported = Exporter()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    trace.set_tracer_provider(provider)
    with time_phase("e", "n", "p", rows=3) as span:
        assert span.is_recording()
        assert not span.get_span_context().trace_flags.sampled
        inner = trace.get_tracer("a.library").start_span("GET")
        assert inner.is_recording()
        inner.end()
    assert not trace.get_tracer("a.library").start_span("outside").is_recording()
    assert timing_collector.get("e")["n"]["p_metadata"] == {"rows": 3}
    assert exported.names() == []


# Asking


def test_a_breakdown_outlives_the_collector() -> None:
    """After `pop` the store answers, with what was finished a moment before."""
    run_phase("a", "popped")
    timing_collector.pop("popped")
    assert [row.phase for row in phasetrace.breakdown("popped").nodes[0].phases] == ["a"]


def test_a_breakdown_of_another_process_is_found_without_recording() -> None:
    """A process that has recorded nothing asks the store that the environment names."""
    run_phase("a", "elsewhere")
    shutdown()
    timing_collector.clear()
    configuration._latest = None
    assert phasetrace.breakdown("elsewhere").execution.exec_id == "elsewhere"


@pytest.mark.parametrize("store", [False, None])
def test_what_nobody_knows_is_said_so(store: bool | None) -> None:
    """The same words, whether or not there is a store; with what looks like it."""
    configure(store=store)
    run_phase("a", "exec_1")
    with pytest.raises(UnknownExecution) as raised:
        phasetrace.breakdown("exec_2")
    assert str(raised.value) == ("no execution 'exec_2' has been recorded; did you mean exec_1?")


def test_a_store_that_cannot_be_read_knows_nothing(tmp_path: Path) -> None:
    """Asking raises the one error that the caller expects, which says why."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "traces.db").write_bytes(b"not a database" * 100)
    configuration._latest = None
    with pytest.raises(UnknownExecution) as raised:
        phasetrace.breakdown("e")
    assert isinstance(raised.value.__cause__, StoreError)


def test_disabled_knows_no_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not recorded cannot be asked for."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    run_phase("a")
    with pytest.raises(UnknownExecution):
        phasetrace.breakdown("exec_1")
