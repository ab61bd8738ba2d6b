"""Wiring: from settings to a provider, its processors, the store and the exporters.

One `Tracing` is in force in a process. It is made by `configure`, or by the first phase if nobody
configured anything. A provider that the application has installed is used, before or after us; our
own is offered to other libraries in a way that lets the application still set one.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from phasetrace import clock, faults, scopes
from phasetrace._version import __version__
from phasetrace.attributes import MAX_VALUE_LENGTH
from phasetrace.breakdowns import ExecutionBreakdown
from phasetrace.collector import RemovedExecution, TimingCollector
from phasetrace.executions import Executions
from phasetrace.exporting import CountingExporter, batch_processor, make_exporters
from phasetrace.planned_ids import PlannedIds
from phasetrace.processor import TimingSpanProcessor
from phasetrace.provider import TracerProvider
from phasetrace.recorder import Recorder
from phasetrace.settings import (
    Settings,
    provider_selected,
    settings_from,
    settings_or_defaults,
)
from phasetrace.store.processor import StoreSpanProcessor
from phasetrace.store.retention import Retention
from phasetrace.store.writer import StoreWriter
from phasetrace.switch import ProcessorSwitch
from phasetrace.tally import ExecutionTotals, Metadata
from phasetrace.timing_log import TimingLog

timing_collector: Final = TimingCollector()
"""The collector that every phase of this process is added up in."""

executions: Final = Executions()
"""The executions that this process has taken part in."""

_EXIT_TIMEOUT_S: Final = 5.0


class Tracing:
    """Everything that records in this process. Thread-safe."""

    def __init__(
        self, settings: Settings, collector: TimingCollector, executions: Executions
    ) -> None:
        self.settings = settings
        self.collector = collector
        self.executions = executions
        self.exporters: list[CountingExporter] = make_exporters(settings)
        self.writer: StoreWriter | None = None
        self._timing_log: TimingLog | None = None
        self._binding = threading.Lock()  # guards the provider and the recorder
        self._switches: list[ProcessorSwitch] = []
        self._shut_down = False
        self._processors = self._make_processors()
        if provider_selected():
            trace.get_tracer_provider()  # loads and installs the one that the variable names
        self._global = _installed_provider()
        self._bind(self._global)

    def recorder(self) -> Recorder | None:
        """Return what to record with; None if OpenTelemetry is disabled."""
        if _installed_provider() is not self._global:
            self._rebind()
        return self._recorder

    def close_executions(self) -> None:
        """Give every implicit execution of this process its root span."""
        for exec_id in self.collector.executions():
            self._close_execution(exec_id)

    def force_flush(self, timeout_s: float = 30.0) -> bool:
        """Bring everything finished into the store and to the exporters; return whether it is."""
        flushed = self.writer is None or self.writer.flush(timeout_s)
        force_flush = getattr(self._provider, "force_flush", None)
        if force_flush is not None:
            flushed = force_flush(int(timeout_s * 1000)) is not False and flushed
        return flushed

    def shut_down(self, timeout_s: float = _EXIT_TIMEOUT_S) -> None:
        """End implicit executions, write out, and stop feeding the exporters. Idempotent."""
        if self._shut_down:
            return
        self._shut_down = True
        if self.writer is not None and self.collector.executions():
            self.writer.flush(timeout_s)  # tells whose roots are another process's to end
        self.close_executions()
        if self.writer is not None:
            self.writer.close(timeout_s)
        for processor in self._processors:
            processor.shutdown()
        for switch in self._switches:
            switch.processors = ()

    def after_fork(self) -> None:
        """Start afresh in a forked child."""
        self._binding = threading.Lock()
        if self.writer is not None:
            self.writer.after_fork()
        if self._timing_log is not None:
            self._timing_log.after_fork()

    def _make_processors(self) -> list[SpanProcessor]:
        settings = self.settings
        processors: list[SpanProcessor] = [TimingSpanProcessor(self.collector)]
        if settings.store is not None:
            self.writer = StoreWriter(
                settings.store,
                Retention(*settings.retention),
                self._totals_to_store,
                self.executions.rooted_elsewhere,
            )
            processors.append(StoreSpanProcessor(self.writer))
        if settings.timing is not None:
            self._timing_log = TimingLog(settings.timing)
            processors.append(self._timing_log)
        if settings.delivery != "off":
            processors += [batch_processor(exporter) for exporter in self.exporters]
        return processors

    def _totals_to_store(self, last: bool) -> list[ExecutionTotals]:
        self.collector.settle()
        return self.collector.unsaved(running=last)

    def _bind(self, installed: Any) -> None:
        """Make spans through `installed`, or through a provider of our own."""
        processors = self._processors
        if installed in _own_providers:
            installed = None  # from an earlier configuration
        if hasattr(installed, "add_span_processor"):
            self._provider: Any = installed
            if not self.settings.given_endpoint:
                # The application's provider has the exporters that the application wants.
                processors = [one for one in processors if not isinstance(one, BatchSpanProcessor)]
        else:
            self._provider = _own_provider(_resource(self.settings))
            if installed is None:
                _offer(self._provider)
                self._global = _installed_provider()
        switch = _switch_of(self._provider)
        switch.processors = tuple(processors)
        self._switches.append(switch)
        self._recorder = self._make_recorder()

    def _rebind(self) -> None:
        """Move over to a provider that the application has installed meanwhile."""
        with self._binding:
            installed = _installed_provider()
            if installed is self._global:
                return
            self._global = installed
            if installed is not None and installed is not self._provider:
                self._bind(installed)

    def _make_recorder(self) -> Recorder | None:
        tracer = self._provider.get_tracer("phasetrace", __version__)
        if self.settings.disabled or isinstance(tracer, trace.NoOpTracer):
            return None
        planned_ids = getattr(tracer, "id_generator", None)
        if planned_ids is not None and not isinstance(planned_ids, PlannedIds):
            # The tracer is ours alone (it has our scope), so its generator is ours to wrap.
            planned_ids = tracer.id_generator = PlannedIds(planned_ids)
        return Recorder(
            tracer,
            planned_ids,
            self.executions,
            getattr(self._provider, "sampler", None),
            clock.now_ns,
            SpanLimits().max_span_attributes,
            self.settings.max_value_length or MAX_VALUE_LENGTH,
        )

    def _close_execution(self, exec_id: str) -> None:
        try:
            extent = self.collector.extent(exec_id)
            recorder = self._recorder
            if extent is not None and recorder is not None:
                recorder.emit_root(exec_id, *extent)
        except Exception as error:
            faults.report("ending an execution", error)

    def _removed(self, execution: RemovedExecution) -> None:
        if self.writer is not None:
            self.writer.removed(execution.totals)

    def _emit(
        self, exec_id: str, node_id: str, phase: str, duration_ns: int, metadata: Metadata
    ) -> None:
        try:
            recorder = self.recorder()
            if recorder is None:
                return
            end_ns = recorder.end_of_measurement(exec_id, node_id, duration_ns, self.collector)
            span, _ = recorder.start_phase(
                exec_id, node_id, phase, metadata, start_ns=end_ns - duration_ns
            )
            recorder.end(span, end_ns=end_ns)
        except Exception as error:
            faults.report("recording a measurement", error)


_lock = threading.RLock()  # guards _tracing and _defaults
_tracing: Tracing | None = None
_defaults: dict[str, Any] = {}
_own_providers: list[TracerProvider] = []
_switches: WeakKeyDictionary[Any, ProcessorSwitch] = WeakKeyDictionary()


def configure(**settings: Any) -> None:
    """Set phasetrace up; what is not given comes from the environment, then from the defaults.

    Optional: the first phase does it if nobody did. Idempotent: the same settings again change
    nothing, others replace the earlier ones after everything has been flushed. Thread-safe.

    Args:
        **settings: Fields of `phasetrace.settings.Settings`: ``store`` (path, or False),
            ``retention``, ``delivery``, ``timing``, ``exporters`` (names), ``protocol``,
            ``endpoint``, ``trace_url``, ``service_name``, ``disabled``, ``max_value_length``.

    Raises:
        ConfigError: naming the setting, its value and what is expected.
    """
    with _lock:
        _configure(settings_from(**{**_defaults, **settings}))


def set_defaults(**settings: Any) -> None:
    """Give settings that win over the environment, and that a call of `configure` wins over.

    For whoever runs somebody's program (``phasetrace run``).
    """
    with _lock:
        _defaults.update(settings)
        _configure(settings_from(**_defaults))


def current_tracing() -> Tracing:
    """Return what records in this process, set up from the environment if need be."""
    with _lock:
        if _tracing is None:
            settings = settings_or_defaults()
            try:
                _configure(settings)
            except Exception as error:
                faults.logger.error("phasetrace: %s; nothing is exported", error)
                _configure(settings._replace(exporters=()))
        assert _tracing is not None  # noqa: S101 - _configure has set it
        return _tracing


def force_flush(timeout_s: float = 30.0) -> bool:
    """Bring all finished phases into the store and to the exporters.

    Returns:
        Whether everything got there in time.
    """
    return _tracing.force_flush(timeout_s) if _tracing is not None else True


def shutdown() -> None:
    """End what is open, write everything out and stop recording. Also happens at exit."""
    global _tracing
    with _lock:
        tracing, _tracing = _tracing, None
        scopes.source.recorder = _no_recorder
        timing_collector.emit = None
    if tracing is not None:
        tracing.shut_down()


def breakdown(exec_id: str) -> ExecutionBreakdown:
    """Return where the time of an execution of this process went, so far or in the end.

    Raises:
        UnknownExecution: if the collector does not hold it.
    """
    return timing_collector.breakdown(exec_id)


def _no_recorder() -> None:
    return None


def _configure(settings: Settings) -> None:
    global _tracing
    previous = _tracing
    if previous is not None and previous.settings == settings:
        return
    tracing = Tracing(settings, timing_collector, executions)  # may raise: then nothing has changed
    if previous is not None:
        previous.shut_down()
    _tracing = tracing
    timing_collector.emit = tracing._emit
    timing_collector.on_leaving = tracing._close_execution
    timing_collector.on_removed = tracing._removed
    scopes.source.recorder = tracing.recorder


def _own_provider(resource: Resource) -> TracerProvider:
    """Return phasetrace's provider with this resource; the same one every time.

    Libraries keep the tracers they got, so a new configuration has to go on with the old provider.
    """
    for provider in _own_providers:
        if provider.resource == resource:
            return provider
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _own_providers.append(provider)
    return provider


def _switch_of(provider: Any) -> ProcessorSwitch:
    switch = _switches.get(provider)
    if switch is None:
        switch = _switches[provider] = ProcessorSwitch()
        provider.add_span_processor(switch)
    return switch


def _first_recorder() -> Recorder | None:
    return current_tracing().recorder()


def _first_emit(
    exec_id: str, node_id: str, phase: str, duration_ns: int, metadata: Metadata
) -> None:
    current_tracing()._emit(exec_id, node_id, phase, duration_ns, metadata)


def _resource(settings: Settings) -> Resource:
    if settings.service_name is None:
        return Resource.create()
    return Resource.create({SERVICE_NAME: settings.service_name})


def _installed_provider() -> Any:
    """Return the provider that is installed globally, None if there is none."""
    # get_tracer_provider() would answer with a proxy, and a proxy cannot be told apart from a
    # provider that takes no processors.
    return getattr(trace, "_TRACER_PROVIDER", None)


def _offer(provider: TracerProvider) -> None:
    """Install our provider such that other libraries find it, and the application can replace it.

    `trace.set_tracer_provider` works once. It is the application's call to make, so it is left for
    it: only the variable that it would set is set here.
    """
    if hasattr(trace, "_TRACER_PROVIDER"):
        trace._TRACER_PROVIDER = provider
    else:
        trace.set_tracer_provider(provider)


def _at_exit() -> None:
    if _tracing is not None:
        _tracing.shut_down()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    scopes.source.process = object()
    timing_collector.after_fork()
    executions.after_fork()
    if _tracing is not None:
        _tracing.after_fork()


scopes.source.recorder = _first_recorder
timing_collector.emit = _first_emit
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
