"""A program that records numbered spans, with phasetrace or with the stock SDK, and reports.

Every span has the attribute ``seq``. With ``--ends`` the time of each end (`time.monotonic_ns`, 0
for none) is written to a shared file, which survives a kill. The report is one JSON line on stdout,
made at the very end: exit handlers run last in, first out, and this one is the first.
"""

from __future__ import annotations

import argparse
import atexit
import json
import mmap
import resource
import struct
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

Span = Callable[..., AbstractContextManager[Any]]
"""Takes an execution's id and metadata, and returns what records a span."""

Execution = Callable[[str], AbstractContextManager[Any]]

END = struct.Struct("@q")

report: dict[str, Any] = {}


def main() -> None:
    """Record, and say so."""
    atexit.register(tell)
    arguments = parsed()
    execution, span, flush = tracer(arguments)
    record = recorder(arguments, span)
    report["rss_at_start"] = resident_bytes()
    started, cpu_started = time.monotonic(), own_cpu_s()
    first, count, size = arguments.first, arguments.spans, arguments.per_execution
    if arguments.announce:
        say("started")
    for chunk in range(0, count, size):
        exec_id = f"{arguments.name}_{first + chunk}"
        seqs = range(first + chunk, first + min(chunk + size, count))
        if arguments.in_turn:
            sys.stdin.readline()
        before = time.monotonic()
        with execution(exec_id):
            for seq in seqs:
                record(exec_id, seq)
        if arguments.in_turn:
            report.setdefault("blocks_s", []).append(time.monotonic() - before)
            say("block")
    report["spans"] = count
    report["wall_s"] = time.monotonic() - started
    report["loop_cpu_s"] = own_cpu_s() - cpu_started
    if arguments.flush:
        before = time.monotonic()
        report["flushed"] = flush(arguments.flush)
        report["flush_s"] = time.monotonic() - before
    if arguments.linger:
        say(json.dumps(report))  # it may be killed before the end
        say("done")
        until = time.monotonic() + arguments.linger
        # Not in one go: Python does not wake from a sleep for a signal that came just before it.
        while time.monotonic() < until:
            time.sleep(0.05)
    report["ended_ns"] = time.monotonic_ns()


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tracer", choices=["phasetrace", "stock", "nothing"])
    parser.add_argument("--name", default="workload", help="begins the executions' ids")
    parser.add_argument("--spans", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--rate", type=float, default=0, help="spans a second; 0: full speed")
    parser.add_argument("--per-execution", type=int, default=1000)
    parser.add_argument("--work", type=int, default=0, help="units of work in each span")
    parser.add_argument("--silent", action="store_true", help="record only the first span")
    parser.add_argument("--poison", type=int, default=-1, help="this span gets a poison attribute")
    parser.add_argument("--ends", type=Path)
    parser.add_argument("--announce", action="store_true", help="say when it starts")
    parser.add_argument(
        "--in-turn", action="store_true", help="wait for a line on stdin before each execution"
    )
    parser.add_argument("--pause-at", type=int, default=-1, help="wait there for a line on stdin")
    parser.add_argument("--flush", type=float, default=0, help="force_flush with so many seconds")
    parser.add_argument("--linger", type=float, default=0, help="seconds between done and the end")
    parser.add_argument("--handle-signals", action="store_true")
    parser.add_argument("--queue", type=int, help="the stock batch processor's limit")
    return parser.parse_args()


def tracer(arguments: argparse.Namespace) -> tuple[Execution, Span, Callable[[float], bool]]:
    """Return what begins executions, what makes spans, and what flushes."""
    if arguments.tracer == "phasetrace":
        import phasetrace

        if arguments.handle_signals:
            phasetrace.configure(handle_signals=True)
        time_phase = phasetrace.time_phase
        return (
            phasetrace.execution,
            lambda exec_id, **metadata: time_phase(exec_id, "node", "work", **metadata),
            phasetrace.force_flush,
        )
    if arguments.tracer == "nothing":
        return lambda exec_id: nullcontext(), lambda *_, **__: nullcontext(), lambda timeout: True
    provider, stock = stock_provider(arguments.queue)
    return (
        lambda exec_id: stock.start_as_current_span(exec_id, attributes={"exec_id": exec_id}),
        lambda exec_id, **metadata: stock.start_as_current_span(
            "work", attributes={"exec_id": exec_id, "node_id": "node", **metadata}
        ),
        lambda timeout_s: provider.force_flush(int(timeout_s * 1000)),
    )


def stock_provider(queue: int | None) -> tuple[Any, Any]:
    """Return the stock SDK's provider and tracer, as an application would set them up."""
    import os

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter: Any
    if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as over_grpc

        exporter = over_grpc.OTLPSpanExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as over_http

        exporter = over_http.OTLPSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=queue))
    return provider, provider.get_tracer("workload")


def recorder(arguments: argparse.Namespace, span: Span) -> Callable[[str, int], None]:
    """Return what records the span of a number, with all that belongs to it."""
    first, units, poison, pause_at = (
        arguments.first,
        arguments.work,
        arguments.poison,
        arguments.pause_at,
    )
    ends = shared(arguments.ends, arguments.spans) if arguments.ends else None
    pace = Pace(arguments.rate) if arguments.rate else None
    silent = arguments.silent

    def record(exec_id: str, seq: int) -> None:
        if pace is not None:
            pace.wait()
        if seq == pause_at:
            say("paused")
            sys.stdin.readline()
            if pace is not None:
                pace.restart()
        if silent and seq != first:
            work(units)
        elif seq == poison:
            with span(exec_id, seq=seq, poison=True):
                work(units)
        else:
            with span(exec_id, seq=seq):
                work(units)
        if ends is not None:
            END.pack_into(ends, (seq - first) * END.size, time.monotonic_ns())

    return record


class Pace:
    """Keeps to a rate, and makes up for lost time."""

    def __init__(self, rate: float) -> None:
        self._interval_s = 1 / rate
        self.restart()

    def restart(self) -> None:
        """Begin now."""
        self._next = time.monotonic()

    def wait(self) -> None:
        """Wait until the next one is due."""
        self._next += self._interval_s
        rest_s = self._next - time.monotonic()
        if rest_s > 0:
            time.sleep(rest_s)


def work(units: int) -> int:
    """Compute for some 10 µs a unit."""
    value = 1
    for _ in range(100 * units):
        value = value * 1103515245 + 12345 & 0x7FFFFFFF
    return value


def shared(path: Path, count: int) -> mmap.mmap:
    """Return a file of so many times, in memory that outlives the process."""
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), count * END.size)


def own_cpu_s() -> float:
    """Return the processor time of this process, without its children."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int:
    """Return how much memory the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * mmap.PAGESIZE


def say(word: str) -> None:
    """Tell the parent, on a line of its own."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def tell() -> None:
    """Print the report."""
    report["cpu_s"] = own_cpu_s()
    report["peak_rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    say(json.dumps(report))


if __name__ == "__main__":
    main()
