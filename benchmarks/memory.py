"""Row 7: what finished spans take that wait for an exporter."""

from __future__ import annotations

import gc
import sqlite3
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from benchmarks import isolated
from benchmarks.contestants import Contestant, configured
from benchmarks.effort import Effort
from benchmarks.lines import Bar, Line, Quantity
from benchmarks.program import SpanProgram
from benchmarks.stock import AggregatingProcessor, NullExporter, batching, stock_provider

_WARM_UP = 2_000
_CHUNK = 10_000
_PATIENCE_S = 60.0
_POLL_S = 0.05


class BlockedExporter(NullExporter):
    """An exporter whose destination does not answer until it is `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Wait, then count."""
        self.released.wait()
        return super().export(spans)


def held(who: str, spans: int) -> dict[str, Any]:
    """Return the bytes that waiting spans of four attributes take, and what came of them.

    `who` is ``sdk``, ``phasetrace`` (with its store) or ``storeless`` (phasetrace without). All
    that is no longer needed once the spans are finished is freed before the memory is looked at:
    local numbers are popped, and the store's writer is waited for.
    """
    exporter = BlockedExporter()
    with ExitStack() as stack:
        contestant, settle = _set_up(who, exporter, stack)
        exporter.released.set()
        _record(contestant, "warm_up", _WARM_UP)
        contestant.clear("warm_up")
        warm = exporter.spans
        exporter.released.clear()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(0, spans, _CHUNK):
            _record(contestant, "measured", _CHUNK)
            settle()
        contestant.forget("measured")
        settle()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        exporter.released.set()
        contestant.flush()
        exported = exporter.spans - warm
    return {"bytes": after - before, "exported": exported}


def row_7(effort: Effort) -> Iterator[Line]:
    """Compare the memory of waiting spans, with the store and without."""
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": str(2 * effort.waiting)}
    theirs = isolated.call(held, "sdk", effort.waiting, environ=environ)
    for who, store in (("phasetrace", "with the store"), ("storeless", "without a store")):
        ours = isolated.call(held, who, effort.waiting, environ=environ)
        missing = max(0, effort.waiting - ours["exported"])
        yield Line(
            "7",
            f"{effort.waiting:,} waiting spans, {store}",
            "SDK, aggregating + batch",
            Quantity(ours["bytes"] / effort.waiting, "B"),
            Quantity(theirs["bytes"] / effort.waiting, "B"),
            Quantity(ours["bytes"] / theirs["bytes"], ""),
            bar=Bar(1 / 2, "≤ 1/2"),
            note=f"{missing:,} not exported in the end" if missing else "",
        )


def _set_up(
    who: str, exporter: BlockedExporter, stack: ExitStack
) -> tuple[Contestant, Callable[[], None]]:
    if who == "sdk":
        aggregation = AggregatingProcessor()
        provider = stock_provider(aggregation, batching(exporter))
        stack.callback(provider.shutdown)
        program = SpanProgram(provider.get_tracer("benchmarks"))
        contestant = Contestant(program, provider.force_flush, aggregation.collector.pop)
        return contestant, lambda: None
    if who == "storeless":
        return configured(stack, store=False, exporters=[exporter]), lambda: None
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-"))
    store = Path(folder) / "traces.db"
    return configured(stack, store=store, exporters=[exporter]), lambda: _wait_for_writer(store)


def _record(contestant: Contestant, exec_id: str, spans: int) -> None:
    contestant.program.metadata(exec_id, spans)()


def _wait_for_writer(store: Path) -> None:
    """Return when no more spans come into the store.

    Not by `force_flush`, which waits for the exporter too.
    """
    deadline = time.monotonic() + _PATIENCE_S
    stored, since = -1, time.monotonic()
    with closing(sqlite3.connect(store)) as connection:
        while time.monotonic() < deadline and time.monotonic() - since < 10 * _POLL_S:
            (now,) = connection.execute("SELECT coalesce(sum(spans), 0) FROM blocks").fetchone()
            if now != stored:
                stored, since = now, time.monotonic()
            time.sleep(_POLL_S)
