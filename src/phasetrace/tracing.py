"""What records in this process under one configuration."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.sdk.trace import SpanLimits, SpanProcessor
from opentelemetry.trace import NoOpTracer

from phasetrace import clock, exporting, faults, global_provider, phase_span, redaction
from phasetrace._version import __version__
from phasetrace.attributes import MAX_VALUE_LENGTH
from phasetrace.collector import RemovedExecution, TimingCollector
from phasetrace.context import is_suppressed
from phasetrace.current import keep_apart
from phasetrace.delivery.fleet import Delivery, Fleet
from phasetrace.delivery.shipping import make_fleet
from phasetrace.environment import standard_variables
from phasetrace.executions import Executions
from phasetrace.exporting import Outlet
from phasetrace.fallback import Fallback
from phasetrace.feed import Feed
from phasetrace.pace import Drainer, Draining, Pace
from phasetrace.pipeline import Sink, pipeline
from phasetrace.planned_ids import PlannedIds
from phasetrace.processor import TimingSpanProcessor
from phasetrace.provider import TracerProvider
from phasetrace.recorder import Recorder
from phasetrace.redaction import Redaction
from phasetrace.settings import Settings
from phasetrace.sinks import CollectorSink, FeedSink, StoreSink
from phasetrace.store.processor import StoreSpanProcessor
from phasetrace.store.retention import Retention
from phasetrace.store.writer import StoreWriter
from phasetrace.switch import ProcessorSwitch
from phasetrace.tally import ExecutionTotals, Metadata
from phasetrace.tracer import Tracer

if TYPE_CHECKING:
    from pathlib import Path

    from phasetrace.timing_log import TimingLog

EXIT_TIMEOUT_S = 5.0
"""What exporters get at the end. What they have not delivered then waits in the store, and is given
up where there is none."""
EXIT_PATIENCE_S = 0.7
"""So long the end of the program waits for a receiver that takes nothing of what is stored."""
_STORE_TIMEOUT_S = 30.0
"""What the store gets: it is on this machine, and a full queue takes some seconds to write."""
_PROVIDER_TIMEOUT_S = 1.0
"""What the application's provider gets at the end of a process that does not end it by itself."""


class Hooks(NamedTuple):
    """What the process is to do at its turns."""

    first_use: Callable[[], None]
    """Before the first span of a process, a forked one too."""
    foreign_provider: Callable[[], None]
    """When spans start to go through a provider of the application's."""


