"""What the pipeline hands spans to: the collector, the store's writer, the exporters' feeds."""

from __future__ import annotations

from collections.abc import Sequence

from phasetrace.collector import TimingCollector
from phasetrace.feed import Feed
from phasetrace.names import name_of_execution
from phasetrace.span import Span
from phasetrace.store.entry import is_exported
from phasetrace.store.writer import StoreWriter


class CollectorSink:
    """Counts spans."""

    def __init__(self, collector: TimingCollector) -> None:
        self._collector = collector

    def opened(self, span: Span) -> None:
        """Note when an execution was opened."""
        exec_id = span._exec_id or ""
        name = name_of_execution(span._name, exec_id)
        self._collector.execution_opened(exec_id, span._span_id, name, span._trace_id)

    def ended(self, spans: Sequence[Span]) -> None:
        """Count what belongs to an execution."""
        self._collector.take(spans)

    def drained(self) -> None:
        """Let executions go for which there was no room."""
        self._collector.remove_evicted()

    @property
    def behind(self) -> bool:
        """Whether more comes in than can be divided up."""
        return self._collector.behind


class StoreSink:
    """Has spans written."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer

    def opened(self, span: Span) -> None:
        """Have a new execution shown in the store."""
        self._writer.started_execution(span)

    def ended(self, spans: Sequence[Span]) -> None:
        """Queue what belongs to an execution, or is to be delivered."""
        if self._writer.destinations:
            taken = [span for span in spans if span._exec_id is not None or is_exported(span)]
        else:
            taken = [span for span in spans if span._exec_id is not None]
        self._writer.take(taken)

    def drained(self) -> None:
        """Do nothing."""

    @property
    def behind(self) -> bool:
        """Never: what is too much for it is dropped, and the worker's backlog tells of it."""
        return False


class FeedSink:
    """Has spans exported, if they are sampled and their provider is one that we export for."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def opened(self, span: Span) -> None:
        """Do nothing: what is exported has ended."""

    def ended(self, spans: Sequence[Span]) -> None:
        """Queue what is to be exported."""
        self._feed.take([span for span in spans if is_exported(span)])

    def drained(self) -> None:
        """Do nothing."""

    @property
    def behind(self) -> bool:
        """Never: what is too much for it is dropped."""
        return False