class Tracing:
    """Everything that records in this process. Thread-safe.

    Made by steps, so that a new configuration can fail before it has touched anything: the
    constructor makes what may fail, `start` makes spans come here.
    """

    def __init__(
        self,
        settings: Settings,
        collector: TimingCollector,
        executions: Executions,
        hooks: Hooks,
    ) -> None:
        self.settings = settings
        self.collector = collector
        self.executions = executions
        self.writer: StoreWriter | None = None
        self._hooks = hooks
        self._binding = threading.Lock()  # guards the provider and the recorder
        self._switches: dict[ProcessorSwitch, Callable[[], list[SpanProcessor]]] = {}
        self._shut_down = False
        self._gave_up_at: float | None = None  # monotonic, on a receiver that takes nothing
        self._forked = False
        self._used = False
        self._timing_log: TimingLog | None = None
        self._drainer: Drainer | None = None
        self._provider: Any = None
        self._replacements = global_provider.replacements()
        self._recorder: Recorder | None = None
        global_provider.load_selected()
        self.outlets = self._make_outlets()
        self._feeds: list[Feed] = [outlet.feed() for outlet in self.outlets if not outlet.spec]
        stored = [outlet for outlet in self.outlets if outlet.spec is not None]
        self._fallback = Fallback(stored if settings.delivery != "off" else [])
        self._fleet: Fleet | None = None

    def start(self, previous: Tracing | None) -> None:
        """Record from now on, in place of `previous`, which goes on until then."""
        settings = self.settings
        if redaction.in_force().rules != settings.redact:
            if previous is not None:  # what was recorded under the old policy goes by that
                previous.flush(EXIT_TIMEOUT_S)
            redaction.put_in_force(Redaction(settings.redact))
        if settings.store is not None:
            if previous is not None and previous.shares_store_with(self):
                # The same writer goes on: to the store, this is still the same process.
                self.writer, previous.writer = previous.writer, None
            else:
                self.writer = StoreWriter(
                    settings.store,
                    Retention(*settings.retention),
                    self._totals_to_store,
                    self.executions.rooted_elsewhere,
                    pipeline=pipeline,
                )
        self.executions.claim = self.writer.claim if self.writer is not None else None
        if self.writer is not None:
            self._fleet = make_fleet(settings, self.writer.path, self.outlets)
            if tuple(self.writer.destinations) != self._fleet.specs:
                if previous is not None:
                    # What has ended goes where it was to go; the old couriers deliver what they
                    # find in the store.
                    pipeline.drain()
                    self.writer.flush(EXIT_TIMEOUT_S)
                self.writer.destinations = self._fleet.specs
            self.writer.on_written = self._fleet.wake
            self.writer.on_unwritable = self._fallback.take if self._fallback else None
        if previous is not None:
            previous.leave(self)
        if settings.timing is not None:
            self._timing_log = self._make_timing_log(settings.timing, previous)
        phase_span.disarm()
        phase_span.is_off = settings.disabled
        self._global = global_provider.installed()
        self._bind(self._global)

    @property
    def exporters(self) -> list[Feed]:
        """What feeds exporters from memory."""
        return [*self._feeds, *self._fallback.feeds]

    @property
    def fallbacks(self) -> Sequence[Feed]:
        """Those among them that were to be fed from the store."""
        return self._fallback.feeds

    def recorder(self) -> Recorder | None:
        """Return what to record with; None if OpenTelemetry is disabled."""
        if global_provider.installed() is not self._global:
            self._rebind()
        elif global_provider.replacements() != self._replacements:
            self._follow_replacement()
        return self._recorder

    def close_executions(self) -> None:
        """Give every implicit execution of this process its root span; end the ambient one."""
        if self.executions.end_ambient is not None:
            self.executions.end_ambient()
        if self.writer is not None and self.collector.executions():
            self.writer.flush(_STORE_TIMEOUT_S)  # tells whose roots are another process's to end
        for exec_id in self.collector.executions():
            self.close_execution(exec_id)

    def force_flush(self, timeout_s: float = 30.0) -> bool:
        """Do what `flush` does, and have the provider's other processors flush, too."""
        deadline = time.monotonic() + timeout_s
        flushed = self._flush_provider(timeout_s)
        if not isinstance(self._provider, TracerProvider):  # ours has come to `flush` by itself
            flushed = self.flush(deadline - time.monotonic()) and flushed
        return flushed

    def flush(self, timeout_s: float, patience_s: float | None = None) -> bool:
        """Bring what has come here into the store and to the exporters; return whether it is.

        With `patience_s` a receiver that for so long takes nothing of what is stored, or fails, is
        given up before the time is over.
        """
        deadline = time.monotonic() + (0.0 if self._shut_down else max(0.0, timeout_s))
        pipeline.drain()
        flushes = exporting.begin_flush(self._feeds, _left_s(deadline))
        flushed = self.writer is None or self.writer.flush(_left_s(deadline))
        flushes += exporting.begin_flush(self._fallback.feeds, _left_s(deadline))
        if self._timing_log is not None:
            flushed = self._timing_log.force_flush(round(_left_s(deadline) * 1000)) and flushed
        if self._fleet is not None:
            flushed = self._fleet.flush(deadline, patience_s) and flushed
        return exporting.end_flush(flushes) and flushed

    def settle(self) -> None:
        """Bring out what has come here, as the end of the program does; more may come."""
        if self._shut_down:
            return
        self.save()
        begun_at = time.monotonic()
        if not self.flush(EXIT_TIMEOUT_S, self._patience_s()):
            now = time.monotonic()
            if now - begun_at >= EXIT_PATIENCE_S:
                self._gave_up_at = now

    def shut_down_providers(self) -> None:
        """End what was added to providers of phasetrace's own, as the SDK's do at exit."""
        for provider in global_provider.own_providers():
            try:
                if isinstance(provider, TracerProvider) and provider.has_processors:
                    provider.shutdown()
            except Exception as error:  # from a processor of the application's
                faults.report("shutting the tracer provider down", error)

    def flush_provider_at_end(self) -> None:
        """Have the provider's other processors export what they hold, which nobody else will now.

        For a second at most, whatever they make of their timeouts.
        """
        if isinstance(self._provider, TracerProvider) and not self._provider.has_processors:
            return
        call = partial(self._flush_provider, _PROVIDER_TIMEOUT_S)
        thread = threading.Thread(target=call, name="phasetrace-provider", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down, or there are too many
            return
        thread.join(_PROVIDER_TIMEOUT_S)

    def save(self) -> None:
        """Bring what has come here into the store."""
        pipeline.drain()
        if self.writer is not None:
            self.writer.flush(_STORE_TIMEOUT_S)

    def shares_store_with(self, other: Tracing) -> bool:
        """Tell whether another configuration writes the same store in the same way."""
        mine, theirs = self.settings, other.settings
        return (mine.store, mine.retention) == (theirs.store, theirs.retention)

    def leave(self, successor: Tracing) -> None:
        """Prepare for a successor, while spans still come here."""
        kept = [outlet.exporter for outlet in successor.outlets]
        for feed in self.exporters:
            feed.kept = any(feed.exporter is exporter for exporter in kept)
        if self.writer is not None:  # the successor writes elsewhere
            self.close_executions()

    def write_out(self) -> None:
        """Write everything, and let the store and the exporters go. Idempotent."""
        if self._shut_down:
            return
        self._shut_down = True
        pipeline.drain()
        if self.writer is not None:
            self.writer.close(_STORE_TIMEOUT_S)
        if self._drainer is not None:
            self._drainer.stop()
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        feeds = self.exporters
        for feed in feeds:
            feed.begin_shutdown()
        if self._fleet is not None:
            self._fleet.finish(EXIT_TIMEOUT_S, self._patience_s())
        exporting.shut_down(feeds, max(0.0, deadline - time.monotonic()))
        if self._timing_log is not None:
            self._timing_log.shutdown()

    def deliveries(self) -> list[Delivery]:
        """Return how far delivery from the store has got."""
        return self._fleet.outcome() if self._fleet is not None else []

    def lost_before_delivery(self) -> dict[str, int]:
        """Return how many spans were to be delivered and came neither into the store nor further.

        By the reason why they were not stored.
        """
        if self.writer is None or self._fleet is None or not self._fleet.specs:
            return {}
        return self.writer.routed_lost

    def disconnect(self) -> None:
        """Take no spans any more."""
        phase_span.disarm()
        if pipeline.owner is self:
            phase_span.is_off = False
        pipeline.disconnect(self)
        for switch in self._switches:
            switch.disconnect(self)
        ProcessorSwitch.wait_for_calls()

    def after_fork(self) -> None:
        """Start afresh in a forked child."""
        self._binding = threading.Lock()
        self._forked = True
        self._used = False
        self._fallback.after_fork()
        phase_span.disarm()
        pipeline.after_fork()
        if pipeline.owner is self:
            # The parent's exporters hold connections that the parent goes on using.
            self._connect_pipeline(exporting_too=False)
            pipeline.first_use = self._first_use
        if self._timing_log is not None:
            self._timing_log.after_fork()
        for switch in self._switches:
            if switch.owner is self:
                # The parent's exporters hold connections that the parent goes on using.
                processors = (one for one in switch.processors if one not in self._feeds)
                switch.connect(self, list(processors), self._first_use)

    def close_execution(self, exec_id: str) -> None:
        """Give an implicit execution its root span."""
        try:
            extent = self.collector.extent(exec_id)
            recorder = self._recorder
            if extent is not None and recorder is not None:
                recorder.emit_root(exec_id, *extent)
        except Exception as error:
            faults.report("ending an execution", error)

    def removed(self, execution: RemovedExecution) -> None:
        """Store the totals of an execution that left the collector."""
        if self.writer is not None:
            self.writer.removed(execution.totals)

    def emit(
        self, exec_id: str, node_id: str, phase: str, duration_ns: int, metadata: Metadata
    ) -> None:
        """Make a span of a measurement that was made elsewhere."""
        try:
            recorder = self.recorder()
            if recorder is None or is_suppressed():
                return
            end_ns = recorder.end_of_measurement(exec_id, node_id, duration_ns, self.collector)
            span, _ = recorder.start_phase(
                exec_id, node_id, phase, metadata, start_ns=end_ns - duration_ns
            )
            recorder.end(span, end_ns=end_ns)
        except Exception as error:
            faults.report("recording a measurement", error)

    def _flush_provider(self, timeout_s: float) -> bool:
        """Flush the processors of the provider, ours among them; return whether that was done."""
        force_flush = getattr(self._provider, "force_flush", None)
        try:
            return force_flush is None or force_flush(round(timeout_s * 1000)) is not False
        except Exception as error:  # from a processor of the application's
            faults.report("flushing the tracer provider", error)
            return False

    def _patience_s(self) -> float:
        """Return how long the end waits for a receiver that takes nothing: not twice in a row."""
        gave_up_at = self._gave_up_at
        if gave_up_at is not None and time.monotonic() - gave_up_at < EXIT_TIMEOUT_S:
            return 0.0
        return EXIT_PATIENCE_S

    def _feeds_exporters(self) -> bool:
        """Tell whether spans go to exporters of ours.

        An application's provider has the exporters that the application wants; another one is fed
        only if a call asked for it.
        """
        if self.settings.disabled:
            return False
        installed = global_provider.installed()
        theirs = hasattr(installed, "add_span_processor") and not global_provider.is_own(installed)
        return not theirs or self.settings.exporters_given

    def _make_outlets(self) -> list[Outlet]:
        """Find out where spans are to go; make the exporters that this process is to use."""
        if not self._feeds_exporters():
            return []
        delivery = self.settings.delivery
        outlets = exporting.make_outlets(self.settings, makes=delivery == "thread")
        if delivery == "off":
            outlets = [outlet for outlet in outlets if outlet.spec is not None]
        return outlets

    def _first_use(self) -> None:
        """Do what a process has to do that records; called before its first span.

        And before the first one after a fork, in the parent as well.
        """
        if self._forked:
            self._forked = False
            try:
                self._remake_exporters()
            except Exception as error:
                faults.report("making the exporters of a forked process", error)
        if not self._used:
            self._used = True
            self._hooks.first_use()
        for feed in self._feeds:
            feed.start()  # at the end, when the pipeline is drained, it is too late
        if self._fleet is not None and self.writer is not None:
            self.writer.on_written = self._fleet.wake  # a fork has undone it
            self._fleet.wake()
        if pipeline.owner is self:
            if pipeline.worker is not None:
                pipeline.worker.wake()  # from now on it looks by itself
            if self._recorder is not None:
                phase_span.arm(self._recorder, self._global, pipeline)

    def before_fork(self) -> None:
        """Have the next span start again what ends before a fork."""
        phase_span.disarm()
        pipeline.first_use = self._first_use

    def _remake_exporters(self) -> None:
        if not self._feeds:
            return
        self._feeds = [outlet.again().feed() for outlet in self.outlets if not outlet.spec]
        for switch, processors in self._switches.items():
            if switch.owner is self:
                switch.processors = tuple(processors())
        if pipeline.owner is self:
            self._connect_pipeline()

    def _make_timing_log(self, path: Path, previous: Tracing | None) -> TimingLog:
        if previous is not None and previous.settings.timing == path:
            log, previous._timing_log = previous._timing_log, None
            if log is not None:
                return log
        from phasetrace.timing_log import TimingLog  # logging.handlers is dear to import

        return TimingLog(path)

    def _totals_to_store(self, last: bool) -> list[ExecutionTotals]:
        self.collector.settle()
        return self.collector.unsaved(running=last)

    def _bind(self, installed: Any) -> None:
        """Make spans through `installed`, or through a provider of our own."""
        provider = installed if hasattr(installed, "add_span_processor") else None
        if provider is not None and not global_provider.is_own(provider):
            try:
                if not isinstance(provider, TracerProvider):
                    global_provider.switch_of(provider)
                self._hooks.foreign_provider()
            except Exception as error:
                faults.report("adding a span processor; phasetrace's own provider is used", error)
                provider = None
        else:
            provider = None
        if provider is None:
            provider = global_provider.own_provider(self.settings)
            if installed is None or global_provider.is_own(installed):
                global_provider.offer(provider)
                self._global = provider
        # What others trace by a provider of another kind is no part of what is traced here.
        keep_apart(
            installed is not None
            and not global_provider.is_own(installed)
            and provider is not installed
        )
        self._provider = provider
        self._connect_pipeline()
        pipeline.first_use = self._first_use
        for own in global_provider.own_providers():
            self._connect(own, exporting_too=True)
        if not global_provider.is_own(provider):
            self._connect(provider, exporting_too=self.settings.exporters_given)
        self._recorder = self._make_recorder()

    def _connect_pipeline(self, exporting_too: bool = True) -> None:
        """Have the pipeline hand what ends to the store, the collector and the exporters."""
        sinks: list[Sink] = []
        if self.writer is not None:
            # Before the collector: whatever is counted is then on its way to the store.
            sinks.append(StoreSink(self.writer))
        sinks.append(CollectorSink(self.collector))
        feeds = self._feeds if exporting_too else []
        sinks += [FeedSink(feed) for feed in feeds]
        if self._drainer is not None:
            self._drainer.stop()
            self._drainer = None
        draining: Draining | None = self.writer
        if draining is None and feeds:
            draining = self._drainer = Drainer(pipeline)
        pace = None
        if draining is not None:
            pace = Pace(draining, lambda: [*feeds, *self._fallback.feeds])
        pipeline.connect(self, sinks, pace, self.flush, self.settle)
        self.collector.source = pipeline
        self.collector.settled_elsewhere = self.writer is not None

    def _connect(self, provider: Any, exporting_too: bool) -> None:
        """Have a provider's spans come here: by the pipeline, or else by a processor."""
        if isinstance(provider, TracerProvider):
            provider.connect(pipeline, exporting_too, phase_span.disarm)
            if self._timing_log is None and not global_provider.has_switch(provider):
                return
            processors = self._passed_by
        elif exporting_too:
            processors = self._all_processors
        else:
            processors = self._local_processors
        switch = global_provider.switch_of(provider)
        if switch.owner is not self:
            self._switches[switch] = processors
            switch.connect(self, processors(), self._first_use)

    def _passed_by(self) -> list[SpanProcessor]:
        """Return the processors for spans that come by the pipeline as well."""
        return [self._timing_log] if self._timing_log is not None else []

    def _local_processors(self, exporting_too: bool = False) -> list[SpanProcessor]:
        processors: list[SpanProcessor] = [TimingSpanProcessor(self.collector)]
        if self.writer is not None:
            processors.append(StoreSpanProcessor(self.writer, routed=exporting_too))
        return processors + self._passed_by()

    def _all_processors(self) -> list[SpanProcessor]:
        return [*self._local_processors(exporting_too=True), *self._feeds]

    def _rebind(self) -> None:
        """Move over to a provider that the application has installed meanwhile."""
        with self._binding:
            installed = global_provider.installed()
            if installed is self._global:
                return
            if installed is not None and installed is not self._provider:
                self._bind(installed)
            self._global = installed

    def _follow_replacement(self) -> None:
        """Go on where the provider behind the application's has been exchanged for another one."""
        with self._binding:
            if global_provider.replacements() != self._replacements:
                self._replacements = global_provider.replacements()
                self._hooks.foreign_provider()  # its end is later than that of the first one
                self._recorder = self._make_recorder()

    def _make_recorder(self) -> Recorder | None:
        tracer = self._provider.get_tracer("phasetrace", __version__)
        if self.settings.disabled or isinstance(tracer, NoOpTracer):
            return None
        # A tracer may stand for another one, as its provider does.
        maker: Any = tracer
        if not hasattr(maker, "id_generator"):
            maker = getattr(maker, "tracer", maker)
        planned_ids = None if isinstance(tracer, Tracer) else getattr(maker, "id_generator", None)
        if planned_ids is not None and not isinstance(planned_ids, PlannedIds):
            # The tracer is ours alone (it has our scope), so its generator is ours to wrap.
            planned_ids = maker.id_generator = PlannedIds(planned_ids)
        provider = global_provider.actual(self._provider)
        limits = getattr(provider, "_span_limits", None)
        if not isinstance(limits, SpanLimits):
            with standard_variables():
                limits = SpanLimits()
        lengths = (self.settings.max_value_length, limits.max_span_attribute_length)
        given = [length for length in lengths if length is not None]
        return Recorder(
            tracer,
            planned_ids,
            self.executions,
            getattr(provider, "sampler", None),
            clock.now_ns,
            limits.max_span_attributes,
            min(given) if given else MAX_VALUE_LENGTH,
        )


def _left_s(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
